//! Checks `[[resources]]`.

use std::collections::BTreeMap;

use url::Url;

use super::{
    clients::check_audience,
    profile,
    values::{is_display_text, is_scope},
};
use crate::config::{
    problem::{Findings, Section},
    resources::{AccessTokenTyp, RESERVED_SCOPES, Resource, Words, comparable_identifier},
    settings::Reloadable,
    token_lifetimes,
    url::has_user,
};

pub(super) fn check(config: &Reloadable, public_url: &str, findings: &mut Findings) {
    let (mut identifiers, mut scopes) = (BTreeMap::new(), BTreeMap::new());
    for (at, resource) in config.resources.iter().enumerate() {
        let section = &mut findings.section(format!("resources[{at}]"));
        check_identifier(resource, public_url, section);
        let first = *identifiers
            .entry(comparable_identifier(&resource.identifier))
            .or_insert(at);
        section.require(
            first == at,
            "identifier",
            &format!("names the API of resources[{first}]"),
            "Keep one block for each API. Case of scheme and host and the slash of an empty path do not count.",
        );
        check_words(&resource.name, "name", section);
        for (scope, words) in &resource.scopes {
            let first = *scopes.entry(scope).or_insert(at);
            let owner = (first != at).then_some(first);
            check_scope(scope, owner, section);
            check_words(words, &format!("scopes.{scope}"), section);
        }
        check_typ(config, resource, section);
        warn_of_unknown_clients(config, resource, section);
        profile::check_resource(&config.clients, resource, section);
        token_lifetimes::check_resource(resource, section);
    }
}

/// Our own address would make tokens for another API good at our own endpoints.
fn check_identifier(resource: &Resource, public_url: &str, section: &mut Section<'_>) {
    let identifier = &resource.identifier;
    check_audience(identifier, public_url, "identifier", section);
    section.require(
        identifier == public_url || !is_same_url(identifier, public_url),
        "identifier",
        "is our own address (server.public_url)",
        "Name the API by an address of its own, for instance `https://api.example.com`.",
    );
    section.require(
        !Url::parse(identifier).is_ok_and(|url| has_user(&url)),
        "identifier",
        "has a user in it",
        "Remove everything between `//` and `@`.",
    );
}

/// Whether two texts are the same URL to those that parse it.
fn is_same_url(one: &str, other: &str) -> bool {
    let parsed = |text| Url::parse(text).ok();
    parsed(one).is_some_and(|url| Some(url) == parsed(other))
}

/// `owner` is the block that has the scope already. A scope of two APIs would let a token for one of
/// them be taken for a token for the other.
fn check_scope(scope: &str, owner: Option<usize>, section: &mut Section<'_>) {
    let key = format!("scopes.{scope}");
    section.require(
        is_scope(scope),
        &key,
        "is not a scope",
        "Write one name without spaces, for instance `lessons:read`.",
    );
    section.require(
        !RESERVED_SCOPES.contains(&scope),
        &key,
        "is a scope of Entree itself",
        "Remove it. Clients list such a scope themselves.",
    );
    if let Some(owner) = owner {
        section.refuse(
            &key,
            &format!("is a scope of resources[{owner}]"),
            "Keep each scope in one block. Put the name of the API before it, as in `lessons:read`.",
        );
    }
}

fn check_words(words: &Words, key: &str, section: &mut Section<'_>) {
    for (language, text) in words.iter() {
        section.require(
            is_display_text(text) && (2..=35).contains(&language.len()),
            format!("{key}.{language}"),
            "has a text that cannot be shown",
            "Write a text by language, for instance { en = \"See your lessons\" }.",
        );
    }
}

/// A misspelt client would be refused its tokens without a word to the operator. The clients of the
/// database are not known here, so this is no problem.
fn warn_of_unknown_clients(config: &Reloadable, resource: &Resource, section: &mut Section<'_>) {
    for (at, id) in resource.clients.iter().enumerate() {
        section.warn_if(
            !config.clients.iter().any(|client| client.client_id == *id),
            format!("clients[{at}]"),
            &format!("names {id:?}, of which this configuration has no block"),
            "Check the spelling. For a client of the database (`entree clients list`) all is well.",
        );
    }
}

/// The audience of an ID token is its client, and its `typ` is `JWT`, too.
fn check_typ(config: &Reloadable, resource: &Resource, section: &mut Section<'_>) {
    let mut clients = config.clients.iter();
    let is_client = clients.any(|client| {
        comparable_identifier(&client.client_id) == comparable_identifier(&resource.identifier)
    });
    section.require(
        resource.access_token_typ == AccessTokenTyp::AtJwt || !is_client,
        "access_token_typ",
        "makes access tokens for this API look like the ID tokens of the client of that name",
        "Remove it, or give the client another client_id.",
    );
}
