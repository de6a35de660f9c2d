//! The lifecycle of a signing key (ST-14).
//!
//! ```text
//! pending (published 24 h) → active (90 d) → retiring (published 2 h) → retired (private part destroyed)
//! any of them → compromised (out of the JWKS at once; a successor signs at once)
//! ```
//!
//! Every change happens under one lock over all instances, so that instances that rotate together
//! make one key. The unique index on active keys holds even without the lock.

use std::time::Duration;

use entity::signing_key::{Column, Entity as Row, State};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, PaginatorTrait as _,
    QueryFilter as _, QueryOrder as _,
    sea_query::{Expr, ExprTrait as _, OnConflict},
};

use super::{
    jwt::MAX_LIFETIME,
    public::alg_name,
    row::{ALGS, NewKey},
};
use crate::{clock::Time, config::Alg, db::Tx, error::InfraError};

/// How long a key is published before it signs.
pub(super) const PUBLICATION_LEAD: Duration = Duration::from_hours(24);
/// How long a key signs.
pub(super) const SIGNING_PERIOD: Duration = Duration::from_hours(90 * 24);
/// How long resource servers may cache the JWKS (`max-age`).
const JWKS_MAX_AGE: Duration = Duration::from_mins(5);
/// How long a key stays published after it stopped signing: at least until its last token has
/// expired everywhere.
pub(super) const RETIRING_PERIOD: Duration = longer(
    Duration::from_hours(2),
    Duration::from_secs(MAX_LIFETIME as u64 + 2 * JWKS_MAX_AGE.as_secs()),
);
/// How long an instance may sign with keys that it could not confirm: half of what is left of
/// [`RETIRING_PERIOD`] after the last token has expired.
pub(super) const MAX_UNCONFIRMED: Duration = Duration::from_secs(
    (RETIRING_PERIOD.as_secs() - MAX_LIFETIME as u64 - 2 * JWKS_MAX_AGE.as_secs()) / 2,
);

const fn longer(one: Duration, other: Duration) -> Duration {
    if one.as_secs() > other.as_secs() {
        one
    } else {
        other
    }
}

/// The PostgreSQL advisory lock under which keys change.
const LOCK: i64 = 0x656e_7472_6b65;

/// A change of a key's state, for the log and the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyChange {
    pub kid: String,
    pub state: State,
}

impl KeyChange {
    pub(super) fn new(kid: impl Into<String>, state: State) -> Self {
        Self {
            kid: kid.into(),
            state,
        }
    }
}

/// Holds the lock on changes of keys until this transaction ends. On SQLite a transaction holds off
/// every other one already.
pub(super) async fn lock(tx: &Tx) -> Result<(), InfraError> {
    if tx.is_postgres() {
        tx.conn()
            .execute_unprepared(&format!("SELECT pg_advisory_xact_lock({LOCK})"))
            .await?;
    }
    Ok(())
}

/// Inserts a first active key, unless another instance was faster: the unique index on active keys
/// decides.
pub(super) async fn insert_first(tx: &Tx, new_key: NewKey) -> Result<bool, InfraError> {
    insert(tx, new_key, State::Active).await
}

async fn insert(tx: &Tx, new_key: NewKey, state: State) -> Result<bool, InfraError> {
    let insert = Row::insert(new_key.row(state, tx.now))
        .on_conflict(OnConflict::new().do_nothing().to_owned());
    Ok(insert.exec_without_returning(tx.conn()).await? == 1)
}

/// Publishes a successor, unless one is pending.
pub(super) async fn publish_successor(tx: &Tx, new_key: NewKey) -> Result<bool, InfraError> {
    lock(tx).await?;
    let pending = with_state(new_key.alg(), State::Pending)
        .count(tx.conn())
        .await?;
    if pending > 0 {
        return Ok(false);
    }
    insert(tx, new_key, State::Pending).await
}

/// Makes the changes that are due: pending keys that were published long enough become active, and
/// retiring keys whose last token has expired are retired.
pub(super) async fn advance(tx: &Tx) -> Result<Vec<KeyChange>, InfraError> {
    lock(tx).await?;
    let mut changes = retire(tx).await?;
    for alg in ALGS {
        let ready = with_state(alg, State::Pending)
            .filter(Column::PublishedAt.lte(tx.now - PUBLICATION_LEAD));
        if let Some(next) = ready
            .order_by_asc(Column::PublishedAt)
            .one(tx.conn())
            .await?
        {
            changes.extend(demote(tx, alg).await?);
            changes.push(activate(tx, &next.kid).await?);
        }
    }
    Ok(changes)
}

/// Returns the algorithms whose active key needs a pending successor by now.
pub(super) async fn algs_without_successor(tx: &Tx) -> Result<Vec<Alg>, InfraError> {
    let mut algs = Vec::new();
    for alg in ALGS {
        let old = with_state(alg, State::Active)
            .filter(Column::ActivatedAt.lte(tx.now - (SIGNING_PERIOD - PUBLICATION_LEAD)));
        let pending = with_state(alg, State::Pending).count(tx.conn()).await?;
        if pending == 0 && old.count(tx.conn()).await? > 0 {
            algs.push(alg);
        }
    }
    Ok(algs)
}

/// Destroys the private parts of keys whose last token has expired. Public parts stay, to verify an
/// old ID token as a hint.
async fn retire(tx: &Tx) -> Result<Vec<KeyChange>, InfraError> {
    let is_expired = |at: Time| {
        Column::State
            .eq(State::Retiring)
            .and(Column::DemotedAt.lte(at - RETIRING_PERIOD))
    };
    let rows = Row::find()
        .filter(is_expired(tx.now))
        .all(tx.conn())
        .await?;
    destroy_private_part(State::Retired)
        .filter(is_expired(tx.now))
        .exec(tx.conn())
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| KeyChange::new(row.kid, State::Retired))
        .collect())
}

/// Ends signing with the active key of `alg`.
async fn demote(tx: &Tx, alg: Alg) -> Result<Option<KeyChange>, InfraError> {
    let Some(old) = with_state(alg, State::Active).one(tx.conn()).await? else {
        return Ok(None);
    };
    let update = Row::update_many()
        .col_expr(Column::State, Expr::value(State::Retiring))
        .col_expr(Column::DemotedAt, Expr::value(tx.now))
        .filter(
            Column::Kid
                .eq(old.kid.as_str())
                .and(Column::State.eq(State::Active)),
        );
    expect_one_row(update.exec(tx.conn()).await?.rows_affected)?;
    Ok(Some(KeyChange::new(old.kid, State::Retiring)))
}

/// Begins signing with the pending key `kid`.
async fn activate(tx: &Tx, kid: &str) -> Result<KeyChange, InfraError> {
    let update = Row::update_many()
        .col_expr(Column::State, Expr::value(State::Active))
        .col_expr(Column::ActivatedAt, Expr::value(tx.now))
        .filter(Column::Kid.eq(kid).and(Column::State.eq(State::Pending)));
    expect_one_row(update.exec(tx.conn()).await?.rows_affected)?;
    Ok(KeyChange::new(kid, State::Active))
}

/// Marks `kid` as compromised. If its algorithm has no active key then, the pending one becomes
/// active or, without one, `spare`.
pub(super) async fn compromise(
    tx: &Tx,
    kid: &str,
    spare: NewKey,
) -> Result<Vec<KeyChange>, InfraError> {
    lock(tx).await?;
    let update = destroy_private_part(State::Compromised)
        .col_expr(
            Column::DemotedAt,
            Expr::col(Column::DemotedAt).if_null(Expr::value(tx.now)),
        )
        .filter(
            Column::Kid
                .eq(kid)
                .and(Column::State.ne(State::Compromised)),
        );
    if update.exec(tx.conn()).await?.rows_affected == 0 {
        return Ok(Vec::new());
    }
    let mut changes = vec![KeyChange::new(kid, State::Compromised)];
    let alg = spare.alg();
    if with_state(alg, State::Active).count(tx.conn()).await? > 0 {
        return Ok(changes);
    }
    let pending = with_state(alg, State::Pending)
        .order_by_asc(Column::PublishedAt)
        .one(tx.conn())
        .await?;
    changes.push(match pending {
        Some(next) => activate(tx, &next.kid).await?,
        None => {
            let change = KeyChange::new(spare.kid(), State::Active);
            expect_one_row(u64::from(insert(tx, spare, State::Active).await?))?;
            change
        }
    });
    Ok(changes)
}

fn with_state(alg: Alg, state: State) -> sea_orm::Select<Row> {
    Row::find().filter(Column::Alg.eq(alg_name(alg)).and(Column::State.eq(state)))
}

fn destroy_private_part(state: State) -> sea_orm::UpdateMany<Row> {
    let null = || Expr::value(Option::<Vec<u8>>::None);
    Row::update_many()
        .col_expr(Column::State, Expr::value(state))
        .col_expr(Column::SealedPrivate, null())
        .col_expr(Column::WrappedDataKey, null())
}

/// Fails unless one row was changed, as the lock guarantees, so that nothing is committed.
fn expect_one_row(rows: u64) -> Result<(), InfraError> {
    if rows == 1 {
        Ok(())
    } else {
        Err(InfraError::Conflict(
            "signing keys changed under the lock".to_owned(),
        ))
    }
}
