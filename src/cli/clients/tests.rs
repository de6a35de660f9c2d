#![allow(
    clippy::too_many_lines,
    reason = "a table of cases reads best in one piece"
)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::io::IsTerminal as _;

use clap::{CommandFactory as _, Parser as _};
use entity::audit_event;
use sea_orm::{EntityTrait as _, QueryOrder as _};

use super::{
    listing::{as_json, list, list_all, show},
    *,
};
use crate::{
    cli::{Cli, users::tests::database},
    config::Client,
    secret::Hash,
};

fn parse(words: &[&str]) -> Result<NewClient, String> {
    let all = [&["entree", "clients", "create"], words].concat();
    match Cli::try_parse_from(all)
        .map_err(|error| error.to_string())?
        .command
    {
        super::super::Command::Clients(Command::Create(new)) => Ok(new),
        _ => Err("another command".to_owned()),
    }
}

fn shop(more: &[&str]) -> NewClient {
    let least = [
        "shop",
        "--name",
        "The shop",
        "--audience",
        "https://api.example",
    ];
    let uri = ["--redirect-uri", "https://shop.example/cb"];
    parse(&[&least[..], &uri[..], more].concat()).unwrap()
}

fn config() -> Config {
    let mut config = Config::default();
    config.startup.server.public_url = "https://id.example".to_owned();
    config
}

async fn kinds(db: &Db) -> Vec<(String, Option<String>, Option<String>)> {
    let rows = audit_event::Entity::find()
        .order_by_asc(audit_event::Column::Id)
        .all(db.read())
        .await
        .unwrap();
    rows.into_iter()
        .map(|row| (row.kind, row.reason, row.client_id))
        .collect()
}

#[tokio::test]
async fn what_is_created_is_listed_changed_and_taken_out_and_the_trail_tells() {
    let (_file, db, ..) = database().await;
    let config = config();
    create(
        &db,
        &config,
        &shop(&["--auth", "client_secret_post", "--set", "first_party=true"]),
    )
    .await
    .unwrap();
    let one = list_all(&db, &config).await.unwrap().pop().unwrap();
    assert_eq!(
        (one.id.as_str(), one.from, one.state),
        ("shop", "database", "active")
    );
    let client = one.definition.as_ref().unwrap();
    assert!(client.first_party && client.client_secret_sha256.len() == 1);
    let value = as_json(&one).unwrap();
    assert_eq!(
        (&value["secrets"], &value["state"]),
        (&json!(1), &json!("active"))
    );
    assert!(
        !value.to_string().contains(&client.client_secret_sha256[0])
            && value.get("client_secret").is_none()
    );

    assert!(
        create(&db, &config, &shop(&[])).await.is_err(),
        "one of an identifier"
    );
    let flags = Flags {
        yes: true,
        json: true,
    };
    rotate(&db, &config, "shop", SecretRotation::KeepOld, flags)
        .await
        .unwrap();
    rotate(&db, &config, "shop", SecretRotation::EndOld, flags)
        .await
        .unwrap();
    switch(&db, &config, "shop", false, true).await.unwrap();
    assert!(
        switch(&db, &config, "shop", false, true).await.is_err(),
        "so already"
    );
    assert_eq!(list_all(&db, &config).await.unwrap()[0].state, "disabled");
    switch(&db, &config, "shop", true, false).await.unwrap();
    let recorded: Vec<_> = kinds(&db)
        .await
        .into_iter()
        .map(|(kind, reason, _)| (kind, reason.unwrap()))
        .collect();
    let recorded: Vec<_> = recorded
        .iter()
        .map(|(kind, reason)| (kind.as_str(), reason.as_str()))
        .collect();
    assert_eq!(
        recorded,
        [
            ("client.created", "ops"),
            ("client.secret_rotated", "old_kept"),
            ("client.secret_rotated", "finished"),
            ("client.disabled", "ops"),
            ("client.enabled", "ops"),
        ]
    );
    assert!(
        kinds(&db)
            .await
            .iter()
            .all(|(_, _, client)| client.as_deref() == Some("shop"))
    );
    for done in [
        list(&db, &config, false).await,
        show(&db, &config, "shop", false).await,
    ] {
        done.unwrap();
    }
    assert!(show(&db, &config, "unknown", false).await.is_err());
}

#[tokio::test]
async fn what_has_problems_changes_nothing() {
    let (_file, db, ..) = database().await;
    let config = config();
    for bad in [
        &["--auth", "client_secret_jwt"][..],
        &["--auth", "none", "--set", "client_secret_sha256=00"],
        &["--set", "require_pkce=false"],
        &["--set", "nonsense=1"],
        &["--set", "access_token_seconds=3601"],
        &["--redirect-uri", "https://shop.example/*"],
        &["--redirect-uri", "javascript:alert(1)"],
        &["--redirect-uri", "https://shop.example/\u{1b}[2J"],
        &["--scopes", "a b"],
    ] {
        assert!(
            matches!(
                create(&db, &config, &shop(bad)).await,
                Err(CommandError::Reported)
            ),
            "{bad:?}"
        );
    }
    for (id, name, audience) in [
        ("", "A", "https://api.example"),
        ("a b", "A", "https://api.example"),
        ("a\u{1b}[2J", "A", "https://api.example"),
        (&"x".repeat(256), "A", "https://api.example"),
        ("a", " ", "https://api.example"),
        ("a", "A\nB", "https://api.example"),
        ("a", "A", "api"),
        ("a", "A", "https://id.example"),
    ] {
        let new = parse(&[
            id,
            "--name",
            name,
            "--audience",
            audience,
            "--set",
            "first_party=true",
        ])
        .unwrap();
        assert!(
            matches!(
                create(&db, &config, &new).await,
                Err(CommandError::Reported)
            ),
            "{id:?} {name:?} {audience:?}"
        );
    }
    assert!(list_all(&db, &config).await.unwrap().is_empty() && kinds(&db).await.is_empty());
    for id in ["unknown", "'; DROP TABLE clients; --"] {
        assert!(switch(&db, &config, id, false, false).await.is_err());
        assert!(
            rotate(
                &db,
                &config,
                id,
                SecretRotation::KeepOld,
                Flags {
                    yes: true,
                    json: false
                }
            )
            .await
            .is_err()
        );
    }
    assert!(list_all(&db, &config).await.is_ok());
}

#[tokio::test]
async fn a_client_of_the_file_hides_the_other_and_is_not_changed_here() {
    let (_file, db, ..) = database().await;
    let mut config = config();
    create(&db, &config, &shop(&[])).await.unwrap();
    let Ok(mut own) = list_all(&db, &config)
        .await
        .unwrap()
        .pop()
        .unwrap()
        .definition
    else {
        panic!("a client")
    };
    own.name = "Of the file".to_owned();
    let alone = Client {
        client_id: "alone".to_owned(),
        ..own.clone()
    };
    config.reloadable.clients = vec![own, alone];
    let list = list_all(&db, &config).await.unwrap();
    let states: Vec<_> = list
        .iter()
        .map(|one| (one.id.as_str(), one.from, one.state))
        .collect();
    assert_eq!(
        states,
        [
            ("shop", "file", "active"),
            ("alone", "file", "active"),
            ("shop", "database", "hidden")
        ]
    );
    let odd = warnings(&db, &config).await.unwrap();
    assert!(
        odd.len() == 1 && odd[0].key == "shop" && odd[0].what.contains("file wins"),
        "{odd:?}"
    );
    let refused = switch(&db, &config, "alone", false, false)
        .await
        .unwrap_err();
    assert!(
        matches!(refused, CommandError::Message(words) if words.contains("configuration file"))
    );
}

#[tokio::test]
async fn keys_are_set_together_and_an_empty_value_is_the_default() {
    let (_file, db, ..) = database().await;
    let config = config();
    create(&db, &config, &shop(&["--set", "access_token_seconds=300"]))
        .await
        .unwrap();
    let set = async |keys: &[(&str, &str)]| {
        let keys: Vec<_> = keys
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let tx = db.begin().await.unwrap();
        let result = change::set_keys(&tx, "shop", &keys, definition_context(&config)).await;
        tx.commit().await.unwrap();
        result
    };
    let both = [
        ("redirect_uris", "https://a.example/cb,https://b.example/cb"),
        ("access_token_seconds", ""),
    ];
    let changed = set(&both).await.unwrap().client;
    assert_eq!(
        (changed.redirect_uris.len(), changed.access_token_seconds),
        (2, None)
    );
    let Err(ClientChangeError::Invalid(problems)) =
        set(&[("name", "New"), ("audience", "x"), ("scopes", "")]).await
    else {
        panic!("a problem")
    };
    assert_eq!(problems[0].key, "audience");
    let now = list_all(&db, &config)
        .await
        .unwrap()
        .pop()
        .unwrap()
        .definition
        .unwrap();
    assert!(now.name == "The shop" && now == changed, "all or nothing");
}

#[tokio::test]
async fn fs_1_a_client_of_the_database_may_have_the_profile() {
    let (_file, db, ..) = database().await;
    let config = config();
    let jwks = r#"jwks={"keys":[{"kty":"EC","crv":"P-256",
        "x":"WKn-ZIGevcwGIyyrzFoZNBdaq9_TsqzGl96oc0CWuis","y":"y77t-RvAHRKTsSGdIYUfweuOvwrvDD-Q3Hv5J0fSKbE"}]}"#;
    let profile = ["--set", "profile=fapi2", "--set", jwks];
    let contrary = [&profile[..], &["--auth", "client_secret_basic"]].concat();
    let refused = create(&db, &config, &shop(&contrary)).await;
    assert!(matches!(refused, Err(CommandError::Reported)));
    create(&db, &config, &shop(&profile)).await.unwrap();
    let one = list_all(&db, &config).await.unwrap().pop().unwrap();
    let client = one.definition.unwrap();
    assert!(client.dpop_bound_access_tokens && client.client_secret_sha256.is_empty());
    let set = async |key: &str, text: &str| {
        let keys = [(key.to_owned(), text.to_owned())];
        let tx = db.begin().await.unwrap();
        let result = change::set_keys(&tx, "shop", &keys, definition_context(&config)).await;
        tx.commit().await.unwrap();
        result
    };
    let Err(ClientChangeError::Invalid(problems)) = set("access_token_alg", "RS256").await else {
        panic!("a problem")
    };
    assert_eq!(problems[0].key, "access_token_alg");
    // Without the profile the client keeps what the profile had set.
    let plain = set("profile", "").await.unwrap().client;
    assert!(plain.dpop_bound_access_tokens && plain.demands() != client.demands());
}

#[test]
fn no_secret_is_taken_from_a_command_line() {
    for bad in [
        "client_secret=x",
        " client_secret =x",
        "client_secret_file=/x",
        "client_id=y",
        "nothing",
    ] {
        assert!(parse_pair(bad).is_err(), "{bad}");
    }
    let hash = Hash::of(b"x").to_hex();
    assert_eq!(
        parse_pair(&format!("client_secret_sha256={hash}"))
            .unwrap()
            .1,
        hash
    );
    assert_eq!(
        parse_pair("name=a=b").unwrap(),
        ("name".to_owned(), "a=b".to_owned())
    );
}

#[test]
fn nobody_is_asked_without_a_terminal() {
    assert!(confirm(true, "shop", "it ends").is_ok());
    if !std::io::stdin().is_terminal() {
        assert!(confirm(false, "shop", "it ends").is_err());
    }
}

#[test]
fn every_command_says_what_it_is_for() {
    let mut top = Cli::command();
    let clients = top.find_subcommand_mut("clients").unwrap();
    for command in clients.get_subcommands_mut() {
        let help = command.render_long_help().to_string();
        assert!(help.len() > 120, "{help}");
    }
}
