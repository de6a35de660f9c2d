//! The outbox: emails to be sent, stored in the same transaction as what they are about.
//!
//! A row holds no secret (G2): the email is composed at each attempt. A worker leases a row for 60 s by
//! one guarded statement, and only the holder of the lease may record how an attempt ended. After a
//! crash the lease expires and the row is tried once more. All times are those of the transaction.
//! `share` divides the slots of a worker among recipient domains, so that a mail server that hangs
//! delays no email to another domain.

mod ceiling;
mod dispatch;
mod due;
mod lease;
mod problem;
mod share;
mod worker;

use std::time::Duration;

use entity::mail_outbox::{ActiveModel, Column, Entity, State};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ConnectionTrait as _, EntityTrait as _,
    PaginatorTrait as _, QueryFilter as _, QueryOrder as _,
};
use uuid::Uuid;

use crate::{
    clock::Time,
    db::{Db, Tx},
    error::InfraError,
    secret,
};

pub use ceiling::CeilingSettings;
pub use entity::mail_outbox::{Kind as EmailKind, Model as OutboxRow};
pub use problem::{DeliveryProblem, problem_of_flow};
pub use worker::Worker;

/// How long finished rows are kept, for an operator's questions.
const RETENTION: Duration = Duration::from_secs(24 * 3600);

/// An email to be queued.
#[derive(Clone, Debug)]
pub struct NewEmail {
    pub kind: EmailKind,
    pub flow_id: Option<Uuid>,
    /// The stored address of the recipient, never the one that was entered (E5).
    pub canonical: String,
    pub locale: String,
    /// When the first attempt is due.
    pub due_at: Time,
    /// The end of all attempts: the flow's end minus the link's lifetime, so that the link in an accepted
    /// email has its full lifetime (G3).
    pub give_up_at: Time,
    /// What the email is about: the id of a provider.
    pub about: Option<String>,
    /// The email is over a limit or has no recipient. It is stored like any other and never sent, so
    /// that both cost the same (A1).
    pub withheld: bool,
    /// A known device requested the email: it goes before others (OA-7).
    pub known_device: bool,
    /// The network of the request, empty without one: networks take turns at a domain (OA-7).
    pub network: String,
}

/// Queues an email by one INSERT, withheld or not. Wake the worker after the commit.
pub async fn enqueue(tx: &Tx, new: NewEmail) -> Result<(), InfraError> {
    let state = if new.withheld {
        State::Withheld
    } else {
        State::Queued
    };
    let domain = new
        .canonical
        .rsplit_once('@')
        .map_or("", |(_, domain)| domain);
    let row = ActiveModel {
        domain: Set(domain.to_owned()),
        known_device: Set(new.known_device),
        network: Set(new.network),
        id: Set(secret::row_id(tx.now)),
        kind: Set(new.kind),
        state: Set(state),
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
