//! The interface between the outbox and the modules whose emails it sends.

use entity::mail_outbox;
use uuid::Uuid;

use super::{delivery::DeliveryOutcome, email::Email};
use crate::{
    audit::Event,
    db::{Db, Tx, TxFuture},
};

/// What comes back to the composer with the outcome of its email.
#[derive(Clone, Debug)]
pub struct EmailReference {
    /// The row of its secrets; nil for an email without.
    pub secrets: Uuid,
    /// The event to record once the mail server has accepted the email.
    pub accepted: Option<Event>,
}

/// What composing a row gave.
#[derive(Debug)]
pub enum Composed {
    /// An email to send. `reference` comes back with the outcome.
    Email {
        email: Email,
        reference: Box<EmailReference>,
    },
    /// Nothing to send. The reason is a fixed word for the table and the log.
    Drop(&'static str),
}

/// An email whose secrets were stored together with its row, by the process that sends it.
pub trait Draft: Send + Sync {
    fn reference(&self) -> &EmailReference;

    /// Writes the email, without a transaction. Returns none where the row takes one: its email is then
    /// composed like any other, and the secrets of the draft are void.
    fn write<'a>(&'a self, db: &'a Db) -> TxFuture<'a, Option<Email>>;
}

/// Writes the emails of a module. Secrets are made here, when the email is sent, and only their hashes
/// are committed.
pub trait Composer: Send + Sync + 'static {
    /// Writes the email of a leased row and stores the hashes of its secrets.
    fn compose<'a>(&'a self, tx: &'a Tx, row: &'a mail_outbox::Model) -> TxFuture<'a, Composed>;

    /// Returns whether an address has an account. Emails to such addresses go before others when
    /// emails are too many (OA-9) or their domain stalls (OA-7). The look-up is the worker's, so
    /// that no response depends on it.
    fn has_account<'a>(&'a self, db: &'a Db, canonical: &'a str) -> TxFuture<'a, bool>;

    /// Receives the outcome of an attempt, in the transaction that records it.
    fn record_outcome<'a>(
        &'a self,
        tx: &'a Tx,
        row: &'a mail_outbox::Model,
        reference: &'a EmailReference,
        outcome: DeliveryOutcome,
    ) -> TxFuture<'a, ()>;
}
