//! Writes of a unit of work on whose result nothing depends.
//!
//! They wait until the next statement of the unit of work, or its commit, and are sent together before
//! it, by one statement. So what follows sees them, as if each had been sent at once.
//!
//! PostgreSQL runs the parts of one statement in no certain order, and none of them sees what another
//! wrote. So of one table only new rows wait together: a change is sent after what waits for its table.

use std::sync::{Mutex, MutexGuard, PoisonError};

use sea_orm::{
    ConnectionTrait as _, DatabaseBackend, EntityTrait, Statement, StatementBuilder,
    sea_query::{
        Alias, CommonTableExpression, DeleteStatement, InsertStatement, SubQueryStatement,
        UpdateStatement, WithClause,
    },
};

use super::Tx;
use crate::error::InfraError;

/// How many writes wait at most: the size of a statement is bounded.
const MAX_WAITING: usize = 16;

/// A write on whose result nothing depends.
#[derive(Debug)]
pub enum Write {
    /// Adds rows.
    Insert(InsertStatement),
    /// Adds a row, or changes the one that is there.
    Upsert(InsertStatement),
    Update(UpdateStatement),
    Delete(DeleteStatement),
}

impl From<InsertStatement> for Write {
    fn from(statement: InsertStatement) -> Self {
        Self::Insert(statement)
    }
}

impl From<UpdateStatement> for Write {
    fn from(statement: UpdateStatement) -> Self {
        Self::Update(statement)
    }
}

impl From<DeleteStatement> for Write {
    fn from(statement: DeleteStatement) -> Self {
        Self::Delete(statement)
    }
}

impl Write {
    fn build(&self, backend: DatabaseBackend) -> Statement {
        match self {
            Self::Insert(write) | Self::Upsert(write) => StatementBuilder::build(write, &backend),
            Self::Update(write) => StatementBuilder::build(write, &backend),
            Self::Delete(write) => StatementBuilder::build(write, &backend),
        }
    }

    fn into_part(self) -> SubQueryStatement {
        match self {
            Self::Insert(write) | Self::Upsert(write) => write.into(),
            Self::Update(write) => write.into(),
            Self::Delete(write) => write.into(),
        }
    }
}

/// The writes of one unit of work that wait, each with its table.
#[derive(Debug, Default)]
pub(super) struct Deferred(Mutex<Vec<(&'static str, Write)>>);

impl Deferred {
    /// Returns whether a write may wait together with those that wait already.
    pub(super) fn accepts(&self, table: &str, write: &Write) -> bool {
        let is_new = |write: &Write| matches!(write, Write::Insert(_));
        let waiting = self.waiting();
        let is_apart =
            |(other, before): &(&str, Write)| *other != table || is_new(write) && is_new(before);
        waiting.len() < MAX_WAITING && waiting.iter().all(is_apart)
    }

    pub(super) fn add(&self, table: &'static str, write: Write) {
        self.waiting().push((table, write));
    }

    /// Takes what waits, as one statement. Returns none if nothing waits.
    pub(super) fn take(&self, backend: DatabaseBackend) -> Option<Statement> {
        let waiting = std::mem::take(&mut *self.waiting());
        together(backend, waiting.into_iter().map(|(_, write)| write))
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<(&'static str, Write)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns one statement for all of these writes: on PostgreSQL the last, with the others as parts of
/// its `WITH`, and on SQLite a script.
fn together(
    backend: DatabaseBackend,
    writes: impl DoubleEndedIterator<Item = Write>,
) -> Option<Statement> {
    if backend != DatabaseBackend::Postgres {
        return script(backend, writes);
    }
    let mut writes = writes;
    let last = writes.next_back()?;
    let mut with = WithClause::new();
    let mut parts = 0;
    for write in writes {
        let mut part = CommonTableExpression::new();
        part.table_name(Alias::new(format!("write_{parts}")))
            .query(write.into_part());
        with.cte(part);
        parts += 1;
    }
    if parts == 0 {
        return Some(last.build(backend));
    }
    let all = with.query(last.into_part());
    Some(StatementBuilder::build(&all, &backend))
}

/// Returns the statements one after the other. Their placeholders have no numbers, so that the values
/// follow each other, too.
fn script(backend: DatabaseBackend, writes: impl Iterator<Item = Write>) -> Option<Statement> {
    let mut sql = Vec::new();
    let mut values = Vec::new();
    for write in writes {
        let statement = write.build(backend);
        values.extend(statement.values.into_iter().flat_map(|values| values.0));
        sql.push(statement.sql);
    }
    let statement = || Statement::from_sql_and_values(backend, sql.join("; "), values);
    (!sql.is_empty()).then(statement)
}

impl Tx {
    /// Does a write on whose result nothing depends, together with others of this unit of work, at the
    /// latest before its next statement or its commit. Its error comes from there.
    ///
    /// # Errors
    /// A write that waited before failed.
    pub async fn defer<E: EntityTrait>(&self, write: impl Into<Write>) -> Result<(), InfraError> {
        let deferring = self.inner.defer(E::default().table_name(), write.into());
        Ok(deferring.await?)
    }

    /// Adds one row, and does another insertion, by one statement. Returns how many rows the other has
    /// added. The row is added even if that is none.
    pub async fn insert_and(
        &self,
        row: InsertStatement,
        other: InsertStatement,
    ) -> Result<u64, InfraError> {
        let backend = self.inner.get_database_backend();
        let both = [row, other].map(Write::from).into_iter();
        let Some(statement) = together(backend, both) else {
            return Ok(0);
        };
        let added = self.inner.execute_raw(statement).await?.rows_affected();
        // PostgreSQL counts the rows of the last part, SQLite those of the whole script.
        Ok(match self.is_postgres() {
            true => added,
            false => added.saturating_sub(1),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use entity::{audit_event, known_device, user};
    use sea_orm::{
        ActiveValue::Set,
        ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _, QueryTrait as _,
        sea_query::{Expr, OnConflict},
    };

    use super::*;
    use crate::{clock::Clock, db::Db, secret::row_id};

    /// A database of its own in a file that is deleted with it.
    struct TestDb {
        db: Db,
        file: std::path::PathBuf,
    }

    impl Drop for TestDb {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.file);
        }
    }

    async fn database() -> TestDb {
        let name = format!("entree-deferred-{}.db", crate::secret::public_id());
        let file = std::env::temp_dir().join(name);
        let url = format!("sqlite:{}", file.display());
        let db = Db::connect(&url, 2, Clock::default()).await.unwrap();
        db.migrate().await.unwrap();
        TestDb { db, file }
    }

    fn event(tx: &Tx, kind: &str) -> InsertStatement {
        let row = audit_event::ActiveModel {
            id: Set(row_id(tx.now)),
            at: Set(tx.now),
            kind: Set(kind.to_owned()),
            ..Default::default()
        };
        audit_event::Entity::insert(row).into_query()
    }

    async fn kinds(conn: &impl sea_orm::ConnectionTrait) -> Vec<String> {
        use sea_orm::QueryOrder as _;
        let rows = audit_event::Entity::find().order_by_asc(audit_event::Column::Id);
        let rows = rows.all(conn).await.unwrap();
        rows.into_iter().map(|row| row.kind).collect()
    }

    #[tokio::test]
    async fn sp_1_writes_that_wait_are_sent_together_before_the_next_statement() {
        let at = database().await;
        let tx = at.db.begin().await.unwrap();
        let before = at.db.sent().statements;
        for kind in ["one", "two", "three"] {
            let write = event(&tx, kind);
            tx.defer::<audit_event::Entity>(write).await.unwrap();
        }
        assert_eq!(at.db.sent().statements, before, "they wait");
        assert_eq!(
            kinds(tx.conn()).await,
            ["one", "two", "three"],
            "all are seen"
        );
        assert_eq!(at.db.sent().statements, before + 2, "by one, and the look");
        tx.defer::<audit_event::Entity>(event(&tx, "four"))
            .await
            .unwrap();
        tx.commit().await.unwrap();
        assert_eq!(at.db.sent().statements, before + 4, "before the commit");
        assert_eq!(kinds(at.db.read()).await.len(), 4);
    }

    #[tokio::test]
    async fn sp_1_what_waits_is_undone_with_its_unit_of_work() {
        let at = database().await;
        let tx = at.db.begin().await.unwrap();
        tx.defer::<audit_event::Entity>(event(&tx, "one"))
            .await
            .unwrap();
        drop(tx);
        let tx = at.db.begin().await.unwrap();
        let one = event(&tx, "one");
        tx.defer::<audit_event::Entity>(one.clone()).await.unwrap();
        tx.defer::<audit_event::Entity>(one).await.unwrap();
        assert!(
            tx.commit().await.is_err(),
            "the second has the id of the first"
        );
        assert!(kinds(at.db.read()).await.is_empty());
        let tx = at.db.begin().await.unwrap();
        for n in 0..100 {
            let write = event(&tx, &n.to_string());
            tx.defer::<audit_event::Entity>(write).await.unwrap();
        }
        tx.commit().await.unwrap();
        assert_eq!(kinds(at.db.read()).await.len(), 100);
    }

    #[tokio::test]
    async fn sp_1_an_insertion_beside_a_row_says_whether_it_was_made() {
        let at = database().await;
        let tx = at.db.begin().await.unwrap();
        let mut other = event(&tx, "other");
        other.on_conflict(OnConflict::new().do_nothing().to_owned());
        for expected in [1, 0] {
            let row = event(&tx, "row");
            assert_eq!(tx.insert_and(row, other.clone()).await.unwrap(), expected);
        }
        tx.commit().await.unwrap();
        let rows = audit_event::Entity::find().filter(audit_event::Column::Kind.eq("row"));
        assert_eq!(
            rows.count(at.db.read()).await.unwrap(),
            2,
            "the row in any case"
        );
    }

    #[test]
    fn sp_1_a_change_never_waits_together_with_another_write_of_its_table() {
        let (devices, users) = ("known_devices", "users");
        let insert = || Write::Insert(InsertStatement::new());
        let change = || {
            let update = user::Entity::update_many().col_expr(user::Column::Name, Expr::value("x"));
            Write::from(update.into_query())
        };
        let delete = || Write::from(known_device::Entity::delete_many().into_query());
        let upsert = || Write::Upsert(InsertStatement::new());
        let waits_beside = |first: Write, table, second: &Write| {
            let deferred = Deferred::default();
            deferred.add(devices, first);
            deferred.accepts(table, second)
        };
        assert!(waits_beside(insert(), devices, &insert()));
        for change in [change(), delete(), upsert()] {
            assert!(!waits_beside(insert(), devices, &change), "{change:?}");
            assert!(waits_beside(insert(), users, &change), "{change:?}");
            assert!(!waits_beside(change, devices, &insert()));
        }
    }

    #[test]
    fn sp_1_on_postgresql_the_writes_are_parts_of_one_statement() {
        let user = |id: u128| {
            let id = uuid::Uuid::from_u128(id);
            let row = user::ActiveModel {
                id: Set(id),
                ..Default::default()
            };
            Write::from(user::Entity::insert(row).into_query())
        };
        let backend = DatabaseBackend::Postgres;
        let two = together(backend, [user(1), user(2)].into_iter()).unwrap();
        assert_eq!(
            two.sql,
            r#"WITH "write_0" AS (INSERT INTO "users" ("id") VALUES ($1)) INSERT INTO "users" ("id") VALUES ($2)"#
        );
        let one = together(backend, [user(1)].into_iter()).unwrap();
        assert_eq!(one.sql, r#"INSERT INTO "users" ("id") VALUES ($1)"#);
        assert!(together(backend, std::iter::empty()).is_none());
    }
}
