//! Slow, oversized and broken requests over raw sockets against the running server.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use poem::{EndpointExt as _, IntoEndpoint as _, Request, Route, handler, http::StatusCode};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Notify, oneshot},
    time::{Instant, sleep, timeout},
};

use super::{ServerOptions, listener::accept_one, serve};
use crate::web::{
    caller::Caller,
    cookie::{CookieKind, Cookies},
    layers::Layers,
};

#[handler]
async fn bug() -> String {
    panic!("a handler's bug")
}

#[handler]
async fn echo(body: Vec<u8>) -> Vec<u8> {
    body
}

/// Nine parts, each within the busy time-out, together longer than it.
#[handler]
async fn slow_parts() -> poem::Response {
    let parts = futures_util::stream::unfold(0, |at| async move {
        sleep(SHORT / 3).await;
        (at < 9).then_some((Ok::<_, io::Error>("part"), at + 1))
    });
    poem::Response::builder().body(poem::Body::from_bytes_stream(parts))
}

#[handler]
async fn address(request: &Request) -> String {
    Caller::from_request(request).ip.to_string()
}

#[handler]
async fn session(request: &Request) -> poem::Result<StatusCode> {
    Cookies::new("http://127.0.0.1").read(request, CookieKind::Sid)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Holds a request back until the test releases it.
struct Gate {
    entered: Notify,
    released: Notify,
}

struct TestServer {
    address: SocketAddr,
    gate: Arc<Gate>,
    stop: Option<oneshot::Sender<()>>,
    ended: tokio::task::JoinHandle<io::Result<()>>,
}

const SHORT: Duration = Duration::from_millis(300);
/// No test waits longer for anything.
const LONG: Duration = Duration::from_secs(20);

async fn start(change: impl FnOnce(&mut ServerOptions, &mut Layers)) -> TestServer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address_ = listener.local_addr().unwrap();
    let gate = Arc::new(Gate {
        entered: Notify::new(),
        released: Notify::new(),
    });
    let inside = Arc::clone(&gate);
    let wait = poem::endpoint::make(move |_| {
        let gate = Arc::clone(&inside);
        async move {
            gate.entered.notify_one();
            gate.released.notified().await;
            "released"
        }
    });
    let mut layers = Layers::new(Some(format!("http://{address_}").into()));
    layers.trusted_proxies = ["127.0.0.1/32".parse().unwrap()].into();
    let mut options = ServerOptions::default();
    change(&mut options, &mut layers);
    let routes = Route::new()
        .at("/bug", bug)
        .at("/echo", echo)
        .at("/address", address)
        .at("/slow-parts", slow_parts)
        .at("/session", session)
        .at("/wait", wait);
    let (stop, stopped) = oneshot::channel();
    let shutdown = async { drop(stopped.await) };
    let ended = tokio::spawn(serve(
        listener,
        None,
        routes.with(layers).into_endpoint(),
        options,
        shutdown,
    ));
    TestServer {
        address: address_,
        gate,
        stop: Some(stop),
        ended,
    }
}

impl TestServer {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends `raw` with `HOST` replaced and returns what the server sends until it closes.
    async fn send(&self, raw: &str) -> String {
        self.send_on(&mut self.connect().await, raw).await
    }

    async fn send_on(&self, stream: &mut TcpStream, raw: &str) -> String {
        // The server may close before it has read all.
        let _closed_early = stream
            .write_all(raw.replace("HOST", &self.address.to_string()).as_bytes())
            .await;
        read_to_end(stream).await
    }
}

/// Reads until the other side closes.
async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let _reset = timeout(LONG, stream.read_to_end(&mut bytes))
        .await
        .expect("the server closes");
    String::from_utf8(bytes).unwrap()
}

fn status(response: &str) -> &str {
    response.get(9..12).unwrap_or("none")
}

#[tokio::test]
async fn small_answers_are_sent_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (stream, addresses) = accept_one(&listener).await.unwrap();
    assert!(stream.nodelay().unwrap());
    assert!(addresses.remote.as_socket_addr().is_some());
}

#[tokio::test]
async fn px_02_a_half_sent_header_is_cut() {
    let server = start(|options, _| options.header_timeout = SHORT).await;
    for half in [
        "",
        "G",
        "GET /echo HT",
        "GET /echo HTTP/1.1\r\nHost: HOST\r\nX-Slow: ",
        "PRI * HTTP/2.0\r\n\r\nSM",
    ] {
        let began = Instant::now();
        let response = server.send(half).await;
        assert!(!response.contains(" 200 "), "{response}");
        assert!(
            began.elapsed() >= SHORT && began.elapsed() < LONG / 2,
            "{half}: {:?}",
            began.elapsed()
        );
    }
}

#[tokio::test]
async fn px_02_a_drip_fed_header_is_cut_all_the_same() {
    let server = start(|options, _| options.header_timeout = SHORT).await;
    let mut stream = server.connect().await;
    let began = Instant::now();
    stream.write_all(b"GET / HTTP/1.1\r\nX: ").await.unwrap();
    let (mut read, mut write) = stream.split();
    let drip = async {
        while write.write_all(b"x").await.is_ok() {
            sleep(SHORT / 6).await;
        }
    };
    let mut bytes = Vec::new();
    tokio::select! {
        _ended = read.read_to_end(&mut bytes) => {}
        () = drip => {}
    }
    assert!(began.elapsed() < LONG / 2, "{:?}", began.elapsed());
}

#[tokio::test]
async fn px_02_a_half_sent_header_is_cut_on_a_connection_that_served_before() {
    let server = start(|options, _| options.header_timeout = SHORT).await;
    let began = Instant::now();
    let response = server
        .send("GET /echo HTTP/1.1\r\nHost: HOST\r\n\r\nGET /echo HTTP/1.1\r\nHo")
        .await;
    assert_eq!(response.matches("HTTP/1.1 200").count(), 1, "{response}");
    assert!(began.elapsed() < LONG / 2, "{:?}", began.elapsed());
}

#[tokio::test]
async fn px_02_a_header_over_16_kib_is_431() {
    let server = start(|_, _| {}).await;
    let with = |bytes: usize| {
        format!(
            "GET /echo HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\nX-Big: {}\r\n\r\n",
            "x".repeat(bytes)
        )
    };
    assert_eq!(status(&server.send(&with(15 * 1024)).await), "200");
    assert_eq!(status(&server.send(&with(17 * 1024)).await), "431");
}

#[tokio::test]
async fn px_02_po_04_a_chunked_body_over_64_kib_is_413() {
    let server = start(|_, _| {}).await;
    let with = |kib: usize| {
        let chunk = format!("400\r\n{}\r\n", "x".repeat(1024));
        let head = "POST /echo HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
        format!("{head}{}0\r\n\r\n", chunk.repeat(kib))
    };
    assert_eq!(status(&server.send(&with(64)).await), "200");
    assert_eq!(status(&server.send(&with(65)).await), "413");
    let sized = format!(
        "POST /echo HTTP/1.1\r\nHost: HOST\r\nContent-Length: {0}\r\n\r\n{1}",
        65 * 1024,
        "x".repeat(65 * 1024)
    );
    assert_eq!(status(&server.send(&sized).await), "413");
}

/// X11: slow connections end at their bound.
#[tokio::test]
async fn px_02_a_slow_body_is_cut() {
    let server = start(|_, layers| layers.body_timeout = SHORT).await;
    let response = server
        .send("POST /echo HTTP/1.1\r\nHost: HOST\r\nContent-Length: 10\r\n\r\nabc")
        .await;
    assert_eq!(status(&response), "408");
    assert!(
        response.to_ascii_lowercase().contains("connection: close"),
        "{response}"
    );
}

/// A phone on a slow line: its form takes longer than a part of it may.
#[tokio::test]
async fn px_02_a_slow_body_is_served_while_its_parts_arrive() {
    let server = start(|_, layers| layers.body_pause = SHORT).await;
    let mut stream = server.connect().await;
    let head =
        "POST /echo HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\nContent-Length: 9\r\n\r\n";
    let head = head.replace("HOST", &server.address.to_string());
    stream.write_all(head.as_bytes()).await.unwrap();
    let began = Instant::now();
    for _ in 0..9 {
        sleep(SHORT / 3).await;
        stream.write_all(b"x").await.unwrap();
    }
    let response = read_to_end(&mut stream).await;
    assert!(response.ends_with("xxxxxxxxx"), "{response}");
    assert!(began.elapsed() > 2 * SHORT);
    let pauses = "POST /echo HTTP/1.1\r\nHost: HOST\r\nContent-Length: 10\r\n\r\nabc";
    assert_eq!(status(&server.send(pauses).await), "408");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_400_and_reaches_no_endpoint() {
    let server = start(|_, _| {}).await;
    let raw = "POST /echo HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc";
    assert_eq!(status(&server.send(raw).await), "400");
}

#[tokio::test]
async fn a_panic_is_500_and_the_connection_stays_open() {
    let server = start(|_, _| {}).await;
    let raw = "GET /bug HTTP/1.1\r\nHost: HOST\r\n\r\n\
               POST /echo HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5\r\nConnection: close\r\n\r\nalive";
    let response = server.send(raw).await;
    assert_eq!(status(&response), "500");
    assert!(
        !response.contains("a handler's bug") && response.ends_with("alive"),
        "{response}"
    );
}

#[tokio::test]
async fn px_01_a_wrong_host_is_421() {
    let server = start(|_, _| {}).await;
    let response = server
        .send("GET /echo HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(status(&response), "421");
}

#[tokio::test]
async fn px_01_the_address_comes_from_the_peer_and_its_proxy() {
    let server = start(|_, _| {}).await;
    let with = |forwarded: &str| {
        format!(
            "GET /address HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\nX-Real-IP: 192.0.2.9\r\n{forwarded}\r\n"
        )
    };
    assert!(server.send(&with("")).await.ends_with("\r\n127.0.0.1"));
    let forwarded = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 198.51.100.7\r\n";
    assert!(
        server
            .send(&with(forwarded))
            .await
            .ends_with("\r\n198.51.100.7")
    );
}

#[tokio::test]
async fn bs_06_two_sid_cookies_are_400() {
    let server = start(|_, _| {}).await;
    let with = |cookie: &str| {
        format!(
            "GET /session HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\nCookie: {cookie}\r\n\r\n"
        )
    };
    assert_eq!(status(&server.send(&with("sid=a")).await), "204");
    assert_eq!(status(&server.send(&with("sid=a; sid=b")).await), "400");
    assert_eq!(
        status(&server.send(&with("sid=a\r\nCookie: sid=b")).await),
        "400"
    );
}

#[tokio::test]
async fn a_shutdown_finishes_what_is_in_flight_and_takes_no_more() {
    let mut server = start(|_, _| {}).await;
    let mut stream = server.connect().await;
    let raw = format!("GET /wait HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    stream.write_all(raw.as_bytes()).await.unwrap();
    server.gate.entered.notified().await;
    server.stop.take().unwrap().send(()).unwrap();
    // The listener is closed before the drain begins.
    while TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!server.ended.is_finished());
    server.gate.released.notify_one();
    assert!(read_to_end(&mut stream).await.ends_with("released"));
    timeout(LONG, server.ended).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_shutdown_waits_no_longer_than_the_drain_time() {
    let mut server = start(|options, _| {
        (options.drain_timeout, options.work_timeout) = (SHORT, SHORT);
    })
    .await;
    let mut stream = server.connect().await;
    let raw = format!("GET /wait HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    stream.write_all(raw.as_bytes()).await.unwrap();
    server.gate.entered.notified().await;
    server.stop.take().unwrap().send(()).unwrap();
    timeout(LONG, server.ended).await.unwrap().unwrap().unwrap();
    assert_eq!(read_to_end(&mut stream).await, "");
}

/// SP-3: what a client that is gone has begun ends before the service does.
#[tokio::test]
async fn sp_3_a_shutdown_waits_for_the_work_of_a_client_that_is_gone() {
    let mut server = start(|options, _| options.work_timeout = LONG).await;
    let mut stream = server.connect().await;
    let raw = format!("GET /wait HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    stream.write_all(raw.as_bytes()).await.unwrap();
    server.gate.entered.notified().await;
    drop(stream);
    server.stop.take().unwrap().send(()).unwrap();
    sleep(SHORT).await;
    assert!(!server.ended.is_finished());
    server.gate.released.notify_one();
    timeout(LONG, server.ended).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn connections_over_the_cap_wait_for_a_slot() {
    let server = start(|options, _| options.max_connections = 1).await;
    let mut first = server.connect().await;
    let raw = format!(
        "GET /wait HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        server.address
    );
    first.write_all(raw.as_bytes()).await.unwrap();
    server.gate.entered.notified().await;
    let mut second = server.connect().await;
    second
        .write_all(raw.replace("/wait", "/address").as_bytes())
        .await
        .unwrap();
    let mut byte = [0];
    assert!(
        timeout(SHORT, second.read(&mut byte)).await.is_err(),
        "not served yet"
    );
    server.gate.released.notify_one();
    assert!(read_to_end(&mut first).await.ends_with("released"));
    assert!(read_to_end(&mut second).await.ends_with("127.0.0.1"));
}

/// One network cannot take the share of another.
#[tokio::test]
async fn px_02_a_network_with_its_share_of_connections_gets_no_more() {
    let server = start(|options, _| options.connections_per_network = 2).await;
    let (mut first, second) = (server.connect().await, server.connect().await);
    let raw = "GET /echo HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n";
    assert_eq!(server.send(raw).await, "", "closed at once");
    drop(second);
    let again = async {
        while server.send(raw).await.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, again).await.expect("a slot is free again");
    assert_eq!(
        status(&server.send_on(&mut first, raw).await),
        "200",
        "open connections stay"
    );
}

#[tokio::test]
async fn px_02_connections_of_a_trusted_proxy_are_not_counted() {
    let server = start(|options, _| {
        options.connections_per_network = 1;
        options.trusted_proxies = ["127.0.0.0/8".parse().unwrap()].into();
    })
    .await;
    let _first = server.connect().await;
    let raw = "GET /echo HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n";
    assert_eq!(status(&server.send(raw).await), "200");
}

/// The busy time-out is for clients that do not read, not for responses that take long.
#[tokio::test]
async fn a_stream_that_is_read_outlives_the_busy_time() {
    let server = start(|options, _| options.busy_timeout = SHORT).await;
    let began = Instant::now();
    let response = server
        .send("GET /slow-parts HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n")
        .await;
    assert!(
        response.ends_with("0\r\n\r\n") && response.matches("part").count() == 9,
        "{response}"
    );
    assert!(began.elapsed() > 2 * SHORT, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_busy_connection_that_never_moves_is_cut() {
    let server = start(|options, _| options.busy_timeout = SHORT).await;
    let response = server
        .send("GET /wait HTTP/1.1\r\nHost: HOST\r\n\r\n")
        .await;
    assert_eq!(response, "");
}

/// A frame of HTTP/2 (RFC 9113 §4.1).
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
}

#[tokio::test]
async fn http_2_is_served_with_the_same_rules_and_closed_when_idle() {
    let server = start(|options, _| options.idle_timeout = SHORT).await;
    let own = server.address.to_string();
    // RFC 7541 appendix A: entry 8 is `:status: 200`; 421 is none and comes as a literal with the
    // name of entry 8, in Huffman code: 011010, 00010, 00001, filled up with ones or nothing.
    let (ok, misdirected): (&[u8], &[u8]) = (&[0x88], &[0x48, 0x82, 0b0110_1000, 0b0100_0001]);
    for (authority, expected) in [(own.as_str(), ok), ("evil.example", misdirected)] {
        let mut stream = server.connect().await;
        stream
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .await
            .unwrap();
        stream.write_all(&frame(4, 0, 0, &[])).await.unwrap();
        let mut head = vec![0x82, 0x86, 0x04, 8];
        head.extend_from_slice(b"/address");
        head.extend_from_slice(&[0x41, u8::try_from(authority.len()).unwrap()]);
        head.extend_from_slice(authority.as_bytes());
        stream.write_all(&frame(1, 5, 1, &head)).await.unwrap();
        let mut bytes = Vec::new();
        let _reset = timeout(LONG, stream.read_to_end(&mut bytes))
            .await
            .expect("closed when idle");
        let status = answer_head(&bytes);
        assert!(status.starts_with(expected), "{status:02x?}");
    }
}

/// The payload of the first HEADERS frame.
fn answer_head(mut bytes: &[u8]) -> Vec<u8> {
    while let [0, high, low, kind, _, _, _, _, _, rest @ ..] = bytes {
        let (payload, next) = rest.split_at(usize::from(*high) << 8 | usize::from(*low));
        if *kind == 1 {
            return payload.to_vec();
        }
        bytes = next;
    }
    panic!("no HEADERS frame")
}

/// Connects from an address of the loopback network.
async fn connect_from(server: &TestServer, source: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket
        .bind(SocketAddr::new(source.parse().unwrap(), 0))
        .unwrap();
    socket.connect(server.address).await.unwrap()
}

#[tokio::test]
async fn oa_5_networks_that_take_every_connection_keep_no_one_out() {
    let server = start(|options, _| {
        options.max_connections = 40;
        options.connections_per_network = 10;
    })
    .await;
    let hello = format!("GET /address HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    let mut held = Vec::new();
    for n in 0..80 {
        let mut stream = connect_from(&server, &format!("127.0.{}.1", 1 + n % 8)).await;
        // Those that were closed for others do not matter.
        let _ = stream.write_all(hello.as_bytes()).await;
        held.push(stream);
    }
    for n in 0..10 {
        let mut stream = connect_from(&server, &format!("127.0.200.{}", 1 + n)).await;
        let response = timeout(LONG, server.send_on(&mut stream, CLOSING)).await;
        assert_eq!(status(&response.unwrap()), "200", "{n}");
    }
}

/// A request after which the connection closes.
const CLOSING: &str = "GET /address HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n";

mod unfinished;
mod unread;
