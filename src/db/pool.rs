//! The pools of connections to the database.

use sea_orm::{
    ConnectionTrait, DatabaseBackend, DatabaseConnection, DbErr, ExecResult, QueryResult,
    Statement, TransactionTrait as _, prelude::async_trait::async_trait,
};

use super::{
    condemned::{ACQUIRE, Condemned, RESPONSE},
    group::Writer,
    sent::SentCounter,
    work::Work,
};
use crate::error::condemns_connection;

/// A pool for statements that may run twice: what reads, and what writes the same the second time. One that failed
/// because its connection is condemned is executed once more.
#[derive(Clone, Debug)]
pub struct Pool {
    pub(super) inner: DatabaseConnection,
    /// None for SQLite, whose connections are open files.
    pub(super) condemned: Option<Condemned>,
    /// The order in which units of work and statements write. None for PostgreSQL, and for reading.
    pub(super) writer: Option<Writer>,
    pub(super) sent: SentCounter,
}

impl Pool {
    /// Begins a transaction. Nothing has been sent before, so a second try is safe.
    pub(super) async fn begin(&self) -> Result<Work, DbErr> {
        if let Some(writer) = &self.writer {
            return Ok(Work::grouped(writer.begin().await?, self.sent.clone()));
        }
        let inner = self.once_more(|| self.inner.begin()).await?;
        Ok(Work::alone(
            inner,
            self.condemned.clone(),
            self.sent.clone(),
        ))
    }

    async fn once_more<T, F>(&self, work: impl Fn() -> F + Send) -> Result<T, DbErr>
    where
        F: Future<Output = Result<T, DbErr>> + Send,
    {
        self.sent.statement();
        let Some(condemned) = &self.condemned else {
            return work().await;
        };
        let limit = ACQUIRE + RESPONSE;
        match condemned.watch(limit, work()).await {
            Err(error) if condemns_connection(&error) => {
                self.sent.statement();
                condemned.watch(limit, work()).await
            }
            done => done,
        }
    }
}

#[async_trait]
impl ConnectionTrait for Pool {
    fn get_database_backend(&self) -> DatabaseBackend {
        self.inner.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        if let Some(writer) = &self.writer {
            let turn = writer.turn().await?;
            let done = turn.executor().execute_raw(statement).await;
            return turn.end(done).await;
        }
        self.once_more(|| self.inner.execute_raw(statement.clone()))
            .await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        if let Some(writer) = &self.writer {
            let turn = writer.turn().await?;
            let done = turn.executor().execute_unprepared(sql).await;
            return turn.end(done).await;
        }
        self.once_more(|| self.inner.execute_unprepared(sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        if let Some(writer) = &self.writer {
            let turn = writer.turn().await?;
            let done = turn.executor().query_one_raw(statement).await;
            return turn.end(done).await;
        }
        self.once_more(|| self.inner.query_one_raw(statement.clone()))
            .await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        if let Some(writer) = &self.writer {
            let turn = writer.turn().await?;
            let done = turn.executor().query_all_raw(statement).await;
            return turn.end(done).await;
        }
        self.once_more(|| self.inner.query_all_raw(statement.clone()))
            .await
    }
}
