//! Metadata and keys (OIDC Discovery §3, RFC 8414, RFC 7517): bytes made once, with an ETag. They say exactly what is
//! there.

use poem::{
    Request, Response, handler,
    http::{StatusCode, header},
    web::Data,
};
use serde_json::json;

use super::scope;
use crate::{app::App, secret::Hash};

/// The metadata document, made once at start: the issuer never changes while we run.
#[derive(Clone, Debug)]
pub struct Metadata {
    body: String,
    etag: String,
}

impl Metadata {
    /// For this issuer.
    #[must_use]
    pub fn new(issuer: &str) -> Self {
        let document = json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/oauth2/authorize"),
            "token_endpoint": format!("{issuer}/oauth2/token"),
            "end_session_endpoint": format!("{issuer}/oauth2/logout"),
            "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query", "form_post"],
            "grant_types_supported": ["authorization_code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256"],
            "token_endpoint_auth_methods_supported": ["none"],
            "code_challenge_methods_supported": ["S256"],
            "scopes_supported": scope::SUPPORTED,
            "claims_supported": ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid", "at_hash"],
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
pub fn metadata(Data(metadata): Data<&Metadata>, request: &Request) -> Response {
    cached(request, metadata.body.clone().into_bytes(), &metadata.etag)
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
