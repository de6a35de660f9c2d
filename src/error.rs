//! The infrastructure error: something that the service needs is unavailable, or the service has a bug.
//!
//! It is never the caller's fault and knows no HTTP. What a caller did wrong is an error type of the rule that refuses
//! it. `web/error.rs` turns an [`InfraError`] into a response.

use sea_orm::{DbErr, RuntimeErr};

/// Why a unit of work could not be done. The cause is for the log alone.
#[derive(Debug, thiserror::Error)]
pub enum InfraError {
    /// Something that we need is away; trying again later may work: 503 with Retry-After.
    #[error("{what} is away: {cause}")]
    Away {
        /// `database` or `ticket store`.
        what: &'static str,
        /// For the log.
        cause: String,
    },
    /// Another transaction was in the way; nothing was committed and the work may be tried again.
    #[error("conflict with another transaction: {0}")]
    Conflict(String),
    /// A bug or a damaged row: 500 with a reference.
    #[error("{0}")]
    Internal(String),
}

impl InfraError {
    /// A bug, in words for the log.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        Self::Internal(cause.to_string())
    }

    /// Whether trying again later may work: 503 with Retry-After rather than 500.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Away { .. } | Self::Conflict(_))
    }

    /// Writes it to the log, with its cause: once, where the answer leaves. Who answers by letting a [`poem::Error`]
    /// out leaves this to the layers; who draws a page for it calls this.
    pub fn log(&self, request_id: &str) {
        if self.is_passing() {
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
                return Self::Away {
                    what: "database",
                    cause,
                };
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
            | Sqlx::Protocol(_) => Self::Away {
                what: "database",
                cause,
            },
            Sqlx::Database(db) => match db.code().as_deref() {
                // PostgreSQL: serialization_failure, deadlock_detected.
                Some("40001" | "40P01") => Self::Conflict(cause),
                // PostgreSQL: connection classes, shutting down, starting up, too many connections, statement time-out.
                Some(code)
                    if code.starts_with("08")
                        || code.starts_with("57P")
                        || matches!(code, "53300" | "57014") =>
                {
                    Self::Away {
                        what: "database",
                        cause,
                    }
                }
                // SQLite: busy, locked, I/O error, full.
                Some("5" | "6" | "10" | "13" | "261" | "517" | "773") => Self::Away {
                    what: "database",
                    cause,
                },
                _ => Self::Internal(cause),
            },
            _ => Self::Internal(cause),
        }
    }
}
