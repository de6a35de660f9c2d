//! The jobs of a process: sending email, delivering logout tokens, cleaning up, following the signing
//! keys and the clients of the database, refreshing providers' documents, gathering gauges.
//!
//! Every job may run on several instances at once. A job that fails is logged and tried again.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet};

use crate::{
    app::App,
    audit,
    client::registry,
    db::Tx,
    error::InfraError,
    federation::provider::Providers,
    login::{device, flow},
    magic_link::{budget, composer::EmailComposer},
    mail::{
        outbox::{self, CeilingSettings, Worker},
        transport::Transport,
    },
    oauth::{backchannel, grant_store},
    session,
    telemetry::metrics,
    user,
};

/// The interval of the clean-up: expired rows are gone within five minutes (H1).
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// The rows of one batch: sign-ins proceed between two batches.
const BATCH: u64 = 1000;

/// The longest time of one clean-up (DB-03).
const SWEEP_BUDGET: Duration = Duration::from_secs(10);

/// The pause before the next clean-up if rows are left: a flood of rows must be gone in time, too.
const SWEEP_AGAIN: Duration = Duration::from_secs(3);

/// The interval at which key changes of other instances are loaded (SK-04).
const KEYS_EVERY: Duration = Duration::from_secs(3);

/// The interval at which key rotation is checked.
const ROTATION_EVERY: Duration = Duration::from_secs(30);

/// The interval at which the epoch of the ticket store is kept (RD-09).
const EPOCH_EVERY: Duration = Duration::from_secs(10);

/// The interval at which clients of the database are loaded: a change by `entree clients` takes effect
/// on every instance within it.
const CLIENTS_EVERY: Duration = Duration::from_secs(3);
/// The interval at which upstream providers' documents are checked: those that expire soon are read again.
const PROVIDERS_EVERY: Duration = Duration::from_secs(10);

/// The interval at which gauges are gathered from the database.
const GAUGES_EVERY: Duration = Duration::from_secs(10);

/// The jobs of this process.
#[derive(Debug)]
pub struct Jobs {
    stop: watch::Sender<bool>,
    running: JoinSet<()>,
}

impl Jobs {
    /// Starts all jobs.
    #[must_use]
    pub fn start(app: &App, transport: Transport, providers: &Providers) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut running = JoinSet::new();
        let config = app.config.startup();
        let worker = Worker {
            db: app.db.clone(),
            composer: Arc::new(EmailComposer { app: app.clone() }),
            transport,
            handover: Arc::clone(&app.outbox),
            concurrency: config.mail.concurrency,
            waiting_connections: config.mail.waiting_connections,
            ceiling: CeilingSettings {
                least: config.mail.ceiling_per_minute,
                times_normal: config.mail.ceiling_times_normal,
            },
            drain: Duration::from_secs(config.server.drain_seconds),
        };
        running.spawn(worker.run(wait(stopped.clone())));
        let logouts = backchannel::Worker::new(app.clone());
        running.spawn(logouts.run(wait(stopped.clone())));
        running.spawn(clean_up(app.clone(), stopped.clone()));
        running.spawn(every(KEYS_EVERY, stopped.clone(), app.clone(), follow_keys));
        running.spawn(every(
            ROTATION_EVERY,
            stopped.clone(),
            app.clone(),
            rotate_keys,
        ));
        running.spawn({
            let (app, stopped) = (app.clone(), stopped.clone());
            async move {
                // Also once at the start, so that from then on earlier assertions can be distinguished.
                let _ = keep_epoch(app.clone()).await;
                every(EPOCH_EVERY, stopped, app, keep_epoch).await;
            }
        });
        running.spawn(every(
            CLIENTS_EVERY,
            stopped.clone(),
            app.clone(),
            follow_clients,
        ));
        running.spawn(follow_providers(providers.clone(), stopped.clone()));
        let app = app.clone();
        running.spawn(async move {
            // Also once at the start, so that a new process has gauges.
            let _ = gather_gauges(app.clone()).await;
            every(GAUGES_EVERY, stopped, app, gather_gauges).await;
        });
        Self { stop, running }
    }

    /// Stops all jobs: work in progress is finished, leases are released.
    pub async fn stop(mut self) {
        // Sending fails only if all jobs have ended already.
        let _ = self.stop.send(true);
        while self.running.join_next().await.is_some() {}
    }
}

async fn wait(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a stop as well.
    let _ = stopped.wait_for(|stop| *stop).await;
}

async fn every<F>(pause: Duration, stopped: watch::Receiver<bool>, app: App, job: fn(App) -> F)
where
    F: Future<Output = Result<(), InfraError>> + Send,
{
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = wait(stopped.clone()) => return,
        }
        if let Err(error) = job(app.clone()).await {
            tracing::warn!(cause = %error, "a job failed; it is tried again");
        }
    }
}

async fn clean_up(app: App, stopped: watch::Receiver<bool>) {
    let mut pause = SWEEP_EVERY;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = wait(stopped.clone()) => return,
        }
        pause = match sweep(&app, SWEEP_BUDGET).await {
            Ok(Swept::Clean) => SWEEP_EVERY,
            Ok(Swept::MoreIsLeft) => SWEEP_AGAIN,
            Err(error) => {
                tracing::warn!(cause = %error, "a job failed; it is tried again");
                SWEEP_EVERY
            }
        };
    }
}

/// The result of a clean-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swept {
    /// No expired row is left.
    Clean,
    /// The clean-up reached its time limit first.
    MoreIsLeft,
}

/// Deletes expired rows in batches with a commit each (H1, DB-03). Two instances may do so at once: a
/// batch deletes what is still there. After `budget` each table gets one more batch.
pub async fn sweep(app: &App, budget: Duration) -> Result<Swept, InfraError> {
    let began = tokio::time::Instant::now();
    let _ = app.tickets.sweep();
    let mut swept = Swept::Clean;
    for table in 0..9_u8 {
        loop {
            let tx = app.db.begin().await?;
            let deleted = sweep_one(&tx, table).await?;
            tx.commit().await?;
            if deleted < BATCH {
                break;
            }
            if began.elapsed() >= budget {
                swept = Swept::MoreIsLeft;
                break;
            }
        }
    }
    Ok(swept)
}

/// Deletes a batch of one table, children before parents: flows take their tokens along, and grants go
/// before sessions.
async fn sweep_one(tx: &Tx, table: u8) -> Result<u64, InfraError> {
    match table {
        0 => flow::sweep(tx, BATCH).await,
        1 => outbox::sweep(tx, BATCH).await,
        2 => budget::sweep(tx, BATCH).await,
        3 => device::sweep(tx, BATCH).await,
        4 => grant_store::sweep(tx, BATCH).await,
        5 => audit::sweep(tx, BATCH).await,
        6 => user::identity::sweep(tx, BATCH).await,
        7 => backchannel::sweep(tx, BATCH).await,
        _ => session::sweep(tx, BATCH).await,
    }
}

/// Loads changes of signing keys that other instances made.
async fn follow_keys(app: App) -> Result<(), InfraError> {
    app.keys.reload().await
}

/// Rotates signing keys that are due, and records the changes.
async fn rotate_keys(app: App) -> Result<(), InfraError> {
    let changes = app.keys.advance().await?;
    audit::record_key_changes(
        &app.db,
        changes
            .iter()
            .map(|change| (change.state, change.kid.as_str())),
    )
    .await
}

async fn keep_epoch(app: App) -> Result<(), InfraError> {
    app.tickets.keep_epoch(app.clock().now()).await
}

/// Loads changes of clients that other instances made.
async fn follow_clients(app: App) -> Result<(), InfraError> {
    registry::refresh(&app).await.map(drop)
}

/// Reads providers' documents before they are needed: at once, and again before they expire (DJ-02).
async fn follow_providers(providers: Providers, stopped: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = providers.refresh_due() => {}
            () = wait(stopped.clone()) => return,
        }
        tokio::select! {
            () = tokio::time::sleep(PROVIDERS_EVERY) => {}
            () = wait(stopped.clone()) => return,
        }
    }
}

async fn gather_gauges(app: App) -> Result<(), InfraError> {
    let (waiting, oldest) = outbox::backlog(&app.db).await?;
    metrics::outbox(waiting, oldest);
    let (waiting, oldest) = backchannel::backlog(&app.db).await?;
    metrics::logouts(waiting, oldest);
    for (alg, age) in app.keys.ages() {
        metrics::key_age(alg, age);
    }
    let usage = app.tickets.usage().await?;
    for (pool, bytes) in [
        ("own", usage.own),
        ("tickets", usage.tickets),
        ("counters", usage.counters),
        ("proofs", usage.proofs),
    ] {
        metrics::ticket_bytes(pool, bytes, usage.limit);
    }
    Ok(())
}
