//! The outbox: emails to be sent, stored in the same transaction as what they are about.
//!
//! A row holds no secret (G2): the email is composed at each attempt. A worker leases a row for 60 s by
//! one guarded statement, and only the holder of the lease may record how an attempt ended. After a
//! crash the lease expires and the row is tried once more. All times are those of the transaction.
//! An email that can be sent at once gets its lease as it is inserted (`handover`).
//! `share` divides the slots of a worker among recipient domains, so that a mail server that hangs
//! delays no email to another domain.

mod ceiling;
mod dispatch;
mod due;
mod handover;
mod lease;
mod new_email;
mod problem;
mod sender;
mod share;
mod worker;

use std::time::Duration;

use entity::mail_outbox::{ActiveModel, Column, Entity, State};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, PaginatorTrait as _,
    QueryFilter as _, QueryOrder as _, QueryTrait as _,
};

use crate::{
    clock::Time,
    db::{Db, Tx},
    error::InfraError,
    secret,
};

pub use ceiling::CeilingSettings;
pub use entity::mail_outbox::{Kind as EmailKind, Model as OutboxRow};
pub use handover::{Handover, Reservation};
pub use new_email::NewEmail;
pub use problem::{DeliveryProblem, problem_of_flow};
pub use worker::Worker;

/// How long finished rows are kept, for an operator's questions.
const RETENTION: Duration = Duration::from_secs(24 * 3600);

/// Queues an email, withheld or not. Wake the worker after the commit.
pub async fn enqueue(tx: &Tx, new: NewEmail) -> Result<(), InfraError> {
    let row = new.into_row(secret::row_id(tx.now), tx.now);
    insert(tx, row).await
}

/// Queues an email under the lease of a worker that has a slot for it. Hand it over after the commit.
/// Returns none if the email is withheld: its row has no lease.
pub async fn enqueue_reserved(
    tx: &Tx,
    new: NewEmail,
    reservation: Reservation,
) -> Result<Option<(OutboxRow, Reservation)>, InfraError> {
    let mut row = new.into_row(reservation.id, tx.now);
    if row.state == State::Withheld {
        reservation.cancel();
        insert(tx, row).await?;
        return Ok(None);
    }
    row.lease_owner = Some(reservation.owner);
    row.lease_until = tx.now + lease::LEASE;
    row.attempts = 1;
    insert(tx, row.clone()).await?;
    Ok(Some((row, reservation)))
}

async fn insert(tx: &Tx, row: OutboxRow) -> Result<(), InfraError> {
    let insert = Entity::insert(ActiveModel::from(row));
    tx.defer::<Entity>(insert.into_query()).await
}

/// Deletes at most `limit` rows that were finished over 24 h ago and returns how many.
pub async fn sweep(tx: &Tx, limit: u64) -> Result<u64, InfraError> {
    let sql = format!(
        "DELETE FROM mail_outbox WHERE id IN (SELECT id FROM mail_outbox WHERE finished_at < $1 \
         ORDER BY finished_at LIMIT $2{})",
        lease::skip_locked(tx)
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let values = [(tx.now - RETENTION).0.into(), limit.into()];
    let deleted = tx
        .conn()
        .execute_raw(lease::statement(tx, sql, values))
        .await?;
    Ok(deleted.rows_affected())
}

/// Returns whether an email of this kind was queued for an address after `since`.
pub async fn was_queued_since(
    tx: &Tx,
    kind: EmailKind,
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

/// Returns whether no email is left to be sent. Tests wait for this.
pub async fn is_idle(db: &Db) -> Result<bool, InfraError> {
    let queued = Entity::find().filter(Column::State.eq(State::Queued));
    Ok(queued.count(db.read()).await? == 0)
}

/// Returns how many emails are queued, and how long the oldest of them is overdue, for the metrics.
pub async fn backlog(db: &Db) -> Result<(u64, Duration), InfraError> {
    let queued = || Entity::find().filter(Column::State.eq(State::Queued));
    let count = queued().count(db.read()).await?;
    let first = queued().order_by_asc(Column::DueAt).one(db.read()).await?;
    let overdue = first.map_or(Duration::ZERO, |row| db.clock().now().since(row.due_at));
    Ok((count, overdue))
}

#[cfg(test)]
mod tests;
