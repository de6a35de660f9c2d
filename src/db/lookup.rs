//! Look-ups: statements that find one row by an index, outside a unit of work.
//!
//! On SQLite they run on the thread of the caller (SP-11). The driver hands each statement to a thread of its
//! connection and back, which costs more than the look-up itself. Here it blocks the caller for some microseconds
//! instead, on one of a few connections that only read, and never waits: what cannot run at once goes to the pool. On
//! PostgreSQL a look-up is any other read.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::{
    Connection, ErrorCode, OpenFlags, ToSql,
    types::{ToSqlOutput, ValueRef},
};
use sea_orm::{ConnectionTrait, DbErr, RuntimeErr, Statement, Value, sea_query::SelectStatement};

use super::{
    joined::{OwnRow, Row},
    observation::observe,
    pool::Pool,
};
use crate::error::InfraError;

/// How many statements each connection keeps prepared.
const PREPARED: usize = 32;

/// How long a connection is used. A file that was put in place of the first one is found after this time.
const MAX_AGE: Duration = Duration::from_secs(600);

/// What finds one row of tables that are joined ([`super::joined`]).
pub trait FindRow: Sync {
    /// Runs a statement that finds at most one row.
    fn find_row(
        &self,
        select: &SelectStatement,
    ) -> impl Future<Output = Result<Option<Row>, InfraError>> + Send;
}

impl<C: ConnectionTrait> FindRow for C {
    fn find_row(
        &self,
        select: &SelectStatement,
    ) -> impl Future<Output = Result<Option<Row>, InfraError>> + Send {
        let statement = self.get_database_backend().build(select);
        async move { Ok(self.query_one_raw(statement).await?.map(Row::Driver)) }
    }
}

/// A handle for look-ups. Clones share the connections.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// For PostgreSQL, and what counts the statements.
    pub(super) pool: Pool,
    /// None on PostgreSQL.
    pub(super) readers: Option<Readers>,
}

impl Lookup {
    /// Closes the connections, so that SQLite's log can be folded into its file. Later look-ups go to the pool.
    pub(super) fn close(&self) {
        if let Some(readers) = &self.readers {
            readers.close();
        }
    }
}

impl FindRow for Lookup {
    async fn find_row(&self, select: &SelectStatement) -> Result<Option<Row>, InfraError> {
        let statement = self.pool.get_database_backend().build(select);
        if let Some(readers) = &self.readers
            && let Some(found) = readers.find(&statement)
        {
            self.pool.sent.statement();
            return Ok(found?.map(Row::Own));
        }
        Ok(self.pool.query_one_raw(statement).await?.map(Row::Driver))
    }
}

/// The connections to a file of SQLite that look-ups run on. Each is opened when it is first used.
#[derive(Clone, Debug)]
pub(super) struct Readers {
    path: Arc<PathBuf>,
    slots: Arc<[Slot]>,
    is_closed: Arc<AtomicBool>,
}

type Slot = Mutex<Option<Reader>>;

#[derive(Debug)]
struct Reader {
    connection: Connection,
    opened_at: Instant,
    /// The names of the columns of each statement, by its text.
    names: HashMap<String, Arc<[String]>>,
}

impl From<PathBuf> for Readers {
    fn from(path: PathBuf) -> Self {
        // As many as there are processors: about as many threads run requests.
        let count = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            path: Arc::new(path),
            slots: (0..count.min(16)).map(|_| Slot::default()).collect(),
            is_closed: Arc::default(),
        }
    }
}

impl Readers {
    /// Runs a statement. Returns none if it could not run without waiting: all connections are in use, the file
    /// is locked, or the connections are closed. The pool waits on a thread of its own.
    fn find(&self, statement: &Statement) -> Option<Result<Option<OwnRow>, DbErr>> {
        let began = Instant::now();
        let mut slot = self.slots.iter().find_map(|slot| slot.try_lock().ok())?;
        if self.is_closed.load(Ordering::SeqCst) {
            return None;
        }
        let done = self.run(&mut slot, statement);
        if done.is_err() {
            *slot = None;
        }
        drop(slot);
        if done.as_ref().is_err_and(must_wait) {
            return None;
        }
        let done = done.map_err(database_error);
        observe("sqlite", &statement.sql, began.elapsed(), done.is_err());
        Some(done)
    }

    fn run(
        &self,
        slot: &mut Option<Reader>,
        statement: &Statement,
    ) -> rusqlite::Result<Option<OwnRow>> {
        let reader = match slot {
            Some(reader) if reader.opened_at.elapsed() < MAX_AGE => reader,
            old => old.insert(Reader::open(&self.path)?),
        };
        reader.find(statement)
    }

    /// Closes the connections, so that SQLite's log can be folded into its file. None is opened again.
    fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        for slot in self.slots.iter() {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}

impl Reader {
    fn open(path: &Path) -> rusqlite::Result<Self> {
        // Not read-only: the first reader of a file after a crash recovers its log.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(Duration::ZERO)?;
        connection.pragma_update(None, "query_only", true)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.set_prepared_statement_cache_capacity(PREPARED);
        Ok(Self {
            connection,
            opened_at: Instant::now(),
            names: HashMap::new(),
        })
    }

    fn find(&mut self, statement: &Statement) -> rusqlite::Result<Option<OwnRow>> {
        let mut prepared = self.connection.prepare_cached(&statement.sql)?;
        let names = match self.names.get(&statement.sql) {
            Some(names) => Arc::clone(names),
            None => {
                let names = prepared
                    .column_names()
                    .into_iter()
                    .map(str::to_owned)
                    .collect();
                let known = self.names.entry(statement.sql.clone());
                Arc::clone(known.insert_entry(names).get())
            }
        };
        let values = statement
            .values
            .as_ref()
            .map_or(&[][..], |values| &values.0);
        let mut rows = prepared.query(rusqlite::params_from_iter(values.iter().map(Bound)))?;
        match rows.next()? {
            Some(row) => OwnRow::of(names, row).map(Some),
            None => Ok(None),
        }
    }
}

/// A value of a statement, as SQLite stores it.
struct Bound<'a>(&'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let value = match self.0 {
            Value::Bool(value) => value.map(|value| ValueRef::Integer(value.into())),
            Value::Int(value) => value.map(|value| ValueRef::Integer(value.into())),
            Value::BigInt(value) => value.map(ValueRef::Integer),
            Value::BigUnsigned(value) => {
                let value = value.map(i64::try_from).transpose();
                let out_of_range = |error| rusqlite::Error::ToSqlConversionFailure(Box::new(error));
                value.map_err(out_of_range)?.map(ValueRef::Integer)
            }
            Value::String(value) => value
                .as_deref()
                .map(|value| ValueRef::Text(value.as_bytes())),
            Value::Bytes(value) => value.as_deref().map(ValueRef::Blob),
            Value::Uuid(value) => value.as_ref().map(|value| ValueRef::Blob(value.as_bytes())),
            other => {
                let message = format!("no look-up has a parameter like {other:?}");
                return Err(rusqlite::Error::ToSqlConversionFailure(message.into()));
            }
        };
        Ok(ToSqlOutput::Borrowed(value.unwrap_or(ValueRef::Null)))
    }
}

/// Returns whether a statement could not run because of what others do with the file just now.
fn must_wait(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::FileLockingProtocolFailed
        )
    )
}

/// Returns what the driver would report: a file that cannot be read now is an outage and no bug (ST-18).
fn database_error(error: rusqlite::Error) -> DbErr {
    let is_passing = matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::ReadOnly
                | ErrorCode::SystemIoFailure
                | ErrorCode::DiskFull
                | ErrorCode::CannotOpen
        )
    );
    if is_passing {
        DbErr::Query(RuntimeErr::Internal(error.to_string()))
    } else {
        DbErr::Custom(error.to_string())
    }
}

#[cfg(test)]
mod tests;
