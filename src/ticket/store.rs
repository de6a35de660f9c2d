//! What both stores share: the `Store` trait, the values of its operations, and the form of what is stored.

use std::{fmt, time::Duration};

use futures_util::future::BoxFuture;

use super::{account::Usage, payer::Groups};
use crate::{clock::Time, config, error::InfraError, secret::Hash};

/// The part of Redis that the store uses.
#[derive(Clone, Copy, Debug)]
pub struct Space<'a> {
    /// The prefix of every key.
    pub prefix: &'a str,
    /// The most bytes of all entries together.
    pub max_bytes: usize,
}

impl<'a> Space<'a> {
    /// Returns what the configuration says.
    #[must_use]
    pub fn of(section: &'a config::Tickets) -> Self {
        Self {
            prefix: &section.prefix,
            max_bytes: section.max_bytes,
        }
    }
}

/// The purpose of a ticket. Keys of different kinds are distinct.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TicketKind {
    /// An authorization code.
    Code,
    /// A client's request that waits for a sign-in.
    Pending,
    /// A sign-in in progress at an upstream provider: its `state`.
    Upstream,
    /// A provider's cross-site POST, until the browser's GET claims it.
    Returned,
    /// An account at a provider that waits for a verification or a confirmation.
    Link,
    /// The code that an app redeems after a sign-in at a provider.
    AppCode,
    /// An identifier that may be used once: the `jti` of an assertion.
    Jti,
    /// A client's posted request, until the browser's GET claims it.
    Posted,
    /// A request that a client pushed: what it asks for (PU-1).
    Pushed,
    /// The answer to a pushed request: live while there is none, then a tombstone that says what it
    /// was (PU-5).
    PushedAnswer,
    /// An exchange of tokens that is in the audit log.
    Exchange,
    /// A device that waits for its user (DE-6).
    Device,
    /// What the user of such a device enters (DE-3).
    UserCode,
}

impl TicketKind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Pending => "pending",
            Self::Upstream => "upstream",
            Self::Returned => "returned",
            Self::Link => "link",
            Self::AppCode => "app-code",
            Self::Jti => "jti",
            Self::Posted => "posted",
            Self::Pushed => "par",
            Self::PushedAnswer => "par-used",
            Self::Exchange => "exchange",
            Self::Device => "device",
            Self::UserCode => "user-code",
        }
    }
}

/// The result of a claim.
#[derive(Debug, PartialEq, Eq)]
pub enum Claim {
    /// The ticket was live: its value. The tombstone has replaced it.
    Fresh(Vec<u8>),
    /// The ticket was claimed before: the tombstone of the first claim.
    Replayed(Vec<u8>),
    /// The ticket never existed, or it expired.
    Gone,
}

/// A value to be stored under a handle.
#[derive(Clone, Copy, Debug)]
pub struct NewValue<'a> {
    pub kind: TicketKind,
    pub handle: &'a Hash,
    pub value: &'a [u8],
    pub ttl: Duration,
}

/// The result of storing a value within budgets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issue {
    /// It is stored and counted.
    Issued,
    /// The handle is taken, live or used.
    Taken,
    /// A counter is at its limit: the time until none is. Nothing is stored or counted.
    Limited(Duration),
}

/// The result of `Tickets::once`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Once {
    /// The first use since the data of the store began. The caller refuses what may have been used
    /// before (RD-09).
    First {
        /// When the data of the store began, or later.
        since: Time,
    },
    /// A further use.
    Again,
    /// The store lost its data, which begins now. The identifier was not stored, and an earlier use
    /// cannot be excluded.
    Forgotten,
}

/// The lifetime of the epoch without `keep_epoch`.
pub(super) const EPOCH_TTL: Duration = Duration::from_secs(86_400);

/// A counter: at most `limit` hits in `window`.
#[derive(Clone, Debug)]
pub struct Counter {
    /// The name, for instance `address 900`, distinct among the counters of one hit and stored in
    /// clear.
    pub name: String,
    pub limit: u32,
    /// The time from the first hit on.
    pub window: Duration,
}

/// The version of a live value, for `Tickets::replace_if`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(pub(super) Vec<u8>);

/// The eviction policy of the store when its memory is full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EvictionPolicy {
    /// The store refuses writes. Every other policy is a security fault: it evicts tickets or counters.
    Refuses,
    /// The store evicts live entries, so the service must not start: the name of the policy.
    Evicts(String),
    /// The store does not show its policy: the reason, for a warning.
    Unreadable(String),
}

/// Whether the store accepts writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writable {
    Yes,
    /// The store has no space, by its own account or by Redis's `maxmemory`.
    Full,
    /// Redis is a replica that only reads.
    ReadOnly,
    /// The user of Redis lacks a permission.
    Forbidden,
}

/// Whether a stored value is a live ticket or a tombstone: its first byte, authenticated by the
/// encryption.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum TicketState {
    Live = b'L',
    Used = b'U',
}

impl TicketState {
    pub(super) const fn byte(self) -> u8 {
        self as u8
    }
}

/// Returns state and nonce of a stored value: 96 random bits distinguish two versions.
pub(super) fn blob_version(blob: &[u8]) -> &[u8] {
    blob.get(..VERSION_LENGTH).unwrap_or(blob)
}

pub(super) const VERSION_LENGTH: usize = 13;

/// The result of an operation of a store.
pub(super) type StoreResult<'a, T> = BoxFuture<'a, Result<T, InfraError>>;

/// The two keys of `Store::once`, and who is charged for the identifier.
pub(super) struct OnceKeys<'a> {
    pub(super) identifier: &'a str,
    pub(super) epoch: &'a str,
    pub(super) groups: &'a Groups,
}

/// A ticket to be stored.
pub(super) struct NewTicket<'a> {
    pub(super) key: &'a str,
    pub(super) blob: Vec<u8>,
    pub(super) ttl: Duration,
    /// Who is charged for it.
    pub(super) groups: Groups,
}

/// The operations of a store, each atomic. It sees key names and encrypted values, whose first byte is the
/// state.
pub(super) trait Store: Send + Sync {
    fn put_new<'a>(&'a self, new: NewTicket<'a>) -> StoreResult<'a, bool>;
    /// Stores a ticket and raises the counters, unless one of them is at its limit.
    fn put_new_within<'a>(
        &'a self,
        new: NewTicket<'a>,
        keys: Vec<String>,
        counters: &'a [Counter],
    ) -> StoreResult<'a, Issue>;
    fn get<'a>(&'a self, key: &'a str) -> StoreResult<'a, Option<Vec<u8>>>;
    /// Returns the stored value, and replaces a live one by the tombstone.
    fn claim<'a>(
        &'a self,
        key: &'a str,
        tombstone: Vec<u8>,
        keep: Duration,
    ) -> StoreResult<'a, Option<Vec<u8>>>;
    /// Replaces a value that begins with `seen`, and keeps its expiry.
    fn replace_if<'a>(
        &'a self,
        key: &'a str,
        seen: &'a [u8],
        blob: Vec<u8>,
    ) -> StoreResult<'a, bool>;
    fn hit<'a>(
        &'a self,
        keys: Vec<String>,
        counters: &'a [Counter],
        groups: Groups,
    ) -> StoreResult<'a, Option<Duration>>;
    /// Stores `blob` if the epoch is known and the key is free; without an epoch stores the epoch alone.
    fn once<'a>(
        &'a self,
        keys: OnceKeys<'a>,
        blob: Vec<u8>,
        ttl: Duration,
        now: Time,
    ) -> StoreResult<'a, Once>;
    fn keep_epoch<'a>(&'a self, epoch: &'a str, now: Time) -> StoreResult<'a, ()>;
    fn usage(&self) -> StoreResult<'_, Usage>;
    /// Writes an entry of a few seconds under `key`.
    fn check_writable<'a>(&'a self, key: &'a str) -> StoreResult<'a, Writable>;
    fn ping(&self) -> StoreResult<'_, ()>;
    fn policy(&self) -> StoreResult<'_, EvictionPolicy>;
    fn sweep(&self) -> usize;
    fn describe(&self) -> String;
}

/// Returns the error of a store that is away or full.
pub(super) fn store_unavailable(cause: impl fmt::Display) -> InfraError {
    InfraError::Unavailable {
        dependency: "ticket store",
        cause: cause.to_string(),
    }
}

/// Bounds a TTL: Redis refuses less than a millisecond and overflows at far more than a century.
pub(super) fn bounded_ttl(ttl: Duration) -> Duration {
    ttl.clamp(
        Duration::from_millis(1),
        Duration::from_secs(100 * 365 * 86_400),
    )
}
