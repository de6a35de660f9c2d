//! The first tokens of a grant: what a claimed code stands for is stored, in the transaction that signs.

use uuid::Uuid;

use crate::{
    audit::Kind as AuditKind,
    db::Tx,
    oauth::{
        client_auth::TokenRequest,
        error::{EndpointError, OauthError},
        grant_check::{GrantCheck, GrantSource, SignIn, ensure_grant_is_authorized},
        grant_store,
        issue::{NewGrant, TokenResponse, TokenSubject, issue_tokens, new_grant},
    },
};

/// A grant that a user has authorized and that is not stored yet.
pub(super) struct ClaimedGrant<'a> {
    pub(super) id: Uuid,
    pub(super) sign_in: &'a SignIn,
    pub(super) scope: &'a str,
    /// What the request named in `claims`.
    pub(super) claims: &'a str,
    /// The resources that the request named, separated by spaces.
    pub(super) resources: Option<&'a str>,
    pub(super) nonce: Option<&'a str>,
    /// The audience of the first access token.
    pub(super) audience: &'a str,
    /// The error for a grant that exists: its code was spent before.
    pub(super) error_if_exists: OauthError,
}

/// Stores a grant and issues its tokens, in one transaction (RD-06).
///
/// # Errors
/// `invalid_grant` for a grant that is no longer authorized, or that exists.
pub(super) async fn store_and_issue(
    request: &TokenRequest<'_>,
    tx: Tx,
    claimed: &ClaimedGrant<'_>,
) -> Result<TokenResponse, EndpointError> {
    let TokenRequest {
        app,
        config,
        client,
        ..
    } = *request;
    let check = GrantCheck {
        source: GrantSource::Code(claimed.sign_in),
        client,
        scope: claimed.scope,
        claims: claimed.claims,
    };
    let holder = ensure_grant_is_authorized(&tx, &config.session, &check).await?;
    let user = holder.user;
    let new = NewGrant {
        id: claimed.id,
        user: &user,
        sign_in: claimed.sign_in,
        client,
        scope: claimed.scope,
        resources: claimed.resources,
        claims: claimed.claims,
        jkt: request.jkt(),
    };
    let (grant, refresh_token) = new_grant(app, config, new, tx.now);
    let event = request
        .event(AuditKind::TokenIssued)
        .user(user.id)
        .session(claimed.sign_in.session_id);
    if !grant_store::insert(&tx, grant.clone(), event).await? {
        return Err(claimed.error_if_exists.into());
    }
    if holder.has_most_grants {
        grant_store::revoke_surplus(&tx, user.id, &client.client_id).await?;
    }
    let subject = TokenSubject {
        grant: &grant,
        user: &user,
        client,
        scope: &grant.scope,
        audience: claimed.audience,
        nonce: claimed.nonce,
        jkt: request.jkt(),
    };
    let tokens = issue_tokens(app, config, &tx, &subject).await?;
    tx.commit().await?;
    Ok(TokenResponse {
        refresh_token,
        ..tokens
    })
}
