//! The circuit breaker of our own mail server. A failure before it knows the recipient says nothing of
//! any domain: all emails wait, and one of them probes every few seconds (OA-7).

use std::time::Duration;

use crate::clock::Time;

/// How many failures in a row open the breaker.
pub(super) const MAX_FAILURES: u32 = 4;
/// How long it stays open before an email probes, and how long after one the next probes.
pub(super) const OPEN_FOR: Duration = Duration::from_secs(5);

/// What is known of the mail server.
#[derive(Debug, Default)]
pub(super) struct Relay {
    failures: u32,
    open_until: Option<Time>,
    /// When the breaker closed.
    recovered_at: Option<Time>,
}

impl Relay {
    /// Returns how many of the free slots may be used.
    pub(super) fn usable(&self, free: usize, now: Time) -> usize {
        match self.open_until {
            None => free,
            Some(until) => free.min(usize::from(until <= now)),
        }
    }

    /// Returns the same while too many attempts wait for the mail server to send another probe.
    pub(super) const fn usable_without_probe(&self, free: usize) -> usize {
        if self.open_until.is_some() { 0 } else { free }
    }

    /// Notes that an attempt starts: while the breaker is open it is a probe.
    pub(super) fn note_attempt(&mut self, now: Time) {
        if let Some(until) = &mut self.open_until {
            *until = now + OPEN_FOR;
        }
    }

    /// Returns whether a failure explains that an attempt which began then did not end well: the
    /// breaker is open, or closed since.
    pub(super) fn explains(&self, started: Time) -> bool {
        self.open_until.is_some() || self.recovered_at.is_some_and(|at| started < at)
    }

    /// Notes the failure of an attempt that began then, and returns whether it opened the breaker.
    pub(super) fn fail(&mut self, started: Time, now: Time) -> bool {
        if self.recovered_at.is_some_and(|at| started < at) {
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures < MAX_FAILURES {
            return false;
        }
        let is_opened = self.open_until.is_none();
        self.open_until = Some(now + OPEN_FOR);
        is_opened
    }

    /// Notes that the mail server works, and returns whether the breaker was open.
    pub(super) fn works(&mut self, now: Time) -> bool {
        self.failures = 0;
        let was_open = self.open_until.take().is_some();
        if was_open {
            self.recovered_at = Some(now);
        }
        was_open
    }
}
