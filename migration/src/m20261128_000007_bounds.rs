//! A grant records the account at a provider from which it began, so that it can be ended with that
//! account when its session is long deleted. A flow counts its refusals, so that no caller can fill
//! the audit log.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName, Debug)]
pub(crate) struct Migration;

const UP: &[&str] = &[
    "ALTER TABLE grant_families ADD COLUMN identity_id {uuid}",
    "UPDATE grant_families SET
        identity_id = (SELECT sessions.identity_id FROM sessions WHERE sessions.id = grant_families.session_id)
        WHERE session_id IN (SELECT id FROM sessions WHERE identity_id IS NOT NULL)",
    "CREATE INDEX grant_families_identity ON grant_families (identity_id) WHERE identity_id IS NOT NULL",
    "ALTER TABLE magic_link_flows ADD COLUMN refusals integer NOT NULL DEFAULT 0",
];

const DOWN: &[&str] = &[
    "ALTER TABLE magic_link_flows DROP COLUMN refusals",
    "DROP INDEX grant_families_identity",
    "ALTER TABLE grant_families DROP COLUMN identity_id",
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
