//! `private_key_jwt` (OIDC Core §9, RFC 7523 §2.2, §3): a client signs, with a key of its own, that
//! it is this client, to this service, now, and once.
//!
//! Whatever is wrong with an assertion, the client gets the one response for failed authentication;
//! the reason here is for the log.

use std::time::Duration;

use serde_json::Value;

use super::audience::{self, AudienceRule};
use crate::{
    app::App,
    client::fetch_scope,
    clock::Time,
    config::{
        Client,
        jwks::{Jwks, SigAlg},
    },
    error::InfraError,
    key::{self, Claims, ForeignToken, KeysUnavailable},
    oauth::{
        error::{ErrorCode, OauthError},
        reason::Reason,
    },
    secret::Hash,
    ticket::{Once, TicketKind},
    web::params::Params,
};

/// `client_assertion_type` (RFC 7523 §2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

const MAX_BYTES: usize = 8 * 1024;

/// The types that an assertion may have if it has any: they distinguish it from the tokens that we
/// issue (RFC 8725 §3.11).
const JWT_TYPES: [&str; 2] = ["JWT", "client-authentication+jwt"];

/// The longest remaining lifetime of an assertion and the greatest age, in seconds.
const MAX_LIFETIME: i64 = 300;

/// How far the client's clock may be ahead of ours, in seconds. (CA-8 asks for at least 10 and at
/// most 60.)
const MAX_AHEAD: i64 = 30;

/// A ticket store whose data began less than this many seconds after an assertion was made may have
/// lost it (RD-09). It is more than [`MAX_AHEAD`], so that no clock ahead of ours carries an
/// assertion over the loss.
const STORE_MARGIN: i64 = 60;

/// How many seconds an assertion is remembered beyond its expiry (RD-04).
const REMEMBERED_AFTER_EXPIRY: i64 = 60;

const MAX_JTI: usize = 512;

/// Why an assertion is not accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AssertionError {
    /// The assertion is wrong; the reason for the log.
    #[error("{}", .0.as_str())]
    Invalid(Reason),
    /// RD-09: the ticket store cannot know yet whether the assertion is new. After this time the client
    /// may send another one.
    #[error("it is not known yet whether the assertion is new")]
    MaybeUsed(Duration),
    /// CA-10: it is not known whether the assertion is right.
    #[error(transparent)]
    KeysUnavailable(#[from] KeysUnavailable),
    #[error(transparent)]
    Infra(#[from] InfraError),
}

/// What to do about a key that is not among those that were fetched from a client's `jwks_uri`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyLookup {
    /// The keys are fetched again if that is allowed by now.
    FetchUnknown,
    /// Nothing: cached keys are only renewed when they are old.
    Cached,
}

/// Returns whether the request has one of the two parameters of an assertion.
pub(crate) fn is_present(params: &Params) -> bool {
    params.contains("client_assertion") || params.contains("client_assertion_type")
}

/// Parses the assertion of a request without verifying it; none if it is no signed token at all.
///
/// # Errors
/// `invalid_request` without exactly its two parameters (RFC 7521 §4.2).
pub(crate) fn parse(params: &Params) -> Result<Option<ForeignToken>, OauthError> {
    if params.optional_within("client_assertion_type", 128)? != Some(ASSERTION_TYPE) {
        let description =
            "The parameter client_assertion_type must be the type of a JWT (RFC 7523).";
        return Err(OauthError::new(ErrorCode::InvalidRequest, description));
    }
    let text = params.required("client_assertion", MAX_BYTES)?;
    Ok(ForeignToken::parse(text, &JWT_TYPES).ok())
}

/// Returns the client that an unverified assertion names, so that its keys can be looked up.
pub(crate) fn client_id(assertion: &ForeignToken) -> &str {
    assertion
        .claims
        .get("sub")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Verifies an assertion of `client`: its claims, then its signature, then that it is new.
///
/// # Errors
/// [`AssertionError`].
pub(crate) async fn verify(
    app: &App,
    client: &Client,
    assertion: &ForeignToken,
    lookup: KeyLookup,
) -> Result<(), AssertionError> {
    let now = app.clock().now();
    let checked = check_claims(&assertion.claims, &client.client_id, now.seconds())?;
    let rule = AudienceRule::of(client, &app.config.get().token);
    let named = rule
        .accept(assertion.claims.get("aud"), &app.public_url)
        .ok_or(AssertionError::Invalid(Reason::AssertionAudience))?;
    if assertion.alg() == SigAlg::RS256 && !client.demands().allows_rs256 {
        return Err(AssertionError::Invalid(Reason::AssertionAlgorithm));
    }
    if !is_signed_by(app, client, assertion, lookup).await? {
        return Err(AssertionError::Invalid(Reason::AssertionSignature));
    }
    claim_jti(app, client, &checked, now).await?;
    audience::warn_of_endpoint(named, &client.client_id, now);
    Ok(())
}

/// What the last step needs of an assertion whose claims are right.
#[derive(Debug, PartialEq, Eq)]
struct CheckedClaims<'a> {
    jti: &'a str,
    exp: i64,
    /// When the assertion was made; without `iat` the earliest time that its expiry allows.
    made_at: i64,
}

/// RFC 7523 §3, with the bounds of CA-8. The audience is checked by [`AudienceRule`].
fn check_claims<'a>(
    claims: &'a Claims,
    client_id: &str,
    now: i64,
) -> Result<CheckedClaims<'a>, AssertionError> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let invalid = |reason| Err(AssertionError::Invalid(reason));
    if text("iss") != Some(client_id) || text("sub") != Some(client_id) {
        return invalid(Reason::AssertionIssuer);
    }
    let Some(exp) = numeric_date(claims, "exp")? else {
        return invalid(Reason::AssertionWithoutExpiry);
    };
    if exp <= now || exp > now.saturating_add(MAX_LIFETIME) {
        return invalid(Reason::AssertionExpiry);
    }
    let issued_at = numeric_date(claims, "iat")?;
    // Too old in any case, whatever the ticket store remembers.
    if issued_at.is_some_and(|at| at < now.saturating_sub(MAX_LIFETIME)) {
        return invalid(Reason::AssertionOld);
    }
    for start in [issued_at, numeric_date(claims, "nbf")?]
        .into_iter()
        .flatten()
    {
        if start > now.saturating_add(MAX_AHEAD) {
            return invalid(Reason::AssertionAhead);
        }
    }
    match text("jti") {
        Some(jti) if (1..=MAX_JTI).contains(&jti.len()) => {
            let made_at = issued_at.unwrap_or(exp.saturating_sub(MAX_LIFETIME));
            Ok(CheckedClaims { jti, exp, made_at })
        }
        _ => invalid(Reason::AssertionWithoutJti),
    }
}

/// RFC 7519 §2, NumericDate: a number of seconds, whole or not.
fn numeric_date(claims: &Claims, name: &str) -> Result<Option<i64>, AssertionError> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    key::numeric_date(value)
        .map(Some)
        .ok_or(AssertionError::Invalid(Reason::AssertionNumber))
}

async fn is_signed_by(
    app: &App,
    client: &Client,
    assertion: &ForeignToken,
    lookup: KeyLookup,
) -> Result<bool, AssertionError> {
    if let Some(keys) = &client.jwks {
        return Ok(assertion.is_signed_by(keys));
    }
    let is_by = |keys: &Jwks| assertion.is_signed_by(keys);
    let is_known =
        |keys: &Jwks| lookup == KeyLookup::Cached || assertion.names_key_in(keys) || is_by(keys);
    let now = app.clock().now();
    let (uri, scope) = (&client.jwks_uri, fetch_scope(client, &client.jwks_uri));
    let keys = app.client_keys.get(uri, scope, is_known, now).await?;
    Ok(is_by(&keys))
}

/// CA-8: each `jti` of a client counts once while the assertion is valid. This step comes last, so
/// that only the client itself can use up its `jti`; where the ticket store cannot know whether it
/// is new, no assertion is accepted (RD-09).
async fn claim_jti(
    app: &App,
    client: &Client,
    checked: &CheckedClaims<'_>,
    now: Time,
) -> Result<(), AssertionError> {
    let id = Hash::of(format!("assertion {} {}", client.client_id, checked.jti).as_bytes());
    let remaining = checked.exp.saturating_sub(now.seconds());
    let kept = to_duration(remaining.saturating_add(REMEMBERED_AFTER_EXPIRY));
    let data_began = match app.tickets.once(TicketKind::Jti, &id, kept, now).await? {
        Once::First { since } => since.seconds(),
        Once::Again => return Err(AssertionError::Invalid(Reason::AssertionReplayed)),
        Once::Forgotten => now.seconds(),
    };
    let safe_from = data_began.saturating_add(STORE_MARGIN);
    if checked.made_at >= safe_from {
        return Ok(());
    }
    let wait = safe_from.saturating_sub(now.seconds()).saturating_add(1);
    Err(AssertionError::MaybeUsed(to_duration(wait.max(1))))
}

fn to_duration(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

#[cfg(test)]
mod tests;
