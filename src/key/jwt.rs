//! The strict verifier of our own tokens. Each check has an error of its own. The defaults of
//! `jsonwebtoken` accept most of what is refused here.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use jsonwebtoken::{Algorithm, decode_header};
use serde_json::{Map, Value};

use super::{public::VerifyingKey, verified::VerifiedTokens};
use crate::{clock::Time, config::Alg};

/// The payload of a token: a JSON object (RFC 7519 §4).
pub type Claims = Map<String, Value>;

/// Longer tokens are refused.
const MAX_BYTES: usize = 8 * 1024;
/// How far two clocks may differ, in seconds.
const LEEWAY: i64 = 30;
/// The longest lifetime of our tokens, in seconds. Keys stay published for longer (see
/// `lifecycle`).
pub(super) const MAX_LIFETIME: i64 = 3600;

/// What a token must say to be accepted.
#[derive(Clone, Copy, Debug)]
pub struct ExpectedToken<'a> {
    /// `typ` of the header, without `application/`, in any case (RFC 7515 §4.1.9): `at+jwt`, `JWT`,
    /// `logout+jwt`.
    pub typ: &'a str,
    /// `iss`, exactly.
    pub issuer: &'a str,
    /// `aud` must be one of these, exactly.
    pub audiences: &'a [&'a str],
}

/// The reason why a token is refused. The words are for logs and tests: clients learn only that it
/// is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Over 8 KiB.
    #[error("too long")]
    TooLong,
    /// Not a compact JWS of JSON objects (RFC 7515 §7.1).
    #[error("malformed")]
    Malformed,
    /// The header demands an extension (RFC 7515 §4.1.11), of which we have none.
    #[error("critical header")]
    Critical,
    /// Another kind of token (RFC 8725 §3.11).
    #[error("wrong type")]
    Type,
    /// `kid` is missing, or names none of our published keys.
    #[error("unknown key")]
    Key,
    /// `alg` is not that of the key (RFC 8725 §3.1).
    #[error("wrong algorithm")]
    Algorithm,
    /// The signature is not the key's.
    #[error("bad signature")]
    Signature,
    /// `iss` is missing, not a string or not ours.
    #[error("wrong issuer")]
    Issuer,
    /// `aud` is missing or for others.
    #[error("wrong audience")]
    Audience,
    /// `sub` is missing, empty or not a string.
    #[error("no subject")]
    Subject,
    /// `exp` is missing or not a whole number.
    #[error("no expiry")]
    Expiry,
    /// `exp` is past.
    #[error("expired")]
    Expired,
    /// `nbf` is ahead, or not a whole number.
    #[error("not yet valid")]
    NotYet,
    /// `iat` is missing, ahead, or not a whole number.
    #[error("wrong time of issue")]
    IssuedAt,
    /// The lifetime is over an hour, or negative.
    #[error("wrong lifetime")]
    Lifetime,
    /// `cnf` binds the token in a way that we do not know (RFC 7800 §3.1).
    #[error("unknown confirmation")]
    Confirmation,
}

/// Makes all checks but one: where `cnf` binds the token to a key, the caller demands the proof that
/// its sender has that key (RFC 9449 §7.1). `find` returns a public key of ours by its `kid`, which is
/// its thumbprint.
pub(super) fn verify<'k>(
    token: &str,
    verified: &VerifiedTokens,
    find: impl FnOnce(&str) -> Option<&'k VerifyingKey>,
    expect: &ExpectedToken<'_>,
    now: Time,
) -> Result<Claims, TokenError> {
    let claims = verify_signature(token, verified, find, expect.typ)?;
    check_issuer(&claims, expect.issuer)?;
    check_audience(&claims, expect.audiences)?;
    check_subject(&claims)?;
    check_times(&claims, now.seconds())?;
    check_confirmation(&claims)?;
    Ok(claims)
}

/// Makes the checks of an `id_token_hint`: signature, type, issuer and subject. It may have
/// expired, and may be for any client (OpenID Connect RP-Initiated Logout 1.0 §2).
pub(super) fn verify_hint<'k>(
    token: &str,
    verified: &VerifiedTokens,
    find: impl FnOnce(&str) -> Option<&'k VerifyingKey>,
    issuer: &str,
) -> Result<Claims, TokenError> {
    let claims = verify_signature(token, verified, find, "JWT")?;
    // An access token for an API that wants `JWT` (OC-5).
    if claims.contains_key("client_id") {
        return Err(TokenError::Type);
    }
    check_issuer(&claims, issuer)?;
    check_subject(&claims)?;
    Ok(claims)
}

/// Checks header and signature, and returns the payload. `jku`, `jwk`, `x5u` and `x5c` are ignored.
fn verify_signature<'k>(
    token: &str,
    verified: &VerifiedTokens,
    find: impl FnOnce(&str) -> Option<&'k VerifyingKey>,
    typ: &str,
) -> Result<Claims, TokenError> {
    if token.len() > MAX_BYTES {
        return Err(TokenError::TooLong);
    }
    let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
    let (_, payload) = message.split_once('.').ok_or(TokenError::Malformed)?;
    let header = decode_header(token).map_err(|_| TokenError::Malformed)?;
    if header.crit.is_some() {
        return Err(TokenError::Critical);
    }
    if !header.typ.is_some_and(|found| is_type(&found, typ)) {
        return Err(TokenError::Type);
    }
    let public = header
        .kid
        .as_deref()
        .and_then(find)
        .ok_or(TokenError::Key)?;
    let is_alg_of_key = matches!(
        (header.alg, public.alg()),
        (Algorithm::ES256, Alg::ES256) | (Algorithm::RS256, Alg::RS256)
    );
    if !is_alg_of_key {
        return Err(TokenError::Algorithm);
    }
    let signature = BASE64
        .decode(signature)
        .map_err(|_| TokenError::Malformed)?;
    if !verified.check(token, || public.verifies(message.as_bytes(), &signature)) {
        return Err(TokenError::Signature);
    }
    let payload = BASE64.decode(payload).map_err(|_| TokenError::Malformed)?;
    serde_json::from_slice(&payload).map_err(|_| TokenError::Malformed)
}

/// RFC 9068 §4: `at+jwt` or `application/at+jwt`, in any case.
pub(super) fn is_type(found: &str, typ: &str) -> bool {
    let bare = match found.split_at_checked("application/".len()) {
        Some((prefix, bare)) if prefix.eq_ignore_ascii_case("application/") => bare,
        _ => found,
    };
    bare.eq_ignore_ascii_case(typ)
}

/// RFC 7519 §4.1.1: a string, compared exactly.
fn check_issuer(claims: &Claims, issuer: &str) -> Result<(), TokenError> {
    let found = claims.get("iss").and_then(Value::as_str);
    if found == Some(issuer) {
        Ok(())
    } else {
        Err(TokenError::Issuer)
    }
}

/// RFC 7519 §4.1.3: one audience, as a string or as a list of it alone. Our tokens have no further
/// audiences.
fn check_audience(claims: &Claims, audiences: &[&str]) -> Result<(), TokenError> {
    let found = match claims.get("aud") {
        Some(Value::String(one)) => Some(one.as_str()),
        Some(Value::Array(list)) => match list.as_slice() {
            [one] => one.as_str(),
            _ => None,
        },
        _ => None,
    };
    if found.is_some_and(|found| audiences.contains(&found)) {
        Ok(())
    } else {
        Err(TokenError::Audience)
    }
}

/// RFC 7519 §4.1.2.
fn check_subject(claims: &Claims) -> Result<(), TokenError> {
    let found = claims.get("sub").and_then(Value::as_str);
    if found.is_some_and(|sub| !sub.is_empty()) {
        Ok(())
    } else {
        Err(TokenError::Subject)
    }
}

/// RFC 7519 §4.1.4 to §4.1.6, and a bound on the lifetime.
fn check_times(claims: &Claims, now: i64) -> Result<(), TokenError> {
    let number = |name| claims.get(name).and_then(Value::as_i64);
    let expires = number("exp").ok_or(TokenError::Expiry)?;
    let issued = number("iat")
        .filter(|&at| at <= now.saturating_add(LEEWAY))
        .ok_or(TokenError::IssuedAt)?;
    if expires.saturating_add(LEEWAY) <= now {
        return Err(TokenError::Expired);
    }
    if claims.contains_key("nbf")
        && number("nbf").is_none_or(|from| from > now.saturating_add(LEEWAY))
    {
        return Err(TokenError::NotYet);
    }
    if !(1..=MAX_LIFETIME).contains(&expires.saturating_sub(issued)) {
        return Err(TokenError::Lifetime);
    }
    Ok(())
}

/// RFC 7800 §3.1: the one confirmation that we know is the thumbprint of a key (RFC 9449 §6.1).
fn check_confirmation(claims: &Claims) -> Result<(), TokenError> {
    if claims.contains_key("cnf") && bound_key(claims).is_none() {
        Err(TokenError::Confirmation)
    } else {
        Ok(())
    }
}

/// Returns the thumbprint of the key to which a token is bound; none for a bearer token.
#[must_use]
pub fn bound_key(claims: &Claims) -> Option<&str> {
    claims.get("cnf")?.get("jkt")?.as_str()
}

/// Reads a time as JWTs write it, whole seconds or not (RFC 7519 §2, NumericDate). None if it is no
/// number.
#[must_use]
pub fn numeric_date(value: &Value) -> Option<i64> {
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a number that does not fit becomes the greatest one, which is refused as too far away"
    )]
    let floored = || value.as_f64().map(|number| number.floor() as i64);
    value.as_i64().or_else(floored)
}

#[cfg(test)]
mod tests;
