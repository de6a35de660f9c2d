//! Which audience a client's assertion names (OT-1, CA-9).
//!
//! The issuer is right in any case. The URL of the token endpoint, which OpenID Connect Core §9 asks
//! for, lets a hostile provider that names our endpoint as its own collect assertions that are good
//! here (draft-ietf-oauth-rfc7523bis §4). It is accepted until an operator says otherwise, and the log
//! names the clients that use it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value;

use crate::{
    clock::Time,
    config::{AssertionAudience, Client, Token},
};

/// How often the log names a client at most.
const BETWEEN_WARNINGS: Duration = Duration::from_secs(86_400);

/// How many clients the log names in that time, so that the memory of them is bounded.
const MOST_NAMED: usize = 1_000;

/// When this process last named each client. Only a registered client that has signed gets an entry.
static NAMED: Mutex<BTreeMap<String, Time>> = Mutex::new(BTreeMap::new());

/// What the claim `aud` of a client's assertions may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AudienceRule {
    /// The issuer or the token endpoint, as a string or an array of one.
    Any,
    /// The issuer, as a string or an array of one.
    Issuer,
    /// The issuer as a string (FAPI 2.0 Security Profile §5.3.2.1).
    IssuerAsString,
}

/// What an accepted assertion names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NamedAudience {
    Issuer,
    TokenEndpoint,
}

impl AudienceRule {
    /// Returns the rule of a client: that of its profile, else its own, else that of `[token]`.
    pub(super) fn of(client: &Client, defaults: &Token) -> Self {
        if client.demands().audience_is_string {
            return Self::IssuerAsString;
        }
        let audience = client.assertion_audience;
        match audience.unwrap_or(defaults.assertion_audience) {
            AssertionAudience::Any => Self::Any,
            AssertionAudience::Issuer => Self::Issuer,
        }
    }

    /// Returns what the claim `aud` names, if this rule accepts it. The URL of any other endpoint, that
    /// of pushed requests among them, never counts.
    #[must_use]
    pub(super) fn accept(self, audience: Option<&Value>, issuer: &str) -> Option<NamedAudience> {
        let one = match audience {
            Some(Value::Array(list)) if self != Self::IssuerAsString => match list.as_slice() {
                [one] => one.as_str(),
                _ => None,
            },
            Some(Value::String(one)) => Some(one.as_str()),
            _ => None,
        };
        let is_endpoint = |one: &str| one.strip_prefix(issuer) == Some("/oauth2/token");
        match one {
            Some(one) if one == issuer => Some(NamedAudience::Issuer),
            Some(one) if self == Self::Any && is_endpoint(one) => {
                Some(NamedAudience::TokenEndpoint)
            }
            _ => None,
        }
    }
}

/// Writes to the log that a client still names the token endpoint, at most once a day.
pub(super) fn warn_of_endpoint(named: NamedAudience, client_id: &str, now: Time) {
    if named == NamedAudience::TokenEndpoint && is_due(&NAMED, client_id, now) {
        tracing::warn!(
            client = client_id,
            "an assertion names the token endpoint: let the client name the issuer, and then set assertion_audience = \"issuer\""
        );
    }
}

/// Returns whether a client was not named for a day, and remembers that it is named now.
fn is_due(named: &Mutex<BTreeMap<String, Time>>, client_id: &str, now: Time) -> bool {
    let mut named = named.lock().unwrap_or_else(PoisonError::into_inner);
    named.retain(|_, at| now.since(*at) < BETWEEN_WARNINGS);
    if named.contains_key(client_id) || named.len() >= MOST_NAMED {
        return false;
    }
    named.insert(client_id.to_owned(), now);
    true
}

#[cfg(test)]
mod tests;
