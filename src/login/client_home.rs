//! The way back to the client that sent a user here, for when nothing else of its request is left
//! (OD-9, OC-8): the request has expired, or another tab has taken it up.
//!
//! The addresses of our pages name the client beside the handle of its request. An identifier of a
//! client is public, and what the name leads to is what the client registered.

use poem::{Request, http::Uri};

use crate::{
    client::{self, VerifiedRedirect},
    config::{Client, Reloadable},
    web::params::Params,
};

/// The name of the parameter.
const PARAMETER: &str = "client";

/// Adds the client to a path of ours that has a query or none.
#[must_use]
pub fn with_client(path: &str, client_id: Option<&str>) -> String {
    let Some(id) = client_id.filter(|id| !id.is_empty()) else {
        return path.to_owned();
    };
    let separator = if path.contains('?') { '&' } else { '?' };
    let pair = form_urlencoded::Serializer::new(String::new())
        .append_pair(PARAMETER, id)
        .finish();
    format!("{path}{separator}{pair}")
}

/// Returns the client that the address of a request names.
#[must_use]
pub fn client_in<'a>(request: &Request, config: &'a Reloadable) -> Option<&'a Client> {
    client_in_uri(request.uri(), config)
}

/// Returns the client that an address of ours names.
#[must_use]
pub fn client_in_uri<'a>(uri: &Uri, config: &'a Reloadable) -> Option<&'a Client> {
    let params = Params::from_uri(uri).ok()?;
    let id = params.optional_within(PARAMETER, 256).ok()??;
    client::find(config, id)
}

/// Returns the path that takes up a client's request after the user has allowed cookies.
#[must_use]
pub fn again_path(txn: &str, client_id: Option<&str>) -> String {
    with_client(&format!("/login/again?txn={txn}"), client_id)
}

/// Returns the home page of a client, and the name that users see.
#[must_use]
pub fn home_of(config: &Reloadable, client_id: Option<&str>) -> Option<(VerifiedRedirect, String)> {
    let client = client::find(config, client_id?)?;
    Some((VerifiedRedirect::home_of(client)?, client.name.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oc_8_a_path_names_its_client() {
        assert_eq!(with_client("/login", None), "/login");
        assert_eq!(with_client("/login", Some("a")), "/login?client=a");
        assert_eq!(
            with_client("/login?txn=1", Some("a b&c")),
            "/login?txn=1&client=a+b%26c"
        );
    }

    #[test]
    fn oc_8_only_a_registered_client_is_found() {
        let config = Reloadable::default();
        let request = Request::builder().uri_str("/login?client=x").finish();
        assert!(client_in(&request, &config).is_none());
    }
}
