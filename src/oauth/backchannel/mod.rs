//! Back-channel logout: clients that signed a user in are notified when the session ends (OpenID
//! Connect Back-Channel Logout 1.0).
//!
//! Owns `logout_outbox`. The row of the ended session is the work item (`session::claim_ended`); `queue`
//! makes of it one row for each client, `deliver` posts to each a token that `token` signs. Delivery is
//! at least once, and no browser waits for it: ending a session costs nothing more than before.

mod client_state;
mod deliver;
mod queue;
mod token;

pub use deliver::Worker;
pub(crate) use queue::{backlog, sweep};

#[cfg(test)]
mod tests;
