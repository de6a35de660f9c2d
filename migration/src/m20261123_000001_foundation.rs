//! Users and their addresses, magic-link flows, sessions, grants, keys, the mail outbox and the audit log.
//!
//! Times are milliseconds since 1970 in UTC (one type, one order, on both databases). Secrets are hashes of 32 bytes.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName, Debug)]
pub(crate) struct Migration;

const UP: &[&str] = &[
    "CREATE TABLE users (
        id {uuid} NOT NULL PRIMARY KEY,
        public_id {uuid} NOT NULL UNIQUE,
        state text NOT NULL CHECK (state IN ('active', 'disabled', 'deleted')),
        auth_epoch integer NOT NULL DEFAULT 0,
        roles text NOT NULL DEFAULT '',
        name text,
        locale text,
        created_at bigint NOT NULL,
        updated_at bigint NOT NULL
    )",
    // Only verified addresses resolve to a user; an unverified claim blocks no other user.
    "CREATE TABLE user_emails (
        id {uuid} NOT NULL PRIMARY KEY,
        user_id {uuid} NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        email text NOT NULL,
        canonical text NOT NULL,
        canon_version integer NOT NULL,
        state text NOT NULL CHECK (state IN ('active', 'removed')),
        verified_at bigint,
        verified_by text CHECK (verified_by IN ('mail', 'upstream', 'import')),
        created_at bigint NOT NULL
    )",
    "CREATE UNIQUE INDEX user_emails_canonical_verified ON user_emails (canonical)
        WHERE verified_at IS NOT NULL AND state = 'active'",
    "CREATE INDEX user_emails_canonical ON user_emails (canonical)",
    "CREATE INDEX user_emails_user ON user_emails (user_id)",
    "CREATE TABLE known_devices (
        id {uuid} NOT NULL PRIMARY KEY,
        device_hash {bytes} NOT NULL,
        address_key {bytes} NOT NULL,
        created_at bigint NOT NULL,
        expires_at bigint NOT NULL
    )",
    "CREATE UNIQUE INDEX known_devices_device ON known_devices (device_hash, address_key)",
    "CREATE INDEX known_devices_expires ON known_devices (expires_at)",
    "CREATE TABLE sessions (
        id {uuid} NOT NULL PRIMARY KEY,
        user_id {uuid} NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        secret_hash {bytes} NOT NULL,
        previous_hash {bytes},
        previous_until bigint,
        browser_hash {bytes},
        auth_epoch integer NOT NULL,
        auth_time bigint NOT NULL,
        acr text NOT NULL,
        amr text NOT NULL,
        device text NOT NULL,
        remembered boolean NOT NULL,
        created_at bigint NOT NULL,
        last_seen_at bigint NOT NULL,
        expires_at bigint NOT NULL,
        revoked_at bigint
    )",
    "CREATE UNIQUE INDEX sessions_secret ON sessions (secret_hash)",
    "CREATE INDEX sessions_previous ON sessions (previous_hash) WHERE previous_hash IS NOT NULL",
    "CREATE INDEX sessions_user_live ON sessions (user_id) WHERE revoked_at IS NULL",
    "CREATE INDEX sessions_expires ON sessions (expires_at)",
    // One attempt to sign in, started by one browser (cookie) or one app (PKCE challenge).
    "CREATE TABLE magic_link_flows (
        id {uuid} NOT NULL PRIMARY KEY,
        state text NOT NULL CHECK (state IN ('open', 'consumed', 'ended')),
        browser_hash {bytes},
        code_challenge text,
        client_id text,
        canonical text NOT NULL,
        address_key {bytes} NOT NULL,
        locale text NOT NULL,
        device text NOT NULL,
        remembered boolean NOT NULL,
        destination text,
        destination_claimed_at bigint,
        tries integer NOT NULL DEFAULT 0,
        sends integer NOT NULL DEFAULT 0,
        next_send_at bigint NOT NULL,
        created_at bigint NOT NULL,
        expires_at bigint NOT NULL,
        consumed_at bigint,
        consumed_browser_hash {bytes},
        session_id {uuid}
    )",
    "CREATE INDEX magic_link_flows_expires ON magic_link_flows (expires_at)",
    "CREATE INDEX magic_link_flows_browser ON magic_link_flows (browser_hash) WHERE state = 'open'",
    "CREATE TABLE magic_link_tokens (
        id {uuid} NOT NULL PRIMARY KEY,
        flow_id {uuid} NOT NULL REFERENCES magic_link_flows (id) ON DELETE CASCADE,
        link_hash {bytes} NOT NULL,
        code_mac {bytes} NOT NULL,
        created_at bigint NOT NULL,
        expires_at bigint NOT NULL,
        refused_at bigint
    )",
    "CREATE UNIQUE INDEX magic_link_tokens_link ON magic_link_tokens (link_hash)",
    "CREATE INDEX magic_link_tokens_flow ON magic_link_tokens (flow_id, created_at)",
    // The wrong codes of one address over all its flows: a list of times, under a row lock.
    "CREATE TABLE code_budgets (
        address_key {bytes} NOT NULL PRIMARY KEY,
        attempts text NOT NULL DEFAULT '',
        blocked_until bigint NOT NULL DEFAULT 0,
        updated_at bigint NOT NULL
    )",
    "CREATE INDEX code_budgets_updated ON code_budgets (updated_at)",
    // The emails to send, without any secret: secrets are made at delivery.
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
    "CREATE INDEX mail_outbox_due ON mail_outbox (due_at) WHERE state = 'queued'",
    "CREATE INDEX mail_outbox_canonical ON mail_outbox (canonical, created_at)",
    "CREATE INDEX mail_outbox_finished ON mail_outbox (finished_at) WHERE finished_at IS NOT NULL",
    "CREATE TABLE grant_families (
        id {uuid} NOT NULL PRIMARY KEY,
        user_id {uuid} NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        client_id text NOT NULL,
        session_id {uuid},
        scope text NOT NULL,
        audience text NOT NULL,
        auth_time bigint NOT NULL,
        acr text NOT NULL,
        amr text NOT NULL,
        created_at bigint NOT NULL,
        expires_at bigint NOT NULL,
        revoked_at bigint
    )",
    "CREATE INDEX grant_families_user ON grant_families (user_id)",
    "CREATE INDEX grant_families_session ON grant_families (session_id)",
    "CREATE INDEX grant_families_expires ON grant_families (expires_at)",
    "CREATE TABLE signing_keys (
        kid text NOT NULL PRIMARY KEY,
        alg text NOT NULL CHECK (alg IN ('ES256', 'RS256')),
        state text NOT NULL CHECK (state IN ('pending', 'active', 'retiring', 'retired', 'compromised')),
        public_jwk text NOT NULL,
        sealed_private {bytes},
        wrapped_data_key {bytes},
        created_at bigint NOT NULL,
        published_at bigint NOT NULL,
        activated_at bigint,
        demoted_at bigint
    )",
    "CREATE UNIQUE INDEX signing_keys_one_active ON signing_keys (alg) WHERE state = 'active'",
    "CREATE TABLE audit_events (
        id {uuid} NOT NULL PRIMARY KEY,
        at bigint NOT NULL,
        kind text NOT NULL,
        reason text,
        user_id {uuid},
        session_id {uuid},
        flow_id {uuid},
        client_id text,
        address_key {bytes},
        network text,
        request_id text
    )",
    "CREATE INDEX audit_events_at ON audit_events (at)",
    "CREATE INDEX audit_events_user ON audit_events (user_id, at)",
];

const DOWN: &[&str] = &[
    "DROP TABLE audit_events",
    "DROP TABLE signing_keys",
    "DROP TABLE grant_families",
    "DROP TABLE mail_outbox",
    "DROP TABLE code_budgets",
    "DROP TABLE magic_link_tokens",
    "DROP TABLE magic_link_flows",
    "DROP TABLE sessions",
    "DROP TABLE known_devices",
    "DROP TABLE user_emails",
    "DROP TABLE users",
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
