//! SMTP (RFC 5321), one step at a time, so that it is known how far a message came when a step fails.
//!
//! `lettre`'s ready-made transport does not report that, and its pool reuses a connection whose command
//! was cut short by a time-out: the next message would then read the reply to the one before. So this
//! client keeps the connections itself and reuses one only after a 250 to a whole message
//! (docs/decisions/0010-smtp-step-by-step.md).
//!
//! | failure | outcome |
//! |---|---|
//! | no connection, no TLS, any refusal before MAIL, 4xx or silence in reply to MAIL | deferred: the fault is our mail server's, not the message's |
//! | 5xx to MAIL, RCPT, DATA or the message | refused |
//! | 4xx to the others; silence or a broken connection before the message | deferred |
//! | silence, a broken connection or nonsense once the message has started | in doubt |

mod connection;

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lettre::{
    address::Envelope,
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, TlsParameters},
        extension::ClientId,
    },
};
use tokio::time::{Instant, timeout, timeout_at};

use self::connection::{Server, SmtpConnection, TlsMode};
use crate::{
    config::{self, SmtpTls},
    mail::{AttemptContext, DeliveryAttempt, DeliveryOutcome, Observation},
};

/// The longest attempt, whatever is configured: a row is leased for 60 s, and composing before and
/// recording after the attempt have to fit in as well.
const MAX_ATTEMPT: Duration = Duration::from_secs(35);

/// How many times as long as for the recipient the server may take for the message.
const MESSAGE_PATIENCE: u32 = 2;

/// The longest idle time of a connection. Servers close one after some minutes; we close it first.
const MAX_IDLE: Duration = Duration::from_secs(30);
/// The most messages on one connection. Servers limit them.
const MAX_MESSAGES: u32 = 50;
/// The class of an attempt that was cut short.
const TIMED_OUT: &str = "timeout";

/// A client of one mail server, with its idle connections.
pub(super) struct SmtpClient {
    server: Server,
    timeout: Duration,
    idle: Mutex<Vec<SmtpConnection>>,
    max_idle: usize,
}

impl fmt::Debug for SmtpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SmtpClient({})", self.describe())
    }
}

impl SmtpClient {
    pub(super) fn new(config: &config::Mail, domain: &str) -> Result<Self, String> {
        let (tls, default_port) = match config.tls {
            SmtpTls::None => (TlsMode::None, 25),
            SmtpTls::Starttls => (TlsMode::Starttls(tls_parameters(config)?), 587),
            SmtpTls::Implicit => (TlsMode::Implicit(tls_parameters(config)?), 465),
        };
        let credentials =
            || Credentials::new(config.username.clone(), config.password.expose().to_owned());
        let server = Server {
            host: config.host.clone(),
            port: if config.port == 0 {
                default_port
            } else {
                config.port
            },
            tls,
            client_id: ClientId::Domain(domain.to_owned()),
            credentials: (!config.username.is_empty()).then(credentials),
        };
        Ok(Self {
            server,
            timeout: Duration::from_secs(config.timeout_seconds.max(1)).min(MAX_ATTEMPT),
            idle: Mutex::default(),
            max_idle: config.concurrency.max(1),
        })
    }

    /// Makes one attempt to deliver a message. The time-out covers all of it; the context may limit
    /// the part between the sender and the message further.
    pub(super) async fn send(
        &self,
        envelope: &Envelope,
        message: &[u8],
        context: &dyn AttemptContext,
    ) -> DeliveryAttempt {
        let deadline = Instant::now() + self.timeout;
        let mut connection = match timeout_at(deadline, self.connection()).await {
            Err(_) => return DeliveryAttempt::relay_failed(TIMED_OUT),
            Ok(Err(class)) => return DeliveryAttempt::relay_failed(&class),
            Ok(Ok(connection)) => connection,
        };
        match timeout_at(deadline, connection.send_sender(envelope, message)).await {
            Err(_) => return DeliveryAttempt::relay_failed(TIMED_OUT),
            Ok(Err(attempt)) if attempt.observation == Observation::RelayFailed => {
                return connection.quit_after(attempt).await;
            }
            Ok(sent) => {
                context.note_relay_works();
                if let Err(attempt) = sent {
                    return connection.quit_after(attempt).await;
                }
            }
        }
        let patience = context.patience().unwrap_or(self.timeout);
        let limit = deadline.min(Instant::now() + patience);
        match timeout_at(limit, connection.send_recipients(envelope)).await {
            Err(_) => {
                return DeliveryAttempt::new(DeliveryOutcome::Deferred, TIMED_OUT)
                    .observing(Observation::RecipientStalled);
            }
            Ok(Err(attempt)) => return connection.quit_after(attempt).await,
            Ok(Ok(())) => {}
        }
        // Longer: after the message an attempt that is given up may have sent the email.
        let limit = deadline.min(Instant::now() + patience * MESSAGE_PATIENCE);
        match timeout_at(limit, connection.send_message(message)).await {
            Err(_) => DeliveryAttempt::new(DeliveryOutcome::InDoubt, TIMED_OUT)
                .observing(Observation::RecipientStalled),
            Ok(Err(attempt)) if attempt.outcome == DeliveryOutcome::InDoubt => attempt,
            Ok(Err(attempt)) => connection.quit_after(attempt).await,
            Ok(Ok(())) => {
                self.keep(connection);
                DeliveryAttempt::new(DeliveryOutcome::Accepted, "250")
                    .observing(Observation::RecipientAnswered)
            }
        }
    }

    /// Opens a connection as for a message, and closes it.
    pub(super) async fn verify(&self) -> Result<(), String> {
        let connection = timeout(self.timeout, self.connection())
            .await
            .map_err(|_| "timeout".to_owned())??;
        connection.quit().await;
        Ok(())
    }

    /// `smtp.example.com:587`.
    pub(super) fn describe(&self) -> String {
        format!("{}:{}", self.server.host, self.server.port)
    }

    /// Closes all idle connections.
    pub(super) async fn close(&self) {
        let connections = std::mem::take(&mut *self.idle());
        for connection in connections {
            connection.quit().await;
        }
    }

    /// Returns an idle connection that still responds, else a new one, or the class of the failure.
    async fn connection(&self) -> Result<SmtpConnection, String> {
        loop {
            let Some(mut connection) = self.idle().pop() else {
                return SmtpConnection::open(&self.server).await;
            };
            if connection.idle_for() < MAX_IDLE && connection.is_alive().await {
                return Ok(connection);
            }
        }
    }

    fn keep(&self, connection: SmtpConnection) {
        let mut idle = self.idle();
        if connection.messages() < MAX_MESSAGES && idle.len() < self.max_idle {
            idle.push(connection);
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<SmtpConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tls_parameters(config: &config::Mail) -> Result<TlsParameters, String> {
    let mut builder = TlsParameters::builder(config.host.clone());
    if let Some(file) = &config.ca_file {
        let error = |cause: String| format!("mail.ca_file: {}: {cause}", file.display());
        let pem = std::fs::read(file).map_err(|e| error(e.to_string()))?;
        // The library reads a file without any certificate as an empty list.
        if !pem.windows(17).any(|part| part == b"BEGIN CERTIFICATE") {
            return Err(error("holds no PEM certificate".to_owned()));
        }
        let roots = Certificate::from_pem(&pem).map_err(|e| error(e.to_string()))?;
        builder = builder.add_root_certificate(roots);
    }
    builder
        .build()
        .map_err(|e| format!("mail: TLS for {} cannot be set up: {e}", config.host))
}
