//! Ended sessions whose clients are still to be notified (LO-7).
//!
//! The row of an ended session is the work item: `revoked_at` is set, and `told_at` is not. So ending a
//! session costs nothing more, and a work item is there as soon as the end is.

use std::time::Duration;

use entity::{Time, session};
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _, ExprTrait as _,
    QueryFilter as _, QueryOrder as _, QuerySelect as _, QueryTrait as _,
    sea_query::{Expr, IntoColumnRef, LockBehavior, LockType, Query},
};
use uuid::Uuid;

use crate::{db::Tx, error::InfraError};

/// How long an ended session waits at least. A redemption locks its session, so that the grant of a code
/// is there as soon as the end is; this is for an instance of an older version, which does not.
const SETTLED_AFTER: Duration = Duration::from_secs(1);

/// A session whose end was claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndedSession {
    pub id: Uuid,
    pub user_id: Uuid,
}

/// Returns whether [`claim_ended`] would find a session.
pub async fn has_ended(conn: &impl ConnectionTrait, now: Time) -> Result<bool, InfraError> {
    let first = session::Entity::find()
        .select_only()
        .column(session::Column::Id)
        .filter(is_waiting(now))
        .limit(1)
        .into_tuple::<Uuid>();
    Ok(first.one(conn).await?.is_some())
}

/// Claims at most about `most` ended sessions by one guarded statement: no other unit of work claims
/// them, and if this one is rolled back, they wait again.
pub async fn claim_ended(tx: &Tx, most: u64) -> Result<Vec<EndedSession>, InfraError> {
    let mut waiting = session::Entity::find()
        .select_only()
        .column(session::Column::Id)
        .filter(is_waiting(tx.now))
        .order_by_asc(session::Column::RevokedAt)
        .limit(most);
    if tx.is_postgres() {
        waiting = waiting.lock_with_behavior(LockType::NoKeyUpdate, LockBehavior::SkipLocked);
    }
    let claimed = session::Entity::update_many()
        .col_expr(session::Column::ToldAt, Expr::value(Some(tx.now.0)))
        .filter(session::Column::Id.in_subquery(waiting.into_query()))
        .filter(session::Column::ToldAt.is_null())
        .exec_with_returning(tx.conn())
        .await?;
    let ended = claimed.into_iter().map(|row| EndedSession {
        id: row.id,
        user_id: row.user_id,
    });
    Ok(ended.collect())
}

/// Returns the condition that the session with this id lives, or has ended and waits for
/// [`claim_ended`]: its grants say which clients will be notified.
#[must_use]
pub fn still_needs_grants(id: impl IntoColumnRef, now: Time) -> Expr {
    let lives = Condition::all()
        .add(session::Column::RevokedAt.is_null())
        .add(session::Column::ExpiresAt.gt(now));
    let waits = Condition::all()
        .add(session::Column::RevokedAt.is_not_null())
        .add(session::Column::ToldAt.is_null());
    let found = Query::select()
        .expr(Expr::val(1))
        .from(session::Entity)
        .and_where(Expr::col(session::Column::Id.as_column_ref()).equals(id))
        .cond_where(Condition::any().add(lives).add(waits))
        .to_owned();
    Expr::exists(found)
}

/// Spelled as in the index `sessions_untold`, or the planner does not use it.
fn is_waiting(now: Time) -> Condition {
    Condition::all()
        .add(session::Column::RevokedAt.is_not_null())
        .add(session::Column::ToldAt.is_null())
        .add(session::Column::RevokedAt.lte(now - SETTLED_AFTER))
}
