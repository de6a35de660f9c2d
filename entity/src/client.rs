//! `clients`: applications that were registered beside those of the configuration file.

use sea_orm::entity::prelude::*;

use crate::Time;

/// One row. None is ever deleted: a client is disabled.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "clients")]
pub struct Model {
    /// Its identifier, byte for byte.
    #[sea_orm(primary_key, auto_increment = false)]
    pub client_id: String,
    /// JSON: the keys that a block of `[[clients]]` has, without `client_id` and without defaults. Of secrets the
    /// SHA-256 alone.
    pub definition: String,
    /// Whether it counts.
    pub enabled: bool,
    /// Raised by every change. The sum over all rows therefore tells whether anything changed.
    pub revision: i64,
    /// First registered.
    pub created_at: Time,
    /// Last change.
    pub updated_at: Time,
}

/// None: rooms join by value.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
