//! A connection pooler between this service and PostgreSQL (OB-3).

use std::{sync::Arc, time::Duration};

use sea_orm::{
    DbErr, RuntimeErr,
    sqlx::{self, PgConnection},
};
use tokio::time::timeout;

use super::Db;
use crate::error::InfraError;

/// The time that each step of the check may take.
const STEP: Duration = Duration::from_secs(2);

const MODE: &str = "it is behind a pooler in transaction mode, which loses prepared statements. With PgBouncer 1.21 or later \
    set max_prepared_statements = 200; or set pool_mode = session, or connect to PostgreSQL directly";

const PARAMETERS: &str = "the pooler refuses the parameters of the connection. In PgBouncer set \
    ignore_startup_parameters = extra_float_digits,options";

impl Db {
    /// Finds out by behaviour whether prepared statements hold: a pooler in transaction mode hands each transaction to
    /// any connection of the server.
    ///
    /// # Errors
    /// If they do not hold, or the pooler refuses our parameters: one that no retry repairs. Else the database's own.
    pub async fn check_pooler(&self) -> Result<(), InfraError> {
        if !self.is_postgres() {
            return Ok(());
        }
        let pool = self.pool().get_postgres_connection_pool();
        let mut one = pool.acquire().await.map_err(to_error)?;
        if pool.options().get_max_connections() < 2 {
            return Ok(());
        }
        prepared(&mut one).await.map_err(to_error)?;
        let mut two = pool.acquire().await.map_err(to_error)?;
        // The second holds a connection of the server, most likely that of the first, on which the same name of a
        // statement is taken; the first then gets another connection, which does not know its statement.
        let held = async {
            sqlx::raw_sql("BEGIN").execute(&mut *two).await?;
            prepared(&mut two).await?;
            prepared(&mut one).await
        };
        let outcome = timeout(STEP, held).await;
        let _ = timeout(STEP, sqlx::raw_sql("ROLLBACK").execute(&mut *two)).await;
        // No response in time: the pooler has one connection, and the second holds it.
        outcome.unwrap_or(Ok(())).map_err(to_error)
    }
}

async fn prepared(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let statement = sqlx::query("SELECT 1 AS prepared");
    statement.execute(connection).await.map(drop)
}

fn to_error(error: sqlx::Error) -> InfraError {
    if let sqlx::Error::Database(database) = &error {
        // invalid_sql_statement_name, duplicate_prepared_statement.
        if matches!(database.code().as_deref(), Some("26000" | "42P05")) {
            return InfraError::internal(MODE);
        }
        if database.message().contains("unsupported startup parameter") {
            return InfraError::internal(PARAMETERS);
        }
    }
    DbErr::Conn(RuntimeErr::SqlxError(Arc::new(error))).into()
}
