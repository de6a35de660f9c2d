//! `known_devices`: browsers that signed in with an address before. They have an email budget of their own.

use sea_orm::entity::prelude::*;

use crate::Time;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "known_devices")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The SHA-256 of the device cookie.
    pub device_hash: Vec<u8>,
    /// The keyed hash of the folded address.
    pub address_key: Vec<u8>,
    /// The first sign-in with this address on this device.
    pub created_at: Time,
    /// The device is known until then. A device that was ended keeps its row, so that its secret never
    /// counts for this address again.
    pub expires_at: Time,
    /// The user who signed in; none in a row from before this column.
    pub user_id: Option<Uuid>,
}

/// The tables have no relations: modules join by value.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
