//! Secrets in files of their own, and secrets of clients.

use super::*;
use crate::secret::Hash;

const KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[test]
fn sk_07_secrets_come_from_files() {
    let master = File::new(&format!("{KEY}\n")).mode(0o400);
    let password = File::new("top secret \r\n");
    let older = [KEY.replace('0', "a"), KEY.replace('0', "b")].join("\n") + "\n";
    let older = File::new(&older).mode(0o600);
    let url = File::new("redis://:pw@h:6379\n");
    let env = [
        ("ENTREE__SERVER__MASTER_KEY_FILE", master.name()),
        ("ENTREE__SERVER__PREVIOUS_MASTER_KEYS_FILE", older.name()),
        ("ENTREE__MAIL__PASSWORD_FILE", password.name()),
        ("ENTREE__MAIL__USERNAME", "u"),
        ("ENTREE__TICKETS__URL_FILE", url.name()),
    ];
    let startup = load_text("server.master_key = \"\"", &env)
        .unwrap()
        .config
        .startup;
    assert_eq!(startup.server.master_key.expose(), KEY);
    assert_eq!(startup.server.previous_master_keys.len(), 2);
    assert_eq!(
        startup.mail.password.expose(),
        "top secret ",
        "only the final line break is removed"
    );
    assert_eq!(startup.tickets.url.expose(), "redis://:pw@h:6379");
}

#[test]
fn sk_07_a_bad_secret_file_is_refused() {
    let open = File::new(KEY).mode(0o644);
    let empty = File::new("\n").mode(0o400);
    let good = File::new(KEY).mode(0o400);
    for (text, key, file) in [
        ("", "server.master_key_file", open.name()),
        ("", "mail.password_file", open.name()),
        ("", "tickets.url_file", open.name()),
        ("", "server.master_key_file", empty.name()),
        ("", "server.master_key_file", "/nowhere"),
        (
            "server.master_key = \"x\"",
            "server.master_key_file",
            good.name(),
        ),
        (
            "database.url = \"sqlite:x\"",
            "database.url_file",
            good.name(),
        ),
        ("", "server.listen_file", good.name()),
    ] {
        let name = format!("ENTREE__{}", key.replace('.', "__").to_uppercase());
        let problems = load_text(text, &[(&name, file)]).unwrap_err();
        assert!(
            keys(&problems).contains(&name.as_str()),
            "{name}: {problems:?}"
        );
        assert!(!format!("{problems:?}").contains(KEY), "{problems:?}");
    }
}

#[test]
fn ca_5_a_client_secret_is_loaded_as_its_hash_from_every_source() {
    let hash = Hash::of(KEY.as_bytes()).to_hex();
    let file = File::new(&format!("{KEY}\n"));
    let clients = |line: &str| {
        format!(
            "[{{ client_id = \"a\", name = \"A\", audience = \"https://a\", first_party = true, \
             token_endpoint_auth_method = \"client_secret_basic\", {line} }}]"
        )
    };
    let inline = format!("client_secret = \"{KEY}\"");
    let in_file = format!("client_secret_file = \"{}\"", file.name());
    let rotating = format!("{inline}, client_secret_sha256 = [\"{}\"]", "a".repeat(64));
    for line in [&inline, &in_file, &rotating] {
        let list = clients(line);
        for loaded in [
            load_text(&format!("clients = {list}"), &[]),
            load_text("", &[("ENTREE__CLIENTS", &list)]),
        ] {
            let config = loaded.unwrap().config;
            let client = &config.reloadable.clients[0];
            assert!(client.client_secret.is_empty(), "{line}");
            assert_eq!(client.client_secret_sha256[0], hash, "{line}");
            assert!(!format!("{config:?}").contains(KEY));
        }
    }
    let three = rotating.replace("[\"", &format!("[\"{hash}\", \""));
    assert_eq!(
        refused_keys(&format!("clients = {}", clients(&three))),
        ["clients[0].client_secret_sha256"]
    );
    let uuid = clients(&format!("{inline}, grant_types = [\"client_credentials\"]"));
    let uuid = uuid.replace("\"a\"", "\"5d4cf4a6-5b0e-4b7e-9d3f-0a5a3f1f0e11\"");
    assert_eq!(
        refused_keys(&format!("clients = {uuid}")),
        ["clients[0].client_id"]
    );
}
