//! What a worker knows of one client: how many requests to it are under way, and whether it responds
//! (LO-9).

use std::time::Duration;

use crate::clock::Time;

/// How many requests to one client are under way at most.
pub(super) const MAX_OF_CLIENT: usize = 2;

/// How many failures in a row show that a client is down.
const MAX_FAILURES: u32 = 5;

/// How long a client that is down is left alone before the next probe.
const PROBE_EVERY: Duration = Duration::from_secs(30);

/// The state of one client.
#[derive(Clone, Debug, Default)]
pub(super) struct ClientState {
    in_flight: usize,
    /// Failures since the last success.
    failures: u32,
    probe_at: Option<Time>,
}

impl ClientState {
    /// Returns how many more requests may begin now.
    pub(super) fn places(&self, now: Time) -> usize {
        match self.probe_at {
            None => MAX_OF_CLIENT.saturating_sub(self.in_flight),
            Some(at) if now >= at && self.in_flight == 0 => 1,
            Some(_) => 0,
        }
    }

    pub(super) const fn is_down(&self) -> bool {
        self.probe_at.is_some()
    }

    /// Whether nothing is to be remembered.
    pub(super) const fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.failures == 0
    }

    pub(super) const fn begin(&mut self) {
        self.in_flight += 1;
    }

    /// Records that a request ended, and whether the client took it.
    pub(super) fn end(&mut self, is_delivered: bool, now: Time) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if is_delivered {
            (self.failures, self.probe_at) = (0, None);
            return;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures >= MAX_FAILURES {
            self.probe_at = Some(now + PROBE_EVERY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lo_9_a_client_gets_two_requests_at_once() {
        let mut client = ClientState::default();
        assert_eq!(client.places(Time(0)), 2);
        client.begin();
        assert_eq!(client.places(Time(0)), 1);
        client.begin();
        assert_eq!(client.places(Time(0)), 0);
        client.end(true, Time(0));
        assert_eq!(client.places(Time(0)), 1);
        assert!(!client.is_idle());
        client.end(true, Time(0));
        assert!(client.is_idle());
    }

    #[test]
    fn lo_9_after_five_failures_there_is_one_probe_in_half_a_minute() {
        let mut client = ClientState::default();
        for failures in 0..5 {
            assert!(!client.is_down(), "{failures}");
            client.begin();
            client.end(false, Time(1_000));
        }
        assert!(client.is_down());
        assert_eq!(client.places(Time(30_999)), 0);
        assert_eq!(client.places(Time(31_000)), 1);
        client.begin();
        assert_eq!(client.places(Time(31_000)), 0, "one at a time");
        client.end(false, Time(32_000));
        assert_eq!(client.places(Time(61_999)), 0);
        client.begin();
        client.end(true, Time(62_000));
        assert_eq!((client.places(Time(62_000)), client.is_down()), (2, false));
    }

    #[test]
    fn lo_9_one_success_forgets_the_failures_before_it() {
        let mut client = ClientState::default();
        for is_delivered in [false, false, false, false, true, false, false, false, false] {
            client.begin();
            client.end(is_delivered, Time(0));
        }
        assert!(!client.is_down());
    }
}
