//! The ways out: SMTP, or the mailbox of `entree dev`.
//!
//! A [`Transport`] tries one letter once and says how that ended; when to try again is the outbox's business. Nothing
//! here logs: neither addresses nor letters leave by that way. (The `tracing` feature of the mail library writes whole
//! letters to the debug log; it stays off.)

mod message;
mod smtp;

use std::{sync::Arc, time::Duration};

use lettre::message::Mailbox as Sender;

use super::{
    Letter, Outcome,
    mailbox::{Mailbox, Received},
};
use crate::{
    clock::Clock,
    config::{self, MailTransport},
    secret,
};

/// A try takes no longer than this, whatever is configured: a row is leased for 60 s, and composing before and
/// recording after the try have to fit too.
pub const LONGEST_TRY: Duration = Duration::from_secs(35);

/// How a try ended, and the class of what was met: a reply code or a fixed word, fit for logs and the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// What it means for the row.
    pub outcome: Outcome,
    /// `250`, `451`, `session 535`, `timeout`, `connection`, `tls`, `protocol`, `unsupported`, `address`, `too large`.
    pub class: String,
}

impl Tried {
    fn new(outcome: Outcome, class: impl Into<String>) -> Self {
        Self {
            outcome,
            class: class.into(),
        }
    }
}

/// A way out. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Transport {
    from: Sender,
    clock: Clock,
    way: Way,
}

#[derive(Clone, Debug)]
enum Way {
    Smtp(Arc<smtp::Smtp>),
    Mailbox(Mailbox),
}

impl Transport {
    /// Made once at start. Connects to nothing yet: a mail server that is away must not keep the service down.
    ///
    /// # Errors
    /// A sentence for ops, for each thing that cannot work: the sender, the certificate file.
    pub fn new(config: &config::Mail, clock: Clock) -> Result<Self, String> {
        let from = sender(config)?;
        let way = match config.transport {
            MailTransport::Mailbox => Way::Mailbox(Mailbox::default()),
            MailTransport::Smtp => {
                Way::Smtp(Arc::new(smtp::Smtp::new(config, from.email.domain())?))
            }
        };
        Ok(Self { from, clock, way })
    }

    /// The mailbox, if that is the way: for its pages.
    #[must_use]
    pub const fn mailbox(&self) -> Option<&Mailbox> {
        match &self.way {
            Way::Mailbox(mailbox) => Some(mailbox),
            Way::Smtp(_) => None,
        }
    }

    /// Tries a letter once, within the configured time.
    pub async fn send(&self, letter: &Letter) -> Tried {
        let now = self.clock.now();
        let message = match message::build(&self.from, letter, now) {
            Ok(message) => message,
            Err(class) => return Tried::new(Outcome::Refused, class),
        };
        match &self.way {
            Way::Smtp(smtp) => smtp.send(message.envelope(), &message.formatted()).await,
            Way::Mailbox(mailbox) => {
                mailbox.put(Received {
                    id: secret::public_id(),
                    to: letter.to.clone(),
                    from: self.from.to_string(),
                    subject: letter.subject.clone(),
                    text: letter.text.clone(),
                    html: letter.html.clone(),
                    received_at: now,
                    headers: message::fields(&message),
                });
                Tried::new(Outcome::Accepted, "250")
            }
        }
    }

    /// Goes as far as a letter would need: connection, TLS, user name and password. Sends none.
    ///
    /// # Errors
    /// The class of what was met, as in [`Tried`].
    pub async fn greet(&self) -> Result<(), String> {
        match &self.way {
            Way::Smtp(smtp) => smtp.greet().await,
            Way::Mailbox(_) => Ok(()),
        }
    }

    /// Where letters go, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.way {
            Way::Smtp(smtp) => smtp.describe(),
            Way::Mailbox(_) => "the mailbox page".to_owned(),
        }
    }

    /// Takes leave of the mail server.
    pub async fn close(&self) {
        if let Way::Smtp(smtp) = &self.way {
            smtp.close().await;
        }
    }
}

fn sender(config: &config::Mail) -> Result<Sender, String> {
    // The mailbox needs no sender that anybody could answer.
    if config.from.is_empty() && config.transport == MailTransport::Mailbox {
        return "Entree <login@localhost>"
            .parse()
            .map_err(|_| "mail.from: no default sender".to_owned());
    }
    config.from.parse().map_err(|_| {
        format!(
            "mail.from: {:?} is no sender; set it to something like `Entree <login@example.com>`",
            config.from
        )
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_sender_that_cannot_work_is_refused_with_a_remedy() {
        let config = config::Mail {
            from: "Entree\r\nBcc: x <a@b.c>".to_owned(),
            ..config::Mail::default()
        };
        let said = Transport::new(&config, Clock::default()).unwrap_err();
        assert!(said.contains("Entree <login@example.com>"), "{said}");
    }

    #[test]
    fn a_certificate_file_that_cannot_be_read_is_named() {
        let config = config::Mail {
            from: "login@example.com".to_owned(),
            ca_file: Some("/nowhere/ca.pem".into()),
            ..config::Mail::default()
        };
        let said = Transport::new(&config, Clock::default()).unwrap_err();
        assert!(
            said.starts_with("mail.ca_file") && said.contains("/nowhere/ca.pem"),
            "{said}"
        );
    }

    #[tokio::test]
    async fn the_mailbox_keeps_what_would_have_been_sent() {
        let config = config::Mail {
            transport: MailTransport::Mailbox,
            ..config::Mail::default()
        };
        let transport = Transport::new(&config, Clock::default()).unwrap();
        let letter = Letter {
            to: "someone@example.com".to_owned(),
            subject: "Grüezi".to_owned(),
            text: "text".to_owned(),
            html: "<p>html</p>".to_owned(),
            locale: "en".to_owned(),
        };
        assert_eq!(transport.send(&letter).await.outcome, Outcome::Accepted);
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
