//! How connections are opened.

use std::{path::PathBuf, time::Duration};

use sea_orm::{
    ConnectOptions,
    sqlx::{self, Connection as _, pool::PoolOptions, sqlite::SqliteConnectOptions},
};

use super::condemned::{ACQUIRE, Condemned, STATEMENT};
use crate::error::InfraError;

pub(super) fn postgres(url: &str, connections: u32, condemned: &Condemned) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    let condemned = condemned.clone();
    options
        .max_connections(connections)
        .acquire_timeout(ACQUIRE)
        .test_before_acquire(false)
        .statement_timeout(STATEMENT)
        .sqlx_logging(false)
        .map_sqlx_postgres_pool_opts(move |options| condemned.hook(options));
    // A pool that is made lazily lets the service start, and say 503, while the database is away.
    options.connect_lazy(true);
    options
}

/// Returns the file that the driver opens for this path: it decodes `%20` and the like.
pub(super) fn sqlite_file(path: &str) -> Result<PathBuf, InfraError> {
    let options: SqliteConnectOptions = sqlite_url(path).parse().map_err(InfraError::internal)?;
    Ok(options.get_filename().to_path_buf())
}

fn sqlite_url(path: &str) -> String {
    format!("sqlite://{path}?mode=rwc")
}

pub(super) fn sqlite(path: &str, connections: u32) -> ConnectOptions {
    let mut options = ConnectOptions::new(sqlite_url(path));
    options
        .max_connections(connections)
        .min_connections(1)
        .acquire_timeout(Duration::from_secs(5))
        .test_before_acquire(false)
        .sqlx_logging(false)
        .map_sqlx_sqlite_pool_opts(without_transaction)
        .map_sqlx_sqlite_opts(|options| {
            options
                .pragma("journal_mode", "WAL")
                // NORMAL could forget an acknowledged consume after a power cut.
                .pragma("synchronous", "FULL")
                .pragma("foreign_keys", "ON")
                .pragma("busy_timeout", "5000")
                .pragma("temp_store", "MEMORY")
        });
    options
}

/// Closes connections that come back inside a transaction. A full or failing disk makes SQLite roll back by itself;
/// the driver then believes in the transaction for ever, and begins no other.
fn without_transaction(options: PoolOptions<sqlx::Sqlite>) -> PoolOptions<sqlx::Sqlite> {
    options.after_release(|connection, _| {
        Box::pin(async move {
            if connection.is_in_transaction() {
                // The rollback of a transaction that was dropped may still be in the queue.
                connection.ping().await?;
            }
            Ok(!connection.is_in_transaction())
        })
    })
}
