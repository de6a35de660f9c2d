//! Refresh tokens that stay the same (FS-3, FAPI 2.0 Security Profile §5.3.2.1).
//!
//! A client that authenticates with a key of its own, and proves possession of one for each token, gains
//! nothing by another refresh token: a thief of the token lacks both keys. So each response repeats the
//! token, a lost response loses nothing, and any number of requests may use it at once. A use puts off
//! the end of an unused token, now and then; the absolute end never moves.

use std::time::Duration;

use crate::{
    clock::Time,
    db::Tx,
    error::InfraError,
    oauth::{
        client_auth::TokenRequest,
        grant_store::{self, Grant, TokenUse},
    },
};

/// How far the end of an unused token moves at least, so that a busy client writes seldom.
const STEP: Duration = Duration::from_secs(600);

/// Records that the refresh token of a grant was used, where that changes anything.
///
/// # Errors
/// The database is unavailable.
pub(super) async fn keep(
    tx: &Tx,
    grant: &Grant,
    request: &TokenRequest<'_>,
) -> Result<(), InfraError> {
    let lifetimes = request.client.token_lifetimes(&request.config.token);
    let idle = Duration::from_secs(lifetimes.refresh_idle_seconds);
    // A grant of the time before its client had the profile may have no key yet.
    let jkt = request.jkt().filter(|_| grant.dpop_jkt.is_none());
    let idle_until = moved_end(grant.idle_until, tx.now, idle);
    if idle_until.is_none() && jkt.is_none() {
        return Ok(());
    }
    let token_use = TokenUse {
        idle_until: idle_until.or(grant.idle_until).unwrap_or(tx.now + idle),
        jkt,
    };
    grant_store::record_token_use(tx, grant, token_use).await
}

/// Returns where the end of an unused token moves, if it moves. A token that may be unused only for
/// minutes moves in shorter steps: otherwise one that is used in time could expire.
fn moved_end(idle_until: Option<Time>, now: Time, idle: Duration) -> Option<Time> {
    let next = now + idle;
    let is_due = |at: Time| next >= at + STEP.min(idle / 2);
    idle_until.is_none_or(is_due).then_some(next)
}

#[cfg(test)]
mod tests;
