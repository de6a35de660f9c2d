//! The checks of an ID token's header, which select the key.

use serde_json::Value;

use crate::{
    config::{Provider, providers::UpstreamAlg},
    federation::provider::{
        error::{IdTokenError, KeyError},
        oidc::{
            algorithm,
            json::{Object, string},
        },
    },
};

/// What a checked header says about the signature.
pub(super) struct CheckedHeader<'a> {
    pub(super) alg: UpstreamAlg,
    pub(super) kid: Option<&'a str>,
}

pub(super) fn check_header<'a>(
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
    let name = string(header, "alg");
    let mut allowed = settings.algs.iter().copied();
    allowed
        .find(|alg| Some(algorithm::name(*alg)) == name)
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
