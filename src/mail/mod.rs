//! Mail: an outbox without secrets, a worker that leases it, and the ways out.
//!
//! `outbox` owns the table and the worker, `transport` the message and SMTP, `mailbox` what `entree dev` shows instead.
//! What a letter says, and which secrets it holds, belongs to the room that queued it: it is the [`Composer`]. Promises:
//! no secret in the table, no network inside a transaction, a hash committed before its letter leaves, no mail lost, and
//! at most one double after a crash.

pub mod mailbox;
pub mod outbox;
pub mod transport;

pub mod page;

use std::{future::Future, pin::Pin};

use entity::mail_outbox;

use crate::{db::Tx, error::InfraError};

/// A letter, ready to leave.
#[derive(Clone)]
pub struct Letter {
    /// The stored address of the addressee.
    pub to: String,
    /// Subject line.
    pub subject: String,
    /// Plain text part.
    pub text: String,
    /// HTML part.
    pub html: String,
    /// BCP 47 tag of its language, for Content-Language.
    pub locale: String,
}

impl std::fmt::Debug for Letter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Letter(…)")
    }
}

/// What composing gave.
#[derive(Debug)]
pub enum Composed {
    /// Send this. `reference` is handed back with the outcome (the token row, for instance).
    Letter {
        /// The letter.
        letter: Letter,
        /// Which secrets it holds.
        reference: uuid::Uuid,
    },
    /// Do not send; the reason is a fixed word for the trail.
    Drop(&'static str),
}

/// How a try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The mail server took it.
    Accepted,
    /// It refused for good (5xx).
    Refused,
    /// Nobody knows: the connection broke after the body was sent.
    InDoubt,
    /// It was certainly not sent; a later try may succeed.
    Deferred,
}

impl Outcome {
    /// A word for metrics and traces.
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

/// Work that borrows a transaction.
pub type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T, InfraError>> + Send + 'a>>;

/// Who writes the letters: the room that put them into the outbox. Secrets are made here, at send time, and only
/// their hashes are committed before the letter is handed over.
pub trait Composer: Send + Sync + 'static {
    /// Makes the letter of a leased row, storing the hashes of its secrets.
    fn compose<'a>(&'a self, tx: &'a Tx, row: &'a mail_outbox::Model) -> Work<'a, Composed>;
    /// Told in the unit of work that records how the try ended.
    fn tried<'a>(
        &'a self,
        tx: &'a Tx,
        row: &'a mail_outbox::Model,
        reference: uuid::Uuid,
        outcome: Outcome,
    ) -> Work<'a, ()>;
}
