//! The database: one writer on SQLite, a pool on PostgreSQL, and the unit of work that every rule takes.
//!
//! [`Tx`] is a transaction with the one `now` of this unit of work. `Err` rolls back; a refusal is an `Ok`, so that a
//! burnt code or a raised counter is committed (see [`Tx::commit`]).

use std::{
    pin::Pin,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use migration::{Migrator, MigratorTrait as _};
use sea_orm::{
    ColumnTrait as _, ConnectOptions, ConnectionTrait as _, Database, DatabaseBackend,
    DatabaseConnection, DatabaseTransaction, EntityTrait, QueryFilter as _, QuerySelect as _,
    QueryTrait as _, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait as _,
    sea_query::Expr,
};

use crate::{
    clock::{Clock, Time},
    error::InfraError,
    telemetry::{metrics, trace},
};

/// The key of the PostgreSQL advisory lock under which one copy migrates while the others wait.
const MIGRATION_LOCK: i64 = 0x656e_7472_6565;

/// Handles to the database. Clones share the pools.
#[derive(Clone, Debug)]
pub struct Db {
    write: DatabaseConnection,
    read: DatabaseConnection,
    clock: Clock,
}

/// A unit of work: a transaction and the moment at which all of it happens.
pub struct Tx {
    inner: DatabaseTransaction,
    counts: Mutex<Vec<Count>>,
    /// The one `now` of this unit of work.
    pub now: Time,
}

/// The future of work that borrows a unit of work.
pub type TxFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, InfraError>> + Send + 'a>>;

/// What is counted once a unit of work lasts.
type Count = Box<dyn FnOnce() + Send>;

impl std::fmt::Debug for Tx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tx")
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

impl Tx {
    /// What sea-orm's queries run on.
    #[must_use]
    pub const fn conn(&self) -> &DatabaseTransaction {
        &self.inner
    }

    /// Makes everything of this unit of work last. A refusal is committed too: the burnt code, the raised counter.
    ///
    /// # Errors
    /// The database's own; nothing has happened then.
    pub async fn commit(self) -> Result<(), InfraError> {
        self.inner.commit().await?;
        for count in self
            .counts
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
        {
            count();
        }
        Ok(())
    }

    /// Counts something if and when this unit of work lasts. For metrics: quick, and without a way to fail.
    pub fn on_commit(&self, count: impl FnOnce() + Send + 'static) {
        self.counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Box::new(count));
    }

    /// Deletes at most `most` of the rows that match `which`, by their primary key `id`, and returns their
    /// number. Clean-up works in such batches, so that sign-ins proceed between two of them (DB-03).
    ///
    /// # Errors
    /// The database's own.
    pub async fn delete_some<E: EntityTrait>(
        &self,
        id: E::Column,
        which: Expr,
        most: u64,
    ) -> Result<u64, InfraError> {
        let batch = E::find()
            .select_only()
            .column(id)
            .filter(which)
            .limit(most)
            .into_query();
        let done = E::delete_many()
            .filter(id.in_subquery(batch))
            .exec(&self.inner)
            .await?;
        Ok(done.rows_affected)
    }

    /// Whether this is PostgreSQL, for the few statements that differ.
    #[must_use]
    pub fn is_postgres(&self) -> bool {
        self.inner.get_database_backend() == DatabaseBackend::Postgres
    }
}

impl Db {
    /// Opens `sqlite:PATH` (made if missing) or `postgres://…`.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn connect(
        url: &str,
        max_connections: u32,
        clock: Clock,
    ) -> Result<Self, InfraError> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = path.trim_start_matches("//");
            let write = watched(Database::connect(sqlite(path, 1)).await?, "sqlite");
            let read = watched(
                Database::connect(sqlite(path, max_connections.clamp(1, 8))).await?,
                "sqlite",
            );
            return Ok(Self { write, read, clock });
        }
        let mut options = ConnectOptions::new(url);
        options
            .max_connections(max_connections)
            .connect_timeout(Duration::from_secs(3))
            .acquire_timeout(Duration::from_secs(3))
            .test_before_acquire(false)
            .statement_timeout(Duration::from_secs(5))
            .sqlx_logging(false);
        // A pool that is made lazily lets the service start, and say 503, while the database is away.
        options.connect_lazy(true);
        let pool = watched(Database::connect(options).await?, "postgresql");
        Ok(Self {
            write: pool.clone(),
            read: pool,
            clock,
        })
    }

    /// For reading outside a unit of work: lists, look-ups on the hot path, readiness.
    #[must_use]
    pub const fn read(&self) -> &DatabaseConnection {
        &self.read
    }

    /// The clock that stamps each unit of work.
    #[must_use]
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Whether this is PostgreSQL.
    #[must_use]
    pub fn is_postgres(&self) -> bool {
        self.write.get_database_backend() == DatabaseBackend::Postgres
    }

    /// Begins a unit of work. Dropping it without [`Tx::commit`] rolls back.
    ///
    /// On SQLite it is the only writer from its first statement on, so reading and then writing is safe there; on
    /// PostgreSQL it reads committed rows, so a claim is one guarded statement.
    ///
    /// # Errors
    /// If no connection can be had.
    pub async fn begin(&self) -> Result<Tx, InfraError> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let inner = self.write.begin_with_options(options).await?;
        Ok(Tx {
            inner,
            counts: Mutex::default(),
            now: self.clock.now(),
        })
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// If it does not.
    pub async fn ping(&self) -> Result<(), InfraError> {
        Ok(self.read.ping().await?)
    }

    /// Brings the schema up to date. Several copies may call this at once: one migrates, the others wait and find
    /// nothing left to do.
    ///
    /// # Errors
    /// The database's own.
    pub async fn migrate(&self) -> Result<(), InfraError> {
        if !self.is_postgres() {
            // One process holds the data directory (see `cli/instance.rs`), and its writer is one connection.
            return Ok(Migrator::up(&self.write, None).await?);
        }
        // The lock belongs to a transaction's connection: it ends with it, also after a crash. What migrates runs there, too:
        // a large table takes longer than a statement of ours may.
        let lock = self.write.begin().await?;
        lock.execute_unprepared("SET LOCAL statement_timeout = 0")
            .await?;
        lock.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
            .await?;
        Migrator::up(&lock, None).await?;
        Ok(lock.commit().await?)
    }

    /// The names of migrations that the schema lacks.
    ///
    /// # Errors
    /// The database's own.
    pub async fn pending_migrations(&self) -> Result<Vec<String>, InfraError> {
        // The library's own query would create a missing table; this one only reads.
        let sql = if self.is_postgres() {
            "SELECT to_regclass('seaql_migrations') IS NOT NULL AS there"
        } else {
            "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'seaql_migrations') AS there"
        };
        let statement = Statement::from_string(self.write.get_database_backend(), sql);
        let row = self.write.query_one_raw(statement).await?;
        if !row.map_or(Ok(false), |row| row.try_get("", "there"))? {
            return Ok(Migrator::migrations()
                .iter()
                .map(|migration| migration.name().to_owned())
                .collect());
        }
        let pending = Migrator::get_pending_migrations(&self.write).await?;
        Ok(pending
            .iter()
            .map(|migration| migration.name().to_owned())
            .collect())
    }

    /// The pool itself, for migrations down and for tests.
    #[must_use]
    pub const fn pool(&self) -> &DatabaseConnection {
        &self.write
    }

    /// Tells the metrics how the pools stand.
    pub fn gauge(&self) {
        if self.is_postgres() {
            let pool = self.write.get_postgres_connection_pool();
            metrics::pool(
                "all",
                pool.size().into(),
                count(pool.num_idle()),
                pool.options().get_max_connections().into(),
            );
            return;
        }
        for (name, pool) in [("write", &self.write), ("read", &self.read)] {
            let pool = pool.get_sqlite_connection_pool();
            metrics::pool(
                name,
                pool.size().into(),
                count(pool.num_idle()),
                pool.options().get_max_connections().into(),
            );
        }
    }

    /// Closes the pools, so that SQLite's log is folded into its file.
    pub async fn close(&self) {
        let _ = self.read.clone().close().await;
        let _ = self.write.clone().close().await;
    }
}

fn count(of: usize) -> u64 {
    u64::try_from(of).unwrap_or(u64::MAX)
}

/// Counts and traces every statement. Of its text only the operation and the table are looked at, of its values nothing.
fn watched(mut pool: DatabaseConnection, system: &'static str) -> DatabaseConnection {
    pool.set_metric_callback(move |info| {
        let operation = trace::operation(&info.statement.sql);
        metrics::statement(operation, info.elapsed, info.failed);
        trace::statement(
            system,
            operation,
            &info.statement.sql,
            info.elapsed,
            info.failed,
        );
    });
    pool
}

fn sqlite(path: &str, connections: u32) -> ConnectOptions {
    let mut options = ConnectOptions::new(format!("sqlite://{path}?mode=rwc"));
    options
        .max_connections(connections)
        .min_connections(1)
        .acquire_timeout(Duration::from_secs(5))
        .test_before_acquire(false)
        .sqlx_logging(false)
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
