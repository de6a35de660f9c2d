//! What a token may be used for: its scope (RFC 6749 §3.3), a set of names separated by spaces, in the
//! order in which the client requested them.
//!
//! A scope about the user, and one that belongs to no API, is for clients that are registered for it.
//! A scope of an API of `[[resources]]` is for the clients that may request tokens for that API, and
//! goes into tokens for that API alone. A grant has the scopes of all its audiences, a token those of
//! one.

use super::error::{ErrorCode, OauthError};
use crate::{
    client::resource::{Requester, may_request},
    config::{ADMIN_SCOPE, Client, RefreshTokens, Reloadable, Resource},
};

/// Refresh tokens that outlive the session (OIDC Core §11).
pub(crate) const OFFLINE: &str = "offline_access";

/// Scopes about a user, in the metadata's order. All others are names of the APIs that tokens are
/// for.
pub(crate) const SUPPORTED: [&str; 4] = ["openid", "profile", "email", OFFLINE];

/// Returns whether a scope has this name.
#[must_use]
pub(crate) fn has(scope: &str, name: &str) -> bool {
    scope.split(' ').any(|listed| listed == name)
}

fn is_registered(client: &Client, name: &str) -> bool {
    client.scopes.iter().any(|scope| scope == name)
}

/// Returns the names without those that came before.
#[must_use]
pub(crate) fn without_repetitions<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut kept = Vec::new();
    for name in names {
        if !kept.contains(&name) {
            kept.push(name);
        }
    }
    kept
}

/// Returns whether a client may have a scope of an API: all of them need no entry in the client, but one
/// that lists some of them has these alone (RS-2).
fn may_have_of(config: &Reloadable, client: &Client, owner: &Resource, name: &str) -> bool {
    let is_of_owner = |scope: &String| owner.scopes.contains_key(scope);
    let is_limited = client.scopes.iter().any(is_of_owner);
    let may_have = !is_limited || is_registered(client, name);
    may_have && may_request(config, Requester::Registered(client), owner)
}

/// Returns whether tokens of a client for one of these audiences may carry a scope (RS-2, RS-3, RS-6).
/// The audiences are separated by spaces; none means all that the client may request.
fn may_carry(config: &Reloadable, client: &Client, audiences: Option<&str>, name: &str) -> bool {
    let owner = config.resources.of_scope(name);
    let may_have = match owner {
        Some(owner) => may_have_of(config, client, owner, name),
        None => is_registered(client, name),
    };
    let is_for = |audience: &str| belongs_to(config, audience, name);
    may_have && audiences.is_none_or(|audiences| audiences.split(' ').any(is_for))
}

/// Returns whether a scope may be in tokens for this audience (RS-3).
#[must_use]
pub(crate) fn belongs_to(config: &Reloadable, audience: &str, name: &str) -> bool {
    match (
        config.resources.of_scope(name),
        config.resources.find(audience),
    ) {
        (Some(owner), found) => found.is_some_and(|found| found.identifier == owner.identifier),
        // An API with scopes of its own gets no others beside those about the user.
        (None, Some(found)) => SUPPORTED.contains(&name) || found.scopes.is_empty(),
        (None, None) => true,
    }
}

/// The scopes of a request that the client may have; others are ignored (OIDC Core §3.1.2.1).
/// `audiences` is what the request, or the token, is for: see [`may_carry`]. `offline_access` is a
/// scope like the others: the user is asked to allow it by name, unless the client is first-party
/// (RF-1, OIDC Core §11).
#[must_use]
pub(crate) fn grantable(
    config: &Reloadable,
    client: &Client,
    audiences: Option<&str>,
    requested: &str,
) -> String {
    let names = requested
        .split(' ')
        .filter(|name| may_carry(config, client, audiences, name));
    without_repetitions(names).join(" ")
}

/// What of a granted scope a user with these roles can pass on: [`ADMIN_SCOPE`] needs the role.
#[must_use]
pub(crate) fn limit_to_roles(granted: &str, roles: &[String]) -> String {
    let is_admin = roles.iter().any(|role| role == "admin");
    let names: Vec<&str> = granted
        .split(' ')
        .filter(|name| is_admin || *name != ADMIN_SCOPE)
        .collect();
    names.join(" ")
}

/// The scope of a client that acts for itself (RFC 6749 §4.4.2): what it requests, or else what it is
/// registered for, as far as tokens for the audience carry it. Scopes about a user are never the
/// client's own.
///
/// # Errors
/// `invalid_scope` for a scope that is not the client's own, or that is another API's.
pub(crate) fn of_client_itself(
    config: &Reloadable,
    client: &Client,
    audience: &str,
    requested: Option<&str>,
) -> Result<String, OauthError> {
    let is_own =
        |name: &str| !SUPPORTED.contains(&name) && may_carry(config, client, Some(audience), name);
    let Some(requested) = requested else {
        let names = client
            .scopes
            .iter()
            .map(String::as_str)
            .filter(|name| is_own(name));
        return Ok(names.collect::<Vec<_>>().join(" "));
    };
    let names = without_repetitions(requested.split(' ').filter(|name| !name.is_empty()));
    if names.iter().all(|name| is_own(name)) {
        return Ok(names.join(" "));
    }
    let description =
        "The client may not have this scope for this resource, or the scope needs a user.";
    Err(OauthError::new(ErrorCode::InvalidScope, description))
}

/// RFC 6749 §6: the scope of a refresh is the grant's or a part of it; without a request it is the
/// grant's.
///
/// # Errors
/// `invalid_scope` for a scope that was not granted.
pub(crate) fn narrow(granted: &str, requested: Option<&str>) -> Result<String, OauthError> {
    let Some(requested) = requested else {
        return Ok(granted.to_owned());
    };
    let mut names = requested.split(' ').filter(|name| !name.is_empty());
    if !names.all(|name| has(granted, name)) {
        let description = "The scope was not granted. Request the granted scope or a part of it.";
        return Err(OauthError::new(ErrorCode::InvalidScope, description));
    }
    let kept: Vec<&str> = granted
        .split(' ')
        .filter(|name| has(requested, name))
        .collect();
    Ok(kept.join(" "))
}

/// RS-8: a token request that names a resource names no scope of another one. One that names none
/// may repeat the whole granted scope.
///
/// # Errors
/// `invalid_scope` for a scope of another API than `audience` is.
pub(crate) fn check_belongs(
    config: &Reloadable,
    audience: &str,
    requested: &str,
) -> Result<(), OauthError> {
    let audience = config.resources.spelled(audience);
    let is_elsewhere = |name: &str| {
        let owner = config.resources.of_scope(name);
        owner.is_some_and(|owner| owner.identifier != audience)
    };
    if requested.split(' ').any(is_elsewhere) {
        let description = "The scope belongs to another resource than the one that is requested.";
        return Err(OauthError::new(ErrorCode::InvalidScope, description));
    }
    Ok(())
}

/// Returns whether a grant of this scope comes with a refresh token for this client.
#[must_use]
pub(crate) fn allows_refresh(client: &Client, scope: &str) -> bool {
    match client.refresh_tokens {
        RefreshTokens::OfflineAccess => has(scope, OFFLINE) && is_registered(client, OFFLINE),
        RefreshTokens::Always => true,
    }
}

#[cfg(test)]
mod tests;
