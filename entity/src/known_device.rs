//! `known_devices`: browsers that signed in with an address before: they have a mail quota of their own.

use sea_orm::entity::prelude::*;

use crate::Time;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "known_devices")]
pub struct Model {
    /// UUID v7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// SHA-256 of the device cookie.
    pub device_hash: Vec<u8>,
    /// Keyed hash of the folded address.
    pub address_key: Vec<u8>,
    /// First sign-in.
    pub created_at: Time,
    /// Forgotten after this.
    pub expires_at: Time,
}

/// None: rooms join by value.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
