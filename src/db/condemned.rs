//! Connections to PostgreSQL that are of no more use (ST-18, OB-1, OB-2).
//!
//! After a restart or a switch-over every pooled connection is dead, or leads to a server that no longer accepts
//! writes. The first error that says so condemns all that were opened before it: each is tested before it is used
//! again. While nothing fails, no connection is tested before use, so the hot path pays no round trip.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use sea_orm::{
    ConnAcquireErr, DbErr, RuntimeErr,
    sqlx::{self, PgConnection, Row as _, pool::PoolOptions},
};
use tokio::time::timeout;

use crate::error::condemns_connection;

/// The time in which a connection must be had.
pub(super) const ACQUIRE: Duration = Duration::from_secs(3);

/// The time that the server gives a statement.
pub(super) const STATEMENT: Duration = Duration::from_secs(5);

/// The time after which a response is given up: the server ends a statement before it, so that a longer silence is
/// that of a machine that is gone.
pub(super) const RESPONSE: Duration = Duration::from_secs(6);

/// The time that the test of a connection may take.
const TEST: Duration = Duration::from_secs(1);

/// A connection that was in use when another was condemned is back in the pool by then.
const IN_USE: Duration = Duration::from_secs(20);

/// `now()` is when the transaction began, which is when the statement did unless it is an open one.
const IS_USABLE: &str = "SELECT (current_setting('transaction_read_only') = 'off' \
     AND now() = statement_timestamp())::text";

/// When a connection of a pool was last condemned. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Condemned {
    start: Instant,
    /// Milliseconds after `start`; 0 for never.
    last: Arc<AtomicU64>,
    /// Whether the newest connection led to a server that accepts no writes.
    read_only: Arc<AtomicBool>,
    /// The pool itself. The hooks of the pool have none: a pool that held itself would never close.
    pool: Option<sqlx::PgPool>,
}

impl Condemned {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            last: Arc::default(),
            read_only: Arc::default(),
            pool: None,
        }
    }

    /// Gives a pool the hooks that test its connections.
    pub(super) fn hook(&self, options: PoolOptions<sqlx::Postgres>) -> PoolOptions<sqlx::Postgres> {
        let (opened, taken, given_back) = (self.clone(), self.clone(), self.clone());
        options
            .after_connect(move |connection, _| {
                let opened = opened.clone();
                // The pool tries again until the time for a connection is over: during a switch-over the address
                // leads to the new server a moment later.
                Box::pin(async move {
                    let writes = accepts_writes(connection).await?;
                    opened.read_only.store(!writes, Ordering::Relaxed);
                    writes.then_some(()).ok_or_else(read_only)
                })
            })
            .before_acquire(move |connection, meta| {
                let suspect = taken.happened_within(meta.idle_for);
                Box::pin(async move {
                    if suspect {
                        accepts_writes(connection).await
                    } else {
                        Ok(true)
                    }
                })
            })
            .after_release(move |connection, _| {
                let suspect = given_back.happened_within(IN_USE);
                Box::pin(async move {
                    if suspect {
                        accepts_writes(connection).await
                    } else {
                        Ok(true)
                    }
                })
            })
    }

    /// Returns the same for the pool whose connections these are, to say how many are open.
    pub(super) fn with_pool(self, pool: &sqlx::PgPool) -> Self {
        Self {
            pool: Some(pool.clone()),
            ..self
        }
    }

    fn note(&self) {
        let now = self.start.elapsed().as_millis();
        self.last.store(
            u64::try_from(now).unwrap_or(u64::MAX).max(1),
            Ordering::Relaxed,
        );
    }

    /// Whether a connection was condemned during the last `period`.
    fn happened_within(&self, period: Duration) -> bool {
        match self.last.load(Ordering::Relaxed) {
            0 => false,
            // A millisecond of tolerance for the rounding of `note`.
            at => self.start.elapsed() <= Duration::from_millis(at + 1) + period,
        }
    }

    /// Waits for a response at most `limit`, and notes an error that condemns its connection.
    pub(super) async fn watch<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, DbErr>>,
    ) -> Result<T, DbErr> {
        let done = timeout(limit, work).await.unwrap_or_else(|_| {
            self.note();
            Err(DbErr::Exec(RuntimeErr::Internal(
                "no response in time".to_owned(),
            )))
        });
        done.map_err(|error| {
            if condemns_connection(&error) {
                self.note();
            }
            self.explain(error)
        })
    }

    /// Says why no connection was had in time: the server accepts no writes, no connection could be
    /// opened, or all are in use.
    fn explain(&self, error: DbErr) -> DbErr {
        let is_timeout = matches!(error, DbErr::ConnectionAcquire(ConnAcquireErr::Timeout));
        if is_timeout
            && !self.read_only.load(Ordering::Relaxed)
            && let Some(pool) = &self.pool
        {
            let (open, most) = (pool.size(), pool.options().get_max_connections());
            let why = if open < most {
                format!(
                    "no connection could be opened in time ({open} of {most} are open): is the server running?"
                )
            } else {
                format!("all {most} connections of database.max_connections were in use")
            };
            return DbErr::Exec(RuntimeErr::Internal(why));
        }
        match error {
            DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)
                if self.read_only.load(Ordering::Relaxed) =>
            {
                DbErr::Exec(RuntimeErr::Internal(read_only().to_string()))
            }
            error => error,
        }
    }
}

fn read_only() -> sqlx::Error {
    sqlx::Error::Configuration(
        "the server accepts no writes: it is a standby, or default_transaction_read_only is on"
            .into(),
    )
}

/// Whether a connection responds, may write, and is in no transaction: one whose BEGIN was given up is, and its
/// driver does not know (SP-3). Without a response it is an error, so that the pool closes the connection at once.
///
/// # Errors
/// The connection broke, or there was no response in time.
pub async fn accepts_writes(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    // By the simple protocol: nothing is prepared, also in an address that is a connection pooler's.
    let ask = sqlx::raw_sql(IS_USABLE).fetch_one(connection);
    match timeout(TEST, ask).await {
        Ok(Ok(row)) => Ok(row.try_get::<String, _>(0)? == "true"),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(sqlx::Error::PoolTimedOut),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn st_18_a_connection_is_suspect_if_one_was_condemned_since_it_was_last_used() {
        let mut condemned = Condemned::new();
        assert!(
            !condemned.happened_within(Duration::from_secs(3600)),
            "nothing has failed"
        );
        condemned.note();
        assert!(condemned.happened_within(Duration::ZERO));
        // A minute later.
        condemned.start = condemned
            .start
            .checked_sub(Duration::from_secs(60))
            .unwrap();
        assert!(condemned.happened_within(Duration::from_secs(61)));
        assert!(
            !condemned.happened_within(Duration::from_secs(59)),
            "used since"
        );
    }

    #[tokio::test]
    async fn st_18_silence_condemns_and_is_a_dependency_that_is_unavailable() {
        let condemned = Condemned::new();
        let silence = std::future::pending::<Result<(), DbErr>>();
        let error = condemned
            .watch(Duration::from_millis(1), silence)
            .await
            .unwrap_err();
        assert!(condemned.happened_within(Duration::ZERO));
        assert!(crate::error::InfraError::from(error).is_transient());
    }
}
