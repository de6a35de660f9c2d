//! The clients of the database. Owns `clients`.
//!
//! A row is one block of `[[clients]]` in JSON. Rows are never deleted, and every change raises the
//! revision of its row, so that the sum of all revisions shows cheaply whether anything changed.

use entity::client as row;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, ExprTrait as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _,
    sea_query::{Expr, OnConflict},
};

pub use entity::client::Model as Row;

use crate::{db::Tx, error::InfraError};

/// Returns the sum of all revisions, which differs after any change.
pub async fn total_revision(conn: &impl ConnectionTrait) -> Result<i64, InfraError> {
    let sum = Expr::cust("CAST(COALESCE(SUM(revision), 0) AS BIGINT)");
    let query = row::Entity::find()
        .select_only()
        .column_as(sum, "total")
        .into_tuple::<i64>();
    Ok(query.one(conn).await?.unwrap_or_default())
}

/// Returns all clients, in the order of their identifiers.
pub async fn list(conn: &impl ConnectionTrait) -> Result<Vec<Row>, InfraError> {
    Ok(row::Entity::find()
        .order_by_asc(row::Column::ClientId)
        .all(conn)
        .await?)
}

pub async fn find(conn: &impl ConnectionTrait, id: &str) -> Result<Option<Row>, InfraError> {
    Ok(row::Entity::find_by_id(id.to_owned()).one(conn).await?)
}

/// Inserts an enabled client. Returns `false` if the identifier is taken: of two inserts at once,
/// one wins.
pub async fn insert(tx: &Tx, id: &str, definition: String) -> Result<bool, InfraError> {
    let model = row::ActiveModel {
        client_id: Set(id.to_owned()),
        definition: Set(definition),
        enabled: Set(true),
        revision: Set(1),
        created_at: Set(tx.now),
        updated_at: Set(tx.now),
    };
    let keep_existing = OnConflict::column(row::Column::ClientId)
        .do_nothing()
        .to_owned();
    let inserted = row::Entity::insert(model)
        .on_conflict(keep_existing)
        .exec_without_returning(tx.conn())
        .await?;
    Ok(inserted == 1)
}

/// Replaces the definition. Returns `false` if the row has changed since it was read.
pub async fn update_definition(tx: &Tx, row: &Row, definition: String) -> Result<bool, InfraError> {
    update(tx, row, row::Column::Definition, definition.into()).await
}

/// Enables or disables a client. Returns `false` if the row has changed since it was read.
pub async fn set_enabled(tx: &Tx, row: &Row, enabled: bool) -> Result<bool, InfraError> {
    update(tx, row, row::Column::Enabled, enabled.into()).await
}

async fn update(
    tx: &Tx,
    row: &Row,
    column: row::Column,
    value: sea_orm::Value,
) -> Result<bool, InfraError> {
    let result = row::Entity::update_many()
        .col_expr(column, Expr::value(value))
        .col_expr(
            row::Column::Revision,
            Expr::col(row::Column::Revision).add(1),
        )
        .col_expr(row::Column::UpdatedAt, Expr::value(tx.now.0))
        .filter(row::Column::ClientId.eq(row.client_id.as_str()))
        .filter(row::Column::Revision.eq(row.revision))
        .exec(tx.conn())
        .await?;
    Ok(result.rows_affected == 1)
}
