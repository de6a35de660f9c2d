//! The second of two equal answers waits for what the first is about to commit (ST-04): the browser shows
//! the second response alone.
//!
//! It looks several times, and holds the slot of its lane meanwhile. So a few wait at once in a process, and
//! those beyond look once.

use std::time::Duration;

use tokio::sync::Semaphore;

use crate::error::InfraError;

/// How often an answer looks.
const LOOKS: usize = 20;

/// How long it waits between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// How many wait at once: half of the slots that the quick lane has where it has fewest by default.
const MAX_WAITING: usize = 8;

/// The answers of this process that wait.
static WAITING: Semaphore = Semaphore::const_new(MAX_WAITING);

/// Looks until something is found, for two seconds at most.
pub(super) async fn wait_for<T, F>(look: impl Fn() -> F) -> Result<Option<T>, InfraError>
where
    F: Future<Output = Result<Option<T>, InfraError>>,
{
    wait_within(&WAITING, PAUSE, look).await
}

async fn wait_within<T, F>(
    waiting: &Semaphore,
    pause: Duration,
    look: impl Fn() -> F,
) -> Result<Option<T>, InfraError>
where
    F: Future<Output = Result<Option<T>, InfraError>>,
{
    if let Some(found) = look().await? {
        return Ok(Some(found));
    }
    let Ok(_waiting) = waiting.try_acquire() else {
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

    use super::*;

    const SHORT: Duration = Duration::from_millis(1);

    /// Has so many wait at once for what is never there, and returns how often all of them looked.
    async fn looks(answers: usize) -> usize {
        let waiting = Semaphore::new(MAX_WAITING);
        let looks = AtomicUsize::new(0);
        let look = || async {
            looks.fetch_add(1, Ordering::Relaxed);
            Ok(None::<()>)
        };
        let found = join_all((0..answers).map(|_| wait_within(&waiting, SHORT, look))).await;
        assert!(found.into_iter().all(|found| found.unwrap().is_none()));
        assert_eq!(waiting.available_permits(), MAX_WAITING, "none waits now");
        looks.into_inner()
    }

    #[tokio::test]
    async fn st_04_eight_second_answers_wait_and_the_others_look_once() {
        assert_eq!(looks(1).await, LOOKS);
        assert_eq!(looks(100).await, MAX_WAITING * LOOKS + 100 - MAX_WAITING);
    }

    #[tokio::test]
    async fn st_04_a_second_answer_ends_its_wait_with_what_it_finds() {
        let waiting = Semaphore::new(1);
        let looks = AtomicUsize::new(0);
        let look = || async {
            let before = looks.fetch_add(1, Ordering::Relaxed);
            Ok((before == 3).then_some(before))
        };
        assert_eq!(wait_within(&waiting, SHORT, look).await.unwrap(), Some(3));
        assert_eq!(looks.load(Ordering::Relaxed), 4);
    }
}
