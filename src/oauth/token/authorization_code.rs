//! The exchange of an authorization code for tokens, once (RFC 6749 §4.1.3). Codes are stored by
//! [`super::code_store`].
//!
//! An exchange checks client, redirect URI and verifier first and then claims the code by one atomic command; the
//! rest is one transaction (RD-06). Such a check that fails claims and revokes nothing (TK-3). If that transaction
//! cannot begin, the code is given back, so that a database that is away uses up no code. Where the code itself shows
//! that the request is right, there is no look at it before the claim (`code_secret`).

use crate::{
    audit::Kind as AuditKind,
    client::VerifiedRedirect,
    config::GrantType,
    db::Tx,
    oauth::{
        client_auth::TokenRequest,
        error::EndpointError,
        grant_store,
        issue::TokenResponse,
        reason::Reason,
        resource,
        token::{
            code_check::{check_binding, invalid_grant},
            code_secret::{CodeBinding, CodeSecret},
            code_store::{AuthorizationCode, Tombstone, claim_code, give_back_code, read_code},
            first_tokens::{ClaimedGrant, store_and_issue},
        },
    },
    pkce,
    ticket::{Claim, Payer, TicketKind},
};

/// A code that this request has claimed.
struct ClaimedCode {
    code: AuthorizationCode,
    /// The audience of the tokens.
    audience: String,
    /// As it was stored, to give it back.
    value: Vec<u8>,
    /// What has replaced it.
    tombstone: Vec<u8>,
}

/// Issues tokens for a code.
///
/// # Errors
/// `invalid_grant` for a code that is not live, not this client's, or whose grant is no longer
/// authorized; `invalid_target` for a resource that was not granted.
pub(crate) async fn exchange(request: &TokenRequest<'_>) -> Result<TokenResponse, EndpointError> {
    request.check_grant_type(GrantType::AuthorizationCode)?;
    let text = request.params.required("code", 4096)?;
    let secret = CodeSecret::parse(text).ok_or(invalid_grant(Reason::Malformed))?;
    let claimed = match repeated_binding(request, &secret)? {
        Some(binding) => claim_at_once(request, &secret, binding).await?,
        None => check_and_claim(request, &secret).await?,
    };
    let tx = match request.app.db.begin().await {
        Ok(tx) => tx,
        Err(error) => {
            give_back_code(request.app, &secret, &claimed.tombstone, &claimed.value).await;
            return Err(error.into());
        }
    };
    redeem(request, tx, &claimed).await
}

/// Returns the binding if the code can be claimed at once: its MAC fits what the request repeats, and nothing needs
/// the stored code (`resource`, a proof of possession, an API that demands one). The code is then bound to no key.
fn repeated_binding(
    request: &TokenRequest<'_>,
    secret: &CodeSecret,
) -> Result<Option<CodeBinding>, EndpointError> {
    let (params, client) = (request.params, request.client);
    let Some(redirect_uri) = params.optional_within("redirect_uri", 2048)? else {
        return Ok(None);
    };
    let verifier = params.optional_within("code_verifier", 256)?;
    let is_readable = verifier.is_none_or(pkce::is_verifier);
    let is_registered = VerifiedRedirect::check(client, redirect_uri).is_some();
    let needs_code = params.contains("resource") || request.may_lack_proof();
    if !is_readable || !is_registered || needs_code || request.proof.is_some() {
        return Ok(None);
    }
    let binding = CodeBinding {
        client_id: client.client_id.clone(),
        redirect_uri: redirect_uri.to_owned(),
        code_challenge: verifier.map(pkce::challenge_of),
        dpop_jkt: None,
    };
    let mac = &request.app.macs.authorization_code;
    Ok(secret.is_bound_to(mac, &binding).then_some(binding))
}

/// Claims the code of a request that repeats its binding, and then checks what the code says all the
/// same.
async fn claim_at_once(
    request: &TokenRequest<'_>,
    secret: &CodeSecret,
    binding: CodeBinding,
) -> Result<ClaimedCode, EndpointError> {
    let tombstone = Tombstone {
        grant_id: secret.grant_id(),
        binding,
        claimed_at: request.app.clock().now(),
    };
    let tombstone = tombstone.to_bytes()?;
    match claim_code(request.app, secret, &tombstone).await? {
        Claim::Fresh(value) => {
            let code = read_code(&value)?;
            let audience = check_code(request, &code)?;
            request.check_key_of_code(code.binding.dpop_jkt.as_deref())?;
            Ok(ClaimedCode {
                code,
                audience,
                value,
                tombstone,
            })
        }
        Claim::Replayed(tombstone) => {
            revoke_if_replayed(request, &tombstone).await?;
            Err(invalid_grant(Reason::NotLive).into())
        }
        Claim::Gone => Err(invalid_grant(Reason::NotLive).into()),
    }
}

/// Checks a code before it is claimed: what fails claims nothing (TK-3). A proof is claimed before the code, so that
/// one that was shown before spends no code.
async fn check_and_claim(
    request: &TokenRequest<'_>,
    secret: &CodeSecret,
) -> Result<ClaimedCode, EndpointError> {
    let (app, hash) = (request.app, secret.hash());
    let Some(value) = app.tickets.peek(TicketKind::Code, &hash).await? else {
        if let Some(tombstone) = app.tickets.tombstone(TicketKind::Code, &hash).await? {
            revoke_if_replayed(request, &tombstone).await?;
        }
        return Err(invalid_grant(Reason::NotLive).into());
    };
    let code = read_code(&value)?;
    let audience = check_code(request, &code)?;
    check_key(request, &code).await?;
    request
        .claim_proof(Payer::Session(code.sign_in.session_id))
        .await?;
    let tombstone = Tombstone {
        grant_id: code.grant_id,
        binding: code.binding.clone(),
        claimed_at: app.clock().now(),
    };
    let tombstone = tombstone.to_bytes()?;
    match claim_code(app, secret, &tombstone).await? {
        Claim::Fresh(value) => Ok(ClaimedCode {
            code,
            audience,
            value,
            tombstone,
        }),
        Claim::Replayed(_) | Claim::Gone => Err(invalid_grant(Reason::Raced).into()),
    }
}

/// PP-8: the request shows a proof by the key to which the code is bound. A request that is right in all else has
/// the code and its verifier: that it lacks the key is in the audit log.
async fn check_key(
    request: &TokenRequest<'_>,
    code: &AuthorizationCode,
) -> Result<(), EndpointError> {
    let checked = request.check_key_of_code(code.binding.dpop_jkt.as_deref());
    if checked.is_err() {
        let event = request.key_refusal_event();
        let event = event.session(code.sign_in.session_id);
        request.record_key_refusal(code.grant_id, event).await;
    }
    Ok(checked?)
}

/// Checks that a request may redeem a code, and returns the audience of the tokens.
fn check_code(
    request: &TokenRequest<'_>,
    code: &AuthorizationCode,
) -> Result<String, EndpointError> {
    let TokenRequest {
        app,
        config,
        client,
        params,
        ..
    } = *request;
    check_binding(request, &code.binding)?;
    if code.has_expired(app.clock().now()) {
        return Err(invalid_grant(Reason::NotLive).into());
    }
    // An operator may have taken the redirect URI from the client because codes went to someone
    // else. A replay revokes the grant all the same.
    if VerifiedRedirect::check(client, &code.binding.redirect_uri).is_none() {
        return Err(invalid_grant(Reason::RedirectUriNotRegistered).into());
    }
    let (granted, issuer) = (code.resources.as_deref(), &app.public_url);
    let audience = resource::choose_audience(params, granted, config, client, issuer)?;
    request.check_proof_for(&audience)?;
    Ok(audience)
}

/// RFC 6749 §4.1.2, TK-6, FS-4: revokes what a code gave if it was claimed longer ago than a race lasts
/// and the request is right in all else: then someone has stolen it.
async fn revoke_if_replayed(
    request: &TokenRequest<'_>,
    tombstone: &[u8],
) -> Result<(), EndpointError> {
    let app = request.app;
    let Some(spent) = Tombstone::parse(tombstone) else {
        return Ok(());
    };
    check_binding(request, &spent.binding)?;
    request.check_key_of_code(spent.binding.dpop_jkt.as_deref())?;
    let race = request.client.demands().code_race;
    if app.clock().now().since(spent.claimed_at) > race {
        // A request that was captured whole ends nothing: its proof was shown before (PP-12).
        let payer = Payer::Network(request.caller.ip);
        request.claim_proof(payer).await?;
        let tx = app.db.begin().await?;
        if grant_store::revoke(&tx, spent.grant_id).await? {
            let event = request
                .event(AuditKind::TokenRefused)
                .reason(Reason::CodeReplayed);
            event.record(&tx).await?;
        }
        tx.commit().await?;
    }
    Ok(())
}

/// Stores the grant of a claimed code and issues its tokens, in one transaction.
async fn redeem(
    request: &TokenRequest<'_>,
    tx: Tx,
    claimed: &ClaimedCode,
) -> Result<TokenResponse, EndpointError> {
    let code = &claimed.code;
    let grant = ClaimedGrant {
        id: code.grant_id,
        sign_in: &code.sign_in,
        scope: &code.scope,
        claims: &code.claims,
        resources: code.resources.as_deref(),
        nonce: code.nonce.as_deref(),
        audience: &claimed.audience,
        error_if_exists: invalid_grant(Reason::GrantExists),
    };
    store_and_issue(request, tx, &grant).await
}

#[cfg(test)]
mod tests;
