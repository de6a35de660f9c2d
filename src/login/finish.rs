//! Sign-in completion: evidence → user → session → audit log.
//!
//! Every sign-in method ends in [`finish_sign_in`], inside its own transaction. It authenticates the
//! user, starts or steps up the session, and records the sign-in. A refusal writes nothing here, but
//! the caller may have written something that must be kept, such as a spent code: whether to commit
//! is the caller's decision.

use super::{
    authenticate::{Authenticated, SignInError, authenticate},
    device,
    evidence::SignInAttempt,
    flow,
};
use crate::{
    audit::Kind,
    config::Reloadable,
    db::Tx,
    error::InfraError,
    secret::Plain,
    session::{self, AuthMethod, NewSession, Session},
    user::User,
};

/// A completed sign-in: the user, the session, and the cookies to set.
#[derive(Debug)]
pub struct SignedIn {
    pub session: Session,
    pub user: User,
    /// The session cookie.
    pub sid: Plain,
    /// The pre-login cookie that replaces the old one (BS-04).
    pub pre: Plain,
    /// The device cookie: the old one, or a new one.
    pub device: Plain,
    /// The pending account is linked: it needs no further decision.
    pub linked: bool,
}

/// Signs in the user that the evidence of `attempt` leads to.
pub async fn finish_sign_in(
    tx: &Tx,
    attempt: &SignInAttempt<'_>,
    config: &Reloadable,
) -> Result<SignedIn, SignInError> {
    let Authenticated {
        user,
        method,
        linked,
    } = authenticate(tx, attempt, config).await?;
    let (session, sid) = start_session(tx, &user, method, attempt, config).await?;
    let pre = Plain::generate();
    let browser = attempt.browser_state.browser;
    if let Some(old) = browser {
        flow::rebind(tx, old, pre.hash()).await?;
    }
    let device = attempt.browser_state.device.cloned();
    let device = device.unwrap_or_else(Plain::generate);
    if let (Some(_), Some(key)) = (browser, attempt.evidence.address_key()) {
        device::remember(tx, &device.hash(), key).await?;
    }
    attempt
        .audit_event(Kind::SignedIn)
        .user(user.id)
        .session(session.id)
        .record(tx)
        .await?;
    Ok(SignedIn {
        session,
        user,
        sid,
        pre,
        device,
        linked,
    })
}

/// Steps the browser's session up if it is the same user's, in the same row; otherwise ends it and
/// starts a new one.
async fn start_session(
    tx: &Tx,
    user: &User,
    method: AuthMethod<'_>,
    attempt: &SignInAttempt<'_>,
    config: &Reloadable,
) -> Result<(Session, Plain), InfraError> {
    if let Some(current) = attempt.browser_state.current {
        if current.user.id == user.id && current.user.auth_epoch == user.auth_epoch {
            if let Some(secret) = session::step_up(tx, current.session.id, method).await? {
                let mut session = current.session.clone();
                (session.auth_time, session.last_seen_at) = (tx.now, tx.now);
                return Ok((session, secret));
            }
        } else {
            session::end(tx, current.user.id, current.session.id).await?;
        }
    }
    let new = NewSession {
        user,
        method,
        device: &attempt.caller.device,
        remembered: attempt.remembered,
        browser: attempt.browser_state.browser,
    };
    session::start(tx, new, &config.session).await
}
