//! `mail_outbox`: the emails to send. It holds no secret.

use sea_orm::entity::prelude::*;

use crate::Time;

#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum Kind {
    /// A sign-in email with link and code.
    #[sea_orm(string_value = "sign_in")]
    SignIn,
    /// Sign-up is closed and no user has this address.
    #[sea_orm(string_value = "no_account")]
    NoAccount,
    /// The first verification of an address ended older access.
    #[sea_orm(string_value = "access_reset")]
    AccessReset,
    #[sea_orm(string_value = "provider_connected")]
    ProviderConnected,
    #[sea_orm(string_value = "provider_disconnected")]
    ProviderDisconnected,
}

/// The state of an email.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum State {
    #[sea_orm(string_value = "queued")]
    Queued,
    #[sea_orm(string_value = "sent")]
    Sent,
    #[sea_orm(string_value = "dropped")]
    Dropped,
    /// Over a limit: never sent, but stored like the others (A2).
    #[sea_orm(string_value = "withheld")]
    Withheld,
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "mail_outbox")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub kind: Kind,
    pub state: State,
    pub flow_id: Option<Uuid>,
    pub canonical: String,
    pub locale: String,
    pub attempts: i32,
    /// The time of the next attempt.
    pub due_at: Time,
    /// No attempt is made after this.
    pub give_up_at: Time,
    /// The end of the lease of the worker that holds the row.
    pub lease_until: Time,
    /// The worker that holds the lease.
    pub lease_owner: Option<Uuid>,
    /// The class of the last failure.
    pub last_error: Option<String>,
    pub created_at: Time,
    /// When it was sent, dropped or withheld.
    pub finished_at: Option<Time>,
    /// The subject of a notification: the id of a provider.
    pub about: Option<String>,
    /// The domain of the recipient, by which workers share their slots.
    pub domain: String,
    /// A known device requested the email.
    pub known_device: bool,
    /// The network of the request, empty if there was none: networks take turns at a domain.
    pub network: String,
}

/// The tables have no relations: modules join by value.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
