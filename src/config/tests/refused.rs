//! Tables of bad settings, each with the key at which it is refused.

mod providers;

use std::collections::BTreeMap;

use super::*;

/// A line of TOML, refused at its own key.
const BAD_SETTINGS: &str = r#"
api.v2_enabled = "true"
server.listen = "localhost"
server.listen = 8080
server.master_key = "short"
server.master_key = "0000000000000000000000000000000000000000000000000000000000000000"
server.connections_per_network = 15
server.quick_slots = 4097
server.texts_dir = "/nowhere/at/all"
server.drain_seconds = -1
server.drain_seconds = 601
database.url = "mysql://root:hunter2@h/d"
database.url = "sqlite::memory:"
database.max_connections = 0
tickets.url = "http://h"
tickets.prefix = "a{b}"
tickets.max_bytes = 1
mail.transport = "mailbox"
mail.transport = "pigeon"
mail.host = "smtp://mail"
mail.port = 70000
mail.ca_file = "/nowhere"
magic_link.lifetime_seconds = 86401
magic_link.code_digits = 5
magic_link.code_digits = 11
session.idle_seconds = 9999999
session.max_per_user = 0
token.access_seconds = 59
token.access_seconds = 3601
token.code_seconds = 61
token.refresh_idle_seconds = 599
token.refresh_absolute_seconds = 1
limits.address = []
limits.authorize = []
limits.pushed = []
limits.client_failures = []
limits.resend_seconds = []
limits.tries_per_flow = 0
telemetry.level = "entree=loud"
clients = 3
"#;

/// A line of TOML, and the key at which it is refused.
const BAD_SETTINGS_AT: [(&str, &str); 16] = [
    ("servers.listen = 1", "servers"),
    ("api.v2_enabled_x = true", "api.v2_enabled_x"),
    (
        "server.previous_master_keys = [\"x\"]",
        "server.previous_master_keys[0]",
    ),
    ("mail.host = \"smtp.example.com:587\"", "mail.host"),
    (
        "server.trusted_proxies = [\"10.0.0.0/8\", \"ten\"]",
        "server.trusted_proxies[1]",
    ),
    (
        "server.trusted_proxies = [\"0.0.0.0/0\"]",
        "server.trusted_proxies[0]",
    ),
    ("server.listen = \"127.0.0.1:9090\"", "management.listen"),
    ("database.url = \"postgres://h/d\"", "tickets.url"),
    (
        "mail = { username = \"u\", password = \"p\", tls = \"none\" }",
        "mail.tls",
    ),
    ("mail.username = \"u\"", "mail.password"),
    ("mail.password = \"p\"", "mail.username"),
    (
        "limits.address = [{ count = 0, seconds = 1 }]",
        "limits.address[0].count",
    ),
    (
        "limits.network = [{ count = 1, seconds = 0 }]",
        "limits.network[0].seconds",
    ),
    (
        "limits.network = [{ count = 1 }]",
        "limits.network[0].seconds",
    ),
    (
        "limits.authorize = [{ count = 0, seconds = 1 }]",
        "limits.authorize[0].count",
    ),
    (
        "limits.pushed = [{ count = 0, seconds = 1 }]",
        "limits.pushed[0].count",
    ),
];

#[test]
fn each_bad_setting_is_refused_at_its_key() {
    for line in BAD_SETTINGS.lines().filter(|line| !line.is_empty()) {
        let (key, _) = line.split_once(" = ").unwrap();
        assert_eq!(refused_keys(line), [key], "{line}");
    }
    for (line, key) in BAD_SETTINGS_AT {
        assert_eq!(refused_keys(line), [key], "{line}");
    }
}

/// Returns a block of `list` with these lines of TOML, where `lines` replaces what `base` has.
fn block(list: &str, base: &str, lines: &str) -> String {
    let lines = base.lines().chain(lines.lines());
    let keys: BTreeMap<_, _> = lines.filter_map(|line| line.split_once(" = ")).collect();
    let keys = keys.iter().map(|(key, value)| format!("{key} = {value}\n"));
    format!("[[{list}]]\n{}", keys.collect::<String>())
}

fn client(lines: &str) -> String {
    let base = "client_id = \"a\"\nname = \"A\"\naudience = \"https://api.example.com\"\n\
                redirect_uris = [\"https://a.example.com/cb\"]";
    block("clients", base, lines)
}

/// Lines of a client, of which the last is refused, and what follows its key.
const BAD_CLIENTS: [(&str, &str); 42] = [
    ("client_id = \"a b\"", ""),
    ("name = \" \"", ""),
    ("name = \"\\u200b\\u2800\"", ""),
    ("name = \"A\\u202e\"", ""),
    ("audience = \"api\"", ""),
    ("redirect_uris = []", ""),
    ("redirect_uris = [1]", "[0]"),
    ("redirect_uris = [\"/callback\"]", "[0]"),
    ("redirect_uris = [\"https://*.example.com/cb\"]", "[0]"),
    ("redirect_uris = [\"https://a.example.com/cb#x\"]", "[0]"),
    ("redirect_uris = [\"http://a.example.com/cb\"]", "[0]"),
    ("redirect_uris = [\"myapp:/cb\"]", "[0]"),
    ("redirect_uris = [\"https://u:p@a.example.com/cb\"]", "[0]"),
    ("redirect_uri = [\"https://a\"]", ""),
    ("token_endpoint_auth_method = \"secret\"", ""),
    ("id_token_signed_response_alg = \"HS256\"", ""),
    ("allowed_origins = [\"https://a.example.com/\"]", "[0]"),
    ("allowed_origins = [\"http://a.example.com\"]", "[0]"),
    ("scopes = [\"openid\", \"a b\"]", "[1]"),
    ("require_pkce = false", ""),
    ("refresh_tokens = \"always\"", ""),
    ("introspects = [\"https://api.example.com\"]", ""),
    ("grant_types = [\"client_credentials\"]", ""),
    ("grant_types = [\"password\"]", "[0]"),
    ("access_token_seconds = 3601", ""),
    ("code_seconds = 61", ""),
    ("client_secret = 1", ""),
    (
        "client_secret_sha256 = [\"0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a\"]",
        "",
    ),
    (
        "token_endpoint_auth_method = \"client_secret_post\"\nrequire_pkce = false\n\
         client_secret = \"short\"",
        "",
    ),
    (
        "token_endpoint_auth_method = \"client_secret_post\"\nrequire_pkce = false\n\
         client_secret = \"abababababababababababababababababababababababababababababababab\"",
        "",
    ),
    (
        "token_endpoint_auth_method = \"client_secret_post\"\nrequire_pkce = false\n\
         client_secret_sha256 = [\"hunter2\"]",
        "[0]",
    ),
    (
        "token_endpoint_auth_method = \"client_secret_post\"\nrequire_pkce = false\n\
         client_secret_file = \"/nowhere\"",
        "",
    ),
    (
        "token_endpoint_auth_method = \"private_key_jwt\"\njwks_uri = \"http://a.example.com/\"",
        "",
    ),
    ("jwks_uri = \"https://a.example.com/jwks\"", ""),
    ("post_logout_redirect_uris = [\"ftp:x\"]", "[0]"),
    ("resources = [\"api\"]", "[0]"),
    ("id_token_claims = [\"phone\"]", "[0]"),
    (
        "scopes = [\"openid\", \"profile\"]\nid_token_claims = [\"name\", \"email\"]",
        "[1]",
    ),
    ("require_name = 1", ""),
    ("scopes = [\"openid\"]\nrequire_name = true", ""),
    ("client_uri = \"http://app.example.com/\"", ""),
    ("client_uri = \"com.example.app:/\"", ""),
];

#[test]
fn each_bad_client_is_refused_at_its_key() {
    for (lines, rest) in BAD_CLIENTS {
        let (key, _) = lines.lines().last().unwrap().split_once(" = ").unwrap();
        let expected = format!("clients[0].{key}{rest}");
        assert_eq!(refused_keys(&client(lines)), [expected], "{lines}");
    }
    let no_secret = client("token_endpoint_auth_method = \"client_secret_basic\"");
    assert_eq!(refused_keys(&no_secret), ["clients[0].client_secret"]);
    let no_audience = client("").replace("audience = \"https://api.example.com\"\n", "");
    assert_eq!(refused_keys(&no_audience), ["clients[0].audience"]);
    let twice = client("") + &client("");
    assert_eq!(refused_keys(&twice), ["clients[1].client_id"]);
    for uri in [
        "http://127.0.0.1/cb",
        "http://[::1]:7000/cb",
        "com.example.app:/cb",
    ] {
        let text = client(&format!("redirect_uris = [\"{uri}\"]"));
        assert_eq!(refused_keys(&text), [""; 0], "{text}");
    }
}

#[test]
fn oc_5_each_bad_resource_is_refused_at_its_key() {
    let base = "identifier = \"https://api.example.com\"";
    for (lines, key) in [
        ("identifier = \"api\"", "identifier"),
        ("identifier = \"https://login.example.com\"", "identifier"),
        ("access_token_typ = \"jwt\"", "access_token_typ"),
        ("access_token_type = \"JWT\"", "access_token_type"),
    ] {
        let text = block("resources", base, lines);
        assert_eq!(
            refused_keys(&text),
            [format!("resources[0].{key}")],
            "{lines}"
        );
    }
    let one = block("resources", base, "access_token_typ = \"JWT\"");
    assert_eq!(refused_keys(&one), [""; 0]);
    let twice = one.clone() + &one;
    assert_eq!(refused_keys(&twice), ["resources[1].identifier"]);
    let named = one + &client("client_id = \"https://api.example.com\"");
    assert_eq!(refused_keys(&named), ["resources[0].access_token_typ"]);
}

/// Lines of a resource, of which the last is refused, and what follows its key.
const BAD_RESOURCES: [(&str, &str); 20] = [
    ("identifier = \"https://api.example.com#x\"", ""),
    ("identifier = \"https://ada@api.example.com\"", ""),
    ("identifier = \"https://login.example.com/\"", ""),
    ("identifier = \"HTTPS://Login.Example.com\"", ""),
    ("name = \"Lessons\"", ""),
    ("name = { en = \" \" }", ".en"),
    ("name = { e = \"Lessons\" }", ".e"),
    ("scopes = [\"lessons:read\"]", ""),
    ("scopes = { \"lessons:read\" = \"See\" }", ".lessons:read"),
    (
        "scopes = { \"lessons:read\" = { en = \"\" } }",
        ".lessons:read.en",
    ),
    ("scopes = { \"two words\" = {} }", ".two words"),
    ("scopes = { openid = {} }", ".openid"),
    ("scopes = { profile = {} }", ".profile"),
    ("scopes = { email = {} }", ".email"),
    ("scopes = { offline_access = {} }", ".offline_access"),
    ("scopes = { \"entree:admin\" = {} }", ".entree:admin"),
    ("access_token_alg = \"PS256\"", ""),
    ("access_token_seconds = 3601", ""),
    ("clients = \"web\"", ""),
    ("open = \"yes\"", ""),
];

#[test]
fn rs_1_each_bad_resource_is_refused_at_its_key() {
    let resource = |lines: &str| {
        block(
            "resources",
            "identifier = \"https://api.example.com\"",
            lines,
        )
    };
    for (lines, rest) in BAD_RESOURCES {
        let (key, _) = lines.split_once(" = ").unwrap();
        let expected = format!("resources[0].{key}{rest}");
        assert_eq!(refused_keys(&resource(lines)), [expected], "{lines}");
    }
    let full = "name = { en = \"Lessons\", fr = \"Cours\" }\n\
                scopes = { \"lessons:read\" = { en = \"See your lessons\" }, \"lessons:write\" = {} }\n\
                access_token_alg = \"RS256\"\naccess_token_seconds = 60\n\
                clients = [\"web\"]\nopen = true";
    assert_eq!(refused_keys(&resource(full)), [""; 0]);
    let near = resource("identifier = \"https://login.example.com/lessons\"");
    assert_eq!(refused_keys(&near), [""; 0], "an API on the same host");
}

#[test]
fn rs_1_two_resources_share_neither_a_scope_nor_an_identifier() {
    let resource = |host: &str, scope: &str| {
        let lines = format!("identifier = \"{host}\"\nscopes = {{ \"{scope}\" = {{}} }}");
        block("resources", "", &lines)
    };
    let first = resource("https://a.example.com", "lessons:read");
    let shared = first.clone() + &resource("https://b.example.com", "lessons:read");
    let problems = load_text(&shared, &[]).unwrap_err();
    assert_eq!(keys(&problems), ["resources[1].scopes.lessons:read"]);
    let words = problems[0].to_string();
    assert!(words.contains("is a scope of resources[0]"), "{words}");
    for respelled in ["https://a.example.com/", "HTTPS://A.example.COM"] {
        let twice = first.clone() + &resource(respelled, "music:play");
        let problems = load_text(&twice, &[]).unwrap_err();
        assert_eq!(keys(&problems), ["resources[1].identifier"], "{respelled}");
        let words = problems[0].to_string();
        assert!(words.contains("names the API of resources[0]"), "{words}");
    }
    let two = first + &resource("https://a.example.com/v1", "music:play");
    assert_eq!(refused_keys(&two), [""; 0]);
}

#[test]
fn px_01_public_url_has_one_form() {
    let loaded = |url| load_text("", &[("ENTREE__SERVER__PUBLIC_URL", url)]);
    for bad in [
        "",
        "login.example.com",
        "ftp://h",
        "http://login.example.com",
        "https://login.example.com/",
        "https://login.example.com?x",
        "https://login.example.com#x",
        "https://u@login.example.com",
        "https://Login.example.com",
        "https://login.example.com:443",
        "https://login.example.com/auth/",
        "https://login.example.com/auth?x",
        "https://login.example.com/auth#x",
        "https://login.example.com//auth",
        "https://login.example.com/auth//x",
        "https://login.example.com/auth/../x",
        "https://login.example.com/./auth",
        "https://login.example.com/%61uth",
        "https://login.example.com/a%2Fb",
        "https://login.example.com/a;b",
        "https://login.example.com/a b",
        "https://login.example.com/caf\u{e9}",
        "https://login.example.com/a\\b",
        "https://login.example.com/.well-known",
    ] {
        assert_eq!(
            keys(&loaded(bad).unwrap_err()),
            ["ENTREE__SERVER__PUBLIC_URL"],
            "{bad}"
        );
    }
    for good in [
        "https://login.example.com:8443",
        "http://127.0.0.1:8080",
        "http://[::1]:1",
        "http://localhost:8080",
        "https://example.com/auth",
        "https://example.com:8443/Team_1/id.v2/~x",
        "http://localhost:8080/auth",
    ] {
        assert!(loaded(good).is_ok(), "{good}");
    }
    let picked_port = [
        ("ENTREE__SERVER__PUBLIC_URL", ""),
        ("ENTREE__SERVER__LISTEN", "127.0.0.1:0"),
    ];
    assert!(
        load_text("", &picked_port).is_ok(),
        "its URL is known later"
    );
}

/// OD-6: words for what an operator is likely to write.
#[test]
fn od_6_likely_mistakes_have_words_of_their_own() {
    for (text, words) in [
        (
            "mail.host = \"smtp.example.com:587\"",
            "mail.host holds a port. Set mail.host = \"smtp.example.com\" and mail.port = 587.",
        ),
        (
            "server.listen = \"localhost:8080\"",
            "server.listen must be an IP address with a port. Write, for example: listen = \"127.0.0.1:8080\"",
        ),
        (
            "server.trusted_proxies = [\"10.0.0.0/33\"]",
            "server.trusted_proxies[0] must be an IP address or network. Write, for example: \
             trusted_proxies = [\"10.0.0.0/8\", \"::1/128\"]",
        ),
        (
            "[[providers]]\nid = \"x\"\nkind = \"gogle\"\nclient_id = \"c\"\nclient_secret = \"s\"",
            "providers[0].kind must be \"oidc\" or \"google\" or \"entra\" or \"apple\" or \"gitlab\" or \
             \"keycloak\" or \"github\". Did you mean \"google\"?",
        ),
        (
            "token.access_seconds = 5",
            "token.access_seconds is 5. Set a number from 60 to 3600.",
        ),
    ] {
        let problems = load_text(text, &[]).unwrap_err();
        let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(said.iter().any(|one| one == words), "{words}\n{said:#?}");
    }
    let misspelt = [
        ("ENTREE_MAIL__HOST", "x"),
        ("ENTREE_SERVICE_HOST", "10.0.0.1"),
    ];
    let problems = load_text("", &misspelt).unwrap_err();
    let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        ["ENTREE_MAIL__HOST has one underscore after ENTREE. Write ENTREE__MAIL__HOST."]
    );
}

#[test]
fn od_6_a_configuration_without_clients_has_a_note() {
    let loaded = load_text("", &[]).unwrap();
    assert!(
        loaded
            .notes
            .iter()
            .any(|note| note.contains("No client is configured"))
    );
}

/// The keys of warnings about this text.
fn warned_keys(text: &str) -> Vec<String> {
    let loaded = load_text(text, &[]).unwrap();
    loaded
        .warnings
        .into_iter()
        .map(|warning| warning.key)
        .collect()
}

#[test]
fn oa_12_https_in_front_of_a_loopback_listener_needs_a_named_proxy() {
    let key = "server.trusted_proxies".to_owned();
    assert!(warned_keys("server.listen = \"127.0.0.1:8080\"").contains(&key));
    for text in [
        "server.listen = \"127.0.0.1:8080\"\nserver.trusted_proxies = [\"127.0.0.1/32\"]",
        "server.listen = \"0.0.0.0:8080\"",
    ] {
        assert!(!warned_keys(text).contains(&key), "{text}");
    }
}

#[test]
fn ob_4_certificates_for_the_ticket_store_are_checked() {
    for (text, key) in [
        (
            "tickets.url = \"rediss://h\"\ntickets.ca_file = \"/nowhere\"",
            "tickets.ca_file",
        ),
        (
            "tickets.url = \"redis://h\"\ntickets.client_cert_file = \"/nowhere\"",
            "tickets.client_cert_file",
        ),
        (
            "tickets.url = \"rediss://h\"\ntickets.client_key_file = \"/nowhere\"",
            "tickets.client_key_file",
        ),
    ] {
        assert!(refused_keys(text).contains(&key.to_owned()), "{text}");
    }
}

#[test]
fn ob_6_what_is_wrong_with_the_path_of_public_url_is_said() {
    for (url, words) in [
        ("https://h.example/auth/", "Write `https://h.example/auth`."),
        ("https://H.example/auth", "Write `https://h.example/auth`."),
        ("https://h.example/%61uth", "encoded"),
        ("https://h.example/a/../b", "begins with a dot"),
        ("https://h.example/a//b", "empty segment"),
        ("https://h.example/auth?x=1", "a query"),
        ("https://h.example/auth#x", "a fragment"),
    ] {
        let problems = load_text("", &[("ENTREE__SERVER__PUBLIC_URL", url)]).unwrap_err();
        let text = problems.iter().map(ToString::to_string).collect::<String>();
        assert!(text.contains(words), "{url}: {text}");
    }
    let long = format!("https://h.example/{}", "a".repeat(101));
    assert!(load_text("", &[("ENTREE__SERVER__PUBLIC_URL", &long)]).is_err());
}

#[test]
fn rs_2_a_client_of_an_api_that_the_file_does_not_have_has_a_warning() {
    let client = client("client_id = \"web\"");
    let api = |clients: &str| {
        let lines = format!("identifier = \"https://b.example.com\"\nclients = {clients}");
        client.clone() + &block("resources", "", &lines)
    };
    let warned = |clients: &str| {
        let keys = warned_keys(&api(clients)).into_iter();
        let keys = keys.filter(|key| key.starts_with("resources"));
        keys.collect::<Vec<_>>()
    };
    assert_eq!(warned("[\"web\"]"), [""; 0]);
    assert_eq!(warned("[\"web\", \"wbe\"]"), ["resources[0].clients[1]"]);
    let loaded = load_text(&api("[\"wbe\"]"), &[]).unwrap();
    let words = loaded.warnings.iter().map(ToString::to_string);
    let names = words.filter(|words| words.contains("\"wbe\"")).count();
    assert_eq!(names, 1, "it is named");
}
