//! Whether a grant is still authorized. One check for the redemption of a code and for a refresh.
//!
//! | since the user authorized the client | code | refresh | refresh with `offline_access` |
//! |---|---|---|---|
//! | the session ended | refused | refused | allowed (ST-05) |
//! | the user was disabled, or their epoch was raised | refused | refused | refused |
//! | the provider account was disconnected | refused | refused, since its grants are revoked | refused, since its grants are revoked |
//! | consent was withdrawn or narrowed | refused | refused | refused |
//! | the grant was revoked or expired | | refused | refused |
//!
//! First-party clients need no consent.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    consent_store,
    error::{EndpointError, ErrorCode, OauthError},
    grant_store::{self, StoredGrant},
    reason::Reason,
    scope,
    user_claims::consent_scopes,
};
use crate::{
    clock::Time,
    config::{self, Client},
    db::Tx,
    error::InfraError,
    session::{self, Session},
    user::{User, UserState, identity},
};

/// The sign-in that a grant rests on. It is the one that answered the authorization request,
/// whatever becomes of the session until the code is redeemed (AZ-17).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SignIn {
    #[serde(rename = "session")]
    pub(crate) session_id: Uuid,
    pub(crate) auth_time: Time,
    pub(crate) acr: String,
    /// Separated by spaces.
    pub(crate) amr: String,
    /// The provider account that the user signed in with, if any.
    #[serde(default, rename = "identity")]
    pub(crate) identity_id: Option<Uuid>,
}

impl From<&Session> for SignIn {
    fn from(session: &Session) -> Self {
        Self {
            session_id: session.id,
            auth_time: session.auth_time,
            acr: session.acr.clone(),
            amr: session.amr.clone(),
            identity_id: session.identity_id,
        }
    }
}

/// The user of a live grant, and the session that the grant ends with.
#[derive(Clone, Debug)]
pub(crate) struct GrantHolder {
    pub(crate) user: User,
    /// None for a stored grant with `offline_access`, which outlives its session.
    pub(crate) session: Option<Session>,
    /// The user has as many live grants with the client as there may be, and a code adds one.
    pub(crate) has_most_grants: bool,
}

/// What a client authorizes itself with when it requests tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum GrantSource<'a> {
    /// A code that was just claimed. Its grant is not stored yet.
    Code(&'a SignIn),
    /// A stored grant that this transaction has locked.
    Stored(&'a StoredGrant),
}

/// A grant to check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GrantCheck<'a> {
    pub(crate) source: GrantSource<'a>,
    pub(crate) client: &'a Client,
    pub(crate) scope: &'a str,
    pub(crate) claims: &'a str,
}

/// Why a grant is no longer authorized.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GrantError {
    #[error("the session or the user's sign-in ended")]
    SignInEnded,
    #[error("the provider account was disconnected")]
    IdentityDisconnected,
    #[error("the user withdrew their consent")]
    ConsentWithdrawn,
    #[error(transparent)]
    Infra(#[from] InfraError),
}

impl From<GrantError> for EndpointError {
    fn from(error: GrantError) -> Self {
        let (reason, description) = match error {
            GrantError::SignInEnded => (Reason::SignInEnded, SIGN_IN_ENDED),
            GrantError::IdentityDisconnected => (Reason::IdentityDisconnected, SIGN_IN_ENDED),
            GrantError::ConsentWithdrawn => (
                Reason::ConsentWithdrawn,
                "The user does not allow this access any more. Request it again.",
            ),
            GrantError::Infra(error) => return error.into(),
        };
        OauthError::new(ErrorCode::InvalidGrant, description)
            .with_reason(reason)
            .into()
    }
}

const SIGN_IN_ENDED: &str =
    "The sign-in behind this grant has ended. Send the user to sign in again.";

/// Checks that a grant is still authorized, by the table above (RF-9, TK-14, LK-07).
///
/// # Errors
/// [`GrantError`].
pub(crate) async fn ensure_grant_is_authorized(
    tx: &Tx,
    limits: &config::Session,
    check: &GrantCheck<'_>,
) -> Result<GrantHolder, GrantError> {
    let holder = match check.source {
        GrantSource::Code(sign_in) => find_code_holder(tx, limits, sign_in, check).await?,
        GrantSource::Stored(grant) => {
            holder_if_live(grant, tx.now, limits).map_err(|_| GrantError::SignInEnded)?
        }
    };
    ensure_consent(tx, check, &holder.user).await?;
    Ok(holder)
}

/// Why a stored grant is not live. The log has the word; clients learn only that it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GrantEnd {
    Revoked,
    Expired,
    UserNotActive,
    SignedOutEverywhere,
    SessionEnded,
}

impl GrantEnd {
    /// Returns the reason code.
    #[must_use]
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "grant_revoked",
            Self::Expired => "grant_expired",
            Self::UserNotActive => "user_disabled",
            Self::SignedOutEverywhere => "signed_out_everywhere",
            Self::SessionEnded => "session_ended",
        }
    }
}

/// Returns whose grant this is while it is live: not revoked or expired, its user active and in the
/// same epoch, and its session live unless the grant has `offline_access` (ST-05).
///
/// # Errors
/// Why it is not.
pub(crate) fn holder_if_live(
    stored: &StoredGrant,
    now: Time,
    limits: &config::Session,
) -> Result<GrantHolder, GrantEnd> {
    let grant = &stored.grant;
    if grant.revoked_at.is_some() {
        return Err(GrantEnd::Revoked);
    }
    if grant.expires_at <= now {
        return Err(GrantEnd::Expired);
    }
    let user = stored.user.clone().ok_or(GrantEnd::UserNotActive)?;
    if user.state != UserState::Active {
        return Err(GrantEnd::UserNotActive);
    }
    if scope::has(&grant.scope, scope::OFFLINE) {
        let is_live = user.auth_epoch == grant.auth_epoch;
        let holder = is_live.then_some(GrantHolder {
            user,
            session: None,
            has_most_grants: false,
        });
        return holder.ok_or(GrantEnd::SignedOutEverywhere);
    }
    let session = stored.session.clone().ok_or(GrantEnd::SessionEnded)?;
    let end = match user.auth_epoch == session.auth_epoch {
        true => GrantEnd::SessionEnded,
        false => GrantEnd::SignedOutEverywhere,
    };
    let current = session::if_live(session, user, now, limits).ok_or(end)?;
    Ok(GrantHolder {
        user: current.user,
        session: Some(current.session),
        has_most_grants: false,
    })
}

/// TK-14: the session may have ended, or its user been disabled, since the code was issued.
async fn find_code_holder(
    tx: &Tx,
    limits: &config::Session,
    sign_in: &SignIn,
    check: &GrantCheck<'_>,
) -> Result<GrantHolder, GrantError> {
    let client_id = &check.client.client_id;
    let found = grant_store::find_code_session(tx, sign_in.session_id, client_id)
        .await?
        .ok_or(GrantError::SignInEnded)?;
    let has_most_grants = found.has_most_grants;
    let current = found
        .user
        .and_then(|user| session::if_live(found.session, user, tx.now, limits))
        .ok_or(GrantError::SignInEnded)?;
    let (session, user) = (current.session, current.user);
    // LK-07: disconnecting revokes the grants that it sees, and not yet the one of this code. So the two
    // wait for each other on the session's row. A grant without `offline_access` ends with its session.
    let is_offline = scope::has(check.scope, scope::OFFLINE);
    if is_offline && !session::lock_for_share(tx, session.id).await? {
        return Err(GrantError::SignInEnded);
    }
    // LK-07: the same where the session has changed to another sign-in method since.
    if let Some(id) = sign_in
        .identity_id
        .filter(|id| session.identity_id != Some(*id))
    {
        let linked = identity::list_for_user(tx.conn(), user.id).await?;
        if !linked.iter().any(|identity| identity.id == id) {
            return Err(GrantError::IdentityDisconnected);
        }
    }
    Ok(GrantHolder {
        user,
        session: Some(session),
        has_most_grants,
    })
}

/// RF-9: consent may have been withdrawn since, or given anew for a part alone. A client that was
/// first-party before has no consent either.
async fn ensure_consent(tx: &Tx, check: &GrantCheck<'_>, user: &User) -> Result<(), GrantError> {
    let client = check.client;
    if client.first_party {
        return Ok(());
    }
    let (id, scopes) = (&client.client_id, consent_scopes(check.scope, check.claims));
    let is_allowed = match check.source {
        // A transaction that withdraws consent revokes the grants that it sees: it must wait for
        // this one to be stored.
        GrantSource::Code(_) => consent_store::lock_if_covers(tx, user, id, &scopes).await?,
        // It waits for the lock on the stored grant.
        GrantSource::Stored(_) => consent_store::covers(tx.conn(), user, id, &scopes).await?,
    };
    if is_allowed {
        Ok(())
    } else {
        Err(GrantError::ConsentWithdrawn)
    }
}

#[cfg(test)]
mod tests;
