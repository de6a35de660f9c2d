//! Tables of bad configurations, layers, secrets, and the example file.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt as _};

use super::*;
use crate::{
    config::{Client, MailTransport, SmtpTls, deserialize::known_keys},
    secret::{Hash, public_id},
};

const BASE: [(&str, &str); 2] = [
    ("ENTREE__SERVER__PUBLIC_URL", "https://login.example.com"),
    ("ENTREE__MAIL__FROM", "Entree <login@example.com>"),
];

fn env(more: &[(&str, &str)]) -> Vec<(String, String)> {
    BASE.iter()
        .chain(more)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// A file of its own, removed at the end.
struct File(PathBuf);

impl File {
    fn new(text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("entree-config-{}", public_id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn mode(self, mode: u32) -> Self {
        std::fs::set_permissions(&self.0, std::fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    fn name(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn load(
    file: Option<&Path>,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Loaded, Vec<Problem>> {
    Source {
        file: file.map(Path::to_owned),
        env: env.collect(),
        mode: Mode::Serve,
    }
    .load()
}

/// Loads this text over the least that is needed.
fn load_text(text: &str, more: &[(&str, &str)]) -> Result<Loaded, Vec<Problem>> {
    let file = File::new(text);
    load(Some(&file.0), env(more).into_iter())
}

pub(crate) fn keys(text: &str) -> Vec<String> {
    match load_text(text, &[]) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.into_iter().map(|problem| problem.key).collect(),
    }
}

#[test]
fn each_bad_configuration_is_refused_at_its_key() {
    let client = |line: &str| {
        let mut lines: BTreeMap<&str, String> = BTreeMap::from([
            ("client_id", "\"a\"".to_owned()),
            ("name", "\"A\"".to_owned()),
            ("audience", "\"https://api.example.com\"".to_owned()),
            ("redirect_uris", "[\"https://a.example.com/cb\"]".to_owned()),
        ]);
        let (key, value) = line.split_once(" = ").unwrap();
        lines.insert(key, value.to_owned());
        let lines = lines
            .iter()
            .map(|(key, value)| format!("{key} = {value}\n"));
        format!("[[clients]]\n{}", lines.collect::<String>())
    };
    let redirect = |uri: &str| client(&format!("redirect_uris = [\"{uri}\"]"));
    let confidential = |line: &str| {
        let text = client("token_endpoint_auth_method = \"client_secret_post\"");
        format!("{text}{line}\nrequire_pkce = false\n")
    };
    // The environment of `BASE` has the public URL and the sender; these come on top.
    let cases: Vec<(String, &str)> = vec![
        ("[servers]\nlisten = 1".into(), "servers"),
        ("[api]\nv2_enabled_x = true".into(), "api.v2_enabled_x"),
        ("[api]\nv2_enabled = \"true\"".into(), "api.v2_enabled"),
        ("[server]\nlisten = \"localhost\"".into(), "server.listen"),
        ("[server]\nlisten = 8080".into(), "server.listen"),
        (
            "[server]\nmaster_key = \"short\"".into(),
            "server.master_key",
        ),
        (
            format!("[server]\nmaster_key = \"{}\"", "0".repeat(64)),
            "server.master_key",
        ),
        (
            "[server]\nprevious_master_keys = [\"x\"]".into(),
            "server.previous_master_keys[0]",
        ),
        (
            "[server]\ntrusted_proxies = [\"10.0.0.0/8\", \"ten\"]".into(),
            "server.trusted_proxies[1]",
        ),
        (
            "[server]\ntrusted_proxies = [\"0.0.0.0/0\"]".into(),
            "server.trusted_proxies[0]",
        ),
        (
            "[server]\nconnections_per_network = 15".into(),
            "server.connections_per_network",
        ),
        (
            "[server]\ntexts_dir = \"/nowhere/at/all\"".into(),
            "server.texts_dir",
        ),
        (
            "[server]\ndrain_seconds = -1".into(),
            "server.drain_seconds",
        ),
        (
            "[server]\ndrain_seconds = 601".into(),
            "server.drain_seconds",
        ),
        (
            "[server]\nlisten = \"127.0.0.1:9090\"".into(),
            "management.listen",
        ),
        (
            "[database]\nurl = \"mysql://root:hunter2@h/d\"".into(),
            "database.url",
        ),
        (
            "[database]\nurl = \"sqlite::memory:\"".into(),
            "database.url",
        ),
        (
            "[database]\nmax_connections = 0".into(),
            "database.max_connections",
        ),
        ("[database]\nurl = \"postgres://h/d\"".into(), "tickets.url"),
        ("[tickets]\nurl = \"http://h\"".into(), "tickets.url"),
        ("[tickets]\nprefix = \"a{b}\"".into(), "tickets.prefix"),
        (
            "[tickets]\nmemory_entries = 1".into(),
            "tickets.memory_entries",
        ),
        ("[mail]\ntransport = \"mailbox\"".into(), "mail.transport"),
        ("[mail]\ntransport = \"pigeon\"".into(), "mail.transport"),
        ("[mail]\nhost = \"smtp://mail\"".into(), "mail.host"),
        ("[mail]\nport = 70000".into(), "mail.port"),
        (
            "[mail]\nusername = \"u\"\npassword = \"p\"\ntls = \"none\"".into(),
            "mail.tls",
        ),
        ("[mail]\nusername = \"u\"".into(), "mail.password"),
        ("[mail]\npassword = \"p\"".into(), "mail.username"),
        ("[mail]\nca_file = \"/nowhere\"".into(), "mail.ca_file"),
        (
            "[magic_link]\nlifetime_seconds = 86401".into(),
            "magic_link.lifetime_seconds",
        ),
        (
            "[magic_link]\ncode_digits = 5".into(),
            "magic_link.code_digits",
        ),
        (
            "[magic_link]\ncode_digits = 11".into(),
            "magic_link.code_digits",
        ),
        (
            "[session]\nidle_seconds = 9999999".into(),
            "session.idle_seconds",
        ),
        ("[session]\nmax_per_user = 0".into(), "session.max_per_user"),
        (
            "[token]\naccess_seconds = 59".into(),
            "token.access_seconds",
        ),
        (
            "[token]\naccess_seconds = 3601".into(),
            "token.access_seconds",
        ),
        ("[token]\ncode_seconds = 61".into(), "token.code_seconds"),
        ("[limits]\naddress = []".into(), "limits.address"),
        (
            "[limits]\naddress = [{ count = 0, seconds = 1 }]".into(),
            "limits.address[0].count",
        ),
        (
            "[limits]\nnetwork = [{ count = 1, seconds = 0 }]".into(),
            "limits.network[0].seconds",
        ),
        (
            "[limits]\nnetwork = [{ count = 1 }]".into(),
            "limits.network[0].seconds",
        ),
        ("[limits]\nauthorize = []".into(), "limits.authorize"),
        (
            "[limits]\nauthorize = [{ count = 0, seconds = 1 }]".into(),
            "limits.authorize[0].count",
        ),
        (
            "[limits]\nresend_seconds = []".into(),
            "limits.resend_seconds",
        ),
        (
            "[limits]\ntries_per_flow = 0".into(),
            "limits.tries_per_flow",
        ),
        (
            "[telemetry]\nlevel = \"entree=loud\"".into(),
            "telemetry.level",
        ),
        ("clients = 3".into(), "clients"),
        (
            "[[clients]]\nclient_id = \"a\"\nredirect_uris = [\"https://a\"]\nname = \"A\"".into(),
            "clients[0].audience",
        ),
        (client("client_id = \"a b\""), "clients[0].client_id"),
        (client("name = \" \""), "clients[0].name"),
        (client("audience = \"api\""), "clients[0].audience"),
        (client("redirect_uris = []"), "clients[0].redirect_uris"),
        (client("redirect_uris = [1]"), "clients[0].redirect_uris[0]"),
        (
            client("redirect_uri = [\"https://a\"]"),
            "clients[0].redirect_uri",
        ),
        (
            client("token_endpoint_auth_method = \"secret\""),
            "clients[0].token_endpoint_auth_method",
        ),
        (
            client("id_token_signed_response_alg = \"HS256\""),
            "clients[0].id_token_signed_response_alg",
        ),
        (
            client("allowed_origins = [\"https://a.example.com/\"]"),
            "clients[0].allowed_origins[0]",
        ),
        (
            client("allowed_origins = [\"http://a.example.com\"]"),
            "clients[0].allowed_origins[0]",
        ),
        (
            client("scopes = [\"openid\", \"a b\"]"),
            "clients[0].scopes[1]",
        ),
        (
            client("token_endpoint_auth_method = \"client_secret_basic\""),
            "clients[0].client_secret",
        ),
        (
            client(&format!("client_secret_sha256 = [\"{}\"]", "0a".repeat(32))),
            "clients[0].client_secret_sha256",
        ),
        (client("require_pkce = false"), "clients[0].require_pkce"),
        (
            client("refresh_tokens = \"always\""),
            "clients[0].refresh_tokens",
        ),
        (
            client("introspects = [\"https://api.example.com\"]"),
            "clients[0].introspects",
        ),
        (
            client("grant_types = [\"client_credentials\"]"),
            "clients[0].grant_types",
        ),
        (
            client("grant_types = [\"password\"]"),
            "clients[0].grant_types[0]",
        ),
        (client("client_secret = 1"), "clients[0].client_secret"),
        (
            confidential("client_secret = \"short\""),
            "clients[0].client_secret",
        ),
        (
            confidential(&format!("client_secret = \"{}\"", "ab".repeat(32))),
            "clients[0].client_secret",
        ),
        (
            confidential("client_secret_sha256 = [\"hunter2\"]"),
            "clients[0].client_secret_sha256[0]",
        ),
        (
            confidential("client_secret_file = \"/nowhere\""),
            "clients[0].client_secret_file",
        ),
        (
            client("access_token_seconds = 3601"),
            "clients[0].access_token_seconds",
        ),
        (client("code_seconds = 61"), "clients[0].code_seconds"),
        (
            "[token]\nrefresh_idle_seconds = 599".into(),
            "token.refresh_idle_seconds",
        ),
        (
            "[token]\nrefresh_absolute_seconds = 1".into(),
            "token.refresh_absolute_seconds",
        ),
        (
            "[limits]\nclient_failures = []".into(),
            "limits.client_failures",
        ),
        (
            format!("{}{}", client("name = \"A\""), client("name = \"B\"")),
            "clients[1].client_id",
        ),
        (redirect("/callback"), "clients[0].redirect_uris[0]"),
        (
            redirect("https://*.example.com/cb"),
            "clients[0].redirect_uris[0]",
        ),
        (
            redirect("https://a.example.com/cb#x"),
            "clients[0].redirect_uris[0]",
        ),
        (
            redirect("http://a.example.com/cb"),
            "clients[0].redirect_uris[0]",
        ),
        (redirect("myapp:/cb"), "clients[0].redirect_uris[0]"),
        (
            redirect("https://u:p@a.example.com/cb"),
            "clients[0].redirect_uris[0]",
        ),
    ];
    for (text, key) in &cases {
        assert_eq!(keys(text), [*key], "{text}");
    }
    for fine in [
        redirect("http://127.0.0.1/cb"),
        redirect("http://[::1]:7000/cb"),
        redirect("com.example.app:/cb"),
    ] {
        assert_eq!(keys(&fine), [""; 0], "{fine}");
    }
}

#[test]
fn px_01_public_url_is_one_https_origin() {
    for bad in [
        "",
        "login.example.com",
        "ftp://h",
        "http://login.example.com",
        "https://login.example.com/",
        "https://login.example.com/x",
        "https://login.example.com?x",
        "https://login.example.com#x",
        "https://u@login.example.com",
        "https://Login.example.com",
        "https://login.example.com:443",
    ] {
        let problems = load_text("", &[("ENTREE__SERVER__PUBLIC_URL", bad)]).unwrap_err();
        assert_eq!(
            problems
                .iter()
                .map(|problem| problem.key.as_str())
                .collect::<Vec<_>>(),
            ["server.public_url"],
            "{bad}"
        );
    }
    let free = [
        ("ENTREE__SERVER__PUBLIC_URL", ""),
        ("ENTREE__SERVER__LISTEN", "127.0.0.1:0"),
    ];
    assert!(
        load_text("", &free).is_ok(),
        "a port that is picked at start cannot be named before"
    );
    for good in [
        "https://login.example.com:8443",
        "http://127.0.0.1:8080",
        "http://[::1]:1",
        "http://localhost:8080",
    ] {
        assert!(
            load_text("", &[("ENTREE__SERVER__PUBLIC_URL", good)]).is_ok(),
            "{good}"
        );
    }
}

#[test]
fn every_problem_is_reported_at_once() {
    let text = "
        unknown = 1
        [server]
        listen = \"nowhere\"
        lisen = 1
        [mail]
        port = \"x\"
        tls = \"maybe\"
        [token]
        access_seconds = 1
        [[clients]]
        name = 3
        redirect_uris = [\"https://a.example.com/cb\", 7, \"ftp:x\"]
        [[clients]]
        client_id = \"b\"
        name = \"B\"
        audience = \"x\"
        redirect_uris = [\"https://b.example.com/*\"]
        grant_types = [\"implicit\"]
        [limits]
        address = [{ count = \"many\", seconds = 1 }, { count = 1, seconds = 0 }]
    ";
    let mut keys = keys(text);
    keys.sort();
    let expected = [
        "clients[0].audience",
        "clients[0].client_id",
        "clients[0].name",
        "clients[0].redirect_uris[1]",
        "clients[0].redirect_uris[2]",
        "clients[1].audience",
        "clients[1].grant_types[0]",
        "clients[1].redirect_uris[0]",
        "limits.address[0].count",
        "limits.address[1].seconds",
        "mail.port",
        "mail.tls",
        "server.lisen",
        "server.listen",
        "token.access_seconds",
        "unknown",
    ];
    assert_eq!(keys, expected);
}

#[test]
fn problems_say_how_to_mend_and_never_show_a_value() {
    let text = "[mail]\nport = \"hunter2\"\npasswrod = \"hunter2\"\npassword = 2222\nhost = [\"hunter2\"]\n\
                [database]\nurl = \"hunter2\"\n[server]\nmaster_key = \"hunter2\"\n[api]\nv2_enabled = \"hunter2\"\n\
                [session]\nidle_seconds = \"hunter2, expected hunter2\"\n[tickets]\nurl = { a = \"hunter2\" }";
    let problems = load_text(text, &[("ENTREE__HUNTER", "hunter2")]).unwrap_err();
    assert_eq!(problems.len(), 10, "{problems:#?}");
    for problem in &problems {
        let shown = problem.to_string();
        assert!(
            !shown.contains("hunter2") && !shown.contains("2222"),
            "{shown}"
        );
        assert!(
            !problem.hint.is_empty() && !problem.what.is_empty(),
            "{shown}"
        );
    }
    let typo = problems
        .iter()
        .find(|problem| problem.key == "mail.passwrod")
        .unwrap();
    assert_eq!(typo.hint, "Did you mean `password`?");
    let port = problems
        .iter()
        .find(|problem| problem.key == "mail.port")
        .unwrap();
    assert_eq!(
        port.to_string(),
        "mail.port must be a whole number from 0 to 65535, not a string. Write, for example: port = 0"
    );
    let problems = load_text("[[clients]]\ngrant_types = [\"implicit\"]", &[]).unwrap_err();
    let grant = problems
        .iter()
        .find(|problem| problem.key == "clients[0].grant_types[0]")
        .unwrap();
    assert_eq!(
        grant.hint, "Write, for example: grant_types = [\"authorization_code\"]",
        "with its brackets"
    );
}

#[test]
fn a_file_that_is_not_toml_names_the_line_and_not_its_text() {
    let problems = load_text("[server]\n\nmaster_key = hunter2 hunter3\n", &[]).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].what.contains("line 3"), "{problems:?}");
    assert!(!problems[0].to_string().contains("hunter"), "{problems:?}");
}

#[test]
fn a_named_file_must_be_there_and_the_default_need_not() {
    assert!(load(None, env(&[]).into_iter()).is_ok());
    let problems = load(
        Some(Path::new("/nowhere/entree.toml")),
        env(&[]).into_iter(),
    )
    .unwrap_err();
    assert_eq!(problems[0].key, "/nowhere/entree.toml");
}

/// What stands in a file that cannot be read is not missing: nobody is sent after a second problem.
#[test]
fn of_a_file_that_cannot_be_read_no_setting_is_called_missing() {
    let bare = |file: &Path, more: &[(&str, &str)]| {
        let env = more
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        load(Some(file), env)
            .unwrap_err()
            .into_iter()
            .map(|problem| problem.key)
            .collect::<Vec<_>>()
    };
    let nowhere = Path::new("/nowhere/entree.toml");
    assert_eq!(bare(nowhere, &[]), ["/nowhere/entree.toml"]);
    let broken = File::new("[server\npublic_url = \"https://id.example.com\"\n");
    assert_eq!(bare(&broken.0, &[]), [broken.name()]);
    let wrong = [("ENTREE__SERVER__LISTEN", "here")];
    assert_eq!(
        bare(nowhere, &wrong),
        ["/nowhere/entree.toml", "server.listen"],
        "what else was given is looked at"
    );
    for (text, key) in [
        (
            "[mail]\nusername = \"u\"\npassword_file = \"/nowhere\"",
            "mail.password_file",
        ),
        (
            "[database]\nurl = \"postgres://h/d\"\n[tickets]\nurl_file = \"/nowhere\"",
            "tickets.url_file",
        ),
    ] {
        assert_eq!(keys(text), [key]);
    }
}

#[test]
fn the_environment_wins_over_the_file_and_is_read_by_type() {
    let text = "[token]\naccess_seconds = 300\nid_seconds = 300\n[mail]\nhost = \"file\"";
    let more = [
        ("ENTREE__TOKEN__ACCESS_SECONDS", "120"),
        ("ENTREE__MAIL__HOST", "env.example.com"),
        ("ENTREE__MAIL__USERNAME", "12345"),
        ("ENTREE__MAIL__PASSWORD", "true"),
        ("ENTREE__API__V2_ENABLED", "true"),
        (
            "ENTREE__PROVIDERS",
            r#"[{"id":"a","kind":"google","client_id":"c","client_secret":"s"}]"#,
        ),
        (
            "ENTREE__SERVER__TRUSTED_PROXIES",
            "10.0.0.0/8, 192.168.0.0/16",
        ),
        ("ENTREE__LIMITS__RESEND_SECONDS", "5,6"),
        ("ENTREE__LIMITS__NETWORK", "[{ count = 1, seconds = 2 }]"),
        (
            "ENTREE__CLIENTS",
            r#"[{"client_id":"a","name":"A","audience":"https://a","first_party":true}]"#,
        ),
        ("ENTREE_OTHER", "is not ours"),
        ("OTHER__X", "neither"),
    ];
    let config = load_text(text, &more).unwrap().config;
    assert_eq!(
        (
            config.reloadable.token.access_seconds,
            config.reloadable.token.id_seconds
        ),
        (120, 300)
    );
    assert_eq!(
        (
            config.startup.mail.host.as_str(),
            config.startup.mail.username.as_str()
        ),
        ("env.example.com", "12345")
    );
    assert_eq!(config.startup.mail.password.expose(), "true");
    assert!(config.reloadable.api.v2_enabled);
    assert_eq!(config.startup.server.trusted_proxies.len(), 2);
    assert_eq!(config.reloadable.limits.resend_seconds, [5, 6]);
    assert_eq!(
        (
            config.reloadable.limits.network[0].count,
            config.reloadable.limits.network[0].seconds
        ),
        (1, 2)
    );
    assert!(config.reloadable.clients[0].first_party);
    assert_eq!(config.reloadable.providers[0].client_secret.expose(), "s");
}

#[test]
fn bad_environment_is_refused_at_its_key() {
    for (name, value, key) in [
        ("ENTREE__API__V2_ENABLED_X", "true", "api.v2_enabled_x"),
        ("ENTREE__API__V2_ENABLED", "yes", "api.v2_enabled"),
        (
            "ENTREE__TOKEN__ACCESS_SECONDS",
            "soon",
            "token.access_seconds",
        ),
        ("ENTREE__SERVER", "x", "ENTREE__SERVER"),
        ("ENTREE__SERVER____X", "x", "ENTREE__SERVER____X"),
        ("ENTREE__CLIENTS__0__NAME", "x", "ENTREE__CLIENTS__0__NAME"),
        (
            "ENTREE__LIMITS__RESEND_SECONDS",
            "5,x",
            "limits.resend_seconds[1]",
        ),
        (
            "ENTREE__SERVER__TRUSTED_PROXIES",
            "10.0.0.0/8,x",
            "server.trusted_proxies[1]",
        ),
        (
            "ENTREE__CLIENTS",
            "[{\"name\":\"A\",\"audience\":\"https://a\",\"first_party\":true}]",
            "clients[0].client_id",
        ),
    ] {
        let text = "[[clients]]\nclient_id = \"a\"\nname = \"A\"\naudience = \"https://a\"\nfirst_party = true\n";
        let problems = load_text(text, &[(name, value)]).unwrap_err();
        let keys: Vec<&str> = problems
            .iter()
            .map(|problem| problem.key.as_str())
            .collect();
        assert_eq!(keys, [key], "{name}: {problems:?}");
    }
}

#[test]
fn sk_07_secrets_come_from_files() {
    let key = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let master = File::new(&format!("{key}\n")).mode(0o400);
    let password = File::new("top secret \r\n");
    let older = File::new(&format!(
        "{}\n{}\n",
        key.replace('0', "a"),
        key.replace('0', "b")
    ))
    .mode(0o600);
    let url = File::new("redis://:pw@h:6379\n");
    let more = [
        ("ENTREE__SERVER__MASTER_KEY_FILE", master.name()),
        ("ENTREE__SERVER__PREVIOUS_MASTER_KEYS_FILE", older.name()),
        ("ENTREE__MAIL__PASSWORD_FILE", password.name()),
        ("ENTREE__MAIL__USERNAME", "u"),
        ("ENTREE__TICKETS__URL_FILE", url.name()),
    ];
    let config = load_text("[server]\nmaster_key = \"\"", &more)
        .unwrap()
        .config;
    assert_eq!(config.startup.server.master_key.expose(), key);
    assert_eq!(config.startup.server.previous_master_keys.len(), 2);
    assert_eq!(
        config.startup.mail.password.expose(),
        "top secret ",
        "only the final line break goes"
    );
    assert_eq!(config.startup.tickets.url.expose(), "redis://:pw@h:6379");
}

#[test]
fn sk_07_secret_files_that_cannot_count_are_refused() {
    let key = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let open = File::new(key).mode(0o440);
    let empty = File::new("\n").mode(0o400);
    let good = File::new(key).mode(0o400);
    for (text, name, value, expected) in [
        (
            "",
            "ENTREE__SERVER__MASTER_KEY_FILE",
            open.name(),
            "server.master_key_file",
        ),
        (
            "",
            "ENTREE__SERVER__MASTER_KEY_FILE",
            empty.name(),
            "server.master_key_file",
        ),
        (
            "",
            "ENTREE__SERVER__MASTER_KEY_FILE",
            "/nowhere",
            "server.master_key_file",
        ),
        (
            "[server]\nmaster_key = \"x\"",
            "ENTREE__SERVER__MASTER_KEY_FILE",
            good.name(),
            "server.master_key_file",
        ),
        (
            "[database]\nurl = \"sqlite:x\"",
            "ENTREE__DATABASE__URL_FILE",
            good.name(),
            "database.url_file",
        ),
        (
            "",
            "ENTREE__SERVER__LISTEN_FILE",
            good.name(),
            "server.listen_file",
        ),
    ] {
        let problems = load_text(text, &[(name, value)]).unwrap_err();
        assert!(
            problems.iter().any(|problem| problem.key == expected),
            "{name}: {problems:?}"
        );
        assert!(
            !problems
                .iter()
                .any(|problem| problem.to_string().contains(key)),
            "{problems:?}"
        );
    }
}

#[test]
fn ca_5_a_client_secret_is_loaded_as_its_hash_from_wherever_it_stands() {
    let secret = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let hash = Hash::of(secret.as_bytes()).to_hex();
    let file = File::new(&format!("{secret}\n"));
    let client = |line: &str| {
        format!(
            "{{ client_id = \"a\", name = \"A\", audience = \"https://a\", first_party = true, \
             token_endpoint_auth_method = \"client_secret_basic\", {line} }}"
        )
    };
    let named = format!("client_secret_file = \"{}\"", file.name());
    let rotating = format!(
        "client_secret = \"{secret}\", client_secret_sha256 = [\"{}\"]",
        "a".repeat(64)
    );
    for line in [&format!("client_secret = \"{secret}\""), &named, &rotating] {
        let list = format!("[{}]", client(line));
        let configs = [
            load_text(&format!("clients = {list}"), &[]).unwrap().config,
            load_text("", &[("ENTREE__CLIENTS", &list)]).unwrap().config,
        ];
        for config in configs {
            let client = &config.reloadable.clients[0];
            assert!(
                client.client_secret.is_empty() && client.client_secret_sha256[0] == hash,
                "{line}"
            );
            assert!(!format!("{config:?}").contains(secret));
        }
    }
    let three = rotating.replace("[\"", &format!("[\"{hash}\", \""));
    let problems = load_text(&format!("clients = [{}]", client(&three)), &[]).unwrap_err();
    assert_eq!(problems[0].key, "clients[0].client_secret_sha256");
    let uuid = client(&format!(
        "client_secret = \"{secret}\", grant_types = [\"client_credentials\"]"
    ));
    let uuid = uuid.replace("\"a\"", "\"5d4cf4a6-5b0e-4b7e-9d3f-0a5a3f1f0e11\"");
    assert_eq!(
        load_text(&format!("clients = [{uuid}]"), &[]).unwrap_err()[0].key,
        "clients[0].client_id"
    );
}

#[test]
fn what_works_but_is_odd_is_a_warning() {
    let text = "[mail]\ntls = \"none\"\nhost = \"mail.example.com\"\n[magic_link]\nlifetime_seconds = 1200\n\
                [management]\nlisten = \"0.0.0.0:9090\"";
    let loaded = load_text(text, &[]).unwrap();
    let keys: Vec<&str> = loaded
        .warnings
        .iter()
        .map(|problem| problem.key.as_str())
        .collect();
    assert_eq!(
        keys,
        [
            "management.listen",
            "mail.tls",
            "magic_link.lifetime_seconds"
        ]
    );
    assert!(
        load_text("[mail]\ntls = \"none\"", &[])
            .unwrap()
            .warnings
            .is_empty(),
        "loopback is fine"
    );
}

#[test]
fn a_certificate_needs_its_key_and_an_https_url() {
    let authority = local_cert::Authority::new().unwrap();
    let pair = authority
        .issue(&["login.example.com", "127.0.0.1"])
        .unwrap();
    let other = authority.issue(&["login.example.com"]).unwrap();
    let [cert, key, other] =
        [pair.cert, pair.key, other.key].map(|text| File::new(&text).mode(0o640));
    let tls = |cert: &str, key: &str| {
        format!("[server]\ntls = {{ cert_file = \"{cert}\", key_file = \"{key}\" }}")
    };
    let both = tls(cert.name(), key.name());
    assert!(load_text(&both, &[]).unwrap().warnings.is_empty());
    assert_eq!(keys(&tls(cert.name(), "")), ["server.tls.key_file"]);
    assert_eq!(keys(&tls("", key.name())), ["server.tls.cert_file"]);
    assert_eq!(keys(&tls("/nowhere", key.name())), ["server.tls.cert_file"]);
    assert_eq!(
        keys(&tls(cert.name(), other.name())),
        ["server.tls.key_file"]
    );
    assert_eq!(
        keys("[server.tls]\ncert_fil = \"x\""),
        ["server.tls.cert_fil"]
    );
    assert!(
        keys(&tls("", "")).is_empty(),
        "an empty variable of the environment is none"
    );

    let from_env = [
        ("ENTREE__SERVER__TLS__CERT_FILE", cert.name()),
        ("ENTREE__SERVER__TLS__KEY_FILE", key.name()),
    ];
    assert!(
        load_text("", &from_env)
            .unwrap()
            .config
            .startup
            .server
            .tls
            .key_file
            .is_some()
    );

    let problems = load_text(
        &both,
        &[("ENTREE__SERVER__PUBLIC_URL", "http://127.0.0.1:8080")],
    )
    .unwrap_err();
    assert_eq!(problems[0].key, "server.public_url");
    let warned = |text: &str, url| -> Vec<String> {
        let loaded = load_text(text, &[("ENTREE__SERVER__PUBLIC_URL", url)]).unwrap();
        loaded
            .warnings
            .into_iter()
            .map(|warning| warning.key)
            .collect()
    };
    assert_eq!(
        warned(&both, "https://other.example.com"),
        ["server.tls.cert_file"]
    );
    assert!(warned(&both, "https://127.0.0.1:8443").is_empty());
    let open = key.mode(0o644);
    assert_eq!(
        warned(&tls(cert.name(), open.name()), "https://login.example.com"),
        ["server.tls.key_file"]
    );
}

#[test]
fn dev_presets_lie_under_the_file_and_the_command_line_over_all() {
    let dev = |port, env: &[(&str, &str)]| Source {
        file: None,
        env: env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        mode: Mode::Dev {
            port,
            data_dir: Some("elsewhere".into()),
        },
    };
    let loaded = dev(Some(0), &[]).load().unwrap();
    let config = loaded.config;
    assert_eq!(config.startup.mail.transport, MailTransport::Mailbox);
    assert_eq!(
        (
            config.startup.server.listen.port(),
            config.startup.management.listen.port()
        ),
        (0, 0)
    );
    assert_eq!(config.startup.server.data_dir, Path::new("elsewhere"));
    assert_eq!(config.reloadable.clients[0].client_id, "lessons-web");
    assert_eq!(loaded.notes.len(), 1);

    let more = [
        ("ENTREE__DATABASE__URL", "postgres://u@h/d"),
        ("ENTREE__TICKETS__URL", "memory:"),
        ("ENTREE__MAIL__TRANSPORT", "smtp"),
        ("ENTREE__MAIL__FROM", "a@example.com"),
        ("ENTREE__MANAGEMENT__LISTEN", "127.0.0.1:7777"),
        (
            "ENTREE__CLIENTS",
            "[{ client_id = \"a\", name = \"A\", audience = \"https://a\", first_party = true }]",
        ),
    ];
    let loaded = dev(Some(0), &more).load().unwrap();
    assert_eq!(loaded.config.startup.mail.transport, MailTransport::Smtp);
    assert_eq!(loaded.config.startup.management.listen.port(), 7777);
    assert_eq!(loaded.config.reloadable.clients[0].client_id, "a");
    assert!(loaded.notes.is_empty());

    let problems = dev(None, &[("ENTREE__SERVER__LISTEN", "0.0.0.0:8080")])
        .load()
        .unwrap_err();
    assert_eq!(problems[0].key, "server.listen");
}

#[test]
fn a_command_on_the_database_needs_only_that() {
    let load = |env: &[(&str, &str)]| {
        let env = env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Source {
            file: None,
            env,
            mode: Mode::Database,
        }
        .load()
    };
    assert!(load(&[("ENTREE__DATABASE__URL", "postgres://h/d")]).is_ok());
    assert_eq!(
        load(&[("ENTREE__DATABASE__URL", "h/d")]).unwrap_err()[0].key,
        "database.url"
    );
    assert_eq!(
        load(&[("ENTREE__DATABASE__URI", "h/d")]).unwrap_err()[0].key,
        "database.uri",
        "shape counts always"
    );
}

#[test]
fn the_example_file_has_every_key_with_its_default() {
    let text = include_str!("../../../deploy/entree.example.toml");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/entree.example.toml");
    let loaded = load(Some(&path), std::iter::empty()).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let mut expected = Config::default();
    expected.startup.server.public_url = "https://login.example.com".to_owned();
    expected.startup.mail.from = "Entree <login@example.com>".to_owned();
    let client: Client = toml::from_str(
        "client_id = \"lessons-web\"\nname = \"Lessons\"\naudience = \"https://api.lessons.example.com\"\n\
         redirect_uris = [\"https://lessons.example.com/callback\"]",
    )
    .unwrap();
    expected.reloadable.clients = vec![client];
    assert_eq!(loaded.config, expected);
    assert_eq!(expected.startup.mail.tls, SmtpTls::Starttls);

    for (section, keys) in known_keys() {
        let block = text
            .split(&format!("[{section}]"))
            .nth(1)
            .unwrap_or_else(|| panic!("no [{section}]"));
        let block = block.split("\n[").next().unwrap();
        for key in keys {
            let there = block.lines().any(|line| {
                line.trim_start_matches('#')
                    .starts_with(&format!("{key} = "))
            });
            assert!(there, "{section}.{key} is not in the example");
        }
    }
}
