//! `magic_link_flows`: one attempt to sign in by mail, started by one browser or one app.

use sea_orm::entity::prelude::*;

use crate::Time;

/// Where a flow stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum FlowState {
    /// Waiting for proof.
    #[sea_orm(string_value = "open")]
    Open,
    /// Succeeded.
    #[sea_orm(string_value = "consumed")]
    Consumed,
    /// Ended without success.
    #[sea_orm(string_value = "ended")]
    Ended,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "magic_link_flows")]
pub struct Model {
    /// Random; no secret.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Open, or how it ended.
    pub state: FlowState,
    /// SHA-256 of the flow cookie; none for apps.
    pub browser_hash: Option<Vec<u8>>,
    /// PKCE S256 challenge of an app.
    pub code_challenge: Option<String>,
    /// The client that asked, if any.
    pub client_id: Option<String>,
    /// The address, in canonical form.
    pub canonical: String,
    /// Keyed hash of the folded address, for counting.
    pub address_key: Vec<u8>,
    /// Language of pages and mail.
    pub locale: String,
    /// Browser and system that asked, in words.
    pub device: String,
    /// The person wants to stay signed in on this browser.
    pub remembered: bool,
    /// What to continue with, as JSON.
    pub destination: Option<String>,
    /// When a tab took the destination.
    pub destination_claimed_at: Option<Time>,
    /// Wrong codes so far.
    pub tries: i32,
    /// Mails asked for so far.
    pub sends: i32,
    /// Refusals with a row in the trail so far.
    pub refusals: i32,
    /// Earliest next resend.
    pub next_send_at: Time,
    /// Begun.
    pub created_at: Time,
    /// Ends by itself.
    pub expires_at: Time,
    /// When it succeeded.
    pub consumed_at: Option<Time>,
    /// The cookie that replaced `browser_hash` at success.
    pub consumed_browser_hash: Option<Vec<u8>>,
    /// What it led to.
    pub session_id: Option<Uuid>,
    /// The account at a provider that waits for this proof, as JSON.
    pub link: Option<String>,
    /// When that was connected, or turned down.
    pub link_settled_at: Option<Time>,
}

/// None: rooms join by value.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
