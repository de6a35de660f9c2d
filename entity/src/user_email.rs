//! `user_emails`: addresses; only verified active ones resolve to a user.

use sea_orm::entity::prelude::*;

use crate::Time;

/// Whether an address is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum UserEmailState {
    /// In use.
    #[sea_orm(string_value = "active")]
    Active,
    /// No longer this user's.
    #[sea_orm(string_value = "removed")]
    Removed,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "user_emails")]
pub struct Model {
    /// UUID v7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose.
    pub user_id: Uuid,
    /// As first proven: mail goes here.
    pub email: String,
    /// The form that is compared.
    pub canonical: String,
    /// Version of the rule that made `canonical`.
    pub canon_version: i32,
    /// In use or removed.
    pub state: UserEmailState,
    /// When it was proven.
    pub verified_at: Option<Time>,
    /// `mail`, `upstream` or `import`.
    pub verified_by: Option<String>,
    /// When it was first seen.
    pub created_at: Time,
}

/// None: rooms join by value.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
