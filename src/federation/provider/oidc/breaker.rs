//! The circuit breaker of one provider (UE-05): five failures in a row stop all calls for 30 s,
//! then one call is let through as a probe.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::clock::Time;

/// How many failures in a row open the breaker.
const MAX_FAILURES: u32 = 5;

/// How long the breaker stays open.
const OPEN_FOR: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<BreakerState>);

#[derive(Debug, Default)]
struct BreakerState {
    failures: u32,
    open_until: Option<Time>,
    probing: bool,
}

/// The permission to make one call. A permit that is dropped without an outcome, as when the client
/// disconnects, counts as neither success nor failure.
#[derive(Debug)]
pub(super) struct Permit<'a> {
    breaker: &'a Breaker,
    is_probe: bool,
}

impl Breaker {
    /// Returns a permit unless the breaker is open.
    pub(super) fn permit(&self, now: Time) -> Option<Permit<'_>> {
        let mut state = self.state();
        let is_probe = match state.open_until {
            None => false,
            Some(until) if now >= until && !state.probing => true,
            Some(_) => return None,
        };
        state.probing = is_probe;
        Some(Permit {
            breaker: self,
            is_probe,
        })
    }

    fn state(&self) -> MutexGuard<'_, BreakerState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit<'_> {
    /// Records that the provider responded, with whatever status.
    pub(super) fn succeeded(self) {
        *self.breaker.state() = BreakerState::default();
    }

    /// Records that the provider could not be reached.
    pub(super) fn failed(self, now: Time) {
        let mut state = self.breaker.state();
        state.failures = state.failures.saturating_add(1);
        if state.failures >= MAX_FAILURES {
            state.open_until = Some(now + OPEN_FOR);
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.is_probe {
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
            breaker.permit(at(0)).unwrap().failed(at(0));
        }
        breaker.permit(at(0)).unwrap().succeeded();
        for _ in 0..5 {
            breaker.permit(at(0)).unwrap().failed(at(0));
        }
        assert!(breaker.permit(at(29)).is_none(), "open");
        let probe = breaker.permit(at(30)).unwrap();
        assert!(breaker.permit(at(30)).is_none(), "one probe at a time");
        drop(probe);
        let probe = breaker.permit(at(30)).unwrap();
        probe.failed(at(31));
        assert!(breaker.permit(at(60)).is_none(), "open again");
        breaker.permit(at(61)).unwrap().succeeded();
        let both = (breaker.permit(at(61)), breaker.permit(at(61)));
        assert!(both.0.is_some() && both.1.is_some(), "closed");
    }
}
