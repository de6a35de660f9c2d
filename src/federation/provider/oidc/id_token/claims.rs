//! The checks of an ID token's claims, once the signature is verified.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use openidconnect::JsonWebKey as _;
use serde_json::Value;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use crate::{
    config::{
        Provider,
        providers::{ProviderKind, TENANT, UpstreamAlg},
    },
    federation::{
        error::upstream_words,
        provider::{
            error::{IdTokenError, KeyError},
            oidc::{
                json::{Object, string_member},
                keys::{Key, library_algorithm},
            },
        },
    },
};

/// How far two clocks may differ, in seconds.
const MAX_SKEW: i64 = 60;

/// The last second of the year 9999: the last date that is accepted.
const LAST_DATE: i64 = 253_402_300_799;

/// What an ID token must agree with.
#[derive(Clone, Copy)]
pub(crate) struct Expected<'a> {
    pub(crate) settings: &'a Provider,
    /// The recorded issuer; with many Entra tenants, their template.
    pub(crate) issuer: &'a str,
    pub(crate) nonce: &'a str,
    /// Whether PKCE was used, which binds a code to this browser without a nonce, too.
    pub(crate) pkce: bool,
    /// The access token that came with the ID token.
    pub(crate) access_token: &'a str,
    /// Seconds since 1970.
    pub(crate) now: i64,
}

/// Whom checked claims name.
pub(super) struct CheckedClaims {
    pub(super) issuer: String,
    pub(super) subject: String,
}

pub(super) fn check_claims(
    claims: &Object,
    key: &Key,
    alg: UpstreamAlg,
    expected: &Expected<'_>,
) -> Result<CheckedClaims, IdTokenError> {
    let settings = expected.settings;
    let issuer = check_issuer(claims, expected)?;
    check_issuer_of_key(key, &issuer, claims, settings)?;
    check_audience(claims, settings)?;
    check_authorized_party(claims, &settings.client_id)?;
    check_expiry(claims, expected.now)?;
    check_issue_time(claims, expected)?;
    check_not_before(claims, expected.now)?;
    check_nonce(claims, expected)?;
    check_access_token_hash(claims, key, alg, expected.access_token)?;
    let subject = check_subject(claims)?;
    check_hosted_domain(claims, settings)?;
    let has_boolean = has_boolean_email_verified(claims, settings);
    ensure(has_boolean, || {
        IdTokenError::Claims("email_verified is not a boolean".to_owned())
    })?;
    Ok(CheckedClaims { issuer, subject })
}

pub(super) fn ensure(
    holds: bool,
    error: impl FnOnce() -> IdTokenError,
) -> Result<(), IdTokenError> {
    if holds { Ok(()) } else { Err(error()) }
}

/// Core §3.1.3.7(2): the recorded issuer, exactly. With many Entra tenants, the template filled in
/// with the account's tenant, which must be an allowed one.
fn check_issuer(claims: &Object, expected: &Expected<'_>) -> Result<String, IdTokenError> {
    let iss =
        string_member(claims, "iss").ok_or(IdTokenError::Issuer("is missing, or not a string"))?;
    let settings = expected.settings;
    let tenant = string_member(claims, "tid");
    let issuer = if settings.has_many_tenants() {
        expected
            .issuer
            .replace(TENANT, check_tenant(tenant, settings)?)
    } else {
        let is_other = tenant.is_some_and(|tenant| tenant != settings.tenant);
        if settings.kind == ProviderKind::Entra && is_other {
            return Err(IdTokenError::Tenant("is another tenant"));
        }
        expected.issuer.to_owned()
    };
    if iss == issuer {
        Ok(issuer)
    } else {
        Err(IdTokenError::Issuer("is another issuer"))
    }
}

fn check_tenant<'a>(tenant: Option<&'a str>, settings: &Provider) -> Result<&'a str, IdTokenError> {
    let is_guid =
        |text: &&str| Uuid::try_parse(text).is_ok_and(|id| id.hyphenated().to_string() == **text);
    let tenant = tenant
        .filter(is_guid)
        .ok_or(IdTokenError::Tenant("is not a tenant"))?;
    let is_allowed =
        settings.tenants.is_empty() || settings.tenants.iter().any(|allowed| allowed == tenant);
    ensure(is_allowed, || {
        IdTokenError::Tenant("is not an allowed tenant")
    })?;
    Ok(tenant)
}

/// Entra: a key names the issuer, or the template of issuers, whose tokens it signs.
pub(super) fn check_issuer_of_key(
    key: &Key,
    issuer: &str,
    claims: &Object,
    settings: &Provider,
) -> Result<(), IdTokenError> {
    let (ProviderKind::Entra, Some(template)) = (settings.kind, &key.issuer) else {
        return Ok(());
    };
    let tenant = string_member(claims, "tid").unwrap_or(&settings.tenant);
    ensure(template.replace(TENANT, tenant) == issuer, || {
        KeyError::Issuer.into()
    })
}

/// Core §3.1.3.7(3): this client once, and beside it only audiences that the settings name.
pub(super) fn check_audience(claims: &Object, settings: &Provider) -> Result<(), IdTokenError> {
    let client_id = settings.client_id.as_str();
    let audiences: Option<Vec<&str>> = match claims.get("aud") {
        Some(Value::String(audience)) => Some(vec![audience]),
        Some(Value::Array(list)) => list.iter().map(Value::as_str).collect(),
        _ => None,
    };
    let audiences = audiences.ok_or(IdTokenError::Audience)?;
    let own = audiences.iter().filter(|audience| **audience == client_id);
    ensure(own.count() == 1, || IdTokenError::Audience)?;
    let is_known = |audience: &str| {
        let mut known = settings.additional_audiences.iter();
        audience == client_id || known.any(|known| known == audience)
    };
    match audiences.iter().find(|audience| !is_known(audience)) {
        None => Ok(()),
        Some(other) => Err(IdTokenError::OtherAudience(upstream_words(other))),
    }
}

/// Core §3.1.3.7(4), (5): this client, and named if there are several audiences.
fn check_authorized_party(claims: &Object, client_id: &str) -> Result<(), IdTokenError> {
    let has_several = claims
        .get("aud")
        .and_then(Value::as_array)
        .is_some_and(|list| list.len() > 1);
    match claims.get("azp") {
        None if has_several => Err(IdTokenError::NoAuthorizedParty),
        None => Ok(()),
        Some(azp) => ensure(azp.as_str() == Some(client_id), || {
            IdTokenError::AuthorizedParty
        }),
    }
}

/// RFC 7519 §2: seconds since 1970, a number and not a string.
fn date(claims: &Object, claim: &str) -> Option<i64> {
    let Value::Number(number) = claims.get(claim)? else {
        return None;
    };
    let seconds = match number.as_i64() {
        Some(seconds) => seconds,
        #[allow(
            clippy::cast_possible_truncation,
            reason = "the bound excludes larger numbers"
        )]
        None => number
            .as_f64()
            .filter(|seconds| (0.0..1e12).contains(seconds))?
            .floor() as i64,
    };
    (0..=LAST_DATE).contains(&seconds).then_some(seconds)
}

/// Core §3.1.3.7(9), with a minute for clocks that differ.
pub(super) fn check_expiry(claims: &Object, now: i64) -> Result<(), IdTokenError> {
    let is_valid = date(claims, "exp").is_some_and(|exp| exp > now - MAX_SKEW);
    ensure(is_valid, || IdTokenError::Expired)
}

/// Core §3.1.3.7(10): issued a moment ago.
fn check_issue_time(claims: &Object, expected: &Expected<'_>) -> Result<(), IdTokenError> {
    let max_age = i64::try_from(expected.settings.token_age_seconds).unwrap_or(i64::MAX);
    let allowed = expected.now - max_age..=expected.now + MAX_SKEW;
    let is_recent = date(claims, "iat").is_some_and(|iat| allowed.contains(&iat));
    ensure(is_recent, || IdTokenError::IssuedAt)
}

/// RFC 7519 §4.1.5.
fn check_not_before(claims: &Object, now: i64) -> Result<(), IdTokenError> {
    let is_past = || date(claims, "nbf").is_some_and(|nbf| nbf <= now + MAX_SKEW);
    ensure(!claims.contains_key("nbf") || is_past(), || {
        IdTokenError::NotBefore
    })
}

/// Core §3.1.3.7(11). It may be missing where the settings say so, or where Apple says that it
/// supports none; never without PKCE, and one that is there is always compared (IT-06).
fn check_nonce(claims: &Object, expected: &Expected<'_>) -> Result<(), IdTokenError> {
    let is_unsupported = expected.settings.kind == ProviderKind::Apple
        && claims.get("nonce_supported") == Some(&Value::Bool(false));
    let is_valid = match claims.get("nonce") {
        Some(Value::String(nonce)) => nonce.as_bytes().ct_eq(expected.nonce.as_bytes()).into(),
        Some(_) => false,
        None => expected.pkce && (expected.settings.nonce_optional || is_unsupported),
    };
    ensure(is_valid, || IdTokenError::Nonce)
}

/// Core §3.1.3.8: the left half of the hash of the access token, by the algorithm of the signature.
fn check_access_token_hash(
    claims: &Object,
    key: &Key,
    alg: UpstreamAlg,
    access_token: &str,
) -> Result<(), IdTokenError> {
    let Some(at_hash) = claims.get("at_hash") else {
        return Ok(());
    };
    let hash = key
        .jwk
        .hash_bytes(access_token.as_bytes(), &library_algorithm(alg))
        .ok();
    let half = hash.as_deref().and_then(|hash| hash.get(..hash.len() / 2));
    let expected = half.map(|half| BASE64.encode(half));
    let is_equal = expected.is_some() && at_hash.as_str() == expected.as_deref();
    ensure(is_equal, || IdTokenError::AccessTokenHash)
}

/// Core §2: 1 to 255 ASCII characters, none of them a control character.
fn check_subject(claims: &Object) -> Result<String, IdTokenError> {
    let is_valid = |sub: &&str| {
        (1..=255).contains(&sub.len()) && sub.bytes().all(|byte| (b' '..=b'~').contains(&byte))
    };
    let subject = string_member(claims, "sub").filter(is_valid);
    subject.map(str::to_owned).ok_or(IdTokenError::Subject)
}

/// Google: the claim decides. The parameter of the request was a hint that the user can change.
fn check_hosted_domain(claims: &Object, settings: &Provider) -> Result<(), IdTokenError> {
    let domains = &settings.hosted_domains;
    let is_allowed = |hd| domains.iter().any(|domain| domain == hd);
    let is_valid = domains.is_empty() || string_member(claims, "hd").is_some_and(is_allowed);
    ensure(is_valid, || IdTokenError::HostedDomain)
}

/// Whether `email_verified` is a boolean, if it is there. The library takes `"true"` for true; this
/// service does so only where the settings say so.
pub(crate) fn has_boolean_email_verified(claims: &Object, settings: &Provider) -> bool {
    match claims.get("email_verified") {
        None | Some(Value::Bool(_) | Value::Null) => true,
        Some(Value::String(text)) => {
            settings.takes_string_booleans() && (text == "true" || text == "false")
        }
        Some(_) => false,
    }
}
