//! Metadata and keys (OIDC Discovery §3, RFC 8414, RFC 7517): bytes made once, with an ETag. They say exactly what is
//! there.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use poem::{
    Request, Response, handler,
    http::{StatusCode, header},
    web::Data,
};
use serde_json::{Value, json};
use unic_langid::LanguageIdentifier;

use super::{claims_request, scope};
use crate::{
    app::App,
    client,
    config::{Reloadable, jwks::SIG_ALGS},
    secret::Hash,
};

/// The metadata document: made once for the configuration and the languages in force, and again when those change.
#[derive(Clone, Debug, Default)]
pub struct Metadata {
    made: Arc<ArcSwapOption<Made>>,
}

#[derive(Debug)]
struct Made {
    config: Arc<Reloadable>,
    tags: Vec<Arc<str>>,
    body: String,
    etag: String,
}

impl Metadata {
    fn of(&self, app: &App) -> Arc<Made> {
        let (config, tags) = (app.config.get(), app.texts.tags());
        let fits = |made: &Arc<Made>| Arc::ptr_eq(&made.config, &config) && made.tags == tags;
        if let Some(made) = self.made.load_full().filter(fits) {
            return made;
        }
        let body = document(&app.public_url, &config, &tags).to_string();
        let made = Arc::new(Made {
            etag: etag(body.as_bytes()),
            body,
            config,
            tags,
        });
        self.made.store(Some(Arc::clone(&made)));
        made
    }
}

/// OIDC Discovery §3, RFC 8414 §2: exactly what is there (DI-17).
fn document(issuer: &str, config: &Reloadable, tags: &[Arc<str>]) -> Value {
    // How clients authenticate; and those ways that show more than a name (RFC 7662 §2.1 asks for one).
    let proven = [
        "client_secret_basic",
        "client_secret_post",
        "private_key_jwt",
    ];
    let methods: Vec<&str> = proven
        .into_iter()
        .chain(client::any_public(config).then_some("none"))
        .collect();
    // All that some client may get (DI-5): what people are asked for, then names of APIs.
    let of_apis = client::scopes(config)
        .into_iter()
        .filter(|name| !scope::SUPPORTED.contains(name));
    let scopes: Vec<&str> = scope::SUPPORTED.into_iter().chain(of_apis).collect();
    let document = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/oauth2/authorize"),
        "token_endpoint": format!("{issuer}/oauth2/token"),
        "userinfo_endpoint": format!("{issuer}/oauth2/userinfo"),
        "revocation_endpoint": format!("{issuer}/oauth2/revoke"),
        "introspection_endpoint": format!("{issuer}/oauth2/introspect"),
        "end_session_endpoint": format!("{issuer}/oauth2/logout"),
        "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256"],
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": SIG_ALGS,
        "revocation_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_signing_alg_values_supported": SIG_ALGS,
        "introspection_endpoint_auth_methods_supported": proven,
        "introspection_endpoint_auth_signing_alg_values_supported": SIG_ALGS,
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": scopes,
        "claims_supported": claims_request::SUPPORTED,
        "claims_parameter_supported": true,
        "acr_values_supported": claims_request::acr_values(config),
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "ui_locales_supported": locales(tags),
        "authorization_response_iss_parameter_supported": true,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
    });
    let mut members = document.as_object().cloned().unwrap_or_default();
    for (member, uri) in [
        (
            "service_documentation",
            &config.server.service_documentation,
        ),
        ("op_policy_uri", &config.server.op_policy_uri),
    ] {
        if !uri.is_empty() {
            members.insert(member.to_owned(), uri.as_str().into());
        }
    }
    Value::Object(members)
}

/// Tags in canonical case (DI-16, RFC 5646 §2.1.1).
fn locales(tags: &[Arc<str>]) -> Vec<String> {
    tags.iter()
        .filter_map(|tag| tag.parse::<LanguageIdentifier>().ok())
        .map(|tag| tag.to_string())
        .collect()
}

fn etag(body: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    format!(
        "\"{}\"",
        URL_SAFE_NO_PAD.encode(Hash::of(body).as_bytes().split_at(12).0)
    )
}

/// `/.well-known/openid-configuration` and, the same, `/.well-known/oauth-authorization-server` (DI-1, DI-15).
#[handler]
pub(crate) fn metadata(
    Data(app): Data<&App>,
    Data(metadata): Data<&Metadata>,
    request: &Request,
) -> Response {
    let made = metadata.of(app);
    cached(request, made.body.clone().into_bytes(), &made.etag)
}

/// `/.well-known/jwks.json` (JW-1, JW-3).
#[handler]
pub(crate) fn jwks(Data(app): Data<&App>, request: &Request) -> Response {
    let published = app.keys.published();
    cached(request, published.body.clone(), &published.etag)
}

/// Five minutes in any cache, for any origin; 304 when the client has it already (RFC 9110 §13.1.2).
fn cached(request: &Request, body: Vec<u8>, etag: &str) -> Response {
    let known = request.header(header::IF_NONE_MATCH).is_some_and(|list| {
        list.split(',')
            .map(str::trim)
            .any(|one| one == "*" || one.trim_start_matches("W/") == etag)
    });
    let builder = Response::builder()
        .header(header::CACHE_CONTROL, "public, max-age=300")
        .header(header::ETAG, etag)
        .header(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    if known {
        return builder.status(StatusCode::NOT_MODIFIED).finish();
    }
    builder.content_type("application/json").body(body)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn made(change: impl FnOnce(&mut Reloadable)) -> Value {
        let mut config = Reloadable::default();
        change(&mut config);
        document(
            "https://id.example",
            &config,
            &["en".into(), "fr".into(), "pt-br".into()],
        )
    }

    fn with_public(config: &mut Reloadable) {
        let client = r#"{"client_id":"web","name":"Web","audience":"https://api.example","scopes":["openid","lessons:read"]}"#;
        config.clients = vec![serde_json::from_str(client).unwrap()];
    }

    #[test]
    fn di_8_di_10_the_metadata_says_how_clients_authenticate_and_what_they_may_bring() {
        let (open, closed) = (made(with_public), made(|_| {}));
        let proven = json!([
            "client_secret_basic",
            "client_secret_post",
            "private_key_jwt"
        ]);
        assert_eq!(
            open["token_endpoint_auth_methods_supported"],
            json!([
                "client_secret_basic",
                "client_secret_post",
                "private_key_jwt",
                "none"
            ])
        );
        assert_eq!(closed["token_endpoint_auth_methods_supported"], proven);
        assert_eq!(
            closed["scopes_supported"],
            json!(["openid", "profile", "email", "offline_access"])
        );
        assert_eq!(open["scopes_supported"][4], "lessons:read", "di_5");
        for document in [&open, &closed] {
            assert_eq!(
                document["introspection_endpoint_auth_methods_supported"], proven,
                "never by a name alone"
            );
            for endpoint in ["token", "revocation", "introspection"] {
                assert_eq!(
                    document[format!("{endpoint}_endpoint_auth_signing_alg_values_supported")],
                    json!(["ES256", "RS256", "PS256", "Ed25519", "EdDSA"]),
                    "ca_8 {endpoint}"
                );
            }
            assert_eq!(
                document["grant_types_supported"],
                json!(["authorization_code", "refresh_token", "client_credentials"])
            );
            for (name, value) in document.as_object().unwrap() {
                let at = value.as_str().unwrap_or_default();
                assert!(
                    !name.ends_with("_endpoint") || at.starts_with("https://id.example/oauth2/"),
                    "di_3 {name}"
                );
            }
        }
    }

    #[test]
    fn di_16_di_17_languages_in_canonical_case_and_addresses_only_where_there_are_some() {
        let document = made(|_| {});
        assert_eq!(
            document["ui_locales_supported"],
            json!(["en", "fr", "pt-BR"])
        );
        assert_eq!(
            (
                document.get("service_documentation"),
                document.get("op_policy_uri")
            ),
            (None, None)
        );
        let document = made(|config| {
            config.server.service_documentation = "https://docs.example/".to_owned();
            config.server.op_policy_uri = "https://example/policy".to_owned();
        });
        assert_eq!(document["service_documentation"], "https://docs.example/");
        assert_eq!(document["op_policy_uri"], "https://example/policy");
    }
}
