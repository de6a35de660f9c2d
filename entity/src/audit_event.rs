//! `audit_events`: who did what, without secrets and without addresses.

use sea_orm::entity::prelude::*;

use crate::Time;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_events")]
pub struct Model {
    /// UUID v7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// When.
    pub at: Time,
    /// What, for instance `magic_link.requested`.
    pub kind: String,
    /// Why it was refused; of `key.*`, which key.
    pub reason: Option<String>,
    /// Who.
    pub user_id: Option<Uuid>,
    /// In which session.
    pub session_id: Option<Uuid>,
    /// In which flow.
    pub flow_id: Option<Uuid>,
    /// For which client.
    pub client_id: Option<String>,
    /// Keyed hash of the address.
    pub address_key: Option<Vec<u8>>,
    /// IPv4 or IPv6 /64.
    pub network: Option<String>,
    /// The log line.
    pub request_id: Option<String>,
    /// By which upstream provider.
    pub provider: Option<String>,
}

/// None: rooms join by value.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
