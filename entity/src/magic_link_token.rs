//! `magic_link_tokens`: the hashed secrets of one mail.

use sea_orm::entity::prelude::*;

use crate::Time;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "magic_link_tokens")]
pub struct Model {
    /// UUID v7: their order is the order of sending.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Of which flow.
    pub flow_id: Uuid,
    /// SHA-256 of the link secret.
    pub link_hash: Vec<u8>,
    /// HMAC of flow and code under the pepper.
    pub code_mac: Vec<u8>,
    /// Made, just before the mail was handed over.
    pub created_at: Time,
    /// Provisional; extended when the mail is accepted.
    pub expires_at: Time,
    /// The mail server refused for good: it does not count among the live ones.
    pub refused_at: Option<Time>,
}

/// None: rooms join by value.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
