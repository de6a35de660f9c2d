//! Back-channel logout: an ended session knows whether its clients are still to be notified, and what is
//! to be delivered to each of them is a row.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName, Debug)]
pub(crate) struct Migration;

const UP: &[&str] = &[
    "ALTER TABLE sessions ADD COLUMN told_at bigint",
    // What ended before is over: no client is notified of it.
    "UPDATE sessions SET told_at = revoked_at WHERE revoked_at IS NOT NULL",
    "CREATE INDEX sessions_untold ON sessions (revoked_at)
        WHERE revoked_at IS NOT NULL AND told_at IS NULL",
    "CREATE TABLE logout_outbox (
        id {uuid} NOT NULL PRIMARY KEY,
        session_id {uuid} NOT NULL,
        client_id text NOT NULL,
        sub {uuid} NOT NULL,
        attempts integer NOT NULL DEFAULT 0,
        due_at bigint NOT NULL,
        lease_until bigint NOT NULL DEFAULT 0,
        lease_owner {uuid},
        last_error text,
        created_at bigint NOT NULL,
        dropped_at bigint
    )",
    "CREATE UNIQUE INDEX logout_outbox_once ON logout_outbox (session_id, client_id)",
    "CREATE INDEX logout_outbox_due ON logout_outbox (due_at) WHERE dropped_at IS NULL",
    "CREATE INDEX logout_outbox_dropped ON logout_outbox (dropped_at) WHERE dropped_at IS NOT NULL",
];

const DOWN: &[&str] = &[
    "DROP TABLE logout_outbox",
    "DROP INDEX sessions_untold",
    "ALTER TABLE sessions DROP COLUMN told_at",
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
