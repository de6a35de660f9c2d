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

impl From<DbErr> for InfraError {
    fn from(error: DbErr) -> Self {
        let cause = error.to_string();
        let runtime = match &error {
            DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => {
                return Self::database(cause);
            }
            DbErr::Exec(RuntimeErr::SqlxError(e)) | DbErr::Query(RuntimeErr::SqlxError(e)) => e,
            _ => return Self::Internal(cause),
        };
        use sea_orm::sqlx::Error as Sqlx;
        match &**runtime {
            Sqlx::Io(_)
            | Sqlx::Tls(_)
            | Sqlx::PoolTimedOut
            | Sqlx::PoolClosed
            | Sqlx::WorkerCrashed
            | Sqlx::Protocol(_) => Self::database(cause),
            Sqlx::Database(db) => match db.code().as_deref() {
                // PostgreSQL: serialization_failure, deadlock_detected.
                Some("40001" | "40P01") => Self::Conflict(cause),
                // PostgreSQL: connection classes, shutting down, starting up, too many connections,
                // statement time-out.
                Some(code)
                    if code.starts_with("08")
                        || code.starts_with("57P")
                        || matches!(code, "53300" | "57014") =>
                {
                    Self::database(cause)
                }
                // SQLite: busy, locked, I/O error, full.
                Some("5" | "6" | "10" | "13" | "261" | "517" | "773") => Self::database(cause),
                _ => Self::Internal(cause),
            },
            _ => Self::Internal(cause),
        }
    }
}
