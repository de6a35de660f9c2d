//! The life of a signing key.
//!
//! ```text
//! pending (published 24 h) → active (90 d) → retiring (published 2 h) → retired (private part destroyed)
//! any of them → compromised (out of the JWKS at once; a successor signs at once)
//! ```
//!
//! Every change happens under one lock over all copies, so that copies that rotate together make one key; the unique
//! index on active keys holds even without it. Keys are made before the lock is taken.

use std::time::Duration;

use entity::signing_key::{Column, Entity as Row, State};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, PaginatorTrait as _,
    QueryFilter as _, QueryOrder as _,
    sea_query::{Expr, ExprTrait as _, OnConflict},
};

use super::{
    Keys,
    jwt::MAX_LIFE,
    public::name,
    row::{ALGS, Made, make},
    seal,
};
use crate::{clock::Time, config::Alg, db::Tx, error::InfraError};

/// How long a key is published before it signs.
const LEAD: Duration = Duration::from_hours(24);
/// How long it signs.
const SERVICE: Duration = Duration::from_hours(90 * 24);
/// How long resource servers may hold on to the JWKS (`max-age`).
const CACHE: Duration = Duration::from_mins(5);
/// How long it stays published after it stopped signing: at least until its last token is dead everywhere.
const KEEP: Duration = longer(
    Duration::from_hours(2),
    Duration::from_secs(MAX_LIFE as u64 + 2 * CACHE.as_secs()),
);
/// For how long a copy may sign on what it last read: what is left of [`KEEP`] once the last token is dead, halved.
pub(super) const STALE: Duration =
    Duration::from_secs((KEEP.as_secs() - MAX_LIFE as u64 - 2 * CACHE.as_secs()) / 2);

const fn longer(one: Duration, other: Duration) -> Duration {
    if one.as_secs() > other.as_secs() {
        one
    } else {
        other
    }
}

/// The PostgreSQL advisory lock under which keys change.
const LOCK: i64 = 0x656e_7472_6b65;

/// A key that changed, for the log and the trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which key.
    pub kid: String,
    /// What it is now.
    pub state: State,
}

impl Change {
    fn new(kid: impl Into<String>, state: State) -> Self {
        Self {
            kid: kid.into(),
            state,
        }
    }
}

impl Keys {
    /// Publishes a successor of the active `alg` key; it signs after 24 h (see [`Keys::tick`]). None if one is waiting
    /// already: copies and operators that ask at the same time get one key.
    ///
    /// # Errors
    /// The database's own.
    pub async fn rotate(&self, alg: Alg) -> Result<Option<String>, InfraError> {
        let made = make(alg, self.master()).await?;
        let kid = made.kid().to_owned();
        let tx = self.db().begin().await?;
        let published = publish(&tx, made).await?;
        tx.commit().await?;
        self.reload().await?;
        Ok(published.then_some(kid))
    }

    /// Moves every key on that is due, and publishes successors. For a job, every few minutes on each copy.
    ///
    /// # Errors
    /// The database's own; what was committed stays.
    pub async fn tick(&self) -> Result<Vec<Change>, InfraError> {
        let tx = self.db().begin().await?;
        let mut changes = tick(&tx).await?;
        let due = due(&tx).await?;
        tx.commit().await?;
        for alg in due {
            changes.extend(
                self.rotate(alg)
                    .await?
                    .map(|kid| Change::new(kid, State::Pending)),
            );
        }
        if !changes.is_empty() {
            self.reload().await?;
        }
        Ok(changes)
    }

    /// Takes a key out at once: gone from the JWKS here with this call and elsewhere with the next poll, its private
    /// part destroyed. If it was signing, a successor signs at once. Empty if there is no such key or it is out
    /// already.
    ///
    /// # Errors
    /// The database's own; nothing has happened then.
    pub async fn emergency(&self, kid: &str) -> Result<Vec<Change>, InfraError> {
        let Some(row) = Row::find_by_id(kid).one(self.db().read()).await? else {
            return Ok(Vec::new());
        };
        let Some(alg) = ALGS.into_iter().find(|&alg| name(alg) == row.alg) else {
            return Ok(Vec::new());
        };
        let spare = make(alg, self.master()).await?;
        let tx = self.db().begin().await?;
        let changes = compromise(&tx, kid, spare).await?;
        tx.commit().await?;
        self.reload().await?;
        Ok(changes)
    }

    /// Wraps every data key anew under the current master key; sealed private parts stay as they are. Gives how many
    /// changed. Afterwards no older master key is needed for signing keys.
    ///
    /// # Errors
    /// [`InfraError::Internal`] for a row that opens with no loaded master key; nothing has happened then.
    pub async fn rewrap(&self) -> Result<u64, InfraError> {
        let tx = self.db().begin().await?;
        lock(&tx).await?;
        let mut changed = 0;
        for row in Row::find()
            .filter(Column::WrappedDataKey.is_not_null())
            .all(tx.conn())
            .await?
        {
            let alg = ALGS.into_iter().find(|&alg| name(alg) == row.alg);
            let wrapped = alg
                .zip(row.wrapped_data_key)
                .and_then(|(alg, data_key)| seal::rewrap(self.master(), &row.kid, alg, &data_key))
                .ok_or_else(|| {
                    InfraError::internal(format!(
                        "signing key {} opens with no master key",
                        row.kid
                    ))
                })?;
            let update = Row::update_many().col_expr(Column::WrappedDataKey, Expr::value(wrapped));
            changed += update
                .filter(Column::Kid.eq(row.kid))
                .exec(tx.conn())
                .await?
                .rows_affected;
        }
        tx.commit().await?;
        Ok(changed)
    }
}

/// Holds off every other change of keys until this unit of work ends. On SQLite a unit of work is that already.
async fn lock(tx: &Tx) -> Result<(), InfraError> {
    if tx.is_postgres() {
        tx.conn()
            .execute_unprepared(&format!("SELECT pg_advisory_xact_lock({LOCK})"))
            .await?;
    }
    Ok(())
}

/// Puts a first key to work, unless another copy was faster: the unique index on active keys decides.
pub(super) async fn first(tx: &Tx, made: Made) -> Result<bool, InfraError> {
    insert(tx, made, State::Active).await
}

async fn insert(tx: &Tx, made: Made, state: State) -> Result<bool, InfraError> {
    let insert =
        Row::insert(made.row(state, tx.now)).on_conflict(OnConflict::new().do_nothing().to_owned());
    Ok(insert.exec_without_returning(tx.conn()).await? == 1)
}

/// Publishes `made` as successor, unless one is waiting.
async fn publish(tx: &Tx, made: Made) -> Result<bool, InfraError> {
    lock(tx).await?;
    let waiting = of(made.alg(), State::Pending).count(tx.conn()).await?;
    if waiting > 0 {
        return Ok(false);
    }
    insert(tx, made, State::Pending).await
}

/// What time does to keys: waiting ones take over once they were published long enough, old ones end once their last
/// token is dead.
async fn tick(tx: &Tx) -> Result<Vec<Change>, InfraError> {
    lock(tx).await?;
    let mut changes = retire(tx).await?;
    for alg in ALGS {
        let ready = of(alg, State::Pending).filter(Column::PublishedAt.lte(tx.now - LEAD));
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

/// Algorithms whose active key must have a successor published by now.
async fn due(tx: &Tx) -> Result<Vec<Alg>, InfraError> {
    let mut due = Vec::new();
    for alg in ALGS {
        let old = of(alg, State::Active).filter(Column::ActivatedAt.lte(tx.now - (SERVICE - LEAD)));
        let waiting = of(alg, State::Pending).count(tx.conn()).await?;
        if waiting == 0 && old.count(tx.conn()).await? > 0 {
            due.push(alg);
        }
    }
    Ok(due)
}

/// Destroys the private parts of keys whose last token is dead; public parts stay, to know an old ID token by.
async fn retire(tx: &Tx) -> Result<Vec<Change>, InfraError> {
    let over = |at: Time| {
        Column::State
            .eq(State::Retiring)
            .and(Column::DemotedAt.lte(at - KEEP))
    };
    let rows = Row::find().filter(over(tx.now)).all(tx.conn()).await?;
    destroy(State::Retired)
        .filter(over(tx.now))
        .exec(tx.conn())
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| Change::new(row.kid, State::Retired))
        .collect())
}

/// The active key of `alg` stops signing.
async fn demote(tx: &Tx, alg: Alg) -> Result<Option<Change>, InfraError> {
    let Some(old) = of(alg, State::Active).one(tx.conn()).await? else {
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
    claimed(update.exec(tx.conn()).await?.rows_affected)?;
    Ok(Some(Change::new(old.kid, State::Retiring)))
}

/// The waiting key `kid` signs from now on.
async fn activate(tx: &Tx, kid: &str) -> Result<Change, InfraError> {
    let update = Row::update_many()
        .col_expr(Column::State, Expr::value(State::Active))
        .col_expr(Column::ActivatedAt, Expr::value(tx.now))
        .filter(Column::Kid.eq(kid).and(Column::State.eq(State::Pending)));
    claimed(update.exec(tx.conn()).await?.rows_affected)?;
    Ok(Change::new(kid, State::Active))
}

/// Takes `kid` out; if no key of its algorithm signs then, the waiting one does or, without one, `spare`.
async fn compromise(tx: &Tx, kid: &str, spare: Made) -> Result<Vec<Change>, InfraError> {
    lock(tx).await?;
    let out = destroy(State::Compromised)
        .col_expr(
            Column::DemotedAt,
            Expr::col(Column::DemotedAt).if_null(Expr::value(tx.now)),
        )
        .filter(
            Column::Kid
                .eq(kid)
                .and(Column::State.ne(State::Compromised)),
        );
    if out.exec(tx.conn()).await?.rows_affected == 0 {
        return Ok(Vec::new());
    }
    let mut changes = vec![Change::new(kid, State::Compromised)];
    let alg = spare.alg();
    if of(alg, State::Active).count(tx.conn()).await? > 0 {
        return Ok(changes);
    }
    let waiting = of(alg, State::Pending)
        .order_by_asc(Column::PublishedAt)
        .one(tx.conn())
        .await?;
    changes.push(match waiting {
        Some(next) => activate(tx, &next.kid).await?,
        None => {
            let change = Change::new(spare.kid(), State::Active);
            claimed(u64::from(insert(tx, spare, State::Active).await?))?;
            change
        }
    });
    Ok(changes)
}

fn of(alg: Alg, state: State) -> sea_orm::Select<Row> {
    Row::find().filter(Column::Alg.eq(name(alg)).and(Column::State.eq(state)))
}

fn destroy(state: State) -> sea_orm::UpdateMany<Row> {
    let nothing = || Expr::value(Option::<Vec<u8>>::None);
    Row::update_many()
        .col_expr(Column::State, Expr::value(state))
        .col_expr(Column::SealedPrivate, nothing())
        .col_expr(Column::WrappedDataKey, nothing())
}

/// One row, as the lock promises; otherwise nothing is committed.
fn claimed(rows: u64) -> Result<(), InfraError> {
    if rows == 1 {
        Ok(())
    } else {
        Err(InfraError::Conflict(
            "signing keys changed under the lock".to_owned(),
        ))
    }
}

#[cfg(test)]
mod tests;
