//! What may be changed of people, by ops and at a first sign-in: roles, state, name, language.

use entity::user;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};
use uuid::Uuid;

use super::{User, UserState};
use crate::{db::Tx, error::InfraError};

/// The role names in a row.
#[must_use]
pub fn roles(user: &User) -> Vec<String> {
    user.roles
        .split_ascii_whitespace()
        .map(str::to_owned)
        .collect()
}

/// Whether this may be the name of a role: it stands in tokens, and between spaces in its column.
#[must_use]
pub fn is_role(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(fits)
}

/// Gives a user exactly these roles, each once, in order. Names that [`is_role`] refuses are left out.
///
/// # Errors
/// The database's own.
pub async fn set_roles(tx: &Tx, id: Uuid, roles: &[String]) -> Result<(), InfraError> {
    let roles: std::collections::BTreeSet<&str> = roles
        .iter()
        .map(String::as_str)
        .filter(|role| is_role(role))
        .collect();
    let roles = roles.into_iter().collect::<Vec<_>>().join(" ");
    change(tx, id, user::Column::Roles, roles.into()).await
}

/// Locks a user, or lets one in again. Whoever locks also ends sessions (see [`super::bump_epoch`]).
///
/// # Errors
/// The database's own.
pub async fn set_state(tx: &Tx, id: Uuid, state: UserState) -> Result<(), InfraError> {
    use sea_orm::ActiveEnum as _;
    change(tx, id, user::Column::State, state.to_value().into()).await
}

/// The longest display name, in characters.
pub const MAX_NAME: usize = 200;

/// Gives a user a display name, or takes it away.
///
/// # Errors
/// The database's own.
pub async fn set_name(tx: &Tx, id: Uuid, name: Option<&str>) -> Result<(), InfraError> {
    change(tx, id, user::Column::Name, name.map(str::to_owned).into()).await
}

/// What a first sign-in tells of somebody beside their address: the language that they read, and a display name, if they
/// came with one. What is known already stays.
///
/// # Errors
/// The database's own.
pub async fn set_initial_profile(
    tx: &Tx,
    user: &mut User,
    locale: &str,
    name: Option<&str>,
) -> Result<(), InfraError> {
    if user.locale.is_none() && !locale.is_empty() {
        user.locale = Some(locale.to_owned());
        change(tx, user.id, user::Column::Locale, locale.into()).await?;
    }
    if let (None, Some(name)) = (
        &user.name,
        name.map(str::trim).filter(|name| !name.is_empty()),
    ) {
        user.name = Some(name.to_owned());
        set_name(tx, user.id, Some(name)).await?;
    }
    Ok(())
}

async fn change(
    tx: &Tx,
    id: Uuid,
    column: user::Column,
    value: sea_orm::Value,
) -> Result<(), InfraError> {
    use sea_orm::sea_query::Expr;
    user::Entity::update_many()
        .col_expr(column, Expr::value(value))
        .col_expr(user::Column::UpdatedAt, Expr::value(tx.now.0))
        .filter(user::Column::Id.eq(id))
        .filter(user::Column::State.ne(UserState::Deleted))
        .exec(tx.conn())
        .await?;
    Ok(())
}
