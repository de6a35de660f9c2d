//! An email knows the network of its request, so that networks take turns at a recipient domain.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName, Debug)]
pub(crate) struct Migration;

const UP: &[&str] = &["ALTER TABLE mail_outbox ADD COLUMN network text NOT NULL DEFAULT ''"];

const DOWN: &[&str] = &["ALTER TABLE mail_outbox DROP COLUMN network"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, DOWN).await
    }
}
