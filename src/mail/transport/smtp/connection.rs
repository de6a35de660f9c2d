//! One SMTP connection, and what the failures on it mean.

use std::{error::Error as _, time::Duration};

use lettre::{
    address::Envelope,
    transport::smtp::{
        Error,
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::{AsyncSmtpConnection, TlsParameters},
        commands::{Data, Mail, Rcpt},
        extension::{ClientId, Extension, MailBodyParameter, MailParameter},
    },
};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};

use crate::mail::{DeliveryAttempt, DeliveryOutcome, Observation};

/// How long we wait for the reply to QUIT.
const QUIT_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) enum TlsMode {
    None,
    Starttls(TlsParameters),
    Implicit(TlsParameters),
}

/// The mail server, and how we sign in to it.
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: TlsMode,
    pub(super) client_id: ClientId,
    pub(super) credentials: Option<Credentials>,
}

/// A connection that is ready for a message.
pub(super) struct SmtpConnection {
    inner: AsyncSmtpConnection,
    messages: u32,
    last_used: Instant,
}

impl SmtpConnection {
    /// Connects, starts TLS and authenticates. Fails with the class of the failure.
    pub(super) async fn open(server: &Server) -> Result<Self, String> {
        let address = (server.host.as_str(), server.port);
        let client_id = &server.client_id;
        let mut inner = if let TlsMode::Implicit(tls) = &server.tls {
            AsyncSmtpConnection::connect_tokio1(address, None, client_id, Some(tls.clone()), None)
                .await
        } else {
            let stream = TcpStream::connect(address)
                .await
                .map_err(|_| "connection".to_owned())?;
            // A message is written in two parts. Without this the second waits some 40 ms for the reply to the
            // first.
            let _ = stream.set_nodelay(true);
            AsyncSmtpConnection::connect_with_transport(Box::new(stream), client_id).await
        }
        .map_err(|error| session_class(&error))?;
        if let TlsMode::Starttls(tls) = &server.tls {
            inner
                .starttls(tls.clone(), client_id)
                .await
                .map_err(|error| session_class(&error))?;
        }
        if let Some(credentials) = &server.credentials {
            inner
                .auth(DEFAULT_MECHANISMS, credentials)
                .await
                .map_err(|error| session_class(&error))?;
        }
        Ok(Self {
            inner,
            messages: 0,
            last_used: Instant::now(),
        })
    }

    /// Sends MAIL (RFC 5321 §3.3), with SMTPUTF8 where the address needs it (RFC 6531 §3.4). The
    /// server does not know the recipient yet.
    pub(super) async fn send_sender(
        &mut self,
        envelope: &Envelope,
        message: &[u8],
    ) -> Result<(), DeliveryAttempt> {
        let mut options = Vec::new();
        let is_ascii = |address| AsRef::<str>::as_ref(address).is_ascii();
        if !envelope.to().iter().all(is_ascii) {
            let server = self.inner.server_info();
            if !server.supports_feature(Extension::SmtpUtfEight) {
                return Err(DeliveryAttempt::new(
                    DeliveryOutcome::Refused,
                    "unsupported",
                ));
            }
            options.push(MailParameter::SmtpUtfEight);
        }
        if !message.is_ascii() {
            options.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        let mail = Mail::new(envelope.from().cloned(), options);
        match self.inner.command(mail).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_permanent() => Err(DeliveryAttempt::new(
                DeliveryOutcome::Refused,
                class(&error),
            )),
            Err(error) => Err(DeliveryAttempt::relay_failed(&class(&error))),
        }
    }

    /// Sends RCPT and DATA (RFC 5321 §3.3).
    pub(super) async fn send_recipients(
        &mut self,
        envelope: &Envelope,
    ) -> Result<(), DeliveryAttempt> {
        for to in envelope.to() {
            self.inner
                .command(Rcpt::new(to.clone(), Vec::new()))
                .await
                .map_err(|error| failed_command(&error))?;
        }
        self.inner
            .command(Data)
            .await
            .map_err(|error| failed_command(&error))?;
        Ok(())
    }

    /// Sends the message itself. Without a reply it is in doubt whether the server accepted it.
    pub(super) async fn send_message(&mut self, message: &[u8]) -> Result<(), DeliveryAttempt> {
        match self.inner.message(message).await {
            Ok(_) => {
                self.messages += 1;
                self.last_used = Instant::now();
                Ok(())
            }
            Err(error) if error.status().is_none() => {
                let attempt = DeliveryAttempt::new(DeliveryOutcome::InDoubt, class(&error));
                Err(attempt.observing(Observation::RecipientStalled))
            }
            Err(error) => Err(failed_command(&error)),
        }
    }

    /// How many messages the connection has carried.
    pub(super) const fn messages(&self) -> u32 {
        self.messages
    }

    pub(super) fn idle_for(&self) -> Duration {
        self.last_used.elapsed()
    }

    /// Asks the server for a sign of life (NOOP).
    pub(super) async fn is_alive(&mut self) -> bool {
        self.inner.test_connected().await
    }

    pub(super) async fn quit(mut self) {
        let _ = timeout(QUIT_TIMEOUT, self.inner.abort()).await;
    }

    /// Sends QUIT after a failed attempt, unless the connection itself is broken.
    pub(super) async fn quit_after(self, attempt: DeliveryAttempt) -> DeliveryAttempt {
        if !attempt.class.ends_with("connection") {
            self.quit().await;
        }
        attempt
    }
}

/// RFC 5321 §4.2.1: 5yz is permanent, 4yz may pass. Without a reply nothing was accepted yet.
fn failed_command(error: &Error) -> DeliveryAttempt {
    let outcome = if error.is_permanent() {
        DeliveryOutcome::Refused
    } else {
        DeliveryOutcome::Deferred
    };
    DeliveryAttempt::new(outcome, class(error)).observing(if error.status().is_none() {
        Observation::RecipientStalled
    } else {
        Observation::RecipientAnswered
    })
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
        None if error.is_tls() || is_certificate_error(error) => "tls".to_owned(),
        None if error.is_client() => "unsupported".to_owned(),
        None if error.is_response() => "protocol".to_owned(),
        None => "connection".to_owned(),
    }
}

/// A certificate that is not valid shows as an I/O error with the TLS library's error inside.
fn is_certificate_error(error: &Error) -> bool {
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
