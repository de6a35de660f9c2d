//! Applications that may ask for sign-ins: who they are and where answers may go.
//!
//! They stand in the configuration file and in the database; one of the file wins over one of the same identifier in the
//! database. All look-ups here are in memory: `registry` follows the database, `store` owns its table.

pub mod change;
pub mod redirect;
pub mod registry;
pub mod store;

use std::collections::BTreeSet;

pub use redirect::VerifiedRedirect;

use crate::config::{Client, ClientAuth, Reloadable};

/// The client with this identifier.
#[must_use]
pub fn find<'a>(config: &'a Reloadable, id: &str) -> Option<&'a Client> {
    config
        .clients
        .iter()
        .find(|client| client.client_id == id)
        .or_else(|| config.stored.get(id))
}

/// Whether a browser origin may call the API for any client (CORS).
#[must_use]
pub fn origin_allowed(config: &Reloadable, origin: &str) -> bool {
    config.clients.iter().any(|client| allows(client, origin)) || config.stored.has_origin(origin)
}

/// Whether a browser origin is one of this client's.
#[must_use]
pub fn allows(client: &Client, origin: &str) -> bool {
    client
        .allowed_origins
        .iter()
        .any(|allowed| allowed == origin)
}

/// Whether access tokens of some client may have this audience.
#[must_use]
pub fn is_audience(config: &Reloadable, name: &str) -> bool {
    let own = |client: &Client| {
        client.audience == name || client.resources.iter().any(|further| further == name)
    };
    config.clients.iter().any(own) || config.stored.has_audience(name)
}

/// Every scope that a client may ask for, once.
#[must_use]
pub fn scopes(config: &Reloadable) -> BTreeSet<&str> {
    let own = config
        .clients
        .iter()
        .flat_map(|client| client.scopes.iter().map(String::as_str));
    own.chain(config.stored.scopes()).collect()
}

/// Whether there is a public client.
#[must_use]
pub fn any_public(config: &Reloadable) -> bool {
    let public = |client: &Client| client.token_endpoint_auth_method == ClientAuth::None;
    config.clients.iter().any(public) || config.stored.has_public()
}

#[cfg(test)]
mod tests;
