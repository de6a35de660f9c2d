//! `code_budgets`: wrong codes of a known device, a network with an address, or an address.

use sea_orm::entity::prelude::*;

use crate::Time;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "code_budgets")]
pub struct Model {
    /// The keyed hash of what is counted.
    #[sea_orm(primary_key, auto_increment = false)]
    pub address_key: Vec<u8>,
    /// The times of wrong codes in milliseconds, separated by spaces.
    pub attempts: String,
    /// Codes are refused until then; links still work.
    pub blocked_until: Time,
    pub updated_at: Time,
}

/// The tables have no relations: modules join by value.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
