//! SMTP (RFC 5321), one step at a time, so that it is known how far a letter came when something breaks.
//!
//! The library's ready-made transport cannot say so, and its pool takes a connection back whose command was cut short
//! by a time-out: the next letter would read the answer that belongs to the one before. So the connections are kept
//! here, and only one that has just said 250 to a whole letter is ever used again.
//!
//! | met | means |
//! |---|---|
//! | no connection, no TLS, any refusal before MAIL | deferred: it says something about us, not about the letter |
//! | 5xx to MAIL, RCPT, DATA or the letter | refused |
//! | 4xx to them; silence or a broken line before the letter | deferred |
//! | silence, a broken line or nonsense once the letter began | in doubt |

use std::{
    error::Error as _,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lettre::{
    address::Envelope,
    transport::smtp::{
        Error,
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::{AsyncSmtpConnection, Certificate, TlsParameters},
        commands::{Data, Mail, Rcpt},
        extension::{ClientId, Extension, MailBodyParameter, MailParameter},
    },
};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};

use super::{LONGEST_TRY, Outcome, Tried};
use crate::config::{self, SmtpTls};

/// Servers close an idle connection after some minutes; we go first.
const LONGEST_IDLE: Duration = Duration::from_secs(30);
/// Servers limit how many letters one connection may bring.
const MOST_LETTERS: u32 = 50;
/// How long we wait for the answer to QUIT.
const FAREWELL: Duration = Duration::from_secs(1);

enum Tls {
    None,
    Starttls(TlsParameters),
    Implicit(TlsParameters),
}

/// The way to one mail server.
pub(super) struct Smtp {
    host: String,
    port: u16,
    tls: Tls,
    hello: ClientId,
    credentials: Option<Credentials>,
    timeout: Duration,
    idle: Mutex<Vec<Line>>,
    most_idle: usize,
}

/// A connection that is ready for a letter.
struct Line {
    connection: AsyncSmtpConnection,
    letters: u32,
    since: Instant,
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Smtp({}:{})", self.host, self.port)
    }
}

impl Smtp {
    pub(super) fn new(config: &config::Mail, domain: &str) -> Result<Self, String> {
        let (tls, usual_port) = match config.tls {
            SmtpTls::None => (Tls::None, 25),
            SmtpTls::Starttls => (Tls::Starttls(tls_parameters(config)?), 587),
            SmtpTls::Implicit => (Tls::Implicit(tls_parameters(config)?), 465),
        };
        let credentials =
            || Credentials::new(config.username.clone(), config.password.expose().to_owned());
        Ok(Self {
            host: config.host.clone(),
            port: if config.port == 0 {
                usual_port
            } else {
                config.port
            },
            tls,
            hello: ClientId::Domain(domain.to_owned()),
            credentials: (!config.username.is_empty()).then(credentials),
            timeout: Duration::from_secs(config.timeout_seconds.max(1)).min(LONGEST_TRY),
            idle: Mutex::default(),
            most_idle: config.concurrency.max(1),
        })
    }

    /// Tries a letter once. The time-out covers all of it.
    pub(super) async fn send(&self, envelope: &Envelope, letter: &[u8]) -> Tried {
        let deadline = Instant::now() + self.timeout;
        let mut line = match timeout_at(deadline, self.line()).await {
            Err(_) => return Tried::new(Outcome::Deferred, "timeout"),
            Ok(Err(class)) => return Tried::new(Outcome::Deferred, class),
            Ok(Ok(line)) => line,
        };
        match timeout_at(deadline, announce(&mut line.connection, envelope, letter)).await {
            Err(_) => return Tried::new(Outcome::Deferred, "timeout"),
            Ok(Err(tried)) => return line.leave(tried).await,
            Ok(Ok(())) => {}
        }
        match timeout_at(deadline, line.connection.message(letter)).await {
            Err(_) => Tried::new(Outcome::InDoubt, "timeout"),
            Ok(Err(error)) if error.status().is_none() => {
                Tried::new(Outcome::InDoubt, class(&error))
            }
            Ok(Err(error)) => line.leave(replied(&error)).await,
            Ok(Ok(_)) => {
                self.keep(line);
                Tried::new(Outcome::Accepted, "250")
            }
        }
    }

    /// A connection as a letter would need it, and farewell.
    pub(super) async fn greet(&self) -> Result<(), String> {
        let mut line = timeout(self.timeout, self.line())
            .await
            .map_err(|_| "timeout".to_owned())??;
        let _ = timeout(FAREWELL, line.connection.abort()).await;
        Ok(())
    }

    /// `smtp.example.com:587`.
    pub(super) fn describe(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Takes leave of the server on all idle connections.
    pub(super) async fn close(&self) {
        let lines = std::mem::take(&mut *self.idle());
        for mut line in lines {
            let _ = timeout(FAREWELL, line.connection.abort()).await;
        }
    }

    /// A kept connection that still answers, else a new one; or the class of what kept us from having one.
    async fn line(&self) -> Result<Line, String> {
        loop {
            let Some(mut line) = self.idle().pop() else {
                let connection = self.open().await?;
                return Ok(Line {
                    connection,
                    letters: 0,
                    since: Instant::now(),
                });
            };
            if line.since.elapsed() < LONGEST_IDLE && line.connection.test_connected().await {
                return Ok(line);
            }
        }
    }

    async fn open(&self) -> Result<AsyncSmtpConnection, String> {
        let server = (self.host.as_str(), self.port);
        let mut connection = if let Tls::Implicit(tls) = &self.tls {
            AsyncSmtpConnection::connect_tokio1(server, None, &self.hello, Some(tls.clone()), None)
                .await
        } else {
            let stream = TcpStream::connect(server)
                .await
                .map_err(|_| "connection".to_owned())?;
            // A letter is written in two parts; without this the second waits some 40 ms for the answer to the first.
            let _ = stream.set_nodelay(true);
            AsyncSmtpConnection::connect_with_transport(Box::new(stream), &self.hello).await
        }
        .map_err(|e| session_class(&e))?;
        if let Tls::Starttls(tls) = &self.tls {
            connection
                .starttls(tls.clone(), &self.hello)
                .await
                .map_err(|e| session_class(&e))?;
        }
        if let Some(credentials) = &self.credentials {
            connection
                .auth(DEFAULT_MECHANISMS, credentials)
                .await
                .map_err(|e| session_class(&e))?;
        }
        Ok(connection)
    }

    fn keep(&self, mut line: Line) {
        line.letters += 1;
        line.since = Instant::now();
        let mut idle = self.idle();
        if line.letters < MOST_LETTERS && idle.len() < self.most_idle {
            idle.push(line);
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Line>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// The server has spoken clearly and the line is whole: leave politely.
    async fn leave(mut self, tried: Tried) -> Tried {
        if tried.class != "connection" {
            let _ = timeout(FAREWELL, self.connection.abort()).await;
        }
        tried
    }
}

/// MAIL, RCPT, DATA (RFC 5321 §3.3), with SMTPUTF8 where the address needs it (RFC 6531 §3.4).
async fn announce(
    connection: &mut AsyncSmtpConnection,
    envelope: &Envelope,
    letter: &[u8],
) -> Result<(), Tried> {
    let mut options = Vec::new();
    if !envelope
        .to()
        .iter()
        .all(|address| AsRef::<str>::as_ref(address).is_ascii())
    {
        if !connection
            .server_info()
            .supports_feature(Extension::SmtpUtfEight)
        {
            return Err(Tried::new(Outcome::Refused, "unsupported"));
        }
        options.push(MailParameter::SmtpUtfEight);
    }
    if !letter.is_ascii() {
        options.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    connection
        .command(Mail::new(envelope.from().cloned(), options))
        .await
        .map_err(|e| replied(&e))?;
    for to in envelope.to() {
        connection
            .command(Rcpt::new(to.clone(), Vec::new()))
            .await
            .map_err(|e| replied(&e))?;
    }
    connection.command(Data).await.map_err(|e| replied(&e))?;
    Ok(())
}

/// RFC 5321 §4.2.1: 5yz is for good, 4yz may pass; without a reply nothing was accepted yet.
fn replied(error: &Error) -> Tried {
    let outcome = if error.is_permanent() {
        Outcome::Refused
    } else {
        Outcome::Deferred
    };
    Tried::new(outcome, class(error))
}

fn session_class(error: &Error) -> String {
    error
        .status()
        .map_or_else(|| class(error), |code| format!("session {code}"))
}

fn class(error: &Error) -> String {
    match error.status() {
        Some(code) => code.to_string(),
        None if error.is_timeout() => "timeout".to_owned(),
        None if error.is_tls() || is_certificate(error) => "tls".to_owned(),
        None if error.is_client() => "unsupported".to_owned(),
        None if error.is_response() => "protocol".to_owned(),
        None => "connection".to_owned(),
    }
}

/// A certificate that does not hold comes as an I/O error with the TLS library's inside.
fn is_certificate(error: &Error) -> bool {
    let mut cause = error.source();
    while let Some(found) = cause {
        let inner = found
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        if inner.is_some_and(|inner| inner.is::<rustls::Error>()) {
            return true;
        }
        cause = found.source();
    }
    false
}

fn tls_parameters(config: &config::Mail) -> Result<TlsParameters, String> {
    let mut builder = TlsParameters::builder(config.host.clone());
    if let Some(file) = &config.ca_file {
        let wrong = |cause: String| format!("mail.ca_file: {}: {cause}", file.display());
        let pem = std::fs::read(file).map_err(|e| wrong(e.to_string()))?;
        // The library takes a file without any certificate for an empty list.
        if !pem.windows(17).any(|part| part == b"BEGIN CERTIFICATE") {
            return Err(wrong("holds no PEM certificate".to_owned()));
        }
        let roots = Certificate::from_pem(&pem).map_err(|e| wrong(e.to_string()))?;
        builder = builder.add_root_certificate(roots);
    }
    builder
        .build()
        .map_err(|e| format!("mail: TLS for {} cannot be set up: {e}", config.host))
}
