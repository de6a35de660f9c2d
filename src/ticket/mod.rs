//! Short-lived single-use secrets, and the counters that all copies of the service share.
//!
//! A ticket is a value under a handle: put once, looked at, **claimed** once. A claim leaves a tombstone, so that a
//! replay can be told from a handle that never was. All of it lives either in Redis or in this process; both promise
//! the same and run the same suite (`conformance`). What must outlive a restart is in the database instead.
//!
//! A store learns nothing and can forge nothing: it sees SHA-256 of a handle, and values sealed under a key made of the
//! master key and the handle, bound to their key name and to being live or used. What was altered or moved is absent.
//! A store that is away or full is [`InfraError::Unavailable`]; nothing takes over for it, since a proof would pass once in each.

#[cfg(test)]
mod conformance;
mod memory;
mod redis;

use std::{fmt, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::future::BoxFuture;

use crate::{
    clock::{Clock, Time},
    error::InfraError,
    secret::{Hash, Mac, MasterKeys, Sealer},
    telemetry::{metrics, trace::Span},
};

/// What a ticket is for. Keys of different kinds never meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An authorization code.
    Code,
    /// A client's request that waits for a sign-in.
    Pending,
    /// A sign-in that is under way at an upstream provider: its `state`.
    Upstream,
    /// What a provider posted across sites, until our own GET takes it up.
    Returned,
    /// An account at a provider that waits for a proof or a yes.
    Link,
    /// What an app redeems after a sign-in at a provider.
    AppCode,
    /// An identifier that may be seen once: the `jti` of a proof or an assertion.
    Jti,
    /// A client's request that was posted to us, until the browser comes for it with a GET.
    Posted,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Pending => "pending",
            Self::Upstream => "upstream",
            Self::Returned => "returned",
            Self::Link => "link",
            Self::AppCode => "app-code",
            Self::Jti => "jti",
            Self::Posted => "posted",
        }
    }
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

/// What [`Tickets::once`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Once {
    /// Seen for the first time since the data began: what may have been seen before that moment is for the caller to
    /// refuse (RD-09).
    First {
        /// When the data began, or later.
        since: Time,
    },
    /// Seen before.
    Again,
    /// The store knows nothing any more, not even when its data began; it begins now. Nothing can be said of the
    /// identifier, and it was not noted.
    Forgotten,
}

/// How long the store remembers when its data began, without being reminded.
const EPOCH_KEPT: Duration = Duration::from_secs(86_400);

/// One counter to hit: at most `limit` in `window`.
#[derive(Clone, Debug)]
pub struct Counter {
    /// What is counted, for instance `address 900`. Differs from the other names of the same hit; stored in clear.
    pub name: String,
    /// At most so many…
    pub limit: u32,
    /// …in this time, from the first hit on.
    pub window: Duration,
}

/// Which writing of a live value was seen: for [`Tickets::replace_if`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(Vec<u8>);

/// What the store does when its memory is full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Policy {
    /// It refuses to write. The only one to run with: an evicted ticket or counter is a security fault.
    Refuses,
    /// It silently drops live entries: start must be refused. The name of the policy.
    Evicts(String),
    /// It does not say; the reason, for a warning.
    Unreadable(String),
}

/// The ticket store. Clones share it.
#[derive(Clone)]
pub struct Tickets {
    store: Arc<dyn Store>,
    prefix: Arc<str>,
    seal: Mac,
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tickets({})", self.describe())
    }
}

impl Tickets {
    /// In this process: for one copy only. Refuses to hold more than `capacity` entries rather than evict one.
    #[must_use]
    pub fn memory(capacity: usize, clock: Clock, keys: &MasterKeys) -> Self {
        Self::over(Arc::new(memory::Memory::new(capacity, clock)), "", keys)
    }

    /// In Redis 6.2 or later, or what speaks like it: `redis://[user:password@]host[:port][/database]`, `rediss://` for
    /// TLS, `redis+unix:///path[?db=0&user=…&pass=…]`. Nothing is asked of it before the first use, so that the service
    /// starts while Redis is away, and finds it again by itself. Expiry goes by the clock of Redis.
    ///
    /// # Errors
    /// If the URL is none of these, in words that do not repeat it.
    pub fn connect(url: &str, prefix: &str, keys: &MasterKeys) -> Result<Self, InfraError> {
        Ok(Self::over(
            Arc::new(redis::Redis::open(url, redis::PATIENCE)?),
            prefix,
            keys,
        ))
    }

    fn over(store: Arc<dyn Store>, prefix: &str, keys: &MasterKeys) -> Self {
        Self {
            store,
            prefix: prefix.into(),
            seal: keys.mac("ticket v1"),
        }
    }

    /// Puts a value under a handle for `ttl`, if nothing (live or tombstone) stands there: `false` then.
    ///
    /// # Errors
    /// If the store is away or full; after a time-out the value may or may not be there.
    pub async fn issue(
        &self,
        kind: Kind,
        handle: &Hash,
        value: &[u8],
        ttl: Duration,
    ) -> Result<bool, InfraError> {
        let place = self.place(kind, handle);
        step(
            "ticket issue",
            self.store
                .put_new(&place.key, place.seal(State::Live, value), ttl),
        )
        .await
    }

    /// The live value, which stays.
    ///
    /// # Errors
    /// If the store is away.
    pub async fn peek(&self, kind: Kind, handle: &Hash) -> Result<Option<Vec<u8>>, InfraError> {
        Ok(self
            .peek_version(kind, handle)
            .await?
            .map(|(value, _)| value))
    }

    /// The live value and which writing of it this is.
    ///
    /// # Errors
    /// If the store is away.
    pub async fn peek_version(
        &self,
        kind: Kind,
        handle: &Hash,
    ) -> Result<Option<(Vec<u8>, Version)>, InfraError> {
        let place = self.place(kind, handle);
        let Some(blob) = step("ticket peek", self.store.get(&place.key)).await? else {
            return Ok(None);
        };
        Ok(match place.open(&blob) {
            Some((State::Live, value)) => Some((value, Version(version(&blob).to_vec()))),
            _ => None,
        })
    }

    /// One atomic step: if the live value is still the one that was seen, puts another in its place for the rest of its
    /// life; else changes nothing and gives `false`.
    ///
    /// # Errors
    /// If the store is away or full; after a time-out the value may or may not be replaced.
    pub async fn replace_if(
        &self,
        kind: Kind,
        handle: &Hash,
        seen: &Version,
        value: &[u8],
    ) -> Result<bool, InfraError> {
        let place = self.place(kind, handle);
        step(
            "ticket replace",
            self.store
                .replace_if(&place.key, &seen.0, place.seal(State::Live, value)),
        )
        .await
    }

    /// One atomic step: live → value returned, tombstone stored for `keep`; tombstone → returned unchanged; else gone.
    ///
    /// # Errors
    /// If the store is away or full. It is never tried again: after a time-out the ticket may be spent.
    pub async fn claim(
        &self,
        kind: Kind,
        handle: &Hash,
        tombstone: &[u8],
        keep: Duration,
    ) -> Result<Claim, InfraError> {
        let place = self.place(kind, handle);
        let claim = self
            .store
            .claim(&place.key, place.seal(State::Used, tombstone), keep);
        let Some(blob) = step("ticket claim", claim).await? else {
            return Ok(Claim::Gone);
        };
        Ok(match place.open(&blob) {
            Some((State::Live, value)) => Claim::Fresh(value),
            Some((State::Used, tombstone)) => Claim::Replayed(tombstone),
            None => Claim::Gone,
        })
    }

    /// One atomic step: whether this identifier is seen for the first time within `ttl`, and since when the store would
    /// know (RD-09). All identifiers and the epoch are in one slot of a Redis Cluster.
    ///
    /// # Errors
    /// If the store is away or full; after a time-out it may count as seen.
    pub async fn once(
        &self,
        kind: Kind,
        id: &Hash,
        ttl: Duration,
        now: Time,
    ) -> Result<Once, InfraError> {
        let name = URL_SAFE_NO_PAD.encode(Hash::of(id.as_bytes()).as_bytes());
        let key = format!("{}{{once}}:{}:{name}", self.prefix, kind.name());
        let place = Place {
            key,
            handle: *id,
            seal: &self.seal,
        };
        let blob = place.seal(State::Live, &[]);
        step(
            "ticket once",
            self.store
                .once(&place.key, &self.epoch_key(), blob, ttl, now),
        )
        .await
    }

    /// Notes that the store's data begins now, unless it began before; the note stays for another day. At start and
    /// every few seconds: so a store that lost its data is known as such, also while nothing is asked of it (RD-09).
    ///
    /// # Errors
    /// If the store is away or full.
    pub async fn keep_epoch(&self, now: Time) -> Result<(), InfraError> {
        step(
            "ticket epoch",
            self.store.keep_epoch(&self.epoch_key(), now),
        )
        .await
    }

    fn epoch_key(&self) -> String {
        format!("{}{{once}}:epoch", self.prefix)
    }

    /// One atomic step over all counters of one subject: if none is at its limit, raises all and gives `None`;
    /// else raises none and gives how long until all would let one pass again.
    ///
    /// # Errors
    /// If the store is away or full: whoever counts must refuse then.
    pub async fn hit(
        &self,
        subject: &Hash,
        counters: &[Counter],
    ) -> Result<Option<Duration>, InfraError> {
        if counters.is_empty() {
            return Ok(None);
        }
        // Subjects such as networks are few enough to be guessed from a plain hash: the store sees a keyed one.
        let stem = self.key("count", &self.seal.tag(&[b"count", subject.as_bytes()]));
        let keys = counters
            .iter()
            .map(|counter| format!("{stem}:{}", counter.name))
            .collect();
        step("ticket count", self.store.hit(keys, counters)).await
    }

    /// Whether the store answers.
    ///
    /// # Errors
    /// If it does not.
    pub async fn ping(&self) -> Result<(), InfraError> {
        self.store.ping().await
    }

    /// What the store does when its memory is full: to be checked at start and for readiness.
    ///
    /// # Errors
    /// If the store is away.
    pub async fn policy(&self) -> Result<Policy, InfraError> {
        self.store.policy().await
    }

    /// Drops what has expired, where the store does not do so by itself; gives how many. For a job, once a minute.
    #[must_use = "the number is for a metric"]
    pub fn sweep(&self) -> usize {
        self.store.sweep()
    }

    /// Where the store is, for logs and for people: never with a user name or password.
    #[must_use]
    pub fn describe(&self) -> String {
        self.store.describe()
    }

    /// The braces make all counters of one subject one slot of a Redis Cluster.
    fn key(&self, kind: &str, handle: &Hash) -> String {
        let name = URL_SAFE_NO_PAD.encode(Hash::of(handle.as_bytes()).as_bytes());
        format!("{}{kind}:{{{name}}}", self.prefix)
    }

    fn place(&self, kind: Kind, handle: &Hash) -> Place<'_> {
        Place {
            key: self.key(kind.name(), handle),
            handle: *handle,
            seal: &self.seal,
        }
    }
}

/// Whether a stored value is the ticket or its tombstone: its first byte, and part of what it is sealed with.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum State {
    Live = b'L',
    Used = b'U',
}

impl State {
    const fn byte(self) -> u8 {
        self as u8
    }
}

/// Where one ticket stands, and what seals it there.
struct Place<'a> {
    key: String,
    handle: Hash,
    seal: &'a Mac,
}

impl Place<'_> {
    fn context(&self, state: State) -> Vec<u8> {
        [self.key.as_bytes(), &[state.byte()]].concat()
    }

    /// The state, then the value under AES-256-GCM: the key is made of the master key and the handle, which the store
    /// has not seen.
    fn seal(&self, state: State, value: &[u8]) -> Vec<u8> {
        let sealer = Sealer::with_key(*self.seal.tag(&[self.handle.as_bytes()]).as_bytes());
        let mut blob = vec![state.byte()];
        blob.extend(sealer.seal(&self.context(state), value));
        blob
    }

    fn open(&self, blob: &[u8]) -> Option<(State, Vec<u8>)> {
        let (&first, sealed) = blob.split_first()?;
        let state = [State::Live, State::Used]
            .into_iter()
            .find(|state| state.byte() == first)?;
        let context = self.context(state);
        let value = self
            .seal
            .tags(&[self.handle.as_bytes()])
            .find_map(|key| Sealer::with_key(*key.as_bytes()).open(&context, sealed))?;
        Some((state, value.to_vec()))
    }
}

/// State and nonce: 96 random bits tell one writing from another.
fn version(blob: &[u8]) -> &[u8] {
    blob.get(..VERSION_LENGTH).unwrap_or(blob)
}

const VERSION_LENGTH: usize = 13;

/// An answer of a store.
type Answer<'a, T> = BoxFuture<'a, Result<T, InfraError>>;

/// What a store does, each in one atomic step. It sees key names and sealed values, whose first byte is the state.
trait Store: Send + Sync {
    fn put_new<'a>(&'a self, key: &'a str, blob: Vec<u8>, ttl: Duration) -> Answer<'a, bool>;
    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Vec<u8>>>;
    /// What stood there; if it was live, the tombstone does now.
    fn claim<'a>(
        &'a self,
        key: &'a str,
        tombstone: Vec<u8>,
        keep: Duration,
    ) -> Answer<'a, Option<Vec<u8>>>;
    /// Replaces what begins with `seen`, and keeps its expiry.
    fn replace_if<'a>(&'a self, key: &'a str, seen: &'a [u8], blob: Vec<u8>) -> Answer<'a, bool>;
    fn hit<'a>(
        &'a self,
        keys: Vec<String>,
        counters: &'a [Counter],
    ) -> Answer<'a, Option<Duration>>;
    /// Puts `blob` if the epoch is known and nothing stands there; without an epoch puts that alone.
    fn once<'a>(
        &'a self,
        key: &'a str,
        epoch: &'a str,
        blob: Vec<u8>,
        ttl: Duration,
        now: Time,
    ) -> Answer<'a, Once>;
    fn keep_epoch<'a>(&'a self, epoch: &'a str, now: Time) -> Answer<'a, ()>;
    fn ping(&self) -> Answer<'_, ()>;
    fn policy(&self) -> Answer<'_, Policy>;
    fn sweep(&self) -> usize;
    fn describe(&self) -> String;
}

/// One step of the store: a span, and counted if it failed.
async fn step<T>(name: &'static str, work: Answer<'_, T>) -> Result<T, InfraError> {
    let span = Span::of_call(name);
    let done = span.around(work).await;
    span.end(|| None, Vec::new, done.is_err());
    if done.is_err() {
        metrics::ticket_error(name.trim_start_matches("ticket "));
    }
    done
}

fn away(cause: impl fmt::Display) -> InfraError {
    InfraError::Unavailable {
        dependency: "ticket store",
        cause: cause.to_string(),
    }
}

/// No shorter than a millisecond, which Redis would refuse, and no longer than a century, which it would overflow at.
fn bounded(ttl: Duration) -> Duration {
    ttl.clamp(
        Duration::from_millis(1),
        Duration::from_secs(100 * 365 * 86_400),
    )
}
