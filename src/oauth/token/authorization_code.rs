//! Authorization codes: issued for an authorization request, kept sealed in the ticket store, and
//! exchanged once for tokens (RFC 6749 §4.1.3).
//!
//! An exchange checks client, redirect URI and verifier first and then claims the code by one atomic command; the
//! rest is one transaction (RD-06). Such a check that fails claims and revokes nothing (TK-3). If that transaction
//! cannot begin, the code is given back, so that a database that is away uses up no code. Where the code itself shows
//! that the request is right, there is no look at it before the claim (`code_secret`). A claimed code leaves a
//! tombstone, which distinguishes a replay from a code that never existed.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    app::App,
    audit::Kind as AuditKind,
    client::VerifiedRedirect,
    clock::Time,
    config::{Budget, GrantType},
    db::Tx,
    error::InfraError,
    limit,
    oauth::{
        client_auth::TokenRequest,
        error::{EndpointError, OauthError},
        grant_check::{GrantCheck, GrantSource, SignIn, ensure_grant_is_authorized},
        grant_store,
        issue::{NewGrant, TokenResponse, TokenSubject, issue_tokens, new_grant},
        resource,
        token::{
            code_check::{check_binding, invalid_grant},
            code_secret::{CodeBinding, CodeSecret},
        },
    },
    pkce,
    secret::{Hash, Plain},
    ticket::{Claim, Issue, NewValue, Payer, TicketKind},
};

/// How long a claimed code is remembered (RD-04).
const TOMBSTONE_TTL: Duration = Duration::from_secs(600);

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
    /// When the code expires: the ticket of one that was given back lives longer. None in codes of an older version.
    #[serde(rename = "exp")]
    pub(crate) expires_at: Option<Time>,
    #[serde(flatten)]
    pub(crate) sign_in: SignIn,
}

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

impl Tombstone {
    fn to_bytes(&self) -> Result<Vec<u8>, InfraError> {
        serde_json::to_vec(self).map_err(InfraError::internal)
    }
}

/// How a code is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CodeTerms<'a> {
    pub(crate) user_id: Uuid,
    pub(crate) lifetime: Duration,
    /// How many codes a session may request.
    pub(crate) budgets: &'a [Budget],
}

/// Stores a new code, within the budget of its session (OA-8), by one command. Returns `false` if the
/// budget is exhausted. A code is charged to its user: one who makes codes without end drops their own,
/// and takes the space of no other user's (OA-4).
pub(crate) async fn issue_code(
    app: &App,
    secret: &CodeSecret,
    code: &AuthorizationCode,
    terms: CodeTerms<'_>,
) -> Result<bool, InfraError> {
    let value = serde_json::to_vec(code).map_err(InfraError::internal)?;
    let tickets = app.tickets.charged_to(Payer::User(terms.user_id));
    let session = Hash::of(code.sign_in.session_id.as_bytes());
    let new = NewValue {
        kind: TicketKind::Code,
        handle: &secret.hash(),
        value: &value,
        ttl: terms.lifetime,
    };
    match limit::issue(&tickets, "session code", &session, terms.budgets, new).await? {
        Issue::Issued => Ok(true),
        Issue::Limited(_) => Ok(false),
        Issue::Taken => Err(InfraError::internal("a fresh code exists already")),
    }
}

/// Returns whether a code has neither been exchanged nor expired.
pub(crate) async fn is_live(app: &App, code: &str) -> Result<bool, InfraError> {
    let Some(code) = Plain::parse(code) else {
        return Ok(false);
    };
    let found = app.tickets.peek(TicketKind::Code, &code.hash()).await?;
    let code = found.as_deref().map(read_code).transpose();
    // The ticket of one that was given back outlives it.
    Ok(code
        .ok()
        .flatten()
        .is_some_and(|code| !has_expired(app, &code)))
}

/// Issues tokens for a code.
///
/// # Errors
/// `invalid_grant` for a code that is not live, not this client's, or whose grant is no longer
/// authorized; `invalid_target` for a resource that was not granted.
pub(crate) async fn exchange(request: &TokenRequest<'_>) -> Result<TokenResponse, EndpointError> {
    request.check_grant_type(GrantType::AuthorizationCode)?;
    let text = request.params.required("code", 4096)?;
    let secret = CodeSecret::parse(text).ok_or(invalid_grant("malformed"))?;
    let claimed = match repeated_binding(request, &secret)? {
        Some(binding) => claim_at_once(request, &secret, binding).await?,
        None => check_and_claim(request, &secret).await?,
    };
    let tx = match request.app.db.begin().await {
        Ok(tx) => tx,
        Err(error) => {
            give_back(request.app, &secret, &claimed).await;
            return Err(error.into());
        }
    };
    redeem(request, tx, &claimed).await
}

/// Returns the binding that the request repeats, if the MAC in the code confirms it and neither `resource` nor a
/// proof of possession needs the stored code: then the code can be claimed at once. The code is then bound to no
/// key.
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
    if !is_readable || !is_registered || params.contains("resource") || request.proof.is_some() {
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
    match claim_code(request.app, &secret.hash(), &tombstone).await? {
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
            Err(invalid_grant("not_live").into())
        }
        Claim::Gone => Err(invalid_grant("not_live").into()),
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
        return Err(invalid_grant("not_live").into());
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
    match claim_code(app, &hash, &tombstone).await? {
        Claim::Fresh(value) => Ok(ClaimedCode {
            code,
            audience,
            value,
            tombstone,
        }),
        Claim::Replayed(_) | Claim::Gone => Err(invalid_grant("raced").into()),
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

fn read_code(value: &[u8]) -> Result<AuthorizationCode, OauthError> {
    // An instance of another version may have written it during a rolling upgrade.
    serde_json::from_slice(value).map_err(|_| invalid_grant("unreadable"))
}

fn has_expired(app: &App, code: &AuthorizationCode) -> bool {
    code.expires_at.is_some_and(|at| app.clock().now() >= at)
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
    if has_expired(app, code) {
        return Err(invalid_grant("not_live").into());
    }
    // An operator may have taken the redirect URI from the client because codes went to someone
    // else. A replay revokes the grant all the same.
    if VerifiedRedirect::check(client, &code.binding.redirect_uri).is_none() {
        return Err(invalid_grant("redirect_uri_not_registered").into());
    }
    let (granted, issuer) = (code.resources.as_deref(), &app.public_url);
    let audience = resource::choose_audience(params, granted, config, client, issuer)?;
    Ok(audience)
}

async fn claim_code(app: &App, hash: &Hash, tombstone: &[u8]) -> Result<Claim, InfraError> {
    app.tickets
        .claim(TicketKind::Code, hash, tombstone, TOMBSTONE_TTL)
        .await
}

/// Makes a claimed code live again, for which nothing has been written: the client tries again later. If the ticket
/// store is away as well, the code stays used.
async fn give_back(app: &App, secret: &CodeSecret, claimed: &ClaimedCode) {
    let (hash, value, tombstone) = (secret.hash(), &claimed.value, &claimed.tombstone);
    let tickets = &app.tickets;
    let given = tickets.give_back(TicketKind::Code, &hash, tombstone, value);
    if let Err(error) = given.await {
        tracing::warn!(cause = %error, "a code stays used for which no tokens were issued");
    }
}

/// RFC 6749 §4.1.2, TK-6, FS-4: revokes what a code gave if it was claimed longer ago than a race lasts
/// and the request is right in all else: then someone has stolen it.
async fn revoke_if_replayed(
    request: &TokenRequest<'_>,
    tombstone: &[u8],
) -> Result<(), EndpointError> {
    let app = request.app;
    let Ok(spent) = serde_json::from_slice::<Tombstone>(tombstone) else {
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
    tx: Tx,
    claimed: &ClaimedCode,
) -> Result<TokenResponse, EndpointError> {
    let ClaimedCode { code, audience, .. } = claimed;
    let TokenRequest {
        app,
        config,
        client,
        ..
    } = *request;
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
        jkt: request.jkt(),
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
        jkt: request.jkt(),
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
