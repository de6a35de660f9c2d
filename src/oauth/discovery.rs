//! Metadata and keys (OIDC Discovery §3, RFC 8414, RFC 7517): bytes made once, with an ETag. They say exactly what is
//! there.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use poem::{
    Request, Response, handler,
    http::{StatusCode, header},
    web::Data,
};
use serde_json::json;

use super::scope;
use crate::{app::App, client, config::Config, secret::Hash};

/// The metadata document, made once for each configuration: the issuer never changes while we run, the clients may.
#[derive(Clone, Debug)]
pub struct Metadata {
    issuer: Arc<str>,
    made: Arc<ArcSwapOption<(Arc<Config>, Document)>>,
}

#[derive(Clone, Debug)]
struct Document {
    body: String,
    etag: String,
}

impl Metadata {
    /// For this issuer.
    #[must_use]
    pub fn new(issuer: &str) -> Self {
        Self { issuer: issuer.into(), made: Arc::default() }
    }

    /// The document for what is configured now.
    fn document(&self, config: Arc<Config>) -> Arc<(Arc<Config>, Document)> {
        if let Some(made) = self.made.load_full().filter(|made| Arc::ptr_eq(&made.0, &config)) {
            return made;
        }
        let secret = ["client_secret_basic", "client_secret_post"];
        let none = client::any_public(&config).then_some("none");
        let methods: Vec<&str> = secret.into_iter().chain(none).collect();
        let of_apis = client::scopes(&config);
        let of_apis = of_apis.into_iter().filter(|name| !scope::SUPPORTED.contains(name));
        let scopes: Vec<&str> = scope::SUPPORTED.into_iter().chain(of_apis).collect();
        let made = Arc::new((Arc::clone(&config), Document::new(&self.issuer, &methods, &secret, &scopes)));
        self.made.store(Some(Arc::clone(&made)));
        made
    }
}

impl Document {
    /// `methods`: how clients authenticate; `secret`: those that show more than a name (RFC 7662 §2.1 asks for one);
    /// `scopes`: all that some client may get (DI-5).
    fn new(issuer: &str, methods: &[&str], secret: &[&str], scopes: &[&str]) -> Self {
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
            "revocation_endpoint_auth_methods_supported": methods,
            "introspection_endpoint_auth_methods_supported": secret,
            "code_challenge_methods_supported": ["S256"],
            "scopes_supported": scopes,
            "claims_supported": ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid", "at_hash", "name",
                "locale", "updated_at", "email", "email_verified"],
            "acr_values_supported": ["urn:entree:acr:email"],
            "prompt_values_supported": ["none", "login", "consent", "select_account"],
            "authorization_response_iss_parameter_supported": true,
            "request_parameter_supported": false,
            "request_uri_parameter_supported": false,
            "claims_parameter_supported": false,
        });
        let body = document.to_string();
        let etag = etag(body.as_bytes());
        Self { body, etag }
    }
}

fn etag(body: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    format!("\"{}\"", URL_SAFE_NO_PAD.encode(Hash::of(body).as_bytes().split_at(12).0))
}

/// `/.well-known/openid-configuration` and, the same, `/.well-known/oauth-authorization-server` (DI-1, DI-15).
#[handler]
pub fn metadata(Data(app): Data<&App>, Data(metadata): Data<&Metadata>, request: &Request) -> Response {
    let made = metadata.document(app.config.get());
    let (_, document) = &*made;
    cached(request, document.body.clone().into_bytes(), &document.etag)
}

/// `/.well-known/jwks.json` (JW-1, JW-3).
#[handler]
pub fn jwks(Data(app): Data<&App>, request: &Request) -> Response {
    let published = app.keys.published();
    cached(request, published.body.clone(), &published.etag)
}

/// Five minutes in any cache, for any origin; 304 when the client has it already (RFC 9110 §13.1.2).
fn cached(request: &Request, body: Vec<u8>, etag: &str) -> Response {
    let known = request.header(header::IF_NONE_MATCH).is_some_and(|list| {
        list.split(',').map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == etag)
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

    #[test]
    fn di_8_di_10_the_metadata_says_how_clients_authenticate_and_what_they_may_bring() {
        let all = Metadata::new("https://id.example");
        let client =
            r#"{"client_id":"c","name":"C","audience":"a","scopes":["openid","lessons:read","lessons:read2"]}"#;
        let config = Config { clients: vec![serde_json::from_str(client).unwrap()], ..Config::default() };
        let open = all.document(Arc::new(config));
        let none = Arc::new(Config::default());
        let closed = all.document(Arc::clone(&none));
        assert!(Arc::ptr_eq(&closed, &all.document(none)), "made once");
        assert_ne!(open.1.etag, closed.1.etag);
        let read = |made: &(Arc<Config>, Document)| serde_json::from_str::<serde_json::Value>(&made.1.body).unwrap();
        let (open, closed) = (read(&open), read(&closed));
        let of_people = json!(["openid", "profile", "email", "offline_access"]);
        assert_eq!(closed["scopes_supported"], of_people);
        let with_api = json!(["openid", "profile", "email", "offline_access", "lessons:read", "lessons:read2"]);
        assert_eq!(open["scopes_supported"], with_api, "di_5");
        let secret = json!(["client_secret_basic", "client_secret_post"]);
        assert_eq!(
            open["token_endpoint_auth_methods_supported"],
            json!(["client_secret_basic", "client_secret_post", "none"])
        );
        assert_eq!(closed["token_endpoint_auth_methods_supported"], secret);
        for document in [&open, &closed] {
            assert_eq!(document["introspection_endpoint_auth_methods_supported"], secret, "never by a name alone");
            assert_eq!(
                document["grant_types_supported"],
                json!(["authorization_code", "refresh_token", "client_credentials"])
            );
            for (name, value) in document.as_object().unwrap() {
                let at = value.as_str().unwrap_or_default();
                assert!(!name.ends_with("_endpoint") || at.starts_with("https://id.example/oauth2/"), "di_3 {name}");
            }
        }
    }
}
