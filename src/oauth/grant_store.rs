//! Grants: what a person allowed a client. One row a grant, under the id that was fixed when its code was issued; the
//! family of its refresh tokens is the same row (DB-01).

use std::time::Duration;

use entity::{Time, grant_family as row};
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _,
    sea_query::{Expr, LockType, OnConflict},
};
use uuid::Uuid;

pub use entity::grant_family::Model as Grant;

use crate::{
    config,
    db::Tx,
    error::InfraError,
    session,
    user::{self, User},
};

/// How long an ended grant is kept.
const KEPT: Duration = Duration::from_secs(30 * 86_400);

/// Stores a grant; `false` if one with this id is there already: a code that came back after it was spent (RD-06).
///
/// # Errors
/// The database's own.
pub async fn insert(tx: &Tx, grant: Grant) -> Result<bool, InfraError> {
    let inserted = row::Entity::insert(row::ActiveModel::from(grant))
        .on_conflict(OnConflict::column(row::Column::Id).do_nothing().to_owned())
        .exec_without_returning(tx.conn())
        .await?;
    Ok(inserted == 1)
}

/// The grant with this id.
///
/// # Errors
/// The database's own.
pub async fn by_id(conn: &impl ConnectionTrait, id: Uuid) -> Result<Option<Grant>, InfraError> {
    Ok(row::Entity::find_by_id(id).one(conn).await?)
}

/// The same, and nobody else changes it before this unit of work is over.
///
/// # Errors
/// The database's own.
pub async fn lock(tx: &Tx, id: Uuid) -> Result<Option<Grant>, InfraError> {
    Ok(row::Entity::find_by_id(id)
        .lock_exclusive()
        .one(tx.conn())
        .await?)
}

/// Writes the next refresh token of a family, if the current one is still `grant`'s.
///
/// # Errors
/// The database's own.
pub async fn rotate(tx: &Tx, grant: &Grant, next: Rotation) -> Result<bool, InfraError> {
    let done = row::Entity::update_many()
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
        .col_expr(
            row::Column::GcDay,
            Expr::value(gc_day(next.idle_until.min(grant.expires_at))),
        )
        .filter(row::Column::Id.eq(grant.id))
        .filter(row::Column::Generation.eq(grant.generation))
        .filter(row::Column::RevokedAt.is_null())
        .exec(tx.conn())
        .await?;
    Ok(done.rows_affected == 1)
}

/// The next refresh token, as the row holds it.
#[derive(Debug)]
pub struct Rotation {
    /// Hash of its secret.
    pub hash: Vec<u8>,
    /// The secret, sealed.
    pub successor: Vec<u8>,
    /// Until when it must be used.
    pub idle_until: Time,
}

/// The day from which a grant that ends at `end` may be deleted.
#[must_use]
pub fn gc_day(end: Time) -> i32 {
    // A day more, so that what ended within a day has had all of its time.
    i32::try_from((end + KEPT).0.div_euclid(86_400_000))
        .unwrap_or(i32::MAX)
        .saturating_add(1)
}

/// Ends a grant; `false` if it is not there or has ended.
///
/// # Errors
/// The database's own.
pub async fn revoke(tx: &Tx, id: Uuid) -> Result<bool, InfraError> {
    let done = row::Entity::update_many()
        .col_expr(row::Column::RevokedAt, Expr::value(Some(tx.now.0)))
        .col_expr(row::Column::GcDay, Expr::value(gc_day(tx.now)))
        .filter(row::Column::Id.eq(id))
        .filter(row::Column::RevokedAt.is_null())
        .exec(tx.conn())
        .await?;
    Ok(done.rows_affected == 1)
}

/// Ends every grant of a person to a client; gives how many.
///
/// # Errors
/// The database's own.
pub async fn revoke_all(tx: &Tx, user: Uuid, client: &str) -> Result<u64, InfraError> {
    revoke_where(
        tx,
        Condition::all()
            .add(row::Column::UserId.eq(user))
            .add(row::Column::ClientId.eq(client)),
    )
    .await
}

/// Ends every grant of a person that came from a sign-in by this account at a provider, and from these sessions, also
/// those with `offline_access`; gives how many. Such a grant outlives the row of its session, so it knows the account by
/// itself.
///
/// # Errors
/// The database's own.
pub async fn revoke_of_identity(
    tx: &Tx,
    user: Uuid,
    identity: Uuid,
    sessions: &[Uuid],
) -> Result<u64, InfraError> {
    // A copy of before grants knew their account may have stored one that does not. A session's first grants may be from
    // before it was the provider's; they end, too.
    let of_sessions = |part: &[Uuid]| {
        let unnamed = Condition::all().add(row::Column::IdentityId.is_null());
        unnamed.add(row::Column::SessionId.is_in(part.iter().copied()))
    };
    let mut ended = 0;
    // In parts: databases bound how many values a statement may have. The first has those that know their account.
    let (first, rest) = sessions.split_at(sessions.len().min(500));
    for part in [first].into_iter().chain(rest.chunks(500)) {
        let theirs = Condition::any()
            .add(row::Column::IdentityId.eq(identity))
            .add(of_sessions(part));
        ended += revoke_where(
            tx,
            Condition::all()
                .add(row::Column::UserId.eq(user))
                .add(theirs),
        )
        .await?;
    }
    Ok(ended)
}

async fn revoke_where(tx: &Tx, which: Condition) -> Result<u64, InfraError> {
    // Locked in one order, so that two who do this at once wait for each other instead of deadlocking.
    let ids: Vec<Uuid> = row::Entity::find()
        .select_only()
        .column(row::Column::Id)
        .filter(which)
        .filter(row::Column::RevokedAt.is_null())
        .order_by_asc(row::Column::Id)
        .lock(LockType::NoKeyUpdate)
        .into_tuple()
        .all(tx.conn())
        .await?;
    let mut ended = 0;
    for id in ids {
        ended += u64::from(revoke(tx, id).await?);
    }
    Ok(ended)
}

/// The grants of a person that still count, given the sessions of theirs that are live.
///
/// # Errors
/// The database's own.
pub async fn list(
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
    let lives = |grant: &Grant| {
        let offline = super::scope::has(&grant.scope, super::scope::OFFLINE);
        offline || grant.session_id.is_some_and(|id| sessions.contains(&id))
    };
    grants.retain(|grant| lives(grant) && grant.idle_until.is_none_or(|until| until > now));
    Ok(grants)
}

/// Whose a grant is, while it counts: not ended, its user active and of the same epoch, and its session live unless it
/// was given `offline_access` (DESIGN §8, ended session).
///
/// # Errors
/// The database's own.
pub async fn holder(
    conn: &impl ConnectionTrait,
    grant: &Grant,
    now: Time,
    limits: &config::Session,
) -> Result<Option<Holder>, InfraError> {
    if grant.revoked_at.is_some() || grant.expires_at <= now {
        return Ok(None);
    }
    if super::scope::has(&grant.scope, super::scope::OFFLINE) {
        let user = user::find_by_id(conn, grant.user_id).await?;
        let counts = |user: &user::User| {
            user.state == user::UserState::Active && user.auth_epoch == grant.auth_epoch
        };
        return Ok(user.filter(counts).map(|user| Holder {
            user,
            session: None,
        }));
    }
    let Some(id) = grant.session_id else {
        return Ok(None);
    };
    let current = session::find_live(conn, id, now, limits).await?;
    Ok(current.map(|current| Holder {
        user: current.user,
        session: Some(current.session),
    }))
}

/// Who stands behind a live grant.
#[derive(Clone, Debug)]
pub struct Holder {
    /// The person.
    pub user: user::User,
    /// The session that the grant hangs on; none if it has `offline_access`.
    pub session: Option<session::Session>,
}

/// Deletes grants that ended 30 days ago, at most `most`; gives how many.
///
/// # Errors
/// The database's own.
pub async fn sweep(tx: &Tx, most: u64) -> Result<u64, InfraError> {
    let today = i32::try_from(tx.now.0.div_euclid(86_400_000)).unwrap_or(0);
    tx.delete_some::<row::Entity>(row::Column::Id, row::Column::GcDay.lte(today), most)
        .await
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use migration::{Migrator, MigratorTrait as _};

    use super::*;
    use crate::{clock::Clock, db::Db, secret::public_id};

    #[tokio::test]
    async fn db_02_grants_of_before_get_their_date_and_epoch_and_the_way_back_is_open() {
        let file = std::env::temp_dir().join(format!("entree-grants-{}.db", public_id()));
        let db = Db::connect(&format!("sqlite:{}", file.display()), 1, Clock::default())
            .await
            .unwrap();
        Migrator::up(db.pool(), Some(1)).await.unwrap();
        let id = "X'00000000000000000000000000000001'";
        for statement in [
            format!("INSERT INTO users (id, public_id, state, auth_epoch, created_at, updated_at) VALUES ({id}, {id}, 'active', 3, 0, 0)"),
            format!(
                "INSERT INTO grant_families (id, user_id, client_id, scope, audience, auth_time, acr, amr, created_at, expires_at)
                 VALUES ({id}, {id}, 'c', 'openid', 'a', 0, '', '', 0, 1800000003600)"
            ),
        ] {
            db.pool().execute_unprepared(&statement).await.unwrap();
        }
        db.migrate().await.unwrap();
        let grant = by_id(db.read(), Uuid::from_u128(1)).await.unwrap().unwrap();
        assert_eq!(
            (grant.gc_day, grant.auth_epoch, grant.generation),
            (gc_day(grant.expires_at), 3, 0)
        );
        assert_eq!((grant.current_hash, grant.idle_until), (None, None));
        Migrator::down(db.pool(), None).await.unwrap();
        db.close().await;
        let _ = std::fs::remove_file(file);
    }
}
