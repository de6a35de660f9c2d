//! Units of work on a real file. Readers are other connections: they see what has been committed.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt as _;
use sea_orm::{ConnectionTrait as _, DatabaseBackend, Statement};
use tokio::{sync::oneshot, task::JoinHandle};

use super::{Bounds, Writer};
use crate::{
    clock::Clock,
    db::{Db, Tx, until_decided},
    error::InfraError,
    secret::public_id,
};

/// A row without its parent, which COMMIT alone refuses.
const ORPHAN: &str = "INSERT INTO child (parent) VALUES (1)";

struct Stage {
    db: Db,
    folder: PathBuf,
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Stage {
    /// Groups that end by their size alone, so that a slow machine counts as many commits.
    async fn new() -> Self {
        Self::bounded(Bounds::default().units, Duration::MAX).await
    }

    async fn open() -> Self {
        let folder = std::env::temp_dir().join(format!("entree-group-{}", public_id()));
        std::fs::create_dir(&folder).unwrap();
        let url = format!("sqlite:{}", folder.join("entree.db").display());
        let db = Db::connect(&url, 4, Clock::default()).await.unwrap();
        db.pool()
            .execute_unprepared(
                "CREATE TABLE written (n INTEGER NOT NULL); \
                 CREATE TABLE once (n INTEGER NOT NULL UNIQUE); \
                 CREATE TABLE parent (id INTEGER PRIMARY KEY); \
                 CREATE TABLE child (parent INTEGER NOT NULL REFERENCES parent (id) \
                   DEFERRABLE INITIALLY DEFERRED)",
            )
            .await
            .unwrap();
        Self { db, folder }
    }

    async fn bounded(units: usize, wait: Duration) -> Self {
        let mut stage = Self::open().await;
        let write = &mut stage.db.write;
        let bounds = Bounds { units, wait };
        write.writer = Some(Writer::new(write.inner.clone(), write.sent.clone(), bounds));
        stage
    }

    /// Waits until so many wait for their turn.
    async fn queued(&self, count: usize) {
        let all = async {
            while self.db.waiting() != count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let all = tokio::time::timeout(Duration::from_secs(20), all).await;
        all.expect("all wait");
    }

    /// What lasts, in the order in which it was written.
    async fn lasting(&self) -> Vec<i64> {
        lasting(&self.db).await
    }

    /// Starts a unit of work that writes a number, and returns when it waits for its turn as the
    /// last of `place`.
    async fn member(&self, n: i64, place: usize) -> JoinHandle<Result<(), InfraError>> {
        let db = self.db.clone();
        let task = tokio::spawn(async move {
            let tx = db.begin().await?;
            write(&tx, n).await?;
            tx.commit().await?;
            assert!(
                lasting(&db).await.contains(&n),
                "{n} has returned too early"
            );
            Ok(())
        });
        self.queued(place).await;
        task
    }

    /// As [`Self::member`], but stops in the unit of work until it is let go on.
    async fn held_member(&self, n: i64, place: usize, sql: &'static str) -> HeldMember {
        let (began, has_begun) = oneshot::channel();
        let (go_on, may_go_on) = oneshot::channel::<()>();
        let db = self.db.clone();
        let task = tokio::spawn(async move {
            let tx = db.begin().await?;
            write(&tx, n).await?;
            tx.conn().execute_unprepared(sql).await?;
            began.send(()).unwrap();
            may_go_on.await.unwrap();
            tx.commit().await
        });
        self.queued(place).await;
        HeldMember {
            has_begun,
            go_on,
            task,
        }
    }
}

struct HeldMember {
    has_begun: oneshot::Receiver<()>,
    go_on: oneshot::Sender<()>,
    task: JoinHandle<Result<(), InfraError>>,
}

impl HeldMember {
    async fn finish(self) -> Result<(), InfraError> {
        self.go_on.send(()).unwrap();
        self.task.await.unwrap()
    }
}

async fn lasting(db: &Db) -> Vec<i64> {
    let sql = "SELECT n FROM written ORDER BY rowid";
    let query = Statement::from_string(DatabaseBackend::Sqlite, sql);
    let rows = db.read().query_all_raw(query).await.unwrap();
    rows.iter()
        .map(|row| row.try_get("", "n").unwrap())
        .collect()
}

fn insert(n: i64) -> Statement {
    let sql = "INSERT INTO written (n) VALUES ($1)";
    Statement::from_sql_and_values(DatabaseBackend::Sqlite, sql, [n.into()])
}

async fn write(tx: &Tx, n: i64) -> Result<(), InfraError> {
    tx.conn().execute_raw(insert(n)).await?;
    Ok(())
}

async fn begin(stage: &Stage, n: i64) -> Tx {
    let tx = stage.db.begin().await.unwrap();
    write(&tx, n).await.unwrap();
    tx
}

fn is_transient(outcome: Result<(), InfraError>) -> bool {
    outcome.unwrap_err().is_transient()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sp_2_a_unit_of_work_by_itself_costs_begin_and_commit() {
    let stage = Stage::new().await;
    let before = stage.db.sent();
    begin(&stage, 1).await.commit().await.unwrap();
    let after = stage.db.sent();
    assert_eq!(after.statements - before.statements, 3);
    assert_eq!(after.commits - before.commits, 1);
    stage.db.write().execute_raw(insert(2)).await.unwrap();
    assert_eq!(stage.db.sent().statements - after.statements, 1);
    assert_eq!(stage.lasting().await, [1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sp_2_units_of_work_that_wait_together_share_one_commit_in_their_order() {
    let stage = Stage::new().await;
    let first = begin(&stage, 0).await;
    let mut members = Vec::new();
    for n in 1..=20 {
        members.push(stage.member(n, usize::try_from(n).unwrap()).await);
    }
    let before = stage.db.sent();
    first.commit().await.unwrap();
    for member in members {
        member.await.unwrap().unwrap();
    }
    assert_eq!(stage.db.sent().commits - before.commits, 1);
    assert_eq!(stage.lasting().await, (0..=20).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sp_2_a_member_that_fails_panics_or_is_cut_leaves_the_others() {
    let stage = Stage::new().await;
    let first = begin(&stage, 0).await;
    let good = stage.member(1, 1).await;
    let db = stage.db.clone();
    let failing = tokio::spawn(async move {
        let tx = db.begin().await.unwrap();
        write(&tx, 2).await.unwrap();
        let sql = "INSERT INTO missing (n) VALUES (1)";
        assert!(tx.conn().execute_unprepared(sql).await.is_err());
    });
    stage.queued(2).await;
    let db = stage.db.clone();
    let panicking = tokio::spawn(async move {
        let tx = db.begin().await.unwrap();
        write(&tx, 3).await.unwrap();
        panic!("a rule has a bug");
    });
    stage.queued(3).await;
    let cut = stage.held_member(4, 4, "SELECT 1").await;
    let last = stage.member(5, 5).await;
    let before = stage.db.sent();
    let first = tokio::spawn(first.commit());
    cut.has_begun.await.unwrap();
    cut.task.abort();
    first.await.unwrap().unwrap();
    good.await.unwrap().unwrap();
    last.await.unwrap().unwrap();
    failing.await.unwrap();
    assert!(panicking.await.unwrap_err().is_panic());
    assert_eq!(stage.db.sent().commits - before.commits, 1);
    assert_eq!(stage.lasting().await, [0, 1, 5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sp_2_a_commit_that_fails_fails_all_members_and_no_later_one() {
    let stage = Stage::new().await;
    let counted = Arc::new(AtomicUsize::new(0));
    let first = begin(&stage, 0).await;
    let count = Arc::clone(&counted);
    first.on_commit(move || {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let second = stage.member(1, 1).await;
    let spoiler = stage.held_member(2, 2, ORPHAN).await;
    let last = stage.member(3, 3).await;
    let first = tokio::spawn(first.commit());
    assert!(is_transient(spoiler.finish().await));
    assert!(is_transient(first.await.unwrap()));
    assert!(is_transient(second.await.unwrap()));
    assert!(is_transient(last.await.unwrap()));
    assert_eq!(counted.load(Ordering::SeqCst), 0);
    assert!(stage.lasting().await.is_empty());

    begin(&stage, 4).await.commit().await.unwrap();
    assert_eq!(stage.lasting().await, [4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sp_2_a_unit_of_work_that_has_ended_waits_for_the_commit_of_its_group() {
    let stage = Stage::new().await;
    let first = begin(&stage, 0).await;
    let held = stage.held_member(1, 1, "SELECT 1").await;
    let mut commit = Box::pin(first.commit());
    assert!(commit.as_mut().now_or_never().is_none(), "another waits");
    let HeldMember {
        has_begun,
        go_on,
        task,
    } = held;
    has_begun.await.unwrap();
    assert!(commit.as_mut().now_or_never().is_none(), "another works");
    assert!(stage.lasting().await.is_empty());
    go_on.send(()).unwrap();
    commit.await.unwrap();
    assert_eq!(stage.lasting().await, [0, 1]);
    task.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sp_2_one_that_comes_later_keeps_no_earlier_one_waiting() {
    let stage = Stage::new().await;
    let first = begin(&stage, 0).await;
    let second = stage.held_member(1, 1, "SELECT 1").await;
    let first = tokio::spawn(first.commit());
    stage.queued(0).await;
    // It queues behind the first, which waits to commit the group.
    let later = stage.held_member(2, 1, "SELECT 1").await;
    let before = stage.db.sent();
    second.finish().await.unwrap();
    first.await.unwrap().unwrap();
    assert_eq!(stage.lasting().await, [0, 1]);
    later.finish().await.unwrap();
    assert_eq!(stage.db.sent().commits - before.commits, 2);
    assert_eq!(stage.lasting().await, [0, 1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sp_2_a_group_ends_at_its_bounds() {
    for (units, wait, commits) in [(4, Duration::MAX, 3), (100, Duration::ZERO, 10)] {
        let stage = Stage::bounded(units, wait).await;
        let first = begin(&stage, 0).await;
        let mut members = Vec::new();
        for n in 1..10 {
            members.push(stage.member(n, usize::try_from(n).unwrap()).await);
        }
        let before = stage.db.sent();
        first.commit().await.unwrap();
        for member in members {
            member.await.unwrap().unwrap();
        }
        assert_eq!(
            stage.db.sent().commits - before.commits,
            commits,
            "{units} {wait:?}"
        );
        assert_eq!(stage.lasting().await, (0..10).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sp_2_a_group_is_committed_though_the_one_that_waits_goes_away() {
    let stage = Stage::new().await;
    let first = begin(&stage, 0).await;
    let mut waiting = Box::pin(stage.db.begin());
    assert!(waiting.as_mut().now_or_never().is_none());
    let mut commit = Box::pin(first.commit());
    assert!(commit.as_mut().now_or_never().is_none());
    drop(waiting);
    commit.await.unwrap();
    assert_eq!(stage.lasting().await, [0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sp_2_a_group_is_committed_though_the_callers_of_its_members_go_away() {
    let stage = Stage::new().await;
    let first = begin(&stage, 0).await;
    let held = stage.held_member(1, 1, "SELECT 1").await;
    let mut commit = Box::pin(first.commit());
    assert!(commit.as_mut().now_or_never().is_none());
    drop(commit);
    held.finish().await.unwrap();
    assert_eq!(stage.lasting().await, [0, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sp_2_a_single_statement_takes_its_turn_and_lasts_when_it_returns() {
    let stage = Stage::new().await;
    let first = begin(&stage, 0).await;
    let db = stage.db.clone();
    let single = tokio::spawn(async move {
        db.write().execute_raw(insert(1)).await.unwrap();
        assert!(lasting(&db).await.contains(&1));
    });
    stage.queued(1).await;
    let db = stage.db.clone();
    let failing = tokio::spawn(async move {
        let sql = "INSERT INTO once (n) VALUES (1), (1)";
        db.write().execute_unprepared(sql).await.map(drop)
    });
    stage.queued(2).await;
    let last = stage.member(2, 3).await;
    first.commit().await.unwrap();
    single.await.unwrap();
    assert!(failing.await.unwrap().is_err());
    last.await.unwrap().unwrap();
    assert_eq!(stage.lasting().await, [0, 1, 2]);
}

/// Lets the file grow no more, for the connection that is open.
async fn fill_disk(stage: &Stage) {
    let sql = "PRAGMA max_page_count = 20";
    stage.db.pool().execute_unprepared(sql).await.unwrap();
}

/// Writes more than the disk has space for: SQLite then rolls the transaction back by itself.
async fn write_too_much(tx: &Tx) {
    let sql = "INSERT INTO written (n) VALUES (zeroblob(1000000))";
    let error = tx.conn().execute_unprepared(sql).await.unwrap_err();
    assert!(InfraError::from(error).is_transient());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sp_2_after_a_full_disk_units_of_work_begin_again() {
    let stage = Stage::new().await;
    fill_disk(&stage).await;
    let first = begin(&stage, 0).await;
    write_too_much(&first).await;
    drop(first);
    begin(&stage, 1).await.commit().await.unwrap();
    assert_eq!(stage.lasting().await, [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sp_2_a_full_disk_fails_all_that_it_rolled_back_and_no_later_one() {
    for is_swallowed in [false, true] {
        let stage = Stage::new().await;
        fill_disk(&stage).await;
        let first = begin(&stage, 0).await;
        let second = stage.member(1, 1).await;
        let db = stage.db.clone();
        let full = tokio::spawn(async move {
            let tx = db.begin().await.unwrap();
            write_too_much(&tx).await;
            if is_swallowed {
                assert!(tx.commit().await.is_err());
            }
        });
        stage.queued(2).await;
        let later = stage.member(3, 3).await;
        assert!(is_transient(first.commit().await));
        assert!(is_transient(second.await.unwrap()));
        full.await.unwrap();
        // It began after the group had failed.
        later.await.unwrap().unwrap();
        assert_eq!(stage.lasting().await, [3]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sp_2_a_refusal_waits_until_what_it_rests_on_lasts() {
    for (sql, lasts) in [("SELECT 1", true), (ORPHAN, false)] {
        let stage = Stage::new().await;
        let first = begin(&stage, 0).await;
        let (db, seen) = (stage.db.clone(), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&seen);
        let mut refusal = Box::pin(until_decided(async move {
            let tx = db.begin().await.unwrap();
            let sql = "SELECT n FROM written";
            let query = Statement::from_string(DatabaseBackend::Sqlite, sql);
            let rows = tx.conn().query_all_raw(query).await.unwrap();
            drop(tx);
            counted.store(rows.len(), Ordering::SeqCst);
        }));
        assert!(refusal.as_mut().now_or_never().is_none());
        let last = stage.held_member(1, 2, sql).await;
        let first = tokio::spawn(first.commit());
        while seen.load(Ordering::SeqCst) == 0 {
            assert!(refusal.as_mut().now_or_never().is_none());
            tokio::task::yield_now().await;
        }
        assert!(refusal.as_mut().now_or_never().is_none(), "it may not last");
        assert_eq!(last.finish().await.is_ok(), lasts);
        assert_eq!(first.await.unwrap().is_ok(), lasts);
        assert_eq!(refusal.await.is_ok(), lasts);
    }
}

/// SQLite rolls a transaction back by itself when its disk is full. What a rule then writes, because it
/// took the error for an answer, would last by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sp_2_after_a_full_disk_a_unit_of_work_writes_no_more() {
    let fill = "INSERT INTO written (n) VALUES (zeroblob(4000000))";
    for is_member in [false, true] {
        let stage = Stage::new().await;
        let limit = "PRAGMA max_page_count = 100";
        stage.db.pool().execute_unprepared(limit).await.unwrap();
        let mut first = None;
        if is_member {
            first = Some(begin(&stage, 0).await);
        }
        let db = stage.db.clone();
        let task = tokio::spawn(async move {
            let tx = db.begin().await.unwrap();
            write(&tx, 1).await.unwrap();
            let full = tx.conn().execute_unprepared(fill).await;
            assert!(InfraError::from(full.unwrap_err()).is_transient());
            assert!(is_transient(write(&tx, 2).await), "no more");
            assert!(is_transient(tx.commit().await));
        });
        if let Some(first) = first {
            stage.queued(1).await;
            assert!(is_transient(first.commit().await), "it shares the outcome");
        }
        task.await.unwrap();
        assert!(stage.lasting().await.is_empty());
        begin(&stage, 3).await.commit().await.unwrap();
        assert_eq!(stage.lasting().await, [3]);
    }
}
