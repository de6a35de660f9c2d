//! `users`: the users. `id` stays inside the service; the outside sees `public_id`.

use sea_orm::entity::prelude::*;

use crate::Time;

/// Whether a user may sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum UserState {
    #[sea_orm(string_value = "active")]
    Active,
    /// Disabled by an operator.
    #[sea_orm(string_value = "disabled")]
    Disabled,
    /// Deleted; the row keeps the id from being assigned again.
    #[sea_orm(string_value = "deleted")]
    Deleted,
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "users")]
pub struct Model {
    /// A UUID v7 that is never shown.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// A random identifier: `sub` in every token, never reassigned.
    pub public_id: Uuid,
    pub state: UserState,
    /// Raised to end every session and grant at once.
    pub auth_epoch: i32,
    /// The role names, separated by spaces.
    pub roles: String,
    pub name: Option<String>,
    /// A BCP 47 language tag.
    pub locale: Option<String>,
    /// When the first address was verified.
    pub created_at: Time,
    pub updated_at: Time,
}

/// The tables have no relations: modules join by value.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
