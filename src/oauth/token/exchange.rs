//! Token exchange (RFC 8693): an API that holds a user's access token gets one for another API that it
//! calls for this user.
//!
//! The new token is sealed to the grant of the token that was brought, so that it ends with that grant, and
//! there is no row of its own (EX-5, EX-7). It is never good for more than the grant and a rule of the
//! client's `token_exchange` allow together. A token that is bound to a key may be brought without a proof:
//! its key is that of the first client, and the API has checked the proof when the token was shown to it.
//!
//! An exchange is recorded in the audit log once a grant, client and hour, by a ticket. While the ticket
//! store is away each one is recorded.

use std::time::Duration;

use crate::{
    audit::{AuditReason, Kind as AuditKind},
    client::resource::access_token_terms,
    config::{ClientAuth, ExchangeRule},
    error::InfraError,
    oauth::{
        access_token::{self, ActiveGrant, ActiveToken, TokenCheckError, UserParts},
        actor::{self, MAX_ACTORS},
        client_auth::TokenRequest,
        error::{EndpointError, ErrorCode, OauthError},
        exchange_rules::{exchangeable, leading_to, rules_from},
        issue::{AccessTokenClaims, SignInClaims, TokenResponse, expiry, seal_jti},
        possession::{Confirmation, token_type},
        reason::Reason,
        scope,
    },
    secret::Hash,
    ticket::{Payer, TicketKind, Tickets},
    web::params::Params,
};

/// RFC 8693 §2.1.
pub(crate) const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// The one type of token that is exchanged, and that is issued (RFC 8693 §3).
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

const MAX_TOKEN: usize = 8 * 1024;
const MAX_TARGET: usize = 2048;

/// How long an exchange of the same grant and client is not recorded again.
const RECORDED: Duration = Duration::from_secs(3600);

/// RFC 8693 §2.2.2: why the subject token is not accepted is for the log alone.
fn bad_subject(reason: impl AuditReason) -> OauthError {
    let description =
        "The subject_token is expired, revoked, or not one that this client may exchange.";
    OauthError::new(ErrorCode::InvalidRequest, description).with_reason_of(reason)
}

/// A live access token that the client may exchange.
struct SubjectToken<'a> {
    token: ActiveToken<'a>,
    grant: ActiveGrant,
    /// The rules by which the client exchanges tokens of this audience.
    rules: Vec<&'a ExchangeRule>,
}

/// Issues an access token for an access token of a user.
///
/// # Errors
/// `unauthorized_client` for a client without rules; `invalid_request` for a subject token that is not
/// live, not a user's, or not for this client; `invalid_target` and `invalid_scope` for more than a rule
/// and the grant allow.
pub(crate) async fn exchange(request: &TokenRequest<'_>) -> Result<TokenResponse, EndpointError> {
    check_client(request)?;
    check_types(request.params)?;
    let text = request.params.required("subject_token", MAX_TOKEN)?;
    let target = read_target(request)?;
    let subject = find_subject(request, text).await?;
    let rules = leading_to(request.config, subject.rules.iter().copied(), target);
    if rules.is_empty() {
        return Err(
            invalid_target("The client may not exchange this token for that target.").into(),
        );
    }
    let scope = choose_scope(request, &subject.grant, &rules)?;
    request.check_proof_for(target)?;
    let user = subject.grant.holder.user.id;
    request.claim_proof(Payer::User(user)).await?;
    let tokens = sign(request, &subject, target, scope)?;
    record(request, &subject.grant).await?;
    Ok(tokens)
}

/// EX-1: a public client is never given a rule, and without one there is nothing to exchange.
fn check_client(request: &TokenRequest<'_>) -> Result<(), OauthError> {
    let client = request.client;
    let is_public = client.token_endpoint_auth_method == ClientAuth::None;
    if is_public || client.token_exchange.is_empty() {
        let description = "The client is not registered for this grant type.";
        return Err(OauthError::new(ErrorCode::UnauthorizedClient, description));
    }
    Ok(())
}

/// RFC 8693 §2.1: access tokens alone, and the client itself is the actor.
fn check_types(params: &Params) -> Result<(), OauthError> {
    for name in ["actor_token", "actor_token_type"] {
        if params.optional_within(name, MAX_TOKEN)?.is_some() {
            let error = OauthError::new(ErrorCode::InvalidRequest, "is not supported.");
            return Err(error.about(name).with_reason(Reason::ActorToken));
        }
    }
    let subject = params.required("subject_token_type", 256)?;
    let requested = params.optional_within("requested_token_type", 256)?;
    for (name, is_right) in [
        ("subject_token_type", subject == ACCESS_TOKEN),
        (
            "requested_token_type",
            requested.is_none_or(|requested| requested == ACCESS_TOKEN),
        ),
    ] {
        if !is_right {
            let description = "must be urn:ietf:params:oauth:token-type:access_token.";
            let error = OauthError::new(ErrorCode::InvalidRequest, description);
            return Err(error.about(name).with_reason(Reason::ExchangeTokenType));
        }
    }
    Ok(())
}

const fn invalid_target(description: &'static str) -> OauthError {
    OauthError::new(ErrorCode::InvalidTarget, description)
}

/// Returns the one API that the request names, as tokens spell it. `audience` names it as `resource` does.
fn read_target<'a>(request: &TokenRequest<'a>) -> Result<&'a str, OauthError> {
    let (params, resources) = (request.params, &request.config.resources);
    let mut names = params.all_values("resource", MAX_TARGET)?;
    names.extend(params.all_values("audience", MAX_TARGET)?);
    let names = names.into_iter().map(|name| resources.spelled(name));
    match scope::without_repetitions(names).as_slice() {
        [one] => Ok(*one),
        [] => {
            let description = "is missing.";
            Err(OauthError::new(ErrorCode::InvalidRequest, description).about("resource"))
        }
        _ => Err(invalid_target(
            "An access token has one audience. Request one target at a time.",
        )),
    }
}

/// EX-2, EX-6: the subject token is a live access token of ours, of a user, and for an API that this client
/// is.
async fn find_subject<'a>(
    request: &TokenRequest<'a>,
    text: &str,
) -> Result<SubjectToken<'a>, EndpointError> {
    let TokenRequest {
        app,
        config,
        client,
        ..
    } = *request;
    let mut token = match access_token::find_active(app, config, text, UserParts::User).await {
        Ok(token) => token,
        Err(TokenCheckError::Inactive(why)) => return Err(bad_subject(why).into()),
        Err(TokenCheckError::Infra(error)) => return Err(error.into()),
    };
    let grant = token.grant.take();
    let grant = grant.ok_or_else(|| bad_subject(Reason::SubjectIsNoUser))?;
    if actor::actors(&token.claims).len() >= MAX_ACTORS {
        return Err(bad_subject(Reason::ExchangedTooOften).into());
    }
    let rules = rules_from(config, client, config.resources.spelled(token.text("aud")));
    if rules.is_empty() {
        return Err(bad_subject(Reason::SubjectOfOtherAudience).into());
    }
    Ok(SubjectToken {
        token,
        grant,
        rules,
    })
}

/// EX-3: what the request names, or else all that the grant and the rules allow.
fn choose_scope(
    request: &TokenRequest<'_>,
    active: &ActiveGrant,
    rules: &[&ExchangeRule],
) -> Result<String, EndpointError> {
    let allowed = exchangeable(request.config, &active.grant, rules);
    let requested = request.params.optional_within("scope", 1024)?;
    let scope = scope::narrow(&allowed, requested)?;
    if scope.is_empty() {
        let description = "The user has granted no scope that the client may get for that target.";
        return Err(OauthError::new(ErrorCode::InvalidScope, description).into());
    }
    Ok(scope)
}

/// Signs the token: for the client that exchanges, about the same user and sign-in, and until the subject
/// token expires at the latest (EX-4).
fn sign(
    request: &TokenRequest<'_>,
    subject: &SubjectToken<'_>,
    audience: &str,
    scope: String,
) -> Result<TokenResponse, InfraError> {
    let TokenRequest {
        app,
        config,
        client,
        ..
    } = *request;
    let SubjectToken {
        token,
        grant: ActiveGrant { grant, holder, .. },
        ..
    } = subject;
    let terms = access_token_terms(config, client, audience);
    let now = app.clock().now().seconds();
    let ends = token.claims.get("exp").and_then(serde_json::Value::as_i64);
    let exp = expiry(now, terms.seconds).min(ends.unwrap_or(now));
    let claims = AccessTokenClaims {
        iss: &app.public_url,
        sub: holder.user.public_id.to_string(),
        aud: audience,
        exp,
        iat: now,
        jti: seal_jti(&app.macs.jti, grant.id),
        client_id: &client.client_id,
        scope: &scope,
        cnf: Confirmation::of(request.jkt()),
        act: Some(actor::act_of(&client.client_id, &token.claims)),
        sign_in: Some(SignInClaims::of(grant, &holder.user)),
    };
    Ok(TokenResponse {
        access_token: app.keys.sign(terms.alg, terms.typ.as_str(), &claims)?,
        token_type: token_type(request.jkt().is_some()),
        expires_in: u64::try_from(exp.saturating_sub(now)).unwrap_or_default(),
        id_token: None,
        refresh_token: None,
        scope,
        issued_token_type: Some(ACCESS_TOKEN),
    })
}

/// EX-7: records the exchange, unless one of the same grant and client was recorded within the hour.
async fn record(request: &TokenRequest<'_>, active: &ActiveGrant) -> Result<(), InfraError> {
    let client_id = request.client.client_id.as_bytes();
    let payer = Payer::Client(Hash::of(client_id));
    let tickets = request.app.tickets.charged_to(payer);
    let handle = Hash::of(&[active.grant.id.as_bytes().as_slice(), client_id].concat());
    let is_first = tickets
        .issue(TicketKind::Exchange, &handle, &[], RECORDED)
        .await;
    if matches!(is_first, Ok(false)) {
        return Ok(());
    }
    let recorded = write_event(request, active).await;
    if recorded.is_err() {
        forget(&tickets, &handle).await;
    }
    recorded
}

async fn write_event(request: &TokenRequest<'_>, active: &ActiveGrant) -> Result<(), InfraError> {
    let tx = request.app.db.begin().await?;
    let event = request
        .event(AuditKind::TokenExchanged)
        .user(active.grant.user_id);
    let event = match active.grant.session_id {
        Some(session) => event.session(session),
        None => event,
    };
    event.record(&tx).await?;
    tx.commit().await
}

/// Lets the next exchange be recorded: this one was not. Its tombstone ends at once.
async fn forget(tickets: &Tickets, handle: &Hash) {
    let (kind, keep) = (TicketKind::Exchange, Duration::from_millis(1));
    if let Err(error) = tickets.claim(kind, handle, &[], keep).await {
        tracing::warn!(cause = %error, "an exchange of tokens is not in the audit log");
    }
}

#[cfg(test)]
mod tests;
