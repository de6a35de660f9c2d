//! Grants: what a user authorized a client to do. Owns `grant_families`.
//!
//! A grant is one row, under the id that was fixed when its authorization code was issued. The
//! family of its refresh tokens is the same row (DB-01).

use std::time::Duration;

use entity::{Time, grant_family as row};
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _,
    sea_query::{Expr, LockType, OnConflict},
};
use uuid::Uuid;

pub(crate) use entity::grant_family::Model as Grant;

use super::scope;
use crate::{db::Tx, error::InfraError, user::User};

/// How long the row of an ended grant is kept.
const RETENTION: Duration = Duration::from_secs(30 * 86_400);

/// Stores a grant. Returns `false` if one with this id exists: its code was spent before and came
/// back (RD-06).
pub(crate) async fn insert(tx: &Tx, grant: Grant) -> Result<bool, InfraError> {
    let inserted = row::Entity::insert(row::ActiveModel::from(grant))
        .on_conflict(OnConflict::column(row::Column::Id).do_nothing().to_owned())
        .exec_without_returning(tx.conn())
        .await?;
    Ok(inserted == 1)
}

pub(crate) async fn find(
    conn: &impl ConnectionTrait,
    id: Uuid,
) -> Result<Option<Grant>, InfraError> {
    Ok(row::Entity::find_by_id(id).one(conn).await?)
}

/// Finds a grant and locks it: nothing else changes it before this transaction ends.
pub(crate) async fn lock(tx: &Tx, id: Uuid) -> Result<Option<Grant>, InfraError> {
    Ok(row::Entity::find_by_id(id)
        .lock_exclusive()
        .one(tx.conn())
        .await?)
}

/// The next refresh token of a family, as the row stores it.
#[derive(Debug)]
pub(crate) struct Rotation {
    /// The hash of the token's secret.
    pub(crate) hash: Vec<u8>,
    /// The token's secret, sealed.
    pub(crate) successor: Vec<u8>,
    /// When the token expires unless it is used.
    pub(crate) idle_until: Time,
}

/// Stores the next refresh token of a family. Returns `false` if the current one is no longer
/// `grant`'s.
pub(crate) async fn rotate(tx: &Tx, grant: &Grant, next: Rotation) -> Result<bool, InfraError> {
    let gc_day = gc_day(next.idle_until.min(grant.expires_at));
    let updated = row::Entity::update_many()
        .col_expr(
            row::Column::Generation,
            Expr::value(grant.generation.saturating_add(1)),
        )
        .col_expr(
            row::Column::PreviousHash,
            Expr::col(row::Column::CurrentHash),
        )
        .col_expr(row::Column::CurrentHash, Expr::value(next.hash))
        .col_expr(row::Column::Successor, Expr::value(next.successor))
        .col_expr(row::Column::RotatedAt, Expr::value(tx.now.0))
        .col_expr(row::Column::IdleUntil, Expr::value(next.idle_until.0))
        .col_expr(row::Column::GcDay, Expr::value(gc_day))
        .filter(row::Column::Id.eq(grant.id))
        .filter(row::Column::Generation.eq(grant.generation))
        .filter(row::Column::RevokedAt.is_null())
        .exec(tx.conn())
        .await?;
    Ok(updated.rows_affected == 1)
}

/// The day from which the row of a grant that ends at `end` may be deleted.
#[must_use]
pub(crate) fn gc_day(end: Time) -> i32 {
    // One day later, so that a grant that ended during a day is kept for the whole retention.
    i32::try_from((end + RETENTION).0.div_euclid(86_400_000))
        .unwrap_or(i32::MAX)
        .saturating_add(1)
}

/// Ends a grant. Returns `false` if there is none with this id or it had ended before.
pub(crate) async fn revoke(tx: &Tx, id: Uuid) -> Result<bool, InfraError> {
    let updated = row::Entity::update_many()
        .col_expr(row::Column::RevokedAt, Expr::value(Some(tx.now.0)))
        .col_expr(row::Column::GcDay, Expr::value(gc_day(tx.now)))
        .filter(row::Column::Id.eq(id))
        .filter(row::Column::RevokedAt.is_null())
        .exec(tx.conn())
        .await?;
    Ok(updated.rows_affected == 1)
}

/// Ends every grant of a user to a client and returns how many.
pub(crate) async fn revoke_all(tx: &Tx, user: Uuid, client: &str) -> Result<u64, InfraError> {
    let condition = Condition::all()
        .add(row::Column::UserId.eq(user))
        .add(row::Column::ClientId.eq(client));
    revoke_where(tx, condition).await
}

/// Ends every grant of a user that came from a sign-in with this provider account or from these
/// sessions, also those with `offline_access`, and returns how many. Such a grant outlives its
/// session's row, so it names the account itself.
pub(crate) async fn revoke_for_identity(
    tx: &Tx,
    user: Uuid,
    identity: Uuid,
    sessions: &[Uuid],
) -> Result<u64, InfraError> {
    // An instance of an older version may have stored a grant that does not name its account. The
    // first grants of such a session may be older than its sign-in at the provider; they end, too.
    let of_sessions = |part: &[Uuid]| {
        Condition::all()
            .add(row::Column::IdentityId.is_null())
            .add(row::Column::SessionId.is_in(part.iter().copied()))
    };
    let mut revoked = 0;
    // In parts, since databases bound the number of values in a statement. The first part also has
    // the grants that name their account.
    let (first, rest) = sessions.split_at(sessions.len().min(500));
    for part in [first].into_iter().chain(rest.chunks(500)) {
        let from_sign_in = Condition::any()
            .add(row::Column::IdentityId.eq(identity))
            .add(of_sessions(part));
        let condition = Condition::all()
            .add(row::Column::UserId.eq(user))
            .add(from_sign_in);
        revoked += revoke_where(tx, condition).await?;
    }
    Ok(revoked)
}

async fn revoke_where(tx: &Tx, condition: Condition) -> Result<u64, InfraError> {
    // Locked in one order, so that two transactions that do this wait for each other instead of
    // deadlocking.
    let ids: Vec<Uuid> = row::Entity::find()
        .select_only()
        .column(row::Column::Id)
        .filter(condition)
        .filter(row::Column::RevokedAt.is_null())
        .order_by_asc(row::Column::Id)
        .lock(LockType::NoKeyUpdate)
        .into_tuple()
        .all(tx.conn())
        .await?;
    let mut revoked = 0;
    for id in ids {
        revoked += u64::from(revoke(tx, id).await?);
    }
    Ok(revoked)
}

/// The live grants of a user, given the user's live sessions.
pub(crate) async fn list_live(
    conn: &impl ConnectionTrait,
    user: &User,
    sessions: &[Uuid],
    now: Time,
) -> Result<Vec<Grant>, InfraError> {
    let mut grants = row::Entity::find()
        .filter(row::Column::UserId.eq(user.id))
        .filter(row::Column::AuthEpoch.eq(user.auth_epoch))
        .filter(row::Column::RevokedAt.is_null())
        .filter(row::Column::ExpiresAt.gt(now))
        .order_by_desc(row::Column::CreatedAt)
        .limit(1000)
        .all(conn)
        .await?;
    grants.retain(|grant| {
        let is_offline = scope::has(&grant.scope, scope::OFFLINE);
        let has_session = || grant.session_id.is_some_and(|id| sessions.contains(&id));
        (is_offline || has_session()) && grant.idle_until.is_none_or(|until| until > now)
    });
    Ok(grants)
}

/// Deletes at most `most` grants whose retention is over and returns how many.
pub(crate) async fn sweep(tx: &Tx, most: u64) -> Result<u64, InfraError> {
    let today = i32::try_from(tx.now.0.div_euclid(86_400_000)).unwrap_or(0);
    tx.delete_some::<row::Entity>(row::Column::Id, row::Column::GcDay.lte(today), most)
        .await
}

#[cfg(test)]
mod tests;
