//! Scopes: a set of names, in the order in which they were asked for (RFC 6749 §3.3).

use crate::config::Client;

/// What we can fill, in the metadata's order.
pub const SUPPORTED: [&str; 3] = ["openid", "profile", "email"];

/// The scopes of a request that this client may have; unknown ones are ignored (OIDC Core §3.1.2.1).
#[must_use]
pub fn granted(client: &Client, asked: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in asked.split(' ') {
        let allowed = SUPPORTED.contains(&name) && client.scopes.iter().any(|scope| scope == name);
        if allowed && !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(" ")
}

/// Whether a scope is in a list.
#[must_use]
pub fn has(scope: &str, name: &str) -> bool {
    scope.split(' ').any(|one| one == name)
}
