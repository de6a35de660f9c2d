//! The `claims` parameter (OIDC Core §5.5): which claims a client requests beside those of its
//! scopes, and whether in the ID token or at userinfo.
//!
//! The parameter never fails a request (CL-5): unknown claims are ignored, and so is a whole text
//! that is not what the standard describes. The granted claims stay with the grant as a list of
//! names such as `id_token.email userinfo.name`. The parameter widens no scope: a client gets no
//! claim whose scope it is not registered for, and the user of a third-party client is asked to
//! allow that scope ([`super::user_claims::consent_scopes`]).

use serde_json::{Map, Value};

use super::{
    scope,
    user_claims::{CLAIMS, scope_of_claim},
};
use crate::{
    config::{Client, Reloadable},
    session,
};

/// The longest text that is read.
const MAX_BYTES: usize = 4096;

/// The longest value that is kept, in characters, and the most values of one claim.
const MAX_VALUE: usize = 255;
const MAX_VALUES: usize = 16;

/// How many of [`CLAIMS`] can be requested in an ID token, which always has the others.
const IN_ID_TOKEN: usize = 6;

/// Every claim that we may deliver, for the metadata.
pub(crate) const SUPPORTED: [&str; 17] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "auth_time",
    "nonce",
    "acr",
    "amr",
    "sid",
    "at_hash",
    "name",
    "locale",
    "updated_at",
    "email",
    "email_verified",
    "roles",
];

/// The authentication context classes that a sign-in can reach now, for the metadata (DI-12).
#[must_use]
pub(crate) fn acr_values(config: &Reloadable) -> Vec<&'static str> {
    let has_provider = config.providers.iter().any(|provider| provider.enabled);
    [session::AuthMethod::Email.acr()]
        .into_iter()
        .chain(has_provider.then_some(session::UPSTREAM_ACR))
        .collect()
}

/// The parsed `claims` parameter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClaimsRequest {
    userinfo: Vec<&'static str>,
    id_token: Vec<&'static str>,
    /// The one user that the response may be about (`sub` with a value, OIDC Core §3.1.2.2).
    pub(crate) sub: Option<String>,
    /// An essential `acr`: the sign-in must be one of these (OIDC Core §5.5.1.1). Empty if the
    /// request demands none.
    pub(crate) acr: Vec<String>,
}

impl ClaimsRequest {
    #[must_use]
    pub(crate) fn parse(text: &str) -> Self {
        if text.len() > MAX_BYTES {
            return Self::default();
        }
        serde_json::from_str::<Value>(text)
            .ok()
            .and_then(|value| Self::from_json(&value))
            .unwrap_or_default()
    }

    fn from_json(value: &Value) -> Option<Self> {
        let request = value.as_object()?;
        let (userinfo, id_token) = (member(request, "userinfo")?, member(request, "id_token")?);
        let known_names = |member: &Map<String, Value>, most: usize| -> Vec<&'static str> {
            let known = CLAIMS.iter().take(most).map(|(name, _)| *name);
            known.filter(|name| member.contains_key(*name)).collect()
        };
        let is_essential = |claim: &&Value| claim.get("essential") == Some(&Value::Bool(true));
        let sub = id_token
            .get("sub")
            .and_then(|sub| sub.get("value")?.as_str());
        Some(Self {
            userinfo: known_names(&userinfo, CLAIMS.len()),
            id_token: known_names(&id_token, IN_ID_TOKEN),
            sub: sub.map(shorten),
            acr: id_token
                .get("acr")
                .filter(is_essential)
                .map(values)
                .unwrap_or_default(),
        })
    }

    /// The claims that this client may have, as the grant keeps them. Without `openid` there are
    /// none: the client gets neither an ID token nor userinfo.
    #[must_use]
    pub(crate) fn granted(&self, client: &Client, scope: &str) -> String {
        if !scope::has(scope, "openid") {
            return String::new();
        }
        let is_registered = |name: &&&str| {
            scope_of_claim(name)
                .is_none_or(|scope| client.scopes.iter().any(|listed| listed == scope))
        };
        let id_token = self
            .id_token
            .iter()
            .filter(is_registered)
            .map(|name| format!("id_token.{name}"));
        let userinfo = self
            .userinfo
            .iter()
            .filter(is_registered)
            .map(|name| format!("userinfo.{name}"));
        id_token.chain(userinfo).collect::<Vec<_>>().join(" ")
    }
}

/// One member of the request, empty if it is absent or null. Every claim in it is null or an
/// object.
fn member(request: &Map<String, Value>, name: &str) -> Option<Map<String, Value>> {
    match request.get(name) {
        None | Some(Value::Null) => Some(Map::new()),
        Some(Value::Object(claims)) => {
            let is_sound = claims
                .values()
                .all(|claim| claim.is_null() || claim.is_object());
            is_sound.then(|| claims.clone())
        }
        Some(_) => None,
    }
}

/// `value`, or `values` (OIDC Core §5.5.1).
fn values(claim: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map(shorten);
    match (
        claim.get("value"),
        claim.get("values").and_then(Value::as_array),
    ) {
        (Some(value), _) => text(value).into_iter().collect(),
        (None, Some(list)) => list.iter().filter_map(text).take(MAX_VALUES).collect(),
        (None, None) => Vec::new(),
    }
}

/// Bounds a value that is stored with its request, since any caller may send it. A longer value
/// differs from all of ours, shortened or not.
fn shorten(value: &str) -> String {
    value.chars().take(MAX_VALUE).collect()
}

#[cfg(test)]
mod tests;
