//! What a request may use: handles to the floor and the services, made once at start and shared by all.
//!
//! It stands above the services and below the nouns and rooms: they take what they need from it, it knows none of them.

use crate::{
    clock::Clock,
    config::Live,
    db::Db,
    key::Keys,
    secret::{Mac, MasterKeys},
    ticket::Tickets,
    web::text::Texts,
};

/// Handles, cheap to clone.
#[derive(Clone, Debug)]
pub struct App {
    /// The configuration in force.
    pub config: Live,
    /// The issuer: the configured public URL, or in `dev` the bound address. Without a final slash.
    pub public_url: std::sync::Arc<str>,
    /// Rows.
    pub db: Db,
    /// Short-lived secrets and counters.
    pub tickets: Tickets,
    /// Signing keys.
    pub keys: Keys,
    /// Texts for people.
    pub texts: Texts,
    /// Derived keys.
    pub macs: Macs,
    /// Wakes the outbox worker of this process.
    pub outbox: std::sync::Arc<tokio::sync::Notify>,
}

/// Keys derived from the master keys, one a purpose.
#[derive(Clone, Debug)]
pub struct Macs {
    /// Form tokens.
    pub csrf: Mac,
    /// Codes in mails (the pepper).
    pub code: Mac,
    /// Addresses in counters and in the trail.
    pub address: Mac,
}

impl Macs {
    /// Derives them.
    #[must_use]
    pub fn new(keys: &MasterKeys) -> Self {
        Self {
            csrf: keys.mac("form token v1"),
            code: keys.mac("mailed code pepper v1"),
            address: keys.mac("address key v1"),
        }
    }
}

impl App {
    /// The clock.
    #[must_use]
    pub const fn clock(&self) -> &Clock {
        self.db.clock()
    }
}
