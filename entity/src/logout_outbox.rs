//! `logout_outbox`: the logout tokens to deliver. It holds no token: one is signed for each attempt.

use sea_orm::entity::prelude::*;

use crate::Time;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "logout_outbox")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The session that ended: `sid`. With the client it is unique.
    pub session_id: Uuid,
    pub client_id: String,
    /// The user's public id, as in the client's ID tokens.
    pub sub: Uuid,
    pub attempts: i32,
    /// The time of the next attempt.
    pub due_at: Time,
    /// The end of the lease of the worker that holds the row.
    pub lease_until: Time,
    /// The worker that holds the lease.
    pub lease_owner: Option<Uuid>,
    /// The class of the last failure.
    pub last_error: Option<String>,
    pub created_at: Time,
    /// When the last attempt failed. A row that was delivered is deleted.
    pub dropped_at: Option<Time>,
}

/// The tables have no relations: modules join by value.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
