//! The ticket store: short-lived single-use secrets, and the counters that all instances share.
//!
//! A ticket is a value under a handle: stored once, peeked at, **claimed** once. A claim leaves a tombstone, so
//! that a replay differs from a handle that never existed. Tickets are either in Redis or in this process; both
//! stores promise the same and pass the same suite (`conformance`). What must survive a restart is in the
//! database instead.
//!
//! A store can neither read nor forge a ticket: it sees the SHA-256 of a handle, and values encrypted under a key
//! made of the master key and the handle, bound to their key name and state. An altered or moved value counts as
//! absent. A store that is away or full is [`InfraError::Unavailable`]; no other store takes over, since a secret
//! would pass once in each.

mod account;
#[cfg(test)]
mod conformance;
mod key;
mod memory;
mod payer;
mod redis;
mod store;

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    clock::{Clock, Time},
    error::InfraError,
    secret::{Hash, Mac, MasterKeys},
    telemetry::{metrics, trace::Span},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

pub use account::Usage;
use key::TicketKey;
pub use payer::Payer;
use payer::{Groups, groups_of};
pub use redis::StoreTls;
pub use store::{
    Claim, Counter, EvictionPolicy, Issue, NewValue, Once, Space, TicketKind, Version, Writable,
};
use store::{NewTicket, OnceKeys, Store, StoreResult, TicketState, blob_version};

/// The ticket store. Clones share it.
#[derive(Clone)]
pub struct Tickets {
    store: Arc<dyn Store>,
    prefix: Arc<str>,
    mac: Mac,
    /// Who is charged for new entries.
    groups: Groups,
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tickets({})", self.describe())
    }
}

impl Tickets {
    /// Returns a store of at most `max_bytes` in this process, for one instance.
    #[must_use]
    pub fn memory(max_bytes: usize, clock: Clock, keys: &MasterKeys) -> Self {
        Self::over(Arc::new(memory::Memory::new(max_bytes, clock)), "", keys)
    }

    /// Returns a store in Redis 6.2 or later: `redis://[user:password@]host[:port][/database]`, `rediss://` for
    /// TLS, `redis+unix:///path[?db=0&user=…&pass=…]`. It connects at the first use, so that the service starts
    /// while Redis is away, and reconnects by itself. Expiry follows the clock of Redis. Entries take at most
    /// `space.max_bytes` there.
    ///
    /// # Errors
    /// The URL has none of these forms. The message does not repeat it.
    pub fn connect(url: &str, space: Space<'_>, keys: &MasterKeys) -> Result<Self, InfraError> {
        Self::connect_with(url, space, StoreTls::default(), keys)
    }

    /// The same with certificates for `rediss://`.
    ///
    /// # Errors
    /// See [`Tickets::connect`]; a certificate that cannot be used.
    pub fn connect_with(
        url: &str,
        space: Space<'_>,
        tls: StoreTls,
        keys: &MasterKeys,
    ) -> Result<Self, InfraError> {
        let store = redis::Redis::open_with(url, space, tls, redis::TIMEOUT)?;
        Ok(Self::over(Arc::new(store), space.prefix, keys))
    }

    /// Returns the same store, where new tickets and counters are charged to `payer`: for everything that a
    /// stranger can cause. When space is short, such entries make space for one another (OA-4).
    #[must_use]
    pub fn charged_to(&self, payer: Payer) -> Self {
        Self {
            groups: groups_of(payer, &self.mac),
            ..self.clone()
        }
    }

    fn over(store: Arc<dyn Store>, prefix: &str, keys: &MasterKeys) -> Self {
        Self {
            store,
            prefix: prefix.into(),
            mac: keys.mac("ticket v1"),
            groups: Groups::default(),
        }
    }

    /// Stores a value under a handle for `ttl`. Returns `false` if the handle is taken, live or used.
    ///
    /// # Errors
    /// The store is away or full. After a time-out the value may be stored.
    pub async fn issue(
        &self,
        kind: TicketKind,
        handle: &Hash,
        value: &[u8],
        ttl: Duration,
    ) -> Result<bool, InfraError> {
        let ticket = self.ticket_key(kind, handle);
        let new = NewTicket {
            key: &ticket.key,
            blob: ticket.seal(TicketState::Live, value),
            ttl,
            groups: Arc::clone(&self.groups),
        };
        traced("ticket issue", self.store.put_new(new)).await
    }

    /// Stores a value and raises all counters of a subject, by one command, if none is at its limit. Otherwise
    /// does neither.
    ///
    /// # Errors
    /// The store is away or full. After a time-out both may be done.
    pub async fn issue_within(
        &self,
        new: NewValue<'_>,
        subject: &Hash,
        counters: &[Counter],
    ) -> Result<Issue, InfraError> {
        let ticket = self.ticket_key(new.kind, new.handle);
        let keys = self.counter_keys(subject, counters);
        let new = NewTicket {
            key: &ticket.key,
            blob: ticket.seal(TicketState::Live, new.value),
            ttl: new.ttl,
            groups: Arc::clone(&self.groups),
        };
        let issue = self.store.put_new_within(new, keys, counters);
        traced("ticket issue", issue).await
    }

    /// Returns the live value without claiming it.
    pub async fn peek(
        &self,
        kind: TicketKind,
        handle: &Hash,
    ) -> Result<Option<Vec<u8>>, InfraError> {
        Ok(self
            .peek_version(kind, handle)
            .await?
            .map(|(value, _)| value))
    }

    /// Returns the live value and its version.
    pub async fn peek_version(
        &self,
        kind: TicketKind,
        handle: &Hash,
    ) -> Result<Option<(Vec<u8>, Version)>, InfraError> {
        let found = self.peek_state(kind, handle).await?;
        let live = found.filter(|(state, ..)| *state == TicketState::Live);
        Ok(live.map(|(_, value, version)| (value, version)))
    }

    /// Replaces a value by a live one, atomically, if it still has the version `seen`; its expiry stays. Otherwise
    /// changes nothing and returns `false`.
    ///
    /// # Errors
    /// The store is away or full. After a time-out the value may be replaced.
    pub async fn replace_if(
        &self,
        kind: TicketKind,
        handle: &Hash,
        seen: &Version,
        value: &[u8],
    ) -> Result<bool, InfraError> {
        let ticket = self.ticket_key(kind, handle);
        traced(
            "ticket replace",
            self.store
                .replace_if(&ticket.key, &seen.0, ticket.seal(TicketState::Live, value)),
        )
        .await
    }

    /// Claims a ticket, atomically: a live value is returned and replaced by the tombstone for `keep`; a
    /// tombstone is returned unchanged.
    ///
    /// # Errors
    /// The store is away or full. A claim is never retried: after a time-out the ticket may be spent.
    pub async fn claim(
        &self,
        kind: TicketKind,
        handle: &Hash,
        tombstone: &[u8],
        keep: Duration,
    ) -> Result<Claim, InfraError> {
        let ticket = self.ticket_key(kind, handle);
        let claim = self
            .store
            .claim(&ticket.key, ticket.seal(TicketState::Used, tombstone), keep);
        let Some(blob) = traced("ticket claim", claim).await? else {
            return Ok(Claim::Gone);
        };
        Ok(match ticket.open(&blob) {
            Some((TicketState::Live, value)) => Claim::Fresh(value),
            Some((TicketState::Used, tombstone)) => Claim::Replayed(tombstone),
            None => Claim::Gone,
        })
    }

    /// Makes a ticket live again that was claimed with this tombstone, for one whose work could not begin. Its
    /// expiry stays that of the tombstone: a value that ends earlier says so itself. Returns `false` if the
    /// tombstone is not there any more.
    ///
    /// # Errors
    /// The store is away or full. After a time-out the ticket may be live.
    pub async fn give_back(
        &self,
        kind: TicketKind,
        handle: &Hash,
        tombstone: &[u8],
        value: &[u8],
    ) -> Result<bool, InfraError> {
        match self.peek_used(kind, handle).await? {
            Some((found, seen)) if found == tombstone => {
                self.replace_if(kind, handle, &seen, value).await
            }
            _ => Ok(false),
        }
    }

    /// Returns the tombstone of a ticket that was claimed.
    ///
    /// # Errors
    /// The store is away.
    pub async fn tombstone(
        &self,
        kind: TicketKind,
        handle: &Hash,
    ) -> Result<Option<Vec<u8>>, InfraError> {
        let used = self.peek_used(kind, handle).await?;
        Ok(used.map(|(tombstone, _)| tombstone))
    }

    async fn peek_used(
        &self,
        kind: TicketKind,
        handle: &Hash,
    ) -> Result<Option<(Vec<u8>, Version)>, InfraError> {
        let found = self.peek_state(kind, handle).await?;
        let used = found.filter(|(state, ..)| *state == TicketState::Used);
        Ok(used.map(|(_, tombstone, version)| (tombstone, version)))
    }

    async fn peek_state(
        &self,
        kind: TicketKind,
        handle: &Hash,
    ) -> Result<Option<(TicketState, Vec<u8>, Version)>, InfraError> {
        let ticket = self.ticket_key(kind, handle);
        let Some(blob) = traced("ticket peek", self.store.get(&ticket.key)).await? else {
            return Ok(None);
        };
        let opened = ticket.open(&blob);
        Ok(opened.map(|(state, value)| (state, value, Version(blob_version(&blob).to_vec()))))
    }

    /// Stores an identifier for `ttl`, atomically, and returns whether this is its first use and since when the
    /// store has its data (RD-09). One that is charged to a payer is never dropped; a payer that holds
    /// too many beside the others is refused more (OA-4).
    ///
    /// # Errors
    /// The store is away, or full for this payer. After a time-out the identifier may count as used.
    pub async fn once(
        &self,
        kind: TicketKind,
        id: &Hash,
        ttl: Duration,
        now: Time,
    ) -> Result<Once, InfraError> {
        let name = URL_SAFE_NO_PAD.encode(Hash::of(id.as_bytes()).as_bytes());
        let key = format!("{}{{once}}:{}:{name}", self.prefix, kind.name());
        let ticket = TicketKey {
            key,
            handle: *id,
            mac: &self.mac,
        };
        let (blob, epoch) = (ticket.seal(TicketState::Live, &[]), self.epoch_key());
        let keys = OnceKeys {
            identifier: &ticket.key,
            epoch: &epoch,
            groups: &self.groups,
        };
        traced("ticket once", self.store.once(keys, blob, ttl, now)).await
    }

    /// Records that the data of the store begins now, unless it began before; the record stays for a day. A job
    /// calls it every few seconds, so that a loss of data is noticed without requests, too (RD-09).
    pub async fn keep_epoch(&self, now: Time) -> Result<(), InfraError> {
        traced(
            "ticket epoch",
            self.store.keep_epoch(&self.epoch_key(), now),
        )
        .await
    }

    fn epoch_key(&self) -> String {
        format!("{}{{once}}:epoch", self.prefix)
    }

    /// Raises all counters of a subject, atomically, and returns `None`, if none is at its limit. Otherwise
    /// raises none and returns the time until none is.
    ///
    /// # Errors
    /// The store is away or full: the caller must refuse then.
    pub async fn hit(
        &self,
        subject: &Hash,
        counters: &[Counter],
    ) -> Result<Option<Duration>, InfraError> {
        if counters.is_empty() {
            return Ok(None);
        }
        let keys = self.counter_keys(subject, counters);
        let hit = self.store.hit(keys, counters, Arc::clone(&self.groups));
        traced("ticket count", hit).await
    }

    /// Returns the space that the entries take.
    pub async fn usage(&self) -> Result<Usage, InfraError> {
        self.store.usage().await
    }

    /// Checks that the store accepts writes, by writing.
    ///
    /// # Errors
    /// The store is away.
    pub async fn check_writable(&self) -> Result<Writable, InfraError> {
        let key = format!("{}probe", self.prefix);
        self.store.check_writable(&key).await
    }

    /// Returns a short name, made by a keyed hash, for what must not stand in clear in the name of a
    /// counter. Two names are the same by chance once in 2^72 pairs.
    #[must_use]
    pub fn keyed_name(&self, parts: &[&[u8]]) -> String {
        let tag = self.mac.tag(parts);
        URL_SAFE_NO_PAD.encode(tag.as_bytes().get(..9).unwrap_or_default())
    }

    /// Checks that the store responds.
    pub async fn ping(&self) -> Result<(), InfraError> {
        self.store.ping().await
    }

    /// Returns the eviction policy, which start and readiness check.
    pub async fn policy(&self) -> Result<EvictionPolicy, InfraError> {
        self.store.policy().await
    }

    /// Deletes expired entries where the store does not do so by itself, and returns their number.
    #[must_use = "the number is for a metric"]
    pub fn sweep(&self) -> usize {
        self.store.sweep()
    }

    /// Returns where the store is, without user name and password.
    #[must_use]
    pub fn describe(&self) -> String {
        self.store.describe()
    }

    /// Returns the key of an entry: its kind, and the SHA-256 of its handle as its hash tag.
    fn key(&self, kind: &str, handle: &Hash) -> String {
        let name = URL_SAFE_NO_PAD.encode(Hash::of(handle.as_bytes()).as_bytes());
        format!("{}{kind}:{{{name}}}", self.prefix)
    }

    fn counter_keys(&self, subject: &Hash, counters: &[Counter]) -> Vec<String> {
        // Networks are few enough to be guessed from a plain hash, so the store sees a keyed one.
        let stem = self.key("count", &self.mac.tag(&[b"count", subject.as_bytes()]));
        let key = |counter: &Counter| format!("{stem}:{}", counter.name);
        counters.iter().map(key).collect()
    }

    fn ticket_key(&self, kind: TicketKind, handle: &Hash) -> TicketKey<'_> {
        TicketKey {
            key: self.key(kind.name(), handle),
            handle: *handle,
            mac: &self.mac,
        }
    }
}

/// Runs an operation of the store in a span, and counts a failure.
async fn traced<T>(name: &'static str, work: StoreResult<'_, T>) -> Result<T, InfraError> {
    let span = Span::of_call(name);
    let result = span.around(work).await;
    span.end(|| None, Vec::new, result.is_err());
    if result.is_err() {
        metrics::ticket_error(name.trim_start_matches("ticket "));
    }
    result
}
