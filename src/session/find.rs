//! Finding live sessions.

use std::time::Duration;

use entity::{Time, session};
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _, ExprTrait as _,
    QueryFilter as _, QueryOrder as _, QuerySelect as _,
    sea_query::{ColumnRef, Expr, IntoColumnRef, LockType, Query, SelectStatement},
};
use uuid::Uuid;

use super::{Session, end::not_revoked};
use crate::{
    config,
    db::{
        FindRow, Tx,
        joined::{self, Row},
    },
    error::InfraError,
    secret::Hash,
    user::{self, User},
};

/// The least time between two writes of `last_seen_at`.
const RECORD_USE_EVERY: Duration = Duration::from_secs(600);

/// The most sessions that a list shows.
const MAX_LISTED: u64 = 200;

/// The prefix of a session's columns in a statement that reads several tables.
const COLUMNS: &str = "session_";

/// A live session and its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentSession {
    pub session: Session,
    pub user: User,
}

/// Returns the live session of a cookie, and its user. The secret before a double click is accepted
/// for a short time.
pub async fn find_by_cookie(
    conn: &impl FindRow,
    cookie: &Hash,
    now: Time,
    limits: &config::Session,
) -> Result<Option<CurrentSession>, InfraError> {
    let current = Condition::all().add(session::Column::SecretHash.eq(cookie.to_column()));
    let mut found = find_with_user(conn, current).await?;
    if found.is_none() {
        let previous = Condition::all()
            .add(session::Column::PreviousHash.eq(cookie.to_column()))
            .add(session::Column::PreviousUntil.gt(now));
        found = find_with_user(conn, previous).await?;
    }
    Ok(found.and_then(|(session, user)| if_live(session, user?, now, limits)))
}

/// Returns the live session with this id, and its user: for codes and tokens that name it.
pub async fn find_live(
    conn: &impl FindRow,
    id: Uuid,
    now: Time,
    limits: &config::Session,
) -> Result<Option<CurrentSession>, InfraError> {
    let found = find_with_user(conn, id_is(id)).await?;
    Ok(found.and_then(|(session, user)| if_live(session, user?, now, limits)))
}

/// Returns the condition that a session has this id.
#[must_use]
pub fn id_is(id: Uuid) -> Condition {
    Condition::all().add(session::Column::Id.eq(id))
}

/// Returns the column that holds the id of a session's user.
#[must_use]
pub fn user_column() -> ColumnRef {
    session::Column::UserId.as_column_ref().into_column_ref()
}

/// Returns the statement that reads one session with its user. [`read_joined`] and
/// [`user::read_joined`] read its row.
#[must_use]
pub fn select_one_with_user(which: Condition) -> SelectStatement {
    let mut select = Query::select();
    joined::add_columns::<session::Entity>(&mut select, COLUMNS);
    select.from(session::Entity).cond_where(which).limit(1);
    user::join(&mut select, user_column());
    select
}

async fn find_with_user(
    conn: &impl FindRow,
    which: Condition,
) -> Result<Option<(Session, Option<User>)>, InfraError> {
    let Some(row) = conn.find_row(&select_one_with_user(which)).await? else {
        return Ok(None);
    };
    let user = user::read_joined(&row)?;
    Ok(read_joined(&row)?.map(|session| (session, user)))
}

/// Joins the session whose id is in the column `id`, if there is one, to a statement.
pub fn join(select: &mut SelectStatement, id: impl IntoColumnRef) {
    joined::add_columns::<session::Entity>(select, COLUMNS);
    let is_named = Expr::col(session::Column::Id.as_column_ref()).equals(id);
    select.left_join(session::Entity, is_named);
}

/// Reads the session that [`join`] joined.
pub fn read_joined(row: &Row) -> Result<Option<Session>, InfraError> {
    joined::read::<session::Entity>(row, COLUMNS)
}

/// Returns a session and its user if both are live.
#[must_use]
pub fn if_live(
    session: Session,
    user: User,
    now: Time,
    limits: &config::Session,
) -> Option<CurrentSession> {
    let is_over = session.revoked_at.is_some()
        || session.expires_at <= now
        || idle_end(&session, limits) <= now;
    let is_users = user.id == session.user_id
        && user.state == user::UserState::Active
        && user.auth_epoch == session.auth_epoch;
    (is_users && !is_over).then_some(CurrentSession { session, user })
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

/// Makes a statement lock the session that it reads: those who would end it wait until its transaction
/// is over, and it waits for one that is ending it.
pub fn lock_selected(select: &mut SelectStatement) {
    select.lock_with_tables(LockType::Share, [session::Entity]);
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
