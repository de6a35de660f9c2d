//! A grant knows the key to which its tokens are bound (RFC 9449). A grant from before is bound to none.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName, Debug)]
pub(crate) struct Migration;

const UP: &[&str] = &["ALTER TABLE grant_families ADD COLUMN dpop_jkt text"];

/// Bound grants end: without the column their refresh tokens would be worth something without the key.
const DOWN: &[&str] = &[
    "UPDATE grant_families SET revoked_at = created_at, current_hash = NULL, previous_hash = NULL, \
     successor = NULL WHERE dpop_jkt IS NOT NULL AND revoked_at IS NULL",
    "ALTER TABLE grant_families DROP COLUMN dpop_jkt",
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
