//! A collector for OTLP over HTTP that keeps the bytes of what it is sent.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
};

/// Path and body of each request.
type Taken = Mutex<Vec<(String, Vec<u8>)>>;

/// A running collector. It ends with the process.
#[derive(Clone, Debug)]
pub struct Collector {
    address: SocketAddr,
    taken: Arc<Taken>,
}

impl Collector {
    /// Listens on a free port of loopback.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let this = Self {
            address: listener.local_addr().expect("an address"),
            taken: Arc::default(),
        };
        let taken = Arc::clone(&this.taken);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let taken = Arc::clone(&taken);
                std::thread::spawn(move || while take(&stream, &taken).is_some() {});
            }
        });
        this
    }

    /// Its base address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All bytes that were sent to a path so far.
    #[must_use]
    pub fn bytes(&self, path: &str) -> Vec<u8> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken
            .iter()
            .filter(|(to, _)| to == path)
            .flat_map(|(_, body)| body.clone())
            .collect()
    }

    /// Whether a text is in what was sent to a path: texts stand in protobuf as they are.
    #[must_use]
    pub fn holds(&self, path: &str, text: &str) -> bool {
        self.bytes(path)
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    }
}

/// One request; `None` at the end of the connection.
fn take(mut stream: &TcpStream, taken: &Taken) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let length = head.lines().find_map(|line| {
        line.to_lowercase()
            .strip_prefix("content-length:")?
            .trim()
            .parse()
            .ok()
    });
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    let path = head.split(' ').nth(1)?.to_owned();
    taken
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push((path, body));
    stream
        .write_all(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n",
        )
        .ok()
}
