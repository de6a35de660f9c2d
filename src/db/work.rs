//! The transaction of a unit of work.

use sea_orm::{
    ConnectionTrait, DatabaseBackend, DatabaseTransaction, DbErr, ExecResult, QueryResult,
    Statement, prelude::async_trait::async_trait,
};

use super::{
    condemned::{Condemned, RESPONSE},
    deferred::{Deferred, Write},
    group::Unit,
    sent::SentCounter,
};

/// A transaction, or a part of one on SQLite. Its errors condemn connections. Nothing in it is tried again.
#[derive(Debug)]
pub struct Work {
    inner: Transaction,
    sent: SentCounter,
    deferred: Deferred,
}

#[derive(Debug)]
enum Transaction {
    /// On PostgreSQL: its own.
    Alone(DatabaseTransaction, Option<Condemned>),
    /// On SQLite: maybe with other units of work.
    Grouped(Unit),
}

impl Work {
    pub(super) fn alone(
        inner: DatabaseTransaction,
        condemned: Option<Condemned>,
        sent: SentCounter,
    ) -> Self {
        Self::new(Transaction::Alone(inner, condemned), sent)
    }

    pub(super) fn grouped(unit: Unit, sent: SentCounter) -> Self {
        Self::new(Transaction::Grouped(unit), sent)
    }

    fn new(inner: Transaction, sent: SentCounter) -> Self {
        let deferred = Deferred::default();
        Self {
            inner,
            sent,
            deferred,
        }
    }

    pub(super) async fn commit(self) -> Result<(), DbErr> {
        self.send_deferred().await?;
        match self.inner {
            Transaction::Alone(inner, condemned) => {
                self.sent.commit();
                watch(condemned.as_ref(), inner.commit()).await
            }
            Transaction::Grouped(unit) => unit.commit().await,
        }
    }

    fn transaction(&self) -> Result<&DatabaseTransaction, DbErr> {
        match &self.inner {
            Transaction::Alone(inner, _) => Ok(inner),
            Transaction::Grouped(unit) => unit.transaction(),
        }
    }

    /// Lets a write wait for the next statement.
    pub(super) async fn defer(&self, table: &'static str, write: Write) -> Result<(), DbErr> {
        if !self.deferred.accepts(table, &write) {
            self.send_deferred().await?;
        }
        self.deferred.add(table, write);
        Ok(())
    }

    async fn send_deferred(&self) -> Result<(), DbErr> {
        let Some(writes) = self.deferred.take(self.get_database_backend()) else {
            return Ok(());
        };
        let sending = self.transaction()?.execute_raw(writes);
        self.send(sending).await.map(drop)
    }

    async fn statement<T>(&self, work: impl Future<Output = Result<T, DbErr>>) -> Result<T, DbErr> {
        self.send_deferred().await?;
        self.send(work).await
    }

    async fn send<T>(&self, work: impl Future<Output = Result<T, DbErr>>) -> Result<T, DbErr> {
        self.sent.statement();
        match &self.inner {
            Transaction::Alone(_, condemned) => watch(condemned.as_ref(), work).await,
            Transaction::Grouped(unit) => unit.watch(work).await,
        }
    }
}

async fn watch<T>(
    condemned: Option<&Condemned>,
    work: impl Future<Output = Result<T, DbErr>>,
) -> Result<T, DbErr> {
    match condemned {
        Some(condemned) => condemned.watch(RESPONSE, work).await,
        None => work.await,
    }
}

#[async_trait]
impl ConnectionTrait for Work {
    fn get_database_backend(&self) -> DatabaseBackend {
        match &self.inner {
            Transaction::Alone(inner, _) => inner.get_database_backend(),
            Transaction::Grouped(_) => DatabaseBackend::Sqlite,
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.statement(self.transaction()?.execute_raw(statement))
            .await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.statement(self.transaction()?.execute_unprepared(sql))
            .await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.statement(self.transaction()?.query_one_raw(statement))
            .await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.statement(self.transaction()?.query_all_raw(statement))
            .await
    }
}
