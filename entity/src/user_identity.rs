//! `user_identities`: with which accounts at upstream providers a user may sign in.

use sea_orm::entity::prelude::*;

use crate::Time;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "user_identities")]
pub struct Model {
    /// UUID v7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose.
    pub user_id: Uuid,
    /// By which configured provider it last came.
    pub provider: String,
    /// The issuer of its ID tokens.
    pub issuer: String,
    /// Who it is there.
    pub subject: String,
    /// The address that the provider last told: for people to recognise it by, never to find a user.
    pub email: Option<String>,
    /// The name that the provider last told.
    pub name: Option<String>,
    /// When it was connected.
    pub linked_at: Time,
    /// When somebody last signed in with it.
    pub last_used_at: Time,
    /// When it was disconnected; the row stays for a year.
    pub unlinked_at: Option<Time>,
}

/// None: rooms join by value.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
