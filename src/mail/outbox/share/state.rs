//! What a worker remembers of domains and of our mail server.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher as _,
    time::Duration,
};

use uuid::Uuid;

use super::{
    domain::{DomainState, Recipient},
    relay::Relay,
};
use crate::clock::Time;

/// How many domains are remembered. Strangers choose the domains, so there is a limit.
pub(super) const MAX_DOMAINS: usize = 4096;
/// How many times the usual duration the server may take for a recipient at a first attempt.
const TIMES_USUAL: u32 = 8;
/// The least that it may take, and the least while the domain stalls. What needs longer has all of
/// the time-out at its next attempt, in the tier of slow emails.
pub(super) const LEAST_PATIENCE: Duration = Duration::from_secs(5);
pub(super) const LEAST_PATIENCE_STALLING: Duration = Duration::from_secs(2);

/// An email that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DueEmail {
    pub(crate) id: Uuid,
    pub(crate) domain: String,
    pub(crate) canonical: String,
    /// The network of the request.
    pub(crate) network: String,
    /// An attempt failed because of its recipient.
    pub(crate) is_retry: bool,
    /// The ceiling has held it.
    pub(crate) is_held: bool,
    /// It is for a person who is known here.
    pub(crate) is_known: bool,
    pub(crate) give_up_at: Time,
}

#[derive(Debug, Default)]
pub(super) struct SharesState {
    pub(super) domains: HashMap<String, DomainState>,
    pub(super) relay: Relay,
    /// The usual duration of an attempt that was accepted.
    pub(super) usual: Option<Duration>,
    pub(super) attempts: u64,
    recipients: RandomState,
}

impl SharesState {
    pub(super) fn recipient(&self, email: &DueEmail) -> Recipient {
        Recipient {
            number: self.recipients.hash_one(&email.canonical),
            is_known: email.is_known,
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.domains.values().map(DomainState::in_flight).sum()
    }

    pub(super) fn patience(
        &self,
        email: &DueEmail,
        recipient: Recipient,
        now: Time,
    ) -> Option<Duration> {
        let state = self.domains.get(&email.domain)?;
        let usual = state.usual().or(self.usual)?;
        let least = if state.is_stalling(now) {
            LEAST_PATIENCE_STALLING
        } else {
            LEAST_PATIENCE
        };
        let is_first = !email.is_retry && !state.has_stalled(recipient, now);
        is_first.then(|| (usual * TIMES_USUAL).max(least))
    }

    pub(super) fn make_space(&mut self) {
        if self.domains.len() < MAX_DOMAINS {
            return;
        }
        // Proven domains are forgotten last: an attack with new ones must not demote them.
        self.domains
            .retain(|_, state| state.in_flight() > 0 || state.was_proven());
        if self.domains.len() >= MAX_DOMAINS {
            self.domains.retain(|_, state| state.in_flight() > 0);
        }
    }
}
