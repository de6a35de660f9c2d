//! An email records the domain of its recipient and whether a known device requested it, so that
//! workers can share their slots. The live grants of a user to a client are found by an index.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName, Debug)]
pub(crate) struct Migration;

const UP: &[&str] = &[
    "ALTER TABLE mail_outbox ADD COLUMN domain text NOT NULL DEFAULT ''",
    "ALTER TABLE mail_outbox ADD COLUMN known_device boolean NOT NULL DEFAULT false",
    "CREATE INDEX mail_outbox_domain ON mail_outbox (domain, due_at) WHERE state = 'queued'",
    "CREATE INDEX grant_families_live ON grant_families (user_id, client_id) WHERE revoked_at IS NULL",
];

const DOWN: &[&str] = &[
    "DROP INDEX grant_families_live",
    "DROP INDEX mail_outbox_domain",
    "ALTER TABLE mail_outbox DROP COLUMN known_device",
    "ALTER TABLE mail_outbox DROP COLUMN domain",
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
