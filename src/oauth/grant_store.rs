//! Grants: what a person allowed a client. One row a grant, under the id that was fixed when its code was issued.

use entity::{Time, grant_family as row};
use sea_orm::{
    ColumnTrait as _, EntityTrait as _, QueryFilter as _, QuerySelect as _,
    sea_query::{Expr, OnConflict},
};
use uuid::Uuid;

pub use entity::grant_family::Model as Grant;

use crate::{db::Tx, web::error::Failure};

/// Stores a grant; `false` if one with this id is there already: a code that came back after it was spent (RD-06).
///
/// # Errors
/// The database's own.
pub async fn insert(tx: &Tx, grant: Grant) -> Result<bool, Failure> {
    let inserted = row::Entity::insert(row::ActiveModel::from(grant))
        .on_conflict(OnConflict::column(row::Column::Id).do_nothing().to_owned())
        .exec_without_returning(tx.conn())
        .await?;
    Ok(inserted == 1)
}

/// Ends a grant; `false` if it is not there or has ended.
///
/// # Errors
/// The database's own.
pub async fn revoke(tx: &Tx, id: Uuid) -> Result<bool, Failure> {
    let done = row::Entity::update_many()
        .col_expr(row::Column::RevokedAt, Expr::value(Some(tx.now.0)))
        .filter(row::Column::Id.eq(id))
        .filter(row::Column::RevokedAt.is_null())
        .exec(tx.conn())
        .await?;
    Ok(done.rows_affected == 1)
}

/// Deletes grants that ended 30 days ago, at most `most`; gives how many.
///
/// # Errors
/// The database's own.
pub async fn sweep(tx: &Tx, most: u64) -> Result<u64, Failure> {
    let old: Time = tx.now - std::time::Duration::from_secs(30 * 86_400);
    let ids: Vec<Uuid> = row::Entity::find()
        .select_only()
        .column(row::Column::Id)
        .filter(row::Column::ExpiresAt.lt(old))
        .limit(most)
        .into_tuple()
        .all(tx.conn())
        .await?;
    if ids.is_empty() {
        return Ok(0);
    }
    Ok(row::Entity::delete_many().filter(row::Column::Id.is_in(ids)).exec(tx.conn()).await?.rows_affected)
}
