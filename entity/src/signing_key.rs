//! `signing_keys`: the keys that sign our tokens; private parts only sealed.

use sea_orm::entity::prelude::*;

use crate::Time;

/// The state of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum State {
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
    /// Revoked: removed from the key set at once.
    #[sea_orm(string_value = "compromised")]
    Compromised,
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "signing_keys")]
pub struct Model {
    /// The RFC 7638 thumbprint.
    #[sea_orm(primary_key, auto_increment = false)]
    pub kid: String,
    /// `ES256` or `RS256`.
    pub alg: String,
    pub state: State,
    /// The public JWK (RFC 7517).
    pub public_jwk: String,
    /// The PKCS#8 private key, encrypted with the data key.
    pub sealed_private: Option<Vec<u8>>,
    /// The data key, encrypted with the master key.
    pub wrapped_data_key: Option<Vec<u8>>,
    pub created_at: Time,
    pub published_at: Time,
    pub activated_at: Option<Time>,
    pub demoted_at: Option<Time>,
}

/// The tables have no relations: modules join by value.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
