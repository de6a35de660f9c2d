//! Responses that wait for what they rest on (SP-2).
//!
//! A unit of work of a group reads what the units before it have written. If it commits, it
//! continues after the COMMIT of the group. If it rolls back, its caller continues at once, with a
//! refusal that may rest on a row which does not last yet. Then the response waits here for the
//! outcome of the group.

use std::cell::RefCell;

use sea_orm::{DbErr, RuntimeErr};
use tokio::sync::oneshot;

use crate::error::InfraError;

/// The outcome of a group: the COMMIT succeeded, or nothing of the group has happened.
pub(super) type Outcome = Result<(), DbErr>;

tokio::task_local! {
    /// The groups in which units of work of this task have rolled back.
    static UNDECIDED: RefCell<Vec<oneshot::Receiver<Outcome>>>;
}

/// Notes a group that the response of this task rests on. Outside [`until_decided`] there is no response.
pub(super) fn note(outcome: oneshot::Receiver<Outcome>) {
    let _ = UNDECIDED.try_with(|undecided| undecided.borrow_mut().push(outcome));
}

/// Waits for the outcome of a group.
pub(super) async fn wait(outcome: oneshot::Receiver<Outcome>) -> Outcome {
    let given_up = "the transaction that units of work share was given up";
    outcome
        .await
        .unwrap_or_else(|_| Err(DbErr::Exec(RuntimeErr::Internal(given_up.to_owned()))))
}

/// Does the work of a request, and returns its result when all that its units of work have read
/// lasts.
///
/// # Errors
/// A unit of work has read what then did not last: the result may be wrong.
pub async fn until_decided<T>(work: impl Future<Output = T>) -> Result<T, InfraError> {
    let and_wait = async {
        let done = work.await;
        for outcome in UNDECIDED.with(RefCell::take) {
            wait(outcome).await?;
        }
        Ok(done)
    };
    UNDECIDED.scope(RefCell::default(), and_wait).await
}
