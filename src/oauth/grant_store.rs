//! Grants: what a user authorized a client to do. Owns `grant_families`.
//!
//! A grant is one row, under the id that was fixed when its authorization code was issued. The
//! family of its refresh tokens is the same row (DB-01). What reads a grant together with its user and
//! session is in [`stored`].

mod stored;

use std::{collections::BTreeSet, time::Duration};

use entity::{Time, grant_family as row};
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _, QueryTrait as _, Select,
    sea_query::{Alias, Expr, LockType, OnConflict, Query},
};
use uuid::Uuid;

pub(crate) use self::stored::{StoredGrant, find, find_with_address, lock_with_holder};
pub(crate) use entity::grant_family::Model as Grant;

use super::scope;
use crate::{
    audit::Event,
    db::{Tx, joined::Row},
    error::InfraError,
    session::{self, Session},
    user::{self, User},
};

/// How long the row of an ended grant is kept.
const RETENTION: Duration = Duration::from_secs(30 * 86_400);

/// How many live grants a user may have with one client.
const MAX_LIVE: u64 = 50;

/// How many surplus grants one statement ends. There is one at most, unless an older version of the
/// service left more.
const MAX_SURPLUS: u64 = 10_000;

/// The column that says whether a user has [`MAX_LIVE`] grants with a client.
const IS_FULL: &str = "is_full";

/// The session of a code and its user, if they exist.
#[derive(Clone, Debug)]
pub(crate) struct CodeSession {
    pub(crate) session: Session,
    pub(crate) user: Option<User>,
    /// The user has as many live grants with the client as there may be: with another one,
    /// [`revoke_surplus`] ends the oldest.
    pub(crate) has_most_grants: bool,
}

/// Stores a grant together with the event that records it. Returns `false` if one with this id
/// exists: its code was spent before and came back (RD-06). The caller then rolls back.
pub(crate) async fn insert(tx: &Tx, grant: Grant, event: Event) -> Result<bool, InfraError> {
    let insert = row::Entity::insert(row::ActiveModel::from(grant))
        .on_conflict(OnConflict::column(row::Column::Id).do_nothing().to_owned())
        .into_query();
    Ok(event.record_with(tx, insert).await? == 1)
}

/// Finds the session of a code with its user, and whether the user has as many live grants with the
/// client as there may be, by one statement. It locks the session: whatever is notified of its end sees
/// the grant of the code, or the code gives none (LO-4).
pub(crate) async fn find_code_session(
    tx: &Tx,
    session: Uuid,
    client: &str,
) -> Result<Option<CodeSession>, InfraError> {
    use sea_orm::ExprTrait as _;

    let mut select = session::select_one_with_user(session::id_is(session));
    session::lock_selected(&mut select);
    let owner = session::user_column();
    // Spelled as in the index `grant_families_live`, or the planner does not use it.
    let most = Query::select()
        .expr(Expr::val(1))
        .from(row::Entity)
        .and_where(Expr::col(row::Column::UserId.as_column_ref()).equals(owner))
        .and_where(row::Column::ClientId.eq(client))
        .and_where(Expr::cust("grant_families.revoked_at IS NULL"))
        .limit(1)
        .offset(MAX_LIVE - 1)
        .to_owned();
    select.expr_as(Expr::exists(most), Alias::new(IS_FULL));
    let Some(row) = tx.conn().query_one(&select).await? else {
        return Ok(None);
    };
    let has_most_grants = row.try_get("", IS_FULL)?;
    let row = Row::Driver(row);
    let user = user::read_joined(&row)?;
    Ok(session::read_joined(&row)?.map(|session| CodeSession {
        session,
        user,
        has_most_grants,
    }))
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
pub(crate) struct Rotation<'a> {
    /// The hash of the token's secret.
    pub(crate) hash: Vec<u8>,
    /// The token's secret, sealed.
    pub(crate) successor: Vec<u8>,
    /// When the token expires unless it is used.
    pub(crate) idle_until: Time,
    /// The key to which the grant is bound from now on; none leaves it as it is.
    pub(crate) jkt: Option<&'a str>,
}

/// Stores the next refresh token of a family. Returns `false` if the current one is no longer
/// `grant`'s.
pub(crate) async fn rotate(tx: &Tx, grant: &Grant, next: Rotation<'_>) -> Result<bool, InfraError> {
    let gc_day = gc_day(next.idle_until.min(grant.expires_at));
    let mut update = row::Entity::update_many()
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
        .filter(row::Column::RevokedAt.is_null());
    if let Some(jkt) = next.jkt {
        update = update.col_expr(row::Column::DpopJkt, Expr::value(jkt));
    }
    let updated = update.exec(tx.conn()).await?;
    Ok(updated.rows_affected == 1)
}

/// Binds a grant to its first key. Returns `false` if it is bound already.
pub(crate) async fn bind_key(tx: &Tx, id: Uuid, jkt: &str) -> Result<bool, InfraError> {
    let updated = row::Entity::update_many()
        .col_expr(row::Column::DpopJkt, Expr::value(jkt))
        .filter(row::Column::Id.eq(id))
        .filter(row::Column::DpopJkt.is_null())
        .filter(row::Column::RevokedAt.is_null())
        .exec(tx.conn())
        .await?;
    Ok(updated.rows_affected == 1)
}

/// A use of a refresh token that stays the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenUse<'a> {
    /// When the token expires unless it is used again.
    pub(crate) idle_until: Time,
    /// The key to which the grant is bound from now on; none leaves it as it is.
    pub(crate) jkt: Option<&'a str>,
}

/// Records the use of a family's current refresh token. Nothing changes if a later use was recorded,
/// the family has rotated, or the grant has ended.
pub(crate) async fn record_token_use(
    tx: &Tx,
    grant: &Grant,
    token_use: TokenUse<'_>,
) -> Result<(), InfraError> {
    let idle_until = token_use.idle_until;
    let gc_day = gc_day(idle_until.min(grant.expires_at));
    let mut update = row::Entity::update_many()
        .col_expr(row::Column::IdleUntil, Expr::value(idle_until.0))
        .col_expr(row::Column::GcDay, Expr::value(gc_day))
        .filter(row::Column::Id.eq(grant.id))
        .filter(row::Column::Generation.eq(grant.generation))
        .filter(row::Column::IdleUntil.lte(idle_until))
        .filter(row::Column::RevokedAt.is_null());
    // Of a family that has rotated before, the time says how long the token before is repeated.
    if grant.generation == 0 {
        update = update.col_expr(row::Column::RotatedAt, Expr::value(tx.now.0));
    }
    if let Some(jkt) = token_use.jkt {
        update = update.col_expr(row::Column::DpopJkt, Expr::value(jkt));
    }
    update.exec(tx.conn()).await?;
    Ok(())
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

/// Ends the grants that match and are live, by one statement.
async fn revoke_where(tx: &Tx, condition: Condition) -> Result<u64, InfraError> {
    let live = row::Entity::find()
        .filter(condition)
        .filter(row::Column::RevokedAt.is_null());
    revoke_selected(tx, live).await
}

/// Ends the live grants of a user to a client beyond the [`MAX_LIVE`] that were used last, and
/// returns how many (OA-8).
pub(crate) async fn revoke_surplus(tx: &Tx, user: Uuid, client: &str) -> Result<u64, InfraError> {
    let last_use = Expr::cust("COALESCE(rotated_at, created_at)");
    let surplus = row::Entity::find()
        .select_only()
        .column(row::Column::Id)
        .filter(row::Column::UserId.eq(user))
        .filter(row::Column::ClientId.eq(client))
        .filter(Expr::cust("revoked_at IS NULL"))
        .order_by_desc(last_use)
        .order_by_desc(row::Column::Id)
        // SQLite has no OFFSET without LIMIT.
        .limit(MAX_SURPLUS)
        .offset(MAX_LIVE)
        .into_query();
    let condition = Condition::all().add(row::Column::Id.in_subquery(surplus));
    revoke_where(tx, condition).await
}

/// Ends the selected grants by one statement. They are locked in one order, so that two transactions
/// that do this wait for each other instead of deadlocking.
async fn revoke_selected(tx: &Tx, select: Select<row::Entity>) -> Result<u64, InfraError> {
    let mut select = select
        .select_only()
        .column(row::Column::Id)
        .order_by_asc(row::Column::Id);
    if tx.is_postgres() {
        select = select.lock(LockType::NoKeyUpdate);
    }
    let updated = row::Entity::update_many()
        .col_expr(row::Column::RevokedAt, Expr::value(Some(tx.now.0)))
        .col_expr(row::Column::GcDay, Expr::value(gc_day(tx.now)))
        .filter(row::Column::Id.in_subquery(select.into_query()))
        .filter(row::Column::RevokedAt.is_null())
        .exec(tx.conn())
        .await?;
    Ok(updated.rows_affected)
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

/// Returns the clients that have or had a grant with `openid` of these sessions, each with its session
/// (LO-4).
pub(crate) async fn list_clients_of_sessions(
    tx: &Tx,
    sessions: &[Uuid],
) -> Result<BTreeSet<(Uuid, String)>, InfraError> {
    let mut clients = BTreeSet::new();
    for part in sessions.chunks(500) {
        let grants = row::Entity::find()
            .select_only()
            .columns([
                row::Column::SessionId,
                row::Column::ClientId,
                row::Column::Scope,
            ])
            .distinct()
            .filter(row::Column::SessionId.is_in(part.iter().copied()))
            .into_tuple::<(Uuid, String, String)>()
            .all(tx.conn())
            .await?;
        let signed_in = grants
            .into_iter()
            .filter(|(_, _, granted)| scope::has(granted, "openid"));
        clients.extend(signed_in.map(|(session, client, _)| (session, client)));
    }
    Ok(clients)
}

/// Deletes at most `most` grants whose retention is over and returns how many. A grant stays while its
/// session lives, whose end its client is notified of (LO-4).
pub(crate) async fn sweep(tx: &Tx, most: u64) -> Result<u64, InfraError> {
    use sea_orm::ExprTrait as _;

    let today = i32::try_from(tx.now.0.div_euclid(86_400_000)).unwrap_or(0);
    let is_needed = session::still_needs_grants(row::Column::SessionId.as_column_ref(), tx.now);
    let expired = row::Column::GcDay.lte(today).and(is_needed.not());
    tx.delete_some::<row::Entity>(row::Column::Id, expired, most)
        .await
}

#[cfg(test)]
mod tests;
