//! What a discovery document says that we use, and where its endpoints may be (OpenID Connect Discovery 1.0 §3, §4.3).

use serde_json::Value;
use url::Url;

use super::json::{self, Object, text};
use crate::{
    config::{Provider, providers::IssParam},
    federation::error::{FederationError, RefusalCode, upstream_words},
    web::fetch::{FetchError, FetchScope},
};

/// Of a provider's metadata, what we use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Metadata {
    /// The issuer: ours, byte for byte.
    pub(crate) issuer: String,
    pub(crate) authorization_endpoint: String,
    pub(crate) token_endpoint: String,
    pub(crate) userinfo_endpoint: Option<String>,
    /// None: there is no ID token.
    pub(crate) jwks_uri: Option<String>,
    /// Its answers carry `iss` (RFC 9207 §3).
    pub(crate) iss_advertised: bool,
}

impl Metadata {
    /// Reads a discovery document.
    ///
    /// # Errors
    /// [`RefusalCode::ProviderDown`] if it is none; [`RefusalCode::DiscoveryIssuer`]; [`RefusalCode::EndpointHost`]; [`RefusalCode::Blocked`].
    pub(crate) fn read(
        body: &[u8],
        provider: &Provider,
        reach: &FetchScope,
    ) -> Result<Self, FederationError> {
        let none = |words: &str| {
            FederationError::new(
                RefusalCode::ProviderDown,
                format!("the discovery document {words}"),
            )
        };
        let document =
            json::object(body).ok_or_else(|| none("is not a JSON object, or repeats a member"))?;
        let issuer = provider.issuer();
        is_issuer(&document, &issuer)?;
        let optional = |name: &str| match document.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(url)) => {
                is_endpoint(url, name, provider, reach).map(|()| Some(url.clone()))
            }
            Some(_) => Err(none(&format!("has a {name} that is no text"))),
        };
        let needed = |name: &str| optional(name)?.ok_or_else(|| none(&format!("has no {name}")));
        let flag = |name: &str| document.get(name).and_then(Value::as_bool);
        Ok(Self {
            authorization_endpoint: needed("authorization_endpoint")?,
            token_endpoint: needed("token_endpoint")?,
            userinfo_endpoint: optional("userinfo_endpoint")?,
            jwks_uri: Some(needed("jwks_uri")?),
            iss_advertised: flag("authorization_response_iss_parameter_supported") == Some(true),
            issuer,
        })
    }

    /// Whether an answer must carry `iss` (RFC 9207 §2.4).
    pub(crate) fn requires_iss(&self, provider: &Provider) -> bool {
        match provider.iss_param() {
            IssParam::Required => true,
            IssParam::Optional => false,
            IssParam::Auto => self.iss_advertised,
        }
    }
}

/// Discovery §4.3, RFC 8414 §3.3: the issuer in the document is the configured one, byte for byte (DJ-01).
fn is_issuer(document: &Object, issuer: &str) -> Result<(), FederationError> {
    match text(document, "issuer") {
        Some(found) if found == issuer => Ok(()),
        Some(found) => {
            let words = format!(
                "configured is `{issuer}`, the document says `{}`",
                upstream_words(found)
            );
            Err(FederationError::new(RefusalCode::DiscoveryIssuer, words))
        }
        None => Err(FederationError::new(
            RefusalCode::DiscoveryIssuer,
            "the document names no issuer",
        )),
    }
}

/// HT-07: https, and on the issuer's host, below it, or on a host of the settings or below that.
fn is_endpoint(
    url: &str,
    name: &str,
    provider: &Provider,
    reach: &FetchScope,
) -> Result<(), FederationError> {
    let elsewhere =
        |words: &str| FederationError::new(RefusalCode::EndpointHost, format!("{name} {words}"));
    let parsed = match reach.admits(url) {
        Ok(parsed) => parsed,
        Err(FetchError::Blocked(words)) if words.contains("not https") => {
            return Err(elsewhere("is not https"));
        }
        Err(refusal) => {
            return Err(FederationError::new(
                RefusalCode::Blocked,
                format!("{name}: {refusal}"),
            ));
        }
    };
    let host = parsed.host_str().unwrap_or_default();
    let issuer = Url::parse(&provider.issuer()).ok();
    let own = issuer.as_ref().and_then(Url::host_str);
    let within = |home: &str| {
        host == home
            || host
                .strip_suffix(home)
                .is_some_and(|below| below.ends_with('.'))
    };
    // A fragment is never sent, and no endpoint has one (RFC 6749 §3.1, §3.2).
    if parsed.fragment().is_some() {
        return Err(elsewhere("has a fragment"));
    }
    if own.into_iter().chain(provider.other_hosts()).any(within) {
        return Ok(());
    }
    let words = format!(
        "is on `{}`: if that is the provider's, add it to extra_hosts",
        upstream_words(host)
    );
    Err(elsewhere(&words))
}

/// What stands in for a document at GitHub, which has none (an Enterprise server has its API below `/api/v3`).
pub(crate) fn github(provider: &Provider) -> Metadata {
    let issuer = provider.issuer();
    let base = issuer.trim_end_matches('/');
    let api = if base == "https://github.com" {
        "https://api.github.com".to_owned()
    } else {
        format!("{base}/api/v3")
    };
    Metadata {
        authorization_endpoint: format!("{base}/login/oauth/authorize"),
        token_endpoint: format!("{base}/login/oauth/access_token"),
        userinfo_endpoint: Some(format!("{api}/user")),
        jwks_uri: None,
        iss_advertised: false,
        issuer,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use serde_json::json;

    use super::*;

    fn provider(more: &str) -> Provider {
        let text =
            format!("id = \"a\"\nclient_id = \"c\"\nissuer = \"https://op.example/realm\"\n{more}");
        toml::from_str(&text).unwrap()
    }

    fn document() -> Value {
        json!({
            "issuer": "https://op.example/realm",
            "authorization_endpoint": "https://op.example/auth",
            "token_endpoint": "https://api.op.example/token",
            "jwks_uri": "https://op.example:8443/keys",
        })
    }

    fn read(name: &str, value: Value, more: &str) -> Result<Metadata, RefusalCode> {
        let mut document = document();
        document[name] = value;
        Metadata::read(
            document.to_string().as_bytes(),
            &provider(more),
            &FetchScope::default(),
        )
        .map_err(|r| r.code)
    }

    #[test]
    fn dj_01_up_discovery_issuer_every_byte_counts() {
        for other in [
            json!("https://op.example/realm/"),
            json!("https://op.example/Realm"),
            json!("https://OP.example/realm"),
            json!("https://op.example:443/realm"),
            json!("http://op.example/realm"),
            json!("https://evil.example/realm"),
            json!(["https://op.example/realm"]),
            Value::Null,
        ] {
            assert_eq!(
                read("issuer", other.clone(), "").unwrap_err(),
                RefusalCode::DiscoveryIssuer,
                "{other}"
            );
        }
        assert!(read("issuer", json!("https://op.example/realm"), "").is_ok());
    }

    #[test]
    fn ht_07_up_endpoint_host_endpoints_are_at_home() {
        for name in [
            "authorization_endpoint",
            "token_endpoint",
            "userinfo_endpoint",
            "jwks_uri",
        ] {
            for elsewhere in [
                "https://evil.example/x",
                "https://evilop.example/x",
                "https://op.example.evil.example/x",
                "http://op.example/x",
                "https://op.example/x#y",
            ] {
                assert_eq!(
                    read(name, json!(elsewhere), "").unwrap_err(),
                    RefusalCode::EndpointHost,
                    "{name} {elsewhere}"
                );
            }
            for blocked in [
                "https://127.0.0.1/x",
                "https://2130706433/x",
                "https://u@op.example/x",
                "not a url",
            ] {
                assert_eq!(
                    read(name, json!(blocked), "").unwrap_err(),
                    RefusalCode::Blocked,
                    "{name} {blocked}"
                );
            }
            assert!(
                read(
                    name,
                    json!("https://a.cdn.example/x"),
                    "extra_hosts = [\"cdn.example\"]"
                )
                .is_ok()
            );
        }
    }

    /// What the real ones publish, as far as it matters here: where their endpoints are.
    #[test]
    fn pr_01_ht_07_the_presets_fit_the_documents_of_the_real_providers() {
        const GOOGLE: [&str; 5] = [
            "https://accounts.google.com",
            "https://accounts.google.com/o/oauth2/v2/auth",
            "https://oauth2.googleapis.com/token",
            "https://openidconnect.googleapis.com/v1/userinfo",
            "https://www.googleapis.com/oauth2/v3/certs",
        ];
        const ENTRA: [&str; 5] = [
            "https://login.microsoftonline.com/{tenantid}/v2.0",
            "https://login.microsoftonline.com/common/oauth2/v2.0/authorize",
            "https://login.microsoftonline.com/common/oauth2/v2.0/token",
            "https://graph.microsoft.com/oidc/userinfo",
            "https://login.microsoftonline.com/common/discovery/v2.0/keys",
        ];
        const APPLE: [&str; 5] = [
            "https://appleid.apple.com",
            "https://appleid.apple.com/auth/authorize",
            "https://appleid.apple.com/auth/token",
            "",
            "https://appleid.apple.com/auth/keys",
        ];
        const GITLAB: [&str; 5] = [
            "https://gitlab.com",
            "https://gitlab.com/oauth/authorize",
            "https://gitlab.com/oauth/token",
            "https://gitlab.com/oauth/userinfo",
            "https://gitlab.com/oauth/discovery/keys",
        ];
        let names = [
            "issuer",
            "authorization_endpoint",
            "token_endpoint",
            "userinfo_endpoint",
            "jwks_uri",
        ];
        for (kind, found, foreign) in [
            ("kind = \"google\"", GOOGLE, true),
            ("kind = \"entra\"\ntenant = \"common\"", ENTRA, true),
            ("kind = \"apple\"", APPLE, false),
            ("kind = \"gitlab\"", GITLAB, false),
        ] {
            let mut document: Object = names
                .into_iter()
                .zip(found)
                .map(|(k, v)| (k.to_owned(), json!(v)))
                .collect();
            document.retain(|_, value| value != "");
            let body = Value::Object(document).to_string();
            let read = |kind: &str| {
                let provider: Provider =
                    toml::from_str(&format!("id = \"a\"\nclient_id = \"c\"\n{kind}")).unwrap();
                Metadata::read(body.as_bytes(), &provider, &FetchScope::default())
            };
            let metadata = read(kind).unwrap_or_else(|refused| panic!("{kind}: {refused}"));
            let userinfo = metadata.userinfo_endpoint.as_deref().unwrap_or_default();
            let keys = metadata.jwks_uri.as_deref().unwrap();
            let read_is = [
                &metadata.issuer,
                &metadata.authorization_endpoint,
                &metadata.token_endpoint,
                userinfo,
                keys,
            ];
            assert_eq!(read_is, found);
            // Without the kind's own hosts those of Google and Microsoft would not do.
            let plain = read(&format!("issuer = \"{}\"", found[0]))
                .map(drop)
                .map_err(|refused| refused.code);
            assert_eq!(
                plain,
                if foreign {
                    Err(RefusalCode::EndpointHost)
                } else {
                    Ok(())
                },
                "{kind}"
            );
        }
    }

    #[test]
    fn pr_01_github_has_its_api_on_a_host_of_its_own_and_an_enterprise_server_has_not() {
        let of = |more: &str| {
            let text = format!("id = \"a\"\nclient_id = \"c\"\nkind = \"github\"\n{more}");
            let Metadata {
                issuer,
                authorization_endpoint,
                token_endpoint,
                userinfo_endpoint,
                jwks_uri,
                ..
            } = github(&toml::from_str(&text).unwrap());
            assert_eq!(jwks_uri, None, "there is no ID token");
            [
                issuer,
                authorization_endpoint,
                token_endpoint,
                userinfo_endpoint.unwrap(),
            ]
        };
        let public = [
            "https://github.com",
            "https://github.com/login/oauth/authorize",
            "https://github.com/login/oauth/access_token",
            "https://api.github.com/user",
        ];
        assert_eq!(of(""), public);
        assert_eq!(of("issuer = \"https://github.com\""), public);
        let own = [
            "https://ghe.example",
            "https://ghe.example/login/oauth/authorize",
            "https://ghe.example/login/oauth/access_token",
            "https://ghe.example/api/v3/user",
        ];
        assert_eq!(of("issuer = \"https://ghe.example\""), own);
    }

    #[test]
    fn what_is_no_document_is_not_taken() {
        for (name, value) in [
            ("token_endpoint", Value::Null),
            ("jwks_uri", json!(1)),
            ("userinfo_endpoint", json!({})),
        ] {
            assert_eq!(
                read(name, value, "").unwrap_err(),
                RefusalCode::ProviderDown,
                "{name}"
            );
        }
        let twice = format!(
            "{{\"issuer\":\"https://evil.example\",{}",
            &document().to_string()[1..]
        );
        let read = Metadata::read(twice.as_bytes(), &provider(""), &FetchScope::default());
        assert_eq!(read.unwrap_err().code, RefusalCode::ProviderDown);
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
            let metadata = read(name, advertised.clone(), more).unwrap();
            assert_eq!(
                metadata.requires_iss(&provider(more)),
                required,
                "{advertised} {more}"
            );
        }
    }
}
