//! `entree serve` and `entree dev`: starts the service from its configuration, and stops it in the
//! opposite order.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use poem::{Endpoint, EndpointExt as _};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle, time::timeout};
use tokio_rustls::TlsAcceptor;

use super::{
    instance::{self, InstanceLock},
    open::{open_app, refuse_lost_master_key},
    outcome::{CommandError, Outcome, block_on, load},
    output,
};
use crate::{
    app::App,
    client::registry,
    config::{self, Change, Live, Loaded, Reloadable, Source},
    db::Tx,
    federation::provider::Providers,
    health::{self, Draining},
    jobs::Jobs,
    key,
    mail::transport::Transport,
    routes,
    secret::MasterKeys,
    telemetry::{self, Logs},
    web::{
        layers::Layers,
        locale::Texts,
        server::{self, ServerOptions},
        tls::{self, Certificate},
    },
};

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
    block_on(async { Ok(refuse_lost_master_key(config).await?) })?;
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
    ) -> Result<Self, CommandError> {
        let dev = source.mode.is_dev();
        for note in &loaded.notes {
            tracing::info!("{note}");
        }
        let live = Live::new(loaded.config);
        live.log_new_warnings(&loaded.warnings);
        let config = live.startup();
        // Bound before anything slow: a port in use is reported at once, and early callers wait
        // instead of failing.
        let key = "server.listen (with `entree dev`: --port)";
        let (public, public_address) = bind(config.server.listen, key).await?;
        let (management, _) = bind(config.management.listen, "management.listen").await?;
        let certificate =
            Certificate::open(&config.server.tls).map_err(|problem| problem.to_string())?;
        let tls = certificate.as_ref().map(tls::acceptor).transpose()?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let public_url: Arc<str> = match config.server.public_url.as_str() {
            "" => format!("{scheme}://{public_address}").into(),
            url => url.into(),
        };

        let (app, _single) = open_app(&live, public_url, masters).await?;
        let transport = Transport::new(&config.mail, app.clock().clone())?;
        let mailbox = transport.mailbox().cloned();
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
        let management = listen_for_management(management, &app, &draining)?;
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

    /// Prints one line for each listener once it is ready.
    fn announce(&self, dev: bool) {
        for (listener, Listening { address, url, .. }) in
            [("public", &self.public), ("management", &self.management)]
        {
            tracing::info!(listener, %address, "listening");
            if output::print(&format!("{listener} listener: {url}")).is_err() {
                tracing::warn!(listener, "standard output cannot be written");
            }
        }
        if dev {
            let url = &self.app.public_url;
            output::note(&format!(
                "entree dev: this machine only; sign in at {url}/login, read email at {url}/dev/mailbox"
            ));
        }
    }

    /// Serves until a signal, then stops in the opposite order of the start: no new traffic, requests
    /// in progress, jobs with their leases, the management listener, the database.
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
            // A second signal stops at once; leases expire by themselves.
            std::process::exit(1);
        });
        self.draining.begin();
        self.public.end().await;
        let drain = Duration::from_secs(self.app.config.startup().server.drain_seconds + 1);
        if timeout(drain, self.jobs.stop()).await.is_err() {
            tracing::warn!(
                "a job did not end in time; what it leased is free again when the lease expires"
            );
        }
        self.management.end().await;
        drop(self._single);
        self.app.db.close().await;
        tracing::info!("stopped");
        broken.map_or(Ok(()), |message| Err(message.into()))
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

async fn bind(address: SocketAddr, key: &str) -> Result<(TcpListener, SocketAddr), String> {
    let message = |error: std::io::Error| {
        format!("{address} cannot be listened on ({error}): change {key}, or stop what uses it")
    };
    let listener = TcpListener::bind(address).await.map_err(message)?;
    let bound = listener.local_addr().map_err(message)?;
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
        // The sender exists as long as the service.
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

/// Serves health, metrics and readiness on the management listener.
fn listen_for_management(
    listener: TcpListener,
    app: &App,
    draining: &Draining,
) -> Result<Listening, String> {
    let layers = Layers {
        loopback_only: app.config.startup().management.listen.ip().is_loopback(),
        ..Layers::new(None)
    };
    let endpoint = health::management(app.clone(), draining.clone()).with(layers);
    let options = ServerOptions {
        drain_timeout: Duration::from_secs(1),
        ..ServerOptions::default()
    };
    listen(listener, None, endpoint, options)
}

/// Returns what to do when the configuration changes, beyond the change itself.
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

/// Waits for SIGTERM or SIGINT.
#[cfg(unix)]
async fn stop_signal() -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        tracing::error!("signals cannot be received; stop this process with SIGKILL");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

/// Waits for Ctrl-C, where there are no signals.
#[cfg(not(unix))]
async fn stop_signal() -> &'static str {
    match tokio::signal::ctrl_c().await {
        Ok(()) => "Ctrl-C",
        Err(_) => std::future::pending().await,
    }
}
