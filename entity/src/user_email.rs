//! `user_emails`: addresses. Only verified active ones resolve to a user.

use sea_orm::entity::prelude::*;

use crate::Time;

#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum UserEmailState {
    #[sea_orm(string_value = "active")]
    Active,
    /// The address no longer belongs to this user.
    #[sea_orm(string_value = "removed")]
    Removed,
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "user_emails")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub user_id: Uuid,
    /// The address as first verified: emails are sent to it.
    pub email: String,
    /// The canonical form, which is compared.
    pub canonical: String,
    /// The version of the rule that made `canonical`.
    pub canon_version: i32,
    pub state: UserEmailState,
    pub verified_at: Option<Time>,
    /// How it was verified: `mail`, `upstream` or `import`.
    pub verified_by: Option<String>,
    pub created_at: Time,
}

/// The tables have no relations: modules join by value.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
