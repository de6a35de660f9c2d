//! Tickets and counters in this process: one map behind one lock, held for one operation and never across an
//! await.
//!
//! The capacity bounds the memory: an entry counts once for each kibibyte. A store that is full of live entries
//! refuses new ones and evicts none. Entries expire exactly at their time by the injected clock; expired ones are
//! deleted as new ones come, and by `sweep`.

use std::{
    collections::{BTreeSet, HashMap},
    future::ready,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::store::{
    Counter, EvictionPolicy, Once, OnceKeys, Store, StoreResult, TicketState, VERSION_LENGTH,
    bounded, unavailable, version,
};
use crate::{
    clock::{Clock, Time},
    error::InfraError,
};

/// The most expired entries that one call deletes: more than one call can add, so that they never pile up.
const DELETED_AT_ONCE: usize = 64;

pub(super) struct Memory {
    clock: Clock,
    capacity: usize,
    /// When the data began: at the start of the process.
    epoch: Time,
    entries: Mutex<Entries>,
}

/// The entries by key, and their order of expiry. Each entry is in `by_expiry` exactly once.
#[derive(Default)]
struct Entries {
    by_key: HashMap<Arc<str>, Entry>,
    by_expiry: BTreeSet<(Time, Arc<str>)>,
    /// The sum of the weights of all entries.
    weight: usize,
}

struct Entry {
    content: Content,
    expires: Time,
}

enum Content {
    Blob(Vec<u8>),
    Count(u32),
}

impl Content {
    /// Returns the weight: one for each kibibyte.
    fn weight(&self) -> usize {
        match self {
            Self::Blob(blob) => blob_weight(blob),
            Self::Count(_) => 1,
        }
    }
}

fn blob_weight(blob: &[u8]) -> usize {
    blob.len().div_ceil(1024).max(1)
}

impl Entry {
    fn blob(&self) -> Option<&Vec<u8>> {
        match &self.content {
            Content::Blob(blob) => Some(blob),
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
            Content::Blob(_) => None,
        }
    }

    fn put(&mut self, key: &str, content: Content, expires: Time) {
        let key: Arc<str> = key.into();
        self.weight += content.weight();
        if let Some(old) = self.by_key.insert(key.clone(), Entry { content, expires }) {
            self.weight -= old.content.weight();
            self.by_expiry.remove(&(old.expires, key.clone()));
        }
        self.by_expiry.insert((expires, key));
    }

    fn delete_expired(&mut self, now: Time) -> usize {
        for deleted in 0..DELETED_AT_ONCE {
            let Some((expires, key)) = self.by_expiry.pop_first() else {
                return deleted;
            };
            if now < expires {
                self.by_expiry.insert((expires, key));
                return deleted;
            }
            self.weight -= self
                .by_key
                .remove(&key)
                .map_or(0, |entry| entry.content.weight());
        }
        DELETED_AT_ONCE
    }
}

impl Memory {
    pub(super) fn new(capacity: usize, clock: Clock) -> Self {
        Self {
            epoch: clock.now(),
            clock,
            capacity,
            entries: Mutex::default(),
        }
    }

    /// Locks the entries. A poisoned lock is usable: no operation leaves the entries half changed.
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reserve(&self, entries: &mut Entries, now: Time, new: usize) -> Result<(), InfraError> {
        entries.delete_expired(now);
        if entries.weight + new > self.capacity {
            return Err(unavailable(format_args!("full: {} entries", self.capacity)));
        }
        Ok(())
    }

    fn put_new_now(&self, key: &str, blob: Vec<u8>, ttl: Duration) -> Result<bool, InfraError> {
        let mut entries = self.lock();
        let now = self.clock.now();
        if entries.live(key, now).is_some() {
            return Ok(false);
        }
        self.reserve(&mut entries, now, blob_weight(&blob))?;
        entries.put(key, Content::Blob(blob), now + bounded(ttl));
        Ok(true)
    }

    fn claim_now(&self, key: &str, tombstone: Vec<u8>, keep: Duration) -> Option<Vec<u8>> {
        let mut entries = self.lock();
        let now = self.clock.now();
        let found = entries.live(key, now)?.blob()?.clone();
        // A tombstone replaces its ticket, so it fits however full the store is.
        if found.first() == Some(&TicketState::Live.byte()) {
            entries.put(key, Content::Blob(tombstone), now + bounded(keep));
        }
        Some(found)
    }

    fn replace_now(&self, key: &str, seen: &[u8], blob: Vec<u8>) -> bool {
        let mut entries = self.lock();
        let now = self.clock.now();
        let Some(entry) = entries.live(key, now) else {
            return false;
        };
        let expires = entry.expires;
        if seen.len() != VERSION_LENGTH || entry.blob().is_none_or(|old| version(old) != seen) {
            return false;
        }
        entries.put(key, Content::Blob(blob), expires);
        true
    }

    fn hit_now(
        &self,
        keys: &[String],
        counters: &[Counter],
    ) -> Result<Option<Duration>, InfraError> {
        let mut entries = self.lock();
        let now = self.clock.now();
        let mut wait = None;
        let mut new = 0;
        for (key, counter) in keys.iter().zip(counters) {
            let (count, ends) = entries
                .count(key, now)
                .unwrap_or((0, now + bounded(counter.window)));
            if count >= counter.limit {
                wait = wait.max(Some(ends.since(now)));
            }
            new += usize::from(count == 0);
        }
        if wait.is_some() {
            return Ok(wait);
        }
        self.reserve(&mut entries, now, new)?;
        for (key, counter) in keys.iter().zip(counters) {
            let (count, ends) = entries
                .count(key, now)
                .unwrap_or((0, now + bounded(counter.window)));
            entries.put(key, Content::Count(count + 1), ends);
        }
        Ok(None)
    }
}

impl Store for Memory {
    fn put_new<'a>(&'a self, key: &'a str, blob: Vec<u8>, ttl: Duration) -> StoreResult<'a, bool> {
        Box::pin(async move { self.put_new_now(key, blob, ttl) })
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
    ) -> StoreResult<'a, Option<Duration>> {
        Box::pin(async move { self.hit_now(&keys, counters) })
    }

    fn once<'a>(
        &'a self,
        keys: OnceKeys<'a>,
        blob: Vec<u8>,
        ttl: Duration,
        _: Time,
    ) -> StoreResult<'a, Once> {
        Box::pin(async move {
            let first = self.put_new_now(keys.identifier, blob, ttl)?;
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
        format!("in this process, at most {} entries", self.capacity)
    }
}

#[cfg(test)]
mod tests;
