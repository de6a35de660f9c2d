//! The one source of the time, so that a test can move it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

pub use entity::Time;

/// The wall clock in UTC, with a shift that only tests use. Clones share the shift.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    shift: Arc<AtomicI64>,
}

impl Clock {
    #[must_use]
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place that reads the clock of the operating system"
    )]
    pub fn now(&self) -> Time {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let millis = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        Time(millis.saturating_add(self.shift.load(Ordering::Relaxed)))
    }

    /// Moves this clock and all its clones forward, for tests.
    pub fn advance(&self, by: Duration) {
        self.shift.fetch_add(
            i64::try_from(by.as_millis()).unwrap_or(i64::MAX),
            Ordering::Relaxed,
        );
    }
}
