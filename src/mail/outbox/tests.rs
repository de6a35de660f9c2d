//! The outbox against a mail server of a few lines: on SQLite, and on PostgreSQL where `TEST_POSTGRES_URL` names one.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::panic
)]

mod attempts;
mod contents;
mod fairness;
mod handover;
mod smtp_sink;
mod workers;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use sea_orm::{ConnectionTrait as _, QueryOrder as _, sea_query::Expr};
use tokio::sync::{Notify, oneshot};
use uuid::Uuid;

use super::{
    ceiling::Ceiling,
    dispatch::Dispatcher,
    due::DueQueue,
    lease::*,
    share::{DueEmail, Shares},
    *,
};
use crate::{
    clock::Clock,
    config::{self, SmtpTls},
    db::TxFuture,
    mail::{
        AttemptContext, Composed, Composer, DeliveryAttempt, DeliveryOutcome, Draft, Email,
        EmailReference, Observation, transport::Transport,
    },
};
use smtp_sink::SmtpSink;

const SECRET: &str = "this-is-the-secret-of-an-email";
const MINUTE: Duration = Duration::from_secs(60);

/// Composes an email for every row and records the outcomes it receives.
#[derive(Default)]
struct RecordingComposer {
    references: Mutex<HashMap<Uuid, Uuid>>,
    outcomes: Mutex<Vec<(String, DeliveryOutcome)>>,
    composed: AtomicUsize,
    failures: AtomicUsize,
    recorded: Notify,
}

impl Composer for RecordingComposer {
    fn compose<'a>(&'a self, _: &'a Tx, row: &'a OutboxRow) -> TxFuture<'a, Composed> {
        Box::pin(async move {
            if self
                .failures
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
                .is_ok()
            {
                return Err(InfraError::internal("a failure of the composer"));
            }
            if row.canonical.starts_with("drop") {
                return Ok(Composed::Drop("flow ended"));
            }
            self.composed.fetch_add(1, Ordering::SeqCst);
            let reference = secret::public_id();
            self.references.lock().unwrap().insert(reference, row.id);
            let email = Email {
                to: row.canonical.clone(),
                subject: "Sign in".to_owned(),
                text: format!("row={} {SECRET}", row.id),
                html: format!("<p>{SECRET}</p>"),
                locale: row.locale.clone(),
            };
            let reference = Box::new(EmailReference {
                secrets: reference,
                accepted: None,
            });
            Ok(Composed::Email { email, reference })
        })
    }

    fn has_account<'a>(&'a self, _: &'a Db, canonical: &'a str) -> TxFuture<'a, bool> {
        Box::pin(async move { Ok(canonical.starts_with("known")) })
    }

    fn record_outcome<'a>(
        &'a self,
        _: &'a Tx,
        row: &'a OutboxRow,
        reference: &'a EmailReference,
        outcome: DeliveryOutcome,
    ) -> TxFuture<'a, ()> {
        Box::pin(async move {
            assert_eq!(
                self.references.lock().unwrap().get(&reference.secrets),
                Some(&row.id)
            );
            self.outcomes
                .lock()
                .unwrap()
                .push((row.canonical.clone(), outcome));
            self.recorded.notify_one();
            Ok(())
        })
    }
}

/// A database, a mail server, a composer, and workers on demand.
struct TestOutbox {
    db: Db,
    sink: SmtpSink,
    composer: Arc<RecordingComposer>,
    handover: Arc<Handover>,
    transport: Transport,
    ceiling: Mutex<CeilingSettings>,
    _dir: TempDir,
}

/// Returns the URL of an empty database.
async fn new_database(dir: &std::path::Path) -> String {
    let Ok(server) = std::env::var("TEST_POSTGRES_URL") else {
        return format!("sqlite:{}", dir.join("db").display());
    };
    let name = format!("outbox_{}", crate::secret::public_id().simple());
    let admin = Db::connect(&server, 1, Clock::default()).await.unwrap();
    admin
        .pool()
        .execute_unprepared(&format!("CREATE DATABASE {name}"))
        .await
        .unwrap();
    let mut url = url::Url::parse(&server).unwrap();
    url.set_path(&name);
    url.into()
}

struct TempDir(std::path::PathBuf);

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl TestOutbox {
    async fn new() -> Self {
        Self::with_timeout(20).await
    }

    async fn with_timeout(timeout_seconds: u64) -> Self {
        let dir =
            std::env::temp_dir().join(format!("entree-outbox-{}", crate::secret::public_id()));
        std::fs::create_dir_all(&dir).unwrap();
        let db = Db::connect(&new_database(&dir).await, 20, Clock::default())
            .await
            .unwrap();
        db.migrate().await.unwrap();
        let sink = SmtpSink::start().await;
        let config = config::Mail {
            host: "127.0.0.1".to_owned(),
            port: sink.port,
            tls: SmtpTls::None,
            from: "Entree <login@id.example.com>".to_owned(),
            timeout_seconds,
            ..config::Mail::default()
        };
        let transport = Transport::new(&config, db.clock().clone()).unwrap();
        Self {
            db,
            sink,
            composer: Arc::default(),
            handover: Arc::default(),
            transport,
            ceiling: Mutex::new(CeilingSettings {
                least: 600_000,
                times_normal: 20,
            }),
            _dir: TempDir(dir),
        }
    }

    async fn enqueue(&self, to: &str) {
        self.enqueue_as(to, false).await;
    }

    async fn enqueue_as(&self, to: &str, withheld: bool) {
        let tx = self.db.begin().await.unwrap();
        self.enqueue_in(&tx, to, withheld).await;
        tx.commit().await.unwrap();
        self.handover.notify_one();
    }

    async fn enqueue_in(&self, tx: &Tx, to: &str, withheld: bool) {
        enqueue(tx, new_email(tx.now, to, withheld)).await.unwrap();
    }

    fn worker(&self) -> RunningWorker {
        let worker = Worker {
            db: self.db.clone(),
            composer: Arc::clone(&self.composer) as Arc<dyn Composer>,
            transport: self.transport.clone(),
            handover: Arc::clone(&self.handover),
            concurrency: 8,
            waiting_connections: 16,
            ceiling: *self.ceiling.lock().unwrap(),
            drain: Duration::from_secs(3),
        };
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(worker.run(async move {
            let _ = stopped.await;
        }));
        RunningWorker { stop, task }
    }

    /// Waits until so many outcomes were recorded and returns them.
    async fn wait_for_outcomes(&self, count: usize) -> Vec<(String, DeliveryOutcome)> {
        let enough = async {
            loop {
                let outcomes = self.composer.outcomes.lock().unwrap().clone();
                if outcomes.len() >= count {
                    return outcomes;
                }
                self.composer.recorded.notified().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), enough)
            .await
            .unwrap()
    }

    async fn wait_until_idle(&self) {
        let end = async {
            while !is_idle(&self.db).await.unwrap() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), end)
            .await
            .unwrap();
    }

    async fn rows(&self) -> Vec<OutboxRow> {
        Entity::find()
            .order_by_asc(Column::Id)
            .all(self.db.read())
            .await
            .unwrap()
    }

    async fn row(&self) -> OutboxRow {
        self.rows().await.remove(0)
    }

    /// Makes one attempt at the only row and returns its outcome.
    async fn attempt_once(&self) -> DeliveryOutcome {
        let before = self.composer.outcomes.lock().unwrap().len();
        let worker = self.worker();
        let outcomes = self.wait_for_outcomes(before + 1).await;
        worker.stop().await;
        outcomes[before].1
    }
}

fn new_email(now: Time, to: &str, withheld: bool) -> NewEmail {
    NewEmail {
        kind: EmailKind::SignIn,
        flow_id: Some(secret::public_id()),
        canonical: to.to_owned(),
        locale: "en".to_owned(),
        due_at: now,
        give_up_at: now + 20 * MINUTE,
        about: None,
        withheld,
        known_device: false,
        network: if to.starts_with("stall") {
            "192.0.2.1"
        } else {
            "198.51.100.1"
        }
        .to_owned(),
    }
}

/// Leases what is due, as a worker with many slots.
async fn lease_all(db: &Db, owner: Uuid) -> Vec<OutboxRow> {
    let leased = dispatcher(db, owner, 40).lease_due(40).await.unwrap();
    leased.rows.into_iter().map(|(row, _)| row).collect()
}

/// A worker's look at the outbox, with so many slots.
fn dispatcher(db: &Db, owner: Uuid, slots: usize) -> Dispatcher {
    Dispatcher {
        db: db.clone(),
        owner,
        composer: Arc::<RecordingComposer>::default(),
        ceiling: Arc::new(Ceiling::new(CeilingSettings {
            least: 600_000,
            times_normal: 20,
        })),
        shares: Shares::new(slots, 32, db.clock().clone()),
        queue: DueQueue::default(),
    }
}

struct RunningWorker {
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl RunningWorker {
    async fn stop(self) {
        let _ = self.stop.send(());
        self.task.await.unwrap();
    }
}

/// The log, at its finest level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Captures this thread's log until the returned guard is dropped.
    fn capture(&self) -> (tracing::Dispatch, tracing::subscriber::DefaultGuard) {
        // With a single subscriber, another test's thread, which has none, may disable an event for all.
        let another = tracing::Dispatch::new(tracing_subscriber::registry());
        let writer = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (another, tracing::subscriber::set_default(subscriber))
    }
}
