//! Tables of bad providers, each with the key at which it is refused.

use super::*;

fn provider(lines: &str) -> String {
    let base = "id = \"a\"\nissuer = \"https://op.example.com\"\nclient_id = \"c\"\n\
                client_secret = \"s\"";
    block("providers", base, lines)
}

const TENANT: &str = "0f0e0d0c-0000-4000-8000-00000000000a";

/// Lines of an OpenID provider, and the key at which they are refused.
const BAD_PROVIDERS: [(&str, &str); 39] = [
    ("id = \"A b\"", "id"),
    ("kind = \"pigeon\"", "kind"),
    ("issuer = \"\"", "issuer"),
    ("issuer = \"op.example.com\"", "issuer"),
    ("issuer = \"http://op.example.com\"", "issuer"),
    ("issuer = \"http://127.0.0.1:8000\"", "issuer"),
    ("issuer = \"https://u@op.example.com\"", "issuer"),
    ("issuer = \"https://op.example.com?x\"", "issuer"),
    ("client_id = \"\"", "client_id"),
    ("client_secret = \"\"", "client_secret"),
    (
        "client_secret = \"\"\nclient_secret_file = \"/nowhere\"",
        "client_secret_file",
    ),
    ("icon = \"skull\"", "icon"),
    ("button = { en = \" \" }", "button"),
    ("tenant = \"common\"", "tenant"),
    ("hosted_domains = [\"example.com\"]", "hosted_domains"),
    ("team_id = \"ABCDE12345\"", "team_id"),
    ("key_id = \"k1\"", "key_id"),
    ("private_key = \"no key\"", "private_key"),
    ("auth = \"private_key_jwt\"", "auth"),
    ("algs = []", "algs"),
    ("algs = [\"HS256\"]", "algs[0]"),
    ("algs = [\"none\"]", "algs[0]"),
    ("pkce = false", "pkce"),
    (
        "pkce = false\npkce_off_reason = \"old\"\nnonce_optional = true",
        "nonce_optional",
    ),
    ("scopes = [\"email\"]", "scopes"),
    ("scopes = [\"openid\", \"a b\"]", "scopes[1]"),
    (
        "private_hosts = [\"https://sso.example.com\"]",
        "private_hosts[0]",
    ),
    ("extra_hosts = [\"*.example.com\"]", "extra_hosts[0]"),
    (
        "additional_audiences = [\"project\", \"a b\"]",
        "additional_audiences[1]",
    ),
    ("ca_file = \"/nowhere\"", "ca_file"),
    ("trust = \"authoritative\"", "mail_domains"),
    ("mail_domains = [\"school.example\"]", "mail_domains"),
    (
        "trust = \"authoritative\"\nmail_domains = [\"School.example\"]",
        "mail_domains[0]",
    ),
    (
        "trust = \"authoritative\"\nmail_domains = [\"*.example\"]",
        "mail_domains[0]",
    ),
    (
        "kind = \"github\"\nissuer = \"\"\ntrust = \"authoritative\"\nmail_domains = [\"school.example\"]",
        "trust",
    ),
    ("token_age_seconds = 1", "token_age_seconds"),
    (
        "fresh_min_seconds = 20\nfresh_max_seconds = 10",
        "fresh_min_seconds",
    ),
    ("kind = \"google\"", "issuer"),
    (
        "kind = \"google\"\nissuer = \"https://accounts.google.com\"\nhosted_domains = [\"x y\"]",
        "hosted_domains[0]",
    ),
];

/// Lines of a provider of Entra.
const BAD_ENTRA_PROVIDERS: [(&str, &str); 4] = [
    ("trust = \"authoritative\"", "mail_domains"),
    ("tenant = \"Common\"", "tenant"),
    ("tenants = [\"x\"]\ntenant = \"common\"", "tenants[0]"),
    (
        "issuer = \"https://login.microsoftonline.us/v2.0\"",
        "issuer",
    ),
];

/// Lines of a provider of Apple.
const BAD_APPLE_PROVIDERS: [(&str, &str); 5] = [
    ("trust = \"authoritative\"", "trust"),
    ("team_id = \"x\"", "team_id"),
    ("private_key = \"x\"", "private_key"),
    ("client_secret = \"x\"", "client_secret"),
    ("response_mode = \"query\"", "response_mode"),
];

#[test]
fn up_01_each_bad_provider_is_refused_at_its_key() {
    let entra = |lines: &str| {
        let entra = format!("kind = \"entra\"\nissuer = \"\"\ntenant = \"{TENANT}\"\n");
        provider(&(entra + lines))
    };
    let apple = |lines: &str| {
        let apple = "kind = \"apple\"\nclient_secret = \"\"\nteam_id = \"ABCDE12345\"\n\
                     key_id = \"ABCDE12345\"\nprivate_key = \"-----BEGIN PRIVATE KEY-----\"\n";
        provider(&(apple.to_owned() + lines))
    };
    let plain = BAD_PROVIDERS.map(|(lines, key)| (provider(lines), key));
    let of_entra = BAD_ENTRA_PROVIDERS.map(|(lines, key)| (entra(lines), key));
    let of_apple = BAD_APPLE_PROVIDERS.map(|(lines, key)| (apple(lines), key));
    let one_tenant = entra(&format!("tenants = [\"{TENANT}\"]"));
    let cases = plain.into_iter().chain(of_entra).chain(of_apple);
    for (text, key) in cases.chain([(one_tenant, "tenants")]) {
        assert_eq!(
            refused_keys(&text),
            [format!("providers[0].{key}")],
            "{text}"
        );
    }
    let twice = provider("") + &provider("");
    assert_eq!(refused_keys(&twice), ["providers[1].id"]);
    for text in [
        provider(""),
        provider(
            "trust = \"authoritative\"\nmail_domains = [\"school.example\", \"xn--cole-9oa.example\"]",
        ),
        provider("issuer = \"http://127.0.0.1:8000\"\nloopback_http = true"),
        provider("kind = \"github\"\nissuer = \"\""),
        apple(""),
        entra(""),
        entra("tenant = \"common\"\nissuer = \"https://login.microsoftonline.us/{tenantid}/v2.0\""),
    ] {
        assert_eq!(refused_keys(&text), [""; 0], "{text}");
    }
}
