//! The transports: SMTP, or the mailbox of `entree dev`.
//!
//! A [`Transport`] makes one attempt to deliver an email and returns how it ended; the outbox decides
//! when to try again. Nothing here logs, so neither addresses nor content reach the log. (The `tracing`
//! feature of `lettre` writes whole messages to the debug log; it stays off.)

mod message;
mod smtp;

use std::sync::Arc;

use lettre::message::Mailbox as Sender;

use self::smtp::SmtpClient;
use super::{
    delivery::{AttemptContext, DeliveryAttempt, DeliveryOutcome, Observation},
    email::Email,
    mailbox::{Mailbox, ReceivedEmail},
};
use crate::{
    clock::Clock,
    config::{self, MailTransport},
    secret,
};

/// Delivers emails. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Transport {
    from: Sender,
    clock: Clock,
    backend: Backend,
}

#[derive(Clone, Debug)]
enum Backend {
    Smtp(Arc<SmtpClient>),
    Mailbox(Mailbox),
}

impl Transport {
    /// Creates the transport at start. It connects to nothing yet: a mail server that is down must not keep
    /// the service down.
    ///
    /// # Errors
    /// A sentence for the operator: the sender or the certificate file cannot be used.
    pub fn new(config: &config::Mail, clock: Clock) -> Result<Self, String> {
        let from = parse_sender(config)?;
        let backend = match config.transport {
            MailTransport::Mailbox => Backend::Mailbox(Mailbox::default()),
            MailTransport::Smtp => {
                Backend::Smtp(Arc::new(SmtpClient::new(config, from.email.domain())?))
            }
        };
        Ok(Self {
            from,
            clock,
            backend,
        })
    }

    /// Returns the mailbox, if that is the transport, for its pages.
    #[must_use]
    pub const fn mailbox(&self) -> Option<&Mailbox> {
        match &self.backend {
            Backend::Mailbox(mailbox) => Some(mailbox),
            Backend::Smtp(_) => None,
        }
    }

    /// Makes one attempt to deliver an email, within the configured time.
    pub async fn send(&self, email: &Email, context: &dyn AttemptContext) -> DeliveryAttempt {
        let now = self.clock.now();
        let message = match message::build(&self.from, email, now) {
            Ok(message) => message,
            Err(class) => return DeliveryAttempt::new(DeliveryOutcome::Refused, class),
        };
        match &self.backend {
            Backend::Smtp(smtp) => {
                let envelope = message.envelope();
                smtp.send(envelope, &message.formatted(), context).await
            }
            Backend::Mailbox(mailbox) => {
                mailbox.put(ReceivedEmail {
                    id: secret::public_id(),
                    to: email.to.clone(),
                    from: self.from.to_string(),
                    subject: email.subject.clone(),
                    text: email.text.clone(),
                    html: email.html.clone(),
                    received_at: now,
                    headers: message::header_fields(&message),
                });
                DeliveryAttempt::new(DeliveryOutcome::Accepted, "250")
                    .observing(Observation::RecipientAnswered)
            }
        }
    }

    /// Connects, starts TLS and authenticates as for an email, and sends none.
    ///
    /// # Errors
    /// The class of the failure, as in [`DeliveryAttempt::class`].
    pub async fn verify(&self) -> Result<(), String> {
        match &self.backend {
            Backend::Smtp(smtp) => smtp.verify().await,
            Backend::Mailbox(_) => Ok(()),
        }
    }

    /// Names where emails go, for the operator.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.backend {
            Backend::Smtp(smtp) => smtp.describe(),
            Backend::Mailbox(_) => "the mailbox page".to_owned(),
        }
    }

    /// Closes the connections to the mail server.
    pub async fn close(&self) {
        if let Backend::Smtp(smtp) = &self.backend {
            smtp.close().await;
        }
    }
}

fn parse_sender(config: &config::Mail) -> Result<Sender, String> {
    // The mailbox needs no sender that can receive a reply.
    if config.from.is_empty() && config.transport == MailTransport::Mailbox {
        return "Entree <login@localhost>"
            .parse()
            .map_err(|_| "mail.from: no default sender".to_owned());
    }
    config.from.parse().map_err(|_| {
        format!(
            "mail.from: {:?} is not a sender; set it to something like `Entree <login@example.com>`",
            config.from
        )
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_sender_that_cannot_work_is_refused_with_a_hint() {
        let config = config::Mail {
            from: "Entree\r\nBcc: x <a@b.c>".to_owned(),
            ..config::Mail::default()
        };
        let error = Transport::new(&config, Clock::default()).unwrap_err();
        assert!(error.contains("Entree <login@example.com>"), "{error}");
    }

    #[test]
    fn a_certificate_file_that_cannot_be_read_is_named() {
        let config = config::Mail {
            from: "login@example.com".to_owned(),
            ca_file: Some("/nowhere/ca.pem".into()),
            ..config::Mail::default()
        };
        let error = Transport::new(&config, Clock::default()).unwrap_err();
        assert!(
            error.starts_with("mail.ca_file") && error.contains("/nowhere/ca.pem"),
            "{error}"
        );
    }

    struct Patient;

    impl AttemptContext for Patient {
        fn patience(&self) -> Option<std::time::Duration> {
            None
        }

        fn note_relay_works(&self) {}
    }

    #[tokio::test]
    async fn the_mailbox_keeps_what_would_have_been_sent() {
        let config = config::Mail {
            transport: MailTransport::Mailbox,
            ..config::Mail::default()
        };
        let transport = Transport::new(&config, Clock::default()).unwrap();
        let email = Email {
            to: "someone@example.com".to_owned(),
            subject: "Grüezi".to_owned(),
            text: "text".to_owned(),
            html: "<p>html</p>".to_owned(),
            locale: "en".to_owned(),
        };
        assert_eq!(
            transport.send(&email, &Patient).await.outcome,
            DeliveryOutcome::Accepted
        );
        let kept = transport.mailbox().unwrap().list(None).pop().unwrap();
        assert_eq!(
            (kept.to.as_str(), kept.subject.as_str()),
            ("someone@example.com", "Grüezi")
        );
        assert!(
            kept.headers
                .contains(&("Auto-Submitted".to_owned(), "auto-generated".to_owned())),
            "{:?}",
            kept.headers
        );
    }
}
