//! `signing_keys`: the keys that sign our tokens; private parts only sealed.

use sea_orm::entity::prelude::*;

use crate::Time;

/// Where a key is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum State {
    /// Published, not yet signing.
    #[sea_orm(string_value = "pending")]
    Pending,
    /// Signing.
    #[sea_orm(string_value = "active")]
    Active,
    /// Published, no longer signing.
    #[sea_orm(string_value = "retiring")]
    Retiring,
    /// Private part destroyed.
    #[sea_orm(string_value = "retired")]
    Retired,
    /// Taken out at once.
    #[sea_orm(string_value = "compromised")]
    Compromised,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "signing_keys")]
pub struct Model {
    /// RFC 7638 thumbprint.
    #[sea_orm(primary_key, auto_increment = false)]
    pub kid: String,
    /// `ES256` or `RS256`.
    pub alg: String,
    /// Where in its life.
    pub state: State,
    /// RFC 7517 JSON.
    pub public_jwk: String,
    /// PKCS#8 under the data key.
    pub sealed_private: Option<Vec<u8>>,
    /// Data key under the master key.
    pub wrapped_data_key: Option<Vec<u8>>,
    /// Made.
    pub created_at: Time,
    /// In the JWKS since.
    pub published_at: Time,
    /// Signing since.
    pub activated_at: Option<Time>,
    /// Signing until.
    pub demoted_at: Option<Time>,
}

/// None: rooms join by value.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
