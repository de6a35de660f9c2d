//! Refresh tokens: one row a grant, not one a token (hashes of the current and the previous one, the successor sealed).
//!
//! Rotation changes no indexed column (DB-02): the sweep finds rows by `gc_day`, a date.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName, Debug)]
pub(crate) struct Migration;

const UP: &[&str] = &[
    "ALTER TABLE grant_families ADD COLUMN auth_epoch integer NOT NULL DEFAULT 0",
    "ALTER TABLE grant_families ADD COLUMN generation integer NOT NULL DEFAULT 0",
    "ALTER TABLE grant_families ADD COLUMN current_hash {bytes}",
    "ALTER TABLE grant_families ADD COLUMN previous_hash {bytes}",
    "ALTER TABLE grant_families ADD COLUMN successor {bytes}",
    "ALTER TABLE grant_families ADD COLUMN rotated_at bigint",
    "ALTER TABLE grant_families ADD COLUMN idle_until bigint",
    "ALTER TABLE grant_families ADD COLUMN gc_day integer NOT NULL DEFAULT 0",
    // Existing rows are kept for as long as before.
    "UPDATE grant_families SET
        gc_day = expires_at / 86400000 + 31,
        auth_epoch = COALESCE((SELECT users.auth_epoch FROM users WHERE users.id = grant_families.user_id), 0)",
    "DROP INDEX grant_families_expires",
    "CREATE INDEX grant_families_gc_day ON grant_families (gc_day)",
];

const DOWN: &[&str] = &[
    "DROP INDEX grant_families_gc_day",
    "CREATE INDEX grant_families_expires ON grant_families (expires_at)",
    "ALTER TABLE grant_families DROP COLUMN gc_day",
    "ALTER TABLE grant_families DROP COLUMN idle_until",
    "ALTER TABLE grant_families DROP COLUMN rotated_at",
    "ALTER TABLE grant_families DROP COLUMN successor",
    "ALTER TABLE grant_families DROP COLUMN previous_hash",
    "ALTER TABLE grant_families DROP COLUMN current_hash",
    "ALTER TABLE grant_families DROP COLUMN generation",
    "ALTER TABLE grant_families DROP COLUMN auth_epoch",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, DOWN).await
    }
}
