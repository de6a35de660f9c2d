//! Tickets and counters in this process: one map behind one lock, held for one operation and never across an
//! await.
//!
//! The capacity bounds the memory, by the account of `account`: entries that are charged to a payer make space for
//! one another, and others are refused when the store is full. Entries expire exactly at their time by the injected
//! clock; expired ones are deleted as new ones come, and by `sweep`.

use std::{
    collections::{BTreeSet, HashMap},
    future::ready,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    account::{Account, Charge, Full, Pool, Usage, entry_cost},
    payer::Groups,
    store::{
        Counter, EvictionPolicy, Issue, NewTicket, Once, OnceKeys, Store, StoreResult, TicketState,
        VERSION_LENGTH, Writable, blob_version, bounded_ttl, store_unavailable,
    },
};
use crate::{
    clock::{Clock, Time},
    error::InfraError,
};

/// The most expired entries that one call deletes: more than one call can add, so that they never pile up.
const DELETED_AT_ONCE: usize = 64;

/// How often one call does so before it drops a live entry or the store counts as full.
const ROUNDS: usize = 8;

pub(super) struct Memory {
    clock: Clock,
    /// When the data began: at the start of the process.
    epoch: Time,
    entries: Mutex<Entries>,
}

/// The entries by key, their order of expiry, and their account. Each entry is in `by_expiry` and in the account
/// exactly once.
struct Entries {
    by_key: HashMap<Arc<str>, Entry>,
    by_expiry: BTreeSet<(Time, Arc<str>)>,
    account: Account,
}

struct Entry {
    content: Content,
    expires: Time,
    charge: Charge,
}

enum Content {
    Blob(Vec<u8>),
    /// An identifier that counts once.
    Once(Vec<u8>),
    Count(u32),
}

impl Content {
    /// Returns what an entry with this content costs.
    fn cost(&self, groups: &Groups) -> usize {
        let value = match self {
            Self::Blob(blob) | Self::Once(blob) => blob.len(),
            Self::Count(_) => 0,
        };
        entry_cost(value, groups)
    }

    /// Returns the pool of an entry with this content.
    fn pool(&self, groups: &Groups) -> Pool {
        match self {
            _ if groups.is_empty() => Pool::Own,
            Self::Blob(_) => Pool::Tickets,
            Self::Once(_) => Pool::Proofs,
            Self::Count(_) => Pool::Counters,
        }
    }
}

impl Entry {
    fn blob(&self) -> Option<&Vec<u8>> {
        match &self.content {
            Content::Blob(blob) | Content::Once(blob) => Some(blob),
            Content::Count(_) => None,
        }
    }
}

impl Entries {
    /// Returns a live entry. At its very expiry an entry is gone.
    fn live(&self, key: &str, now: Time) -> Option<&Entry> {
        self.by_key.get(key).filter(|entry| now < entry.expires)
    }

    /// Returns the hits of a live counter and the end of its window.
    fn count(&self, key: &str, now: Time) -> Option<(u32, Time)> {
        let entry = self.live(key, now)?;
        match entry.content {
            Content::Count(count) => Some((count, entry.expires)),
            Content::Blob(_) | Content::Once(_) => None,
        }
    }

    fn put(&mut self, key: &str, content: Content, expires: Time, groups: &Groups) {
        self.delete(key);
        let key: Arc<str> = key.into();
        let (pool, cost) = (content.pool(groups), content.cost(groups));
        let entry = Entry {
            charge: self.account.add(&key, pool, cost, groups),
            content,
            expires,
        };
        self.by_key.insert(Arc::clone(&key), entry);
        self.by_expiry.insert((expires, key));
    }

    /// Raises a counter of so many hits. One that exists stays charged to its payer and becomes the
    /// payer's newest entry: a counter in use is dropped last, or a flood would drop the very counters
    /// that limit it (OA-4).
    fn raise(&mut self, key: &str, count: u32, ends: Time, groups: &Groups) {
        let existing = self.by_key.get(key).filter(|_| count > 0);
        let kept = existing.map(|entry| entry.charge.groups());
        let groups = kept.as_ref().unwrap_or(groups);
        self.put(key, Content::Count(count + 1), ends, groups);
    }

    fn delete(&mut self, key: &str) {
        if let Some((key, entry)) = self.by_key.remove_entry(key) {
            self.account.remove(&entry.charge);
            self.by_expiry.remove(&(entry.expires, key));
        }
    }

    fn delete_expired(&mut self, now: Time) -> usize {
        for deleted in 0..DELETED_AT_ONCE {
            let Some((_, key)) = self
                .by_expiry
                .first()
                .filter(|(expires, _)| *expires <= now)
            else {
                return deleted;
            };
            let key = Arc::clone(key);
            self.delete(&key);
        }
        DELETED_AT_ONCE
    }

    /// Makes space for an entry. Expired entries leave before live ones.
    fn reserve(&mut self, pool: Pool, cost: usize, now: Time) -> Result<(), InfraError> {
        let mut rounds = ROUNDS;
        loop {
            let next = self.account.next_to_drop(pool, cost);
            if next == Ok(None) {
                return Ok(());
            }
            if rounds > 0 && self.delete_expired(now) > 0 {
                rounds -= 1;
                continue;
            }
            rounds = 0;
            match next {
                Ok(Some(key)) => self.delete(&key),
                Ok(None) => return Ok(()),
                Err(Full) => return Err(self.full()),
            }
        }
    }

    /// Checks that the payer of a proof may hold one more. Expired entries leave before it is refused.
    fn admit_proof(&mut self, cost: usize, groups: &Groups, now: Time) -> Result<(), InfraError> {
        for _ in 0..ROUNDS {
            if self.account.admits_proof(cost, groups) {
                return Ok(());
            }
            if self.delete_expired(now) == 0 {
                break;
            }
        }
        Err(self.full())
    }

    fn full(&self) -> InfraError {
        let limit = self.account.usage().limit;
        store_unavailable(format_args!("full: {limit} bytes"))
    }
}

impl Memory {
    /// Returns a store of at most `bytes`.
    pub(super) fn new(bytes: usize, clock: Clock) -> Self {
        Self {
            epoch: clock.now(),
            clock,
            entries: Mutex::new(Entries {
                by_key: HashMap::new(),
                by_expiry: BTreeSet::new(),
                account: Account::new(bytes),
            }),
        }
    }

    /// Locks the entries. A poisoned lock is usable: no operation leaves the entries half changed.
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores what `content` makes of a new ticket's value.
    fn put_new_now(
        &self,
        new: NewTicket<'_>,
        content: fn(Vec<u8>) -> Content,
    ) -> Result<bool, InfraError> {
        let mut entries = self.lock();
        let now = self.clock.now();
        if entries.live(new.key, now).is_some() {
            return Ok(false);
        }
        entries.delete_expired(now);
        let content = content(new.blob);
        let (pool, cost) = (content.pool(&new.groups), content.cost(&new.groups));
        if pool == Pool::Proofs {
            entries.admit_proof(cost, &new.groups, now)?;
        }
        entries.reserve(pool, cost, now)?;
        entries.put(new.key, content, now + bounded_ttl(new.ttl), &new.groups);
        Ok(true)
    }

    fn claim_now(&self, key: &str, tombstone: Vec<u8>, keep: Duration) -> Option<Vec<u8>> {
        let mut entries = self.lock();
        let now = self.clock.now();
        let entry = entries.live(key, now)?;
        let (found, groups) = (entry.blob()?.clone(), entry.charge.groups());
        // A tombstone replaces its ticket, so it fits however full the store is.
        if found.first() == Some(&TicketState::Live.byte()) {
            entries.put(
                key,
                Content::Blob(tombstone),
                now + bounded_ttl(keep),
                &groups,
            );
        }
        Some(found)
    }

    fn replace_now(&self, key: &str, seen: &[u8], blob: Vec<u8>) -> bool {
        let mut entries = self.lock();
        let now = self.clock.now();
        let Some(entry) = entries.live(key, now) else {
            return false;
        };
        if seen.len() != VERSION_LENGTH || entry.blob().is_none_or(|old| blob_version(old) != seen)
        {
            return false;
        }
        let (expires, groups) = (entry.expires, entry.charge.groups());
        entries.put(key, Content::Blob(blob), expires, &groups);
        true
    }

    fn hit_now(
        &self,
        keys: &[String],
        counters: &[Counter],
        groups: &Groups,
    ) -> Result<Option<Duration>, InfraError> {
        let mut entries = self.lock();
        let now = self.clock.now();
        let mut wait = None;
        let mut new = 0;
        for (key, counter) in keys.iter().zip(counters) {
            let (count, ends) = entries
                .count(key, now)
                .unwrap_or((0, now + bounded_ttl(counter.window)));
            if count >= counter.limit {
                wait = wait.max(Some(ends.since(now)));
            }
            new += usize::from(count == 0);
        }
        if wait.is_some() {
            return Ok(wait);
        }
        if new > 0 {
            entries.delete_expired(now);
            let content = Content::Count(1);
            entries.reserve(content.pool(groups), new * content.cost(groups), now)?;
        }
        for (key, counter) in keys.iter().zip(counters) {
            let (count, ends) = entries
                .count(key, now)
                .unwrap_or((0, now + bounded_ttl(counter.window)));
            entries.raise(key, count, ends, groups);
        }
        Ok(None)
    }
}

impl Store for Memory {
    fn put_new<'a>(&'a self, new: NewTicket<'a>) -> StoreResult<'a, bool> {
        Box::pin(async move { self.put_new_now(new, Content::Blob) })
    }

    fn put_new_within<'a>(
        &'a self,
        new: NewTicket<'a>,
        keys: Vec<String>,
        counters: &'a [Counter],
    ) -> StoreResult<'a, Issue> {
        Box::pin(async move {
            // A handle that is taken counts like a new one: handles are random, so none ever is.
            if let Some(wait) = self.hit_now(&keys, counters, &new.groups)? {
                return Ok(Issue::Limited(wait));
            }
            Ok(match self.put_new_now(new, Content::Blob)? {
                true => Issue::Issued,
                false => Issue::Taken,
            })
        })
    }

    fn get<'a>(&'a self, key: &'a str) -> StoreResult<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            Ok(self
                .lock()
                .live(key, self.clock.now())
                .and_then(Entry::blob)
                .cloned())
        })
    }

    fn claim<'a>(
        &'a self,
        key: &'a str,
        tombstone: Vec<u8>,
        keep: Duration,
    ) -> StoreResult<'a, Option<Vec<u8>>> {
        Box::pin(async move { Ok(self.claim_now(key, tombstone, keep)) })
    }

    fn replace_if<'a>(
        &'a self,
        key: &'a str,
        seen: &'a [u8],
        blob: Vec<u8>,
    ) -> StoreResult<'a, bool> {
        Box::pin(async move { Ok(self.replace_now(key, seen, blob)) })
    }

    fn hit<'a>(
        &'a self,
        keys: Vec<String>,
        counters: &'a [Counter],
        groups: Groups,
    ) -> StoreResult<'a, Option<Duration>> {
        Box::pin(async move { self.hit_now(&keys, counters, &groups) })
    }

    fn once<'a>(
        &'a self,
        keys: OnceKeys<'a>,
        blob: Vec<u8>,
        ttl: Duration,
        _: Time,
    ) -> StoreResult<'a, Once> {
        Box::pin(async move {
            let new = NewTicket {
                key: keys.identifier,
                blob,
                ttl,
                groups: Arc::clone(keys.groups),
            };
            let first = self.put_new_now(new, Content::Once)?;
            Ok(if first {
                Once::First { since: self.epoch }
            } else {
                Once::Again
            })
        })
    }

    fn keep_epoch<'a>(&'a self, _: &'a str, _: Time) -> StoreResult<'a, ()> {
        Box::pin(ready(Ok(())))
    }

    fn usage(&self) -> StoreResult<'_, Usage> {
        Box::pin(ready(Ok(self.lock().account.usage())))
    }

    fn check_writable<'a>(&'a self, _: &'a str) -> StoreResult<'a, Writable> {
        let is_full = self.lock().account.usage().is_full();
        let writable = if is_full {
            Writable::Full
        } else {
            Writable::Yes
        };
        Box::pin(ready(Ok(writable)))
    }

    fn ping(&self) -> StoreResult<'_, ()> {
        Box::pin(ready(Ok(())))
    }

    fn policy(&self) -> StoreResult<'_, EvictionPolicy> {
        Box::pin(ready(Ok(EvictionPolicy::Refuses)))
    }

    fn sweep(&self) -> usize {
        let mut total = 0;
        // The lock is released between rounds, so that callers proceed.
        loop {
            let deleted = self.lock().delete_expired(self.clock.now());
            total += deleted;
            if deleted < DELETED_AT_ONCE {
                return total;
            }
        }
    }

    fn describe(&self) -> String {
        let limit = self.lock().account.usage().limit;
        format!("in this process, at most {limit} bytes")
    }
}

#[cfg(test)]
mod tests;
