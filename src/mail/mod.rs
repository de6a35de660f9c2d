//! Email: an outbox without secrets, a worker that leases its rows, and the transports.
//!
//! `outbox` owns the table and the worker, `transport` the message and SMTP. `mailbox` keeps what
//! `entree dev` shows instead of sending it. The module that queues an email implements [`Composer`]
//! and decides what the email says and which secrets it holds.
//!
//! Promises: the table holds no secret, no network call happens inside a transaction, a secret's hash
//! is committed before its email leaves, no email is lost, and a crash doubles at most one.

mod composer;
mod delivery;
mod email;
pub mod mailbox;
pub mod outbox;
pub mod page;
pub mod transport;

pub use composer::{Composed, Composer, Draft, EmailReference};
pub use delivery::{AttemptContext, DeliveryAttempt, DeliveryOutcome, Observation};
pub use email::Email;
