//! Changes to a user, by operators and at a first sign-in: roles, state, name, locale, epoch.

use std::collections::BTreeSet;

use entity::user;
use sea_orm::{
    ActiveEnum as _, ColumnTrait as _, EntityTrait as _, ExprTrait as _, QueryFilter as _,
    QueryTrait as _, Value, sea_query::Expr,
};
use uuid::Uuid;

use super::{User, UserState, find::find_by_id};
use crate::{db::Tx, display_text, error::InfraError};

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
pub fn is_role_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    (1..=MAX_ROLE).contains(&name.len()) && name.bytes().all(is_allowed)
}

/// Gives a user exactly these roles, each once, in order.
///
/// # Errors
/// A name that the caller should have refused by [`is_role_name`]; nothing is changed then.
pub async fn set_roles(tx: &Tx, id: Uuid, roles: &[String]) -> Result<(), InfraError> {
    let roles: BTreeSet<&str> = roles.iter().map(String::as_str).collect();
    if !roles.iter().all(|role| is_role_name(role)) {
        return Err(InfraError::internal("the name of a role was not checked"));
    }
    let roles = roles.into_iter().collect::<Vec<_>>().join(" ");
    update(tx, id, user::Column::Roles, roles.into()).await
}

/// Disables or enables a user. The caller that disables also ends sessions (see [`bump_epoch`]).
pub async fn set_state(tx: &Tx, id: Uuid, state: UserState) -> Result<(), InfraError> {
    update(tx, id, user::Column::State, state.to_value().into()).await
}

/// Why a text is no display name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("the name is empty")]
    Empty,
    #[error("nothing can be seen of the name")]
    Invisible,
    #[error("the name has a character that is not allowed")]
    Character,
    #[error("the name is too long")]
    TooLong,
}

/// Returns a display name without the spaces around it: one line, at most [`MAX_NAME`] characters, of
/// which something can be seen. Characters that only hide, or that turn the direction of other text,
/// are left out: they come along with what is pasted.
///
/// # Errors
/// [`NameError`].
pub fn parse_name(entered: &str) -> Result<String, NameError> {
    let entered = entered.trim();
    if entered.is_empty() {
        return Err(NameError::Empty);
    }
    if entered.contains(display_text::ends_line) {
        return Err(NameError::Character);
    }
    let name = display_text::cleaned(entered, usize::MAX).ok_or(NameError::Invisible)?;
    match name.chars().count() > MAX_NAME {
        true => Err(NameError::TooLong),
        false => Ok(name),
    }
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
    let name = name.and_then(|name| display_text::cleaned(name, MAX_NAME));
    if let (None, Some(name)) = (&user.name, name) {
        set_name(tx, user.id, Some(&name)).await?;
        user.name = Some(name);
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

/// Updates a column of a user. A deleted user is left as it is, without an error: the caller looks first,
/// and a deletion in between wins.
async fn update(tx: &Tx, id: Uuid, column: user::Column, value: Value) -> Result<(), InfraError> {
    let update = user::Entity::update_many()
        .col_expr(column, Expr::value(value))
        .col_expr(user::Column::UpdatedAt, Expr::value(tx.now.0))
        .filter(user::Column::Id.eq(id))
        .filter(user::Column::State.ne(UserState::Deleted));
    tx.defer::<user::Entity>(update.into_query()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oc_6_a_display_name_is_one_visible_line_of_at_most_200_characters() {
        let most = "é".repeat(MAX_NAME);
        for (entered, expected) in [
            (" Ada Löwe ", Ok("Ada Löwe")),
            (most.as_str(), Ok(most.as_str())),
            ("\u{5d0}\u{5d1}", Ok("\u{5d0}\u{5d1}")),
            ("", Err(NameError::Empty)),
            (" \n ", Err(NameError::Empty)),
            ("a\nb", Err(NameError::Character)),
            ("a\u{7f}b", Err(NameError::Character)),
            ("a\u{2028}b", Err(NameError::Character)),
            ("a\u{202e}b", Ok("ab")),
            ("\u{2068}Ada\u{2069} L\u{200b}öwe\u{feff}", Ok("Ada Löwe")),
            ("\u{200b}\u{200d}", Err(NameError::Invisible)),
            ("\u{202e} \u{2066}", Err(NameError::Invisible)),
            (
                "\u{3164}\u{ffa0}\u{115f}\u{1160}",
                Err(NameError::Invisible),
            ),
            ("\u{2800}", Err(NameError::Invisible)),
            ("\u{e0041}\u{fe0f}", Err(NameError::Invisible)),
            (&format!("{most}x"), Err(NameError::TooLong)),
        ] {
            let expected = expected.map(str::to_owned);
            assert_eq!(parse_name(entered), expected, "{entered:?}");
        }
    }
}
