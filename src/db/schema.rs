//! The schema's history: what is pending, and what another build has applied.

use migration::{Beside, MigratorTraitSelf as _};
use sea_orm::{ConnectionTrait, DatabaseBackend, Statement, TransactionTrait as _};

use super::Db;
use crate::error::InfraError;

/// The key of the PostgreSQL advisory lock under which one copy migrates while the others wait.
const MIGRATION_LOCK: i64 = 0x656e_7472_6565;

impl Db {
    /// Brings the schema up to date. Several copies may call this at once: one migrates, the others wait and find
    /// nothing left to do. What a newer build has applied stays (ST-18).
    pub async fn migrate(&self) -> Result<(), InfraError> {
        let pool = self.pool();
        if !self.is_postgres() {
            // One process holds the data directory (see `cli/instance.rs`), and its writer is one connection.
            return Ok(Beside::new(&applied(pool).await?).up(pool, None).await?);
        }
        // The lock belongs to a transaction's connection: it ends with it, also after a crash. What migrates runs
        // there, too: a large table takes longer than a statement of ours may.
        let lock = pool.begin().await?;
        lock.execute_unprepared("SET LOCAL statement_timeout = 0")
            .await?;
        lock.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
            .await?;
        Beside::new(&applied(&lock).await?).up(&lock, None).await?;
        Ok(lock.commit().await?)
    }

    /// Undoes the last `steps` migrations.
    ///
    /// # Errors
    /// The last migration was applied by a newer build, which alone knows how to undo it; or the database failed.
    pub async fn migrate_down(&self, steps: u32) -> Result<(), InfraError> {
        let pool = self.pool();
        Ok(Beside::new(&applied(pool).await?)
            .down(pool, Some(steps))
            .await?)
    }

    /// The names of migrations that the schema has, the oldest first.
    pub async fn applied_migrations(&self) -> Result<Vec<String>, InfraError> {
        applied(self.read()).await
    }

    /// The names of migrations that the schema lacks.
    pub async fn pending_migrations(&self) -> Result<Vec<String>, InfraError> {
        Ok(Beside::new(&applied(self.read()).await?).pending().to_vec())
    }

    /// The names of migrations that the schema has and this build does not know: a newer build applied them, before
    /// this one was started or started again.
    pub async fn unknown_migrations(&self) -> Result<Vec<String>, InfraError> {
        Ok(Beside::new(&applied(self.read()).await?).unknown().to_vec())
    }
}

/// The names of all migrations of this build, the oldest first.
#[must_use]
pub fn known_migrations() -> Vec<String> {
    Beside::new(&[]).pending().to_vec()
}

/// The names of applied migrations. The library's own query would create a missing table; this one only reads.
async fn applied(conn: &impl ConnectionTrait) -> Result<Vec<String>, InfraError> {
    let backend = conn.get_database_backend();
    let sql = if backend == DatabaseBackend::Postgres {
        "SELECT to_regclass('seaql_migrations') IS NOT NULL AS there"
    } else {
        "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'seaql_migrations') AS there"
    };
    let row = conn
        .query_one_raw(Statement::from_string(backend, sql))
        .await?;
    if !row.map_or(Ok(false), |row| row.try_get("", "there"))? {
        return Ok(Vec::new());
    }
    let sql = "SELECT version FROM seaql_migrations ORDER BY version";
    let rows = conn
        .query_all_raw(Statement::from_string(backend, sql))
        .await?;
    rows.iter()
        .map(|row| Ok(row.try_get("", "version")?))
        .collect()
}
