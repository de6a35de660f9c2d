//! `magic_link_flows`: one attempt to sign in by email, started by one browser or one app.

use sea_orm::entity::prelude::*;

use crate::Time;

#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum FlowState {
    /// Waiting for its link or code.
    #[sea_orm(string_value = "open")]
    Open,
    /// Ended with a sign-in.
    #[sea_orm(string_value = "consumed")]
    Consumed,
    /// Ended without a sign-in.
    #[sea_orm(string_value = "ended")]
    Ended,
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "magic_link_flows")]
pub struct Model {
    /// A random identifier; it is no secret.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub state: FlowState,
    /// The SHA-256 of the pre-login cookie; `None` for apps.
    pub browser_hash: Option<Vec<u8>>,
    /// The PKCE S256 challenge of an app.
    pub code_challenge: Option<String>,
    /// The client whose request led here, if there is one.
    pub client_id: Option<String>,
    pub canonical: String,
    /// The keyed hash of the folded address, for budgets.
    pub address_key: Vec<u8>,
    /// The language of pages and emails.
    pub locale: String,
    /// The browser and system of the request, in words.
    pub device: String,
    /// Whether the user chose to stay signed in on this browser.
    pub remembered: bool,
    /// The client's request that continues after the sign-in, as JSON.
    pub destination: Option<String>,
    /// When a tab claimed that request.
    pub destination_claimed_at: Option<Time>,
    pub tries: i32,
    /// Emails requested so far.
    pub sends: i32,
    /// Refusals recorded in the audit log so far.
    pub refusals: i32,
    pub next_send_at: Time,
    /// The email that was requested last is withheld: no other goes to the address before this.
    pub withheld_until: Option<Time>,
    pub created_at: Time,
    pub expires_at: Time,
    /// When its link or code was used.
    pub consumed_at: Option<Time>,
    /// The hash of the cookie that replaced `browser_hash` at sign-in.
    pub consumed_browser_hash: Option<Vec<u8>>,
    /// The session that the sign-in began.
    pub session_id: Option<Uuid>,
    /// The account at a provider that waits for this sign-in, as JSON.
    pub link: Option<String>,
    /// When that account was connected, or the connection declined.
    pub link_settled_at: Option<Time>,
    /// The keyed hash of the wrong code that was entered last, and when: a double click costs one
    /// attempt.
    pub wrong_code_mac: Option<Vec<u8>>,
    pub wrong_code_at: Option<Time>,
}

/// The tables have no relations: modules join by value.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
