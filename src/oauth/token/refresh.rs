//! The refresh token grant (RFC 6749 §6). Each use rotates the token, by the rules in
//! [`crate::oauth::refresh_token`], unless the profile of the client keeps it (`kept`).
//!
//! The grant's row is locked first, so that of a hundred concurrent uses one rotates and the others
//! repeat its result. A proof of possession is claimed before that, since the ticket store is not
//! asked inside a transaction.

use std::time::Duration;

use crate::{
    audit::Kind as AuditKind,
    client,
    config::GrantType,
    db::Tx,
    error::InfraError,
    oauth::{
        client_auth::TokenRequest,
        error::{EndpointError, ErrorCode, OauthError},
        grant_check::{GrantCheck, GrantHolder, GrantSource, ensure_grant_is_authorized},
        grant_store::{self, Grant, Rotation, StoredGrant},
        issue::{TokenResponse, TokenSubject, issue_tokens},
        reason::Reason,
        refresh_token::{FamilyPosition, RefreshToken},
        resource, scope,
        token::kept,
    },
    session,
    ticket::Payer,
};

const fn invalid_grant(reason: Reason) -> OauthError {
    let description =
        "The refresh token is unknown, expired, already used, or was issued to another client.";
    OauthError::new(ErrorCode::InvalidGrant, description).with_reason(reason)
}

/// Issues tokens for a refresh token.
///
/// # Errors
/// `invalid_grant` for a token that is not live or not this client's, or whose grant is no longer
/// authorized; `invalid_scope` or `invalid_target` for more than was granted. Another client's
/// token and a token with a wrong secret change nothing.
pub(crate) async fn refresh(request: &TokenRequest<'_>) -> Result<TokenResponse, EndpointError> {
    // A refresh continues what a code began; clients of the sign-in API register this grant, too.
    if !client::acts_for_users(request.client) {
        request.check_grant_type(GrantType::AuthorizationCode)?;
    }
    let TokenRequest {
        app,
        config,
        client,
        params,
        ..
    } = *request;
    let text = params.required("refresh_token", 1024)?;
    let requested_scope = params.optional_within("scope", 1024)?;
    let token =
        RefreshToken::parse(&app.macs.refresh, text).ok_or(invalid_grant(Reason::Malformed))?;
    let is_proven = claim_proof(request, &token).await?;
    let tx = app.db.begin().await?;
    let stored = lock_grant(&tx, request, &token).await?;
    let grant = &stored.grant;
    if let Err(error) = request.check_key_of_grant(grant) {
        drop(tx);
        let event = request.key_refusal_event().user(grant.user_id);
        request.record_key_refusal(grant.id, event).await;
        return Err(error.into());
    }
    let is_current = match token.position_in(grant, tx.now) {
        FamilyPosition::Current => true,
        FamilyPosition::Repeated => false,
        FamilyPosition::Reused => return Err(end_family(tx, grant, request).await?.into()),
        FamilyPosition::Foreign => return Err(invalid_grant(Reason::Foreign).into()),
    };
    if !is_proven {
        return Err(invalid_grant(Reason::Raced).into());
    }
    let holder = ensure_refresh_is_authorized(&tx, &stored, request).await?;
    let scope = scope::narrow(&grant.scope, requested_scope)?;
    let audience = choose_audience(request, grant, requested_scope)?;
    let next = next_token(&tx, grant, request, token, is_current).await?;
    let subject = TokenSubject {
        grant,
        user: &holder.user,
        client,
        scope: &scope,
        audience: &audience,
        // OIDC Core §12.2: the ID token of a refresh has the auth_time of the sign-in and no nonce.
        nonce: None,
        jkt: request.jkt(),
    };
    let tokens = issue_tokens(app, config, &tx, &subject).await?;
    tx.commit().await?;
    let refresh_token = Some(next.to_text(&app.macs.refresh));
    Ok(TokenResponse {
        refresh_token,
        ..tokens
    })
}

/// Claims the proof of a request that holds a live refresh token and the key of its family. Returns
/// whether the request may go on: it shows no proof, or has claimed it. A request that holds none of
/// these stores nothing, and is refused under the lock.
async fn claim_proof(
    request: &TokenRequest<'_>,
    token: &RefreshToken,
) -> Result<bool, EndpointError> {
    if request.proof.is_none() {
        return Ok(true);
    }
    let (db, now) = (request.app.db.lookup(), request.app.clock().now());
    let Some(StoredGrant { grant, .. }) = grant_store::find(db, token.family).await? else {
        return Ok(false);
    };
    let position = token.position_in(&grant, now);
    let holds = grant.client_id == request.client.client_id
        && grant.revoked_at.is_none()
        && position != FamilyPosition::Foreign
        && request.check_key_of_grant(&grant).is_ok();
    if holds {
        request.claim_proof(Payer::User(grant.user_id)).await?;
    }
    Ok(holds)
}

async fn lock_grant(
    tx: &Tx,
    request: &TokenRequest<'_>,
    token: &RefreshToken,
) -> Result<StoredGrant, EndpointError> {
    let stored = grant_store::lock_with_holder(tx, token.family)
        .await?
        .ok_or(invalid_grant(Reason::Unknown))?;
    let grant = &stored.grant;
    if grant.client_id != request.client.client_id {
        return Err(invalid_grant(Reason::OtherClient).into());
    }
    if grant.revoked_at.is_some() {
        return Err(invalid_grant(Reason::Revoked).into());
    }
    Ok(stored)
}

/// RF-9: the client may still refresh, the family is not idle, and the grant is still authorized.
async fn ensure_refresh_is_authorized(
    tx: &Tx,
    stored: &StoredGrant,
    request: &TokenRequest<'_>,
) -> Result<GrantHolder, EndpointError> {
    let grant = &stored.grant;
    if !scope::allows_refresh(request.client, &grant.scope) {
        return Err(invalid_grant(Reason::NotAllowed).into());
    }
    if grant.idle_until.is_none_or(|until| until <= tx.now) {
        return Err(invalid_grant(Reason::Idle).into());
    }
    let check = GrantCheck {
        source: GrantSource::Stored(stored),
        client: request.client,
        scope: &grant.scope,
        claims: &grant.claims,
    };
    let holder = ensure_grant_is_authorized(tx, &request.config.session, &check).await?;
    // An app's session has no browser that could use it: a refresh is its use.
    let app_session = holder
        .session
        .as_ref()
        .filter(|session| session.browser_hash.is_none());
    if let Some(session) = app_session {
        session::record_use(tx.conn(), session, tx.now).await?;
    }
    Ok(holder)
}

/// Returns the audience of the tokens, for which the request has the scope and the proof.
fn choose_audience(
    request: &TokenRequest<'_>,
    grant: &Grant,
    requested_scope: Option<&str>,
) -> Result<String, EndpointError> {
    let TokenRequest {
        app,
        config,
        client,
        params,
        ..
    } = *request;
    let granted = Some(grant.audience.as_str());
    let audience = resource::choose_audience(params, granted, config, client, &app.public_url)?;
    if params.first_readable("resource").is_some() {
        scope::check_belongs(config, &audience, requested_scope.unwrap_or_default())?;
    }
    request.check_proof_for(&audience)?;
    Ok(audience)
}

/// Returns the refresh token of the response: the successor of `token`, or `token` itself where the
/// profile of the client keeps it.
async fn next_token(
    tx: &Tx,
    grant: &Grant,
    request: &TokenRequest<'_>,
    token: RefreshToken,
    is_current: bool,
) -> Result<RefreshToken, EndpointError> {
    if !is_current {
        return repeat(tx, grant, request).await;
    }
    if request.client.demands().keeps_refresh_token {
        kept::keep(tx, grant, request).await?;
        return Ok(token);
    }
    Ok(rotate(tx, grant, request).await?)
}

async fn rotate(
    tx: &Tx,
    grant: &Grant,
    request: &TokenRequest<'_>,
) -> Result<RefreshToken, InfraError> {
    let next = RefreshToken::generate(grant.id, grant.generation.saturating_add(1));
    let lifetimes = request.client.token_lifetimes(&request.config.token);
    let rotation = Rotation {
        hash: next.secret.hash().to_column(),
        successor: next.seal(&request.app.macs.successor),
        idle_until: tx.now + Duration::from_secs(lifetimes.refresh_idle_seconds),
        jkt: request.jkt().filter(|_| grant.dpop_jkt.is_none()),
    };
    if grant_store::rotate(tx, grant, rotation).await? {
        return Ok(next);
    }
    let cause = "a refresh token family changed under its lock";
    Err(InfraError::Conflict(cause.to_owned()))
}

/// Returns the token that the lost response had. PP-9: the repeated request may bring the first key of
/// the family.
async fn repeat(
    tx: &Tx,
    grant: &Grant,
    request: &TokenRequest<'_>,
) -> Result<RefreshToken, EndpointError> {
    if let Some(jkt) = request.jkt().filter(|_| grant.dpop_jkt.is_none())
        && !grant_store::bind_key(tx, grant.id, jkt).await?
    {
        let cause = "a grant was bound under its lock";
        return Err(InfraError::Conflict(cause.to_owned()).into());
    }
    let successor = open_successor(grant, request);
    Ok(successor.ok_or(invalid_grant(Reason::SuccessorUnreadable))?)
}

fn open_successor(grant: &Grant, request: &TokenRequest<'_>) -> Option<RefreshToken> {
    let sealed = grant.successor.as_deref()?;
    RefreshToken::open(
        &request.app.macs.successor,
        grant.id,
        grant.generation,
        sealed,
    )
}

/// RFC 9700 §4.14.2: a used token came back. It may be the thief or the owner who sent it, so the
/// whole grant ends.
async fn end_family(
    tx: Tx,
    grant: &Grant,
    request: &TokenRequest<'_>,
) -> Result<OauthError, InfraError> {
    grant_store::revoke(&tx, grant.id).await?;
    request
        .event(AuditKind::TokenRefused)
        .reason(Reason::RefreshTokenReused)
        .user(grant.user_id)
        .record(&tx)
        .await?;
    tx.commit().await?;
    Ok(invalid_grant(Reason::Reused))
}

#[cfg(test)]
mod tests;
