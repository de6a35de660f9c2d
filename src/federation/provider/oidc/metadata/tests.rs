//! Discovery documents that are accepted, and those that are not, with the reason.
#![allow(clippy::unwrap_used, clippy::panic)]

use serde_json::json;

use super::*;

const ENDPOINTS: [&str; 4] = [
    "authorization_endpoint",
    "token_endpoint",
    "userinfo_endpoint",
    "jwks_uri",
];

/// The part of a real provider's discovery document that matters here: where its endpoints are.
struct Published {
    settings: &'static str,
    issuer: &'static str,
    authorization: &'static str,
    token: &'static str,
    userinfo: Option<&'static str>,
    keys: &'static str,
    /// Whether some endpoints are on hosts that only the kind's preset allows.
    needs_preset: bool,
}

const PUBLISHED: [Published; 4] = [
    Published {
        settings: "kind = \"google\"",
        issuer: "https://accounts.google.com",
        authorization: "https://accounts.google.com/o/oauth2/v2/auth",
        token: "https://oauth2.googleapis.com/token",
        userinfo: Some("https://openidconnect.googleapis.com/v1/userinfo"),
        keys: "https://www.googleapis.com/oauth2/v3/certs",
        needs_preset: true,
    },
    Published {
        settings: "kind = \"entra\"\ntenant = \"common\"",
        issuer: "https://login.microsoftonline.com/{tenantid}/v2.0",
        authorization: "https://login.microsoftonline.com/common/oauth2/v2.0/authorize",
        token: "https://login.microsoftonline.com/common/oauth2/v2.0/token",
        userinfo: Some("https://graph.microsoft.com/oidc/userinfo"),
        keys: "https://login.microsoftonline.com/common/discovery/v2.0/keys",
        needs_preset: true,
    },
    Published {
        settings: "kind = \"apple\"",
        issuer: "https://appleid.apple.com",
        authorization: "https://appleid.apple.com/auth/authorize",
        token: "https://appleid.apple.com/auth/token",
        userinfo: None,
        keys: "https://appleid.apple.com/auth/keys",
        needs_preset: false,
    },
    Published {
        settings: "kind = \"gitlab\"",
        issuer: "https://gitlab.com",
        authorization: "https://gitlab.com/oauth/authorize",
        token: "https://gitlab.com/oauth/token",
        userinfo: Some("https://gitlab.com/oauth/userinfo"),
        keys: "https://gitlab.com/oauth/discovery/keys",
        needs_preset: false,
    },
];

fn parse(document: &str, settings: &str) -> Result<Metadata, MetadataError> {
    let text = format!("id = \"a\"\nclient_id = \"c\"\n{settings}");
    let provider = toml::from_str(&text).unwrap();
    Metadata::parse(document.as_bytes(), &provider, &FetchScope::default())
}

fn document() -> Value {
    json!({
        "issuer": "https://op.example/realm",
        "authorization_endpoint": "https://op.example/auth",
        "token_endpoint": "https://api.op.example/token",
        "jwks_uri": "https://op.example:8443/keys",
    })
}

/// Parses `document()` with one member changed, by the settings of that issuer and `more`.
fn parse_with(name: &str, value: Value, more: &str) -> Result<Metadata, MetadataError> {
    let mut document = document();
    document[name] = value;
    parse(
        &document.to_string(),
        &format!("issuer = \"https://op.example/realm\"\n{more}"),
    )
}

#[test]
fn dj_01_up_discovery_issuer_every_byte_counts() {
    let configured = "https://op.example/realm";
    assert!(parse_with("issuer", json!(configured), "").is_ok());
    for other in [
        "https://op.example/realm/",
        "https://op.example/Realm",
        "https://OP.example/realm",
        "https://op.example:443/realm",
        "http://op.example/realm",
        "https://evil.example/realm",
    ] {
        let (configured, found) = (configured.to_owned(), other.to_owned());
        let expected = MetadataError::Issuer { configured, found };
        assert_eq!(parse_with("issuer", json!(other), ""), Err(expected));
    }
    for none in [json!([configured]), Value::Null] {
        assert_eq!(parse_with("issuer", none, ""), Err(MetadataError::NoIssuer));
    }
}

#[test]
fn ht_07_up_endpoint_host_endpoints_are_on_the_providers_hosts() {
    for endpoint in ENDPOINTS {
        let parse = |url: &str| parse_with(endpoint, json!(url), "");
        for host in ["evil.example", "evilop.example", "op.example.evil.example"] {
            let expected = MetadataError::Host {
                endpoint,
                host: host.to_owned(),
            };
            assert_eq!(parse(&format!("https://{host}/x")), Err(expected));
        }
        assert_eq!(
            parse("http://op.example/x"),
            Err(MetadataError::NotHttps { endpoint })
        );
        assert_eq!(
            parse("https://op.example/x#y"),
            Err(MetadataError::Fragment { endpoint })
        );
        let extra = "extra_hosts = [\"cdn.example\"]";
        assert!(parse_with(endpoint, json!("https://a.cdn.example/x"), extra).is_ok());
    }
}

#[test]
fn ht_07_up_blocked_an_endpoint_that_is_never_connected_to_is_refused() {
    for endpoint in ENDPOINTS {
        for blocked in [
            "https://127.0.0.1/x",
            "https://2130706433/x",
            "https://u@op.example/x",
            "not a url",
        ] {
            let error = parse_with(endpoint, json!(blocked), "").unwrap_err();
            assert!(
                matches!(error, MetadataError::Blocked { .. }),
                "{endpoint} {blocked}: {error}"
            );
        }
    }
}

#[test]
fn pr_01_ht_07_the_presets_fit_the_documents_of_the_real_providers() {
    for published in PUBLISHED {
        let document = json!({
            "issuer": published.issuer,
            "authorization_endpoint": published.authorization,
            "token_endpoint": published.token,
            "userinfo_endpoint": published.userinfo,
            "jwks_uri": published.keys,
        });
        let expected = Metadata {
            issuer: published.issuer.to_owned(),
            authorization_endpoint: published.authorization.to_owned(),
            token_endpoint: published.token.to_owned(),
            userinfo_endpoint: published.userinfo.map(str::to_owned),
            jwks_uri: Some(published.keys.to_owned()),
            iss_advertised: false,
            supported: Supported::default(),
        };
        assert_eq!(
            parse(&document.to_string(), published.settings),
            Ok(expected)
        );
        let plain = parse(
            &document.to_string(),
            &format!("issuer = \"{}\"", published.issuer),
        );
        let is_refused = matches!(plain, Err(MetadataError::Host { .. }));
        assert_eq!(is_refused, published.needs_preset, "{}", published.settings);
    }
}

#[test]
fn pr_01_github_has_its_api_on_a_host_of_its_own_and_an_enterprise_server_has_not() {
    let endpoints = |more: &str| {
        let text = format!("id = \"a\"\nclient_id = \"c\"\nkind = \"github\"\n{more}");
        let metadata = Metadata::of_github(&toml::from_str(&text).unwrap());
        assert_eq!(metadata.jwks_uri, None, "there is no ID token");
        [
            metadata.issuer,
            metadata.authorization_endpoint,
            metadata.token_endpoint,
            metadata.userinfo_endpoint.unwrap(),
        ]
    };
    let public = [
        "https://github.com",
        "https://github.com/login/oauth/authorize",
        "https://github.com/login/oauth/access_token",
        "https://api.github.com/user",
    ];
    assert_eq!(endpoints(""), public);
    assert_eq!(endpoints("issuer = \"https://github.com\""), public);
    let enterprise = [
        "https://ghe.example",
        "https://ghe.example/login/oauth/authorize",
        "https://ghe.example/login/oauth/access_token",
        "https://ghe.example/api/v3/user",
    ];
    assert_eq!(endpoints("issuer = \"https://ghe.example\""), enterprise);
}

#[test]
fn a_document_with_a_missing_or_malformed_member_is_refused() {
    for (name, value, expected) in [
        (
            "token_endpoint",
            Value::Null,
            MetadataError::Missing("token_endpoint"),
        ),
        ("jwks_uri", json!(1), MetadataError::NotAString("jwks_uri")),
        (
            "userinfo_endpoint",
            json!({}),
            MetadataError::NotAString("userinfo_endpoint"),
        ),
    ] {
        assert_eq!(parse_with(name, value, ""), Err(expected));
    }
    let members = &document().to_string()[1..];
    let twice = format!("{{\"issuer\":\"https://evil.example\",{members}");
    let settings = "issuer = \"https://op.example/realm\"";
    assert_eq!(parse(&twice, settings), Err(MetadataError::NotAnObject));
}

#[test]
fn cb_06_iss_is_required_as_advertised_or_configured() {
    let name = "authorization_response_iss_parameter_supported";
    for (advertised, more, required) in [
        (json!(true), "", true),
        (json!(false), "", false),
        (json!("true"), "", false),
        (json!(true), "iss_param = \"optional\"", false),
        (json!(false), "iss_param = \"required\"", true),
        (json!(true), "kind = \"keycloak\"", false),
    ] {
        let message = format!("{advertised} {more}");
        let metadata = parse_with(name, advertised, more).unwrap();
        let text = format!("id = \"a\"\nclient_id = \"c\"\nissuer = \"https://x\"\n{more}");
        assert_eq!(
            metadata.requires_iss(&toml::from_str(&text).unwrap()),
            required,
            "{message}"
        );
    }
}
