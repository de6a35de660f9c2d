//! Group commit on SQLite (SP-2, ADR 0022): units of work that wait for the writer together share
//! one COMMIT, and so one fsync.
//!
//! The writer is one connection behind a fair lock. A unit of work that finds no group begins a
//! transaction and works in it. If others wait when it commits, the transaction stays open as a
//! group, and the next unit of work joins it with a savepoint of its own. All of them continue when
//! the group is committed. While the lock is free and a group is open, a task that commits the group
//! waits in the queue of the lock.

mod turns;
mod unit;

use std::sync::Arc;

use sea_orm::{
    DatabaseConnection, DbErr, SqliteTransactionMode, TransactionOptions, TransactionTrait as _,
};

use super::sent::SentCounter;
use turns::{Group, Turns};

pub(super) use turns::Bounds;
pub(super) use unit::{Turn, Unit};

/// The order in which units of work and statements write on SQLite. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    turns: Arc<Turns>,
}

impl Writer {
    pub(super) fn new(pool: DatabaseConnection, sent: SentCounter, bounds: Bounds) -> Self {
        let turns = Arc::new(Turns::new(pool, sent, bounds));
        Self { turns }
    }

    /// Returns how many units of work and statements wait for their turn.
    pub(super) fn waiting(&self) -> usize {
        self.turns.waiting()
    }

    /// Begins a unit of work: by a transaction, or by a savepoint in the group that is open.
    pub(super) async fn begin(&self) -> Result<Unit, DbErr> {
        let turns = &self.turns;
        let mut lock = turns.lock().await?;
        if let Some(group) = lock.take() {
            return Unit::joining(turns, group, lock).await;
        }
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        turns.sent.statement();
        let transaction = turns.pool.begin_with_options(options).await?;
        Ok(Unit::first(turns, Group::new(transaction), lock))
    }

    /// Waits for the turn of a single statement.
    pub(super) async fn turn(&self) -> Result<Turn, DbErr> {
        let mut lock = self.turns.lock().await?;
        let mut group = lock.take();
        if let Some(group) = &mut group {
            group.begin();
        }
        self.turns.sent.statement();
        Ok(Turn::new(&self.turns, group, lock))
    }
}

#[cfg(test)]
mod tests;
