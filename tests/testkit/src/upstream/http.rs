//! HTTP/1.1 as far as scripted answers need it: whole requests in, any bytes out, as slowly as the test wants.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its method.
    pub method: String,
    /// Its path, without the query.
    pub path: String,
    /// The query as it stands in the URL.
    pub query: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Request {
    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The pairs of the query.
    #[must_use]
    pub fn query_pairs(&self) -> Vec<(String, String)> {
        url::form_urlencoded::parse(self.query.as_bytes())
            .into_owned()
            .collect()
    }

    /// The pairs of a form that was sent.
    #[must_use]
    pub fn form(&self) -> Vec<(String, String)> {
        url::form_urlencoded::parse(&self.body)
            .into_owned()
            .collect()
    }

    /// A parameter that occurs exactly once, of query or form.
    #[must_use]
    pub fn one(&self, name: &str) -> Option<String> {
        let mut found = self
            .query_pairs()
            .into_iter()
            .chain(self.form())
            .filter(|(known, _)| known == name);
        let first = found.next()?.1;
        found.next().is_none().then_some(first)
    }
}

/// How an answer travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// At once.
    AtOnce,
    /// After this long.
    After(Duration),
    /// The head at once, the body a byte at a time with this much between two.
    Drip(Duration),
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its headers, beside the length.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
    /// How it travels.
    pub pace: Pace,
}

impl Reply {
    /// Any answer.
    #[must_use]
    pub fn new(status: u16, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("content-type".to_owned(), kind.to_owned())];
        Self {
            status,
            headers,
            body: body.into(),
            pace: Pace::AtOnce,
        }
    }

    /// JSON.
    #[must_use]
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::new(status, "application/json", body.to_string())
    }

    /// Leads elsewhere.
    #[must_use]
    pub fn redirect(to: &str) -> Self {
        Self::new(302, "text/plain", "").with("location", to)
    }

    /// With a header.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// At another pace.
    #[must_use]
    pub const fn at(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }
}

/// Who answers.
pub type Answer = Arc<dyn Fn(Request) -> Reply + Send + Sync>;

/// Answers everything that comes to a listener, for ever.
pub async fn serve(listener: TcpListener, answer: Answer) {
    while let Ok((stream, _)) = listener.accept().await {
        let answer = Arc::clone(&answer);
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let mut stream = stream;
            while carry(&mut stream, &answer).await.is_some() {}
        });
    }
}

/// One request and its answer; `None` at the end of the connection.
async fn carry(stream: &mut TcpStream, answer: &Answer) -> Option<()> {
    let request = read(stream).await?;
    let head_only = request.method == "HEAD";
    let reply = answer(request);
    if let Pace::After(pause) = reply.pace {
        tokio::time::sleep(pause).await;
    }
    let mut head = format!(
        "HTTP/1.1 {} Scripted\r\ncontent-length: {}\r\n",
        reply.status,
        reply.body.len()
    );
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await.ok()?;
    if head_only {
        return Some(());
    }
    if let Pace::Drip(pause) = reply.pace {
        for byte in &reply.body {
            stream.write_all(&[*byte]).await.ok()?;
            tokio::time::sleep(pause).await;
        }
        return Some(());
    }
    stream.write_all(&reply.body).await.ok()
}

async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        more(stream, &mut bytes).await?;
        // A client that speaks TLS: hang up, as servers of plain HTTP do.
        if bytes[0] == 0x16 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .and_then(|(_, value)| value.parse().ok());
    let length: usize = length.unwrap_or(0);
    while bytes.len() < end + length {
        more(stream, &mut bytes).await?;
    }
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let body = bytes[end..end + length].to_vec();
    Some(Request {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        body,
    })
}

async fn more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<()> {
    let mut piece = [0; 4096];
    let read = stream
        .read(&mut piece)
        .await
        .ok()
        .filter(|read| *read > 0)?;
    bytes.extend_from_slice(&piece[..read]);
    Some(())
}
