//! What a token may be used for, and where: scopes (RFC 6749 §3.3) and resources (RFC 8707).
//!
//! Both are sets of names separated by spaces, in the order in which the client requested them. A
//! client may request the scopes that it is registered for. It may request its own `audience`, its
//! `resources` and, if it is first-party or may act as admin, our own API as a resource. A grant
//! remembers the resources of its authorization request, or else all that the client could have
//! requested then. An access token has one audience.

use super::error::{ErrorCode, OauthError};
use crate::{
    config::{Client, RefreshTokens},
    web::params::Params,
};

/// Refresh tokens that outlive the session (OIDC Core §11).
pub(crate) const OFFLINE: &str = "offline_access";

/// Our own admin API: for clients that are registered for it and users with the role `admin`
/// (ST-10).
pub(crate) const ADMIN: &str = "entree:admin";

/// Scopes about a user, in the metadata's order. All others are names of the APIs that tokens are
/// for.
pub(crate) const SUPPORTED: [&str; 4] = ["openid", "profile", "email", OFFLINE];

const MAX_RESOURCE: usize = 2048;
const MAX_RESOURCES: usize = 10;

/// Returns whether a scope has this name.
#[must_use]
pub(crate) fn has(scope: &str, name: &str) -> bool {
    scope.split(' ').any(|listed| listed == name)
}

fn is_registered(client: &Client, name: &str) -> bool {
    client.scopes.iter().any(|scope| scope == name)
}

fn without_repetitions<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut kept = Vec::new();
    for name in names {
        if !kept.contains(&name) {
            kept.push(name);
        }
    }
    kept
}

/// The scopes of a request that the client is registered for; others are ignored (OIDC Core
/// §3.1.2.1). `offline_access` is one of them: the user is asked to allow it by name like the
/// others, unless the client is first-party (RF-1, OIDC Core §11).
#[must_use]
pub(crate) fn grantable(client: &Client, requested: &str) -> String {
    let names = requested
        .split(' ')
        .filter(|name| is_registered(client, name));
    without_repetitions(names).join(" ")
}

/// What of a granted scope a user with these roles can pass on: [`ADMIN`] needs the role.
#[must_use]
pub(crate) fn limit_to_roles(granted: &str, roles: &[String]) -> String {
    let is_admin = roles.iter().any(|role| role == "admin");
    let names: Vec<&str> = granted
        .split(' ')
        .filter(|name| is_admin || *name != ADMIN)
        .collect();
    names.join(" ")
}

/// The scope of a client that acts for itself (RFC 6749 §4.4.2): what it requests, or else all that
/// it is registered for. Scopes about a user are never the client's own.
///
/// # Errors
/// `invalid_scope` for a scope that is not the client's own.
pub(crate) fn of_client_itself(
    client: &Client,
    requested: Option<&str>,
) -> Result<String, OauthError> {
    let is_own = |name: &str| !SUPPORTED.contains(&name) && is_registered(client, name);
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
    let description = "The client is not registered for this scope, or the scope needs a user.";
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

/// Returns whether a grant of this scope comes with a refresh token for this client.
#[must_use]
pub(crate) fn allows_refresh(client: &Client, scope: &str) -> bool {
    match client.refresh_tokens {
        RefreshTokens::OfflineAccess => has(scope, OFFLINE) && is_registered(client, OFFLINE),
        RefreshTokens::Always => true,
    }
}

/// The resources that a client may request, its default first. `issuer` is our public URL, the
/// audience of our own API.
#[must_use]
pub(crate) fn registered_resources<'a>(client: &'a Client, issuer: &'a str) -> Vec<&'a str> {
    let may_call_us = client.first_party || is_registered(client, ADMIN);
    let own = std::iter::once(client.audience.as_str())
        .chain(client.resources.iter().map(String::as_str));
    own.chain(may_call_us.then_some(issuer)).collect()
}

/// RFC 8707 §2: the resources that an authorization request names, separated by spaces; none if it
/// names none.
///
/// # Errors
/// `invalid_target` for a resource that the client is not registered for.
pub(crate) fn requested_resources(
    params: &Params,
    client: &Client,
    issuer: &str,
) -> Result<Option<String>, OauthError> {
    let (names, registered) = (
        read_resources(params)?,
        registered_resources(client, issuer),
    );
    if names.iter().any(|name| !registered.contains(name)) {
        return Err(invalid_target(
            "The parameter resource is not registered for this client.",
        ));
    }
    Ok((!names.is_empty()).then(|| names.join(" ")))
}

/// RFC 8707 §2.2: the audience of an access token from a grant that covers the resources `granted`.
/// Without a request it is the first of them that the client still has, or else the client's
/// current audience.
///
/// # Errors
/// `invalid_target` for a resource that was not granted or that the client no longer has, and for
/// several: a token that is valid at two resource servers lets each of them act at the other.
pub(crate) fn choose_audience(
    params: &Params,
    granted: &str,
    client: &Client,
    issuer: &str,
) -> Result<String, OauthError> {
    let registered = registered_resources(client, issuer);
    let mut granted = granted.split(' ').filter(|name| registered.contains(name));
    match read_resources(params)?.as_slice() {
        [] => Ok(granted.next().unwrap_or(&client.audience).to_owned()),
        [one] if granted.any(|name| name == *one) => Ok((*one).to_owned()),
        [_] => Err(invalid_target("The parameter resource was not granted.")),
        _ => Err(invalid_target(
            "An access token has one audience. Request one resource at a time.",
        )),
    }
}

fn read_resources(params: &Params) -> Result<Vec<&str>, OauthError> {
    let names = without_repetitions(params.all_values("resource", MAX_RESOURCE)?.into_iter());
    if names.len() > MAX_RESOURCES {
        return Err(invalid_target("The request names more than 10 resources."));
    }
    Ok(names)
}

const fn invalid_target(description: &'static str) -> OauthError {
    OauthError::new(ErrorCode::InvalidTarget, description)
}

#[cfg(test)]
mod tests;
