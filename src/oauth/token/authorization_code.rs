//! Authorization codes: issued for an authorization request, kept sealed in the ticket store, and
//! exchanged once for tokens (RFC 6749 §4.1.3).
//!
//! An exchange checks first and then claims the code by one atomic command; the rest is one
//! transaction (RD-06). A failed check claims and revokes nothing (TK-3). A claimed code leaves a
//! tombstone, which distinguishes a replay from a code that never existed.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    app::App,
    audit::Kind as AuditKind,
    client::VerifiedRedirect,
    clock::Time,
    config::GrantType,
    error::InfraError,
    oauth::{
        client_auth::TokenRequest,
        error::{EndpointError, ErrorCode, OauthError},
        grant_check::{GrantCheck, GrantSource, SignIn, ensure_grant_is_authorized},
        grant_store,
        issue::{NewGrant, TokenResponse, TokenSubject, issue_tokens, new_grant},
        scope,
    },
    pkce,
    secret::{Hash, Plain},
    ticket::{Claim, Payer, TicketKind},
    web::params::Params,
};

/// How long a claimed code is remembered (RD-04).
const TOMBSTONE_TTL: Duration = Duration::from_secs(600);

/// A replay this soon after the first use is a race and no theft (TK-6, ST-03).
const RACE: Duration = Duration::from_secs(10);

/// What a code stands for (AZ-17).
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AuthorizationCode {
    /// The id that the grant will have.
    #[serde(rename = "grant")]
    pub(crate) grant_id: Uuid,
    #[serde(flatten)]
    pub(crate) binding: CodeBinding,
    pub(crate) nonce: Option<String>,
    pub(crate) scope: String,
    /// What the request named in `claims`, as far as it was granted.
    #[serde(default)]
    pub(crate) claims: String,
    /// The resources that the request named, separated by spaces.
    #[serde(rename = "resource")]
    pub(crate) resources: Option<String>,
    #[serde(flatten)]
    pub(crate) sign_in: SignIn,
}

/// What an exchange must repeat from the authorization request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CodeBinding {
    pub(crate) client_id: String,
    pub(crate) redirect_uri: String,
    /// None only for a confidential client that need not use PKCE.
    pub(crate) code_challenge: Option<String>,
}

/// What a claimed code leaves behind.
#[derive(Serialize, Deserialize)]
struct Tombstone {
    #[serde(rename = "grant")]
    grant_id: Uuid,
    #[serde(flatten)]
    binding: CodeBinding,
    #[serde(rename = "at")]
    claimed_at: Time,
}

const fn invalid_grant(reason: &'static str) -> OauthError {
    let description = "The code is unknown, expired, already used, or was issued to another client or for another redirect_uri or code_challenge.";
    OauthError::new(ErrorCode::InvalidGrant, description).with_reason(reason)
}

/// Stores a new code and returns its text for the client. It is charged to its user: one who makes
/// codes without end drops their own, and takes the space of no other user's (OA-4).
pub(crate) async fn issue_code(
    app: &App,
    user_id: Uuid,
    code: &AuthorizationCode,
    lifetime: Duration,
) -> Result<String, InfraError> {
    let secret = Plain::generate();
    let value = serde_json::to_vec(code).map_err(InfraError::internal)?;
    if !app
        .tickets
        .charged_to(Payer::User(user_id))
        .issue(TicketKind::Code, &secret.hash(), &value, lifetime)
        .await?
    {
        return Err(InfraError::internal("a fresh 256-bit code exists already"));
    }
    Ok(secret.to_text())
}

/// Returns whether a code has neither been exchanged nor expired.
pub(crate) async fn is_live(app: &App, code: &str) -> Result<bool, InfraError> {
    let Some(code) = Plain::parse(code) else {
        return Ok(false);
    };
    let found = app.tickets.peek(TicketKind::Code, &code.hash()).await?;
    Ok(found.is_some())
}

/// Issues tokens for a code.
///
/// # Errors
/// `invalid_grant` for a code that is not live, not this client's, or whose grant is no longer
/// authorized; `invalid_target` for a resource that was not granted.
pub(crate) async fn exchange(request: &TokenRequest<'_>) -> Result<TokenResponse, EndpointError> {
    request.check_grant_type(GrantType::AuthorizationCode)?;
    let TokenRequest {
        app,
        client,
        params,
        ..
    } = *request;
    let text = params.required("code", 4096)?;
    let hash = Plain::parse(text).ok_or(invalid_grant("malformed"))?.hash();
    let Some(value) = app.tickets.peek(TicketKind::Code, &hash).await? else {
        revoke_if_replayed(request, &hash).await?;
        return Err(invalid_grant("not_live").into());
    };
    // An instance of another version may have written it during a rolling upgrade.
    let code: AuthorizationCode =
        serde_json::from_slice(&value).map_err(|_| invalid_grant("unreadable"))?;
    check_binding(request, &code.binding)?;
    // An operator may have taken the redirect URI from the client because codes went to someone
    // else. A replay revokes the grant all the same.
    if VerifiedRedirect::check(client, &code.binding.redirect_uri).is_none() {
        return Err(invalid_grant("redirect_uri_not_registered").into());
    }
    let registered = scope::registered_resources(client, &app.public_url).join(" ");
    let resources = code.resources.as_deref().unwrap_or(&registered);
    let audience = scope::choose_audience(params, resources, client, &app.public_url)?;
    claim_code(app, &hash, &code).await?;
    redeem(request, &code, &audience).await
}

/// RFC 6749 §4.1.3: client, redirect URI and verifier must be those of the authorization request.
fn check_binding(request: &TokenRequest<'_>, binding: &CodeBinding) -> Result<(), EndpointError> {
    if request.client.client_id != binding.client_id {
        return Err(invalid_grant("other_client").into());
    }
    check_redirect_uri(request.params, &binding.redirect_uri)?;
    check_pkce(request.params, binding.code_challenge.as_deref())
}

fn check_redirect_uri(params: &Params, redirect_uri: &str) -> Result<(), EndpointError> {
    if params.optional_within("redirect_uri", 2048)? == Some(redirect_uri) {
        return Ok(());
    }
    Err(invalid_grant("redirect_uri").into())
}

/// RFC 7636 §4.6.
fn check_pkce(params: &Params, challenge: Option<&str>) -> Result<(), EndpointError> {
    let is_right = match (challenge, params.optional_within("code_verifier", 256)?) {
        (Some(challenge), Some(verifier)) => pkce::verify(challenge, verifier),
        (None, None) => true,
        // RFC 9700 §4.8.2: a verifier for a code without a challenge shows that an attacker has
        // removed the challenge from the request (TK-7).
        (None, Some(_)) | (Some(_), None) => false,
    };
    if is_right {
        return Ok(());
    }
    Err(invalid_grant("code_verifier").into())
}

async fn claim_code(app: &App, hash: &Hash, code: &AuthorizationCode) -> Result<(), EndpointError> {
    let tombstone = Tombstone {
        grant_id: code.grant_id,
        binding: code.binding.clone(),
        claimed_at: app.clock().now(),
    };
    let tombstone = serde_json::to_vec(&tombstone).map_err(InfraError::internal)?;
    match app
        .tickets
        .claim(TicketKind::Code, hash, &tombstone, TOMBSTONE_TTL)
        .await?
    {
        Claim::Fresh(_) => Ok(()),
        Claim::Replayed(_) | Claim::Gone => Err(invalid_grant("raced").into()),
    }
}

/// RFC 6749 §4.1.2, TK-6: revokes what a code gave if it was claimed more than ten seconds ago and
/// the request is right in all else: then someone has stolen it.
async fn revoke_if_replayed(request: &TokenRequest<'_>, hash: &Hash) -> Result<(), EndpointError> {
    let app = request.app;
    let claim = app
        .tickets
        .claim(TicketKind::Code, hash, b"{}", TOMBSTONE_TTL)
        .await?;
    let Claim::Replayed(tombstone) = claim else {
        return Ok(());
    };
    let Ok(spent) = serde_json::from_slice::<Tombstone>(&tombstone) else {
        return Ok(());
    };
    check_binding(request, &spent.binding)?;
    if app.clock().now().since(spent.claimed_at) > RACE {
        let tx = app.db.begin().await?;
        if grant_store::revoke(&tx, spent.grant_id).await? {
            let event = request
                .event(AuditKind::TokenRefused)
                .reason("code_replayed");
            event.record(&tx).await?;
        }
        tx.commit().await?;
    }
    Ok(())
}

/// Stores the grant of a claimed code and issues its tokens, in one transaction.
async fn redeem(
    request: &TokenRequest<'_>,
    code: &AuthorizationCode,
    audience: &str,
) -> Result<TokenResponse, EndpointError> {
    let TokenRequest {
        app,
        config,
        client,
        ..
    } = *request;
    let tx = app.db.begin().await?;
    let check = GrantCheck {
        source: GrantSource::Code(&code.sign_in),
        client,
        scope: &code.scope,
        claims: &code.claims,
    };
    let holder = ensure_grant_is_authorized(&tx, &config.session, &check).await?;
    let user = holder.user;
    let new = NewGrant {
        id: code.grant_id,
        user: &user,
        sign_in: &code.sign_in,
        client,
        scope: &code.scope,
        resources: code.resources.as_deref(),
        claims: &code.claims,
    };
    let (grant, refresh_token) = new_grant(app, config, new, tx.now);
    let event = request
        .event(AuditKind::TokenIssued)
        .user(user.id)
        .session(code.sign_in.session_id);
    if !grant_store::insert(&tx, grant.clone(), event).await? {
        return Err(invalid_grant("grant_exists").into());
    }
    if holder.has_most_grants {
        grant_store::revoke_surplus(&tx, user.id, &client.client_id).await?;
    }
    let subject = TokenSubject {
        grant: &grant,
        user: &user,
        client,
        scope: &grant.scope,
        audience,
        nonce: code.nonce.as_deref(),
    };
    let tokens = issue_tokens(app, config, &tx, &subject).await?;
    tx.commit().await?;
    Ok(TokenResponse {
        refresh_token,
        ..tokens
    })
}

#[cfg(test)]
mod tests;
