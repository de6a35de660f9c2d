//! A tap on the wire to PostgreSQL or Redis: hands every byte on, and writes down which statements and commands went
//! by.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy, split},
    net::{TcpListener, TcpStream, UnixStream},
};
use url::Url;

/// What went by.
#[derive(Clone, Default)]
pub(crate) struct Tap(Arc<Mutex<Vec<String>>>);

/// Where the server is.
#[derive(Clone)]
enum Place {
    Socket(String),
    Net(String),
}

/// Reads one protocol.
trait Reader: Default + Send + 'static {
    /// Takes what one side sent; gives the statements or commands that are complete by now.
    fn read(&mut self, bytes: &[u8]) -> Vec<String>;
}

impl Tap {
    /// Between us and PostgreSQL; the URL to use instead.
    pub(crate) async fn postgres(url: &str) -> (Self, String) {
        let mut url = Url::parse(url).unwrap();
        let folder = url
            .query_pairs()
            .find(|(name, _)| name == "host")
            .map(|(_, folder)| folder.into_owned());
        let place = match folder {
            Some(folder) => Place::Socket(format!("{folder}/.s.PGSQL.5432")),
            None => Place::Net(format!(
                "{}:{}",
                url.host_str().unwrap(),
                url.port().unwrap_or(5432)
            )),
        };
        let (tap, port) = Self::start::<Postgres>(place).await;
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(port)).unwrap();
        url.set_query(Some("sslmode=disable"));
        (tap, url.into())
    }

    /// Between us and Redis; the URL to use instead.
    pub(crate) async fn redis(url: &str) -> (Self, String) {
        let place = match url.strip_prefix("redis+unix://") {
            Some(path) => Place::Socket(path.to_owned()),
            None => {
                let url = Url::parse(url).unwrap();
                Place::Net(format!(
                    "{}:{}",
                    url.host_str().unwrap(),
                    url.port().unwrap_or(6379)
                ))
            }
        };
        let (tap, port) = Self::start::<Resp>(place).await;
        (tap, format!("redis://127.0.0.1:{port}"))
    }

    /// What went by since the last look.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    async fn start<R: Reader>(place: Place) -> (Self, u16) {
        let tap = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let recorder = tap.clone();
        tokio::spawn(async move {
            while let Ok((ours, _)) = listener.accept().await {
                let tap = recorder.clone();
                match &place {
                    Place::Socket(path) => match UnixStream::connect(path).await {
                        Ok(server) => drop(tokio::spawn(tap.carry::<R, _>(ours, server))),
                        Err(_) => continue,
                    },
                    Place::Net(address) => match TcpStream::connect(address).await {
                        Ok(server) => drop(tokio::spawn(tap.carry::<R, _>(ours, server))),
                        Err(_) => continue,
                    },
                }
            }
        });
        (tap, port)
    }

    async fn carry<R: Reader, S: AsyncRead + AsyncWrite + Send + 'static>(
        self,
        ours: TcpStream,
        server: S,
    ) {
        let _ = ours.set_nodelay(true);
        let ((mut from_us, mut to_us), (mut from_server, mut to_server)) =
            (split(ours), split(server));
        tokio::spawn(async move { copy(&mut from_server, &mut to_us).await });
        let (mut reader, mut buffer) = (R::default(), vec![0; 16 * 1024]);
        while let Ok(read @ 1..) = from_us.read(&mut buffer).await {
            self.0.lock().unwrap().extend(reader.read(&buffer[..read]));
            if to_server.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    }
}

/// PostgreSQL's frontend messages: a start-up packet, then type, length and body. A bound statement counts under its
/// text, however often it was parsed.
#[derive(Default)]
struct Postgres {
    held: Vec<u8>,
    started: bool,
    prepared: HashMap<String, String>,
}

impl Reader for Postgres {
    fn read(&mut self, bytes: &[u8]) -> Vec<String> {
        self.held.extend(bytes);
        let mut said = Vec::new();
        loop {
            let head = usize::from(self.started);
            let Some(length) = self.held.get(head..head + 4) else {
                return said;
            };
            let whole = head + u32::from_be_bytes(length.try_into().unwrap()) as usize;
            if self.held.len() < whole {
                return said;
            }
            let message: Vec<u8> = self.held.drain(..whole).collect();
            if !std::mem::replace(&mut self.started, true) {
                continue;
            }
            let texts = || {
                message[5..]
                    .split(|byte| *byte == 0)
                    .map(|part| String::from_utf8_lossy(part).into_owned())
            };
            let [first, second] = [texts().next(), texts().nth(1)].map(Option::unwrap_or_default);
            match message[0] {
                b'Q' => said.push(first),
                b'P' => drop(self.prepared.insert(first, second)),
                b'B' => said.push(self.prepared.get(&second).cloned().unwrap_or(second)),
                _ => {}
            }
        }
    }
}

/// Redis' commands: arrays of bulk strings. Of a script the hash and the number of keys count too.
#[derive(Default)]
struct Resp {
    held: Vec<u8>,
}

impl Resp {
    fn command(&self) -> Option<(Vec<String>, usize)> {
        let line = |from: usize| -> Option<(usize, usize)> {
            let end = from
                + self
                    .held
                    .get(from..)?
                    .windows(2)
                    .position(|two| two == b"\r\n")?;
            let number = std::str::from_utf8(&self.held[from + 1..end])
                .ok()?
                .parse()
                .ok()?;
            Some((number, end + 2))
        };
        let (parts, mut at) = line(0)?;
        let mut words = Vec::new();
        for _ in 0..parts {
            let (length, begin) = line(at)?;
            words.push(String::from_utf8_lossy(self.held.get(begin..begin + length)?).into_owned());
            at = begin + length + 2;
        }
        (at <= self.held.len()).then_some((words, at))
    }
}

impl Reader for Resp {
    fn read(&mut self, bytes: &[u8]) -> Vec<String> {
        self.held.extend(bytes);
        let mut said = Vec::new();
        while let Some((words, length)) = self.command() {
            self.held.drain(..length);
            let kept = if words[0].eq_ignore_ascii_case("evalsha") {
                3
            } else {
                1
            };
            said.push(words[..kept.min(words.len())].join(" "));
        }
        said
    }
}

#[test]
fn statements_and_commands_are_read_whatever_the_pieces() {
    let message = |kind: &[u8], body: &[u8]| {
        [
            kind,
            &u32::try_from(body.len() + 4).unwrap().to_be_bytes(),
            body,
        ]
        .concat()
    };
    let sent = [
        message(b"", b"\0\x03\0\0user\0x\0\0"),
        message(b"Q", b"BEGIN\0"),
        message(b"P", b"s1\0SELECT 1\0\0\0"),
        message(b"B", b"\0s1\0\0\0\0\0\0\0"),
        message(b"B", b"\0s1\0\0\0\0\0\0\0"),
    ]
    .concat();
    for piece in [1, 3, 1000] {
        let mut reader = Postgres::default();
        let said: Vec<_> = sent
            .chunks(piece)
            .flat_map(|chunk| reader.read(chunk))
            .collect();
        assert_eq!(said, ["BEGIN", "SELECT 1", "SELECT 1"]);
        let mut reader = Resp::default();
        let sent =
            b"*1\r\n$4\r\nPING\r\n*4\r\n$7\r\nEVALSHA\r\n$2\r\nab\r\n$1\r\n1\r\n$2\r\n\r\n\r\n";
        let said: Vec<_> = sent
            .chunks(piece)
            .flat_map(|chunk| reader.read(chunk))
            .collect();
        assert_eq!(said, ["PING", "EVALSHA ab 1"]);
    }
}
