//! The handles that requests and jobs use: made once at start, shared by all.
//!
//! `App` imports only the modules whose handles it holds. Domain modules take what they need from it.

use std::sync::Arc;

use crate::{
    clock::Clock,
    config::Live,
    db::Db,
    key::{ClientKeys, Keys},
    mail::outbox::Handover,
    secret::{Mac, MasterKeys, Sealer},
    ticket::Tickets,
    web::{locale::Texts, mount::PathStripping, unnamed_proxy::UnnamedProxy},
};

/// The shared handles. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct App {
    /// The configuration in effect.
    pub config: Live,
    /// The issuer: the configured public URL, or in `dev` the bound address, without a final slash.
    /// It may have a path.
    pub public_url: Arc<str>,
    pub db: Db,
    /// One-time tokens and counters.
    pub tickets: Tickets,
    /// The signing keys of this service.
    pub keys: Keys,
    /// The keys that clients publish.
    pub client_keys: ClientKeys,
    /// The messages of pages and emails.
    pub texts: Texts,
    pub macs: Macs,
    /// Where requests reach the outbox worker of this process.
    pub outbox: Arc<Handover>,
    /// The sightings of a proxy that is not in `server.trusted_proxies`.
    pub unnamed_proxy: UnnamedProxy,
    /// The sightings of a proxy that takes the path of `server.public_url` off.
    pub path_stripping: PathStripping,
}

/// The keys derived from the master keys, one for each purpose.
#[derive(Clone, Debug)]
pub struct Macs {
    /// Signs form tokens.
    pub csrf: Mac,
    /// Binds authorization codes to their requests, so that a request shows that it is right.
    pub authorization_code: Mac,
    /// Hashes emailed codes (the pepper).
    pub code: Mac,
    /// Derives the cookies of a repeated click (ST-04).
    pub repeats: Mac,
    /// Hashes addresses for counters and the audit log.
    pub address: Mac,
    /// Signs refresh tokens, so that a forged one never reaches the database.
    pub refresh: Mac,
    /// Encrypts the successor of a refresh token, for a client that repeats the previous token
    /// (ST-02).
    pub successor: Arc<Sealer>,
    /// Encrypts the grant of an access token into its `jti`.
    pub jti: Arc<Sealer>,
    /// Signs the nonces of DPoP proofs.
    pub dpop_nonce: Mac,
    /// Hashes the codes that devices show.
    pub user_code: Mac,
}

impl Macs {
    pub fn new(keys: &MasterKeys) -> Self {
        Self {
            csrf: keys.mac("form token v1"),
            authorization_code: keys.mac("authorization code binding v1"),
            code: keys.mac("mailed code pepper v1"),
            repeats: keys.mac("repeated click v1"),
            // The oldest key, which every instance has while the master key changes instance by
            // instance: all count in one place, and earlier counts, devices and events are found.
            address: keys.oldest_mac("address key v1"),
            refresh: keys.mac("refresh token v1"),
            successor: Arc::new(keys.sealer("refresh token successor v1")),
            jti: Arc::new(keys.sealer("access token jti v1")),
            dpop_nonce: keys.mac("DPoP nonce v1"),
            // The oldest key, as for addresses: a code is looked up under one name.
            user_code: keys.oldest_mac("device user code v1"),
        }
    }
}

impl App {
    pub const fn clock(&self) -> &Clock {
        self.db.clock()
    }
}
