//! The database: one writer on SQLite, a pool on PostgreSQL, and the unit of work that every rule takes.
//!
//! [`Tx`] is a transaction with the one `now` of this unit of work. `Err` rolls back; a refusal is an `Ok`, so that a
//! burnt code or a raised counter is committed (see [`Tx::commit`]). Writes on whose result nothing depends wait and
//! are sent together (see [`Tx::defer`]).

mod condemned;
mod deferred;
mod file;
mod group;
pub mod joined;
mod lookup;
mod observation;
mod options;
mod pool;
mod pooler;
mod schema;
mod sent;
mod undecided;
mod work;

use std::{
    pin::Pin,
    sync::{Mutex, PoisonError},
};

use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, Database, DatabaseBackend, DatabaseConnection,
    EntityTrait, QueryFilter as _, QuerySelect as _, QueryTrait as _, Statement, sea_query::Expr,
};
use uuid::Uuid;

use condemned::Condemned;
use group::{Bounds, Writer};
use observation::observe;
use sent::SentCounter;

pub use condemned::accepts_writes;
pub use deferred::Write;
pub use lookup::{FindRow, Lookup};
pub use pool::Pool;
pub use schema::known_migrations;
pub use sent::Sent;
pub use undecided::until_decided;
pub use work::Work;

use crate::{
    clock::{Clock, Time},
    error::InfraError,
    secret,
    telemetry::metrics,
};

/// The `application_name` of connections that a command opens, by which PostgreSQL shows what uses a
/// database.
const COMMAND_NAME: &str = "entree-command";

/// Returns the URL with the name of a command's connections, so that they differ from an instance's.
#[must_use]
pub fn as_command(url: &str) -> String {
    if url.starts_with("sqlite:") {
        return url.to_owned();
    }
    let joint = if url.contains('?') { '&' } else { '?' };
    format!("{url}{joint}application_name={COMMAND_NAME}")
}

/// Handles to the database. Clones share the pools.
#[derive(Clone, Debug)]
pub struct Db {
    write: Pool,
    read: Pool,
    lookup: Lookup,
    clock: Clock,
}

/// A unit of work: a transaction and the moment at which all of it happens.
pub struct Tx {
    inner: Work,
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
    pub const fn conn(&self) -> &Work {
        &self.inner
    }

    /// Makes everything of this unit of work last. A refusal is committed too: the burnt code, the raised counter.
    ///
    /// # Errors
    /// The commit failed, and nothing of the unit of work has happened.
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
            let file = options::sqlite_file(path)?;
            file::create_private(&file)?;
            let sent = SentCounter::default();
            let open = async |connections| {
                let inner = Database::connect(options::sqlite(path, connections)).await?;
                Ok::<_, InfraError>(watched(inner, "sqlite"))
            };
            let pool = |inner, writer| Pool {
                inner,
                condemned: None,
                writer,
                sent: sent.clone(),
            };
            let write = open(1).await?;
            let writer = Writer::new(write.clone(), sent.clone(), Bounds::default());
            let write = pool(write, Some(writer));
            let read = pool(open(max_connections.clamp(1, 8)).await?, None);
            let lookup = Lookup {
                pool: read.clone(),
                readers: Some(file.into()),
            };
            return Ok(Self {
                write,
                read,
                lookup,
                clock,
            });
        }
        let condemned = Condemned::new();
        let options = options::postgres(url, max_connections, &condemned);
        let inner = watched(Database::connect(options).await?, "postgresql");
        let condemned = condemned.with_pool(inner.get_postgres_connection_pool());
        let pool = Pool {
            inner,
            condemned: Some(condemned),
            writer: None,
            sent: SentCounter::default(),
        };
        Ok(Self {
            write: pool.clone(),
            lookup: Lookup {
                pool: pool.clone(),
                readers: None,
            },
            read: pool,
            clock,
        })
    }

    /// For reading outside a unit of work.
    #[must_use]
    pub const fn read(&self) -> &Pool {
        &self.read
    }

    /// For finding one row by an index outside a unit of work, on paths that are often taken.
    #[must_use]
    pub const fn lookup(&self) -> &Lookup {
        &self.lookup
    }

    /// For one statement outside a unit of work that writes the same if it runs twice.
    #[must_use]
    pub const fn write(&self) -> &Pool {
        &self.write
    }

    /// Returns what this handle and its clones have sent.
    #[must_use]
    pub fn sent(&self) -> Sent {
        self.write.sent.read()
    }

    /// Returns how many units of work and statements of this handle and its clones wait for the writer of SQLite.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.write.writer.as_ref().map_or(0, Writer::waiting)
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
    /// On SQLite it is the only writer until it ends, so reading and then writing is safe there. It may read what
    /// the units of work before it have written and what is committed with it (`db/group.rs`). On PostgreSQL it
    /// reads committed rows, so a claim is one guarded statement.
    ///
    /// # Errors
    /// If no connection can be had.
    pub async fn begin(&self) -> Result<Tx, InfraError> {
        let inner = self.write.begin().await?;
        Ok(Tx {
            inner,
            counts: Mutex::default(),
            now: self.clock.now(),
        })
    }

    /// Writes a row, removes it and commits: a database that responds but accepts no writes cannot serve sign-ins
    /// (ST-18).
    ///
    /// # Errors
    /// If it does not respond or does not write.
    pub async fn probe(&self) -> Result<(), InfraError> {
        let tx = self.begin().await?;
        let id = secret::public_id();
        tx.conn()
            .execute_raw(self.statement("INSERT INTO readiness (id) VALUES ($1)", id))
            .await?;
        tx.conn()
            .execute_raw(self.statement("DELETE FROM readiness WHERE id = $1", id))
            .await?;
        tx.commit().await
    }

    /// Returns what else is connected to this PostgreSQL database as the same user, commands excepted: the
    /// name and address of each. SQLite has one process at a time.
    pub async fn other_clients(&self) -> Result<Vec<String>, InfraError> {
        if !self.is_postgres() {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT DISTINCT coalesce(nullif(application_name, ''), 'entree') \
               || coalesce(' at ' || host(client_addr), '') AS client \
             FROM pg_stat_activity WHERE datname = current_database() AND usename = current_user \
             AND backend_type = 'client backend' AND pid <> pg_backend_pid() \
             AND application_name <> '{COMMAND_NAME}' ORDER BY 1"
        );
        let query = Statement::from_string(DatabaseBackend::Postgres, sql);
        let rows = self.read.query_all_raw(query).await?;
        rows.iter()
            .map(|row| Ok(row.try_get("", "client")?))
            .collect()
    }

    fn statement(&self, sql: &str, id: Uuid) -> Statement {
        Statement::from_sql_and_values(self.write.get_database_backend(), sql, [id.into()])
    }

    /// The pool itself, for migrations down and for tests.
    #[must_use]
    pub const fn pool(&self) -> &DatabaseConnection {
        &self.write.inner
    }

    /// Tells the metrics how the pools stand.
    pub fn gauge(&self) {
        if self.is_postgres() {
            let pool = self.write.inner.get_postgres_connection_pool();
            metrics::pool(
                "all",
                pool.size().into(),
                count(pool.num_idle()),
                pool.options().get_max_connections().into(),
            );
            return;
        }
        for (name, pool) in [("write", &self.write), ("read", &self.read)] {
            let pool = pool.inner.get_sqlite_connection_pool();
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
        self.lookup.close();
        let _ = self.read.inner.clone().close().await;
        let _ = self.write.inner.clone().close().await;
    }
}

fn count(of: usize) -> u64 {
    u64::try_from(of).unwrap_or(u64::MAX)
}

/// Counts and traces every statement of a pool.
fn watched(mut pool: DatabaseConnection, system: &'static str) -> DatabaseConnection {
    pool.set_metric_callback(move |info| {
        observe(system, &info.statement.sql, info.elapsed, info.failed);
    });
    pool
}
