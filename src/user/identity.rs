//! Accounts at upstream providers with which users sign in ("identities").
//!
//! An account at a provider belongs to one user (LK-01). Nothing but the pair of issuer and subject
//! ever finds a user, and the last sign-in method is never removed (LK-07). Who may link or unlink
//! an account is decided elsewhere; this module stores the result.

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
    user::shown_address,
};

/// How long the row of an unlinked account is kept.
const RETENTION: Duration = Duration::from_secs(365 * 86_400);

/// The most linked accounts that a list shows.
const MAX_LISTED: u64 = 100;

/// An account at a provider, as the provider describes it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamAccount {
    /// The id of the configured provider.
    pub provider: String,
    pub issuer: String,
    pub subject: String,
    /// The address that the provider reports, by which the user recognises the account.
    pub email: Option<String>,
    /// The name that the provider reports.
    pub name: Option<String>,
}

impl fmt::Debug for UpstreamAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamAccount")
            .field("provider", &self.provider)
            .finish_non_exhaustive()
    }
}

impl UpstreamAccount {
    /// Returns the address by which the user recognises the account, else the name.
    #[must_use]
    pub fn label(&self) -> Option<String> {
        let email = self.email.as_deref().map(shown_address);
        email.or_else(|| self.name.clone())
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

/// What became of linking an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkResult {
    Linked(Identity),
    /// The account was this user's already.
    AlreadyLinked(Identity),
    /// The account is another user's; nothing says whose.
    LinkedToOther,
}

/// What became of unlinking an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnlinkResult {
    Unlinked(Identity),
    /// The account is the user's last sign-in method, and stays.
    LastMethod,
    /// The account is not this user's, or was unlinked before.
    NotLinked,
}

/// Returns the linked account with this issuer and subject.
pub async fn find_linked(
    conn: &impl ConnectionTrait,
    issuer: &str,
    subject: &str,
) -> Result<Option<Identity>, InfraError> {
    Ok(row::Entity::find()
        .filter(row::Column::Issuer.eq(issuer))
        .filter(row::Column::Subject.eq(subject))
        .filter(row::Column::UnlinkedAt.is_null())
        .one(conn)
        .await?)
}

/// Returns the linked accounts of a user, the oldest first.
pub async fn list_for_user(
    conn: &impl ConnectionTrait,
    user: Uuid,
) -> Result<Vec<Identity>, InfraError> {
    Ok(row::Entity::find()
        .filter(linked_to(user))
        .order_by_asc(row::Column::LinkedAt)
        .limit(MAX_LISTED)
        .all(conn)
        .await?)
}

/// Returns the users who have or had an account at a provider.
pub async fn users_of_provider(
    conn: &impl ConnectionTrait,
    provider: &str,
) -> Result<Vec<Uuid>, InfraError> {
    Ok(row::Entity::find()
        .select_only()
        .column(row::Column::UserId)
        .distinct()
        .filter(row::Column::Provider.eq(provider))
        .order_by_asc(row::Column::UserId)
        .into_tuple()
        .all(conn)
        .await?)
}

/// Links an account to a user. The unique index decides between two at once.
pub async fn link(
    tx: &Tx,
    user: Uuid,
    account: &UpstreamAccount,
) -> Result<LinkResult, InfraError> {
    let new = Identity {
        id: row_id(tx.now),
        user_id: user,
        provider: account.provider.clone(),
        issuer: account.issuer.clone(),
        subject: account.subject.clone(),
        email: account.email.clone(),
        name: account.name.clone(),
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
    let linked = find_linked(tx.conn(), &account.issuer, &account.subject).await?;
    Ok(match linked {
        Some(linked) if linked.user_id == user => LinkResult::AlreadyLinked(linked),
        _ => LinkResult::LinkedToOther,
    })
}

/// Records a sign-in with an account, and what the provider reports of it now; nothing else changes
/// (LC-A, LK-03). Returns `false` if the account was unlinked in the meantime: then it signs no
/// user in. Until this transaction is over, a request that unlinks the account waits, and then ends
/// the session that this sign-in is about to start.
pub async fn record_use(tx: &Tx, id: Uuid, account: &UpstreamAccount) -> Result<bool, InfraError> {
    let result = row::Entity::update_many()
        .col_expr(
            row::Column::Provider,
            Expr::value(account.provider.as_str()),
        )
        .col_expr(row::Column::Email, Expr::value(account.email.clone()))
        .col_expr(row::Column::Name, Expr::value(account.name.clone()))
        .col_expr(row::Column::LastUsedAt, Expr::value(tx.now.0))
        .filter(row::Column::Id.eq(id))
        .filter(row::Column::UnlinkedAt.is_null())
        .exec(tx.conn())
        .await?;
    Ok(result.rows_affected == 1)
}

/// Unlinks an account, unless it is the last sign-in method. `has_email` says whether the user can
/// sign in by email. The caller ends the sessions that came from the account.
pub async fn unlink(
    tx: &Tx,
    user: Uuid,
    id: Uuid,
    has_email: bool,
) -> Result<UnlinkResult, InfraError> {
    // Locked, so that two requests that unlink the last two at once wait for each other.
    let linked = row::Entity::find()
        .filter(linked_to(user))
        .order_by_asc(row::Column::Id)
        .lock(LockType::NoKeyUpdate)
        .all(tx.conn())
        .await?;
    let has_others = linked.iter().any(|other| other.id != id);
    let Some(identity) = linked.into_iter().find(|identity| identity.id == id) else {
        return Ok(UnlinkResult::NotLinked);
    };
    if !has_email && !has_others {
        return Ok(UnlinkResult::LastMethod);
    }
    let unlinked = soft_delete(tx, Condition::all().add(row::Column::Id.eq(id))).await?;
    Ok(if unlinked == 1 {
        UnlinkResult::Unlinked(identity)
    } else {
        UnlinkResult::NotLinked
    })
}

/// Unlinks all accounts of a user, because no one had verified to own this user before now (E2).
/// Returns how many.
pub async fn unlink_all(tx: &Tx, user: Uuid) -> Result<u64, InfraError> {
    soft_delete(tx, linked_to(user)).await
}

/// Unlinks the accounts of a user at one provider, even if they are the last sign-in method: the
/// operator does so when the provider cannot be trusted any more. Returns how many.
pub async fn unlink_provider(tx: &Tx, user: Uuid, provider: &str) -> Result<u64, InfraError> {
    soft_delete(tx, linked_to(user).add(row::Column::Provider.eq(provider))).await
}

/// Deletes at most `max` accounts that were unlinked a year ago. Returns how many.
pub async fn sweep(tx: &Tx, max: u64) -> Result<u64, InfraError> {
    let expired = row::Column::UnlinkedAt.lt(tx.now - RETENTION);
    tx.delete_some::<row::Entity>(row::Column::Id, expired, max)
        .await
}

fn linked_to(user: Uuid) -> Condition {
    Condition::all()
        .add(row::Column::UserId.eq(user))
        .add(row::Column::UnlinkedAt.is_null())
}

async fn soft_delete(tx: &Tx, identities: Condition) -> Result<u64, InfraError> {
    let result = row::Entity::update_many()
        .col_expr(row::Column::UnlinkedAt, Expr::value(Some(tx.now.0)))
        .filter(identities)
        .filter(row::Column::UnlinkedAt.is_null())
        .exec(tx.conn())
        .await?;
    Ok(result.rows_affected)
}
