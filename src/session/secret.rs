//! Changing the secret of a live session, which stays the same row: `sid` and grants remain.

use std::time::Duration;

use entity::session;
use sea_orm::{
    ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _, UpdateMany,
    sea_query::Expr,
};
use uuid::Uuid;

use super::AuthMethod;
use crate::{db::Tx, error::InfraError, secret::Plain};

/// How long the secret before a double click is still accepted.
const DOUBLE_CLICK: Duration = Duration::from_secs(60);

/// Gives the session this secret after a double click; the one before it is accepted for another
/// minute. A third click brings the same secret and changes nothing. Returns `false` if the session
/// has ended.
pub async fn renew_secret(tx: &Tx, id: Uuid, secret: &Plain) -> Result<bool, InfraError> {
    let hash = secret.hash().to_column();
    let result = session::Entity::update_many()
        .col_expr(
            session::Column::PreviousHash,
            Expr::col(session::Column::SecretHash),
        )
        .col_expr(
            session::Column::PreviousUntil,
            Expr::value(Some((tx.now + DOUBLE_CLICK).0)),
        )
        .col_expr(session::Column::SecretHash, Expr::value(hash.clone()))
        .filter(session::Column::Id.eq(id))
        .filter(session::Column::RevokedAt.is_null())
        .filter(session::Column::SecretHash.ne(hash.clone()))
        .exec(tx.conn())
        .await?;
    if result.rows_affected == 1 {
        return Ok(true);
    }
    let unchanged = session::Entity::find_by_id(id)
        .filter(session::Column::SecretHash.eq(hash))
        .filter(session::Column::RevokedAt.is_null());
    Ok(unchanged.count(tx.conn()).await? == 1)
}

/// Records that the same user authenticated again. The session gets a new secret, and the old one
/// is dead at once (BS-04). The cookie that the session grew from stays recorded: requests of other
/// tabs wait under it. Returns none if the session has ended.
pub async fn step_up(
    tx: &Tx,
    id: Uuid,
    method: AuthMethod<'_>,
) -> Result<Option<Plain>, InfraError> {
    let secret = Plain::generate();
    let result = replace_secret(id, &secret)
        .col_expr(session::Column::AuthTime, Expr::value(tx.now.0))
        .col_expr(session::Column::LastSeenAt, Expr::value(tx.now.0))
        .col_expr(session::Column::Acr, Expr::value(method.acr()))
        .col_expr(session::Column::Amr, Expr::value(method.amr()))
        .col_expr(
            session::Column::IdentityId,
            Expr::value(method.identity_id()),
        )
        .exec(tx.conn())
        .await?;
    Ok((result.rows_affected == 1).then_some(secret))
}

/// Gives the session this new secret after its user got another sign-in method; the old one is dead
/// at once (BS-04). `auth_time` stays, since the user did not authenticate. Returns `false` if the
/// session has ended.
pub async fn rotate(tx: &Tx, id: Uuid, secret: &Plain) -> Result<bool, InfraError> {
    let result = replace_secret(id, secret).exec(tx.conn()).await?;
    Ok(result.rows_affected == 1)
}

/// Replaces the secret of a live session. No older secret is accepted any more.
fn replace_secret(id: Uuid, secret: &Plain) -> UpdateMany<session::Entity> {
    session::Entity::update_many()
        .col_expr(
            session::Column::SecretHash,
            Expr::value(secret.hash().to_column()),
        )
        .col_expr(
            session::Column::PreviousHash,
            Expr::value(Option::<Vec<u8>>::None),
        )
        .col_expr(
            session::Column::PreviousUntil,
            Expr::value(Option::<i64>::None),
        )
        .filter(session::Column::Id.eq(id))
        .filter(session::Column::RevokedAt.is_null())
}
