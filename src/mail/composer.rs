//! The interface between the outbox and the modules whose emails it sends.

use entity::mail_outbox;
use uuid::Uuid;

use super::{delivery::DeliveryOutcome, email::Email};
use crate::db::{Db, Tx, TxFuture};

/// What composing a row gave.
#[derive(Debug)]
pub enum Composed {
    /// An email to send. `reference` names its secrets and comes back with the outcome.
    Email { email: Email, reference: Uuid },
    /// Nothing to send. The reason is a fixed word for the table and the log.
    Drop(&'static str),
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
        reference: Uuid,
        outcome: DeliveryOutcome,
    ) -> TxFuture<'a, ()>;
}
