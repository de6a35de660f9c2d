//! Sections and keys that change without a restart.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;

use crate::config::{
    client::Client,
    device::Device,
    profile::AssertionAudience,
    providers::Provider,
    resources::{AccessTokenTyp, Resources},
    stored_clients::StoredClients,
};

/// The settings that a changed file puts into force at once. Rules read them here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloadable {
    pub server: ReloadableServer,
    pub telemetry: ReloadableTelemetry,
    pub magic_link: MagicLink,
    pub session: Session,
    pub token: Token,
    pub limits: Limits,
    pub api: Api,
    pub device: Device,
    /// The clients of the file.
    pub clients: Vec<Client>,
    /// The APIs that have scopes, words or tokens of their own.
    pub resources: Resources,
    /// The enabled clients of the database; `client::find` looks into both.
    pub stored: StoredClients,
    /// The upstream providers with which users may sign in.
    pub providers: Vec<Provider>,
}

impl Reloadable {
    /// Returns the provider with this id, unless it is disabled.
    #[must_use]
    pub fn find_provider(&self, id: &str) -> Option<&Provider> {
        self.providers
            .iter()
            .find(|provider| provider.enabled && provider.id == id)
    }

    /// Returns the name that users see for the provider with this id, even if it is disabled.
    #[must_use]
    pub fn provider_name(&self, id: &str) -> Option<&str> {
        self.providers
            .iter()
            .find(|provider| provider.id == id)
            .map(Provider::shown_name)
    }

    /// The `typ` of access tokens for this audience.
    #[must_use]
    pub fn access_token_typ(&self, audience: &str) -> AccessTokenTyp {
        self.resources
            .find(audience)
            .map(|resource| resource.access_token_typ)
            .unwrap_or_default()
    }

    /// The lifetime of the link and the code of an email.
    #[must_use]
    pub const fn link_lifetime(&self) -> Duration {
        Duration::from_secs(self.magic_link.lifetime_seconds)
    }

    /// The lifetime of a sign-in flow: 20 minutes more than its link, and at least 30 minutes.
    #[must_use]
    pub fn flow_lifetime(&self) -> Duration {
        Duration::from_secs(1800.max(self.magic_link.lifetime_seconds + 1200))
    }
}

/// The reloadable keys of `[server]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ReloadableServer {
    /// A directory of `LANG/*.ftl` files whose messages replace ours.
    pub texts_dir: Option<PathBuf>,
    /// The URL of the documentation for client developers, for the metadata. Empty: none.
    pub service_documentation: String,
    /// The URL of the policy on how clients may use the data of users, for the metadata. Empty:
    /// none.
    pub op_policy_uri: String,
}

/// The reloadable key of `[telemetry]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ReloadableTelemetry {
    /// A filter such as `info` or `entree=debug,sqlx=warn`.
    pub level: String,
}

impl Default for ReloadableTelemetry {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
        }
    }
}

/// `[magic_link]`: sign-in by email.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct MagicLink {
    /// The lifetime of link and code, counted from when the mail server accepted the email.
    pub lifetime_seconds: u64,
    /// The number of digits of the code, 6 to 10.
    pub code_digits: u32,
    pub sign_up: SignUp,
    /// With `closed` sign-up: tell an unknown address, at most once in 24 h, that it has no account
    /// here.
    pub inform_unknown: bool,
    /// Whether non-ASCII local parts are allowed (RFC 6531).
    pub allow_eai: bool,
}

impl Default for MagicLink {
    fn default() -> Self {
        Self {
            lifetime_seconds: 600,
            code_digits: 8,
            sign_up: SignUp::Open,
            inform_unknown: false,
            allow_eai: false,
        }
    }
}

/// Who may become a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignUp {
    /// A new address becomes a user when it is verified for the first time.
    Open,
    /// Only known addresses may sign in.
    Closed,
}

/// `[session]`: signed-in browsers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Session {
    /// A session that is not used for this long ends.
    pub idle_seconds: u64,
    /// The same for a browser that the user asked us to remember.
    pub remembered_idle_seconds: u64,
    /// A session ends after this long, used or not.
    pub absolute_seconds: u64,
    /// The most live sessions of one user; the oldest ends first.
    pub max_per_user: u32,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            idle_seconds: 86_400,
            remembered_idle_seconds: 7 * 86_400,
            absolute_seconds: 30 * 86_400,
            max_per_user: 50,
        }
    }
}

/// `[token]`: lifetimes of tokens (ST-15), and what their proofs need.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Token {
    pub access_seconds: u64,
    pub id_seconds: u64,
    /// The lifetime of an authorization code.
    pub code_seconds: u64,
    /// A refresh token that is not used for this long expires.
    pub refresh_idle_seconds: u64,
    /// Refresh tokens expire this long after the sign-in, used or not.
    pub refresh_absolute_seconds: u64,
    pub dpop_nonce: DpopNonce,
    /// The audience of the assertions of clients that set none themselves.
    pub assertion_audience: AssertionAudience,
}

impl Default for Token {
    fn default() -> Self {
        Self {
            access_seconds: 600,
            id_seconds: 600,
            code_seconds: 60,
            refresh_idle_seconds: 30 * 86_400,
            refresh_absolute_seconds: 180 * 86_400,
            dpop_nonce: DpopNonce::Needed,
            assertion_audience: AssertionAudience::Any,
        }
    }
}

/// When a DPoP proof needs a nonce of ours (RFC 9449 §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DpopNonce {
    /// Where the clock of the client is wrong, and after a loss of the ticket store.
    Needed,
    Always,
}

/// A rate limit: at most `count` events in `seconds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    pub count: u32,
    pub seconds: u64,
}

impl Budget {
    /// Returns the budget that allows this many times as much.
    #[must_use]
    pub const fn times(self, factor: u32) -> Self {
        Self {
            count: self.count.saturating_mul(factor),
            seconds: self.seconds,
        }
    }
}

/// `[limits]`: every budget of a list holds. That of a network holds for the prefixes around it as
/// well, twice for an IPv6 /56, eight times for an IPv6 /48 or an IPv4 /24.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Emails to one address that one network requests: an IPv4 address or IPv6 /64.
    pub network_address: Vec<Budget>,
    /// Emails to one address: as many as many networks together request.
    pub address: Vec<Budget>,
    /// Emails to an address beyond `address`, for networks that had none for it within a day.
    pub address_reserve: Vec<Budget>,
    /// Emails to all addresses of one domain that is no large provider's. Beyond it a network still
    /// gets one for the domain if it had none within a day.
    pub domain: Vec<Budget>,
    /// Emails requested from one IPv4 address or IPv6 /64.
    pub network: Vec<Budget>,
    /// From one IPv4 address or IPv6 /64, each counted by itself: client requests that wait for a
    /// sign-in or consent, sign-ins begun at a provider, forms of other sites that wait for our
    /// cookies, and refusals of signed-in users that the audit log records (`crate::limit`).
    pub authorize: Vec<Budget>,
    /// Requests that one client with a secret or a key pushes. Those of public clients count by
    /// network, as `authorize`.
    pub pushed: Vec<Budget>,
    /// Sign-ins that devices start from one IPv4 address or IPv6 /64 (RFC 8628).
    pub device: Vec<Budget>,
    /// Sign-ins that devices start for one client with a secret or a key.
    pub device_client: Vec<Budget>,
    /// Codes of devices that one session tries; its network has four times as many.
    pub device_codes: Vec<Budget>,
    /// Emails that one browser or app requests for addresses that it signed in with before, all
    /// together. While this and three times `network` for all such devices of its network last, none of
    /// the budgets above counts.
    pub known_device: Vec<Budget>,
    /// Seconds until the first, second, third… resend within a flow; the last one repeats.
    pub resend_seconds: Vec<u64>,
    /// Emails within a flow.
    pub sends_per_flow: u32,
    /// Tries of a code within a flow; each counts before the code is compared.
    pub tries_per_flow: u32,
    /// Wrong codes of one address over all flows whose email was sent.
    pub wrong_codes: Vec<Budget>,
    /// The same from one IPv4 address or IPv6 /64.
    pub wrong_codes_network_address: Vec<Budget>,
    /// The same from a browser or app that signed in with the address before. While this lasts, the
    /// two above do not count.
    pub wrong_codes_known_device: Vec<Budget>,
    /// Failed client authentications from one IPv4 address or IPv6 /64.
    pub client_failures: Vec<Budget>,
    /// Authorization codes of one session.
    pub session_codes: Vec<Budget>,
}

impl Default for Limits {
    fn default() -> Self {
        let budgets = |list: &[(u32, u64)]| {
            list.iter()
                .map(|&(count, seconds)| Budget { count, seconds })
                .collect()
        };
        Self {
            network_address: budgets(&[(2, 900), (5, 86_400)]),
            address: budgets(&[(24, 900), (60, 86_400)]),
            address_reserve: budgets(&[(1, 900), (12, 86_400)]),
            domain: budgets(&[(300, 3600), (1000, 86_400)]),
            network: budgets(&[(20, 600), (50, 3600)]),
            authorize: budgets(&[(600, 600)]),
            pushed: budgets(&[(3000, 60)]),
            device: budgets(&[(30, 600)]),
            device_client: budgets(&[(1000, 600)]),
            device_codes: budgets(&[(5, 600)]),
            known_device: budgets(&[(10, 900), (50, 86_400)]),
            resend_seconds: vec![30, 60, 120],
            sends_per_flow: 5,
            tries_per_flow: 5,
            wrong_codes: budgets(&[(120, 3600), (240, 86_400)]),
            wrong_codes_network_address: budgets(&[(10, 3600), (20, 86_400)]),
            wrong_codes_known_device: budgets(&[(10, 3600), (30, 86_400)]),
            client_failures: budgets(&[(30, 60)]),
            session_codes: budgets(&[(60, 60)]),
        }
    }
}

/// `[api]`: switches of the API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Api {
    /// `/api/v2` answers 404 unless this is true.
    pub v2_enabled: bool,
}
