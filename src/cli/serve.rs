//! `entree serve` and `entree dev`: from configuration to listeners, and back down in the opposite order.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use poem::{Endpoint, EndpointExt as _};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{
    Outcome, block_on,
    instance::{self, InstanceLock},
    load, out,
};
use crate::{
    app::{App, Macs},
    client::registry,
    clock::Clock,
    config::{self, Change, Live, Loaded, Reloadable, Source, Startup},
    db::{Db, Tx},
    error::InfraError,
    federation::provider::Providers,
    health::{self, Draining},
    jobs::Jobs,
    key::{self, ClientKeys, Keys},
    mail::transport::Transport,
    routes,
    secret::MasterKeys,
    telemetry::{self, Logs},
    ticket::{Policy, Tickets},
    web::{
        layers::Layers,
        locale::Texts,
        server::{self, ServerOptions},
        tls::{self, Certificate},
    },
};

/// How often a database that is away at start is asked again, a second apart: a whole machine may be starting.
const DATABASE_TRIES: u32 = 30;

/// The key of the PostgreSQL advisory lock of the one copy that keeps tickets in its process.
const INSTANCE_LOCK: i64 = 0x656e_7472_6566;

/// Runs until SIGTERM or SIGINT.
pub(super) fn run(source: Source) -> Outcome {
    let loaded = load(&source)?;
    let config = &loaded.config.startup;
    key::install();
    // The only TLS stack; a second call, in tests, changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let logs = telemetry::init(
        config.telemetry.format,
        &loaded.config.reloadable.telemetry.level,
    )?;
    if !config.telemetry.otlp_endpoint.is_empty() {
        telemetry::trace::start(
            &config.telemetry.otlp_endpoint,
            config.telemetry.traces_per_mille,
        )
        .map_err(|error| format!("telemetry.otlp_endpoint cannot be used: {error}"))?;
    }
    let _lock = InstanceLock::for_config(config)?;
    let masters = instance::master_keys(config)?;
    let done = block_on(async {
        Service::start(source, loaded, logs, &masters)
            .await?
            .until_stopped()
            .await
    });
    // The exporters block: only now that the runtime is gone.
    telemetry::trace::stop();
    done
}

/// A running service.
struct Service {
    app: App,
    draining: Draining,
    public: Listening,
    management: Listening,
    jobs: Jobs,
    _watch: config::watch::ConfigWatch,
    _renewal: Option<tls::CertificateWatcher>,
    _single: Option<Tx>,
}

/// A listener that serves, and what stops it.
struct Listening {
    /// `https://127.0.0.1:8443`.
    url: String,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Service {
    async fn start(
        source: Source,
        loaded: Loaded,
        logs: Logs,
        masters: &MasterKeys,
    ) -> Result<Self, super::Refusal> {
        let dev = source.mode.is_dev();
        tell(&loaded);
        let live = Live::new(loaded.config);
        let config = live.startup();
        // Bound before anything slow: a port in use is told at once, and early callers wait instead of failing.
        let (public, public_address) = bind(config.server.listen, "server.listen").await?;
        let (management, _) = bind(config.management.listen, "management.listen").await?;
        let certificate =
            Certificate::open(&config.server.tls).map_err(|problem| problem.to_string())?;
        let tls = certificate.as_ref().map(tls::acceptor).transpose()?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let public_url: Arc<str> = match config.server.public_url.as_str() {
            "" => format!("{scheme}://{public_address}").into(),
            url => url.into(),
        };

        let clock = Clock::default();
        let (db, keys) = database(config, masters, clock.clone()).await?;
        let _single = only_one(config, &db).await?;
        let tickets = tickets(config, masters, clock.clone()).await?;
        let texts = Texts::load(live.get().server.texts_dir.as_deref())?;
        let transport = Transport::new(&config.mail, clock)?;
        let mailbox = transport.mailbox().cloned();
        let (macs, outbox) = (Macs::new(masters), Arc::default());
        let client_keys = ClientKeys::default();
        let app = App {
            config: live.clone(),
            public_url,
            db,
            tickets,
            keys,
            client_keys,
            texts,
            macs,
            outbox,
        };
        registry::refresh(&app).await?;

        let on_change = on_change(logs, app.texts.clone(), certificate.clone());
        let _renewal = certificate.map(tls::watch);
        let watch = config::watch::watch(live.clone(), source, on_change);
        let providers = Providers::new(&app);
        let jobs = Jobs::start(&app, transport, &providers);
        let draining = Draining::default();
        let options = ServerOptions {
            drain_timeout: Duration::from_secs(config.server.drain_seconds),
            connections_per_network: config.server.connections_per_network,
            trusted_proxies: config.server.trusted_proxies.clone().into(),
            ..ServerOptions::default()
        };
        let public = listen(
            public,
            tls,
            routes::public(&app, mailbox, &providers),
            options,
        )?;
        let layers = Layers {
            loopback_only: config.management.listen.ip().is_loopback(),
            ..Layers::new(None)
        };
        let ops = health::management(app.clone(), draining.clone()).with(layers);
        let options = ServerOptions {
            drain_timeout: Duration::from_secs(1),
            ..ServerOptions::default()
        };
        let management = listen(management, None, ops, options)?;
        let service = Self {
            app,
            draining,
            public,
            management,
            jobs,
            _watch: watch,
            _renewal,
            _single,
        };
        service.announce(dev);
        Ok(service)
    }

    /// One line a listener, now that it serves.
    fn announce(&self, dev: bool) {
        for (listener, Listening { address, url, .. }) in
            [("public", &self.public), ("management", &self.management)]
        {
            tracing::info!(listener, %address, "listening");
            out::answer(&format!("{listener} listener: {url}"));
        }
        if dev {
            let url = &self.app.public_url;
            out::say(&format!(
                "entree dev: this machine only; sign in at {url}/login, read the mail at {url}/dev/mailbox"
            ));
        }
    }

    /// Serves until a signal, then stops in the opposite order of the start: no new traffic, requests under way, jobs
    /// with their leases, the machine room's listener, the database.
    async fn until_stopped(mut self) -> Outcome {
        let broken = tokio::select! {
            signal = stop_signal() => {
                tracing::info!(signal, "stopping");
                None
            }
            ended = &mut self.public.task => Some(format!("the public listener ended: {ended:?}")),
            ended = &mut self.management.task => Some(format!("the management listener ended: {ended:?}")),
        };
        tokio::spawn(async {
            stop_signal().await;
            // Whoever asks twice wants it now; leases run out by themselves.
            std::process::exit(1);
        });
        self.draining.begin();
        self.public.end().await;
        let patience = Duration::from_secs(self.app.config.startup().server.drain_seconds + 1);
        if timeout(patience, self.jobs.stop()).await.is_err() {
            tracing::warn!(
                "a job did not end in time; what it leased is free again when the lease runs out"
            );
        }
        self.management.end().await;
        drop(self._single);
        self.app.db.close().await;
        tracing::info!("stopped");
        broken.map_or(Ok(()), |words| Err(words.into()))
    }
}

impl Listening {
    async fn end(&mut self) {
        self.stop.send_replace(true);
        if !self.task.is_finished() {
            let _ = (&mut self.task).await;
        }
    }
}

fn tell(loaded: &Loaded) {
    for warning in &loaded.warnings {
        tracing::warn!(key = warning.key, "{warning}");
    }
    for note in &loaded.notes {
        tracing::info!("{note}");
    }
}

async fn bind(address: SocketAddr, key: &str) -> Result<(TcpListener, SocketAddr), String> {
    let words = |error: std::io::Error| {
        format!("{address} cannot be listened on ({error}): change {key}, or stop what uses it")
    };
    let listener = TcpListener::bind(address).await.map_err(words)?;
    let bound = listener.local_addr().map_err(words)?;
    Ok((listener, bound))
}

fn listen(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    endpoint: impl Endpoint + 'static,
    options: ServerOptions,
) -> Result<Listening, String> {
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let url = format!(
        "{}://{address}",
        if tls.is_some() { "https" } else { "http" }
    );
    let (stop, mut stopped) = watch::channel(false);
    let until = async move {
        // The sender lives as long as the service.
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    let task = tokio::spawn(server::serve(listener, tls, endpoint, options, until));
    Ok(Listening {
        url,
        address,
        stop,
        task,
    })
}

/// The database with its schema, and the keys in it. One that is away gets half a minute to come.
async fn database(
    config: &Startup,
    masters: &MasterKeys,
    clock: Clock,
) -> Result<(Db, Keys), String> {
    let mut tries = 1;
    loop {
        match open(config, masters, clock.clone()).await {
            Ok(opened) => return Ok(opened),
            Err(failure) if failure.is_transient() && tries < DATABASE_TRIES => {
                tracing::warn!(tries, "the database is not there yet: {failure}");
                sleep(Duration::from_secs(1)).await;
                tries += 1;
            }
            Err(failure) => return Err(format!("the database cannot be used: {failure}")),
        }
    }
}

async fn open(
    config: &Startup,
    masters: &MasterKeys,
    clock: Clock,
) -> Result<(Db, Keys), InfraError> {
    let db = Db::connect(
        &config.database_url(),
        config.database.max_connections,
        clock,
    )
    .await?;
    if config.database.migrate {
        db.migrate().await?;
    } else if !db.pending_migrations().await?.is_empty() {
        return Err(InfraError::internal(
            "its schema is not up to date: run `entree migrate`, or set database.migrate",
        ));
    }
    let keys = Keys::open(&db, masters).await?;
    Ok((db, keys))
}

/// With tickets in this process and rows in PostgreSQL there may be one copy only: a lock says so, for as long as the
/// transaction that holds it stays open. SQLite's directory has a lock of its own.
async fn only_one(config: &Startup, db: &Db) -> Result<Option<Tx>, super::Refusal> {
    use sea_orm::{ConnectionTrait as _, DatabaseBackend, Statement};
    if !db.is_postgres() || config.tickets.url.expose() != "memory:" {
        return Ok(None);
    }
    let tx = db.begin().await?;
    let sql = format!("SELECT pg_try_advisory_xact_lock({INSTANCE_LOCK}) AS held");
    let row = tx
        .conn()
        .query_one_raw(Statement::from_string(DatabaseBackend::Postgres, sql))
        .await
        .map_err(InfraError::from)?;
    if row.and_then(|row| row.try_get::<bool>("", "held").ok()) == Some(true) {
        return Ok(Some(tx));
    }
    let words = "another entree runs on this database with its tickets in its process: set tickets.url to a redis:// URL";
    Err(words.to_owned().into())
}

/// The ticket store. Redis may be away now and come later; one that would evict live entries is refused (RD-10).
async fn tickets(config: &Startup, masters: &MasterKeys, clock: Clock) -> Result<Tickets, String> {
    let section = &config.tickets;
    if section.url.expose() == "memory:" {
        return Ok(Tickets::memory(section.memory_entries, clock, masters));
    }
    let tickets = Tickets::connect(section.url.expose(), &section.prefix, masters)
        .map_err(|failure| failure.to_string())?;
    match tickets.policy().await {
        Ok(Policy::Refuses) => {}
        Ok(Policy::Evicts(policy)) => {
            return Err(format!(
                "Redis drops live entries when it is full (maxmemory-policy {policy}): \
                 run `redis-cli CONFIG SET maxmemory-policy noeviction`, and set it in redis.conf"
            ));
        }
        Ok(Policy::Unreadable(why)) => {
            tracing::warn!(
                why,
                "Redis does not tell its maxmemory-policy; make sure that it is noeviction"
            );
        }
        Err(failure) => tracing::warn!("{failure}; starting without it"),
    }
    Ok(tickets)
}

/// What hangs on the configuration and is no part of it.
fn on_change(
    logs: Logs,
    texts: Texts,
    certificate: Option<Arc<Certificate>>,
) -> Arc<config::watch::OnChange> {
    Arc::new(move |config: &Reloadable, change: &Change| {
        logs.set_level(&config.telemetry.level);
        if change.applied.contains(&"clients") {
            registry::log_duplicates(config);
        }
        if let Err(faults) = texts.reload(config.server.texts_dir.as_deref()) {
            tracing::error!(%faults, "the texts are refused; the old ones stay");
        }
        if let Some(certificate) = &certificate {
            certificate.request_reload();
        }
    })
}

/// SIGTERM or SIGINT.
#[cfg(unix)]
async fn stop_signal() -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        tracing::error!("signals cannot be listened to; stop this process with SIGKILL");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

/// Ctrl-C, where there are no signals.
#[cfg(not(unix))]
async fn stop_signal() -> &'static str {
    match tokio::signal::ctrl_c().await {
        Ok(()) => "Ctrl-C",
        Err(_) => std::future::pending().await,
    }
}
