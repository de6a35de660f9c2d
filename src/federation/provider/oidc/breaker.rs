//! A provider that cannot be reached is left alone for a while (UE-05): five failures in a row open the breaker for 30 s,
//! then one request goes through as a probe.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::clock::Time;

/// So many failures in a row open it.
const FAILURES: u32 = 5;

/// It stays open for so long.
const OPEN: Duration = Duration::from_secs(30);

/// Counts the failures of one provider.
#[derive(Debug, Default)]
pub(crate) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    open_until: Option<Time>,
    probing: bool,
}

/// Leave to send one request. Dropped without a word, as when the caller hangs up, it counts as nothing.
#[derive(Debug)]
pub(crate) struct Leave<'a> {
    breaker: &'a Breaker,
    probe: bool,
}

impl Breaker {
    /// Leave to send a request, unless it is open.
    pub(crate) fn leave(&self, now: Time) -> Option<Leave<'_>> {
        let mut state = self.state();
        let probe = match state.open_until {
            None => false,
            Some(until) if now >= until && !state.probing => true,
            Some(_) => return None,
        };
        state.probing = probe;
        Some(Leave {
            breaker: self,
            probe,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leave<'_> {
    /// The provider answered, whatever it was.
    pub(crate) fn answered(self) {
        *self.breaker.state() = State::default();
    }

    /// It could not be reached.
    pub(crate) fn failed(self, now: Time) {
        let mut state = self.breaker.state();
        state.failures = state.failures.saturating_add(1);
        if state.failures >= FAILURES {
            state.open_until = Some(now + OPEN);
        }
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if self.probe {
            self.breaker.state().probing = false;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ue_05_five_failures_open_it_for_30_seconds_then_one_probe() {
        let breaker = Breaker::default();
        let at = |seconds| Time::from_seconds(seconds);
        for _ in 0..4 {
            breaker.leave(at(0)).unwrap().failed(at(0));
        }
        breaker.leave(at(0)).unwrap().answered();
        for _ in 0..5 {
            breaker.leave(at(0)).unwrap().failed(at(0));
        }
        assert!(breaker.leave(at(29)).is_none(), "open");
        let probe = breaker.leave(at(30)).unwrap();
        assert!(breaker.leave(at(30)).is_none(), "one probe at a time");
        drop(probe);
        let probe = breaker.leave(at(30)).unwrap();
        probe.failed(at(31));
        assert!(breaker.leave(at(60)).is_none(), "open again");
        breaker.leave(at(61)).unwrap().answered();
        let both = (breaker.leave(at(61)), breaker.leave(at(61)));
        assert!(both.0.is_some() && both.1.is_some(), "closed");
    }
}
