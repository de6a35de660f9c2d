//! Changes to a user, by operators and at a first sign-in: roles, state, name, locale, epoch.

use std::collections::BTreeSet;

use entity::user;
use sea_orm::{
    ActiveEnum as _, ColumnTrait as _, EntityTrait as _, ExprTrait as _, QueryFilter as _, Value,
    sea_query::Expr,
};
use uuid::Uuid;

use super::{User, UserState, find::find_by_id};
use crate::{db::Tx, error::InfraError};

/// The longest display name, in characters.
pub const MAX_NAME: usize = 200;

/// The longest name of a role, in bytes.
const MAX_ROLE: usize = 64;

/// Returns the role names of a user.
#[must_use]
pub fn roles(user: &User) -> Vec<String> {
    user.roles
        .split_ascii_whitespace()
        .map(str::to_owned)
        .collect()
}

/// Returns whether this may be the name of a role: names stand in tokens, and between spaces in
/// their column.
#[must_use]
pub fn is_role(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    (1..=MAX_ROLE).contains(&name.len()) && name.bytes().all(is_allowed)
}

/// Gives a user exactly these roles, each once, in order. Names that [`is_role`] refuses are left
/// out.
pub async fn set_roles(tx: &Tx, id: Uuid, roles: &[String]) -> Result<(), InfraError> {
    let roles: BTreeSet<&str> = roles
        .iter()
        .map(String::as_str)
        .filter(|role| is_role(role))
        .collect();
    let roles = roles.into_iter().collect::<Vec<_>>().join(" ");
    update(tx, id, user::Column::Roles, roles.into()).await
}

/// Locks or unlocks a user. The caller that locks also ends sessions (see [`bump_epoch`]).
pub async fn set_state(tx: &Tx, id: Uuid, state: UserState) -> Result<(), InfraError> {
    update(tx, id, user::Column::State, state.to_value().into()).await
}

/// Gives a user a display name, or removes it.
pub async fn set_name(tx: &Tx, id: Uuid, name: Option<&str>) -> Result<(), InfraError> {
    update(tx, id, user::Column::Name, name.map(str::to_owned).into()).await
}

/// Sets what a first sign-in reveals of a user beside the address: the locale, and a display name
/// if there is one. What is set already stays.
pub async fn set_initial_profile(
    tx: &Tx,
    user: &mut User,
    locale: &str,
    name: Option<&str>,
) -> Result<(), InfraError> {
    if user.locale.is_none() && !locale.is_empty() {
        user.locale = Some(locale.to_owned());
        update(tx, user.id, user::Column::Locale, locale.into()).await?;
    }
    let name = name.map(str::trim).filter(|name| !name.is_empty());
    if let (None, Some(name)) = (&user.name, name) {
        user.name = Some(name.to_owned());
        set_name(tx, user.id, Some(name)).await?;
    }
    Ok(())
}

/// Raises the epoch: every session of this user counts as ended from the next request on. Returns
/// the new epoch.
pub async fn bump_epoch(tx: &Tx, id: Uuid) -> Result<i32, InfraError> {
    user::Entity::update_many()
        .col_expr(
            user::Column::AuthEpoch,
            Expr::col(user::Column::AuthEpoch).add(1),
        )
        .col_expr(user::Column::UpdatedAt, Expr::value(tx.now.0))
        .filter(user::Column::Id.eq(id))
        .exec(tx.conn())
        .await?;
    let user = find_by_id(tx.conn(), id).await?;
    user.map(|user| user.auth_epoch)
        .ok_or_else(|| InfraError::internal("the user is gone within its transaction"))
}

/// Updates a column of a user who is not deleted.
async fn update(tx: &Tx, id: Uuid, column: user::Column, value: Value) -> Result<(), InfraError> {
    user::Entity::update_many()
        .col_expr(column, Expr::value(value))
        .col_expr(user::Column::UpdatedAt, Expr::value(tx.now.0))
        .filter(user::Column::Id.eq(id))
        .filter(user::Column::State.ne(UserState::Deleted))
        .exec(tx.conn())
        .await?;
    Ok(())
}
