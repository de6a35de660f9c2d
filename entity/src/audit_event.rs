//! `audit_events`: the audit log, without secrets and without addresses.

use sea_orm::entity::prelude::*;

use crate::Time;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_events")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub at: Time,
    /// The event, for instance `magic_link.requested`.
    pub kind: String,
    /// The reason of a refusal; of `key.*`, the key's identifier.
    pub reason: Option<String>,
    pub user_id: Option<Uuid>,
    pub session_id: Option<Uuid>,
    pub flow_id: Option<Uuid>,
    pub client_id: Option<String>,
    /// The keyed hash of the address.
    pub address_key: Option<Vec<u8>>,
    /// The caller's network: an IPv4 address or an IPv6 /64.
    pub network: Option<String>,
    /// The id of the request in the log.
    pub request_id: Option<String>,
    /// The upstream provider's id.
    pub provider: Option<String>,
}

/// The tables have no relations: modules join by value.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
