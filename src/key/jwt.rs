//! The strict verifier of our own tokens. Each check stands alone and refuses with one fixed word; the defaults of
//! `jsonwebtoken` let most of what is refused here pass.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use jsonwebtoken::{Algorithm, decode_header};
use serde_json::{Map, Value};

use super::public::Public;
use crate::{clock::Time, config::Alg};

/// The payload of a token: a JSON object (RFC 7519 §4).
pub type Claims = Map<String, Value>;

/// Longer tokens are not looked at.
const MAX_BYTES: usize = 8 * 1024;
/// How far two clocks may differ, in seconds.
const LEEWAY: i64 = 30;
/// The longest life of a token of ours, in seconds; keys are kept for longer (see `rotation`).
pub(super) const MAX_LIFE: i64 = 3600;

/// What a token must be to be taken.
#[derive(Clone, Copy, Debug)]
pub struct Expect<'a> {
    /// `typ` of the header, without `application/`, in any case (RFC 7515 §4.1.9): `at+jwt`, `JWT`, `logout+jwt`.
    pub typ: &'a str,
    /// `iss`, exactly.
    pub issuer: &'a str,
    /// `aud` must be one of these, exactly.
    pub audiences: &'a [&'a str],
}

/// Why a token was not taken. The words are for logs and tests; a caller outside learns only that it was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Over 8 KiB.
    #[error("too long")]
    TooLong,
    /// Not a compact JWS of JSON objects (RFC 7515 §7.1).
    #[error("malformed")]
    Malformed,
    /// A header that demands an extension (RFC 7515 §4.1.11); we have none.
    #[error("critical header")]
    Critical,
    /// Another kind of token (RFC 8725 §3.11).
    #[error("wrong type")]
    Type,
    /// No `kid`, or none of ours that is in force.
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
    /// It would live over an hour, or ends before it begins.
    #[error("wrong life")]
    Life,
    /// `cnf`: bound to a key whose proof was not shown (RFC 9449 §7.1).
    #[error("proof demanded")]
    Proof,
}

/// All checks. `find` gives a public key of ours by its `kid`; nothing in the token can name another source.
///
/// # Errors
/// The first check that failed.
pub(super) fn verify<'k>(
    token: &str,
    find: impl FnOnce(&str) -> Option<&'k Public>,
    expect: &Expect<'_>,
    now: Time,
) -> Result<Claims, Refusal> {
    let claims = signed(token, find, expect.typ)?;
    issued_by(&claims, expect.issuer)?;
    meant_for(&claims, expect.audiences)?;
    has_subject(&claims)?;
    in_time(&claims, now.seconds())?;
    bearer(&claims)?;
    Ok(claims)
}

/// The checks of an `id_token_hint`: ours by signature, type, issuer and subject. It may be long expired and is for
/// whichever client it names (OpenID Connect RP-Initiated Logout 1.0 §2).
///
/// # Errors
/// The first check that failed.
pub(super) fn verify_hint<'k>(
    token: &str,
    find: impl FnOnce(&str) -> Option<&'k Public>,
    issuer: &str,
) -> Result<Claims, Refusal> {
    let claims = signed(token, find, "JWT")?;
    issued_by(&claims, issuer)?;
    has_subject(&claims)?;
    Ok(claims)
}

/// The payload, once header and signature hold. `jku`, `jwk`, `x5u` and `x5c` are never followed.
fn signed<'k>(
    token: &str,
    find: impl FnOnce(&str) -> Option<&'k Public>,
    typ: &str,
) -> Result<Claims, Refusal> {
    if token.len() > MAX_BYTES {
        return Err(Refusal::TooLong);
    }
    let (message, signature) = token.rsplit_once('.').ok_or(Refusal::Malformed)?;
    let (_, payload) = message.split_once('.').ok_or(Refusal::Malformed)?;
    let header = decode_header(token).map_err(|_| Refusal::Malformed)?;
    if header.crit.is_some() {
        return Err(Refusal::Critical);
    }
    if !header.typ.is_some_and(|found| is_type(&found, typ)) {
        return Err(Refusal::Type);
    }
    let public = header.kid.as_deref().and_then(find).ok_or(Refusal::Key)?;
    let fits = matches!(
        (header.alg, public.alg()),
        (Algorithm::ES256, Alg::ES256) | (Algorithm::RS256, Alg::RS256)
    );
    if !fits {
        return Err(Refusal::Algorithm);
    }
    let signature = BASE64.decode(signature).map_err(|_| Refusal::Malformed)?;
    if !public.verifies(message.as_bytes(), &signature) {
        return Err(Refusal::Signature);
    }
    let payload = BASE64.decode(payload).map_err(|_| Refusal::Malformed)?;
    serde_json::from_slice(&payload).map_err(|_| Refusal::Malformed)
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
fn issued_by(claims: &Claims, issuer: &str) -> Result<(), Refusal> {
    let found = claims.get("iss").and_then(Value::as_str);
    if found == Some(issuer) {
        Ok(())
    } else {
        Err(Refusal::Issuer)
    }
}

/// RFC 7519 §4.1.3: the one audience that we write, as a string or as a list of it alone. A token that is good for
/// others as well is none of ours.
fn meant_for(claims: &Claims, audiences: &[&str]) -> Result<(), Refusal> {
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
        Err(Refusal::Audience)
    }
}

/// RFC 7519 §4.1.2.
fn has_subject(claims: &Claims) -> Result<(), Refusal> {
    let found = claims.get("sub").and_then(Value::as_str);
    if found.is_some_and(|sub| !sub.is_empty()) {
        Ok(())
    } else {
        Err(Refusal::Subject)
    }
}

/// RFC 7519 §4.1.4 to §4.1.6, and a bound on the whole life.
fn in_time(claims: &Claims, now: i64) -> Result<(), Refusal> {
    let number = |name| claims.get(name).and_then(Value::as_i64);
    let expires = number("exp").ok_or(Refusal::Expiry)?;
    let issued = number("iat")
        .filter(|&at| at <= now.saturating_add(LEEWAY))
        .ok_or(Refusal::IssuedAt)?;
    if expires.saturating_add(LEEWAY) <= now {
        return Err(Refusal::Expired);
    }
    if claims.contains_key("nbf")
        && number("nbf").is_none_or(|from| from > now.saturating_add(LEEWAY))
    {
        return Err(Refusal::NotYet);
    }
    if !(1..=MAX_LIFE).contains(&expires.saturating_sub(issued)) {
        return Err(Refusal::Life);
    }
    Ok(())
}

/// RFC 7800 §3: a token with `cnf` is worth nothing without the proof.
fn bearer(claims: &Claims) -> Result<(), Refusal> {
    if claims.contains_key("cnf") {
        Err(Refusal::Proof)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
