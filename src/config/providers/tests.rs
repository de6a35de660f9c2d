//! Five lines, what each kind presets, and what is refused.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use super::*;
use crate::config::load::tests::keys;

fn provider(text: &str) -> Provider {
    toml::from_str(text).unwrap()
}

#[test]
fn up_01_five_lines_are_a_provider() {
    let plain = provider(
        "id = \"office\"\nissuer = \"https://op.example\"\nclient_id = \"c\"\nclient_secret = \"s\"",
    );
    assert_eq!(
        (plain.kind, plain.auth(), plain.trust()),
        (Kind::Oidc, Auth::Basic, MailTrust::None)
    );
    assert_eq!(
        (plain.pkce, plain.algs.as_slice()),
        (true, &[UpstreamAlg::RS256][..])
    );
    assert_eq!(plain.scopes(), ["openid", "profile", "email"]);
    assert_eq!(
        plain.discovery_url().unwrap(),
        "https://op.example/.well-known/openid-configuration"
    );
    assert_eq!(
        plain.redirect_uri("https://login.example.com"),
        "https://login.example.com/upstream/office/callback"
    );
    assert_eq!((plain.shown_name(), plain.shown_icon()), ("office", "key"));
}

#[test]
fn up_01_each_kind_presets_what_its_provider_needs() {
    let of = |kind: &str, more: &str| {
        provider(&format!(
            "id = \"a\"\nkind = \"{kind}\"\nclient_id = \"c\"\n{more}"
        ))
    };
    let google = of("google", "");
    assert_eq!(google.issuer(), "https://accounts.google.com");
    assert_eq!(google.other_hosts().collect::<Vec<_>>(), ["googleapis.com"]);
    let one = of("entra", "tenant = \"0f0e0d0c-0000-4000-8000-000000000001\"");
    assert_eq!(
        one.issuer(),
        "https://login.microsoftonline.com/0f0e0d0c-0000-4000-8000-000000000001/v2.0"
    );
    let many = of("entra", "tenant = \"common\"");
    assert_eq!(
        many.issuer(),
        "https://login.microsoftonline.com/{tenantid}/v2.0"
    );
    let url = "https://login.microsoftonline.com/common/v2.0/.well-known/openid-configuration";
    assert_eq!(many.discovery_url().unwrap(), url);
    let apple = of("apple", "");
    assert_eq!(
        (apple.auth(), apple.response_mode()),
        (Auth::Post, ResponseMode::FormPost)
    );
    assert!(apple.takes_string_booleans() && !google.takes_string_booleans());
    assert_eq!(
        of("apple", "scopes = [\"openid\"]").response_mode(),
        ResponseMode::Query
    );
    let github = of("github", "");
    assert_eq!(
        (github.discovery_url(), github.trust()),
        (None, MailTrust::Asserted)
    );
    assert_eq!(
        of("github", "issuer = \"https://ghe.example\"").trust(),
        MailTrust::None
    );
    assert_eq!(
        of("keycloak", "issuer = \"https://k/realms/r\"").iss_param(),
        IssParam::Optional
    );
    assert_eq!(of("gitlab", "").issuer(), "https://gitlab.com");
}

#[test]
fn r_38_an_account_is_of_a_provider_while_its_issuer_is() {
    let of = |more: &str| provider(&format!("id = \"a\"\nclient_id = \"c\"\n{more}"));
    let own = of("issuer = \"https://op.example\"");
    assert!(
        own.is_issuer("https://op.example")
            && !own.is_issuer("https://op.example/")
            && !own.is_issuer("")
    );
    assert!(of("kind = \"github\"").is_issuer("https://github.com"));
    let (a, b) = (
        "0f0e0d0c-0000-4000-8000-00000000000a",
        "0f0e0d0c-0000-4000-8000-00000000000b",
    );
    let issuer = |tid: &str| format!("https://login.microsoftonline.com/{tid}/v2.0");
    let many = of("kind = \"entra\"\ntenant = \"common\"");
    assert!(many.is_issuer(&issuer(a)) && many.is_issuer(&issuer(b)));
    for bad in [
        &issuer("{tenantid}"),
        &issuer(&a.to_uppercase()),
        &issuer(""),
        "https://login.microsoftonline.com",
    ] {
        assert!(!many.is_issuer(bad), "{bad}");
    }
    let some = of(&format!(
        "kind = \"entra\"\ntenant = \"organizations\"\ntenants = [\"{a}\"]"
    ));
    assert!(
        some.is_issuer(&issuer(a)) && !some.is_issuer(&issuer(b)),
        "a directory that may not come any more"
    );
    let one = of(&format!("kind = \"entra\"\ntenant = \"{a}\""));
    assert!(one.is_issuer(&issuer(a)) && !one.is_issuer(&issuer(b)));
}

#[test]
fn up_01_each_bad_provider_is_refused_at_its_key() {
    let block = |line: &str| {
        let mut lines: BTreeMap<&str, String> = BTreeMap::from([
            ("id", "\"a\"".to_owned()),
            ("issuer", "\"https://op.example.com\"".to_owned()),
            ("client_id", "\"c\"".to_owned()),
            ("client_secret", "\"s\"".to_owned()),
        ]);
        for line in line.lines().filter(|line| !line.is_empty()) {
            let (key, value) = line.split_once(" = ").unwrap();
            lines.insert(key, value.to_owned());
        }
        let lines = lines
            .iter()
            .map(|(key, value)| format!("{key} = {value}\n"));
        format!("[[providers]]\n{}", lines.collect::<String>())
    };
    let apple = "kind = \"apple\"\nclient_secret = \"\"\nteam_id = \"ABCDE12345\"\nkey_id = \"ABCDE12345\"\n\
                 private_key = \"-----BEGIN PRIVATE KEY-----\"\n";
    let tenant = "0f0e0d0c-0000-4000-8000-00000000000a";
    let entra = |line: &str| {
        block(&format!(
            "kind = \"entra\"\nissuer = \"\"\ntenant = \"{tenant}\"\n{line}"
        ))
    };
    let cases: Vec<(String, &str)> = vec![
        (block("id = \"A b\""), "providers[0].id"),
        (format!("{}{}", block(""), block("")), "providers[1].id"),
        (block("kind = \"pigeon\""), "providers[0].kind"),
        (block("issuer = \"\""), "providers[0].issuer"),
        (block("issuer = \"op.example.com\""), "providers[0].issuer"),
        (
            block("issuer = \"http://op.example.com\""),
            "providers[0].issuer",
        ),
        (
            block("issuer = \"http://127.0.0.1:8000\""),
            "providers[0].issuer",
        ),
        (
            block("issuer = \"https://u@op.example.com\""),
            "providers[0].issuer",
        ),
        (
            block("issuer = \"https://op.example.com?x\""),
            "providers[0].issuer",
        ),
        (block("client_id = \"\""), "providers[0].client_id"),
        (block("client_secret = \"\""), "providers[0].client_secret"),
        (
            block("client_secret = \"\"\nclient_secret_file = \"/nowhere\""),
            "providers[0].client_secret_file",
        ),
        (block("icon = \"skull\""), "providers[0].icon"),
        (block("button = { en = \" \" }"), "providers[0].button"),
        (block("tenant = \"common\""), "providers[0].tenant"),
        (
            block("hosted_domains = [\"example.com\"]"),
            "providers[0].hosted_domains",
        ),
        (block("team_id = \"ABCDE12345\""), "providers[0].team_id"),
        (block("algs = []"), "providers[0].algs"),
        (block("algs = [\"HS256\"]"), "providers[0].algs[0]"),
        (block("algs = [\"none\"]"), "providers[0].algs[0]"),
        (block("pkce = false"), "providers[0].pkce"),
        (
            block("pkce = false\npkce_off_reason = \"old\"\nnonce_optional = true"),
            "providers[0].nonce_optional",
        ),
        (block("scopes = [\"email\"]"), "providers[0].scopes"),
        (
            block("scopes = [\"openid\", \"a b\"]"),
            "providers[0].scopes[1]",
        ),
        (
            block("private_hosts = [\"https://sso.example.com\"]"),
            "providers[0].private_hosts[0]",
        ),
        (
            block("extra_hosts = [\"*.example.com\"]"),
            "providers[0].extra_hosts[0]",
        ),
        (block("ca_file = \"/nowhere\""), "providers[0].ca_file"),
        (
            block("trust = \"authoritative\""),
            "providers[0].mail_domains",
        ),
        (
            block("mail_domains = [\"school.example\"]"),
            "providers[0].mail_domains",
        ),
        (
            block("trust = \"authoritative\"\nmail_domains = [\"School.example\"]"),
            "providers[0].mail_domains[0]",
        ),
        (
            block("trust = \"authoritative\"\nmail_domains = [\"*.example\"]"),
            "providers[0].mail_domains[0]",
        ),
        (
            entra("trust = \"authoritative\""),
            "providers[0].mail_domains",
        ),
        (
            block(
                "kind = \"github\"\nissuer = \"\"\ntrust = \"authoritative\"\nmail_domains = [\"school.example\"]",
            ),
            "providers[0].trust",
        ),
        (
            block(&format!("{apple}trust = \"authoritative\"")),
            "providers[0].trust",
        ),
        (
            block("token_age_seconds = 1"),
            "providers[0].token_age_seconds",
        ),
        (
            block("fresh_min_seconds = 20\nfresh_max_seconds = 10"),
            "providers[0].fresh_min_seconds",
        ),
        (block("kind = \"google\""), "providers[0].issuer"),
        (
            block(
                "kind = \"google\"\nissuer = \"https://accounts.google.com\"\nhosted_domains = [\"x y\"]",
            ),
            "providers[0].hosted_domains[0]",
        ),
        (entra("tenant = \"Common\""), "providers[0].tenant"),
        (
            entra("tenants = [\"x\"]\ntenant = \"common\""),
            "providers[0].tenants[0]",
        ),
        (
            entra(&format!("tenants = [\"{tenant}\"]")),
            "providers[0].tenants",
        ),
        (
            entra("issuer = \"https://login.microsoftonline.us/v2.0\""),
            "providers[0].issuer",
        ),
        (
            block(&format!("{apple}team_id = \"x\"")),
            "providers[0].team_id",
        ),
        (
            block(&format!("{apple}private_key = \"x\"")),
            "providers[0].private_key",
        ),
        (
            block(&format!("{apple}client_secret = \"x\"")),
            "providers[0].client_secret",
        ),
        (
            block(&format!("{apple}response_mode = \"query\"")),
            "providers[0].response_mode",
        ),
    ];
    for (text, key) in &cases {
        assert_eq!(keys(text), [*key], "{text}");
    }
    for fine in [
        block(""),
        block(
            "trust = \"authoritative\"\nmail_domains = [\"school.example\", \"xn--cole-9oa.example\"]",
        ),
        block(apple),
        entra(""),
        entra("tenant = \"common\"\nissuer = \"https://login.microsoftonline.us/{tenantid}/v2.0\""),
        block("issuer = \"http://127.0.0.1:8000\"\nloopback_http = true"),
        block("kind = \"github\"\nissuer = \"\""),
    ] {
        assert_eq!(keys(&fine), [""; 0], "{fine}");
    }
}
