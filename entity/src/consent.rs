//! `consents`: what a person has allowed a third-party client.

use sea_orm::entity::prelude::*;

use crate::Time;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "consents")]
pub struct Model {
    /// UUID v7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Who.
    pub user_id: Uuid,
    /// Whom.
    pub client_id: String,
    /// What, separated by spaces.
    pub scope: String,
    /// First allowed.
    pub created_at: Time,
    /// Last change.
    pub updated_at: Time,
    /// The user's epoch when it was given: a raised one ends it.
    pub auth_epoch: i32,
}

/// None: rooms join by value.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
