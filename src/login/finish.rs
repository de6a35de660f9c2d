//! Sign-in completion: evidence → user → session → audit log.
//!
//! Every sign-in method ends in [`finish_sign_in`], inside its own transaction. It authenticates the
//! user, starts or steps up the session, and records the sign-in. A refusal writes nothing here, but
//! the caller may have written something that must be kept, such as a spent code: whether to commit
//! is the caller's decision.

use super::{
    authenticate::{Authenticated, Evidence, SignInAttempt, SignInError, authenticate},
    device, flow,
};
use crate::{
    audit::Kind,
    config::Reloadable,
    db::Tx,
    error::InfraError,
    secret::{Hash, Plain},
    session::{self, AuthMethod, NewSession, Session},
    user::{self, User},
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
    /// The device cookie, or an app's device secret: the old one, or a new one.
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
    let pre = Plain::generate();
    let browser = attempt.browser_state.browser;
    if let Some(old) = browser {
        flow::rebind(tx, old, pre.hash()).await?;
    }
    // An app that signs in with a provider requests no emails, and gets no device secret.
    let keeps_device = browser.is_some() || matches!(attempt.evidence, Evidence::Email(_));
    let key = match keeps_device {
        true => own_address_key(tx, &user, &attempt.evidence).await?,
        false => None,
    };
    let device = device_secret(tx, attempt, key).await?;
    let (session, sid) = start_session(tx, &user, method, attempt, config).await?;
    if let Some(key) = key {
        device::remember(tx, &device.hash(), key, user.id).await?;
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

/// Returns the key of the address for which the device is known from now on: the one that the evidence
/// is about, or that of the account at the provider if the user has verified it here.
async fn own_address_key<'a>(
    tx: &Tx,
    user: &User,
    evidence: &'a Evidence<'a>,
) -> Result<Option<&'a Hash>, InfraError> {
    let Evidence::Identity(identity) = evidence else {
        return Ok(evidence.address_key());
    };
    let Some((address, key)) = identity.address else {
        return Ok(None);
    };
    let is_own = user::has_verified(tx.conn(), user.id, address.canonical()).await?;
    Ok(is_own.then_some(key))
}

/// Returns the secret of the device: the one that it sent, or a new one. One that was ended for this
/// address is replaced, since another device may hold it, too. An app's counts only if it was issued for
/// this address: one constant in every copy of an app would make one device of all its users, whose
/// budgets anyone could spend (OA-1).
async fn device_secret(
    tx: &Tx,
    attempt: &SignInAttempt<'_>,
    key: Option<&Hash>,
) -> Result<Plain, InfraError> {
    let Some(sent) = attempt.browser_state.device else {
        return Ok(Plain::generate());
    };
    let Some(key) = key else {
        return Ok(sent.clone());
    };
    let device = sent.hash();
    let may_keep = match attempt.browser_state.browser {
        Some(_) => !device::has_ended(tx, &device, key).await?,
        None => device::is_known(tx.conn(), Some(&device), key, tx.now).await?,
    };
    Ok(match may_keep {
        true => sent.clone(),
        false => Plain::generate(),
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
