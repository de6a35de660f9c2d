//! `clients`: applications registered beside those of the configuration file.

use sea_orm::entity::prelude::*;

use crate::Time;

/// A client. Rows are never deleted: a client is disabled instead.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "clients")]
pub struct Model {
    /// The client identifier, byte for byte.
    #[sea_orm(primary_key, auto_increment = false)]
    pub client_id: String,
    /// JSON: the keys that a block of `[[clients]]` has, without `client_id` and without defaults. Of secrets the
    /// SHA-256 alone.
    pub definition: String,
    pub enabled: bool,
    /// Every change raises it, so the sum over all rows shows whether anything changed.
    pub revision: i64,
    pub created_at: Time,
    pub updated_at: Time,
}

/// The tables have no relations: modules join by value.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
