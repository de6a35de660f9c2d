//! `grant_families`: what a person allowed a client; one row a grant.

use sea_orm::entity::prelude::*;

use crate::Time;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "grant_families")]
pub struct Model {
    /// Fixed when the code is issued.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Who.
    pub user_id: Uuid,
    /// To whom.
    pub client_id: String,
    /// From which session.
    pub session_id: Option<Uuid>,
    /// What, separated by spaces.
    pub scope: String,
    /// For which resource server.
    pub audience: String,
    /// When the person proved who they are.
    pub auth_time: Time,
    /// How strong.
    pub acr: String,
    /// How.
    pub amr: String,
    /// When.
    pub created_at: Time,
    /// Until.
    pub expires_at: Time,
    /// Ended early.
    pub revoked_at: Option<Time>,
}

/// None: rooms join by value.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
