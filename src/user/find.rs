//! Finding users and their addresses.

use std::collections::HashMap;

use entity::{user, user_email};
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _, ExprTrait as _,
    QueryFilter as _, QueryOrder as _, QuerySelect as _,
    sea_query::{Alias, Expr, IntoColumnRef, Order, Query, SelectStatement},
};
use uuid::Uuid;

use super::{Address, User, UserEmail, UserState};
use crate::{
    db::joined::{self, Row},
    error::InfraError,
};

/// The most ids in one statement: a statement takes a bounded number of values.
const IDS_PER_STATEMENT: usize = 1_000;

pub async fn find_by_id(conn: &impl ConnectionTrait, id: Uuid) -> Result<Option<User>, InfraError> {
    Ok(user::Entity::find_by_id(id).one(conn).await?)
}

/// The prefix of a user's columns in a statement that reads several tables.
const USER_COLUMNS: &str = "user_";

/// The prefix of the columns of a user's primary address there.
const ADDRESS_COLUMNS: &str = "address_";

/// Joins the user whose id is in the column `id`, if there is one, to a statement.
pub fn join(select: &mut SelectStatement, id: impl IntoColumnRef) {
    joined::add_columns::<user::Entity>(select, USER_COLUMNS);
    let is_theirs = Expr::col(user::Column::Id.as_column_ref()).equals(id);
    select.left_join(user::Entity, is_theirs);
}

/// Reads the user that [`join`] joined.
pub fn read_joined(row: &Row) -> Result<Option<User>, InfraError> {
    joined::read::<user::Entity>(row, USER_COLUMNS)
}

/// Joins the primary address of the user that [`join`] joined.
pub fn join_primary_address(select: &mut SelectStatement) {
    joined::add_columns::<user_email::Entity>(select, ADDRESS_COLUMNS);
    let own = Alias::new("own_emails");
    let column = |column: user_email::Column| (own.clone(), column);
    let primary = Query::select()
        .column(column(user_email::Column::Id))
        .from_as(user_email::Entity, own.clone())
        .and_where(
            Expr::col(column(user_email::Column::UserId)).equals(user::Column::Id.as_column_ref()),
        )
        .and_where(
            Expr::col(column(user_email::Column::State))
                .eq(Expr::val(user_email::UserEmailState::Active)),
        )
        .order_by(column(user_email::Column::CreatedAt), Order::Asc)
        .limit(1)
        .to_owned();
    let is_primary = Expr::col(user_email::Column::Id.as_column_ref()).eq(primary);
    select.left_join(user_email::Entity, is_primary);
}

/// Reads the address that [`join_primary_address`] joined.
pub fn read_joined_address(row: &Row) -> Result<Option<UserEmail>, InfraError> {
    joined::read::<user_email::Entity>(row, ADDRESS_COLUMNS)
}

/// Returns the user who has verified this address. Only verified addresses lead to a user (LK-01).
pub async fn find_by_address(
    conn: &impl ConnectionTrait,
    address: &Address,
) -> Result<Option<User>, InfraError> {
    let row = user_email::Entity::find()
        .filter(active(address.canonical()))
        .filter(user_email::Column::VerifiedAt.is_not_null())
        .one(conn)
        .await?;
    match row {
        Some(row) => find_by_id(conn, row.user_id).await,
        None => Ok(None),
    }
}

/// Returns whether this user has verified this address. It is one look-up, whether the address
/// belongs to a user or not (A2).
pub async fn has_verified(
    conn: &impl ConnectionTrait,
    user: Uuid,
    canonical: &str,
) -> Result<bool, InfraError> {
    let row = user_email::Entity::find()
        .filter(active(canonical))
        .filter(user_email::Column::UserId.eq(user))
        .filter(user_email::Column::VerifiedAt.is_not_null())
        .one(conn)
        .await?;
    Ok(row.is_some())
}

/// Returns whether this user has any verified address, and so can sign in by email.
pub async fn has_verified_address(
    conn: &impl ConnectionTrait,
    user: Uuid,
) -> Result<bool, InfraError> {
    let row = user_email::Entity::find()
        .filter(user_email::Column::UserId.eq(user))
        .filter(user_email::Column::VerifiedAt.is_not_null())
        .filter(user_email::Column::State.eq(user_email::UserEmailState::Active))
        .one(conn)
        .await?;
    Ok(row.is_some())
}

/// Returns whether any user has this address, verified or not.
pub async fn is_claimed(
    conn: &impl ConnectionTrait,
    address: &Address,
) -> Result<bool, InfraError> {
    let row = user_email::Entity::find()
        .filter(active(address.canonical()))
        .one(conn)
        .await?;
    Ok(row.is_some())
}

/// Returns the first address of the user: emails go there (E5).
pub async fn primary_address(
    conn: &impl ConnectionTrait,
    user: Uuid,
) -> Result<Option<UserEmail>, InfraError> {
    Ok(user_email::Entity::find()
        .filter(user_email::Column::UserId.eq(user))
        .filter(user_email::Column::State.eq(user_email::UserEmailState::Active))
        .order_by_asc(user_email::Column::CreatedAt)
        .one(conn)
        .await?)
}

/// The user behind an address that an email is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EmailTarget {
    /// An active user has the address.
    Known {
        /// The stored form, which the email goes to.
        email: String,
    },
    /// No user has the address.
    Unknown,
    /// The user may not sign in.
    Disabled(Uuid),
}

/// Returns the user behind an address. An email goes to the stored form of the address, else to the
/// canonical form, and never to the form that was entered (E5).
pub async fn email_target(
    conn: &impl ConnectionTrait,
    canonical: &str,
) -> Result<EmailTarget, InfraError> {
    let owners = find_owners(conn, canonical).await?;
    // A verified address precedes another user's unverified claim.
    let owner = owners.into_iter().max_by_key(|(row, _)| row.verified_at);
    Ok(match owner {
        None => EmailTarget::Unknown,
        Some((row, Some(user))) if user.state == UserState::Active => {
            EmailTarget::Known { email: row.email }
        }
        Some((row, _)) => EmailTarget::Disabled(row.user_id),
    })
}

/// Returns the rows of an address that are in use, the oldest first, each with its user, by one
/// statement.
pub(super) async fn find_owners(
    conn: &impl ConnectionTrait,
    canonical: &str,
) -> Result<Vec<(UserEmail, Option<User>)>, InfraError> {
    let mut select = Query::select();
    joined::add_columns::<user_email::Entity>(&mut select, ADDRESS_COLUMNS);
    select
        .from(user_email::Entity)
        .cond_where(active(canonical))
        .order_by(user_email::Column::CreatedAt.as_column_ref(), Order::Asc);
    join(&mut select, user_email::Column::UserId.as_column_ref());
    let mut owners = Vec::new();
    for row in conn.query_all(&select).await? {
        let row = Row::Driver(row);
        if let Some(email) = read_joined_address(&row)? {
            owners.push((email, read_joined(&row)?));
        }
    }
    Ok(owners)
}

/// Returns the public ids of these users, which tokens contain. Deleted users are left out.
pub async fn public_ids(
    conn: &impl ConnectionTrait,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Uuid>, InfraError> {
    let mut found = HashMap::new();
    for ids in ids.chunks(IDS_PER_STATEMENT) {
        let pairs = user::Entity::find()
            .select_only()
            .columns([user::Column::Id, user::Column::PublicId])
            .filter(user::Column::Id.is_in(ids.iter().copied()))
            .into_tuple::<(Uuid, Uuid)>();
        found.extend(pairs.all(conn).await?);
    }
    Ok(found)
}

/// Selects the rows of an address that are in use.
pub(super) fn active(canonical: &str) -> Condition {
    Condition::all()
        .add(user_email::Column::Canonical.eq(canonical))
        .add(user_email::Column::State.eq(user_email::UserEmailState::Active))
}
