//! `consents`: what a user has allowed a third-party client.

use sea_orm::entity::prelude::*;

use crate::Time;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "consents")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub user_id: Uuid,
    pub client_id: String,
    /// The scopes, separated by spaces.
    pub scope: String,
    pub created_at: Time,
    pub updated_at: Time,
    /// The user's epoch at the time of consent. A raised epoch ends the consent.
    pub auth_epoch: i32,
}

/// The tables have no relations: modules join by value.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
