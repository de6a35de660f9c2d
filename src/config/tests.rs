//! The configuration as a whole: what each source may say, and which problems are reported.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod refused;
mod secrets;
mod sources;

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use super::{
    client::Client,
    deserialize::known_keys,
    load::{Loaded, Source},
    mode::Mode,
    problem::Problem,
    settings::{Config, SmtpTls},
};
use crate::secret::public_id;

/// The smallest environment without problems.
const BASE: [(&str, &str); 2] = [
    ("ENTREE__SERVER__PUBLIC_URL", "https://login.example.com"),
    ("ENTREE__MAIL__FROM", "Entree <login@example.com>"),
];

/// A temporary file.
struct File(PathBuf);

impl File {
    fn new(text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("entree-config-{}", public_id()));
        std::fs::write(&path, text).unwrap();
        Self(path).mode(0o600)
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

/// Loads exactly these sources.
fn load(file: Option<&Path>, env: &[(&str, &str)], mode: Mode) -> Result<Loaded, Vec<Problem>> {
    let env = env.iter();
    Source {
        file: file.map(Path::to_owned),
        env: env
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        mode,
    }
    .load()
}

/// Loads a file with this text, with `BASE` and these variables.
fn load_text(text: &str, env: &[(&str, &str)]) -> Result<Loaded, Vec<Problem>> {
    let file = File::new(text);
    load(Some(&file.0), &[&BASE, env].concat(), Mode::Serve)
}

fn keys(problems: &[Problem]) -> Vec<&str> {
    problems
        .iter()
        .map(|problem| problem.key.as_str())
        .collect()
}

/// The keys of the problems of a file with this text.
fn refused_keys(text: &str) -> Vec<String> {
    let problems = load_text(text, &[]).err().unwrap_or_default();
    keys(&problems).into_iter().map(str::to_owned).collect()
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
    let mut keys = refused_keys(text);
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
fn a_problem_has_a_hint_and_never_shows_a_value() {
    let text = "
        mail.port = \"hunter2\"
        mail.passwrod = \"hunter2\"
        mail.password = 2222
        mail.host = [\"hunter2\"]
        database.url = \"hunter2\"
        server.master_key = \"hunter2\"
        api.v2_enabled = \"hunter2\"
        session.idle_seconds = \"hunter2, expected hunter2\"
        tickets.url = { a = \"hunter2\" }
    ";
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
    let at = |key| problems.iter().find(|problem| problem.key == key).unwrap();
    assert_eq!(at("mail.passwrod").hint, "Did you mean `password`?");
    assert_eq!(
        at("mail.port").to_string(),
        "mail.port must be a whole number from 0 to 65535, not a string. Write, for example: port = 587"
    );
    let problems = load_text("[[clients]]\ngrant_types = [\"implicit\"]", &[]).unwrap_err();
    let at = |key| problems.iter().find(|problem| problem.key == key).unwrap();
    assert_eq!(
        at("clients[0].grant_types[0]").hint,
        "Write, for example: grant_types = [\"authorization_code\"]",
        "with its brackets"
    );
}

#[test]
fn what_works_but_deserves_a_look_is_a_warning() {
    let warned_keys = |text: &str| {
        let warnings = load_text(text, &[]).unwrap().warnings;
        keys(&warnings)
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let text = "
        server.trusted_proxies = [\"127.0.0.1/32\"]
        mail.tls = \"none\"
        mail.host = \"mail.example.com\"
        magic_link.lifetime_seconds = 1200
        management.listen = \"0.0.0.0:9090\"
    ";
    assert_eq!(
        warned_keys(text),
        [
            "management.listen",
            "mail.tls",
            "magic_link.lifetime_seconds"
        ]
    );
    let loopback = "mail.tls = \"none\"\nserver.trusted_proxies = [\"127.0.0.1/32\"]";
    assert_eq!(warned_keys(loopback), [""; 0], "loopback");
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
        format!("server.tls = {{ cert_file = \"{cert}\", key_file = \"{key}\" }}")
    };
    let both = tls(cert.name(), key.name());
    assert!(load_text(&both, &[]).unwrap().warnings.is_empty());
    for (text, expected) in [
        (tls(cert.name(), ""), "server.tls.key_file"),
        (tls("", key.name()), "server.tls.cert_file"),
        (tls("/nowhere", key.name()), "server.tls.cert_file"),
        (tls(cert.name(), other.name()), "server.tls.key_file"),
        (
            "server.tls.cert_fil = \"x\"".to_owned(),
            "server.tls.cert_fil",
        ),
    ] {
        assert_eq!(refused_keys(&text), [expected], "{text}");
    }
    assert_eq!(
        refused_keys(&tls("", "")),
        [""; 0],
        "empty variables are none"
    );

    let from_env = [
        ("ENTREE__SERVER__TLS__CERT_FILE", cert.name()),
        ("ENTREE__SERVER__TLS__KEY_FILE", key.name()),
    ];
    let startup = load_text("", &from_env).unwrap().config.startup;
    assert!(startup.server.tls.key_file.is_some());

    let with_url = |text: &str, url| load_text(text, &[("ENTREE__SERVER__PUBLIC_URL", url)]);
    let problems = with_url(&both, "http://127.0.0.1:8080").unwrap_err();
    assert_eq!(keys(&problems), ["ENTREE__SERVER__PUBLIC_URL"]);
    let warnings = with_url(&both, "https://other.example.com")
        .unwrap()
        .warnings;
    assert_eq!(keys(&warnings), ["server.tls.cert_file"]);
    let warnings = with_url(&both, "https://127.0.0.1:8443").unwrap().warnings;
    assert_eq!(keys(&warnings), [""; 0]);
    let open = key.mode(0o644);
    let warnings = load_text(&tls(cert.name(), open.name()), &[])
        .unwrap()
        .warnings;
    assert_eq!(keys(&warnings), ["server.tls.key_file"]);
}

#[test]
fn the_example_file_has_every_key_with_its_default() {
    let text = include_str!("../../deploy/entree.example.toml");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/entree.example.toml");
    let loaded = load(Some(&path), &[], Mode::Serve).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let mut expected = Config::default();
    expected.startup.server.public_url = "https://login.example.com".to_owned();
    expected.startup.mail.from = "Entree <login@example.com>".to_owned();
    let proxies = ["127.0.0.1/32", "::1/128"];
    expected.startup.server.trusted_proxies = proxies.map(|net| net.parse().unwrap()).to_vec();
    let client: Client = toml::from_str(
        "client_id = \"lessons-web\"\nname = \"Lessons\"\n\
         audience = \"https://api.lessons.example.com\"\n\
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
            let assignment = format!("{key} = ");
            let is_shown = block
                .lines()
                .any(|line| line.trim_start_matches('#').starts_with(&assignment));
            assert!(is_shown, "{section}.{key} is not in the example");
        }
    }
}
