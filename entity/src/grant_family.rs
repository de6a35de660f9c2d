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
    /// The account at a provider by which that session began, if it was one.
    pub identity_id: Option<Uuid>,
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
    /// The user's epoch when it was made: a raised one ends it.
    pub auth_epoch: i32,
    /// Counts the refresh tokens of this family; the current one has this number.
    pub generation: i32,
    /// Hash of the current refresh token's secret; none: the grant has no refresh token.
    pub current_hash: Option<Vec<u8>>,
    /// Hash of the one before.
    pub previous_hash: Option<Vec<u8>>,
    /// The current secret, sealed: whoever repeats the previous token soon after gets it again.
    pub successor: Option<Vec<u8>>,
    /// When the current one took the place of the one before.
    pub rotated_at: Option<Time>,
    /// Until when the current one must be used.
    pub idle_until: Option<Time>,
    /// What its request asked for by `claims`, separated by spaces: `id_token.email userinfo.name`.
    pub claims: String,
    /// The day since 1970 from which the row may be deleted. A date, so that a rotation hardly ever changes the index.
    pub gc_day: i32,
}

/// None: rooms join by value.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
