//! `sessions`: signed-in browsers.

use sea_orm::entity::prelude::*;

use crate::Time;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sessions")]
pub struct Model {
    /// A random identifier: `sid` in tokens, unrelated to the cookie.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub user_id: Uuid,
    /// The SHA-256 of the session cookie.
    pub secret_hash: Vec<u8>,
    /// The hash of the previous cookie, after a double click (ST-04).
    pub previous_hash: Option<Vec<u8>>,
    /// Until when the previous cookie is accepted.
    pub previous_until: Option<Time>,
    /// The hash of the pre-login cookie from which this session began.
    pub browser_hash: Option<Vec<u8>>,
    pub auth_epoch: i32,
    /// When the user last signed in or stepped up.
    pub auth_time: Time,
    /// The authentication context class (`acr`).
    pub acr: String,
    /// The authentication methods (RFC 8176), separated by spaces.
    pub amr: String,
    /// The account at a provider from which it began; `None` after a sign-in by email.
    pub identity_id: Option<Uuid>,
    /// The browser and system, in words.
    pub device: String,
    /// Whether the longer idle time applies.
    pub remembered: bool,
    pub created_at: Time,
    /// The last use, to ten minutes.
    pub last_seen_at: Time,
    /// The absolute expiry.
    pub expires_at: Time,
    pub revoked_at: Option<Time>,
    /// When the notifications of its clients were queued; `None` in a row that ended orders them (LO-7).
    pub told_at: Option<Time>,
}

/// The tables have no relations: modules join by value.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
