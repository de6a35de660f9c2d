//! Entree on one back end, ready to be measured: its servers, its mail sink, two clients and users who are signed in.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use super::{
    connection::{Connection, Target},
    email_sign_in::{EmailSignIn, People},
    process::Watched,
    provider::{Credentials, Endpoints, Provider, REDIRECT, Session},
};
use crate::{
    Missing,
    browser::Browser,
    entree::{Backend, Options, Servers, Service},
    mail::Mailbox as _,
    services::{Postgres, Redis},
    smtp::Sink,
};

/// The secret of both clients.
pub const SECRET: &str = "5f2b1d0c9e8a7b6c5d4e3f2a1b0c9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a3b2c";

/// A client with which users sign in, and one that acts for itself and introspects tokens.
const CLIENTS: &str = r#"
[[clients]]
client_id = "web"
name = "Web"
audience = "https://api.example.test"
redirect_uris = ["REDIRECT"]
first_party = true
token_endpoint_auth_method = "client_secret_basic"
client_secret = "SECRET"
refresh_tokens = "always"
id_token_signed_response_alg = "ES256"
scopes = ["openid", "profile", "email", "offline_access"]
[[clients]]
client_id = "software"
name = "Software"
audience = "https://api.example.test"
token_endpoint_auth_method = "client_secret_basic"
client_secret = "SECRET"
grant_types = ["client_credentials"]
introspects = ["https://api.example.test"]
scopes = ["lessons:read"]
"#;

/// The service. What is dropped first must stand first.
#[derive(Debug)]
pub struct Subject {
    pub service: Service,
    pub provider: Arc<Provider>,
    pub sink: Arc<Sink>,
    pub backend: Backend,
    servers: Option<(Postgres, Redis)>,
}

/// The back end in words.
#[must_use]
pub const fn words(backend: Backend) -> &'static str {
    match backend {
        Backend::Embedded => "SQLite",
        Backend::Servers | Backend::Two => "PostgreSQL + Redis",
    }
}

/// The configuration of a service that is measured.
#[must_use]
pub fn options(backend: Backend, smtp: SocketAddr) -> Options {
    let clients = CLIENTS
        .replace("SECRET", SECRET)
        .replace("REDIRECT", REDIRECT);
    Options::new(backend, smtp)
        .set("telemetry.level", "\"warn\"")
        .without_limits()
        .tail(&clients)
}

impl Subject {
    /// Starts the binary with an empty database. PostgreSQL waits for the disk at each commit, as SQLite does.
    ///
    /// # Errors
    /// A server that the back end needs is missing.
    ///
    /// # Panics
    /// The binary ends, or its metadata cannot be read.
    pub async fn start(binary: &Path, backend: Backend) -> Result<Self, Missing> {
        Self::start_with(binary, backend, &[]).await
    }

    /// As [`Self::start`], with further keys of the configuration and their values in TOML.
    ///
    /// # Errors
    /// A server that the back end needs is missing.
    ///
    /// # Panics
    /// The binary ends, or its metadata cannot be read.
    pub async fn start_with(
        binary: &Path,
        backend: Backend,
        settings: &[(&str, String)],
    ) -> Result<Self, Missing> {
        let sink = Arc::new(Sink::start().await);
        let servers = match backend {
            Backend::Embedded => None,
            _ => Some((Postgres::start_synced().await?, Redis::start().await?)),
        };
        let given = Servers {
            postgres: servers.as_ref().map(|(postgres, _)| postgres),
            redis: servers.as_ref().map(|(_, redis)| redis),
            wire: None,
        };
        let options = settings
            .iter()
            .fold(options(backend, sink.address()), |options, (key, value)| {
                options.set(key, value)
            });
        let service = Service::start_on(binary, options, given).await?;
        let provider = provider_of(&service, backend, servers.as_ref()).await;
        Ok(Self {
            service,
            provider: Arc::new(provider),
            sink,
            backend,
            servers,
        })
    }

    /// The process of the service.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.service.copies[0].id()
    }

    /// The KiB of live one-time tokens in its process, as its ticket store counts them: none with Redis.
    ///
    /// # Panics
    /// `/readyz` has no such figure.
    pub async fn tickets_kib(&self) -> u64 {
        if self.servers.is_some() {
            return 0;
        }
        let at = format!("{}/readyz", self.service.copies[0].management);
        let response = crate::browser::client().get(at).send().await;
        let text = response.expect("/readyz").text().await.expect("a body");
        let report: serde_json::Value = serde_json::from_str(&text).expect("a report");
        let used = report["ticket_bytes"]["used"].as_u64();
        used.expect("the bytes of the ticket store") / 1024
    }

    /// The URL of its database, for rows that are generated.
    ///
    /// # Panics
    /// The service has no configuration file.
    #[must_use]
    pub fn database_url(&self) -> String {
        let data = self.service.data().remove(0);
        if self.servers.is_none() {
            return format!("sqlite://{}/entree.db?mode=rw", data.display());
        }
        let file = data.with_file_name("entree.toml");
        let text = std::fs::read_to_string(file).expect("a configuration file");
        let url = text
            .lines()
            .find_map(|line| line.strip_prefix("url = \"postgres"));
        let url = url.expect("database.url").trim_end_matches('"');
        format!("postgres{url}")
    }

    /// A caller that signs in by email.
    #[must_use]
    pub fn email_sign_in(&self, people: People) -> EmailSignIn {
        let connection = Connection::new(self.provider.target.address);
        let (provider, sink) = (Arc::clone(&self.provider), Arc::clone(&self.sink));
        EmailSignIn::new(provider, connection, sink, people)
    }

    /// Browsers that are signed in, a user each.
    pub async fn sessions(&self, count: usize) -> Vec<Session> {
        let mut sessions = Vec::new();
        for number in 0..count {
            sessions.push(self.sign_in(number).await);
        }
        sessions
    }

    async fn sign_in(&self, number: usize) -> Session {
        let from = Ipv4Addr::from(0x0b00_0000 + u32::try_from(number).expect("few"));
        let (mut browser, address) = (Browser::new(from), format!("session-{number}@example.test"));
        let page = browser.open(&self.service.at("/login")).await;
        browser
            .submit(&page, "sign-in", &[("email", &address)])
            .await;
        let patience = Duration::from_secs(60);
        let mail = self.sink.wait(&address, 1, patience).await;
        let link = mail.expect("an email").remove(0).link();
        let page = browser.open(&link).await;
        let page = browser.submit(&page, "link", &[]).await;
        browser.settle(page).await;
        self.provider.session(&browser)
    }
}

async fn provider_of(
    service: &Service,
    backend: Backend,
    servers: Option<&(Postgres, Redis)>,
) -> Provider {
    let copy = &service.copies[0];
    let (_, address) = copy.public.split_once("://").expect("a URL");
    let (_, host) = service.url.split_once("://").expect("a URL");
    let target = Target {
        address: address.parse().expect("ADDRESS:PORT"),
        host: host.to_owned(),
    };
    let endpoints = Endpoints::read(&target, &service.url).await;
    let mut watched = vec![Watched {
        name: "server",
        root: copy.id(),
    }];
    if let Some((postgres, redis)) = servers {
        let all = [("database", postgres.id()), ("tickets", redis.id())];
        watched.extend(all.map(|(name, root)| Watched { name, root }));
    }
    let credentials = |id: &str| Credentials {
        id: id.to_owned(),
        secret: SECRET.to_owned(),
    };
    Provider {
        name: format!("Entree, {}", words(backend)),
        issuer: service.url.clone(),
        target,
        endpoints: endpoints.unwrap_or_else(|why| panic!("{why}")),
        client: credentials("web"),
        software: credentials("software"),
        scope: "openid email".to_owned(),
        resource: None,
        watched,
    }
}
