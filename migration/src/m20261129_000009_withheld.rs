//! A flow records until when its address gets no email, so that its page can say so.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName, Debug)]
pub(crate) struct Migration;

const UP: &[&str] = &["ALTER TABLE magic_link_flows ADD COLUMN withheld_until bigint"];

const DOWN: &[&str] = &["ALTER TABLE magic_link_flows DROP COLUMN withheld_until"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, DOWN).await
    }
}
