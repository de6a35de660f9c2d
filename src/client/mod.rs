//! Clients: the applications that may ask for sign-ins, and where responses may go.
//!
//! Clients are defined in the configuration file and in the database; the file wins where both have
//! the same identifier. All look-ups here are in memory: `registry` follows the database, and
//! `store` owns its table.

pub mod change;
pub mod definition;
pub mod redirect;
pub mod registry;
pub mod resource;
pub mod store;

use std::collections::BTreeSet;

pub use redirect::VerifiedRedirect;

use crate::{
    config::{Client, ClientAuth, GrantType, Reloadable},
    web::fetch::FetchScope,
};

/// Returns the client with this identifier.
#[must_use]
pub fn find<'a>(config: &'a Reloadable, id: &str) -> Option<&'a Client> {
    config
        .clients
        .iter()
        .find(|client| client.client_id == id)
        .or_else(|| config.stored.get(id))
}

/// Returns which addresses a request to an address of this client may reach: public ones over https,
/// and what its settings allow beside them. Plain http is for this machine, where exactly that is
/// configured.
#[must_use]
pub fn fetch_scope(client: &Client, uri: &str) -> FetchScope {
    FetchScope {
        private_hosts: client.private_hosts.clone(),
        ca_file: client.ca_file.clone(),
        loopback_http: uri.starts_with("http://"),
    }
}

/// Returns every client that is in force.
pub fn all(config: &Reloadable) -> impl Iterator<Item = &Client> {
    let is_in_file = |id: &str| config.clients.iter().any(|client| client.client_id == id);
    let stored = config.stored.iter();
    let stored = stored.filter(move |client| !is_in_file(&client.client_id));
    config.clients.iter().chain(stored)
}

/// Returns whether a browser origin may call the API for any client (CORS).
#[must_use]
pub fn origin_allowed(config: &Reloadable, origin: &str) -> bool {
    config.clients.iter().any(|client| allows(client, origin)) || config.stored.has_origin(origin)
}

/// Returns whether a browser origin is one of this client's.
#[must_use]
pub fn allows(client: &Client, origin: &str) -> bool {
    client
        .allowed_origins
        .iter()
        .any(|allowed| allowed == origin)
}

/// Returns whether access tokens of any client may have this audience.
#[must_use]
pub fn is_audience(config: &Reloadable, name: &str) -> bool {
    let has_audience = |client: &Client| {
        let mut exchanged = client.token_exchange.iter().map(|rule| &rule.to);
        client.audience == name
            || client.resources.iter().any(|resource| resource == name)
            || exchanged.any(|to| to == name)
    };
    config.clients.iter().any(has_audience)
        || config.stored.has_audience(name)
        || config.resources.find(name).is_some()
}

/// Returns every scope that a client may request, once.
#[must_use]
pub fn scopes(config: &Reloadable) -> BTreeSet<&str> {
    let scopes = config
        .clients
        .iter()
        .flat_map(|client| client.scopes.iter().map(String::as_str));
    let scopes = scopes.chain(config.stored.scopes());
    scopes.chain(config.resources.scopes()).collect()
}

/// Returns whether there is a public client.
#[must_use]
pub fn any_public(config: &Reloadable) -> bool {
    let is_public = |client: &Client| client.token_endpoint_auth_method == ClientAuth::None;
    config.clients.iter().any(is_public) || config.stored.has_public()
}

/// Returns whether a client may have grants of users.
#[must_use]
pub fn acts_for_users(client: &Client) -> bool {
    let is_of_user =
        |used: &GrantType| matches!(used, GrantType::AuthorizationCode | GrantType::DeviceCode);
    client.grant_types.iter().any(is_of_user)
}

/// Returns whether there is a client that may exchange tokens.
#[must_use]
pub fn any_exchange(config: &Reloadable) -> bool {
    all(config).any(|client| !client.token_exchange.is_empty())
}

#[cfg(test)]
mod tests;
