//! `[[providers]]`: the upstream providers with which users may sign in.
//!
//! A key that is left out takes the preset of the kind, so that five lines are enough. The methods
//! in `presets` return what is in force.

mod presets;

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::secret::Text;

/// An upstream provider.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// The name in addresses: `/upstream/{id}/callback` is the redirect URI to register with the
    /// provider.
    pub id: String,
    /// The kind, which presets the rest.
    #[serde(default)]
    pub kind: ProviderKind,
    /// Whether users are offered the provider and its callbacks are accepted.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The name that users see. Empty: that of the kind, or the id.
    #[serde(default)]
    pub name: String,
    /// The icon of the button, one of [`ICONS`]. Empty: that of the kind.
    #[serde(default)]
    pub icon: String,
    /// Buttons are in this order, then in that of the file.
    #[serde(default)]
    pub order: i64,
    /// The text of the button by language (`en = "…"`). A missing language has the usual text with
    /// the name.
    #[serde(default)]
    pub button: BTreeMap<String, String>,
    /// The issuer, byte for byte as in the discovery document. Preset for google, entra, apple,
    /// github and gitlab.com.
    #[serde(default)]
    pub issuer: String,
    /// entra: the identifier of the directory, or `common`, `organizations`, `consumers`.
    #[serde(default)]
    pub tenant: String,
    /// entra, with `common` and `organizations`: the directories whose users may sign in. Empty:
    /// all.
    #[serde(default)]
    pub tenants: Vec<String>,
    /// google: the Workspace domains (`hd`) whose users may sign in. Empty: all users of Google.
    #[serde(default)]
    pub hosted_domains: Vec<String>,
    /// Our client identifier at the provider.
    pub client_id: String,
    /// Our client secret at the provider.
    #[serde(default)]
    pub client_secret: Text,
    /// apple: the identifier of the team.
    #[serde(default)]
    pub team_id: String,
    /// The identifier of the private key. Required for apple.
    #[serde(default)]
    pub key_id: String,
    /// The private key with which we authenticate, PKCS#8 in PEM: for apple, and for
    /// `private_key_jwt`.
    #[serde(default)]
    pub private_key: Text,
    /// How we authenticate at the token endpoint of the provider. Unset: as its metadata supports.
    #[serde(default)]
    pub auth: Option<ProviderAuth>,
    /// The accepted signature algorithms of ID tokens.
    #[serde(default = "algs")]
    pub algs: Vec<UpstreamAlg>,
    /// Whether we use PKCE (RFC 7636). Off only with `pkce_off_reason`.
    #[serde(default = "yes")]
    pub pkce: bool,
    #[serde(default)]
    pub pkce_off_reason: String,
    /// How the authorization response comes back.
    #[serde(default)]
    pub response_mode: Option<ResponseMode>,
    /// The scopes that we request.
    #[serde(default)]
    pub scopes: Option<Vec<String>>,
    /// How far `email_verified` of this provider is trusted.
    #[serde(default)]
    pub trust: Option<EmailTrust>,
    /// The domains whose mailboxes the provider runs. For other domains its trust is `asserted` at
    /// most. Those of Google are known.
    #[serde(default)]
    pub mail_domains: Vec<String>,
    /// Whether the authorization response must have `iss` (RFC 9207).
    #[serde(default)]
    pub iss_param: Option<IssParam>,
    /// When userinfo is requested.
    #[serde(default)]
    pub userinfo: Option<UserinfoUse>,
    /// Hosts of this provider that may have private addresses.
    #[serde(default)]
    pub private_hosts: Vec<String>,
    /// Hosts, beside that of the issuer, of the endpoints.
    #[serde(default)]
    pub extra_hosts: Vec<String>,
    /// The audiences that an ID token may have beside us, if its `azp` is us: other applications at
    /// this provider, as Zitadel lists those of a project.
    #[serde(default)]
    pub additional_audiences: Vec<String>,
    /// Whether every ID token must have `kid`.
    #[serde(default)]
    pub require_kid: bool,
    /// The greatest age of an ID token.
    #[serde(default = "token_age_seconds")]
    pub token_age_seconds: u64,
    /// Whether `email_verified` may be the string "true".
    #[serde(default)]
    pub string_booleans: Option<bool>,
    /// Whether an ID token may have no `nonce`. Needs PKCE.
    #[serde(default)]
    pub nonce_optional: bool,
    /// A PEM file with further trusted roots for this provider.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Whether plain http is accepted for loopback addresses: for development.
    #[serde(default)]
    pub loopback_http: bool,
    /// The shortest time for which documents of the provider are cached.
    #[serde(default = "fresh_min_seconds")]
    pub fresh_min_seconds: u64,
    /// The longest time for which documents of the provider are cached.
    #[serde(default = "fresh_max_seconds")]
    pub fresh_max_seconds: u64,
    /// An unknown `kid` causes the keys to be fetched again, at most once in this time.
    #[serde(default = "key_refresh_seconds")]
    pub key_refresh_seconds: u64,
}

const fn yes() -> bool {
    true
}

fn algs() -> Vec<UpstreamAlg> {
    vec![UpstreamAlg::RS256]
}

const fn token_age_seconds() -> u64 {
    600
}

const fn fresh_min_seconds() -> u64 {
    300
}

const fn fresh_max_seconds() -> u64 {
    86_400
}

const fn key_refresh_seconds() -> u64 {
    60
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKind {
    /// Any OpenID Provider, found by its issuer.
    #[default]
    Oidc,
    Google,
    /// Microsoft Entra ID.
    Entra,
    Apple,
    /// gitlab.com, or another instance of GitLab.
    Gitlab,
    /// A realm of Keycloak.
    Keycloak,
    /// GitHub, which supports OAuth 2.0 but not OpenID Connect.
    Github,
}

/// The icons that buttons may have.
pub const ICONS: [&str; 7] = [
    "key",
    "google",
    "microsoft",
    "apple",
    "gitlab",
    "keycloak",
    "github",
];

/// How we authenticate at a token endpoint (RFC 6749 §2.3.1, OpenID Connect Core §9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderAuth {
    /// Identifier and secret in the Authorization header.
    Basic,
    /// Identifier and secret in the form.
    Post,
    /// A token that we sign with `private_key`.
    PrivateKeyJwt,
}

/// Signature algorithms of upstream ID tokens (RFC 7518 §3.1, RFC 8037 §3.1). Never none, never
/// HS*.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
pub enum UpstreamAlg {
    /// RSA PKCS#1 v1.5 with SHA-256.
    RS256,
    /// With SHA-384.
    RS384,
    /// With SHA-512.
    RS512,
    /// RSA-PSS with SHA-256.
    PS256,
    /// With SHA-384.
    PS384,
    /// With SHA-512.
    PS512,
    /// ECDSA on P-256.
    ES256,
    /// ECDSA on P-384.
    ES384,
    /// Ed25519.
    EdDSA,
}

/// How an authorization response comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseMode {
    /// In the query of a GET.
    Query,
    /// In a form that the browser posts.
    FormPost,
}

/// How far `email_verified` of a provider is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EmailTrust {
    /// Not at all: the user verifies the address by email.
    None,
    /// As a hint: the user still verifies the address by email.
    Asserted,
    /// The provider runs the mailboxes of `mail_domains`: a new user with such an address needs no
    /// email.
    Authoritative,
}

/// Whether an authorization response must have `iss` (RFC 9207 §2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IssParam {
    /// If the metadata of the provider says so.
    Auto,
    Required,
    /// No. An `iss` in the response is compared nevertheless.
    Optional,
}

/// When userinfo is requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserinfoUse {
    Never,
    /// If the ID token has no `email`.
    IfMissing,
    Always,
}

pub use presets::{MANY_TENANTS, TENANT, directory_of_issuer};

#[cfg(test)]
mod tests;
