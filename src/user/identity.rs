//! Accounts at upstream providers with which users may sign in.
//!
//! Owns `user_identities`. Promises: one account there belongs to one user here (LK-01), nothing but that pair of issuer
//! and subject ever finds a user, and the last way in is never taken away (LK-07). Who may add or take one is decided
//! elsewhere; here it is written down.

use std::{fmt, time::Duration};

use entity::user_identity as row;
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _,
    sea_query::{Expr, LockType, OnConflict},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use entity::user_identity::Model as Identity;

use crate::{
    config::{Provider, Reloadable},
    db::Tx,
    error::InfraError,
    secret::row_id,
};

/// How long a disconnected account is remembered (security §9).
const TOMBSTONE: Duration = Duration::from_secs(365 * 86_400);

/// Somebody whom a provider has just vouched for.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamAccount {
    /// The configured provider.
    pub provider: String,
    /// The issuer.
    pub issuer: String,
    /// Who it is there.
    pub subject: String,
    /// The address that the provider tells, for people to recognise the account by.
    pub email: Option<String>,
    /// The name that the provider tells.
    pub name: Option<String>,
}

impl fmt::Debug for UpstreamAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrived")
            .field("provider", &self.provider)
            .finish_non_exhaustive()
    }
}

impl UpstreamAccount {
    /// How a person recognises the account: its address, else its name.
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        self.email.as_deref().or(self.name.as_deref())
    }
}

/// Returns the provider of an account if it is still trusted with it: configured, enabled,
/// and with the same issuer. An account that waited for a decision is checked again before it is
/// linked.
#[must_use]
pub fn is_trusted_issuer<'a>(
    config: &'a Reloadable,
    account: &UpstreamAccount,
) -> Option<&'a Provider> {
    config
        .find_provider(&account.provider)
        .filter(|provider| provider.is_issuer(&account.issuer))
}

/// What became of adding an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkResult {
    /// It is this user's now.
    Linked(Identity),
    /// It was this user's already.
    AlreadyLinked(Identity),
    /// It is somebody else's; nothing says whose.
    LinkedToOther,
}

/// What became of taking one away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnlinkResult {
    /// It is disconnected.
    Unlinked(Identity),
    /// It is the last way in.
    LastMethod,
    /// It is not theirs, or was disconnected before.
    NotLinked,
}

/// The live link of this account, if there is one.
///
/// # Errors
/// The database's own.
pub async fn find_linked(
    conn: &impl ConnectionTrait,
    issuer: &str,
    subject: &str,
) -> Result<Option<Identity>, InfraError> {
    let pair = Condition::all()
        .add(row::Column::Issuer.eq(issuer))
        .add(row::Column::Subject.eq(subject));
    Ok(row::Entity::find()
        .filter(pair)
        .filter(row::Column::UnlinkedAt.is_null())
        .one(conn)
        .await?)
}

/// The accounts with which a user may sign in, the oldest first.
///
/// # Errors
/// The database's own.
pub async fn list_for_user(
    conn: &impl ConnectionTrait,
    user: Uuid,
) -> Result<Vec<Identity>, InfraError> {
    Ok(row::Entity::find()
        .filter(live_of(user))
        .order_by_asc(row::Column::LinkedAt)
        .limit(100)
        .all(conn)
        .await?)
}

fn live_of(user: Uuid) -> Condition {
    Condition::all()
        .add(row::Column::UserId.eq(user))
        .add(row::Column::UnlinkedAt.is_null())
}

/// Connects an account to a user. The unique index decides between two at once.
///
/// # Errors
/// The database's own.
pub async fn link(
    tx: &Tx,
    user: Uuid,
    arrived: &UpstreamAccount,
) -> Result<LinkResult, InfraError> {
    let new = Identity {
        id: row_id(tx.now),
        user_id: user,
        provider: arrived.provider.clone(),
        issuer: arrived.issuer.clone(),
        subject: arrived.subject.clone(),
        email: arrived.email.clone(),
        name: arrived.name.clone(),
        linked_at: tx.now,
        last_used_at: tx.now,
        unlinked_at: None,
    };
    let inserted = row::Entity::insert(row::ActiveModel::from(new.clone()))
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .exec_without_returning(tx.conn())
        .await?;
    if inserted == 1 {
        return Ok(LinkResult::Linked(new));
    }
    Ok(
        match find_linked(tx.conn(), &arrived.issuer, &arrived.subject).await? {
            Some(there) if there.user_id == user => LinkResult::AlreadyLinked(there),
            _ => LinkResult::LinkedToOther,
        },
    )
}

/// Notes that somebody signed in with it, and what the provider tells of them now: nothing else changes (case A, LK-03).
/// `false` if it was disconnected meanwhile: then it signs nobody in. Until this unit of work is over, whoever disconnects
/// it waits, and ends the session that it is about to make, too.
///
/// # Errors
/// The database's own.
pub async fn record_use(tx: &Tx, id: Uuid, arrived: &UpstreamAccount) -> Result<bool, InfraError> {
    let done = row::Entity::update_many()
        .col_expr(
            row::Column::Provider,
            Expr::value(arrived.provider.as_str()),
        )
        .col_expr(row::Column::Email, Expr::value(arrived.email.clone()))
        .col_expr(row::Column::Name, Expr::value(arrived.name.clone()))
        .col_expr(row::Column::LastUsedAt, Expr::value(tx.now.0))
        .filter(row::Column::Id.eq(id))
        .filter(row::Column::UnlinkedAt.is_null())
        .exec(tx.conn())
        .await?;
    Ok(done.rows_affected == 1)
}

/// Disconnects an account, unless it is the last way in; `by_mail` says whether mail is one. Whoever calls this ends the
/// sessions that came from it.
///
/// # Errors
/// The database's own.
pub async fn unlink(
    tx: &Tx,
    user: Uuid,
    id: Uuid,
    by_mail: bool,
) -> Result<UnlinkResult, InfraError> {
    // Locked, so that two who take the last two at once wait for each other.
    let live = row::Entity::find()
        .filter(live_of(user))
        .order_by_asc(row::Column::Id)
        .lock(LockType::NoKeyUpdate)
        .all(tx.conn())
        .await?;
    let others = live.iter().any(|other| other.id != id);
    let Some(mine) = live.into_iter().find(|mine| mine.id == id) else {
        return Ok(UnlinkResult::NotLinked);
    };
    if !by_mail && !others {
        return Ok(UnlinkResult::LastMethod);
    }
    let gone = soft_delete(tx, Condition::all().add(row::Column::Id.eq(id))).await?;
    Ok(if gone == 1 {
        UnlinkResult::Unlinked(mine)
    } else {
        UnlinkResult::NotLinked
    })
}

/// Disconnects all accounts of a user: nobody had proven to own it before now (magic-link E2).
///
/// # Errors
/// The database's own.
pub async fn unlink_all(tx: &Tx, user: Uuid) -> Result<u64, InfraError> {
    soft_delete(tx, live_of(user)).await
}

/// Disconnects the accounts that a user has at a provider, even if they are the last way in: ops do so when the provider
/// cannot be trusted any more. Gives how many.
///
/// # Errors
/// The database's own.
pub async fn unlink_provider(tx: &Tx, user: Uuid, provider: &str) -> Result<u64, InfraError> {
    soft_delete(tx, live_of(user).add(row::Column::Provider.eq(provider))).await
}

/// Who has or had an account at a provider.
///
/// # Errors
/// The database's own.
pub async fn users_of_provider(
    conn: &impl ConnectionTrait,
    provider: &str,
) -> Result<Vec<Uuid>, InfraError> {
    let users = row::Entity::find()
        .select_only()
        .column(row::Column::UserId)
        .distinct();
    let of = users
        .filter(row::Column::Provider.eq(provider))
        .order_by_asc(row::Column::UserId);
    Ok(of.into_tuple().all(conn).await?)
}

async fn soft_delete(tx: &Tx, which: Condition) -> Result<u64, InfraError> {
    let done = row::Entity::update_many()
        .col_expr(row::Column::UnlinkedAt, Expr::value(Some(tx.now.0)))
        .filter(which)
        .filter(row::Column::UnlinkedAt.is_null())
        .exec(tx.conn())
        .await?;
    Ok(done.rows_affected)
}

/// Forgets accounts that were disconnected a year ago, at most `most`; gives how many.
///
/// # Errors
/// The database's own.
pub async fn sweep(tx: &Tx, most: u64) -> Result<u64, InfraError> {
    let over = row::Column::UnlinkedAt.lt(tx.now - TOMBSTONE);
    tx.delete_some::<row::Entity>(row::Column::Id, over, most)
        .await
}
