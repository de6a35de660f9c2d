//! A kept connection that speaks plain HTTP/1.1. A client library would cost more than the services that are measured.

use std::{fmt::Write as _, io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use url::form_urlencoded;

/// How long one response may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where requests go: an address, and the name under which the service is public there.
#[derive(Clone, Debug)]
pub struct Target {
    pub address: SocketAddr,
    pub host: String,
}

impl Target {
    /// A GET request as it goes over the wire.
    #[must_use]
    pub fn get(&self, path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
        self.head("GET", path, headers)
            .into_bytes()
            .into_iter()
            .chain(*b"\r\n")
            .collect()
    }

    /// A POST request with a form.
    #[must_use]
    pub fn post(&self, path: &str, headers: &[(&str, &str)], fields: &[(&str, &str)]) -> Vec<u8> {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        let mut text = self.head("POST", path, headers);
        let _ = write!(
            text,
            "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        text.into_bytes()
    }

    fn head(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> String {
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.host);
        for (name, value) in headers {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        text
    }
}

/// A connection, opened when it is needed and kept as long as the service keeps it.
#[derive(Debug)]
pub struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    received: Vec<u8>,
}

/// What callers need of a response.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub location: Option<String>,
    /// The seconds of `Retry-After`.
    pub retry_after: Option<u64>,
    /// Each cookie that is set, or with `None` removed.
    pub cookies: Vec<(String, Option<String>)>,
    pub body: Vec<u8>,
}

impl Response {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// How the end of a body is found (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunks,
    UntilClosed,
}

/// What the head of a response says.
struct Head {
    response: Response,
    framing: Framing,
    closes: bool,
}

impl Connection {
    /// Opens nothing yet.
    #[must_use]
    pub const fn new(address: SocketAddr) -> Self {
        Self {
            address,
            stream: None,
            received: Vec::new(),
        }
    }

    /// Sends a request and reads its response whole. A connection that was kept and turns out to be closed is opened
    /// anew, once.
    ///
    /// # Errors
    /// The service does not accept the connection, cuts it, does not speak HTTP, or needs longer than 30 s.
    pub async fn send(&mut self, request: &[u8]) -> io::Result<Response> {
        let was_kept = self.stream.is_some();
        let first = self.exchange_in_time(request).await;
        match first {
            Err(error)
                if was_kept
                    && self.received.is_empty()
                    && error.kind() != io::ErrorKind::TimedOut =>
            {
                self.exchange_in_time(request).await
            }
            other => other,
        }
    }

    async fn exchange_in_time(&mut self, request: &[u8]) -> io::Result<Response> {
        let exchange = tokio::time::timeout(PATIENCE, self.exchange(request));
        exchange
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// The stream is put back only after a whole response, so that what is cut short never answers the next request.
    async fn exchange(&mut self, request: &[u8]) -> io::Result<Response> {
        self.received.clear();
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => open(self.address).await?,
        };
        stream.write_all(request).await?;
        let end = loop {
            if let Some(at) = find(&self.received, b"\r\n\r\n") {
                break at;
            }
            fill(&mut stream, &mut self.received).await?;
        };
        let mut head = read_head(&self.received[..end])?;
        let begin = end + 4;
        head.response.body = match head.framing {
            Framing::Length(length) => self.sized(&mut stream, begin, length).await?,
            Framing::Chunks => self.chunks(&mut stream, begin).await?,
            Framing::UntilClosed => self.rest(&mut stream, begin).await?,
        };
        if !head.closes && head.framing != Framing::UntilClosed {
            self.stream = Some(stream);
        }
        Ok(head.response)
    }

    async fn sized(
        &mut self,
        stream: &mut TcpStream,
        begin: usize,
        length: usize,
    ) -> io::Result<Vec<u8>> {
        while self.received.len() < begin + length {
            fill(stream, &mut self.received).await?;
        }
        Ok(self.received[begin..begin + length].to_vec())
    }

    /// RFC 9112 §7.1. Trailers, which no service here sends, are not read.
    async fn chunks(&mut self, stream: &mut TcpStream, begin: usize) -> io::Result<Vec<u8>> {
        let (mut body, mut at) = (Vec::new(), begin);
        loop {
            let line = loop {
                if let Some(end) = find(&self.received[at..], b"\r\n") {
                    break at..at + end;
                }
                fill(stream, &mut self.received).await?;
            };
            let size = std::str::from_utf8(&self.received[line.clone()])
                .ok()
                .and_then(|line| usize::from_str_radix(line.split(';').next()?.trim(), 16).ok());
            let size = size.ok_or_else(|| malformed("the size of a chunk"))?;
            let chunk = self.sized(stream, line.end + 2, size + 2).await?;
            if size == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&chunk[..size]);
            at = line.end + 2 + size + 2;
        }
    }

    async fn rest(&mut self, stream: &mut TcpStream, begin: usize) -> io::Result<Vec<u8>> {
        stream.read_to_end(&mut self.received).await?;
        Ok(self.received[begin..].to_vec())
    }
}

async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn fill(stream: &mut TcpStream, into: &mut Vec<u8>) -> io::Result<()> {
    into.reserve(4096);
    match stream.read_buf(into).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not HTTP: {what}"))
}

fn read_head(text: &[u8]) -> io::Result<Head> {
    let text = std::str::from_utf8(text).map_err(|_| malformed("the head"))?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.get(9..12)?.parse().ok());
    let mut response = Response {
        status: status.ok_or_else(|| malformed("the status line"))?,
        ..Response::default()
    };
    let (mut framing, mut closes) = (Framing::UntilClosed, false);
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            return Err(malformed("a header"));
        };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" if framing != Framing::Chunks => {
                let length = value.parse().map_err(|_| malformed("Content-Length"))?;
                framing = Framing::Length(length);
            }
            "transfer-encoding" => framing = Framing::Chunks,
            "connection" => closes = value.eq_ignore_ascii_case("close"),
            "location" => response.location = Some(value.to_owned()),
            "retry-after" => response.retry_after = value.parse().ok(),
            "set-cookie" => response.cookies.extend(read_cookie(value)),
            _ => {}
        }
    }
    if matches!(response.status, 204 | 304) {
        framing = Framing::Length(0);
    }
    Ok(Head {
        response,
        framing,
        closes,
    })
}

fn read_cookie(line: &str) -> Option<(String, Option<String>)> {
    let (pair, attributes) = line.split_once(';').unwrap_or((line, ""));
    let (name, value) = pair.split_once('=')?;
    let attributes = attributes.to_ascii_lowercase();
    let is_gone = value.is_empty()
        || attributes.split(';').any(|one| one.trim() == "max-age=0")
        || attributes.contains("expires=thu, 01 jan 1970");
    let value = (!is_gone).then(|| value.trim().to_owned());
    Some((name.trim().to_owned(), value))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Accepts one connection for each text, answers its first request with it, and closes the connection.
    async fn scripted(responses: &'static [&'static str]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            for response in responses {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 1024]).await.unwrap();
                // In two pieces, as a network may deliver it.
                let (first, second) = response.split_at(response.len() / 2);
                stream.write_all(first.as_bytes()).await.unwrap();
                tokio::task::yield_now().await;
                stream.write_all(second.as_bytes()).await.unwrap();
            }
        });
        address
    }

    #[tokio::test]
    async fn reads_bodies_by_length_by_chunks_and_to_the_end() {
        for response in [
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\nhello",
        ] {
            let responses = Box::leak(Box::new([response]));
            let mut connection = Connection::new(scripted(responses).await);
            let read = connection.send(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
            assert_eq!((read.status, read.text().as_str()), (200, "hello"));
        }
    }

    #[tokio::test]
    async fn opens_a_closed_connection_anew_and_reads_what_callers_need() {
        let address = scripted(&[
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 303 See Other\r\nContent-Length: 0\r\nLocation: /there\r\nRetry-After: 7\r\n\
             Set-Cookie: sid=abc; Path=/; Secure\r\nSet-Cookie: pre=; Max-Age=0\r\n\r\n",
        ])
        .await;
        let mut connection = Connection::new(address);
        connection.send(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let read = connection.send(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let cookie = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
        assert_eq!(
            read,
            Response {
                status: 303,
                location: Some("/there".to_owned()),
                retry_after: Some(7),
                cookies: vec![cookie("sid", Some("abc")), cookie("pre", None)],
                body: Vec::new(),
            }
        );
    }

    #[tokio::test]
    async fn a_response_that_is_cut_short_is_an_error() {
        let address = scripted(&["HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"]).await;
        let mut connection = Connection::new(address);
        let read = connection.send(b"GET / HTTP/1.1\r\n\r\n").await;
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn requests_have_the_name_and_an_escaped_form() {
        let target = Target {
            address: ([127, 0, 0, 1], 1).into(),
            host: "idp.test:1".to_owned(),
        };
        let post = target.post("/p", &[("X-A", "b")], &[("email", "a@b c")]);
        assert_eq!(
            String::from_utf8(post).unwrap(),
            "POST /p HTTP/1.1\r\nHost: idp.test:1\r\nX-A: b\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: 13\r\n\r\nemail=a%40b+c"
        );
    }
}
