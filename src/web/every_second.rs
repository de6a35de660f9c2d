//! A count that takes one line of the log a second, however often it rises: any number of strangers
//! can cause what it counts.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How long is counted before the line is written.
const PAUSE: Duration = Duration::from_secs(1);

/// What was counted since the last line. Clones share it.
pub struct EverySecond<T> {
    counted: Arc<Mutex<Option<T>>>,
    write: fn(T),
}

impl<T> Clone for EverySecond<T> {
    fn clone(&self) -> Self {
        Self {
            counted: Arc::clone(&self.counted),
            write: self.write,
        }
    }
}

impl<T> fmt::Debug for EverySecond<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EverySecond").finish_non_exhaustive()
    }
}

impl<T: Default + Send + 'static> EverySecond<T> {
    /// Returns an empty count, of which `write` writes the line.
    #[must_use]
    pub fn new(write: fn(T)) -> Self {
        Self {
            counted: Arc::default(),
            write,
        }
    }

    /// Adds to the count. The first addition of a second begins the line that counts the others, too.
    pub fn add(&self, add: impl FnOnce(&mut T)) {
        let is_first = {
            let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
            let is_first = counted.is_none();
            add(counted.get_or_insert_with(T::default));
            is_first
        };
        if is_first {
            let (counted, write) = (Arc::clone(&self.counted), self.write);
            tokio::spawn(async move {
                tokio::time::sleep(PAUSE).await;
                let counted = counted
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .take();
                if let Some(counted) = counted {
                    write(counted);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn all_that_is_counted_in_a_second_takes_one_line() {
        static LINES: AtomicUsize = AtomicUsize::new(0);
        static SUM: AtomicUsize = AtomicUsize::new(0);
        let count = EverySecond::<usize>::new(|sum| {
            LINES.fetch_add(1, Ordering::Relaxed);
            SUM.fetch_add(sum, Ordering::Relaxed);
        });
        for _ in 0..2 {
            for _ in 0..1_000 {
                count.add(|sum| *sum += 1);
            }
            tokio::time::sleep(PAUSE + PAUSE / 4).await;
        }
        let written = (LINES.load(Ordering::Relaxed), SUM.load(Ordering::Relaxed));
        assert_eq!(written, (2, 2_000));
    }
}
