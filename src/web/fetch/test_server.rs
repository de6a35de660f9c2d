//! A server for tests: answers each request on loopback with the bytes that a closure gives, and counts.
#![allow(clippy::unwrap_used)]

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A request as it came in.
#[derive(Clone, Debug)]
pub(crate) struct ReceivedRequest {
    pub(crate) method: String,
    pub(crate) path: String,
    /// The head, as lines.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl ReceivedRequest {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v)
    }
}

/// A running server; it ends when dropped.
pub(crate) struct TestServer {
    pub(crate) base: String,
    seen: Arc<Mutex<Vec<ReceivedRequest>>>,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl TestServer {
    /// Answers each request with raw bytes.
    pub(crate) async fn start(
        answer: impl Fn(&ReceivedRequest) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (seen, connections) = (
            Arc::new(Mutex::new(Vec::new())),
            Arc::new(AtomicUsize::new(0)),
        );
        let (log, count, answer) = (
            Arc::clone(&seen),
            Arc::clone(&connections),
            Arc::new(answer),
        );
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                tokio::spawn(async move {
                    let Some(asked) = read(&mut stream).await else {
                        return;
                    };
                    log.lock().unwrap().push(asked.clone());
                    let bytes = answer(&asked);
                    let _ = stream.write_all(&bytes).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        Self {
            base,
            seen,
            connections,
            task,
        }
    }

    /// Every request for this path so far.
    pub(crate) fn requests_for(&self, path: &str) -> Vec<ReceivedRequest> {
        self.seen
            .lock()
            .unwrap()
            .iter()
            .filter(|asked| asked.path == path)
            .cloned()
            .collect()
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn read(stream: &mut TcpStream) -> Option<ReceivedRequest> {
    let mut bytes = Vec::new();
    loop {
        let mut part = [0; 4096];
        let read = stream.read(&mut part).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(part.get(..read)?);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.lines().find_map(|line| {
            line.to_lowercase()
                .strip_prefix("content-length: ")?
                .parse()
                .ok()
        });
        if body.len() >= length.unwrap_or(0) {
            let mut words = head.split(' ').map(str::to_owned);
            let (method, path) = (words.next()?, words.next()?);
            return Some(ReceivedRequest {
                method,
                path,
                head: head.to_owned(),
                body: body.to_owned(),
            });
        }
    }
}

/// An answer with a body and these header lines.
pub(crate) fn raw_response(status: u16, headers: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A JSON answer.
pub(crate) fn json_response(status: u16, body: &serde_json::Value) -> Vec<u8> {
    raw_response(
        status,
        "Content-Type: application/json\r\n",
        &body.to_string(),
    )
}
