//! Leases on outbox rows: which worker may try a row, and how an attempt changes it.

use std::{collections::HashMap, time::Duration};

use entity::mail_outbox::{Column, Entity, Model, State};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, ExprTrait as _, QueryFilter as _,
    QuerySelect as _, QueryTrait as _, Statement,
    sea_query::{Expr, LockBehavior, LockType},
};
use uuid::Uuid;

use super::share::DueEmail;
use crate::{
    clock::Time,
    db::{Db, Tx},
    error::InfraError,
    mail::{DeliveryAttempt, DeliveryOutcome, Observation},
};

/// The class of an email that the ceiling holds.
pub(super) const HELD: &str = "ceiling";
/// The class of an email that waits because the breaker of its domain is open.
pub(super) const BREAKER: &str = "domain down";
/// The class of an email that waits because our mail server does not work, and was not tried yet.
pub(super) const RELAY: &str = "session down";

/// How long a worker may hold a row.
pub(super) const LEASE: Duration = Duration::from_secs(60);

/// The delay before the next attempt, after our mail server failed.
const RELAY_DELAY: Duration = Duration::from_secs(5);

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

/// Leases these rows, without those that another worker has leased meanwhile.
pub(super) async fn lease(
    db: &Db,
    owner: Uuid,
    picked: Vec<DueEmail>,
) -> Result<Vec<(Model, DueEmail)>, InfraError> {
    let tx = db.begin().await?;
    let mut free = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::Id.is_in(picked.iter().map(|email| email.id)))
        .filter(Column::State.eq(State::Queued))
        .filter(Column::LeaseUntil.lte(tx.now));
    if tx.is_postgres() {
        free = free.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
    }
    let rows = Entity::update_many()
        .col_expr(Column::LeaseOwner, Expr::value(Some(owner)))
        .col_expr(Column::LeaseUntil, Expr::value(tx.now + LEASE))
        .col_expr(Column::Attempts, Expr::col(Column::Attempts).add(1))
        .filter(Column::Id.in_subquery(free.into_query()))
        .exec_with_returning(tx.conn())
        .await?;
    tx.commit().await?;
    let mut rows: HashMap<Uuid, Model> = rows.into_iter().map(|row| (row.id, row)).collect();
    let with_row = |email: DueEmail| Some((rows.remove(&email.id)?, email));
    Ok(picked.into_iter().filter_map(with_row).collect())
}

/// Lets emails wait while the breaker of their domain is open, and says so in their rows.
pub(super) async fn postpone(db: &Db, ids: &[Uuid], until: Time) -> Result<(), InfraError> {
    let tx = db.begin().await?;
    Entity::update_many()
        .col_expr(Column::DueAt, Expr::value(until))
        .col_expr(
            Column::LastError,
            Expr::cust("COALESCE(last_error, 'domain down')"),
        )
        .filter(Column::Id.is_in(ids.iter().copied()))
        .filter(Expr::cust("state = 'queued'"))
        .filter(Column::DueAt.lt(until))
        .filter(Column::LeaseUntil.lte(tx.now))
        .exec(tx.conn())
        .await?;
    tx.commit().await
}

/// Lets the emails of a domain that responds again wait no longer.
pub(super) async fn release_domain(db: &Db, domain: &str) -> Result<(), InfraError> {
    let tx = db.begin().await?;
    Entity::update_many()
        .col_expr(Column::DueAt, Expr::value(tx.now))
        .filter(Expr::cust("state = 'queued'"))
        .filter(Column::Domain.eq(domain))
        .filter(Column::DueAt.gt(tx.now))
        .filter(Column::LastError.eq(BREAKER))
        .exec(tx.conn())
        .await?;
    tx.commit().await
}

/// Why all due emails of a kind wait.
#[derive(Clone, Copy, Debug)]
pub(super) enum Waiting {
    /// Our mail server does not work. Emails stay due, so that each may probe.
    Relay,
    /// What the ceiling held before waits further.
    Ceiling(Time),
}

/// Says in the rows of due emails that they wait, by one statement. Returns how many it changed.
pub(super) async fn mark_waiting(db: &Db, waiting: Waiting) -> Result<u64, InfraError> {
    let tx = db.begin().await?;
    let update = match waiting {
        Waiting::Relay => Entity::update_many()
            .col_expr(Column::LastError, Expr::value(RELAY))
            .filter(Column::LastError.is_null()),
        Waiting::Ceiling(until) => Entity::update_many()
            .col_expr(Column::DueAt, Expr::value(until))
            .filter(Column::LastError.eq(HELD))
            .filter(Column::GiveUpAt.gte(until)),
    };
    let marked = update
        .filter(Expr::cust("state = 'queued'"))
        .filter(Column::DueAt.lte(tx.now))
        .filter(Column::LeaseUntil.lte(tx.now))
        .exec(tx.conn())
        .await?;
    tx.commit().await?;
    Ok(marked.rows_affected)
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
    fn after(tx: &Tx, row: &Model, attempt: &DeliveryAttempt) -> Self {
        match attempt.outcome {
            DeliveryOutcome::Accepted => Self::Sent,
            DeliveryOutcome::Refused => Self::Dropped,
            DeliveryOutcome::Deferred | DeliveryOutcome::InDoubt => {
                // The breaker of the mail server spaces the attempts, so that they go on soon after
                // it works again.
                let delay = match attempt.observation {
                    Observation::RelayFailed => RELAY_DELAY,
                    _ => retry_delay(row.attempts),
                };
                let due_at = tx.now + delay;
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
    let disposition = Disposition::after(tx, row, attempt);
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

/// Lets a row wait that is not sent now although nothing is wrong with it: it stays a first attempt.
/// Returns `false` if there is no time left to wait, or the lease was lost.
pub(super) async fn hold_row(tx: &Tx, row: &Model, until: Time) -> Result<bool, InfraError> {
    if until > row.give_up_at {
        return Ok(false);
    }
    update_leased(tx, row, |update| {
        update
            .col_expr(Column::DueAt, Expr::value(until))
            .col_expr(Column::Attempts, Expr::value(row.attempts - 1))
            .col_expr(Column::LeaseUntil, Expr::value(Time(0)))
            .col_expr(Column::LeaseOwner, Expr::value(None::<Uuid>))
            .col_expr(
                Column::LastError,
                Expr::cust("COALESCE(last_error, 'ceiling')"),
            )
    })
    .await
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

/// Releases a row that was inserted under the lease of a worker and never handed to it. The attempt does
/// not count.
pub(super) async fn release_row(db: &Db, owner: Uuid, id: Uuid) -> Result<(), InfraError> {
    let tx = db.begin().await?;
    Entity::update_many()
        .col_expr(Column::LeaseUntil, Expr::value(Time(0)))
        .col_expr(Column::LeaseOwner, Expr::value(None::<Uuid>))
        .col_expr(Column::Attempts, Expr::value(0))
        .filter(Column::Id.eq(id))
        .filter(Column::State.eq(State::Queued))
        .filter(Column::LeaseOwner.eq(owner))
        .filter(Column::Attempts.eq(1))
        .exec(tx.conn())
        .await?;
    tx.commit().await
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
