//! The second verification of an ID token, by the library.

use std::str::FromStr as _;

use openidconnect::{
    ClientId, IssuerUrl, JsonWebKeySet, Nonce,
    core::{CoreIdToken, CoreIdTokenClaims, CoreIdTokenVerifier},
};
use serde_json::Value;

use super::{claims::Expected, parsed::ParsedToken};
use crate::{
    config::providers::UpstreamAlg,
    federation::provider::{
        error::IdTokenError,
        oidc::{algorithm::library_algorithm, json::Object, keys::Key},
    },
};

/// The claims that the library demands of every ID token.
const REQUIRED: [&str; 5] = ["iss", "sub", "aud", "exp", "iat"];

/// How many characters of the names of malformed claims are kept.
const MAX_NAMES: usize = 200;

/// Checks that every claim that the library knows has its type (IT-10), then runs the library's
/// checks with the token's time of issue as its clock, because it allows for no skew.
pub(super) fn check(
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
pub(super) fn malformed_claims(claims: &Object, parses: impl Fn(&Object) -> bool) -> String {
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
