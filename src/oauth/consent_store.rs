//! What people have allowed third-party clients. Owns `consents`.

use entity::consent as row;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QuerySelect as _,
    Select,
    sea_query::{Expr, OnConflict},
};
use uuid::Uuid;

use super::scope;
use crate::{db::Tx, error::InfraError, secret::row_id, user::User};

/// What one person has allowed one client.
pub use entity::consent::Model as Consent;

/// Whether everything in `asked` was allowed before, and nothing has ended it since.
///
/// # Errors
/// The database's own.
pub async fn covers(
    conn: &impl ConnectionTrait,
    user: &User,
    client: &str,
    asked: &str,
) -> Result<bool, InfraError> {
    Ok(does(find(user, client).one(conn).await?, asked))
}

/// The same, and nobody withdraws it before this unit of work is over.
///
/// # Errors
/// The database's own.
pub async fn lock(tx: &Tx, user: &User, client: &str, asked: &str) -> Result<bool, InfraError> {
    Ok(does(
        find(user, client).lock_exclusive().one(tx.conn()).await?,
        asked,
    ))
}

/// A consent of an epoch before the user's own has ended with everything else (E2).
fn find(user: &User, client: &str) -> Select<row::Entity> {
    row::Entity::find()
        .filter(row::Column::UserId.eq(user.id))
        .filter(row::Column::ClientId.eq(client))
        .filter(row::Column::AuthEpoch.eq(user.auth_epoch))
}

fn does(found: Option<Consent>, asked: &str) -> bool {
    found.is_some_and(|consent| {
        asked
            .split(' ')
            .all(|name| name.is_empty() || scope::has(&consent.scope, name))
    })
}

/// Remembers that `scope` is allowed, beside what was allowed before.
///
/// # Errors
/// The database's own.
pub async fn allow(tx: &Tx, user: &User, client: &str, asked: &str) -> Result<(), InfraError> {
    let empty = row::ActiveModel {
        id: Set(row_id(tx.now)),
        user_id: Set(user.id),
        client_id: Set(client.to_owned()),
        scope: Set(String::new()),
        created_at: Set(tx.now),
        updated_at: Set(tx.now),
        auth_epoch: Set(user.auth_epoch),
    };
    let there = OnConflict::columns([row::Column::UserId, row::Column::ClientId])
        .do_nothing()
        .to_owned();
    row::Entity::insert(empty)
        .on_conflict(there)
        .exec_without_returning(tx.conn())
        .await?;
    // Locked: of two who add at once neither loses, and what is withdrawn meanwhile does not come back.
    let row = row::Entity::find()
        .filter(row::Column::UserId.eq(user.id))
        .filter(row::Column::ClientId.eq(client));
    let found = row
        .lock_exclusive()
        .one(tx.conn())
        .await?
        .filter(|consent| consent.auth_epoch == user.auth_epoch);
    let before = found.map(|consent| consent.scope).unwrap_or_default();
    let mut names: Vec<&str> = before.split_ascii_whitespace().collect();
    names.extend(
        asked
            .split_ascii_whitespace()
            .filter(|name| !scope::has(&before, name)),
    );
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

/// Forgets what a person has allowed a client; `false` if there was nothing.
///
/// # Errors
/// The database's own.
pub async fn withdraw(tx: &Tx, user: Uuid, client: &str) -> Result<bool, InfraError> {
    let done = row::Entity::delete_many()
        .filter(row::Column::UserId.eq(user))
        .filter(row::Column::ClientId.eq(client))
        .exec(tx.conn())
        .await?;
    Ok(done.rows_affected > 0)
}

/// Everything that a person has allowed.
///
/// # Errors
/// The database's own.
pub async fn list(conn: &impl ConnectionTrait, user: &User) -> Result<Vec<Consent>, InfraError> {
    Ok(row::Entity::find()
        .filter(row::Column::UserId.eq(user.id))
        .filter(row::Column::AuthEpoch.eq(user.auth_epoch))
        .limit(1000)
        .all(conn)
        .await?)
}
