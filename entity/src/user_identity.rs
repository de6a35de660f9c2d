//! `user_identities`: the accounts at upstream providers with which a user may sign in.

use sea_orm::entity::prelude::*;

use crate::Time;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "user_identities")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub user_id: Uuid,
    /// The configured provider through which it last signed in.
    pub provider: String,
    pub issuer: String,
    /// The subject at that issuer.
    pub subject: String,
    /// The address that the provider last sent: shown so that the user recognises the account, never used to find a
    /// user.
    pub email: Option<String>,
    /// The name that the provider last sent.
    pub name: Option<String>,
    pub linked_at: Time,
    /// The last sign-in with it.
    pub last_used_at: Time,
    /// When it was disconnected. The row stays for a year (LK-07).
    pub unlinked_at: Option<Time>,
}

/// The tables have no relations: modules join by value.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
