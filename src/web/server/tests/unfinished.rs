//! Requests that do not end, against a small budget (OA-5).

use std::sync::{Mutex, PoisonError};

use super::*;

const LIMIT: usize = 1024 * 1024;

async fn start_small() -> TestServer {
    start(|options, _| options.request_bytes = LIMIT).await
}

async fn is_served(server: &TestServer) {
    let mut innocent = connect_from(server, "127.0.3.1").await;
    let body =
        "POST /echo HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc";
    assert_eq!(status(&server.send_on(&mut innocent, body).await), "200");
}

/// The first of several attackers' requests is ended, and not the last.
#[tokio::test]
async fn oa_5_the_oldest_body_of_the_largest_network_is_ended_with_503() {
    let server = start_small().await;
    let half = format!(
        "POST /echo HTTP/1.1\r\nHost: {}\r\nContent-Length: 60000\r\n\r\n{}",
        server.address,
        "x".repeat(50_000)
    );
    let mut held = Vec::new();
    for _ in 0..16 {
        let mut stream = connect_from(&server, "127.0.1.1").await;
        stream.write_all(half.as_bytes()).await.unwrap();
        // The order of the connections is that of their requests.
        sleep(SHORT / 15).await;
        held.push(stream);
    }
    let response = timeout(LONG, read_to_end(&mut held[0])).await.unwrap();
    assert_eq!(status(&response), "503");
    assert!(response.to_ascii_lowercase().contains("connection: close"));
    let mut byte = [0];
    let last = held.last_mut().unwrap();
    assert!(timeout(SHORT, last.read(&mut byte)).await.is_err());
    is_served(&server).await;
}

/// Opens 60 requests whose bodies never begin, and returns how many of them are ended.
async fn headers_alone(server: &TestServer) -> usize {
    let mut open = Vec::new();
    for _ in 0..2 {
        let stream = connect_from(server, "127.0.1.1").await;
        let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        for _ in 0..30 {
            let Ok(ready) = client.ready().await else {
                // A connection that was closed has none that goes on.
                break;
            };
            client = ready;
            let request = hyper::Request::post(format!("http://{}/echo", server.address))
                .header("content-length", "60000")
                .header("x-big", "x".repeat(8 * 1024));
            let request = request.body(()).unwrap();
            open.extend(client.send_request(request, false));
        }
    }
    sleep(SHORT).await;
    let mut ended = 0;
    for (response, _body) in &mut open {
        match timeout(SHORT / 30, response).await {
            Ok(Ok(response)) => {
                assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
                ended += 1;
            }
            Ok(Err(_reset)) => ended += 1,
            Err(_elapsed) => {}
        }
    }
    ended
}

#[tokio::test]
async fn oa_5_requests_whose_body_never_begins_are_charged_from_their_header_on() {
    let server = start_small().await;
    let ended = headers_alone(&server).await;
    assert!((20..60).contains(&ended), "{ended}");
    is_served(&server).await;
    // Within the budget they wait.
    let server = start(|_, _| {}).await;
    assert_eq!(headers_alone(&server).await, 0);
}

#[derive(Clone, Default)]
pub(super) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The tests of this file run on one thread, so that the subscriber sees the server's lines.
#[tokio::test]
async fn oc_12_a_503_for_want_of_space_names_its_cause_in_one_line_a_second() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .finish();
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let guard = tracing::subscriber::set_default(subscriber);
    let server = start_small().await;
    let ended = headers_alone(&server).await;
    sleep(Duration::from_millis(1_200)).await;
    drop(guard);
    let log = lines.text();
    let warnings: Vec<&str> = log.lines().filter(|line| line.contains("WARN")).collect();
    assert!((1..4).contains(&warnings.len()) && ended > 4, "{log}");
    assert!(
        warnings[0].contains("reason=\"request_space\"") && warnings[0].contains("requests="),
        "{log}"
    );
    let refused = log.lines().filter(|line| line.contains("status=503"));
    assert!(
        refused
            .clone()
            .all(|line| line.contains("reason=\"request_space\"")),
        "{log}"
    );
    assert!(refused.count() > 0, "{log}");
}
