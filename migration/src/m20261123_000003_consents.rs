//! What users have allowed third-party clients.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName, Debug)]
pub(crate) struct Migration;

const UP: &[&str] = &[
    "CREATE TABLE consents (
        id {uuid} NOT NULL PRIMARY KEY,
        user_id {uuid} NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        client_id text NOT NULL,
        scope text NOT NULL,
        created_at bigint NOT NULL,
        updated_at bigint NOT NULL
    )",
    "CREATE UNIQUE INDEX consents_user_client ON consents (user_id, client_id)",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, &["DROP TABLE consents"]).await
    }
}
