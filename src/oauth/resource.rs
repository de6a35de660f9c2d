//! The parameter `resource` (RFC 8707): for which APIs a client requests tokens.
//!
//! Who may name which API is the rule of `client::resource`; beside those, clients of ours and admins
//! may name our own API, by our public URL. A grant remembers the resources of its authorization
//! request, separated by spaces, or else all that the client could have requested then. An access token
//! has one audience.

use super::{
    error::{ErrorCode, OauthError},
    scope::without_repetitions,
};
use crate::{
    client::resource::{Requester, audiences, may_call_us},
    config::{Client, Reloadable},
    web::params::Params,
};

const MAX_RESOURCE: usize = 2048;
const MAX_RESOURCES: usize = 10;

/// The resources that a client may request, its default first, as tokens spell them. `issuer` is our
/// public URL, the audience of our own API.
#[must_use]
pub(crate) fn registered<'a>(
    config: &'a Reloadable,
    client: &'a Client,
    issuer: &'a str,
) -> Vec<&'a str> {
    let own_api = may_call_us(client).then_some(issuer);
    without_repetitions(audiences(config, Requester::Registered(client)).chain(own_api))
}

/// RFC 8707 §2: the resources that an authorization request names, separated by spaces; none if it
/// names none.
///
/// # Errors
/// `invalid_target` for a resource that the client may not request.
pub(crate) fn requested(
    params: &Params,
    config: &Reloadable,
    client: &Client,
    issuer: &str,
) -> Result<Option<String>, OauthError> {
    let (names, registered) = (read(params, config)?, registered(config, client, issuer));
    if names.iter().any(|name| !registered.contains(name)) {
        return Err(invalid_target(
            "The parameter resource is not registered for this client.",
        ));
    }
    Ok((!names.is_empty()).then(|| names.join(" ")))
}

/// RFC 8707 §2.2: the audience of an access token from a grant that covers the resources `granted`;
/// none for all of the client's. Without a request it is the first of them that the client still has,
/// or else the client's current audience.
///
/// # Errors
/// `invalid_target` for a resource that was not granted or that the client no longer has, and for
/// several: a token that is valid at two resource servers lets each of them act at the other.
pub(crate) fn choose_audience(
    params: &Params,
    granted: Option<&str>,
    config: &Reloadable,
    client: &Client,
    issuer: &str,
) -> Result<String, OauthError> {
    let registered = registered(config, client, issuer);
    let covered: Vec<&str> = match granted {
        Some(granted) => granted
            .split(' ')
            .map(|name| config.resources.spelled(name))
            .filter(|name| registered.contains(name))
            .collect(),
        None => registered,
    };
    match read(params, config)?.as_slice() {
        [] => {
            let default = || config.resources.spelled(&client.audience);
            Ok(covered.first().copied().unwrap_or_else(default).to_owned())
        }
        [one] if covered.contains(one) => Ok((*one).to_owned()),
        [_] => Err(invalid_target("The parameter resource was not granted.")),
        _ => Err(invalid_target(
            "An access token has one audience. Request one resource at a time.",
        )),
    }
}

/// Reads the names of a request, as tokens spell them (RS-4).
fn read<'a>(params: &'a Params, config: &'a Reloadable) -> Result<Vec<&'a str>, OauthError> {
    let names = params.all_values("resource", MAX_RESOURCE)?.into_iter();
    let names = without_repetitions(names.map(|name| config.resources.spelled(name)));
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
