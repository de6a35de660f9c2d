//! What a request may use: handles to the floor and the services, made once at start and shared by all.
//!
//! It stands above the services and below the nouns and rooms: they take what they need from it, it knows none of them.

use std::sync::Arc;

use crate::{
    clock::Clock,
    config::Live,
    db::Db,
    key::{ClientKeys, Keys},
    secret::{Mac, MasterKeys, Sealer},
    ticket::Tickets,
    web::locale::Texts,
};

/// Handles, cheap to clone.
#[derive(Clone, Debug)]
pub struct App {
    /// The configuration in force.
    pub config: Live,
    /// The issuer: the configured public URL, or in `dev` the bound address. Without a final slash.
    pub public_url: Arc<str>,
    /// Rows.
    pub db: Db,
    /// Short-lived secrets and counters.
    pub tickets: Tickets,
    /// Signing keys.
    pub keys: Keys,
    /// Keys that clients publish.
    pub client_keys: ClientKeys,
    /// Texts for people.
    pub texts: Texts,
    /// Derived keys.
    pub macs: Macs,
    /// Wakes the outbox worker of this process.
    pub outbox: Arc<tokio::sync::Notify>,
}

/// Keys derived from the master keys, one a purpose.
#[derive(Clone, Debug)]
pub struct Macs {
    /// Form tokens.
    pub csrf: Mac,
    /// Codes in mails (the pepper).
    pub code: Mac,
    /// The cookies that a repeated click gets.
    pub repeats: Mac,
    /// Addresses in counters and in the trail.
    pub address: Mac,
    /// Refresh tokens: what we did not make never reaches the database.
    pub refresh: Mac,
    /// The successor of a refresh token, for whoever repeats the token before it.
    pub successor: Arc<Sealer>,
    /// The grant behind an access token, in its `jti`.
    pub jti: Arc<Sealer>,
}

impl Macs {
    /// Derives them.
    #[must_use]
    pub fn new(keys: &MasterKeys) -> Self {
        Self {
            csrf: keys.mac("form token v1"),
            code: keys.mac("mailed code pepper v1"),
            repeats: keys.mac("repeated click v1"),
            // By the oldest key, which every copy has while the master key is being changed, copy by copy: all count in
            // one place, and what was counted, remembered and noted before is still found.
            address: keys.oldest_mac("address key v1"),
            refresh: keys.mac("refresh token v1"),
            successor: Arc::new(keys.sealer("refresh token successor v1")),
            jti: Arc::new(keys.sealer("access token jti v1")),
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
