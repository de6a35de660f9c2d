//! The clients of the database. Owns `clients`.
//!
//! A row is one block of `[[clients]]` in JSON. None is deleted, and every change raises its row's revision, so that the
//! sum of all revisions tells in one cheap look whether anything changed.

use entity::client as row;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, ExprTrait as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _,
    sea_query::{Expr, OnConflict},
};

pub use entity::client::Model as Row;

use crate::{db::Tx, error::InfraError};

/// A number that differs whenever anything changed.
///
/// # Errors
/// The database's own.
pub async fn state(conn: &impl ConnectionTrait) -> Result<i64, InfraError> {
    let sum = Expr::cust("CAST(COALESCE(SUM(revision), 0) AS BIGINT)");
    let query = row::Entity::find()
        .select_only()
        .column_as(sum, "state")
        .into_tuple::<i64>();
    Ok(query.one(conn).await?.unwrap_or_default())
}

/// All of them, by identifier.
///
/// # Errors
/// The database's own.
pub async fn all(conn: &impl ConnectionTrait) -> Result<Vec<Row>, InfraError> {
    Ok(row::Entity::find()
        .order_by_asc(row::Column::ClientId)
        .all(conn)
        .await?)
}

/// The one with this identifier.
///
/// # Errors
/// The database's own.
pub async fn by_id(conn: &impl ConnectionTrait, id: &str) -> Result<Option<Row>, InfraError> {
    Ok(row::Entity::find_by_id(id.to_owned()).one(conn).await?)
}

/// Adds one, enabled; `false` if there is one of this identifier: of two at once, one wins.
///
/// # Errors
/// The database's own.
pub async fn add(tx: &Tx, id: &str, definition: String) -> Result<bool, InfraError> {
    let model = row::ActiveModel {
        client_id: Set(id.to_owned()),
        definition: Set(definition),
        enabled: Set(true),
        revision: Set(1),
        created_at: Set(tx.now),
        updated_at: Set(tx.now),
    };
    let there = OnConflict::column(row::Column::ClientId)
        .do_nothing()
        .to_owned();
    Ok(row::Entity::insert(model)
        .on_conflict(there)
        .exec_without_returning(tx.conn())
        .await?
        == 1)
}

/// Gives it another definition; `false` if somebody else changed it since it was read.
///
/// # Errors
/// The database's own.
pub async fn define(tx: &Tx, read: &Row, definition: String) -> Result<bool, InfraError> {
    change(tx, read, row::Column::Definition, definition.into()).await
}

/// Lets it count, or not; `false` if somebody else changed it since it was read.
///
/// # Errors
/// The database's own.
pub async fn enable(tx: &Tx, read: &Row, enabled: bool) -> Result<bool, InfraError> {
    change(tx, read, row::Column::Enabled, enabled.into()).await
}

async fn change(
    tx: &Tx,
    read: &Row,
    column: row::Column,
    value: sea_orm::Value,
) -> Result<bool, InfraError> {
    let done = row::Entity::update_many()
        .col_expr(column, Expr::value(value))
        .col_expr(
            row::Column::Revision,
            Expr::col(row::Column::Revision).add(1),
        )
        .col_expr(row::Column::UpdatedAt, Expr::value(tx.now.0))
        .filter(row::Column::ClientId.eq(read.client_id.as_str()))
        .filter(row::Column::Revision.eq(read.revision))
        .exec(tx.conn())
        .await?;
    Ok(done.rows_affected == 1)
}
