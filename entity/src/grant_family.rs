//! `grant_families`: one row for each grant, with the hashes of its refresh tokens.

use sea_orm::entity::prelude::*;

use crate::Time;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "grant_families")]
pub struct Model {
    /// The id of the grant, fixed when the code is issued.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub user_id: Uuid,
    pub client_id: String,
    pub session_id: Option<Uuid>,
    /// The account at a provider from which that session began, if there was one.
    pub identity_id: Option<Uuid>,
    /// The scopes, separated by spaces.
    pub scope: String,
    /// The resource server (`aud` of its access tokens).
    pub audience: String,
    /// When the user last signed in.
    pub auth_time: Time,
    /// The authentication context class (`acr`).
    pub acr: String,
    /// The authentication methods (`amr`), separated by spaces.
    pub amr: String,
    pub created_at: Time,
    pub expires_at: Time,
    /// When the grant was ended before its expiry.
    pub revoked_at: Option<Time>,
    /// The user's epoch when the grant was made. A raised epoch ends the grant.
    pub auth_epoch: i32,
    /// The number of the current refresh token of this family.
    pub generation: i32,
    /// The hash of the current refresh token's secret; `None` if the grant has no refresh token.
    pub current_hash: Option<Vec<u8>>,
    /// The hash of the previous refresh token's secret.
    pub previous_hash: Option<Vec<u8>>,
    /// The current secret, sealed, for a client that repeats the previous token soon after (ST-02).
    pub successor: Option<Vec<u8>>,
    /// When the current token replaced the previous one.
    pub rotated_at: Option<Time>,
    /// When the current token expires if it is not used.
    pub idle_until: Option<Time>,
    /// The claims that the request named, separated by spaces: `id_token.email userinfo.name`.
    pub claims: String,
    /// The thumbprint of the key of the first proof that was shown for the grant. From then on it gives
    /// no bearer token, and to a public client only tokens for this key (PP-9).
    pub dpop_jkt: Option<String>,
    /// The day since 1970 from which the row may be deleted. A date, so that a rotation hardly ever changes the index.
    pub gc_day: i32,
}

/// The tables have no relations: modules join by value.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
