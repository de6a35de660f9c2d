//! The infrastructure error: a dependency is unavailable, a transaction conflicted, or the service
//! has a bug.
//!
//! It is never the caller's fault and knows no HTTP. What a caller did wrong is an error type of
//! the rule that refuses it. `web/response/error.rs` turns an [`InfraError`] into a response.

use sea_orm::{DbErr, RuntimeErr};

/// The reason why a unit of work failed. The cause is for the log alone.
#[derive(Debug, thiserror::Error)]
pub enum InfraError {
    /// A dependency is unavailable, and a later try may work: 503 with Retry-After.
    #[error("{dependency} is unavailable: {cause}")]
    Unavailable {
        dependency: &'static str,
        cause: String,
    },
    /// Another transaction was in the way. Nothing was committed, and the work may be tried again.
    #[error("conflict with another transaction: {0}")]
    Conflict(String),
    /// A bug or a damaged row: 500 with a reference.
    #[error("{0}")]
    Internal(String),
}

impl InfraError {
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        Self::Internal(cause.to_string())
    }

    fn database(cause: String) -> Self {
        Self::Unavailable {
            dependency: "database",
            cause,
        }
    }

    /// Returns whether a later try may work.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Conflict(_))
    }

    /// Writes the error with its cause to the log. Only the code that renders a page for the error
    /// calls this: an error that leaves as a [`poem::Error`] is logged by the layers.
    pub fn log(&self, request_id: &str) {
        if self.is_transient() {
            tracing::warn!(request_id, cause = %self, "answered 503");
        } else {
            tracing::error!(request_id, cause = %self, "answered 500");
        }
    }
}

/// What an error of the database says.
enum Verdict {
    /// The connection that it came from is of no more use: it broke, its server shuts down, or it leads to a server
    /// that no longer accepts writes.
    Condemned,
    /// The database cannot do it now.
    Unavailable,
    Conflict,
    Bug,
}

/// Returns whether the connection that the error came from, and those that were opened before it, must not be used
/// again without a test (ST-18).
#[must_use]
pub fn condemns_connection(error: &DbErr) -> bool {
    matches!(verdict(error), Verdict::Condemned)
}

/// Returns whether SQLite may have rolled the transaction back by itself when it reported this error
/// (<https://sqlite.org/lang_transaction.html#response_to_errors_within_a_transaction>).
#[must_use]
pub fn ends_transaction(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) =
        error
    else {
        return false;
    };
    let code = error.as_database_error().and_then(|error| error.code());
    // Busy, out of memory, interrupted, I/O error, full.
    let primary = code.as_deref().and_then(sqlite_code);
    matches!(primary, Some(5 | 7 | 9 | 10 | 13))
}

/// Returns the primary code in a code of SQLite, whose higher bytes give details. None for a code of
/// PostgreSQL.
fn sqlite_code(code: &str) -> Option<u32> {
    let code = (code.len() < 5).then_some(code)?;
    Some(code.parse::<u32>().ok()? & 0xff)
}

fn verdict(error: &DbErr) -> Verdict {
    use sea_orm::sqlx::Error as Sqlx;
    let runtime = match error {
        // SQLITE_NOTADB: the file will never be a database.
        DbErr::Conn(RuntimeErr::SqlxError(error)) if has_code(error, "26") => return Verdict::Bug,
        DbErr::Conn(_) => return Verdict::Condemned,
        DbErr::ConnectionAcquire(_)
        | DbErr::Exec(RuntimeErr::Internal(_))
        | DbErr::Query(RuntimeErr::Internal(_)) => return Verdict::Unavailable,
        DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => {
            error
        }
        _ => return Verdict::Bug,
    };
    match &**runtime {
        Sqlx::Io(_) | Sqlx::Tls(_) | Sqlx::Protocol(_) => Verdict::Condemned,
        Sqlx::PoolTimedOut | Sqlx::PoolClosed | Sqlx::WorkerCrashed => Verdict::Unavailable,
        Sqlx::Database(error) => error.code().as_deref().map_or(Verdict::Bug, of_code),
        _ => Verdict::Bug,
    }
}

fn has_code(error: &sea_orm::sqlx::Error, code: &str) -> bool {
    let error = error.as_database_error();
    error.is_some_and(|error| error.code().as_deref() == Some(code))
}

/// The codes of PostgreSQL have five characters, those of SQLite are numbers.
fn of_code(code: &str) -> Verdict {
    match code {
        // serialization_failure, deadlock_detected.
        "40001" | "40P01" => Verdict::Conflict,
        // read_only_sql_transaction, and a transaction that the server ended for its age.
        "25006" | "25P03" | "25P04" => Verdict::Condemned,
        // Connection exceptions; shutting down, crashed, starting up.
        _ if code.len() == 5 && (code.starts_with("08") || code.starts_with("57P")) => {
            Verdict::Condemned
        }
        // Out of disk, memory or connections; failures of the server's system; statement time-out.
        _ if code.len() == 5 && (code.starts_with("53") || code.starts_with("58")) => {
            Verdict::Unavailable
        }
        "57014" | "55P03" => Verdict::Unavailable,
        // SQLite: busy, locked, read-only, I/O error, full, cannot be opened, locking protocol.
        _ if matches!(sqlite_code(code), Some(5 | 6 | 8 | 10 | 13 | 14 | 15)) => {
            Verdict::Unavailable
        }
        _ => Verdict::Bug,
    }
}

impl From<DbErr> for InfraError {
    fn from(error: DbErr) -> Self {
        let cause = error.to_string();
        match verdict(&error) {
            Verdict::Condemned | Verdict::Unavailable => Self::database(cause),
            Verdict::Conflict => Self::Conflict(cause),
            Verdict::Bug => Self::Internal(cause),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ob_1_codes_that_condemn_a_connection_are_never_a_bug() {
        for code in [
            "25006", "57P01", "57P02", "57P03", "08006", "08P01", "25P03",
        ] {
            assert!(matches!(of_code(code), Verdict::Condemned), "{code}");
        }
        for code in ["53100", "53300", "57014", "58030", "5", "13", "517", "778"] {
            assert!(matches!(of_code(code), Verdict::Unavailable), "{code}");
        }
        for code in ["23505", "42P01", "22001", "1555", "2067"] {
            assert!(matches!(of_code(code), Verdict::Bug), "{code}");
        }
        assert!(matches!(of_code("40001"), Verdict::Conflict));
    }
}
