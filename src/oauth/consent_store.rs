//! What people have allowed third-party clients. Owns `consents`.

use entity::consent as row;
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, sea_query::OnConflict,
};
use uuid::Uuid;

use super::scope;
use crate::{db::Tx, secret::row_id, web::error::Failure};

/// Whether everything in `asked` was allowed before.
///
/// # Errors
/// The database's own.
pub async fn covers(conn: &impl ConnectionTrait, user: Uuid, client: &str, asked: &str) -> Result<bool, Failure> {
    let found = row::Entity::find()
        .filter(row::Column::UserId.eq(user))
        .filter(row::Column::ClientId.eq(client))
        .one(conn)
        .await?;
    Ok(found.is_some_and(|consent| asked.split(' ').all(|name| name.is_empty() || scope::has(&consent.scope, name))))
}

/// Remembers that `scope` is allowed, beside what was allowed before.
///
/// # Errors
/// The database's own.
pub async fn allow(tx: &Tx, user: Uuid, client: &str, asked: &str) -> Result<(), Failure> {
    let before = row::Entity::find()
        .filter(row::Column::UserId.eq(user))
        .filter(row::Column::ClientId.eq(client))
        .one(tx.conn())
        .await?
        .map(|consent| consent.scope)
        .unwrap_or_default();
    let mut names: Vec<&str> = before.split_ascii_whitespace().collect();
    names.extend(asked.split_ascii_whitespace().filter(|name| !scope::has(&before, name)));
    let model = row::ActiveModel {
        id: Set(row_id(tx.now)),
        user_id: Set(user),
        client_id: Set(client.to_owned()),
        scope: Set(names.join(" ")),
        created_at: Set(tx.now),
        updated_at: Set(tx.now),
    };
    let again = OnConflict::columns([row::Column::UserId, row::Column::ClientId])
        .update_columns([row::Column::Scope, row::Column::UpdatedAt])
        .to_owned();
    row::Entity::insert(model).on_conflict(again).exec_without_returning(tx.conn()).await?;
    Ok(())
}
