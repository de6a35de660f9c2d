//! `[[clients]]`: the applications that may request sign-ins and tokens.

use serde::{Deserialize, Serialize};

use super::jwks::Jwks;
use crate::secret::Text;

/// How a client authenticates at the token endpoint (RFC 6749 §2.3, OIDC Core §9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// A public client: PKCE alone.
    #[default]
    None,
    /// Identifier and secret in the Authorization header.
    ClientSecretBasic,
    /// Identifier and secret in the form.
    ClientSecretPost,
    /// An assertion that it signs with a key of its own (RFC 7523).
    PrivateKeyJwt,
}

/// What a client may come to the token endpoint with (RFC 7591 §2). Refresh tokens hang on the scope `offline_access`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantType {
    /// A code from the authorization endpoint.
    AuthorizationCode,
    /// Itself: tokens without a person.
    ClientCredentials,
}

/// When a client gets refresh tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefreshTokens {
    /// With the scope `offline_access` (OIDC Core §11): they outlive the session.
    #[default]
    OfflineAccess,
    /// With every grant; without `offline_access` they end with the session. First-party clients only.
    Always,
}

/// Signature algorithms of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Alg {
    /// ECDSA on P-256.
    ES256,
    /// RSA PKCS#1 v1.5.
    RS256,
}

/// `[[clients]]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Its identifier.
    pub client_id: String,
    /// What people see.
    pub name: String,
    /// Exact redirect URIs; the port is free for loopback addresses (RFC 8252 §7.3).
    #[serde(default)]
    pub redirect_uris: Vec<String>,
    /// Exact addresses that people may be sent to after signing out (RP-Initiated Logout 1.0 §3.1).
    #[serde(default)]
    pub post_logout_redirect_uris: Vec<String>,
    /// How it authenticates.
    #[serde(default)]
    pub token_endpoint_auth_method: ClientAuth,
    /// Its secret as configured. Loading replaces it by its hash, so that it is empty in what is loaded.
    #[serde(default, skip_serializing)]
    pub client_secret: Text,
    /// SHA-256 of its secrets in hexadecimal digits; two while they change.
    #[serde(default)]
    pub client_secret_sha256: Vec<String>,
    /// Its public keys, for `private_key_jwt`.
    #[serde(default)]
    pub jwks: Option<Jwks>,
    /// Where it publishes them instead.
    #[serde(default)]
    pub jwks_uri: String,
    /// What it may come to the token endpoint with.
    #[serde(default = "grant_types")]
    pub grant_types: Vec<GrantType>,
    /// PKCE is demanded; only a confidential client may switch it off (RFC 9700 §2.1.1).
    #[serde(default = "yes")]
    pub require_pkce: bool,
    /// When it gets refresh tokens.
    #[serde(default)]
    pub refresh_tokens: RefreshTokens,
    /// Audiences whose access tokens it may ask about at introspection: for resource servers.
    #[serde(default)]
    pub introspects: Vec<String>,
    /// `aud` of its access tokens.
    pub audience: String,
    /// Further audiences that it may ask for by `resource` (RFC 8707).
    #[serde(default)]
    pub resources: Vec<String>,
    /// First-party: no consent page, may use the sign-in API.
    #[serde(default)]
    pub first_party: bool,
    /// Browser origins that may call the API and the token endpoint.
    #[serde(default)]
    pub allowed_origins: Vec<String>,
    /// Algorithm of its ID tokens.
    #[serde(default = "rs256")]
    pub id_token_signed_response_alg: Alg,
    /// Algorithm of its access tokens.
    #[serde(default = "es256")]
    pub access_token_alg: Alg,
    /// Scopes it may ask for.
    #[serde(default = "scopes")]
    pub scopes: Vec<String>,
    /// Its pages open ours in a pop-up.
    #[serde(default)]
    pub uses_popups: bool,
    /// Life of its access tokens in seconds, if not that of `[token]`. Bounds of this and the next four as there.
    #[serde(default)]
    pub access_token_seconds: Option<u64>,
    /// The same of its ID tokens.
    #[serde(default)]
    pub id_token_seconds: Option<u64>,
    /// The same of its authorization codes.
    #[serde(default)]
    pub code_seconds: Option<u64>,
    /// The same of its refresh tokens while they are not used.
    #[serde(default)]
    pub refresh_idle_seconds: Option<u64>,
    /// The same of its refresh tokens in any case.
    #[serde(default)]
    pub refresh_absolute_seconds: Option<u64>,
}

const fn rs256() -> Alg {
    Alg::RS256
}

const fn es256() -> Alg {
    Alg::ES256
}

const fn yes() -> bool {
    true
}

fn grant_types() -> Vec<GrantType> {
    vec![GrantType::AuthorizationCode]
}

fn scopes() -> Vec<String> {
    ["openid", "profile", "email"].map(str::to_owned).to_vec()
}
