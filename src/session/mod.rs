//! Signed-in browsers.
//!
//! Owns `sessions`. Promises: the cookie's secret is stored as a hash only; a session counts only while its user is
//! active, its epoch is the user's, and neither idle nor absolute time is over; signing in as somebody else, or out,
//! ends the row; a double click gives the same row a fresh secret (DESIGN §8, browser binding).

use std::time::Duration;

use entity::{Time, session};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _,
    PaginatorTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, UpdateMany,
    sea_query::{Expr, LockType, SimpleExpr},
};
use uuid::Uuid;

pub use entity::session::Model as Session;

use crate::{
    config,
    db::Tx,
    error::InfraError,
    secret::{Hash, Plain, public_id},
    user::{self, User},
};

/// How long the secret before a double click is still taken.
const DOUBLE_CLICK: Duration = Duration::from_secs(60);

/// The least time between two writes of `last_seen_at`.
const SEEN_EVERY: Duration = Duration::from_secs(600);

/// How long after a proof an action that needs a fresh one is allowed.
pub const FRESH_FOR: Duration = Duration::from_secs(600);

/// `acr` of a proof at an upstream provider.
pub const UPSTREAM_ACR: &str = "urn:entree:acr:upstream";

/// Whether the proof behind a session was a provider's: it may have been a session of the provider's own, of any age, so it
/// answers no demand for a fresh one (DESIGN §8, upstream and freshness).
#[must_use]
pub fn is_from_upstream(session: &Session) -> bool {
    session.acr == UPSTREAM_ACR
}

/// How somebody proved who they are, for `acr` and `amr` (DESIGN §8, RFC 8176).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMethod<'a> {
    /// A mailed link or code.
    Email,
    /// At an upstream provider.
    Upstream {
        /// The account there.
        identity: Uuid,
        /// What the provider says of how, separated by spaces; empty if it says nothing.
        amr: &'a str,
    },
}

impl<'a> AuthMethod<'a> {
    /// `acr`.
    #[must_use]
    pub const fn acr(self) -> &'static str {
        match self {
            Self::Email => "urn:entree:acr:email",
            Self::Upstream { .. } => UPSTREAM_ACR,
        }
    }

    /// `amr`, separated by spaces; empty: left out of tokens.
    #[must_use]
    pub const fn amr(self) -> &'a str {
        match self {
            Self::Email => "otp",
            Self::Upstream { amr, .. } => amr,
        }
    }

    /// The account at a provider.
    #[must_use]
    pub const fn identity(self) -> Option<Uuid> {
        match self {
            Self::Email => None,
            Self::Upstream { identity, .. } => Some(identity),
        }
    }
}

/// Whether the proof behind a session is younger than [`FRESH_FOR`], and the person's own: what adds or takes away a way in
/// needs that. A provider's word is not: whoever got hold of the account there could add ways in of their own.
#[must_use]
pub fn is_fresh(session: &Session, now: Time) -> bool {
    !is_from_upstream(session) && now.since(session.auth_time) <= FRESH_FOR
}

/// A live session and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentSession {
    /// The session.
    pub session: Session,
    /// Its user.
    pub user: User,
}

/// What a new session is made of.
#[derive(Clone, Debug)]
pub struct NewSession<'a> {
    /// Whose.
    pub user: &'a User,
    /// How they proved it.
    pub method: AuthMethod<'a>,
    /// Browser and system, in words.
    pub device: &'a str,
    /// Longer idle time.
    pub remembered: bool,
    /// The pre-login cookie that it grows from; none for apps.
    pub browser: Option<Hash>,
}

/// Starts a session: its row and the one secret that its cookie will hold.
///
/// # Errors
/// The database's own.
pub async fn start(
    tx: &Tx,
    start: NewSession<'_>,
    limits: &config::Session,
) -> Result<(Session, Plain), InfraError> {
    let secret = Plain::generate();
    let row = Session {
        id: public_id(),
        user_id: start.user.id,
        secret_hash: secret.hash().to_column(),
        previous_hash: None,
        previous_until: None,
        browser_hash: start.browser.map(Hash::to_column),
        auth_epoch: start.user.auth_epoch,
        auth_time: tx.now,
        acr: start.method.acr().to_owned(),
        amr: start.method.amr().to_owned(),
        identity_id: start.method.identity(),
        device: start.device.to_owned(),
        remembered: start.remembered,
        created_at: tx.now,
        last_seen_at: tx.now,
        expires_at: tx.now + Duration::from_secs(limits.absolute_seconds),
        revoked_at: None,
    };
    session::ActiveModel::from(row.clone())
        .insert(tx.conn())
        .await?;
    end_surplus(tx, start.user.id, limits.max_per_user).await?;
    Ok((row, secret))
}

/// BS-05: at most so many live sessions a user; the oldest end first.
async fn end_surplus(tx: &Tx, user: Uuid, most: u32) -> Result<(), InfraError> {
    let surplus: Vec<Uuid> = session::Entity::find()
        .select_only()
        .column(session::Column::Id)
        .filter(live_of(user))
        .order_by_desc(session::Column::CreatedAt)
        .order_by_desc(session::Column::Id)
        .offset(u64::from(most))
        .limit(1000)
        .into_tuple()
        .all(tx.conn())
        .await?;
    if !surplus.is_empty() {
        revoke(tx, session::Column::Id.is_in(surplus)).await?;
    }
    Ok(())
}

fn live_of(user: Uuid) -> Condition {
    Condition::all()
        .add(session::Column::UserId.eq(user))
        .add(session::Column::RevokedAt.is_null())
}

async fn revoke(tx: &Tx, which: impl Into<SimpleExpr>) -> Result<u64, InfraError> {
    let which: SimpleExpr = which.into();
    // Locked in one order, so that two who end several at once wait for each other instead of deadlocking.
    let ids: Vec<Uuid> = session::Entity::find()
        .select_only()
        .column(session::Column::Id)
        .filter(session::Column::RevokedAt.is_null())
        .filter(which)
        .order_by_asc(session::Column::Id)
        .lock(LockType::NoKeyUpdate)
        .into_tuple()
        .all(tx.conn())
        .await?;
    if ids.is_empty() {
        return Ok(0);
    }
    let done = session::Entity::update_many()
        .col_expr(session::Column::RevokedAt, Expr::value(Some(tx.now.0)))
        .filter(session::Column::Id.is_in(ids))
        .filter(session::Column::RevokedAt.is_null())
        .exec(tx.conn())
        .await?;
    Ok(done.rows_affected)
}

/// The live session of a cookie, and its user.
///
/// # Errors
/// The database's own.
pub async fn find_by_cookie(
    conn: &impl ConnectionTrait,
    cookie: &Hash,
    now: Time,
    limits: &config::Session,
) -> Result<Option<CurrentSession>, InfraError> {
    let by_hash = session::Entity::find()
        .filter(session::Column::SecretHash.eq(cookie.to_column()))
        .one(conn)
        .await?;
    let row = match by_hash {
        Some(row) => Some(row),
        None => {
            session::Entity::find()
                .filter(session::Column::PreviousHash.eq(cookie.to_column()))
                .filter(session::Column::PreviousUntil.gt(now))
                .one(conn)
                .await?
        }
    };
    match row {
        Some(row) => judge(conn, row, now, limits).await,
        None => Ok(None),
    }
}

/// The live session with this id, and its user: for codes and tokens that name it.
///
/// # Errors
/// The database's own.
pub async fn find_live(
    conn: &impl ConnectionTrait,
    id: Uuid,
    now: Time,
    limits: &config::Session,
) -> Result<Option<CurrentSession>, InfraError> {
    match session::Entity::find_by_id(id).one(conn).await? {
        Some(row) => judge(conn, row, now, limits).await,
        None => Ok(None),
    }
}

async fn judge(
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
    let Some(user) = user::find_by_id(conn, session.user_id).await? else {
        return Ok(None);
    };
    let counts = user.state == user::UserState::Active && user.auth_epoch == session.auth_epoch;
    Ok(counts.then_some(CurrentSession { session, user }))
}

/// When the session ends if it is not used again.
#[must_use]
pub fn idle_end(session: &Session, limits: &config::Session) -> Time {
    let idle = if session.remembered {
        limits.remembered_idle_seconds
    } else {
        limits.idle_seconds
    };
    session.last_seen_at + Duration::from_secs(idle)
}

/// Notes that a session is in use, at most every ten minutes.
///
/// # Errors
/// The database's own.
pub async fn record_use(
    conn: &impl ConnectionTrait,
    session: &Session,
    now: Time,
) -> Result<(), InfraError> {
    if now.since(session.last_seen_at) < SEEN_EVERY {
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

/// A double click: the same row gets this other secret, the one before it is taken for another minute. A third click
/// brings the secret that is there already, and changes nothing. `false` if the session has ended meanwhile.
///
/// # Errors
/// The database's own.
pub async fn renew_secret(tx: &Tx, id: Uuid, secret: &Plain) -> Result<bool, InfraError> {
    let hash = secret.hash().to_column();
    let done = session::Entity::update_many()
        .col_expr(
            session::Column::PreviousHash,
            Expr::col(session::Column::SecretHash),
        )
        .col_expr(
            session::Column::PreviousUntil,
            Expr::value(Some((tx.now + DOUBLE_CLICK).0)),
        )
        .col_expr(session::Column::SecretHash, Expr::value(hash.clone()))
        .filter(session::Column::Id.eq(id))
        .filter(session::Column::RevokedAt.is_null())
        .filter(session::Column::SecretHash.ne(hash.clone()))
        .exec(tx.conn())
        .await?;
    if done.rows_affected == 1 {
        return Ok(true);
    }
    let there = session::Entity::find_by_id(id)
        .filter(session::Column::SecretHash.eq(hash))
        .filter(session::Column::RevokedAt.is_null());
    Ok(there.count(tx.conn()).await? == 1)
}

/// The same person proved who they are again: same row (so `sid` and grants stay), new secret, the old one is dead at
/// once (BS-04). The cookie that the session grew from stays noted: requests of other tabs wait under it. None if the
/// session has ended meanwhile.
///
/// # Errors
/// The database's own.
pub async fn step_up(
    tx: &Tx,
    id: Uuid,
    method: AuthMethod<'_>,
) -> Result<Option<Plain>, InfraError> {
    let secret = Plain::generate();
    let done = rotation(id, &secret)
        .col_expr(session::Column::AuthTime, Expr::value(tx.now.0))
        .col_expr(session::Column::LastSeenAt, Expr::value(tx.now.0))
        .col_expr(session::Column::Acr, Expr::value(method.acr()))
        .col_expr(session::Column::Amr, Expr::value(method.amr()))
        .col_expr(session::Column::IdentityId, Expr::value(method.identity()))
        .exec(tx.conn())
        .await?;
    Ok((done.rows_affected == 1).then_some(secret))
}

/// Something was added to what this session's user may sign in with: same row, new secret, the old one is dead at once
/// (BS-04). `auth_time` stays, since nothing was proven. None if the session has ended meanwhile.
///
/// # Errors
/// The database's own.
pub async fn rotate(tx: &Tx, id: Uuid) -> Result<Option<Plain>, InfraError> {
    let secret = Plain::generate();
    let done = rotation(id, &secret).exec(tx.conn()).await?;
    Ok((done.rows_affected == 1).then_some(secret))
}

/// The secret of a live session changes, and none before it is taken any more.
fn rotation(id: Uuid, secret: &Plain) -> UpdateMany<session::Entity> {
    session::Entity::update_many()
        .col_expr(
            session::Column::SecretHash,
            Expr::value(secret.hash().to_column()),
        )
        .col_expr(
            session::Column::PreviousHash,
            Expr::value(Option::<Vec<u8>>::None),
        )
        .col_expr(
            session::Column::PreviousUntil,
            Expr::value(Option::<i64>::None),
        )
        .filter(session::Column::Id.eq(id))
        .filter(session::Column::RevokedAt.is_null())
}

/// Ends one session of a user; `false` if it is not theirs or has ended.
///
/// # Errors
/// The database's own.
pub async fn end(tx: &Tx, user: Uuid, id: Uuid) -> Result<bool, InfraError> {
    let which = Condition::all()
        .add(session::Column::Id.eq(id))
        .add(session::Column::UserId.eq(user));
    Ok(revoke(tx, which).await? == 1)
}

/// Ends every session of a user.
///
/// # Errors
/// The database's own.
pub async fn end_all(tx: &Tx, user: Uuid) -> Result<u64, InfraError> {
    revoke(tx, session::Column::UserId.eq(user)).await
}

/// Ends every session that came from this account at a provider (LK-07). Gives them all, also those that had ended before:
/// what they gave away may live on.
///
/// # Errors
/// The database's own.
pub async fn end_from_identity(tx: &Tx, identity: Uuid) -> Result<Vec<Uuid>, InfraError> {
    revoke(tx, session::Column::IdentityId.eq(identity)).await?;
    let all = session::Entity::find()
        .select_only()
        .column(session::Column::Id);
    Ok(all
        .filter(session::Column::IdentityId.eq(identity))
        .into_tuple()
        .all(tx.conn())
        .await?)
}

/// Whether a session has not been ended, and whoever would end it waits until this unit of work is over.
///
/// # Errors
/// The database's own.
pub async fn lock_for_share(tx: &Tx, id: Uuid) -> Result<bool, InfraError> {
    let live = session::Entity::find_by_id(id).filter(session::Column::RevokedAt.is_null());
    Ok(live.lock(LockType::Share).one(tx.conn()).await?.is_some())
}

/// The live sessions of a user, latest use first.
///
/// # Errors
/// The database's own.
pub async fn list_live(
    conn: &impl ConnectionTrait,
    user: &User,
    now: Time,
    limits: &config::Session,
) -> Result<Vec<Session>, InfraError> {
    let mut rows = session::Entity::find()
        .filter(live_of(user.id))
        .filter(session::Column::AuthEpoch.eq(user.auth_epoch))
        .filter(session::Column::ExpiresAt.gt(now))
        .order_by_desc(session::Column::LastSeenAt)
        .limit(200)
        .all(conn)
        .await?;
    rows.retain(|row| idle_end(row, limits) > now);
    Ok(rows)
}

/// Deletes sessions that ended 30 days ago, at most `most`; gives how many.
///
/// # Errors
/// The database's own.
pub async fn sweep(tx: &Tx, most: u64) -> Result<u64, InfraError> {
    let old = tx.now - Duration::from_secs(30 * 86_400);
    tx.delete_some::<session::Entity>(
        session::Column::Id,
        session::Column::ExpiresAt.lt(old),
        most,
    )
    .await
}
