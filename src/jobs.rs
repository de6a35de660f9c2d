//! What runs beside requests: sending mail, cleaning up, following the signing keys and the clients of the database.

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
    magic_link::{budget, compose::Letters},
    mail::{
        outbox::{self, Worker},
        transport::Transport,
    },
    oauth::grant_store,
    session,
    telemetry::metrics,
    user,
};

/// How often expired rows are looked for; they are gone within five minutes of their time (H1).
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// How many rows a clean-up takes at a time: sign-ins pass between two batches.
const BATCH: u64 = 1000;

/// How long one clean-up may take (DB-03).
const SWEEP_BUDGET: Duration = Duration::from_secs(10);

/// How soon it goes on when that was not enough: a flood of rows must be gone in time, too.
const SWEEP_AGAIN: Duration = Duration::from_secs(3);

/// How often the keys of other copies are followed (SK-04): one that was taken out is out on all of them after it.
const KEYS_EVERY: Duration = Duration::from_secs(3);

/// How often keys are moved on in their lives.
const ROTATION_EVERY: Duration = Duration::from_secs(30);

/// How often the ticket store is reminded of when its data began (RD-09).
const EPOCH_EVERY: Duration = Duration::from_secs(10);

/// How often the clients of the database are looked at: what `entree clients` changes is in force everywhere after it.
const CLIENTS_EVERY: Duration = Duration::from_secs(3);
/// How often upstream providers' documents are looked at: those that are nearly due are read again.
const PROVIDERS_EVERY: Duration = Duration::from_secs(10);

/// How often what the database knows is gathered for the metrics.
const GAUGES_EVERY: Duration = Duration::from_secs(10);

/// The jobs of this process.
#[derive(Debug)]
pub struct Jobs {
    stop: watch::Sender<bool>,
    running: JoinSet<()>,
}

impl Jobs {
    /// Starts them all.
    #[must_use]
    pub fn start(app: &App, transport: Transport, providers: &Providers) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut running = JoinSet::new();
        let config = app.config.startup();
        let worker = Worker {
            db: app.db.clone(),
            composer: Arc::new(Letters { app: app.clone() }),
            transport,
            notify: Arc::clone(&app.outbox),
            concurrency: config.mail.concurrency,
            drain: Duration::from_secs(config.server.drain_seconds),
        };
        running.spawn(worker.run(wait(stopped.clone())));
        running.spawn(keep_clean(app.clone(), stopped.clone()));
        running.spawn(every(KEYS_EVERY, stopped.clone(), app.clone(), follow_keys));
        running.spawn(every(
            ROTATION_EVERY,
            stopped.clone(),
            app.clone(),
            move_keys_on,
        ));
        running.spawn({
            let (app, stopped) = (app.clone(), stopped.clone());
            async move {
                // At once, too: from then on a proof can be told from one of before.
                let _ = epoch(app.clone()).await;
                every(EPOCH_EVERY, stopped, app, epoch).await;
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
            // At once, too: a process that starts has numbers.
            let _ = gauges(app.clone()).await;
            every(GAUGES_EVERY, stopped, app, gauges).await;
        });
        Self { stop, running }
    }

    /// Stops them: what is in hand is finished, leases are given back.
    pub async fn stop(mut self) {
        // Nobody listens any more only if all have ended already.
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
        if let Err(failure) = job(app.clone()).await {
            tracing::warn!(cause = %failure, "a job will be tried again");
        }
    }
}

async fn keep_clean(app: App, stopped: watch::Receiver<bool>) {
    let mut pause = SWEEP_EVERY;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = wait(stopped.clone()) => return,
        }
        pause = match sweep(&app, SWEEP_BUDGET).await {
            Ok(Swept::Clean) => SWEEP_EVERY,
            Ok(Swept::MoreIsLeft) => SWEEP_AGAIN,
            Err(failure) => {
                tracing::warn!(cause = %failure, "a job will be tried again");
                SWEEP_EVERY
            }
        };
    }
}

/// What a clean-up left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swept {
    /// Nothing whose time is over.
    Clean,
    /// Its own time was over first.
    MoreIsLeft,
}

/// Deletes what has had its time, in batches with a commit each (H1, DB-03). Two copies at once do no harm: a batch
/// deletes what is still there. After `budget` each table gets one batch more, and that is all for now.
///
/// # Errors
/// The database's own.
pub async fn sweep(app: &App, budget: Duration) -> Result<Swept, InfraError> {
    let began = tokio::time::Instant::now();
    let _ = app.tickets.sweep();
    let mut swept = Swept::Clean;
    for table in 0..8_u8 {
        loop {
            let tx = app.db.begin().await?;
            let gone = sweep_one(&tx, table).await?;
            tx.commit().await?;
            if gone < BATCH {
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

/// Children before parents: flows take their tokens along; grants go before sessions.
async fn sweep_one(tx: &Tx, table: u8) -> Result<u64, InfraError> {
    match table {
        0 => flow::sweep(tx, BATCH).await,
        1 => outbox::sweep(tx, BATCH).await,
        2 => budget::sweep(tx, BATCH).await,
        3 => device::sweep(tx, BATCH).await,
        4 => grant_store::sweep(tx, BATCH).await,
        5 => audit::sweep(tx, BATCH).await,
        6 => user::identity::sweep(tx, BATCH).await,
        _ => session::sweep(tx, BATCH).await,
    }
}

/// Takes over what was changed of the signing keys elsewhere.
async fn follow_keys(app: App) -> Result<(), InfraError> {
    app.keys.reload().await
}

/// Moves the signing keys on; what changed is logged, and in the trail.
async fn move_keys_on(app: App) -> Result<(), InfraError> {
    let changes = app.keys.tick().await?;
    audit::keys(
        &app.db,
        changes
            .iter()
            .map(|change| (change.state, change.kid.as_str())),
    )
    .await
}

async fn epoch(app: App) -> Result<(), InfraError> {
    app.tickets.keep_epoch(app.clock().now()).await
}

/// Takes over what was changed of clients elsewhere.
async fn follow_clients(app: App) -> Result<(), InfraError> {
    registry::refresh(&app).await.map(drop)
}

/// Reads upstream documents before they are needed: at once, and again before they are stale (DJ-02).
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

async fn gauges(app: App) -> Result<(), InfraError> {
    let (waiting, oldest) = outbox::backlog(&app.db).await?;
    metrics::outbox(waiting, oldest);
    for (alg, age) in app.keys.ages() {
        metrics::key_age(alg, age);
    }
    Ok(())
}
