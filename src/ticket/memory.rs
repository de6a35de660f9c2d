//! Tickets and counters in this process: one map behind one lock, held for a look-up at a time and never across an
//! await.
//!
//! Never holds more than it was told to: when full of live entries it refuses new ones, and evicts none. An entry of
//! several kibibytes counts as so many, so that its memory is bounded, too. Entries end
//! exactly at their time by the injected clock; those that ended are dropped as new ones come, and by `sweep`.

use std::{
    collections::{BTreeSet, HashMap},
    future::ready,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{Answer, Counter, Once, Policy, State, Store, VERSION_LENGTH, away, bounded, version};
use crate::{
    clock::{Clock, Time},
    error::InfraError,
};

/// Most expired entries that one caller drops for the others: more than one call can add, so that they never pile up.
const DROPPED_AT_ONCE: usize = 64;

pub(super) struct Memory {
    clock: Clock,
    capacity: usize,
    /// When its data began: with it.
    born: Time,
    shelf: Mutex<Shelf>,
}

/// The entries, and their order of expiry. Each entry is in `due` exactly once.
#[derive(Default)]
struct Shelf {
    entries: HashMap<Arc<str>, Entry>,
    due: BTreeSet<(Time, Arc<str>)>,
    /// The room that all of them take.
    taken: usize,
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
    /// How many entries it counts as: one a kibibyte.
    fn room(&self) -> usize {
        match self {
            Self::Blob(blob) => room_of(blob),
            Self::Count(_) => 1,
        }
    }
}

fn room_of(blob: &[u8]) -> usize {
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

impl Shelf {
    /// At its very expiry an entry is gone.
    fn live(&self, key: &str, now: Time) -> Option<&Entry> {
        self.entries.get(key).filter(|entry| now < entry.expires)
    }

    /// How often a live counter was hit, and when its window ends.
    fn count(&self, key: &str, now: Time) -> Option<(u32, Time)> {
        let entry = self.live(key, now)?;
        match entry.content {
            Content::Count(count) => Some((count, entry.expires)),
            Content::Blob(_) => None,
        }
    }

    fn put(&mut self, key: &str, content: Content, expires: Time) {
        let key: Arc<str> = key.into();
        self.taken += content.room();
        if let Some(old) = self.entries.insert(key.clone(), Entry { content, expires }) {
            self.taken -= old.content.room();
            self.due.remove(&(old.expires, key.clone()));
        }
        self.due.insert((expires, key));
    }

    fn drop_due(&mut self, now: Time) -> usize {
        for dropped in 0..DROPPED_AT_ONCE {
            let Some((expires, key)) = self.due.pop_first() else {
                return dropped;
            };
            if now < expires {
                self.due.insert((expires, key));
                return dropped;
            }
            self.taken -= self
                .entries
                .remove(&key)
                .map_or(0, |entry| entry.content.room());
        }
        DROPPED_AT_ONCE
    }
}

impl Memory {
    pub(super) fn new(capacity: usize, clock: Clock) -> Self {
        Self {
            born: clock.now(),
            clock,
            capacity,
            shelf: Mutex::default(),
        }
    }

    /// A poisoned lock is taken all the same: no step leaves the shelf half changed.
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn room(&self, shelf: &mut Shelf, now: Time, new: usize) -> Result<(), InfraError> {
        shelf.drop_due(now);
        if shelf.taken + new > self.capacity {
            return Err(away(format_args!("full: {} entries", self.capacity)));
        }
        Ok(())
    }

    fn put_new_now(&self, key: &str, blob: Vec<u8>, ttl: Duration) -> Result<bool, InfraError> {
        let mut shelf = self.shelf();
        let now = self.clock.now();
        if shelf.live(key, now).is_some() {
            return Ok(false);
        }
        self.room(&mut shelf, now, room_of(&blob))?;
        shelf.put(key, Content::Blob(blob), now + bounded(ttl));
        Ok(true)
    }

    fn claim_now(&self, key: &str, tombstone: Vec<u8>, keep: Duration) -> Option<Vec<u8>> {
        let mut shelf = self.shelf();
        let now = self.clock.now();
        let found = shelf.live(key, now)?.blob()?.clone();
        // A tombstone takes the place of its ticket: it fits however full the store is.
        if found.first() == Some(&State::Live.byte()) {
            shelf.put(key, Content::Blob(tombstone), now + bounded(keep));
        }
        Some(found)
    }

    fn replace_now(&self, key: &str, seen: &[u8], blob: Vec<u8>) -> bool {
        let mut shelf = self.shelf();
        let now = self.clock.now();
        let Some(entry) = shelf.live(key, now) else {
            return false;
        };
        let expires = entry.expires;
        if seen.len() != VERSION_LENGTH || entry.blob().is_none_or(|old| version(old) != seen) {
            return false;
        }
        shelf.put(key, Content::Blob(blob), expires);
        true
    }

    fn hit_now(
        &self,
        keys: &[String],
        counters: &[Counter],
    ) -> Result<Option<Duration>, InfraError> {
        let mut shelf = self.shelf();
        let now = self.clock.now();
        let mut wait = None;
        let mut new = 0;
        for (key, counter) in keys.iter().zip(counters) {
            let (count, ends) = shelf
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
        self.room(&mut shelf, now, new)?;
        for (key, counter) in keys.iter().zip(counters) {
            let (count, ends) = shelf
                .count(key, now)
                .unwrap_or((0, now + bounded(counter.window)));
            shelf.put(key, Content::Count(count + 1), ends);
        }
        Ok(None)
    }
}

impl Store for Memory {
    fn put_new<'a>(&'a self, key: &'a str, blob: Vec<u8>, ttl: Duration) -> Answer<'a, bool> {
        Box::pin(async move { self.put_new_now(key, blob, ttl) })
    }

    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            Ok(self
                .shelf()
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
    ) -> Answer<'a, Option<Vec<u8>>> {
        Box::pin(async move { Ok(self.claim_now(key, tombstone, keep)) })
    }

    fn replace_if<'a>(&'a self, key: &'a str, seen: &'a [u8], blob: Vec<u8>) -> Answer<'a, bool> {
        Box::pin(async move { Ok(self.replace_now(key, seen, blob)) })
    }

    fn hit<'a>(
        &'a self,
        keys: Vec<String>,
        counters: &'a [Counter],
    ) -> Answer<'a, Option<Duration>> {
        Box::pin(async move { self.hit_now(&keys, counters) })
    }

    fn once<'a>(
        &'a self,
        key: &'a str,
        _: &'a str,
        blob: Vec<u8>,
        ttl: Duration,
        _: Time,
    ) -> Answer<'a, Once> {
        Box::pin(async move {
            let first = self.put_new_now(key, blob, ttl)?;
            Ok(if first {
                Once::First { since: self.born }
            } else {
                Once::Again
            })
        })
    }

    fn keep_epoch<'a>(&'a self, _: &'a str, _: Time) -> Answer<'a, ()> {
        Box::pin(ready(Ok(())))
    }

    fn ping(&self) -> Answer<'_, ()> {
        Box::pin(ready(Ok(())))
    }

    fn policy(&self) -> Answer<'_, Policy> {
        Box::pin(ready(Ok(Policy::Refuses)))
    }

    fn sweep(&self) -> usize {
        let mut swept = 0;
        // The lock is let go between rounds, so that callers pass meanwhile.
        loop {
            let dropped = self.shelf().drop_due(self.clock.now());
            swept += dropped;
            if dropped < DROPPED_AT_ONCE {
                return swept;
            }
        }
    }

    fn describe(&self) -> String {
        format!("in this process, at most {} entries", self.capacity)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use crate::{
        clock::Clock,
        secret::{Hash, MasterKeys},
        ticket::{Claim, Counter, Kind, Tickets},
    };

    const TTL: Duration = Duration::from_secs(3600);
    const KEEP: Duration = Duration::from_secs(7200);

    fn fresh(capacity: usize) -> (Tickets, Clock) {
        let clock = Clock::default();
        (
            Tickets::memory(capacity, clock.clone(), &MasterKeys::new([7; 32], [])),
            clock,
        )
    }

    fn number(number: u32) -> Hash {
        Hash::of(&number.to_be_bytes())
    }

    /// Real time passes beside the shifts: a test that finds it has taken longer than this proves nothing.
    const SLACK: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn rd_03_a_ticket_ends_at_its_ttl() {
        let (tickets, clock) = fresh(10);
        let at = number(1);
        tickets.issue(Kind::Code, &at, b"value", TTL).await.unwrap();
        clock.advance(TTL - SLACK);
        assert!(tickets.peek(Kind::Code, &at).await.unwrap().is_some());
        clock.advance(SLACK);
        assert!(tickets.peek(Kind::Code, &at).await.unwrap().is_none());
        assert_eq!(
            tickets.claim(Kind::Code, &at, b"used", KEEP).await.unwrap(),
            Claim::Gone
        );
        assert!(tickets.issue(Kind::Code, &at, b"next", TTL).await.unwrap());
    }

    #[test]
    fn rd_03_at_the_very_millisecond_of_its_end_an_entry_is_gone() {
        let mut shelf = super::Shelf::default();
        let end = crate::clock::Time(1_000);
        shelf.put("key", super::Content::Count(1), end);
        assert!(shelf.live("key", crate::clock::Time(999)).is_some());
        assert!(shelf.live("key", end).is_none());
        assert_eq!(shelf.drop_due(crate::clock::Time(999)), 0);
        assert_eq!(shelf.drop_due(end), 1);
        assert!(shelf.entries.is_empty() && shelf.due.is_empty());
    }

    #[tokio::test]
    async fn rd_04_a_tombstone_ends_at_its_own_time() {
        let (tickets, clock) = fresh(10);
        let at = number(1);
        tickets.issue(Kind::Code, &at, b"value", TTL).await.unwrap();
        tickets.claim(Kind::Code, &at, b"used", KEEP).await.unwrap();
        clock.advance(KEEP - SLACK);
        assert_eq!(
            tickets.sweep(),
            0,
            "the end of the ticket is not that of its tombstone"
        );
        let claim = tickets
            .claim(Kind::Code, &at, b"again", KEEP)
            .await
            .unwrap();
        assert_eq!(claim, Claim::Replayed(b"used".to_vec()));
        clock.advance(SLACK);
        assert_eq!(
            tickets.claim(Kind::Code, &at, b"late", KEEP).await.unwrap(),
            Claim::Gone
        );
    }

    #[tokio::test]
    async fn a5_a_window_runs_from_its_first_hit_and_then_starts_anew() {
        let (tickets, clock) = fresh(10);
        let two = [Counter {
            name: "two".to_owned(),
            limit: 2,
            window: TTL,
        }];
        assert!(tickets.hit(&number(1), &two).await.unwrap().is_none());
        clock.advance(TTL / 2);
        assert!(tickets.hit(&number(1), &two).await.unwrap().is_none());
        let wait = tickets.hit(&number(1), &two).await.unwrap().unwrap();
        assert!(wait <= TTL / 2 && wait > TTL / 2 - SLACK, "{wait:?}");
        clock.advance(wait);
        assert!(tickets.hit(&number(1), &two).await.unwrap().is_none());
        assert!(tickets.hit(&number(1), &two).await.unwrap().is_none());
        assert!(tickets.hit(&number(1), &two).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn rd_12_a_large_entry_takes_the_room_of_several_until_it_is_gone() {
        let (tickets, clock) = fresh(10);
        let large = vec![0; 4 * 1024];
        assert!(
            tickets
                .issue(Kind::Pending, &number(1), &large, TTL)
                .await
                .unwrap(),
            "five of ten, sealed"
        );
        assert!(
            tickets
                .issue(Kind::Pending, &number(2), &large, TTL)
                .await
                .unwrap()
        );
        assert!(
            tickets
                .issue(Kind::Pending, &number(3), b"small", TTL)
                .await
                .is_err(),
            "full"
        );
        tickets
            .claim(Kind::Pending, &number(1), b"used", TTL)
            .await
            .unwrap();
        assert!(
            tickets
                .issue(Kind::Pending, &number(3), b"small", TTL)
                .await
                .unwrap(),
            "a tombstone is small"
        );
        clock.advance(TTL);
        assert!(
            tickets
                .issue(Kind::Pending, &number(4), &vec![0; 9 * 1024], TTL)
                .await
                .unwrap(),
            "all of it"
        );
        assert!(
            tickets
                .issue(Kind::Pending, &number(5), b"small", TTL)
                .await
                .is_err()
        );
    }

    #[tokio::test]
    async fn rd_12_h2_a_full_store_refuses_and_evicts_nothing() {
        let (tickets, clock) = fresh(100);
        for n in 0..100 {
            assert!(
                tickets
                    .issue(Kind::Code, &number(n), &n.to_be_bytes(), TTL)
                    .await
                    .unwrap()
            );
        }
        let one = ["a", "b"].map(|name| Counter {
            name: name.to_owned(),
            limit: 1,
            window: TTL,
        });
        assert!(
            tickets
                .issue(Kind::Code, &number(100), b"", TTL)
                .await
                .unwrap_err()
                .is_transient()
        );
        assert!(
            tickets
                .hit(&number(100), &one)
                .await
                .unwrap_err()
                .is_transient()
        );
        assert!(
            !tickets
                .issue(Kind::Code, &number(7), b"", TTL)
                .await
                .unwrap(),
            "what is there is told all the same"
        );
        for n in 0..100 {
            let claim = tickets
                .claim(Kind::Code, &number(n), b"used", KEEP)
                .await
                .unwrap();
            assert_eq!(
                claim,
                Claim::Fresh(n.to_be_bytes().to_vec()),
                "a claim needs no room"
            );
        }
        assert!(
            tickets
                .issue(Kind::Code, &number(100), b"", TTL)
                .await
                .is_err(),
            "tombstones are live entries too"
        );
        clock.advance(KEEP);
        assert!(
            tickets.hit(&number(100), &one).await.unwrap().is_none(),
            "what has ended makes room by itself"
        );
    }

    #[tokio::test]
    async fn rd_12_a_hit_that_does_not_fit_raises_nothing() {
        let (tickets, _) = fresh(2);
        let counter = |name: &str| Counter {
            name: name.to_owned(),
            limit: 1,
            window: TTL,
        };
        let three = ["a", "b", "c"].map(counter);
        assert!(tickets.hit(&number(1), &three).await.is_err());
        assert!(
            tickets
                .hit(&number(1), &[counter("a")])
                .await
                .unwrap()
                .is_none()
        );
    }

    #[tokio::test]
    async fn sweep_drops_all_that_ended_and_nothing_else() {
        let (tickets, clock) = fresh(1000);
        for n in 0..300 {
            tickets
                .issue(
                    Kind::Code,
                    &number(n),
                    b"",
                    if n < 200 { TTL } else { KEEP },
                )
                .await
                .unwrap();
        }
        assert_eq!(tickets.sweep(), 0);
        clock.advance(TTL);
        assert_eq!(tickets.sweep(), 200);
        assert_eq!(tickets.sweep(), 0);
        assert!(
            tickets
                .peek(Kind::Code, &number(250))
                .await
                .unwrap()
                .is_some()
        );
    }
}
