//! Requests whose header is not read: each is counted in a line of the log.

use super::{unfinished::Lines, *};

/// The tests of this file run on one thread, so that the subscriber sees the server's lines.
#[tokio::test]
async fn oa_19_headers_that_are_refused_share_a_line_of_the_log() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .finish();
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let guard = tracing::subscriber::set_default(subscriber);
    let server = start(|_, _| {}).await;
    let big = format!(
        "GET /echo HTTP/1.1\r\nHost: HOST\r\nX-Big: {}\r\n\r\n",
        "x".repeat(17 * 1024)
    );
    assert_eq!(status(&server.send(&big).await), "431");
    assert_eq!(status(&server.send("GET\u{1}\r\n\r\n").await), "400");
    assert_eq!(big_header_over_http_2(&server).await, 431);
    sleep(Duration::from_millis(1_200)).await;
    drop(guard);
    let log = lines.text();
    let refused: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("header_too_large"))
        .collect();
    assert_eq!(refused.len(), 1, "{log}");
    for part in ["too_large=2 ", "malformed=1 ", "network=127.0.0.1 "] {
        assert!(refused[0].contains(part), "{part}: {log}");
    }
}

async fn big_header_over_http_2(server: &TestServer) -> u16 {
    let (client, connection) = h2::client::handshake(server.connect().await).await.unwrap();
    tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let request = hyper::Request::get(format!("http://{}/echo", server.address))
        .header("x-big", "x".repeat(17 * 1024))
        .body(())
        .unwrap();
    let (response, _body) = client.send_request(request, true).unwrap();
    timeout(LONG, response)
        .await
        .unwrap()
        .unwrap()
        .status()
        .as_u16()
}
