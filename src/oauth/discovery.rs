//! The metadata document and the signing keys (OIDC Discovery §3, RFC 8414, RFC 7517).
//!
//! Both are serialized once and served with an ETag. The metadata lists exactly what the service
//! does.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use poem::{
    Request, Response, handler,
    http::{StatusCode, header},
    web::Data,
};
use serde_json::{Map, Value, json};
use unic_langid::LanguageIdentifier;

use super::{
    claims_request, scope,
    token::{device, exchange},
};
use crate::{
    app::App,
    client,
    config::{Reloadable, jwks::SIG_ALGS},
    key::PROOF_ALGS,
    secret::Hash,
};

/// Caches the metadata document until the configuration or the languages change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metadata {
    cached: Arc<ArcSwapOption<CachedMetadata>>,
}

#[derive(Debug)]
struct CachedMetadata {
    config: Arc<Reloadable>,
    tags: Vec<Arc<str>>,
    body: String,
    etag: String,
}

impl Metadata {
    fn load(&self, app: &App) -> Arc<CachedMetadata> {
        let (config, tags) = (app.config.get(), app.texts.tags());
        let is_current = |cached: &Arc<CachedMetadata>| {
            Arc::ptr_eq(&cached.config, &config) && cached.tags == tags
        };
        if let Some(cached) = self.cached.load_full().filter(is_current) {
            return cached;
        }
        let body = document(&app.public_url, &config, &tags).to_string();
        let cached = Arc::new(CachedMetadata {
            etag: etag(body.as_bytes()),
            body,
            config,
            tags,
        });
        self.cached.store(Some(Arc::clone(&cached)));
        cached
    }
}

/// OIDC Discovery §3, RFC 8414 §2 (DI-17).
fn document(issuer: &str, config: &Reloadable, tags: &[Arc<str>]) -> Value {
    // RFC 7662 §2.1: introspection is not for clients that only name themselves.
    let confidential = [
        "client_secret_basic",
        "client_secret_post",
        "private_key_jwt",
    ];
    let methods: Vec<&str> = confidential
        .into_iter()
        .chain(client::any_public(config).then_some("none"))
        .collect();
    // Every scope that some client may get (DI-5): those about a user, then those of APIs.
    let api_scopes = client::scopes(config)
        .into_iter()
        .filter(|name| !scope::SUPPORTED.contains(name));
    let scopes: Vec<&str> = scope::SUPPORTED.into_iter().chain(api_scopes).collect();
    let document = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/oauth2/authorize"),
        "token_endpoint": format!("{issuer}/oauth2/token"),
        "userinfo_endpoint": format!("{issuer}/oauth2/userinfo"),
        "revocation_endpoint": format!("{issuer}/oauth2/revoke"),
        "introspection_endpoint": format!("{issuer}/oauth2/introspect"),
        "end_session_endpoint": format!("{issuer}/oauth2/logout"),
        // Back-Channel Logout 1.0 §2.1.
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": true,
        // RFC 9126 §5.
        "pushed_authorization_request_endpoint": format!("{issuer}/oauth2/par"),
        "require_pushed_authorization_requests": false,
        // RFC 9449 §5.1.
        "dpop_signing_alg_values_supported": PROOF_ALGS,
        "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post"],
        "grant_types_supported": grant_types(config),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256"],
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": SIG_ALGS,
        "revocation_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_signing_alg_values_supported": SIG_ALGS,
        "introspection_endpoint_auth_methods_supported": confidential,
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
    members.extend(configured_members(config));
    if config.device.enabled {
        // RFC 8628 §4.
        let endpoint = format!("{issuer}/oauth2/device_authorization");
        members.insert("device_authorization_endpoint".to_owned(), endpoint.into());
    }
    Value::Object(members)
}

/// The grant types that some client may use, beside the three that are always there (OIDC Discovery §3).
fn grant_types(config: &Reloadable) -> Vec<&'static str> {
    let mut types = vec!["authorization_code", "refresh_token", "client_credentials"];
    if client::any_exchange(config) {
        types.push(exchange::GRANT_TYPE);
    }
    if config.device.enabled {
        types.push(device::GRANT_TYPE);
    }
    types
}

/// The members that the document has only if the configuration gives them a value.
fn configured_members(config: &Reloadable) -> Map<String, Value> {
    let mut members = Map::new();
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
    // RFC 9728 §4: those that a client may use without an operator.
    let open = config.resources.open().iter();
    let open: Vec<&str> = open.map(|resource| resource.identifier.as_str()).collect();
    if !open.is_empty() {
        members.insert("protected_resources".to_owned(), open.into());
    }
    members
}

/// Language tags in canonical case (DI-16, RFC 5646 §2.1.1).
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

/// `/.well-known/openid-configuration` and `/.well-known/oauth-authorization-server`, which are the
/// same document (DI-1, DI-15).
#[handler]
pub(crate) fn metadata(
    Data(app): Data<&App>,
    Data(metadata): Data<&Metadata>,
    request: &Request,
) -> Response {
    let document = metadata.load(app);
    cacheable_response(request, document.body.clone().into_bytes(), &document.etag)
}

/// `/.well-known/jwks.json` (JW-1, JW-3). It waits for the first keys, because a key set without
/// one would be cached.
#[handler]
pub(crate) async fn jwks(Data(app): Data<&App>, request: &Request) -> Response {
    app.keys.until_complete().await;
    let published = app.keys.published();
    cacheable_response(request, published.body.clone(), &published.etag)
}

/// A response that any cache may keep for five minutes and pages of any origin may read; 304 if the
/// client has it already (RFC 9110 §13.1.2).
fn cacheable_response(request: &Request, body: Vec<u8>, etag: &str) -> Response {
    let is_known = request.header(header::IF_NONE_MATCH).is_some_and(|list| {
        list.split(',')
            .map(str::trim)
            .any(|known| known == "*" || known.trim_start_matches("W/") == etag)
    });
    let builder = Response::builder()
        .header(header::CACHE_CONTROL, "public, max-age=300")
        .header(header::ETAG, etag)
        .header(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    if is_known {
        return builder.status(StatusCode::NOT_MODIFIED).finish();
    }
    builder.content_type("application/json").body(body)
}

#[cfg(test)]
mod tests;
