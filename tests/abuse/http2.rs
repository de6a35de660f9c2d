//! The little of HTTP/2 (RFC 9113) that an attacker writes who holds thousands of connections.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::sleep,
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame (RFC 9113 §4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .expect("a short frame")
        .to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A string without Huffman code (RFC 7541 §5.2).
fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.push(u8::try_from(text.len()).expect("a short text"));
    bytes.extend(text.as_bytes());
}

/// The header block of a HEAD request, without indexing (RFC 7541 §6.2.2).
fn head(path: &str, authority: &str) -> Vec<u8> {
    // The names `:method`, `:path` and `:authority`, and `:scheme: http`, are in the static table.
    let mut block = vec![0x86, 0x02];
    text(&mut block, "HEAD");
    block.push(0x04);
    text(&mut block, path);
    block.push(0x01);
    text(&mut block, authority);
    block
}

/// The header block of a POST.
fn post(path: &str, authority: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x86, 0x04];
    text(&mut block, path);
    block.push(0x01);
    text(&mut block, authority);
    for (name, value) in [
        ("content-type", "application/json"),
        ("content-length", "60000"),
    ] {
        block.push(0x00);
        text(&mut block, name);
        text(&mut block, value);
    }
    block
}

/// Connects from a loopback address.
pub(crate) async fn connect(from: Ipv4Addr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    socket.connect(to).await
}

/// Connections that are held, and opened again when the service closes them, until this is dropped.
pub(crate) struct Held {
    stop: Arc<AtomicBool>,
    opened: Arc<AtomicUsize>,
    /// Held up to here at once.
    open: Arc<AtomicUsize>,
    tasks: JoinSet<()>,
}

impl Held {
    /// Holds `each` connections of each of the networks.
    pub(crate) fn start(
        to: SocketAddr,
        host: &str,
        networks: &[Ipv4Addr],
        each: usize,
        ways: &[Hold],
    ) -> Self {
        let mut this = Self {
            stop: Arc::default(),
            opened: Arc::default(),
            open: Arc::default(),
            tasks: JoinSet::new(),
        };
        for number in 0..each {
            for from in networks {
                let way = ways[number % ways.len()];
                let host = host.to_owned();
                let (stop, opened, open) = (
                    Arc::clone(&this.stop),
                    Arc::clone(&this.opened),
                    Arc::clone(&this.open),
                );
                let from = *from;
                this.tasks.spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        if let Ok(stream) = connect(from, to).await {
                            opened.fetch_add(1, Ordering::Relaxed);
                            open.fetch_add(1, Ordering::Relaxed);
                            hold(stream, &host, way, &stop).await;
                            open.fetch_sub(1, Ordering::Relaxed);
                        }
                        sleep(Duration::from_millis(250)).await;
                    }
                });
            }
        }
        this
    }

    /// How many connections were opened so far.
    pub(crate) fn opened(&self) -> usize {
        self.opened.load(Ordering::Relaxed)
    }

    /// How many are open now.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.abort_all();
    }
}

/// How a connection is kept open.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hold {
    /// By pings alone.
    Pings,
    /// By a request whose body does not end.
    Body,
    /// By a request every few seconds, so that it is never idle for long.
    Requests,
}

/// Keeps a connection open until the other side closes it.
async fn hold(mut stream: TcpStream, host: &str, way: Hold, stop: &AtomicBool) {
    let mut opening = PREFACE.to_vec();
    opening.extend(frame(0x4, 0, 0, &[]));
    if matches!(way, Hold::Body) {
        let block = post("/api/v1/auth/magic-link/request", host);
        opening.extend(frame(0x1, 0x4, 1, &block));
        opening.extend(frame(0x0, 0, 1, &[b' '; 64]));
    }
    if stream.write_all(&opening).await.is_err() {
        return;
    }
    let (mut number, mut buffer) = (1, [0; 512]);
    let mut tick = tokio::time::interval(Duration::from_secs(4));
    while !stop.load(Ordering::Relaxed) {
        tokio::select! {
            read = stream.read(&mut buffer) => if !matches!(read, Ok(1..)) { return },
            _ = tick.tick() => {
                let next = match way {
                    Hold::Requests => frame(0x1, 0x5, number, &head("/", host)),
                    Hold::Pings | Hold::Body => frame(0x6, 0, 0, &[0; 8]),
                };
                number += 2;
                if stream.write_all(&next).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[test]
fn frames_and_headers_have_the_form_of_the_standard() {
    assert_eq!(frame(0x6, 0, 0, &[0; 8])[..9], [0, 0, 8, 6, 0, 0, 0, 0, 0]);
    let block = post("/x", "h");
    assert_eq!(block[..9], [0x83, 0x86, 0x04, 2, b'/', b'x', 0x01, 1, b'h']);
}
