//! A flow knows the wrong code that was entered last, so that a double click costs one attempt.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName, Debug)]
pub(crate) struct Migration;

const UP: &[&str] = &[
    "ALTER TABLE magic_link_flows ADD COLUMN wrong_code_mac {bytes}",
    "ALTER TABLE magic_link_flows ADD COLUMN wrong_code_at bigint",
];

const DOWN: &[&str] = &[
    "ALTER TABLE magic_link_flows DROP COLUMN wrong_code_at",
    "ALTER TABLE magic_link_flows DROP COLUMN wrong_code_mac",
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
