//! `[[clients]]`: the applications that may request sign-ins and tokens.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{
    exchange::ExchangeRule,
    jwks::Jwks,
    profile::{AssertionAudience, Demands, Profile},
};
use crate::secret::{Hash, Text};

/// How a client authenticates at the token endpoint (RFC 6749 §2.3, OIDC Core §9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// A public client, which has PKCE alone.
    #[default]
    None,
    /// Identifier and secret in the Authorization header.
    ClientSecretBasic,
    /// Identifier and secret in the form.
    ClientSecretPost,
    /// An assertion that the client signs with its own key (RFC 7523).
    PrivateKeyJwt,
}

/// The grant types that a client may use (RFC 7591 §2). Refresh tokens depend on the scope
/// `offline_access` instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantType {
    AuthorizationCode,
    /// Tokens for the client itself, without a user.
    ClientCredentials,
    /// Tokens for a device without a browser (RFC 8628), while `[device]` is on.
    DeviceCode,
}

/// When a client gets refresh tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefreshTokens {
    /// With the scope `offline_access` (OIDC Core §11). They outlive the session.
    #[default]
    OfflineAccess,
    /// With every grant. Without `offline_access` they end with the session. First-party clients
    /// only.
    Always,
}

/// The signature algorithm of our tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Alg {
    /// ECDSA on P-256.
    ES256,
    /// RSA PKCS#1 v1.5.
    RS256,
}

/// A claim about the user that ID tokens can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdTokenClaim {
    Name,
    Locale,
    UpdatedAt,
    Email,
    EmailVerified,
    Roles,
}

impl IdTokenClaim {
    pub const ALL: [Self; 6] = [
        Self::Name,
        Self::Locale,
        Self::UpdatedAt,
        Self::Email,
        Self::EmailVerified,
        Self::Roles,
    ];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Locale => "locale",
            Self::UpdatedAt => "updated_at",
            Self::Email => "email",
            Self::EmailVerified => "email_verified",
            Self::Roles => "roles",
        }
    }

    /// The scope that the claim belongs to (OIDC Core §5.4).
    #[must_use]
    pub const fn scope(self) -> Option<&'static str> {
        match self {
            Self::Name | Self::Locale | Self::UpdatedAt => Some("profile"),
            Self::Email | Self::EmailVerified => Some("email"),
            Self::Roles => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    pub client_id: String,
    /// The name that users see.
    pub name: String,
    /// The set of rules that the client follows as a whole.
    #[serde(default)]
    pub profile: Profile,
    /// The address where users open the client (RFC 7591 §2).
    #[serde(default)]
    pub client_uri: String,
    /// Exact redirect URIs. The port is free for loopback addresses (RFC 8252 §7.3).
    #[serde(default)]
    pub redirect_uris: Vec<String>,
    /// Exact addresses to which users may be sent after signing out (RP-Initiated Logout 1.0 §3.1).
    #[serde(default)]
    pub post_logout_redirect_uris: Vec<String>,
    #[serde(default)]
    pub token_endpoint_auth_method: ClientAuth,
    /// The secret as configured. [`Client::hash_secret`] replaces it by its hash when the
    /// configuration is loaded.
    #[serde(default, skip_serializing)]
    pub client_secret: Text,
    /// SHA-256 of the secrets in hexadecimal digits; two during a rotation.
    #[serde(default)]
    pub client_secret_sha256: Vec<String>,
    /// The public keys, for `private_key_jwt`.
    #[serde(default)]
    pub jwks: Option<Jwks>,
    /// The address where the client publishes its public keys instead.
    #[serde(default)]
    pub jwks_uri: String,
    /// The audience of its assertions. None: as `token.assertion_audience` says.
    #[serde(default)]
    pub assertion_audience: Option<AssertionAudience>,
    /// Where logout tokens are posted (Back-Channel Logout 1.0 §2.2); none if empty.
    #[serde(default)]
    pub backchannel_logout_uri: String,
    /// Whether the client needs `sid` in logout tokens. They always have it, so nothing depends on it.
    #[serde(default)]
    pub backchannel_logout_session_required: bool,
    /// Exactly these hosts of `jwks_uri` and `backchannel_logout_uri` may be at addresses that are not
    /// public.
    #[serde(default)]
    pub private_hosts: Vec<String>,
    /// A PEM file with further root certificates for these addresses.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    #[serde(default = "grant_types")]
    pub grant_types: Vec<GrantType>,
    /// Whether PKCE is required. Only a confidential client may switch it off (RFC 9700 §2.1.1).
    #[serde(default = "yes")]
    pub require_pkce: bool,
    /// Whether the client must push its authorization requests (RFC 9126 §6).
    #[serde(default)]
    pub require_pushed_authorization_requests: bool,
    /// Whether the client gets tokens only with a proof of possession (RFC 9449 §5.2).
    #[serde(default)]
    pub dpop_bound_access_tokens: bool,
    #[serde(default)]
    pub refresh_tokens: RefreshTokens,
    /// For resource servers: the audiences whose access tokens this client may introspect.
    #[serde(default)]
    pub introspects: Vec<String>,
    /// For resource servers that call others for the user: which tokens it may exchange (RFC 8693).
    #[serde(default)]
    pub token_exchange: Vec<ExchangeRule>,
    /// `aud` of the access tokens.
    pub audience: String,
    /// Further audiences that the client may request by `resource` (RFC 8707).
    #[serde(default)]
    pub resources: Vec<String>,
    /// First-party clients have no consent page.
    #[serde(default)]
    pub first_party: bool,
    /// Whether the client may begin sign-ins at `/api/v1` and `/api/v2`: an app that draws its own
    /// form (OA-11). First-party clients without a secret only.
    #[serde(default)]
    pub app_sign_in: bool,
    /// The browser origins that may call the API and the token endpoint.
    #[serde(default)]
    pub allowed_origins: Vec<String>,
    #[serde(default = "rs256")]
    pub id_token_signed_response_alg: Alg,
    #[serde(default = "es256")]
    pub access_token_alg: Alg,
    /// The scopes that the client may request.
    #[serde(default = "scopes")]
    pub scopes: Vec<String>,
    /// Claims that its ID tokens have whenever their scope was granted, for clients that never ask
    /// userinfo.
    #[serde(default)]
    pub id_token_claims: Vec<IdTokenClaim>,
    /// Whether a user without a name is asked for one before the client gets a response.
    #[serde(default)]
    pub require_name: bool,
    /// Whether the client opens our pages in a pop-up.
    #[serde(default)]
    pub uses_popups: bool,
    // Lifetimes that differ from those of `[token]`, within the same bounds.
    #[serde(default)]
    pub access_token_seconds: Option<u64>,
    #[serde(default)]
    pub id_token_seconds: Option<u64>,
    #[serde(default)]
    pub code_seconds: Option<u64>,
    #[serde(default)]
    pub refresh_idle_seconds: Option<u64>,
    #[serde(default)]
    pub refresh_absolute_seconds: Option<u64>,
}

impl Client {
    /// Returns what the profile of the client demands beside its keys.
    #[must_use]
    pub const fn demands(&self) -> Demands {
        self.profile.demands()
    }

    /// CA-5: replaces the secret by its hash, once it has been checked.
    pub(super) fn hash_secret(&mut self) {
        if !self.client_secret.is_empty() {
            let secret = std::mem::take(&mut self.client_secret);
            let hash = Hash::of(secret.expose().as_bytes()).to_hex();
            self.client_secret_sha256.insert(0, hash);
        }
    }
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
