//! The shape of `entree.toml`: its sections, their keys, and the default of each key.

use std::{net::SocketAddr, path::PathBuf};

use serde::Deserialize;

use super::{client::Client, providers::Provider, stored::Stored};
use crate::{secret::Text, telemetry::LogFormat};

/// Everything. Each section may be left out; the defaults are the embedded default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The public listener and what it is called.
    pub server: Server,
    /// Where rows live.
    pub database: DatabaseSection,
    /// Where short-lived secrets and shared limits live.
    pub tickets: Tickets,
    /// How mail leaves.
    pub mail: Mail,
    /// Sign-in by mail.
    pub magic_link: MagicLink,
    /// Signed-in browsers.
    pub session: Session,
    /// Tokens we issue.
    pub token: Token,
    /// Applications that may ask for sign-ins. Changes without a restart.
    pub clients: Vec<Client>,
    /// Further ones, of the database; `client::find` looks into both.
    #[serde(skip)]
    pub stored: Stored,
    /// Upstream providers that people may sign in with. Change without a restart.
    pub providers: Vec<Provider>,
    /// Budgets. Changes without a restart.
    pub limits: Limits,
    /// Feature switches of the API. Changes without a restart.
    pub api: Api,
    /// Logs, traces and metrics.
    pub telemetry: Telemetry,
    /// The listener for ops.
    pub management: Management,
}

/// `[server]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Where the public listener binds; port 0 picks a free one.
    pub listen: SocketAddr,
    /// The issuer and the only source of URLs: https, or http on loopback, without path, query or final slash. Empty in
    /// `entree dev`, and with port 0 on loopback, it is the bound address.
    pub public_url: String,
    /// Directory of the embedded database, the generated master key and the instance lock.
    pub data_dir: PathBuf,
    /// 32 bytes in base64url or hex. Empty: `data_dir/master.key`, made at first start (mode 0400).
    pub master_key: Text,
    /// Older master keys, still accepted; the oldest last.
    pub previous_master_keys: Vec<Text>,
    /// Proxies whose `X-Forwarded-For` is believed, as networks (`10.0.0.0/8`).
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// Most connections of one IPv4 address or IPv6 /64 at once, but for those of `trusted_proxies`.
    pub connections_per_network: usize,
    /// One copy only: allows in-process tickets with PostgreSQL.
    pub single_instance: bool,
    /// A directory of `LANG/*.ftl` files whose messages replace ours. Changes without a restart.
    pub texts_dir: Option<PathBuf>,
    /// Documentation for developers of clients, for the metadata. Empty: none. Changes without a restart.
    pub service_documentation: String,
    /// Our policy on what clients may do with people's data, for the metadata. Empty: none. Changes without a restart.
    pub op_policy_uri: String,
    /// How long a stop waits for requests under way, in seconds.
    pub drain_seconds: u64,
    /// The certificate of the public listener. None: it speaks http, for loopback or behind a proxy.
    pub tls: Tls,
}

/// `server.tls`: both files or neither. When they change, new connections get what they hold then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// PEM: the certificate, then those between it and its authority.
    pub cert_file: Option<PathBuf>,
    /// PEM: its private key, not encrypted.
    pub key_file: Option<PathBuf>,
}

/// `[database]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseSection {
    /// `sqlite:PATH` or `postgres://…`. Empty: `sqlite:{data_dir}/entree.db`.
    pub url: Text,
    /// Size of the pool.
    pub max_connections: u32,
    /// Migrate at start, under a lock.
    pub migrate: bool,
}

/// `[tickets]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tickets {
    /// `memory:` or `redis://…`, `rediss://…`, `redis+unix:///path`.
    pub url: Text,
    /// What every key begins with.
    pub prefix: String,
    /// Most live entries of the in-process store, a large one counting once a kibibyte; it refuses rather than evicts.
    pub memory_entries: usize,
}

/// How SMTP is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpTls {
    /// TLS from the first byte (port 465).
    Implicit,
    /// STARTTLS, demanded (port 587).
    Starttls,
    /// In clear: loopback and closed networks only; warned about at start.
    None,
}

/// `[mail]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mail {
    /// `smtp` or `mailbox` (kept in memory and shown at `/dev/mailbox`; `entree dev` only).
    pub transport: MailTransport,
    /// Host of the mail server.
    pub host: String,
    /// Its port; 0: 465 or 587 or 25, by `tls`.
    pub port: u16,
    /// How the connection is protected.
    pub tls: SmtpTls,
    /// A PEM file with further roots to trust for the mail server.
    pub ca_file: Option<PathBuf>,
    /// User name; empty: none.
    pub username: String,
    /// Its password.
    pub password: Text,
    /// The sender: `Entree <login@example.com>`.
    pub from: String,
    /// Letters sent at the same time.
    pub concurrency: usize,
    /// How long one try may take, in seconds.
    pub timeout_seconds: u64,
}

/// Which way mail leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTransport {
    /// By SMTP.
    Smtp,
    /// Into the mailbox page of `entree dev`.
    Mailbox,
}

/// `[magic_link]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MagicLink {
    /// How long link and code live after the mail server took the mail, in seconds.
    pub lifetime_seconds: u64,
    /// Digits of the code, 6 to 10.
    pub code_digits: u32,
    /// `open`: a new address makes a new user at its first proof. `closed`: only known addresses.
    pub sign_up: SignUp,
    /// With `closed`: tell an unknown address, at most once in 24 h, that it has no account here.
    pub inform_unknown: bool,
    /// Allow non-ASCII local parts (RFC 6531).
    pub allow_eai: bool,
}

/// Who may become a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignUp {
    /// Whoever proves an address.
    Open,
    /// Nobody new.
    Closed,
}

/// `[session]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Session {
    /// Ends after so long without use, in seconds.
    pub idle_seconds: u64,
    /// The same for a browser that the person asked us to remember.
    pub remembered_idle_seconds: u64,
    /// Ends after so long in any case.
    pub absolute_seconds: u64,
    /// Most live sessions of one user; the oldest ends first.
    pub max_per_user: u32,
}

/// `[token]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Token {
    /// Life of an access token in seconds, 60 to 3600.
    pub access_seconds: u64,
    /// Life of an ID token in seconds.
    pub id_seconds: u64,
    /// Life of an authorization code in seconds, at most 60.
    pub code_seconds: u64,
    /// A refresh token that is not used for so long ends, in seconds.
    pub refresh_idle_seconds: u64,
    /// Refresh tokens end so long after the sign-in in any case, in seconds.
    pub refresh_absolute_seconds: u64,
}

/// A budget: at most so many in so many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// At most so many…
    pub count: u32,
    /// …in so many seconds.
    pub seconds: u64,
}

/// `[limits]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Mails to one address.
    pub address: Vec<Budget>,
    /// Mails asked for from one IPv4 address or IPv6 /64.
    pub network: Vec<Budget>,
    /// The same for an IPv6 /48.
    pub network_wide: Vec<Budget>,
    /// Client requests that wait for a sign-in or consent, from one IPv4 address or IPv6 /64.
    pub authorize: Vec<Budget>,
    /// Mails to an address from a browser that signed in with it before.
    pub known_device: Vec<Budget>,
    /// Seconds until the first, second, third… resend within a flow; the last one repeats.
    pub resend_seconds: Vec<u64>,
    /// Mails within a flow.
    pub sends_per_flow: u32,
    /// Wrong codes within a flow.
    pub tries_per_flow: u32,
    /// Wrong codes of one address over all flows.
    pub wrong_codes: Vec<Budget>,
    /// Clients that fail to authenticate, from one IPv4 address or IPv6 /64.
    pub client_failures: Vec<Budget>,
}

/// `[api]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Api {
    /// `/api/v2` answers 404 until this is true.
    pub v2_enabled: bool,
}

/// `[telemetry]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// `json` or `pretty`.
    pub format: LogFormat,
    /// A filter such as `info` or `entree=debug,sqlx=warn`. Changes without a restart.
    pub level: String,
    /// Where traces and metrics are pushed to by OTLP over HTTP, for instance `http://127.0.0.1:4318`. Empty: nowhere.
    pub otlp_endpoint: String,
    /// Of a thousand traces that begin here, so many are kept.
    pub traces_per_mille: u32,
}

/// `[management]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Management {
    /// Where the listener for ops binds.
    pub listen: SocketAddr,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            public_url: String::new(),
            data_dir: PathBuf::from("data"),
            master_key: Text::default(),
            previous_master_keys: Vec::new(),
            trusted_proxies: Vec::new(),
            connections_per_network: 512,
            single_instance: false,
            texts_dir: None,
            service_documentation: String::new(),
            op_policy_uri: String::new(),
            drain_seconds: 10,
            tls: Tls::default(),
        }
    }
}

impl Default for DatabaseSection {
    fn default() -> Self {
        Self {
            url: Text::default(),
            max_connections: 16,
            migrate: true,
        }
    }
}

impl Default for Tickets {
    fn default() -> Self {
        Self {
            url: Text::new("memory:".to_owned()),
            prefix: "entree:".to_owned(),
            memory_entries: 200_000,
        }
    }
}

impl Default for Mail {
    fn default() -> Self {
        Self {
            transport: MailTransport::Smtp,
            host: "127.0.0.1".to_owned(),
            port: 0,
            tls: SmtpTls::Starttls,
            ca_file: None,
            username: String::new(),
            password: Text::default(),
            from: String::new(),
            concurrency: 8,
            timeout_seconds: 20,
        }
    }
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

impl Default for Limits {
    fn default() -> Self {
        let budgets = |list: &[(u32, u64)]| {
            list.iter()
                .map(|&(count, seconds)| Budget { count, seconds })
                .collect()
        };
        Self {
            address: budgets(&[(5, 900), (10, 3600), (20, 86_400)]),
            network: budgets(&[(20, 600), (50, 3600)]),
            network_wide: budgets(&[(200, 3600)]),
            authorize: budgets(&[(600, 600)]),
            known_device: budgets(&[(3, 900), (10, 86_400)]),
            resend_seconds: vec![30, 60, 120],
            sends_per_flow: 5,
            tries_per_flow: 5,
            wrong_codes: budgets(&[(10, 3600), (30, 86_400)]),
            client_failures: budgets(&[(30, 60)]),
        }
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        let level = "info".to_owned();
        Self {
            format: LogFormat::Json,
            level,
            otlp_endpoint: String::new(),
            traces_per_mille: 1000,
        }
    }
}

impl Default for Management {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9090)),
        }
    }
}

impl Config {
    /// The URL of the database, with the embedded default filled in.
    #[must_use]
    pub fn database_url(&self) -> String {
        if self.database.url.is_empty() {
            return format!(
                "sqlite:{}",
                self.server.data_dir.join("entree.db").display()
            );
        }
        self.database.url.expose().to_owned()
    }

    /// Returns the provider with this id, if it is enabled.
    #[must_use]
    pub fn find_provider(&self, id: &str) -> Option<&Provider> {
        self.providers
            .iter()
            .find(|provider| provider.enabled && provider.id == id)
    }

    /// Returns the display name of the provider with this id, enabled or not.
    #[must_use]
    pub fn provider_name(&self, id: &str) -> Option<&str> {
        self.providers
            .iter()
            .find(|provider| provider.id == id)
            .map(Provider::shown_name)
    }
}
