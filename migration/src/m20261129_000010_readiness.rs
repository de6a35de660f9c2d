//! A table for the write of `/readyz`. It is empty but for the moment of a check.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName, Debug)]
pub(crate) struct Migration;

const UP: &[&str] = &["CREATE TABLE readiness (id {uuid} NOT NULL PRIMARY KEY)"];

const DOWN: &[&str] = &["DROP TABLE readiness"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, DOWN).await
    }
}
