//! Ending sessions.

use std::time::Duration;

use entity::session;
use sea_orm::{
    ColumnTrait as _, Condition, EntityTrait as _, ExprTrait as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _,
    sea_query::{Expr, LockType, SimpleExpr},
};
use uuid::Uuid;

use crate::{db::Tx, error::InfraError};

/// How long the row of an expired session is kept.
const RETENTION: Duration = Duration::from_secs(30 * 86_400);

/// Ends one session of a user. Returns `false` if it is not the user's or has ended.
pub async fn end(tx: &Tx, user: Uuid, id: Uuid) -> Result<bool, InfraError> {
    let sessions = Condition::all()
        .add(session::Column::Id.eq(id))
        .add(session::Column::UserId.eq(user));
    Ok(revoke(tx, sessions).await? == 1)
}

/// Ends every session of a user. Returns how many.
pub async fn end_all(tx: &Tx, user: Uuid) -> Result<u64, InfraError> {
    revoke(tx, session::Column::UserId.eq(user)).await
}

/// Ends every session that came from this linked account (LK-07). Returns them all, also those that
/// had ended before: tokens that they gave may still be valid.
pub async fn end_from_identity(tx: &Tx, identity: Uuid) -> Result<Vec<Uuid>, InfraError> {
    revoke(tx, session::Column::IdentityId.eq(identity)).await?;
    Ok(session::Entity::find()
        .select_only()
        .column(session::Column::Id)
        .filter(session::Column::IdentityId.eq(identity))
        .into_tuple()
        .all(tx.conn())
        .await?)
}

/// Deletes at most `max` sessions that expired 30 days ago. Returns how many. One that ended stays until
/// the notifications of its clients are queued (LO-7).
pub async fn sweep(tx: &Tx, max: u64) -> Result<u64, InfraError> {
    let expired = session::Column::ExpiresAt.lt(tx.now - RETENTION);
    let is_settled = session::Column::RevokedAt
        .is_null()
        .or(session::Column::ToldAt.is_not_null());
    tx.delete_some::<session::Entity>(session::Column::Id, expired.and(is_settled), max)
        .await
}

/// Selects the sessions of a user that were not ended.
pub(super) fn not_revoked(user: Uuid) -> Condition {
    Condition::all()
        .add(session::Column::UserId.eq(user))
        .add(session::Column::RevokedAt.is_null())
}

/// Ends the selected sessions that have not ended. Returns how many.
pub(super) async fn revoke(tx: &Tx, sessions: impl Into<SimpleExpr>) -> Result<u64, InfraError> {
    // Rows are locked in one order, so that two transactions that end several sessions at once wait
    // for each other instead of deadlocking.
    let ids: Vec<Uuid> = session::Entity::find()
        .select_only()
        .column(session::Column::Id)
        .filter(session::Column::RevokedAt.is_null())
        .filter(sessions.into())
        .order_by_asc(session::Column::Id)
        .lock(LockType::NoKeyUpdate)
        .into_tuple()
        .all(tx.conn())
        .await?;
    if ids.is_empty() {
        return Ok(0);
    }
    let result = session::Entity::update_many()
        .col_expr(session::Column::RevokedAt, Expr::value(Some(tx.now.0)))
        .filter(session::Column::Id.is_in(ids))
        .filter(session::Column::RevokedAt.is_null())
        .exec(tx.conn())
        .await?;
    Ok(result.rows_affected)
}
