//! How one attempt to deliver an email ended.

use std::time::Duration;

/// What an attempt means for the outbox row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// The mail server accepted the email.
    Accepted,
    /// The mail server refused it permanently (5xx).
    Refused,
    /// Unknown: the connection broke, or no reply came in time, once the message had begun. It is tried again, and
    /// both emails work.
    InDoubt,
    /// The email was certainly not sent. A later attempt may succeed.
    Deferred,
}

impl DeliveryOutcome {
    /// The label in metrics and traces.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::InDoubt => "in_doubt",
            Self::Deferred => "deferred",
        }
    }
}

/// Whom an attempt says something of, so that a server that hangs delays only its own emails (OA-7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observation {
    /// Nothing: the message could not be sent as it is, or the mail server refused the sender.
    Nothing,
    /// Our mail server failed before it knew the recipient: that concerns emails to every domain.
    RelayFailed,
    /// It was silent or hung up once it knew the recipient: that concerns the recipient's domain.
    RecipientStalled,
    /// It replied to the recipient or to the message.
    RecipientAnswered,
}

/// The outcome of an attempt and the class of its cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryAttempt {
    pub outcome: DeliveryOutcome,
    /// A reply code or a fixed word, fit for logs and the table: `250`, `451`, `timeout`,
    /// `connection`, `tls`, `protocol`, `unsupported`, `address`, `too large`. It begins with
    /// `session` where our mail server failed before it knew the recipient: `session 535`, `session timeout`.
    pub class: String,
    pub observation: Observation,
}

impl DeliveryAttempt {
    pub(super) fn new(outcome: DeliveryOutcome, class: impl Into<String>) -> Self {
        Self {
            outcome,
            class: class.into(),
            observation: Observation::Nothing,
        }
    }

    /// An attempt that ended before the mail server knew the recipient.
    pub(super) fn relay_failed(class: &str) -> Self {
        let class = class.trim_start_matches("session ");
        Self::new(DeliveryOutcome::Deferred, format!("session {class}"))
            .observing(Observation::RelayFailed)
    }

    pub(super) fn observing(self, observation: Observation) -> Self {
        Self {
            observation,
            ..self
        }
    }
}

/// What an attempt is given, and whom it informs, while it runs.
pub trait AttemptContext: Sync {
    /// Returns how long the server may take from the recipient to the message, if that is limited
    /// beyond the time-out, and twice as long for the message.
    fn patience(&self) -> Option<Duration>;

    /// Notes that the mail server has replied to MAIL: it works, whatever becomes of the recipient.
    fn note_relay_works(&self);
}
