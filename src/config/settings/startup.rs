//! Sections and keys that are read once, at start.

use std::{net::SocketAddr, path::PathBuf};

use serde::Deserialize;

use crate::{secret::Text, telemetry::LogFormat};

/// The settings that need a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Startup {
    pub server: Server,
    pub database: DatabaseSection,
    pub tickets: Tickets,
    pub mail: Mail,
    pub telemetry: Telemetry,
    pub management: Management,
}

impl Startup {
    /// Returns the URL of the database, with the embedded default filled in.
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
}

/// `[server]`: the public listener, its name, and the secrets of this service.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Server {
    /// The address of the public listener; port 0 picks a free one.
    pub listen: SocketAddr,
    /// The issuer and the only source of URLs: https, or http on loopback, perhaps with a path (OB-6),
    /// without query or final slash. Empty in `entree dev` and with port 0 on loopback: then it is the bound
    /// address.
    pub public_url: String,
    /// The directory of the embedded database, the generated master key and the instance lock.
    pub data_dir: PathBuf,
    /// 32 bytes in base64url or hexadecimal. Empty: `data_dir/master.key`, created at the first
    /// start (mode 0400).
    pub master_key: Text,
    /// Older master keys that are still accepted, the oldest last.
    pub previous_master_keys: Vec<Text>,
    /// The proxies whose `X-Forwarded-For` is believed, as networks (`10.0.0.0/8`).
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// The most open connections of one IPv4 address or IPv6 /64; those of `trusted_proxies` are
    /// not counted.
    pub connections_per_network: usize,
    /// The most requests at work that look up or queue an email. 0: by the processors and the pool of
    /// connections to the database.
    pub email_slots: usize,
    /// The most requests at work that may wait for an upstream provider. 0: the default.
    pub provider_slots: usize,
    /// The most other requests at work that ask the database or the ticket store. 0: by the pool of
    /// connections to the database.
    pub quick_slots: usize,
    /// There is only one instance: allows in-process tickets with PostgreSQL.
    pub single_instance: bool,
    /// How long a stop waits for requests in progress.
    pub drain_seconds: u64,
    /// The certificate of the public listener. Without one it speaks http, for loopback or behind a
    /// proxy.
    pub tls: Tls,
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
            email_slots: 0,
            provider_slots: 0,
            quick_slots: 0,
            single_instance: false,
            drain_seconds: 10,
            tls: Tls::default(),
        }
    }
}

/// `server.tls`: both files or neither. New connections get a renewed certificate without a
/// restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// PEM: the certificate, followed by the intermediate certificates.
    pub cert_file: Option<PathBuf>,
    /// PEM: the private key of the certificate, not encrypted.
    pub key_file: Option<PathBuf>,
}

/// `[database]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct DatabaseSection {
    /// `sqlite:PATH` or `postgres://…`. Empty: `sqlite:{data_dir}/entree.db`.
    pub url: Text,
    /// The size of the connection pool.
    pub max_connections: u32,
    /// Whether the start migrates the schema, under a lock.
    pub migrate: bool,
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

/// `[tickets]`: the store of one-time tokens and rate limits.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Tickets {
    /// `memory:` or `redis://…`, `rediss://…`, `redis+unix:///path`.
    pub url: Text,
    /// The prefix of every key in Redis.
    pub prefix: String,
    /// The most bytes of all entries. Strangers' requests take at most half of it, and make space
    /// for one another.
    pub max_bytes: usize,
    /// A PEM file with the authorities that are trusted for `rediss://`, in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// A PEM file with the certificate that this service shows to Redis.
    pub client_cert_file: Option<PathBuf>,
    /// A PEM file with its private key.
    pub client_key_file: Option<PathBuf>,
}

impl Default for Tickets {
    fn default() -> Self {
        Self {
            url: Text::new("memory:".to_owned()),
            prefix: "entree:".to_owned(),
            max_bytes: 64 * 1024 * 1024,
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
        }
    }
}

/// `[mail]`: how emails are sent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Mail {
    pub transport: MailTransport,
    pub host: String,
    /// The port of the mail server. 0: 465, 587 or 25, by `tls`.
    pub port: u16,
    pub tls: SmtpTls,
    /// A PEM file with further trusted roots for the mail server.
    pub ca_file: Option<PathBuf>,
    /// The user name for the mail server. Empty: no authentication.
    pub username: String,
    pub password: Text,
    /// The sender: `Entree <login@example.com>`.
    pub from: String,
    /// How many emails are sent at the same time.
    pub concurrency: usize,
    /// How many more connections may wait for the servers of slow recipients.
    pub waiting_connections: usize,
    /// The lowest ceiling of emails a minute. Beyond the ceiling only people who are known here get
    /// their email at once.
    pub ceiling_per_minute: u32,
    /// How many times the rate of the median hour the ceiling is.
    pub ceiling_times_normal: u32,
    /// The time-out of one attempt.
    pub timeout_seconds: u64,
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
            waiting_connections: 16,
            ceiling_per_minute: 600,
            ceiling_times_normal: 20,
            timeout_seconds: 20,
        }
    }
}

/// Where emails are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTransport {
    Smtp,
    /// Memory, shown at `/dev/mailbox`. For `entree dev` only.
    Mailbox,
}

/// How SMTP connections are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpTls {
    /// TLS from the first byte (port 465).
    Implicit,
    /// STARTTLS, required (port 587).
    Starttls,
    /// No encryption, for loopback and closed networks. A warning at start says so for any other
    /// host.
    None,
}

/// `[telemetry]`: logs, traces and metrics. The log level is in
/// [`ReloadableTelemetry`](super::ReloadableTelemetry).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Telemetry {
    pub format: LogFormat,
    /// The collector to which traces and metrics are pushed by OTLP over HTTP, for instance
    /// `http://127.0.0.1:4318`. Empty: they are not pushed.
    pub otlp_endpoint: String,
    /// How many of a thousand traces that begin here are kept.
    pub traces_per_mille: u32,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            format: LogFormat::Json,
            otlp_endpoint: String::new(),
            traces_per_mille: 1000,
        }
    }
}

/// `[management]`: the listener for operators.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Management {
    pub listen: SocketAddr,
}

impl Default for Management {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9090)),
        }
    }
}
