#![allow(clippy::unwrap_used)]

use super::*;
use crate::config::{GrantType, StoredClients};

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
        stored: StoredClients::new(list(stored)),
        ..Reloadable::default()
    }
}

#[test]
fn a_client_of_the_file_wins_over_its_duplicate_in_the_database() {
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
    assert_eq!(registry::duplicate_ids(&config), ["b"]);
    for (name, known) in [
        ("https://file.example", true),
        ("https://stored.example", true),
        ("https://x.example", false),
    ] {
        assert_eq!(is_audience(&config, name), known, "{name}");
    }
}

#[test]
fn clients_of_the_file_and_of_the_database_both_count() {
    let mut with = config(&[], &[("c", "stored")]);
    assert!(any_public(&with) && !origin_allowed(&with, "https://app.example"));
    let mut confidential = client("c", "stored");
    confidential.token_endpoint_auth_method = ClientAuth::ClientSecretPost;
    confidential.allowed_origins = vec!["https://app.example".to_owned()];
    confidential.grant_types = vec![GrantType::ClientCredentials];
    assert!(
        allows(&confidential, "https://app.example")
            && !allows(&confidential, "https://APP.example")
    );
    with.stored = StoredClients::new([confidential.clone()]);
    assert!(!any_public(&with) && origin_allowed(&with, "https://app.example"));
    (with.stored, with.clients) = (StoredClients::default(), vec![confidential]);
    assert!(!any_public(&with) && origin_allowed(&with, "https://app.example"));
}
