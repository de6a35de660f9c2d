//! `sessions`: signed-in browsers.

use sea_orm::entity::prelude::*;

use crate::Time;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sessions")]
pub struct Model {
    /// Random; `sid` in tokens, unrelated to the cookie.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose.
    pub user_id: Uuid,
    /// SHA-256 of the cookie.
    pub secret_hash: Vec<u8>,
    /// Hash of the cookie before a double click.
    pub previous_hash: Option<Vec<u8>>,
    /// Until when the previous one is still taken.
    pub previous_until: Option<Time>,
    /// Hash of the pre-login cookie that this session grew from.
    pub browser_hash: Option<Vec<u8>>,
    /// The user's epoch at sign-in.
    pub auth_epoch: i32,
    /// When the person last proved who they are.
    pub auth_time: Time,
    /// How strong the proof was.
    pub acr: String,
    /// RFC 8176 methods, separated by spaces.
    pub amr: String,
    /// The account at a provider that it came from; none after a proof by mail.
    pub identity_id: Option<Uuid>,
    /// Browser and system, in words.
    pub device: String,
    /// Longer idle time.
    pub remembered: bool,
    /// Sign-in.
    pub created_at: Time,
    /// Last use, to ten minutes.
    pub last_seen_at: Time,
    /// Absolute end.
    pub expires_at: Time,
    /// When it was ended.
    pub revoked_at: Option<Time>,
}

/// None: rooms join by value.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
