//! Leases on outbox rows: which worker may try a row, and how an attempt changes it.

use std::time::Duration;

use entity::mail_outbox::{Column, Entity, Model, State};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, QueryFilter as _, QuerySelect as _,
    Statement, sea_query::Expr,
};
use uuid::Uuid;

use crate::{
    clock::Time,
    db::{Db, Tx},
    error::InfraError,
    mail::{DeliveryAttempt, DeliveryOutcome},
};

/// How long a worker may hold a row.
pub(super) const LEASE: Duration = Duration::from_secs(60);

/// The delay before the next attempt, after so many attempts (G3).
pub(super) const fn retry_delay(attempts: i32) -> Duration {
    Duration::from_secs(match attempts {
        ..=1 => 5,
        2 => 15,
        3 => 45,
        4 => 120,
        _ => 300,
    })
}

/// Leases up to `limit` due rows to `owner`, oldest first. The attempt counts from here, so that a row
/// which brings the process down is tried ever less often.
pub(super) async fn lease_due(
    db: &Db,
    owner: Uuid,
    limit: usize,
) -> Result<Vec<Model>, InfraError> {
    if limit == 0 || !is_any_due(db).await? {
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
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let values = [
        tx.now.0.into(),
        limit.into(),
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

/// Looks for a due row without a transaction: a poll that finds none never waits for SQLite's only writer.
async fn is_any_due(db: &Db) -> Result<bool, InfraError> {
    let now = db.clock().now();
    let due = Entity::find()
        .select_only()
        .column(Column::Id)
        // In the words of the partial index: with a bound value the planner might not use it.
        .filter(Expr::cust("state = 'queued'"))
        .filter(Column::DueAt.lte(now))
        .filter(Column::LeaseUntil.lte(now))
        .limit(1);
    Ok(due.into_tuple::<Uuid>().one(db.read()).await?.is_some())
}

/// Renews the lease for the attempt that starts now. Returns `false` if the lease was lost.
pub(super) async fn renew_lease(tx: &Tx, row: &Model) -> Result<bool, InfraError> {
    update_leased(tx, row, |update| {
        update.col_expr(Column::LeaseUntil, Expr::value(tx.now + LEASE))
    })
    .await
}

/// What becomes of a row after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disposition {
    Sent,
    Dropped,
    RetryAt(Time),
}

impl Disposition {
    fn after(tx: &Tx, row: &Model, outcome: DeliveryOutcome) -> Self {
        match outcome {
            DeliveryOutcome::Accepted => Self::Sent,
            DeliveryOutcome::Refused => Self::Dropped,
            DeliveryOutcome::Deferred | DeliveryOutcome::InDoubt => {
                let due_at = tx.now + retry_delay(row.attempts);
                if due_at > row.give_up_at {
                    Self::Dropped
                } else {
                    Self::RetryAt(due_at)
                }
            }
        }
    }
}

/// Records an attempt and returns what becomes of the row. Returns `None` and records nothing if the
/// lease was lost: the row belongs to another worker by now.
pub(super) async fn record_attempt(
    tx: &Tx,
    row: &Model,
    attempt: &DeliveryAttempt,
) -> Result<Option<Disposition>, InfraError> {
    let disposition = Disposition::after(tx, row, attempt.outcome);
    let failed = attempt.outcome != DeliveryOutcome::Accepted;
    let error = failed.then(|| attempt.class.clone());
    let is_recorded = match disposition {
        Disposition::Sent => finish_row(tx, row, State::Sent, error).await?,
        Disposition::Dropped => finish_row(tx, row, State::Dropped, error).await?,
        Disposition::RetryAt(due_at) => {
            update_leased(tx, row, |update| {
                update
                    .col_expr(Column::DueAt, Expr::value(due_at))
                    .col_expr(Column::LeaseUntil, Expr::value(Time(0)))
                    .col_expr(Column::LeaseOwner, Expr::value(None::<Uuid>))
                    .col_expr(Column::LastError, Expr::value(error))
            })
            .await?
        }
    };
    Ok(is_recorded.then_some(disposition))
}

/// Moves a leased row to its final state. Returns `false` if the lease was lost.
pub(super) async fn finish_row(
    tx: &Tx,
    row: &Model,
    state: State,
    error: Option<String>,
) -> Result<bool, InfraError> {
    update_leased(tx, row, |update| {
        update
            .col_expr(Column::State, Expr::val(state))
            .col_expr(Column::FinishedAt, Expr::value(Some(tx.now)))
            .col_expr(Column::LeaseUntil, Expr::value(Time(0)))
            .col_expr(Column::LeaseOwner, Expr::value(None::<Uuid>))
            .col_expr(Column::LastError, Expr::value(error))
    })
    .await
}

/// Releases what a stopping worker still leases, so that another can try it at once. Returns how many.
pub(super) async fn release_leases(db: &Db, owner: Uuid) -> Result<u64, InfraError> {
    let tx = db.begin().await?;
    let released = Entity::update_many()
        .col_expr(Column::LeaseUntil, Expr::value(Time(0)))
        .col_expr(Column::LeaseOwner, Expr::value(None::<Uuid>))
        .filter(Column::State.eq(State::Queued))
        .filter(Column::LeaseOwner.eq(owner))
        .exec(tx.conn())
        .await?;
    tx.commit().await?;
    Ok(released.rows_affected)
}

/// Updates a row by one guarded statement, if the lease is still held. The owner alone does not tell a
/// worker's later lease from this one; the number of the attempt does.
async fn update_leased(
    tx: &Tx,
    row: &Model,
    change: impl FnOnce(sea_orm::UpdateMany<Entity>) -> sea_orm::UpdateMany<Entity>,
) -> Result<bool, InfraError> {
    let updated = change(Entity::update_many())
        .filter(Column::Id.eq(row.id))
        .filter(Column::State.eq(State::Queued))
        .filter(Column::LeaseOwner.eq(row.lease_owner))
        .filter(Column::Attempts.eq(row.attempts))
        .exec(tx.conn())
        .await?;
    Ok(updated.rows_affected == 1)
}

/// The clause that lets two workers select rows side by side. SQLite has one writer and needs none.
pub(super) fn skip_locked(tx: &Tx) -> &'static str {
    if tx.is_postgres() {
        " FOR UPDATE SKIP LOCKED"
    } else {
        ""
    }
}

pub(super) fn statement(
    tx: &Tx,
    sql: String,
    values: impl IntoIterator<Item = sea_orm::Value>,
) -> Statement {
    Statement::from_sql_and_values(tx.conn().get_database_backend(), sql, values)
}
