//! For which resource servers tokens are (RFC 8707). Each access token has one audience; a grant may cover several.
//!
//! A client may ask for its own `audience`, for its `resources` and, if it is one of our own or may act as admin, for our
//! own API. A grant remembers what the authorization request named, else all that the client could ask for then.

use crate::{
    config::Client,
    oauth::{
        error::{Code, OauthError},
        scope,
    },
    web::params::Params,
};

/// The most bytes of one name, and the most names in a request.
const MAX_NAME: usize = 2048;
const MOST: usize = 10;

const fn target(description: &'static str) -> OauthError {
    OauthError::new(Code::InvalidTarget, description)
}

/// What this client may ask for, its default first. `ours` is our public URL: the audience of our own API.
#[must_use]
pub fn registered<'a>(client: &'a Client, ours: &'a str) -> Vec<&'a str> {
    let of_ours = client.first_party || client.scopes.iter().any(|name| name == scope::ADMIN);
    let own = std::iter::once(client.audience.as_str())
        .chain(client.resources.iter().map(String::as_str));
    own.chain(of_ours.then_some(ours)).collect()
}

/// The same as a grant remembers it.
#[must_use]
pub fn all(client: &Client, ours: &str) -> String {
    registered(client, ours).join(" ")
}

fn named(params: &Params) -> Result<Vec<&str>, OauthError> {
    let mut names: Vec<&str> = Vec::new();
    for name in params.all_values("resource", MAX_NAME)? {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.len() > MOST {
        Err(target("Too many resources are asked for."))
    } else {
        Ok(names)
    }
}

const UNKNOWN: OauthError = target("The parameter resource is not registered for this client.");

/// RFC 8707 §2: what an authorization request names, separated by spaces; none if it names nothing.
///
/// # Errors
/// `invalid_target` for one that is not the client's.
pub fn asked(params: &Params, client: &Client, ours: &str) -> Result<Option<String>, OauthError> {
    let (names, may) = (named(params)?, registered(client, ours));
    if names.iter().any(|name| !may.contains(name)) {
        return Err(UNKNOWN);
    }
    Ok((!names.is_empty()).then(|| names.join(" ")))
}

/// RFC 8707 §2.2: the audience of an access token from a grant that covers `granted`. Nothing named: the first of them
/// that the client still has, else the audience that ops gave it since.
///
/// # Errors
/// `invalid_target` for one that was not granted or is no longer the client's, and for several: a token that is good at
/// two resource servers lets each of them act at the other.
pub fn chosen(
    params: &Params,
    granted: &str,
    client: &Client,
    ours: &str,
) -> Result<String, OauthError> {
    let may = registered(client, ours);
    let mut granted = granted.split(' ').filter(|name| may.contains(name));
    match named(params)?.as_slice() {
        [] => Ok(granted.next().unwrap_or(&client.audience).to_owned()),
        [one] if granted.any(|name| name == *one) => Ok((*one).to_owned()),
        [_] => Err(target("The parameter resource was not granted.")),
        _ => Err(target(
            "An access token has one audience: ask for one resource at a time.",
        )),
    }
}

/// The same for a client that acts for itself: any that is its own.
///
/// # Errors
/// As [`chosen`].
pub fn of_client(params: &Params, client: &Client, ours: &str) -> Result<String, OauthError> {
    chosen(params, &all(client, ours), client, ours)
}

#[cfg(test)]
mod tests;
