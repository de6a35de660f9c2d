//! How one attempt to deliver an email ended.

/// What an attempt means for the outbox row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// The mail server accepted the email.
    Accepted,
    /// The mail server refused it permanently (5xx).
    Refused,
    /// Unknown: the connection broke after the message was sent.
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

/// The outcome of an attempt and the class of its cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryAttempt {
    pub outcome: DeliveryOutcome,
    /// A reply code or a fixed word, fit for logs and the table: `250`, `451`, `session 535`, `timeout`,
    /// `connection`, `tls`, `protocol`, `unsupported`, `address`, `too large`.
    pub class: String,
}

impl DeliveryAttempt {
    pub(super) fn new(outcome: DeliveryOutcome, class: impl Into<String>) -> Self {
        Self {
            outcome,
            class: class.into(),
        }
    }
}
