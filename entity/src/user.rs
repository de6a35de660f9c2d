//! `users`: the people. `id` stays inside; the outside sees `public_id`.

use sea_orm::entity::prelude::*;

use crate::Time;

/// Whether a person may sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum UserState {
    /// May sign in.
    #[sea_orm(string_value = "active")]
    Active,
    /// Locked by ops.
    #[sea_orm(string_value = "disabled")]
    Disabled,
    /// Gone; the row keeps the id from being given again.
    #[sea_orm(string_value = "deleted")]
    Deleted,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "users")]
pub struct Model {
    /// UUID v7, never shown.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Random; `sub` in every token, never reassigned.
    pub public_id: Uuid,
    /// Whether the person may sign in.
    pub state: UserState,
    /// Raised to end every session at once.
    pub auth_epoch: i32,
    /// Role names, separated by spaces.
    pub roles: String,
    /// Display name.
    pub name: Option<String>,
    /// BCP 47 tag.
    pub locale: Option<String>,
    /// When the first address was proven.
    pub created_at: Time,
    /// Last change of the profile.
    pub updated_at: Time,
}

/// None: rooms join by value.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
