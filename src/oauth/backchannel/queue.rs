//! The queue of logout tokens to deliver. Owns `logout_outbox`.
//!
//! A row is one session and one client. A worker leases it by one guarded statement, and only the
//! holder of the lease may record how an attempt ended; after a crash the lease expires and the attempt
//! is repeated. Rows that were delivered are deleted.

use std::time::Duration;

use entity::logout_outbox::{ActiveModel, Column, Entity};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, ExprTrait as _, PaginatorTrait as _,
    QueryFilter as _, QueryOrder as _, QuerySelect as _, QueryTrait as _, Statement, Value,
    sea_query::{Expr, LockBehavior, LockType, OnConflict},
};
use uuid::Uuid;

pub(super) use entity::logout_outbox::Model as Row;

use crate::{
    app::App,
    audit::{AuditReason, Event, Kind},
    client,
    clock::Time,
    db::{Db, Tx},
    error::InfraError,
    oauth::grant_store,
    secret, session, user,
};

/// How long a worker may hold a row.
const LEASE: Duration = Duration::from_secs(60);

/// How long a dropped row is kept, for an operator's questions.
const RETENTION: Duration = Duration::from_secs(24 * 3600);

/// When attempts are made, in seconds since the first one (LO-8).
const ATTEMPTS_AT: [u64; 6] = [0, 5, 30, 120, 600, 3000];

/// How old a row may become while its client responds to none: it waits for its turn to be the probe.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// How many ended sessions one unit of work claims.
const SESSIONS: u64 = 200;

/// How many units of work one look makes of ended sessions.
const MAX_BATCHES: usize = 10;

/// How many rows of a client that is down one look drops.
const MAX_DROPPED: u64 = 100;

/// How many due rows one look reads.
const MAX_DUE: i64 = 256;

/// A row that is due, as a worker chooses among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DueRow {
    pub(super) id: Uuid,
    pub(super) client_id: String,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AttemptOutcome {
    Delivered,
    /// The client has no `backchannel_logout_uri` any more, or is gone.
    NotWanted,
    /// The class of the failure, a fixed word.
    Failed(&'static str),
}

impl AttemptOutcome {
    /// Returns the class of the failure.
    pub(super) const fn class(self) -> Option<&'static str> {
        match self {
            Self::Failed(class) => Some(class),
            Self::Delivered | Self::NotWanted => None,
        }
    }
}

/// What becomes of a row after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disposition {
    Deleted,
    Dropped,
    RetryAt(Time),
}

/// Claims sessions that ended, and queues a row for each of their clients that is to be notified. A unit
/// of work does both, so that no work item is lost (LO-7). Of very many some are left for the next look, so
/// that deliveries begin.
pub(super) async fn enqueue_ended(app: &App) -> Result<(), InfraError> {
    for _ in 0..MAX_BATCHES {
        if !session::has_ended(app.db.read(), app.clock().now()).await? {
            break;
        }
        let tx = app.db.begin().await?;
        let claimed = enqueue_batch(app, &tx).await?;
        tx.commit().await?;
        if claimed == 0 {
            // Another worker has them.
            break;
        }
    }
    Ok(())
}

async fn enqueue_batch(app: &App, tx: &Tx) -> Result<usize, InfraError> {
    let ended = session::claim_ended(tx, SESSIONS).await?;
    let sessions: Vec<Uuid> = ended.iter().map(|session| session.id).collect();
    let users: Vec<Uuid> = ended.iter().map(|session| session.user_id).collect();
    let clients = grant_store::list_clients_of_sessions(tx, &sessions).await?;
    let subs = user::public_ids(tx.conn(), &users).await?;
    let config = app.config.get();
    let is_notified = |client_id: &str| {
        client::find(&config, client_id)
            .is_some_and(|client| !client.backchannel_logout_uri.is_empty())
    };
    let sub_of = |session: Uuid| {
        let ended = ended.iter().find(|ended| ended.id == session)?;
        subs.get(&ended.user_id).copied()
    };
    let rows = clients
        .into_iter()
        .filter(|(_, client_id)| is_notified(client_id))
        .filter_map(|(session, client_id)| {
            Some(new_row(session, client_id, sub_of(session)?, tx.now))
        });
    insert(tx, rows.collect()).await?;
    Ok(ended.len())
}

fn new_row(session_id: Uuid, client_id: String, sub: Uuid, now: Time) -> Row {
    Row {
        id: secret::row_id(now),
        session_id,
        client_id,
        sub,
        attempts: 0,
        due_at: now,
        lease_until: Time(0),
        lease_owner: None,
        last_error: None,
        created_at: now,
        dropped_at: None,
    }
}

async fn insert(tx: &Tx, rows: Vec<Row>) -> Result<(), InfraError> {
    let once = OnConflict::columns([Column::SessionId, Column::ClientId])
        .do_nothing()
        .to_owned();
    for part in rows.chunks(500) {
        Entity::insert_many(part.iter().cloned().map(ActiveModel::from))
            .on_conflict(once.clone())
            .exec_without_returning(tx.conn())
            .await?;
    }
    Ok(())
}

/// Lists what is due: of each client at most `of_each` rows, the oldest first, and each client in turn.
/// Clients of `without` are left out.
pub(super) async fn list_due(
    db: &Db,
    of_each: i64,
    without: &[&str],
) -> Result<Vec<DueRow>, InfraError> {
    let now = db.clock().now();
    let places: Vec<String> = (0..without.len())
        .map(|at| format!("${}", at + 4))
        .collect();
    let left_out = match places.is_empty() {
        true => String::new(),
        false => format!(" AND client_id NOT IN ({})", places.join(", ")),
    };
    let sql = format!(
        "SELECT id, client_id FROM (SELECT id, client_id, due_at, ROW_NUMBER() OVER \
         (PARTITION BY client_id ORDER BY due_at, id) AS place FROM logout_outbox \
         WHERE dropped_at IS NULL AND due_at <= $1 AND lease_until <= $1{left_out}) AS ranked \
         WHERE place <= $2 ORDER BY place, due_at LIMIT $3"
    );
    let values: [Value; 3] = [now.0.into(), of_each.into(), MAX_DUE.into()];
    let without = without.iter().map(|client_id| Value::from(*client_id));
    let backend = db.read().get_database_backend();
    let query = Statement::from_sql_and_values(backend, sql, values.into_iter().chain(without));
    let rows = db.read().query_all_raw(query).await?;
    rows.iter()
        .map(|row| {
            Ok(DueRow {
                id: row.try_get("", "id")?,
                client_id: row.try_get("", "client_id")?,
            })
        })
        .collect()
}

/// Leases these rows, without those that another worker has leased or finished meanwhile.
pub(super) async fn lease(db: &Db, owner: Uuid, ids: Vec<Uuid>) -> Result<Vec<Row>, InfraError> {
    let tx = db.begin().await?;
    let mut free = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::Id.is_in(ids))
        .filter(Column::DroppedAt.is_null())
        .filter(Column::DueAt.lte(tx.now))
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
    Ok(rows)
}

/// Returns what becomes of a row whose attempt ended now.
pub(super) fn disposition(row: &Row, outcome: AttemptOutcome, now: Time) -> Disposition {
    if outcome.class().is_none() {
        return Disposition::Deleted;
    }
    let made = usize::try_from(row.attempts).unwrap_or(usize::MAX);
    let at = |attempt: usize| ATTEMPTS_AT.get(attempt).copied();
    match (at(made.saturating_sub(1)), at(made)) {
        (Some(last), Some(next)) => {
            Disposition::RetryAt(now + Duration::from_secs(next.saturating_sub(last)))
        }
        _ => Disposition::Dropped,
    }
}

/// Records how an attempt ended. Returns none if the lease was lost: the row belongs to another worker by
/// now.
pub(super) async fn record(
    db: &Db,
    row: &Row,
    outcome: AttemptOutcome,
) -> Result<Option<Disposition>, InfraError> {
    let tx = db.begin().await?;
    let disposition = disposition(row, outcome, tx.now);
    let class = outcome.class();
    let last_error = class.map(str::to_owned);
    let is_recorded = match disposition {
        Disposition::Deleted => delete_leased(&tx, row).await?,
        Disposition::Dropped => {
            let is_dropped = update_leased(&tx, row, |update| {
                update
                    .col_expr(Column::DroppedAt, Expr::value(Some(tx.now)))
                    .col_expr(Column::LastError, Expr::value(last_error))
            })
            .await?;
            if is_dropped {
                record_drop(&tx, row, class.unwrap_or("failed")).await?;
            }
            is_dropped
        }
        Disposition::RetryAt(due_at) => {
            update_leased(&tx, row, |update| {
                update
                    .col_expr(Column::DueAt, Expr::value(due_at))
                    .col_expr(Column::LastError, Expr::value(last_error))
            })
            .await?
        }
    };
    tx.commit().await?;
    Ok(is_recorded.then_some(disposition))
}

/// Drops what is overdue for an hour at a client that responds to nothing, a bounded number at a time:
/// each is an audit row, and others write in between. Returns how many.
pub(super) async fn drop_overdue(db: &Db, client_id: &str) -> Result<usize, InfraError> {
    let is_overdue = |now: Time| {
        Column::ClientId
            .eq(client_id)
            .and(Column::DroppedAt.is_null())
            .and(Column::CreatedAt.lt(now - MAX_AGE))
            .and(Column::DueAt.lte(now))
            .and(Column::LeaseUntil.lte(now))
    };
    let now = db.clock().now();
    let overdue = Entity::find().filter(is_overdue(now)).limit(1);
    if overdue.one(db.read()).await?.is_none() {
        return Ok(0);
    }
    let tx = db.begin().await?;
    let mut some = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(is_overdue(tx.now))
        .limit(MAX_DROPPED);
    if tx.is_postgres() {
        some = some.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
    }
    let dropped = Entity::update_many()
        .col_expr(Column::DroppedAt, Expr::value(Some(tx.now)))
        .filter(Column::Id.in_subquery(some.into_query()))
        .filter(is_overdue(tx.now))
        .exec_with_returning(tx.conn())
        .await?;
    for row in &dropped {
        record_drop(&tx, row, "client_down").await?;
    }
    tx.commit().await?;
    Ok(dropped.len())
}

/// Why a delivery was given up: the class of the last failure.
struct DropReason(&'static str);

impl AuditReason for DropReason {
    fn word(self) -> &'static str {
        self.0
    }
}

async fn record_drop(tx: &Tx, row: &Row, class: &'static str) -> Result<(), InfraError> {
    Event::new(Kind::LogoutDropped)
        .client(Some(&row.client_id))
        .session(row.session_id)
        .reason(DropReason(class))
        .record(tx)
        .await
}

/// Returns how many rows wait, and how long the first of them is overdue, for the metrics.
pub(crate) async fn backlog(db: &Db) -> Result<(u64, Duration), InfraError> {
    let waiting = || Entity::find().filter(Column::DroppedAt.is_null());
    let count = waiting().count(db.read()).await?;
    let first = waiting().order_by_asc(Column::DueAt).one(db.read()).await?;
    let overdue = first.map_or(Duration::ZERO, |row| db.clock().now().since(row.due_at));
    Ok((count, overdue))
}

/// Deletes at most `most` rows that were dropped over 24 h ago and returns how many.
pub(crate) async fn sweep(tx: &Tx, most: u64) -> Result<u64, InfraError> {
    let old = Column::DroppedAt.lt(tx.now - RETENTION);
    tx.delete_some::<Entity>(Column::Id, old, most).await
}

/// The lease of an attempt. The owner alone does not tell a worker's later lease from this one; the
/// number of the attempt does.
fn is_leased(row: &Row) -> Expr {
    Column::Id
        .eq(row.id)
        .and(Column::DroppedAt.is_null())
        .and(Column::LeaseOwner.eq(row.lease_owner))
        .and(Column::Attempts.eq(row.attempts))
}

async fn delete_leased(tx: &Tx, row: &Row) -> Result<bool, InfraError> {
    let deleted = Entity::delete_many()
        .filter(is_leased(row))
        .exec(tx.conn())
        .await?;
    Ok(deleted.rows_affected == 1)
}

/// Changes a leased row and releases it. Returns `false` if the lease was lost.
async fn update_leased(
    tx: &Tx,
    row: &Row,
    change: impl FnOnce(sea_orm::UpdateMany<Entity>) -> sea_orm::UpdateMany<Entity>,
) -> Result<bool, InfraError> {
    let updated = change(Entity::update_many())
        .col_expr(Column::LeaseUntil, Expr::value(Time(0)))
        .col_expr(Column::LeaseOwner, Expr::value(None::<Uuid>))
        .filter(is_leased(row))
        .exec(tx.conn())
        .await?;
    Ok(updated.rows_affected == 1)
}
