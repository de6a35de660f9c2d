//! The claims that a request names stay with its grant. A consent is valid for the user's epoch in
//! which it was given, so that ending all access of a user ends it too.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName, Debug)]
pub(crate) struct Migration;

const UP: &[&str] = &[
    "ALTER TABLE grant_families ADD COLUMN claims text NOT NULL DEFAULT ''",
    "ALTER TABLE consents ADD COLUMN auth_epoch integer NOT NULL DEFAULT 0",
    "UPDATE consents SET
        auth_epoch = COALESCE((SELECT users.auth_epoch FROM users WHERE users.id = consents.user_id), 0)",
];

const DOWN: &[&str] = &[
    "ALTER TABLE consents DROP COLUMN auth_epoch",
    "ALTER TABLE grant_families DROP COLUMN claims",
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
