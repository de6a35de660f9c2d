#![allow(clippy::unwrap_used)]

use super::*;
use crate::config::{GrantType, Stored};

fn client(id: &str, name: &str) -> Client {
    let text =
        format!("client_id = {id:?}\nname = {name:?}\naudience = \"https://{name}.example\"");
    toml::from_str(&text).unwrap()
}

fn config(file: &[(&str, &str)], stored: &[(&str, &str)]) -> Reloadable {
    let list = |list: &[(&str, &str)]| {
        list.iter()
            .map(|(id, name)| client(id, name))
            .collect::<Vec<_>>()
    };
    Reloadable {
        clients: list(file),
        stored: Stored::new(list(stored)),
        ..Reloadable::default()
    }
}

#[test]
fn a_client_of_the_file_wins_and_the_clash_is_known() {
    let config = config(
        &[("a", "file"), ("b", "file")],
        &[("b", "stored"), ("c", "stored")],
    );
    for (id, name) in [
        ("a", Some("file")),
        ("b", Some("file")),
        ("c", Some("stored")),
        ("d", None),
        ("A", None),
    ] {
        assert_eq!(
            find(&config, id).map(|client| client.name.as_str()),
            name,
            "{id}"
        );
    }
    assert_eq!(registry::clashes(&config), ["b"]);
    for (name, known) in [
        ("https://file.example", true),
        ("https://stored.example", true),
        ("https://x.example", false),
    ] {
        assert_eq!(is_audience(&config, name), known, "{name}");
    }
}

#[test]
fn what_either_has_counts() {
    let mut with = config(&[], &[("c", "stored")]);
    assert!(any_public(&with) && !origin_allowed(&with, "https://app.example"));
    let mut own = client("c", "stored");
    own.token_endpoint_auth_method = ClientAuth::ClientSecretPost;
    own.allowed_origins = vec!["https://app.example".to_owned()];
    own.grant_types = vec![GrantType::ClientCredentials];
    assert!(allows(&own, "https://app.example") && !allows(&own, "https://APP.example"));
    with.stored = Stored::new([own.clone()]);
    assert!(!any_public(&with) && origin_allowed(&with, "https://app.example"));
    (with.stored, with.clients) = (Stored::default(), vec![own]);
    assert!(!any_public(&with) && origin_allowed(&with, "https://app.example"));
}
