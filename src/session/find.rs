//! Finding live sessions.

use std::time::Duration;

use entity::{Time, session};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
    sea_query::{Expr, LockType},
};
use uuid::Uuid;

use super::{Session, end::not_revoked};
use crate::{
    config,
    db::Tx,
    error::InfraError,
    secret::Hash,
    user::{self, User},
};

/// The least time between two writes of `last_seen_at`.
const RECORD_USE_EVERY: Duration = Duration::from_secs(600);

/// The most sessions that a list shows.
const MAX_LISTED: u64 = 200;

/// A live session and its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentSession {
    pub session: Session,
    pub user: User,
}

/// Returns the live session of a cookie, and its user. The secret before a double click is accepted
/// for a short time.
pub async fn find_by_cookie(
    conn: &impl ConnectionTrait,
    cookie: &Hash,
    now: Time,
    limits: &config::Session,
) -> Result<Option<CurrentSession>, InfraError> {
    let mut row = session::Entity::find()
        .filter(session::Column::SecretHash.eq(cookie.to_column()))
        .one(conn)
        .await?;
    if row.is_none() {
        row = session::Entity::find()
            .filter(session::Column::PreviousHash.eq(cookie.to_column()))
            .filter(session::Column::PreviousUntil.gt(now))
            .one(conn)
            .await?;
    }
    match row {
        Some(row) => with_user_if_live(conn, row, now, limits).await,
        None => Ok(None),
    }
}

/// Returns the live session with this id, and its user: for codes and tokens that name it.
pub async fn find_live(
    conn: &impl ConnectionTrait,
    id: Uuid,
    now: Time,
    limits: &config::Session,
) -> Result<Option<CurrentSession>, InfraError> {
    match session::Entity::find_by_id(id).one(conn).await? {
        Some(row) => with_user_if_live(conn, row, now, limits).await,
        None => Ok(None),
    }
}

async fn with_user_if_live(
    conn: &impl ConnectionTrait,
    session: Session,
    now: Time,
    limits: &config::Session,
) -> Result<Option<CurrentSession>, InfraError> {
    if session.revoked_at.is_some()
        || session.expires_at <= now
        || idle_end(&session, limits) <= now
    {
        return Ok(None);
    }
    let user = user::find_by_id(conn, session.user_id).await?;
    let user = user.filter(|user| {
        user.state == user::UserState::Active && user.auth_epoch == session.auth_epoch
    });
    Ok(user.map(|user| CurrentSession { session, user }))
}

/// Returns when the session ends if it is not used again.
#[must_use]
pub fn idle_end(session: &Session, limits: &config::Session) -> Time {
    let idle = if session.remembered {
        limits.remembered_idle_seconds
    } else {
        limits.idle_seconds
    };
    session.last_seen_at + Duration::from_secs(idle)
}

/// Records that a session is in use, at most every ten minutes.
pub async fn record_use(
    conn: &impl ConnectionTrait,
    session: &Session,
    now: Time,
) -> Result<(), InfraError> {
    if now.since(session.last_seen_at) < RECORD_USE_EVERY {
        return Ok(());
    }
    session::Entity::update_many()
        .col_expr(session::Column::LastSeenAt, Expr::value(now.0))
        .filter(session::Column::Id.eq(session.id))
        .filter(session::Column::LastSeenAt.lt(now))
        .exec(conn)
        .await?;
    Ok(())
}

/// Returns whether a session has not been ended, and makes those who would end it wait until this
/// transaction is over.
pub async fn lock_for_share(tx: &Tx, id: Uuid) -> Result<bool, InfraError> {
    let live = session::Entity::find_by_id(id).filter(session::Column::RevokedAt.is_null());
    Ok(live.lock(LockType::Share).one(tx.conn()).await?.is_some())
}

/// Returns the live sessions of a user, the latest use first.
pub async fn list_live(
    conn: &impl ConnectionTrait,
    user: &User,
    now: Time,
    limits: &config::Session,
) -> Result<Vec<Session>, InfraError> {
    let mut rows = session::Entity::find()
        .filter(not_revoked(user.id))
        .filter(session::Column::AuthEpoch.eq(user.auth_epoch))
        .filter(session::Column::ExpiresAt.gt(now))
        .order_by_desc(session::Column::LastSeenAt)
        .limit(MAX_LISTED)
        .all(conn)
        .await?;
    rows.retain(|row| idle_end(row, limits) > now);
    Ok(rows)
}
