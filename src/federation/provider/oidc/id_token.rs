//! The ID token: every check that it must pass before any of it is used (OpenID Connect Core
//! §3.1.3.7).
//!
//! Each check is a function of its own on the raw JSON, with its own [`IdTokenError`]: those of the
//! header select the key, and those of the claims (`claims`) follow the signature. The library comes
//! last: it parses every optional claim by its type, and checks signature, issuer and audience once
//! more.

mod claims;
mod userinfo_token;

use std::str::FromStr as _;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
pub(crate) use claims::{Expected, has_boolean_email_verified};
use openidconnect::{
    ClientId, IssuerUrl, JsonWebKey as _, JsonWebKeySet, Nonce,
    core::{CoreIdToken, CoreIdTokenClaims, CoreIdTokenVerifier},
};
use serde_json::Value;

use self::claims::check_claims;
pub(crate) use self::userinfo_token::verify_userinfo;
use super::{
    json::{self, Object, string_member},
    keys::{Key, algorithm_name, library_algorithm},
    upstream::Upstream,
};
use crate::{
    config::{Provider, providers::UpstreamAlg},
    federation::provider::error::{IdTokenError, KeyError, ProviderError},
};

/// Longer tokens are not parsed.
const MAX_BYTES: usize = 16 * 1024;

/// The claims that the library demands of every ID token.
const REQUIRED: [&str; 5] = ["iss", "sub", "aud", "exp", "iat"];

/// How many characters of the names of malformed claims are kept.
const MAX_NAMES: usize = 200;

/// An ID token that passed every check.
pub(crate) struct VerifiedToken {
    /// The issuer; with many Entra tenants, that of the account's own tenant.
    pub(crate) issuer: String,
    pub(crate) subject: String,
    /// All claims.
    pub(crate) claims: Object,
}

/// Verifies an ID token.
///
/// # Errors
/// The first check that failed.
pub(crate) async fn verify(
    upstream: &Upstream,
    token: &str,
    expected: Expected<'_>,
) -> Result<VerifiedToken, ProviderError> {
    let (token, key, alg) = verify_signature(upstream, token).await?;
    Ok(check_signed(token, &key, alg, &expected)?)
}

/// Parses a token and verifies its signature by the provider's keys.
async fn verify_signature<'a>(
    upstream: &Upstream,
    token: &'a str,
) -> Result<(ParsedToken<'a>, Key, UpstreamAlg), ProviderError> {
    let token = ParsedToken::parse(token)?;
    let CheckedHeader { alg, kid } = check_header(&token.header, &upstream.settings)?;
    let (mut key, keys) = upstream.key(kid, alg).await?;
    if !token.is_signed_by(&key, alg) {
        // The key may have been replaced under its name (DJ-04).
        let newer = upstream
            .newer_keys(&keys)
            .await?
            .ok_or(IdTokenError::Signature)?;
        key = newer
            .select(kid, alg)
            .ok()
            .filter(|key| token.is_signed_by(key, alg))
            .cloned()
            .ok_or(IdTokenError::Signature)?;
    }
    Ok((token, key, alg))
}

/// A compact JWS.
struct ParsedToken<'a> {
    text: &'a str,
    header: Object,
    claims: Object,
    /// What the signature is over.
    message: &'a str,
    signature: Vec<u8>,
}

impl<'a> ParsedToken<'a> {
    /// RFC 7515 §7.1, §4; RFC 7519 §4: three parts of strict base64url, two of them JSON objects
    /// that repeat no member. An encrypted token has five parts, or names `enc` (IT-01).
    fn parse(text: &'a str) -> Result<Self, IdTokenError> {
        if text.len() > MAX_BYTES {
            return Err(IdTokenError::Malformed("is over 16 KiB"));
        }
        let parts: Vec<&str> = text.split('.').collect();
        let &[header, payload, signature] = parts.as_slice() else {
            return Err(IdTokenError::Malformed("does not have three parts"));
        };
        let bytes = |part| {
            let error = IdTokenError::Malformed("has a part that is not base64url");
            BASE64.decode(part).map_err(|_| error)
        };
        let object = |part| {
            let error = "has a part that is not a JSON object, or repeats a member";
            json::object(&bytes(part)?).ok_or(IdTokenError::Malformed(error))
        };
        let token = Self {
            text,
            header: object(header)?,
            claims: object(payload)?,
            message: text
                .get(..header.len() + 1 + payload.len())
                .unwrap_or_default(),
            signature: bytes(signature)?,
        };
        if token.header.contains_key("enc") || token.header.contains_key("zip") {
            return Err(IdTokenError::Malformed("is encrypted or compressed"));
        }
        Ok(token)
    }

    /// Core §3.1.3.7(6), RFC 7515 §5.2.
    fn is_signed_by(&self, key: &Key, alg: UpstreamAlg) -> bool {
        let alg = library_algorithm(alg);
        key.jwk
            .verify_signature(&alg, self.message.as_bytes(), &self.signature)
            .is_ok()
    }
}

/// What a checked header says about the signature.
struct CheckedHeader<'a> {
    alg: UpstreamAlg,
    kid: Option<&'a str>,
}

fn check_header<'a>(
    header: &'a Object,
    settings: &Provider,
) -> Result<CheckedHeader<'a>, IdTokenError> {
    check_critical(header)?;
    check_type(header)?;
    let alg = check_algorithm(header, settings)?;
    let kid = check_key_id(header, settings)?;
    Ok(CheckedHeader { alg, kid })
}

/// RFC 7515 §4.1.11: no extension is known here, and an empty list is not allowed either.
fn check_critical(header: &Object) -> Result<(), IdTokenError> {
    if header.contains_key("crit") {
        Err(IdTokenError::Critical)
    } else {
        Ok(())
    }
}

/// RFC 8725 §3.11, RFC 7519 §5.1: absent or `JWT`.
fn check_type(header: &Object) -> Result<(), IdTokenError> {
    let is_jwt = |typ: &Value| {
        typ.as_str()
            .is_some_and(|typ| typ.eq_ignore_ascii_case("JWT"))
    };
    if header.get("typ").is_none_or(is_jwt) {
        Ok(())
    } else {
        Err(IdTokenError::Type)
    }
}

/// Core §3.1.3.7(7), RFC 8725 §3.1: one of the configured algorithms; none and HS* cannot be
/// configured.
fn check_algorithm(header: &Object, settings: &Provider) -> Result<UpstreamAlg, IdTokenError> {
    let name = string_member(header, "alg");
    let mut allowed = settings.algs.iter().copied();
    allowed
        .find(|alg| Some(algorithm_name(*alg)) == name)
        .ok_or(IdTokenError::Algorithm)
}

/// A string if it is there, and there if the settings demand it. Keys in the header itself (`jku`,
/// `jwk`, `x5u`, `x5c`) are never used (RFC 8725 §3.10).
fn check_key_id<'a>(
    header: &'a Object,
    settings: &Provider,
) -> Result<Option<&'a str>, IdTokenError> {
    match header.get("kid") {
        None if settings.require_kid => Err(KeyError::NoKeyId.into()),
        None => Ok(None),
        Some(Value::String(kid)) => Ok(Some(kid)),
        Some(_) => Err(IdTokenError::Malformed("has a kid that is not a string")),
    }
}

/// The checks of a token whose signature is verified.
fn check_signed(
    token: ParsedToken<'_>,
    key: &Key,
    alg: UpstreamAlg,
    expected: &Expected<'_>,
) -> Result<VerifiedToken, IdTokenError> {
    let checked = check_claims(&token.claims, key, alg, expected)?;
    check_by_library(&token, key, alg, &checked.issuer, expected)?;
    Ok(VerifiedToken {
        issuer: checked.issuer,
        subject: checked.subject,
        claims: token.claims,
    })
}

/// The second verification, by the library. Checks that every claim that it knows has its type (IT-10),
/// then runs the library's checks with the token's time of issue as its clock, because it allows for no skew.
fn check_by_library(
    token: &ParsedToken<'_>,
    key: &Key,
    alg: UpstreamAlg,
    issuer: &str,
    expected: &Expected<'_>,
) -> Result<(), IdTokenError> {
    let claims = parse_claims(&token.claims).ok_or_else(|| {
        let names = malformed_claims(&token.claims, |some| parse_claims(some).is_some());
        IdTokenError::Claims(format!("{names} is malformed"))
    })?;
    let issuer =
        IssuerUrl::new(issuer.to_owned()).map_err(|_| IdTokenError::Issuer("is not a URL"))?;
    let issue_time = claims.issue_time();
    let verifier = CoreIdTokenVerifier::new_public_client(
        ClientId::new(expected.settings.client_id.clone()),
        issuer,
        JsonWebKeySet::new(vec![key.jwk.clone()]),
    )
    .set_allowed_algs([library_algorithm(alg)])
    .set_other_audience_verifier_fn(|other| {
        let mut known = expected.settings.additional_audiences.iter();
        known.any(|known| *known == **other)
    })
    .set_time_fn(move || issue_time);
    // The library's errors contain values of the token.
    let refused = |message: &str| IdTokenError::Claims(message.to_owned());
    let token = CoreIdToken::from_str(token.text)
        .map_err(|_| refused("the library cannot parse the token"))?;
    // The nonce was compared before, with the exceptions of this service.
    token
        .claims(&verifier, |_: Option<&Nonce>| Ok(()))
        .map(drop)
        .map_err(|_| refused("the library refuses the token"))
}

fn parse_claims(claims: &Object) -> Option<CoreIdTokenClaims> {
    serde_json::from_value(Value::Object(claims.clone())).ok()
}

/// Returns the names of the claims that cannot be parsed, without their values: each claim is tried
/// alone beside the required ones, and if an object would be accepted without its members, each
/// member is tried alone.
fn malformed_claims(claims: &Object, parses: impl Fn(&Object) -> bool) -> String {
    let required: Object = claims
        .iter()
        .filter(|(name, _)| REQUIRED.contains(&name.as_str()))
        .map(cloned)
        .collect();
    let parses_with = |name: &str, value: Value| {
        let mut some = required.clone();
        some.insert(name.to_owned(), value);
        parses(&some)
    };
    let mut names = Vec::new();
    for (name, value) in claims {
        if parses_with(name, value.clone()) {
            continue;
        }
        let members = malformed_members(value, |object| parses_with(name, Value::Object(object)));
        if members.is_empty() {
            names.push(name.clone());
        }
        names.extend(members.into_iter().map(|member| format!("{name}.{member}")));
    }
    if names.is_empty() {
        // Two claims that parse alone may not parse together.
        names.push("a claim".to_owned());
    }
    names
        .join(", ")
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_NAMES)
        .collect()
}

/// Returns the members of an object that do not parse; none if it does not parse without them
/// either.
fn malformed_members(value: &Value, parses: impl Fn(Object) -> bool) -> Vec<&String> {
    let Some(object) = value.as_object().filter(|_| parses(Object::new())) else {
        return Vec::new();
    };
    object
        .iter()
        .filter(|member| !parses([cloned(*member)].into_iter().collect()))
        .map(|(name, _)| name)
        .collect()
}

fn cloned((name, value): (&String, &Value)) -> (String, Value) {
    (name.clone(), value.clone())
}

#[cfg(test)]
mod tests;
