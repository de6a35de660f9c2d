//! Short-lived single-use secrets: authorization codes, pending client requests, upstream state; and the shared counters.
//! (interface; stores to come)

use std::time::Duration;

use crate::{secret::Hash, web::error::Failure};

/// What a ticket is for. Keys of different kinds never meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An authorization code.
    Code,
    /// A client's request that waits for a sign-in.
    Pending,
}

/// What a claim found.
#[derive(Debug, PartialEq, Eq)]
pub enum Claim {
    /// It was live: here is its value; the tombstone stands in its place now.
    Fresh(Vec<u8>),
    /// It was claimed before: the tombstone that the first claim left.
    Replayed(Vec<u8>),
    /// Never there, or expired.
    Gone,
}

/// One counter to hit: at most `limit` in `window`.
#[derive(Clone, Debug)]
pub struct Counter {
    /// What is counted, for instance `address 900`.
    pub name: String,
    /// At most so many…
    pub limit: u32,
    /// …in this time, from the first hit on.
    pub window: Duration,
}

/// The ticket store. Clones share it.
#[derive(Clone, Debug)]
pub struct Tickets {}

#[allow(clippy::todo, unused_variables, clippy::unused_async, missing_docs)]
impl Tickets {
    /// Puts a value under a handle for `ttl`, if nothing (live or tombstone) stands there: `false` then.
    pub async fn issue(&self, kind: Kind, handle: &Hash, value: &[u8], ttl: Duration) -> Result<bool, Failure> {
        todo!()
    }
    /// The live value, which stays.
    pub async fn peek(&self, kind: Kind, handle: &Hash) -> Result<Option<Vec<u8>>, Failure> {
        todo!()
    }
    /// One atomic step: live → value returned, tombstone stored for `keep`; tombstone → returned unchanged; else gone.
    pub async fn claim(&self, kind: Kind, handle: &Hash, tombstone: &[u8], keep: Duration) -> Result<Claim, Failure> {
        todo!()
    }
    /// One atomic step over all counters of one subject: if none is at its limit, raises all and gives `None`;
    /// else raises none and gives how long until one may be tried again.
    pub async fn hit(&self, subject: &Hash, counters: &[Counter]) -> Result<Option<Duration>, Failure> {
        todo!()
    }
    /// Whether the store answers.
    pub async fn ping(&self) -> Result<(), Failure> {
        todo!()
    }
}
