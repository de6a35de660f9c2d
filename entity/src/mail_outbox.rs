//! `mail_outbox`: what is to be mailed; holds no secret.

use sea_orm::entity::prelude::*;

use crate::Time;

/// Which letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum Kind {
    /// Link and code.
    #[sea_orm(string_value = "sign_in")]
    SignIn,
    /// Sign-up is closed and nobody has this address.
    #[sea_orm(string_value = "no_account")]
    NoAccount,
    /// Older access was ended by the first proof.
    #[sea_orm(string_value = "access_reset")]
    AccessReset,
    /// An upstream provider was connected.
    #[sea_orm(string_value = "provider_connected")]
    ProviderConnected,
    /// An upstream provider was disconnected.
    #[sea_orm(string_value = "provider_disconnected")]
    ProviderDisconnected,
}

/// Where a mail stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum State {
    /// To be sent.
    #[sea_orm(string_value = "queued")]
    Queued,
    /// Accepted by the mail server.
    #[sea_orm(string_value = "sent")]
    Sent,
    /// Given up.
    #[sea_orm(string_value = "dropped")]
    Dropped,
    /// Over a limit: never sent, but written like the others.
    #[sea_orm(string_value = "withheld")]
    Withheld,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "mail_outbox")]
pub struct Model {
    /// UUID v7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Which letter.
    pub kind: Kind,
    /// Where it stands.
    pub state: State,
    /// For which flow.
    pub flow_id: Option<Uuid>,
    /// To whom.
    pub canonical: String,
    /// In which language.
    pub locale: String,
    /// Tries so far.
    pub attempts: i32,
    /// Next try.
    pub due_at: Time,
    /// No try after this.
    pub give_up_at: Time,
    /// A worker holds it until then.
    pub lease_until: Time,
    /// Which worker.
    pub lease_owner: Option<Uuid>,
    /// Class of the last failure.
    pub last_error: Option<String>,
    /// Queued.
    pub created_at: Time,
    /// Sent, dropped or withheld.
    pub finished_at: Option<Time>,
    /// What the letter tells of: the id of a provider.
    pub about: Option<String>,
}

/// None: rooms join by value.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
