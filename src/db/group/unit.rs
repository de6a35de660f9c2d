//! What takes a turn: a unit of work, or a single statement.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use sea_orm::{ConnectionTrait as _, DatabaseExecutor, DatabaseTransaction, DbErr, RuntimeErr};
use tokio::runtime::Handle;

use super::turns::{Group, Lock, Savepoint, Turns};
use crate::{
    db::undecided::{self, Outcome},
    error::ends_transaction,
};

/// A unit of work at work: it holds the lock. Dropping it rolls it back.
#[derive(Debug)]
pub(in crate::db) struct Unit {
    turns: Arc<Turns>,
    /// None once it has ended.
    held: Option<Held>,
    /// Statements that failed or were given up: after them the transaction may be gone.
    unsure: AtomicUsize,
    /// SQLite may have ended the transaction by itself: a further statement would last by itself.
    is_lost: AtomicBool,
}

/// In this order: the transaction ends before the lock is free.
#[derive(Debug)]
struct Held {
    group: Group,
    /// None for the first unit of work of a group: the transaction is its own until it commits.
    savepoint: Option<Savepoint>,
    lock: Lock,
}

impl Unit {
    /// Begins the first unit of work of a group.
    pub(super) fn first(turns: &Arc<Turns>, group: Group, lock: Lock) -> Self {
        let held = Held {
            group,
            savepoint: None,
            lock,
        };
        Self::new(turns, held)
    }

    /// Begins a unit of work in a group that is open.
    pub(super) async fn joining(
        turns: &Arc<Turns>,
        mut group: Group,
        lock: Lock,
    ) -> Result<Self, DbErr> {
        let savepoint = group.begin();
        let held = Held {
            group,
            savepoint: Some(savepoint),
            lock,
        };
        // From here on dropping it rolls it back. Without the savepoint that ends the group.
        let unit = Self::new(turns, held);
        turns.sent.statement();
        let begin = format!("SAVEPOINT {}", savepoint.name());
        unit.transaction()?.execute_unprepared(&begin).await?;
        Ok(unit)
    }

    fn new(turns: &Arc<Turns>, held: Held) -> Self {
        Self {
            turns: Arc::clone(turns),
            held: Some(held),
            unsure: AtomicUsize::new(0),
            is_lost: AtomicBool::new(false),
        }
    }

    pub(in crate::db) fn transaction(&self) -> Result<&DatabaseTransaction, DbErr> {
        self.check_not_lost()?;
        let held = self.held.as_ref();
        held.map(|held| &held.group.transaction).ok_or_else(ended)
    }

    fn check_not_lost(&self) -> Result<(), DbErr> {
        match self.is_lost.load(Ordering::Relaxed) {
            true => Err(DbErr::Exec(RuntimeErr::Internal(
                "a statement before has ended the transaction".to_owned(),
            ))),
            false => Ok(()),
        }
    }

    /// Executes a statement of this unit of work.
    pub(in crate::db) async fn watch<T>(
        &self,
        statement: impl Future<Output = Result<T, DbErr>>,
    ) -> Result<T, DbErr> {
        self.unsure.fetch_add(1, Ordering::Relaxed);
        let done = statement.await;
        match &done {
            Ok(_) => {
                self.unsure.fetch_sub(1, Ordering::Relaxed);
            }
            Err(error) if ends_transaction(error) => self.is_lost.store(true, Ordering::Relaxed),
            Err(_) => {}
        }
        done
    }

    /// Makes it last. Returns when it lasts.
    pub(in crate::db) async fn commit(mut self) -> Outcome {
        self.check_not_lost()?;
        let held = self.held.take().ok_or_else(ended)?;
        let is_sure = self.unsure.load(Ordering::Relaxed) == 0;
        let is_first = held.savepoint.is_none();
        if is_first && (!is_sure || self.turns.waiting() == 0) {
            self.turns.sent.commit();
            return held.group.transaction.commit().await;
        }
        let outcome = self.turns.leave(held.group, held.lock, is_sure);
        undecided::wait(outcome).await
    }
}

fn ended() -> DbErr {
    DbErr::Exec(RuntimeErr::Internal(
        "the unit of work has ended".to_owned(),
    ))
}

impl Drop for Unit {
    fn drop(&mut self) {
        let Some(mut held) = self.held.take() else {
            return;
        };
        // The first has a transaction of its own, which is rolled back with it.
        let Some(savepoint) = held.savepoint else {
            return;
        };
        undecided::note(held.group.join());
        let turns = Arc::clone(&self.turns);
        match Handle::try_current() {
            Ok(runtime) => {
                runtime.spawn(turns.roll_back(held.group, held.lock, savepoint));
            }
            Err(_) => held.group.fail(&ended()),
        }
    }
}

/// The turn of a single statement. One that finds a group open joins it, without a savepoint: SQLite
/// undoes a statement that fails.
#[derive(Debug)]
pub(in crate::db) struct Turn {
    turns: Arc<Turns>,
    group: Option<Group>,
    /// None once it has ended.
    lock: Option<Lock>,
}

impl Turn {
    pub(super) fn new(turns: &Arc<Turns>, group: Option<Group>, lock: Lock) -> Self {
        Self {
            turns: Arc::clone(turns),
            group,
            lock: Some(lock),
        }
    }

    pub(in crate::db) fn executor(&self) -> DatabaseExecutor<'_> {
        match &self.group {
            Some(group) => DatabaseExecutor::Transaction(&group.transaction),
            None => DatabaseExecutor::Connection(&self.turns.pool),
        }
    }

    /// Returns the result of the statement when it lasts.
    pub(in crate::db) async fn end<T>(mut self, done: Result<T, DbErr>) -> Result<T, DbErr> {
        if let (Some(group), Some(lock)) = (self.group.take(), self.lock.take()) {
            let outcome = self.turns.leave(group, lock, done.is_ok());
            undecided::wait(outcome).await?;
        }
        done
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // A statement that was given up: whether the transaction is still there, the COMMIT shows.
        let (Some(group), Some(lock)) = (self.group.take(), self.lock.take()) else {
            return;
        };
        match Handle::try_current() {
            Ok(runtime) => {
                runtime.spawn(Arc::clone(&self.turns).close(group, lock));
            }
            Err(_) => group.fail(&ended()),
        }
    }
}
