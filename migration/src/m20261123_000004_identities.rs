//! Accounts at upstream providers, the sessions that began from them, links that wait for a sign-in,
//! and the notifications about them.

use sea_orm_migration::{prelude::*, sea_orm::DatabaseBackend};

#[derive(DeriveMigrationName, Debug)]
pub(crate) struct Migration;

const UP: &[&str] = &[
    "CREATE TABLE user_identities (
        id {uuid} NOT NULL PRIMARY KEY,
        user_id {uuid} NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        provider text NOT NULL,
        issuer text NOT NULL,
        subject text NOT NULL,
        email text,
        name text,
        linked_at bigint NOT NULL,
        last_used_at bigint NOT NULL,
        unlinked_at bigint
    )",
    // An account there belongs to one user here; a disconnected one blocks no other user.
    "CREATE UNIQUE INDEX user_identities_live ON user_identities (issuer, subject) WHERE unlinked_at IS NULL",
    "CREATE INDEX user_identities_user ON user_identities (user_id)",
    "CREATE INDEX user_identities_unlinked ON user_identities (unlinked_at) WHERE unlinked_at IS NOT NULL",
    "ALTER TABLE sessions ADD COLUMN identity_id {uuid}",
    "CREATE INDEX sessions_identity ON sessions (identity_id) WHERE identity_id IS NOT NULL",
    "ALTER TABLE magic_link_flows ADD COLUMN link text",
    "ALTER TABLE magic_link_flows ADD COLUMN link_settled_at bigint",
    "ALTER TABLE audit_events ADD COLUMN provider text",
];

const DOWN: &[&str] = &[
    "ALTER TABLE audit_events DROP COLUMN provider",
    "ALTER TABLE magic_link_flows DROP COLUMN link_settled_at",
    "ALTER TABLE magic_link_flows DROP COLUMN link",
    "DROP INDEX sessions_identity",
    "ALTER TABLE sessions DROP COLUMN identity_id",
    "DROP TABLE user_identities",
];

/// The kinds of emails: PostgreSQL changes the check, SQLite rebuilds the table.
const EMAIL_KINDS_POSTGRES: &[&str] = &[
    "ALTER TABLE mail_outbox DROP CONSTRAINT mail_outbox_kind_check",
    "ALTER TABLE mail_outbox ADD CONSTRAINT mail_outbox_kind_check CHECK (kind IN ('sign_in', 'no_account', \
     'access_reset', 'provider_connected', 'provider_disconnected'))",
    "ALTER TABLE mail_outbox ADD COLUMN about text",
];

const EMAIL_KINDS_POSTGRES_DOWN: &[&str] = &[
    "DELETE FROM mail_outbox WHERE kind IN ('provider_connected', 'provider_disconnected')",
    "ALTER TABLE mail_outbox DROP COLUMN about",
    "ALTER TABLE mail_outbox DROP CONSTRAINT mail_outbox_kind_check",
    "ALTER TABLE mail_outbox ADD CONSTRAINT mail_outbox_kind_check CHECK (kind IN ('sign_in', 'no_account', \
     'access_reset'))",
];

const EMAIL_KINDS_SQLITE: &[&str] = &[
    "CREATE TABLE mail_outbox_before AS SELECT * FROM mail_outbox",
    "DROP TABLE mail_outbox",
    "CREATE TABLE mail_outbox (
        id {uuid} NOT NULL PRIMARY KEY,
        kind text NOT NULL CHECK (kind IN ('sign_in', 'no_account', 'access_reset', 'provider_connected',
            'provider_disconnected')),
        state text NOT NULL CHECK (state IN ('queued', 'sent', 'dropped', 'withheld')),
        flow_id {uuid},
        canonical text NOT NULL,
        locale text NOT NULL,
        attempts integer NOT NULL DEFAULT 0,
        due_at bigint NOT NULL,
        give_up_at bigint NOT NULL,
        lease_until bigint NOT NULL DEFAULT 0,
        lease_owner {uuid},
        last_error text,
        created_at bigint NOT NULL,
        finished_at bigint,
        about text
    )",
    "INSERT INTO mail_outbox SELECT *, NULL FROM mail_outbox_before",
    "DROP TABLE mail_outbox_before",
    "CREATE INDEX mail_outbox_due ON mail_outbox (due_at) WHERE state = 'queued'",
    "CREATE INDEX mail_outbox_canonical ON mail_outbox (canonical, created_at)",
    "CREATE INDEX mail_outbox_finished ON mail_outbox (finished_at) WHERE finished_at IS NOT NULL",
];

const EMAIL_KINDS_SQLITE_DOWN: &[&str] = &[
    "DELETE FROM mail_outbox WHERE kind IN ('provider_connected', 'provider_disconnected')",
    "ALTER TABLE mail_outbox DROP COLUMN about",
    "CREATE TABLE mail_outbox_before AS SELECT * FROM mail_outbox",
    "DROP TABLE mail_outbox",
    "CREATE TABLE mail_outbox (
        id {uuid} NOT NULL PRIMARY KEY,
        kind text NOT NULL CHECK (kind IN ('sign_in', 'no_account', 'access_reset')),
        state text NOT NULL CHECK (state IN ('queued', 'sent', 'dropped', 'withheld')),
        flow_id {uuid},
        canonical text NOT NULL,
        locale text NOT NULL,
        attempts integer NOT NULL DEFAULT 0,
        due_at bigint NOT NULL,
        give_up_at bigint NOT NULL,
        lease_until bigint NOT NULL DEFAULT 0,
        lease_owner {uuid},
        last_error text,
        created_at bigint NOT NULL,
        finished_at bigint
    )",
    "INSERT INTO mail_outbox SELECT * FROM mail_outbox_before",
    "DROP TABLE mail_outbox_before",
    "CREATE INDEX mail_outbox_due ON mail_outbox (due_at) WHERE state = 'queued'",
    "CREATE INDEX mail_outbox_canonical ON mail_outbox (canonical, created_at)",
    "CREATE INDEX mail_outbox_finished ON mail_outbox (finished_at) WHERE finished_at IS NOT NULL",
];

fn by_database(
    manager: &SchemaManager<'_>,
    postgres: &'static [&'static str],
    sqlite: &'static [&'static str],
) -> &'static [&'static str] {
    if manager.get_database_backend() == DatabaseBackend::Postgres {
        postgres
    } else {
        sqlite
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, UP).await?;
        crate::run(
            manager,
            by_database(manager, EMAIL_KINDS_POSTGRES, EMAIL_KINDS_SQLITE),
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(
            manager,
            by_database(manager, EMAIL_KINDS_POSTGRES_DOWN, EMAIL_KINDS_SQLITE_DOWN),
        )
        .await?;
        crate::run(manager, DOWN).await
    }
}
