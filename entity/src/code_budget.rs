//! `code_budgets`: wrong codes of one address over all its flows.

use sea_orm::entity::prelude::*;

use crate::Time;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "code_budgets")]
pub struct Model {
    /// Keyed hash of the folded address.
    #[sea_orm(primary_key, auto_increment = false)]
    pub address_key: Vec<u8>,
    /// Times of wrong codes in milliseconds, separated by spaces.
    pub attempts: String,
    /// Codes are off until then; links still work.
    pub blocked_until: Time,
    /// Last change.
    pub updated_at: Time,
}

/// None: rooms join by value.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
