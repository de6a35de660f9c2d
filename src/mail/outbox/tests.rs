//! The outbox against a mail server of a few lines: on SQLite, and on PostgreSQL where `TEST_POSTGRES_URL` names one.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::panic
)]

mod sink;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use sea_orm::{ConnectionTrait as _, QueryOrder as _};
use tokio::sync::{Notify, oneshot};

use super::*;
use crate::{
    clock::Clock,
    config::{self, SmtpTls},
    mail::{Composed, Composer, Letter, Work, transport::Transport},
};
use sink::Sink;

const SECRET: &str = "this-is-the-secret-of-a-letter";
const MINUTE: Duration = Duration::from_secs(60);

/// Composes a letter for whatever row and remembers what it was told.
#[derive(Default)]
struct Room {
    references: Mutex<HashMap<Uuid, Uuid>>,
    told: Mutex<Vec<(String, Outcome)>>,
    composed: AtomicUsize,
    fails: AtomicUsize,
    news: Notify,
}

impl Composer for Room {
    fn compose<'a>(&'a self, _: &'a Tx, row: &'a Model) -> Work<'a, Composed> {
        Box::pin(async move {
            if self
                .fails
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
                .is_ok()
            {
                return Err(InfraError::internal("a fault of the room"));
            }
            if row.canonical.starts_with("drop") {
                return Ok(Composed::Drop("flow ended"));
            }
            self.composed.fetch_add(1, Ordering::SeqCst);
            let reference = secret::public_id();
            self.references.lock().unwrap().insert(reference, row.id);
            let letter = Letter {
                to: row.canonical.clone(),
                subject: "Sign in".to_owned(),
                text: format!("row={} {SECRET}", row.id),
                html: format!("<p>{SECRET}</p>"),
                locale: row.locale.clone(),
            };
            Ok(Composed::Letter { letter, reference })
        })
    }

    fn tried<'a>(
        &'a self,
        _: &'a Tx,
        row: &'a Model,
        reference: Uuid,
        outcome: Outcome,
    ) -> Work<'a, ()> {
        Box::pin(async move {
            assert_eq!(
                self.references.lock().unwrap().get(&reference),
                Some(&row.id)
            );
            self.told
                .lock()
                .unwrap()
                .push((row.canonical.clone(), outcome));
            self.news.notify_one();
            Ok(())
        })
    }
}

/// A database, a mail server, a room, and workers on demand.
struct House {
    db: Db,
    sink: Sink,
    room: Arc<Room>,
    notify: Arc<Notify>,
    transport: Transport,
    _dir: Dir,
}

/// A database of its own.
async fn database(dir: &std::path::Path) -> String {
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

struct Dir(std::path::PathBuf);

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl House {
    async fn new() -> Self {
        Self::with_timeout(20).await
    }

    async fn with_timeout(timeout_seconds: u64) -> Self {
        let dir =
            std::env::temp_dir().join(format!("entree-outbox-{}", crate::secret::public_id()));
        std::fs::create_dir_all(&dir).unwrap();
        let db = Db::connect(&database(&dir).await, 20, Clock::default())
            .await
            .unwrap();
        db.migrate().await.unwrap();
        let sink = Sink::start().await;
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
            room: Arc::default(),
            notify: Arc::default(),
            transport,
            _dir: Dir(dir),
        }
    }

    async fn enqueue(&self, to: &str) {
        self.enqueue_as(to, false).await;
    }

    async fn enqueue_as(&self, to: &str, withheld: bool) {
        let tx = self.db.begin().await.unwrap();
        let new = New {
            kind: Kind::SignIn,
            flow_id: Some(secret::public_id()),
            canonical: to.to_owned(),
            locale: "en".to_owned(),
            due_at: tx.now,
            give_up_at: tx.now + 20 * MINUTE,
            about: None,
            withheld,
        };
        enqueue(&tx, new).await.unwrap();
        tx.commit().await.unwrap();
        self.notify.notify_one();
    }

    fn worker(&self) -> Running {
        let worker = Worker {
            db: self.db.clone(),
            composer: Arc::clone(&self.room) as Arc<dyn Composer>,
            transport: self.transport.clone(),
            notify: Arc::clone(&self.notify),
            concurrency: 8,
            drain: Duration::from_secs(3),
        };
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(worker.run(async move {
            let _ = stopped.await;
        }));
        Running { stop, task }
    }

    /// Waits until the room was told of so many tries; gives them.
    async fn told(&self, count: usize) -> Vec<(String, Outcome)> {
        let enough = async {
            loop {
                let told = self.room.told.lock().unwrap().clone();
                if told.len() >= count {
                    return told;
                }
                self.room.news.notified().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), enough)
            .await
            .unwrap()
    }

    async fn until_idle(&self) {
        let end = async {
            while !idle(&self.db).await.unwrap() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), end)
            .await
            .unwrap();
    }

    async fn rows(&self) -> Vec<Model> {
        Entity::find()
            .order_by_asc(Column::Id)
            .all(self.db.read())
            .await
            .unwrap()
    }

    async fn row(&self) -> Model {
        self.rows().await.remove(0)
    }

    /// One try of the only row, at the moment it is.
    async fn one_try(&self) -> Outcome {
        let before = self.room.told.lock().unwrap().len();
        let worker = self.worker();
        let told = self.told(before + 1).await;
        worker.stop().await;
        told[before].1
    }
}

struct Running {
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn stop(self) {
        let _ = self.stop.send(());
        self.task.await.unwrap();
    }
}

#[test]
fn g3_the_pauses_are_5_15_45_seconds_2_and_5_minutes_then_every_5() {
    let pauses: Vec<u64> = (1..=8).map(|attempts| pause(attempts).as_secs()).collect();
    assert_eq!(pauses, [5, 15, 45, 120, 300, 300, 300, 300]);
}

#[tokio::test]
async fn g1_a_queued_mail_is_sent_once_and_the_room_is_told() {
    let house = House::new().await;
    house.enqueue("someone@example.com").await;
    assert_eq!(house.one_try().await, Outcome::Accepted);
    let row = house.row().await;
    assert_eq!(
        (row.state, row.attempts, row.lease_owner, row.last_error),
        (State::Sent, 1, None, None)
    );
    assert!(row.finished_at.is_some() && idle(&house.db).await.unwrap());
    let mails = house.sink.mails();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].0, "someone@example.com");
    assert!(
        mails[0].1.contains("Auto-Submitted: auto-generated"),
        "{}",
        mails[0].1
    );
    assert!(mails[0].1.contains(SECRET));
}

#[tokio::test]
async fn g3_a_mail_that_is_deferred_is_tried_at_the_set_times_and_dropped_before_it_could_be_too_late()
 {
    let house = House::new().await;
    house.enqueue("try451@example.com").await;
    let mut at = Vec::new();
    let begin = house.row().await.created_at;
    loop {
        at.push(house.db.clock().now().since(begin).as_secs());
        assert_eq!(house.one_try().await, Outcome::Deferred);
        let row = house.row().await;
        if row.state == State::Dropped {
            assert_eq!(row.last_error.as_deref(), Some("451"));
            break;
        }
        assert_eq!((row.state, row.lease_owner), (State::Queued, None));
        house
            .db
            .clock()
            .advance(row.due_at.since(house.db.clock().now()));
    }
    // Real time passes too: a second or two over all tries.
    for (at, wanted) in at.iter().zip([0, 5, 20, 65, 185, 485, 785, 1085]) {
        assert!(
            (wanted..wanted + 5).contains(at),
            "{at} instead of {wanted}"
        );
    }
    assert_eq!(at.len(), 8);
}

#[tokio::test]
async fn g3_each_answer_of_the_server_has_its_outcome() {
    let house = House::with_timeout(3).await;
    let table = [
        ("fine@example.com", Outcome::Accepted, State::Sent, None),
        (
            "try550@example.com",
            Outcome::Refused,
            State::Dropped,
            Some("550"),
        ),
        (
            "data554@example.com",
            Outcome::Refused,
            State::Dropped,
            Some("554"),
        ),
        (
            "try421@example.com",
            Outcome::Deferred,
            State::Queued,
            Some("421"),
        ),
        (
            "try451@example.com",
            Outcome::Deferred,
            State::Queued,
            Some("451"),
        ),
        (
            "data451@example.com",
            Outcome::Deferred,
            State::Queued,
            Some("451"),
        ),
        (
            "stall@example.com",
            Outcome::Deferred,
            State::Queued,
            Some("timeout"),
        ),
        (
            "hangup@example.com",
            Outcome::Deferred,
            State::Queued,
            Some("protocol"),
        ),
        (
            "cutindata@example.com",
            Outcome::InDoubt,
            State::Queued,
            Some("connection"),
        ),
        (
            "cutafterdata@example.com",
            Outcome::InDoubt,
            State::Queued,
            Some("protocol"),
        ),
        (
            "stallafterdata@example.com",
            Outcome::InDoubt,
            State::Queued,
            Some("timeout"),
        ),
        (
            "no address",
            Outcome::Refused,
            State::Dropped,
            Some("address"),
        ),
        (
            "x@example.com\r\nRCPT TO:<y@example.com>",
            Outcome::Refused,
            State::Dropped,
            Some("address"),
        ),
    ];
    for (to, ..) in table {
        house.enqueue(to).await;
    }
    let worker = house.worker();
    let told: HashMap<_, _> = house.told(table.len()).await.into_iter().collect();
    worker.stop().await;
    let rows: HashMap<_, _> = house
        .rows()
        .await
        .into_iter()
        .map(|row| (row.canonical.clone(), row))
        .collect();
    for (to, outcome, state, class) in table {
        let row = &rows[to];
        assert_eq!(told[to], outcome, "{to}");
        // A broken line shows as one or the other, by how much of the letter was on its way.
        let found = row.last_error.as_deref().map(|c| {
            if to.starts_with("cut") && c == "connection" {
                "protocol"
            } else {
                c
            }
        });
        let class = class.map(|c| if c == "connection" { "protocol" } else { c });
        assert_eq!((row.state, found), (state, class), "{to}");
    }
    let reached: BTreeSet<_> = house.sink.mails().into_iter().map(|(to, _)| to).collect();
    assert!(!reached.contains("y@example.com"));
}

#[tokio::test]
async fn g3_nothing_is_tried_after_the_last_moment() {
    let house = House::new().await;
    house.enqueue("late@example.com").await;
    house
        .db
        .clock()
        .advance(20 * MINUTE + Duration::from_secs(1));
    let worker = house.worker();
    house.until_idle().await;
    worker.stop().await;
    let row = house.row().await;
    assert_eq!(
        (row.state, row.last_error.as_deref()),
        (State::Dropped, Some("too late"))
    );
    assert_eq!(house.room.composed.load(Ordering::SeqCst), 0);
    assert!(house.sink.mails().is_empty());
}

#[tokio::test]
async fn g3_a_server_that_is_away_defers() {
    let mut house = House::new().await;
    let config = config::Mail {
        host: "127.0.0.1".to_owned(),
        port: sink::closed_port().await,
        tls: SmtpTls::None,
        from: "login@id.example.com".to_owned(),
        ..config::Mail::default()
    };
    house.transport = Transport::new(&config, Clock::default()).unwrap();
    house.enqueue("someone@example.com").await;
    assert_eq!(house.one_try().await, Outcome::Deferred);
    assert_eq!(house.row().await.last_error.as_deref(), Some("connection"));
}

#[tokio::test]
async fn g3_a_server_without_starttls_gets_neither_password_nor_letter() {
    let mut house = House::new().await;
    let config = config::Mail {
        host: "127.0.0.1".to_owned(),
        port: house.sink.port,
        tls: SmtpTls::Starttls,
        from: "login@id.example.com".to_owned(),
        username: "entree".to_owned(),
        password: secret::Text::new("the password".to_owned()),
        ..config::Mail::default()
    };
    house.transport = Transport::new(&config, Clock::default()).unwrap();
    house.enqueue("someone@example.com").await;
    assert_eq!(house.one_try().await, Outcome::Deferred);
    assert_eq!(house.row().await.last_error.as_deref(), Some("unsupported"));
    assert!(house.sink.mails().is_empty() && !house.sink.heard("AUTH"));
}

#[tokio::test]
async fn g3_a_time_out_never_leaves_its_answer_to_the_next_letter() {
    let house = House::with_timeout(1).await;
    house.enqueue("stall@example.com").await;
    assert_eq!(house.one_try().await, Outcome::Deferred);
    house.enqueue("try550@example.com").await;
    house.enqueue("fine@example.com").await;
    let worker = house.worker();
    let told = house.told(3).await;
    worker.stop().await;
    let told: HashMap<_, _> = told.into_iter().collect();
    assert_eq!(
        (told["try550@example.com"], told["fine@example.com"]),
        (Outcome::Refused, Outcome::Accepted)
    );
}

#[tokio::test]
async fn g1_after_a_crash_the_row_is_tried_once_more_when_its_lease_has_run_out() {
    let house = House::new().await;
    house.enqueue("someone@example.com").await;
    // A worker that dies right after leasing.
    let crashed = lease(&house.db, secret::public_id(), 10).await.unwrap();
    assert_eq!(crashed.len(), 1);
    house.db.clock().advance(LEASE - Duration::from_secs(10));
    assert!(
        lease(&house.db, secret::public_id(), 10)
            .await
            .unwrap()
            .is_empty()
    );
    house.db.clock().advance(Duration::from_secs(10));
    assert_eq!(house.one_try().await, Outcome::Accepted);
    assert_eq!(house.sink.mails().len(), 1);
    assert_eq!(house.row().await.attempts, 2);
}

#[tokio::test]
async fn g1_a_lost_lease_is_not_recorded_over() {
    let house = House::new().await;
    house.enqueue("someone@example.com").await;
    let first = lease(&house.db, secret::public_id(), 10)
        .await
        .unwrap()
        .remove(0);
    house.db.clock().advance(LEASE);
    let second = lease(&house.db, secret::public_id(), 10)
        .await
        .unwrap()
        .remove(0);
    let tried = |outcome| Tried {
        outcome,
        class: "550".to_owned(),
    };
    let tx = house.db.begin().await.unwrap();
    assert!(!renew(&tx, &first).await.unwrap());
    assert_eq!(
        record(&tx, &first, &tried(Outcome::Refused)).await.unwrap(),
        None
    );
    assert!(renew(&tx, &second).await.unwrap());
    assert_eq!(
        record(&tx, &second, &tried(Outcome::Accepted))
            .await
            .unwrap(),
        Some(Next::Sent)
    );
    // Nor by the same worker's earlier try.
    assert_eq!(
        record(&tx, &second, &tried(Outcome::Refused))
            .await
            .unwrap(),
        None
    );
    tx.commit().await.unwrap();
    assert_eq!(house.row().await.state, State::Sent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn g1_workers_side_by_side_never_send_a_row_twice() {
    let house = House::with_timeout(10).await;
    for n in 0..200 {
        house.enqueue(&format!("a{n}@example.com")).await;
    }
    let workers: Vec<_> = (0..4).map(|_| house.worker()).collect();
    house.until_idle().await;
    for worker in workers {
        worker.stop().await;
    }
    let mails = house.sink.mails();
    let addressees: BTreeSet<_> = mails.iter().map(|(to, _)| to.clone()).collect();
    assert_eq!((mails.len(), addressees.len()), (200, 200));
    assert!(
        house
            .rows()
            .await
            .iter()
            .all(|row| (row.state, row.attempts) == (State::Sent, 1))
    );
}

#[tokio::test]
async fn g1_a_stopping_worker_gives_its_leases_back() {
    let house = House::with_timeout(30).await;
    house.enqueue("stall@example.com").await;
    let worker = house.worker();
    house.sink.stalled().await;
    assert!(house.row().await.lease_owner.is_some());
    worker.stop().await;
    let row = house.row().await;
    assert_eq!(
        (row.state, row.lease_owner, row.lease_until),
        (State::Queued, None, Time(0))
    );
    assert_eq!(
        lease(&house.db, secret::public_id(), 10)
            .await
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn g2_no_column_holds_a_secret() {
    let house = House::new().await;
    for to in [
        "fine@example.com",
        "data451@example.com",
        "data554@example.com",
        "cutafterdata@example.com",
    ] {
        house.enqueue(to).await;
    }
    let worker = house.worker();
    house.told(4).await;
    worker.stop().await;
    for row in house.rows().await {
        assert!(!format!("{row:?}").contains(SECRET));
    }
    // The columns there are: a new one has to be thought about.
    let (backend, sql) = if house.db.is_postgres() {
        (
            DbBackend::Postgres,
            "SELECT column_name::text AS name FROM information_schema.columns WHERE table_name = 'mail_outbox'",
        )
    } else {
        (
            DbBackend::Sqlite,
            "SELECT name FROM pragma_table_info('mail_outbox')",
        )
    };
    let columns = house
        .db
        .read()
        .query_all_raw(Statement::from_string(backend, sql))
        .await
        .unwrap();
    let columns: BTreeSet<String> = columns
        .iter()
        .map(|row| row.try_get("", "name").unwrap())
        .collect();
    let known = "about attempts canonical created_at due_at finished_at flow_id give_up_at id kind last_error lease_owner lease_until locale state";
    assert_eq!(columns.into_iter().collect::<Vec<_>>().join(" "), known);
}

#[tokio::test]
async fn a1_a_withheld_mail_is_written_and_never_sent() {
    let house = House::new().await;
    house.enqueue_as("withheld@example.com", true).await;
    house.enqueue("fine@example.com").await;
    assert_eq!(house.one_try().await, Outcome::Accepted);
    let mut rows = house.rows().await;
    // Two rows of one millisecond have no order of their own.
    rows.sort_by_key(|row| row.canonical != "withheld@example.com");
    assert_eq!(
        rows.iter().map(|row| row.state).collect::<Vec<_>>(),
        [State::Withheld, State::Sent]
    );
    assert_eq!(rows[0].attempts, 0);
    assert_eq!(house.sink.mails().len(), 1);
}

#[tokio::test]
async fn g2_a_letter_that_the_room_drops_is_never_sent() {
    let house = House::new().await;
    house.enqueue("drop@example.com").await;
    let worker = house.worker();
    house.until_idle().await;
    worker.stop().await;
    let row = house.row().await;
    assert_eq!(
        (row.state, row.last_error.as_deref()),
        (State::Dropped, Some("flow ended"))
    );
    assert!(house.sink.mails().is_empty() && house.room.told.lock().unwrap().is_empty());
}

#[tokio::test]
async fn g1_a_fault_while_composing_loses_nothing() {
    let house = House::new().await;
    house.room.fails.store(1, Ordering::SeqCst);
    house.enqueue("someone@example.com").await;
    let worker = house.worker();
    while house.row().await.last_error.is_none() {
        tokio::task::yield_now().await;
    }
    worker.stop().await;
    let row = house.row().await;
    assert_eq!(
        (row.state, row.last_error.as_deref(), row.attempts),
        (State::Queued, Some("not composed"), 1)
    );
    house.db.clock().advance(pause(1));
    assert_eq!(house.one_try().await, Outcome::Accepted);
}

#[tokio::test]
async fn h1_finished_rows_go_after_a_day_in_batches() {
    let house = House::new().await;
    for n in 0..5 {
        house.enqueue_as(&format!("a{n}@example.com"), true).await;
    }
    house.enqueue("queued@example.com").await;
    house.db.clock().advance(KEEP - MINUTE);
    let sweep = async |limit| {
        let tx = house.db.begin().await.unwrap();
        let gone = sweep(&tx, limit).await.unwrap();
        tx.commit().await.unwrap();
        gone
    };
    assert_eq!(sweep(3).await, 0);
    house.db.clock().advance(2 * MINUTE);
    assert_eq!([sweep(3).await, sweep(3).await, sweep(3).await], [3, 2, 0]);
    assert_eq!(house.row().await.canonical, "queued@example.com");
}

#[tokio::test]
async fn a_worker_without_its_database_neither_spins_nor_hangs() {
    let log = Log::default();
    let _on = log.listen();
    let house = House::new().await;
    house.db.close().await;
    let worker = house.worker();
    for _ in 0..100 {
        house.notify.notify_one();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    tokio::time::timeout(Duration::from_secs(5), worker.stop())
        .await
        .unwrap();
    assert_eq!(
        log.said().matches("outbox out of reach").count(),
        1,
        "{}",
        log.said()
    );
}

#[tokio::test]
async fn a_database_that_is_away_is_asked_ever_more_slowly() {
    let mut page_error = worker::PageError::default();
    let away = InfraError::Unavailable {
        dependency: "database",
        cause: String::new(),
    };
    let pauses: Vec<u64> = (0..6).map(|_| page_error.again(&away).as_secs()).collect();
    assert_eq!(pauses, [1, 2, 4, 8, 15, 15]);
    page_error.over();
    assert_eq!(page_error.again(&away).as_secs(), 1);
}

/// What is written to the log, at its most talkative.
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
    fn said(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// For this thread, as long as what it gives lives.
    fn listen(&self) -> (tracing::Dispatch, tracing::subscriber::DefaultGuard) {
        // With a single subscriber, another test's thread, which has none, may switch an event off for all.
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

#[tokio::test]
async fn f3_the_log_says_how_a_try_ended_and_neither_address_nor_letter() {
    let log = Log::default();
    let _on = log.listen();
    let house = House::new().await;
    for to in [
        "fine@example.com",
        "try550@example.com",
        "data451@example.com",
        "no address",
        "drop@example.com",
    ] {
        house.enqueue(to).await;
    }
    let worker = house.worker();
    house.told(4).await;
    worker.stop().await;
    let said = log.said();
    for wanted in [
        "mail tried",
        "outcome=Accepted",
        "outcome=Refused",
        "outcome=Deferred",
        "mail dropped",
    ] {
        assert!(said.contains(wanted), "no {wanted} in {said}");
    }
    for secret in [SECRET, "@example.com", "no address"] {
        assert!(!said.contains(secret), "{secret} in {said}");
    }
}

/// G5, as a figure: the gate is the load test's.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn g5_how_long_from_queue_to_accepted_at_50_mails_a_second() {
    let house = House::with_timeout(10).await;
    let worker = house.worker();
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    let started = Instant::now();
    for n in 0..150 {
        pace.tick().await;
        house.enqueue(&format!("a{n}@example.com")).await;
    }
    house.until_idle().await;
    worker.stop().await;
    let mut waits: Vec<u128> = house
        .rows()
        .await
        .iter()
        .map(|row| row.finished_at.unwrap().since(row.created_at).as_millis())
        .collect();
    waits.sort_unstable();
    assert_eq!(waits.len(), 150);
    println!(
        "50 mails/s for {:?}: p50 {} ms, p95 {} ms, max {} ms",
        started.elapsed(),
        waits[75],
        waits[142],
        waits[149]
    );
}
