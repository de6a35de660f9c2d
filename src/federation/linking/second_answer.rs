//! The second of two equal answers waits for what the first is about to commit (ST-04): the browser shows
//! the second response alone.
//!
//! It looks several times, and holds the slot of its lane meanwhile. So a few wait at once in a process, two of
//! them for one user or network, and those beyond look once.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{error::InfraError, network::Network, ticket::Payer};

/// How often an answer looks.
const LOOKS: usize = 20;

/// How long it waits between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// How many wait at once: half of the slots that the quick lane has where it has fewest by default.
const MAX_WAITING: usize = 8;

/// How many of them for one user or network, so that one caller does not take all.
const MAX_OF_ONE: usize = 2;

/// The answers of this process that wait.
static WAITING: Waiting = Waiting::new();

/// Whom each answer that waits is for.
struct Waiting(Mutex<Vec<Payer>>);

/// The place of an answer that waits.
struct Place<'a> {
    waiting: &'a Waiting,
    payer: Payer,
}

impl Waiting {
    const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    fn all(&self) -> MutexGuard<'_, Vec<Payer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, payer: Payer) -> Option<Place<'_>> {
        let payer = match payer {
            Payer::Network(address) => Payer::Network(Network::of(address).address()),
            Payer::User(_) | Payer::Session(_) | Payer::Client(_) => payer,
        };
        let mut all = self.all();
        let of_one = all.iter().filter(|other| **other == payer).count();
        if all.len() >= MAX_WAITING || of_one >= MAX_OF_ONE {
            return None;
        }
        all.push(payer);
        Some(Place {
            waiting: self,
            payer,
        })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut all = self.waiting.all();
        if let Some(index) = all.iter().position(|other| *other == self.payer) {
            all.swap_remove(index);
        }
    }
}

/// Looks until something is found, for about two seconds at most.
pub(super) async fn wait_for<T, F>(
    payer: Payer,
    look: impl Fn() -> F,
) -> Result<Option<T>, InfraError>
where
    F: Future<Output = Result<Option<T>, InfraError>>,
{
    wait_within(&WAITING, payer, PAUSE, look).await
}

async fn wait_within<T, F>(
    waiting: &Waiting,
    payer: Payer,
    pause: Duration,
    look: impl Fn() -> F,
) -> Result<Option<T>, InfraError>
where
    F: Future<Output = Result<Option<T>, InfraError>>,
{
    if let Some(found) = look().await? {
        return Ok(Some(found));
    }
    let Some(_place) = waiting.enter(payer) else {
        return Ok(None);
    };
    for _ in 1..LOOKS {
        tokio::time::sleep(pause).await;
        if let Some(found) = look().await? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;
    use uuid::Uuid;

    use super::*;

    const SHORT: Duration = Duration::from_millis(1);

    /// Has answers for these users wait at once for what is never there, and returns how often all of them
    /// looked.
    async fn looks(users: impl Iterator<Item = u128>) -> usize {
        let waiting = Waiting::new();
        let looks = AtomicUsize::new(0);
        let look = || async {
            looks.fetch_add(1, Ordering::Relaxed);
            Ok(None::<()>)
        };
        let answers = users.map(|user| {
            let payer = Payer::User(Uuid::from_u128(user));
            wait_within(&waiting, payer, SHORT, look)
        });
        let found = join_all(answers).await;
        assert!(found.into_iter().all(|found| found.unwrap().is_none()));
        assert!(waiting.all().is_empty(), "none waits now");
        looks.into_inner()
    }

    #[tokio::test]
    async fn st_04_eight_answers_that_repeat_one_wait_and_the_others_look_once() {
        assert_eq!(looks(0..1).await, LOOKS);
        assert_eq!(looks(0..100).await, MAX_WAITING * LOOKS + 100 - MAX_WAITING);
    }

    #[tokio::test]
    async fn st_04_two_answers_of_a_user_wait_and_leave_space_for_others() {
        let one = std::iter::repeat_n(1, 50);
        let waiting = MAX_OF_ONE + 1;
        assert_eq!(looks(one.chain(2..3)).await, waiting * LOOKS + 51 - waiting);
    }

    #[test]
    fn st_04_the_addresses_of_an_ipv6_network_are_one() {
        let waiting = Waiting::new();
        let enter = |address: &str| waiting.enter(Payer::Network(address.parse().unwrap()));
        let _first = enter("2001:db8::1").unwrap();
        let second = enter("2001:db8::2").unwrap();
        assert!(enter("2001:db8::3").is_none());
        assert!(enter("2001:db8:0:1::1").is_some());
        drop(second);
        assert!(enter("2001:db8::3").is_some());
    }

    #[tokio::test]
    async fn st_04_a_second_answer_ends_its_wait_with_what_it_finds() {
        let waiting = Waiting::new();
        let looks = AtomicUsize::new(0);
        let look = || async {
            let before = looks.fetch_add(1, Ordering::Relaxed);
            Ok((before == 3).then_some(before))
        };
        let payer = Payer::User(Uuid::nil());
        let found = wait_within(&waiting, payer, SHORT, look).await;
        assert_eq!(found.unwrap(), Some(3));
        assert_eq!(looks.load(Ordering::Relaxed), 4);
    }
}
