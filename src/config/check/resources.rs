//! Checks `[[resources]]`.

use std::collections::BTreeSet;

use super::clients::check_audience;
use crate::config::{
    problem::Findings,
    resource::{AccessTokenTyp, Resource},
    settings::Reloadable,
};

pub(super) fn check(config: &Reloadable, public_url: &str, findings: &mut Findings) {
    let mut seen = BTreeSet::new();
    for (at, resource) in config.resources.iter().enumerate() {
        let Resource {
            identifier,
            access_token_typ,
        } = resource;
        let section = &mut findings.section(format!("resources[{at}]"));
        check_audience(identifier, public_url, "identifier", section);
        section.require(
            seen.insert(identifier),
            "identifier",
            "is used by another resource",
            "Keep one block for each API.",
        );
        // The audience of an ID token is its client, and its `typ` is `JWT`, too.
        let is_client = config
            .clients
            .iter()
            .any(|client| client.client_id == *identifier);
        section.require(
            *access_token_typ == AccessTokenTyp::AtJwt || !is_client,
            "access_token_typ",
            "makes access tokens for this API look like the ID tokens of the client of that name",
            "Remove it, or give the client another client_id.",
        );
    }
}
