//! `magic_link_tokens`: the hashed secrets of one email.

use sea_orm::entity::prelude::*;

use crate::Time;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "magic_link_tokens")]
pub struct Model {
    /// A UUID v7: the order of ids is the order of sending.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub flow_id: Uuid,
    /// The SHA-256 of the link's secret.
    pub link_hash: Vec<u8>,
    /// The HMAC of flow and code under the pepper.
    pub code_mac: Vec<u8>,
    /// When the secrets were made, just before delivery.
    pub created_at: Time,
    /// The expiry: provisional, and extended when the mail server accepts the email.
    pub expires_at: Time,
    /// When it was certain that no email brings these secrets: refused, not sent, or never meant to be. Such a
    /// row is not valid.
    pub refused_at: Option<Time>,
}

/// The tables have no relations: modules join by value.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
