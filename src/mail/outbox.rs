//! The outbox: what is to be mailed, in the same transaction as what it is about.
//!
//! A row holds no secret (G2): the letter is made at each try. A worker takes a row by a lease of 60 s in one
//! guarded statement, and only the holder of the lease may say how the row goes on: after a crash the lease runs out and
//! the row is tried again, once. Where the clock matters it is that of the unit of work.

mod worker;

use std::time::Duration;

use entity::mail_outbox::{ActiveModel, Column, Entity, Kind, Model, State};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ConnectionTrait as _, DbBackend, EntityTrait as _,
    PaginatorTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, Statement,
    sea_query::Expr,
};
use uuid::Uuid;

use super::{Outcome, transport::Tried};
use crate::{
    clock::Time,
    db::{Db, Tx},
    error::InfraError,
    secret,
};

pub use entity::mail_outbox::{Kind as EmailKind, Model as Row};
pub use worker::Worker;

/// How long a worker may hold a row.
pub const LEASE: Duration = Duration::from_secs(60);
/// How long finished rows are kept, for questions from ops.
const KEEP: Duration = Duration::from_secs(24 * 3600);

/// A mail to be.
#[derive(Clone, Debug)]
pub struct New {
    /// Which letter.
    pub kind: Kind,
    /// For which flow.
    pub flow_id: Option<Uuid>,
    /// The stored address (never the typed one, E5).
    pub canonical: String,
    /// Language of the letter.
    pub locale: String,
    /// First try.
    pub due_at: Time,
    /// No try after this: flow end minus link lifetime, so that an accepted mail has its full life (G3).
    pub give_up_at: Time,
    /// What it tells of: the id of a provider.
    pub about: Option<String>,
    /// Over a limit, or to nobody: written like any other and never sent, so that both cost the same (A1).
    pub withheld: bool,
}

/// Queues a mail: one INSERT, withheld or not. Wake the worker after the commit.
///
/// # Errors
/// The database's own.
pub async fn enqueue(tx: &Tx, new: New) -> Result<(), InfraError> {
    let row = ActiveModel {
        id: Set(secret::row_id(tx.now)),
        kind: Set(new.kind),
        state: Set(if new.withheld {
            State::Withheld
        } else {
            State::Queued
        }),
        flow_id: Set(new.flow_id),
        canonical: Set(new.canonical),
        locale: Set(new.locale),
        attempts: Set(0),
        due_at: Set(new.due_at),
        give_up_at: Set(new.give_up_at),
        lease_until: Set(Time(0)),
        lease_owner: Set(None),
        last_error: Set(None),
        created_at: Set(tx.now),
        finished_at: Set(new.withheld.then_some(tx.now)),
        about: Set(new.about),
    };
    Entity::insert(row)
        .exec_without_returning(tx.conn())
        .await?;
    Ok(())
}

/// Deletes at most `limit` rows that were finished over 24 h ago; gives how many.
///
/// # Errors
/// The database's own.
pub async fn sweep(tx: &Tx, limit: u64) -> Result<u64, InfraError> {
    let sql = format!(
        "DELETE FROM mail_outbox WHERE id IN (SELECT id FROM mail_outbox WHERE finished_at < $1 \
         ORDER BY finished_at LIMIT $2{})",
        skip_locked(tx)
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let done = tx
        .conn()
        .execute_raw(statement(tx, sql, [(tx.now - KEEP).0.into(), limit.into()]))
        .await?;
    Ok(done.rows_affected())
}

/// Whether a letter of this kind was queued for an address since then.
///
/// # Errors
/// The database's own.
pub async fn any_since(
    tx: &Tx,
    kind: Kind,
    canonical: &str,
    since: Time,
) -> Result<bool, InfraError> {
    let found = Entity::find()
        .filter(Column::Kind.eq(kind))
        .filter(Column::Canonical.eq(canonical))
        .filter(Column::CreatedAt.gt(since))
        .count(tx.conn())
        .await?;
    Ok(found > 0)
}

/// Whether nothing is left to be sent. For tests, that wait for it, and for a drained stop.
///
/// # Errors
/// The database's own.
pub async fn idle(db: &Db) -> Result<bool, InfraError> {
    Ok(Entity::find()
        .filter(Column::State.eq(State::Queued))
        .count(db.read())
        .await?
        == 0)
}

/// How many mails wait, and how long the one that waits longest is overdue. For the metrics.
///
/// # Errors
/// The database's own.
pub async fn backlog(db: &Db) -> Result<(u64, Duration), InfraError> {
    let waiting = || Entity::find().filter(Column::State.eq(State::Queued));
    let count = waiting().count(db.read()).await?;
    let first = waiting().order_by_asc(Column::DueAt).one(db.read()).await?;
    Ok((
        count,
        first.map_or(Duration::ZERO, |row| db.clock().now().since(row.due_at)),
    ))
}

/// The pause after that many tries (G3).
const fn pause(attempts: i32) -> Duration {
    Duration::from_secs(match attempts {
        ..=1 => 5,
        2 => 15,
        3 => 45,
        4 => 120,
        _ => 300,
    })
}

/// Takes up to `most` due rows for `owner`, oldest first. The try counts from here, so that a row which brings the
/// process down is tried ever more rarely.
async fn lease(db: &Db, owner: Uuid, most: usize) -> Result<Vec<Model>, InfraError> {
    // A poll that finds nothing is one read, and never waits for SQLite's only writer.
    let now = db.clock().now();
    let due = Entity::find().select_only().column(Column::Id);
    // In the words of the partial index: a bound value would leave the choice of a plan to chance.
    let due = due
        .filter(Expr::cust("state = 'queued'"))
        .filter(Column::DueAt.lte(now));
    if due
        .filter(Column::LeaseUntil.lte(now))
        .limit(1)
        .into_tuple::<Uuid>()
        .one(db.read())
        .await?
        .is_none()
    {
        return Ok(Vec::new());
    }
    let tx = db.begin().await?;
    // Materialised: PostgreSQL may otherwise run the inner query more than once and lock more than its limit.
    let sql = format!(
        "WITH due AS MATERIALIZED (SELECT id FROM mail_outbox WHERE state = 'queued' AND due_at <= $1 \
         AND lease_until <= $1 ORDER BY due_at LIMIT $2{}) \
         UPDATE mail_outbox SET lease_owner = $3, lease_until = $4, attempts = attempts + 1 \
         WHERE id IN (SELECT id FROM due) RETURNING *",
        skip_locked(&tx)
    );
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let values = [
        tx.now.0.into(),
        most.into(),
        owner.into(),
        (tx.now + LEASE).0.into(),
    ];
    let rows = Entity::find()
        .from_raw_sql(statement(&tx, sql, values))
        .all(tx.conn())
        .await?;
    tx.commit().await?;
    Ok(rows)
}

/// Renews the lease for the try that begins now; `false` if it was lost meanwhile.
async fn renew(tx: &Tx, row: &Model) -> Result<bool, InfraError> {
    held(tx, row, |change| {
        change.col_expr(Column::LeaseUntil, Expr::value(tx.now + LEASE))
    })
    .await
}

/// How a row goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// It is done.
    Sent,
    /// It is given up.
    Dropped,
    /// It is tried again.
    Again(Time),
}

impl Next {
    fn after(tx: &Tx, row: &Model, outcome: Outcome) -> Self {
        match outcome {
            Outcome::Accepted => Self::Sent,
            Outcome::Refused => Self::Dropped,
            Outcome::Deferred | Outcome::InDoubt => {
                let due_at = tx.now + pause(row.attempts);
                if due_at > row.give_up_at {
                    Self::Dropped
                } else {
                    Self::Again(due_at)
                }
            }
        }
    }
}

/// Writes down how a try ended and gives how the row goes on; `None` and nothing written if the lease was lost
/// meanwhile: the row is another worker's now.
async fn record(tx: &Tx, row: &Model, tried: &Tried) -> Result<Option<Next>, InfraError> {
    let next = Next::after(tx, row, tried.outcome);
    let error = (tried.outcome != Outcome::Accepted).then(|| tried.class.clone());
    let done = match next {
        Next::Sent => finish(tx, row, State::Sent, error).await?,
        Next::Dropped => finish(tx, row, State::Dropped, error).await?,
        Next::Again(due_at) => {
            held(tx, row, |change| {
                change
                    .col_expr(Column::DueAt, Expr::value(due_at))
                    .col_expr(Column::LeaseUntil, Expr::value(Time(0)))
                    .col_expr(Column::LeaseOwner, Expr::value(None::<Uuid>))
                    .col_expr(Column::LastError, Expr::value(error))
            })
            .await?
        }
    };
    Ok(done.then_some(next))
}

/// Ends a held row.
async fn finish(
    tx: &Tx,
    row: &Model,
    state: State,
    error: Option<String>,
) -> Result<bool, InfraError> {
    held(tx, row, |change| {
        change
            .col_expr(Column::State, Expr::val(state))
            .col_expr(Column::FinishedAt, Expr::value(Some(tx.now)))
            .col_expr(Column::LeaseUntil, Expr::value(Time(0)))
            .col_expr(Column::LeaseOwner, Expr::value(None::<Uuid>))
            .col_expr(Column::LastError, Expr::value(error))
    })
    .await
}

/// Gives back what a stopping worker still holds, to be tried at once by another.
async fn give_back(db: &Db, owner: Uuid) -> Result<u64, InfraError> {
    let tx = db.begin().await?;
    let done = Entity::update_many()
        .col_expr(Column::LeaseUntil, Expr::value(Time(0)))
        .col_expr(Column::LeaseOwner, Expr::value(None::<Uuid>))
        .filter(Column::State.eq(State::Queued))
        .filter(Column::LeaseOwner.eq(owner))
        .exec(tx.conn())
        .await?;
    tx.commit().await?;
    Ok(done.rows_affected)
}

/// One guarded statement: changes the row if it is still ours. The owner alone would not tell the same worker's later
/// lease from this one; the number of the try does.
async fn held(
    tx: &Tx,
    row: &Model,
    change: impl FnOnce(sea_orm::UpdateMany<Entity>) -> sea_orm::UpdateMany<Entity>,
) -> Result<bool, InfraError> {
    let done = change(Entity::update_many())
        .filter(Column::Id.eq(row.id))
        .filter(Column::State.eq(State::Queued))
        .filter(Column::LeaseOwner.eq(row.lease_owner))
        .filter(Column::Attempts.eq(row.attempts))
        .exec(tx.conn())
        .await?;
    Ok(done.rows_affected == 1)
}

fn skip_locked(tx: &Tx) -> &'static str {
    if tx.is_postgres() {
        " FOR UPDATE SKIP LOCKED"
    } else {
        ""
    }
}

fn statement(tx: &Tx, sql: String, values: impl IntoIterator<Item = sea_orm::Value>) -> Statement {
    let backend: DbBackend = tx.conn().get_database_backend();
    Statement::from_sql_and_values(backend, sql, values)
}

#[cfg(test)]
mod tests;
