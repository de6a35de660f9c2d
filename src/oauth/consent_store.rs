//! What users have allowed third-party clients. Owns `consents`.

use entity::consent as row;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QuerySelect as _,
    Select,
    sea_query::{Expr, OnConflict},
};
use uuid::Uuid;

pub(crate) use entity::consent::Model as Consent;

use super::scope;
use crate::{db::Tx, error::InfraError, secret::row_id, user::User};

/// Returns whether the user has allowed this client all of `scopes`, and has not withdrawn it.
pub(crate) async fn covers(
    conn: &impl ConnectionTrait,
    user: &User,
    client: &str,
    scopes: &str,
) -> Result<bool, InfraError> {
    let consent = find_current(user, client).one(conn).await?;
    Ok(consent.is_some_and(|consent| allows(&consent, scopes)))
}

/// Does the same and locks the consent: nothing withdraws it before this transaction ends.
pub(crate) async fn lock_if_covers(
    tx: &Tx,
    user: &User,
    client: &str,
    scopes: &str,
) -> Result<bool, InfraError> {
    let consent = find_current(user, client)
        .lock_exclusive()
        .one(tx.conn())
        .await?;
    Ok(consent.is_some_and(|consent| allows(&consent, scopes)))
}

/// A consent of an earlier epoch than the user's has ended with everything else (E2).
fn find_current(user: &User, client: &str) -> Select<row::Entity> {
    row::Entity::find()
        .filter(row::Column::UserId.eq(user.id))
        .filter(row::Column::ClientId.eq(client))
        .filter(row::Column::AuthEpoch.eq(user.auth_epoch))
}

fn allows(consent: &Consent, scopes: &str) -> bool {
    scopes
        .split(' ')
        .all(|name| name.is_empty() || scope::has(&consent.scope, name))
}

/// Records that the user allows this client `scopes` beside what they allowed before.
pub(crate) async fn allow(
    tx: &Tx,
    user: &User,
    client: &str,
    scopes: &str,
) -> Result<(), InfraError> {
    let empty = row::ActiveModel {
        id: Set(row_id(tx.now)),
        user_id: Set(user.id),
        client_id: Set(client.to_owned()),
        scope: Set(String::new()),
        created_at: Set(tx.now),
        updated_at: Set(tx.now),
        auth_epoch: Set(user.auth_epoch),
    };
    let unless_present = OnConflict::columns([row::Column::UserId, row::Column::ClientId])
        .do_nothing()
        .to_owned();
    row::Entity::insert(empty)
        .on_conflict(unless_present)
        .exec_without_returning(tx.conn())
        .await?;
    // Locked: of two transactions that add at once neither loses its part, and what is withdrawn
    // meanwhile does not come back.
    let stored = row::Entity::find()
        .filter(row::Column::UserId.eq(user.id))
        .filter(row::Column::ClientId.eq(client))
        .lock_exclusive()
        .one(tx.conn())
        .await?;
    let current = stored.filter(|consent| consent.auth_epoch == user.auth_epoch);
    let before = current.map(|consent| consent.scope).unwrap_or_default();
    let added = scopes
        .split_ascii_whitespace()
        .filter(|name| !scope::has(&before, name));
    let names: Vec<&str> = before.split_ascii_whitespace().chain(added).collect();
    row::Entity::update_many()
        .col_expr(row::Column::Scope, Expr::value(names.join(" ")))
        .col_expr(row::Column::UpdatedAt, Expr::value(tx.now.0))
        .col_expr(row::Column::AuthEpoch, Expr::value(user.auth_epoch))
        .filter(row::Column::UserId.eq(user.id))
        .filter(row::Column::ClientId.eq(client))
        .exec(tx.conn())
        .await?;
    Ok(())
}

/// Deletes what a user has allowed a client. Returns `false` if there was nothing.
pub(crate) async fn withdraw(tx: &Tx, user: Uuid, client: &str) -> Result<bool, InfraError> {
    let deleted = row::Entity::delete_many()
        .filter(row::Column::UserId.eq(user))
        .filter(row::Column::ClientId.eq(client))
        .exec(tx.conn())
        .await?;
    Ok(deleted.rows_affected > 0)
}

pub(crate) async fn list(
    conn: &impl ConnectionTrait,
    user: &User,
) -> Result<Vec<Consent>, InfraError> {
    Ok(row::Entity::find()
        .filter(row::Column::UserId.eq(user.id))
        .filter(row::Column::AuthEpoch.eq(user.auth_epoch))
        .limit(1000)
        .all(conn)
        .await?)
}
