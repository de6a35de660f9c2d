//! A stored grant as it is read: with its user, and the session that it names, by one statement.

use entity::grant_family as row;
use sea_orm::{
    ColumnTrait as _,
    sea_query::{LockType, Query, SelectStatement},
};
use uuid::Uuid;

use crate::{
    db::{
        FindRow, Tx,
        joined::{self, Row},
    },
    error::InfraError,
    session::{self, Session},
    user::{self, User, UserEmail},
};

/// The prefix of a grant's columns in a statement that reads several tables.
const COLUMNS: &str = "grant_";

/// A grant with its user, and the session that it names, as far as they exist.
#[derive(Clone, Debug)]
pub(crate) struct StoredGrant {
    pub(crate) grant: row::Model,
    pub(crate) user: Option<User>,
    pub(crate) session: Option<Session>,
}

/// Finds a grant with its user and session, by one statement.
pub(crate) async fn find(conn: &impl FindRow, id: Uuid) -> Result<Option<StoredGrant>, InfraError> {
    match conn.find_row(&select_with_holder(id)).await? {
        Some(row) => read_with_holder(&row),
        None => Ok(None),
    }
}

/// Finds the same with the user's primary address, by one statement.
pub(crate) async fn find_with_address(
    conn: &impl FindRow,
    id: Uuid,
) -> Result<Option<(StoredGrant, Option<UserEmail>)>, InfraError> {
    let mut select = select_with_holder(id);
    user::join_primary_address(&mut select);
    let Some(row) = conn.find_row(&select).await? else {
        return Ok(None);
    };
    let address = user::read_joined_address(&row)?;
    Ok(read_with_holder(&row)?.map(|grant| (grant, address)))
}

/// Finds a grant with its user and session, by one statement, and locks the grant: nothing else
/// changes it before this transaction ends.
pub(crate) async fn lock_with_holder(tx: &Tx, id: Uuid) -> Result<Option<StoredGrant>, InfraError> {
    let mut select = select_with_holder(id);
    select.lock_with_tables(LockType::Update, [row::Entity]);
    match tx.conn().find_row(&select).await? {
        Some(row) => read_with_holder(&row),
        None => Ok(None),
    }
}

fn select_with_holder(id: Uuid) -> SelectStatement {
    let mut select = Query::select();
    joined::add_columns::<row::Entity>(&mut select, COLUMNS);
    select
        .from(row::Entity)
        .and_where(row::Column::Id.eq(id))
        .limit(1);
    user::join(&mut select, row::Column::UserId.as_column_ref());
    session::join(&mut select, row::Column::SessionId.as_column_ref());
    select
}

fn read_with_holder(row: &Row) -> Result<Option<StoredGrant>, InfraError> {
    let (user, session) = (user::read_joined(row)?, session::read_joined(row)?);
    let grant = joined::read::<row::Entity>(row, COLUMNS)?;
    Ok(grant.map(|grant| StoredGrant {
        grant,
        user,
        session,
    }))
}
