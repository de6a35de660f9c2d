//! Which addresses may be reached, which responses are accepted, and what errors show.

use std::{sync::Arc, time::Duration};

use poem::http::{HeaderMap, header};
use reqwest::dns::Resolve as _;

use super::{
    resolver::{NotPublicError, REBOUND, Resolver},
    scope::NOT_PUBLIC,
    test_server::{TestServer, json_response, raw_response},
    *,
};

/// openidconnect would bring a client of its own, for another reqwest.
#[test]
fn ht_01_there_is_one_http_client() {
    let lock = include_str!("../../../Cargo.lock");
    let versions: Vec<&str> = lock
        .split("[[package]]")
        .filter(|package| package.contains("\nname = \"reqwest\"\n"))
        .collect();
    assert_eq!(versions.len(), 1, "{versions:?}");
    assert!(
        versions
            .iter()
            .all(|package| package.contains("\nversion = \"0.13.")),
        "{versions:?}"
    );
}

fn local() -> Fetcher {
    Fetcher::new(FetchScope {
        loopback_http: true,
        ..FetchScope::default()
    })
    .unwrap()
}

#[test]
fn ht_04_up_blocked_what_is_not_public_https_is_refused_before_any_connection() {
    let closed = FetchScope::default();
    for url in [
        "http://op.example.com/",
        "https://127.0.0.1/",
        "https://169.254.169.254/latest",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://2130706433/",
        "https://0177.0.0.1/",
        "https://0x7f.1/",
        "https://127.1/",
        "https://localhost/",
        "https://user@op.example.com/",
        "https://user:pass@op.example.com/",
        "https://:pass@op.example.com/",
        "http://127.0.0.1/",
        "ftp://op.example.com/",
        "file:///etc/passwd",
        "op.example.com",
        "",
    ] {
        assert!(
            matches!(
                closed.check_url(url),
                Err(FetchError::Blocked(_) | FetchError::NotHttps)
            ),
            "{url}"
        );
    }
    for url in [
        "https://op.example.com/x?y=z",
        "https://8.8.8.8/",
        "https://[2606:4700::1111]:8443/",
    ] {
        assert!(closed.check_url(url).is_ok(), "{url}");
    }
}

#[test]
fn ht_06_a_scope_allows_exactly_what_it_names() {
    let open = FetchScope {
        private_hosts: vec!["10.0.0.1".into(), "[::1]".into()],
        loopback_http: true,
        ca_file: None,
    };
    for url in [
        "https://10.0.0.1/",
        "https://[::1]/",
        "http://127.0.0.1:9/",
        "http://[::1]/",
        "http://localhost/",
    ] {
        assert!(open.check_url(url).is_ok(), "{url}");
    }
    for url in [
        "https://10.0.0.2/",
        "https://127.0.0.1/",
        "https://localhost/",
        "http://10.0.0.1/",
        "http://op.example/",
    ] {
        assert!(open.check_url(url).is_err(), "{url}");
    }
}

/// `localhost` resolves to loopback on every machine.
#[tokio::test]
async fn ht_03_the_resolver_returns_public_addresses_alone() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "https://localhost:{}/",
        listener.local_addr().unwrap().port()
    );
    let plain = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.write_all(b"HTTP/1.1 400 X\r\n\r\n").await;
    });
    let closed = Resolver(Arc::new(FetchScope::default()));
    let Err(error) = closed.resolve("localhost".parse().unwrap()).await else {
        panic!("resolved")
    };
    assert!(error.is::<NotPublicError>());
    let open = Fetcher::new(FetchScope {
        private_hosts: vec!["localhost".into()],
        ..FetchScope::default()
    })
    .unwrap();
    let error = open.send(FetchRequest::get(url)).await.unwrap_err();
    assert!(
        error == FetchError::Tls,
        "it connects and finds no TLS: {error}"
    );
    plain.await.unwrap();
}

/// The client uses our resolver: a public name that resolves to a private address is not connected
/// to.
#[tokio::test]
async fn ht_03_up_blocked_a_name_that_resolves_to_a_private_address_is_not_connected_to() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!(
        "https://{REBOUND}:{}/",
        listener.local_addr().unwrap().port()
    );
    let closed = Fetcher::new(FetchScope::default()).unwrap();
    assert_eq!(
        closed
            .send(FetchRequest::get(url.clone()))
            .await
            .unwrap_err(),
        FetchError::Blocked(NOT_PUBLIC)
    );
    assert!(listener.accept().is_err(), "connected");
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let open = Fetcher::new(FetchScope {
        private_hosts: vec![REBOUND.into()],
        ..FetchScope::default()
    })
    .unwrap();
    let hang_up = async { drop(listener.accept().await.unwrap()) };
    let (sent, ()) = tokio::join!(open.send(FetchRequest::get(url)), hang_up);
    assert!(
        matches!(sent.unwrap_err(), FetchError::Down(_)),
        "the scope allows the name"
    );
}

/// Names a URL in a child of [`ht_02_no_proxy_of_the_environment_is_used`].
const PROXIED: &str = "ENTREE_TEST_PROXIED_URL";

/// A proxy would resolve names itself. Variables belong to a process, so a child process has them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ht_02_no_proxy_of_the_environment_is_used() {
    if let Some(url) = std::env::var_os(PROXIED) {
        let sent = local()
            .send(FetchRequest::get(url.into_string().unwrap()))
            .await;
        assert_eq!(sent.unwrap().status, 200);
        return;
    }
    let proxy = TestServer::start(|_| raw_response(502, "", "")).await;
    let server = TestServer::start(|_| raw_response(200, "", "")).await;
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args([
        "--exact",
        "web::fetch::tests::ht_02_no_proxy_of_the_environment_is_used",
    ]);
    child
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .env_remove("REQUEST_METHOD");
    child.env(PROXIED, &server.base);
    for name in [
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
    ] {
        child.env(name, &proxy.base);
    }
    let output = tokio::task::spawn_blocking(move || child.output())
        .await
        .unwrap()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    assert_eq!((proxy.connections(), server.connections()), (0, 1));
}

/// A peer that accepts the connection and does not speak TLS cannot use up the five seconds of a
/// response.
#[tokio::test]
async fn ht_02_up_timeout_a_connection_stands_within_three_seconds() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "https://127.0.0.1:{}/",
        listener.local_addr().unwrap().port()
    );
    let open = Fetcher::new(FetchScope {
        private_hosts: vec!["127.0.0.1".into()],
        ..FetchScope::default()
    })
    .unwrap();
    // Three seconds, not five. A busy machine may add some to one try, not to each.
    let mut seconds = Vec::new();
    while seconds.len() < 5 && !seconds.iter().any(|seconds| (2..5).contains(seconds)) {
        let began = tokio::time::Instant::now();
        assert_eq!(
            open.send(FetchRequest::get(url.clone())).await.unwrap_err(),
            FetchError::Timeout
        );
        seconds.push(began.elapsed().as_secs());
    }
    assert!(
        seconds.iter().any(|seconds| (2..5).contains(seconds)),
        "{seconds:?}"
    );
}

#[tokio::test]
async fn ht_02_up_redirect_no_redirect_is_followed() {
    let server = TestServer::start(|request| match request.path.as_str() {
        "/there" => json_response(200, &serde_json::json!({"a": 1})),
        "/not-modified" => raw_response(304, "", ""),
        _ => raw_response(302, "Location: /there\r\nSet-Cookie: a=b\r\n", ""),
    })
    .await;
    let fetcher = local();
    let sent = fetcher
        .send(FetchRequest::get(format!("{}/here", server.base)))
        .await;
    assert_eq!(sent.unwrap_err(), FetchError::Redirect);
    assert!(server.requests_for("/there").is_empty());
    let sent = fetcher
        .send(FetchRequest::get(format!("{}/not-modified", server.base)))
        .await;
    assert_eq!(
        sent.unwrap_err(),
        FetchError::Redirect,
        "the request was not conditional"
    );
    let request = FetchRequest::get(format!("{}/not-modified", server.base))
        .header(header::IF_NONE_MATCH, "\"x\"");
    assert_eq!(fetcher.send(request).await.unwrap().status, 304);
    let response = fetcher
        .send(FetchRequest::get(format!("{}/there", server.base)))
        .await
        .unwrap();
    assert_eq!(response.body, b"{\"a\":1}");
    let request = server.requests_for("/there").remove(0);
    assert!(request.header("cookie").is_none() && request.header("referer").is_none());
    assert!(
        request
            .header("user-agent")
            .is_some_and(|agent| agent.starts_with("entree/"))
    );
}

#[tokio::test]
async fn ht_02_up_too_large_bodies_are_capped_announced_or_not() {
    let big = "x".repeat(600 * 1024);
    let fits = "x".repeat(MAX_BYTES);
    let server = TestServer::start(move |request| match request.path.as_str() {
        "/announced" => raw_response(200, "", &big),
        "/unannounced" => format!("HTTP/1.1 200 X\r\nConnection: close\r\n\r\n{big}").into_bytes(),
        _ => raw_response(200, "", &fits),
    })
    .await;
    for path in ["announced", "unannounced"] {
        let sent = local()
            .send(FetchRequest::get(format!("{}/{path}", server.base)))
            .await;
        assert_eq!(sent.unwrap_err(), FetchError::TooLarge, "{path}");
    }
    assert_eq!(
        local()
            .send(FetchRequest::get(format!("{}/fits", server.base)))
            .await
            .unwrap()
            .body
            .len(),
        MAX_BYTES
    );
}

#[tokio::test]
async fn ht_02_up_timeout_a_response_is_complete_within_five_seconds() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let silent = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await;
        // Each byte is in time, the whole is not.
        let _ = stream
            .write_all(b"HTTP/1.1 200 X\r\nContent-Length: 100\r\n\r\n")
            .await;
        loop {
            let _ = stream.write_all(b"x").await;
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
    });
    let began = tokio::time::Instant::now();
    assert_eq!(
        local().send(FetchRequest::get(url)).await.unwrap_err(),
        FetchError::Timeout
    );
    assert!(
        (4..30).contains(&began.elapsed().as_secs()),
        "{:?}",
        began.elapsed()
    );
    silent.abort();
}

/// The peer reads the request and closes: an ordinary client would try once more.
#[tokio::test]
async fn ht_09_a_request_is_never_sent_twice() {
    let server = TestServer::start(|_| Vec::new()).await;
    let sent = local()
        .send(FetchRequest::post_form(
            format!("{}/token", server.base),
            &[("code", "c d&e")],
        ))
        .await;
    assert!(matches!(sent.unwrap_err(), FetchError::Down(_)));
    assert_eq!(
        (server.connections(), server.requests_for("/token").len()),
        (1, 1)
    );
    let request = server.requests_for("/token").remove(0);
    assert_eq!(
        (request.method.as_str(), request.body.as_str()),
        ("POST", "code=c+d%26e")
    );
}

#[tokio::test]
async fn ht_08_errors_hold_neither_url_nor_body() {
    let server =
        TestServer::start(|_| b"HTTP/1.1 200 X\r\nContent-Length: 100\r\n\r\nhunter2".to_vec())
            .await;
    for url in [
        format!("{}/?code=hunter2", server.base),
        "http://127.0.0.1:1/?code=hunter2".to_owned(),
        "https://hunter2.invalid/?code=hunter2".to_owned(),
        "https://hunter2@op.example/".to_owned(),
    ] {
        let error = local()
            .send(FetchRequest::get(url.clone()))
            .await
            .unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(
            !shown.contains("hunter2") && !shown.contains("127.0.0.1"),
            "{url}: {shown}"
        );
    }
    let response = FetchResponse {
        status: 200,
        headers: HeaderMap::new(),
        body: b"hunter2".to_vec(),
    };
    assert!(!format!("{response:?}").contains("hunter"));
}

#[test]
fn ht_06_an_unusable_ca_file_is_reported_in_words() {
    let with = |file: &str| {
        Fetcher::new(FetchScope {
            ca_file: Some(file.into()),
            ..FetchScope::default()
        })
    };
    assert!(
        with("/nowhere/ca.pem")
            .unwrap_err()
            .contains("cannot be read")
    );
    assert!(with("").is_ok(), "an empty environment variable means none");
}

#[tokio::test]
async fn od_7_a_name_that_does_not_resolve_and_a_port_that_refuses_are_told_apart() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    for (url, expected) in [
        ("https://nowhere.invalid/".to_owned(), FetchError::Dns),
        (closed, FetchError::Refused),
    ] {
        let sent = local().send(FetchRequest::get(url.clone())).await;
        assert_eq!(sent.err(), Some(expected), "{url}");
    }
}
