//! What a worker remembers of domains and of our mail server.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher as _,
    time::Duration,
};

use uuid::Uuid;

use super::{
    domain::{DomainState, Recipient, Tier},
    relay::Relay,
};
use crate::clock::Time;

/// How many domains are remembered. Strangers choose the domains, so there is a limit.
pub(super) const MAX_DOMAINS: usize = 4096;
/// How many times the usual duration the server may take for a recipient at a first attempt.
const TIMES_USUAL: u32 = 8;
/// The least that it may take, and the least while the domain stalls or many attempts wait. What needs longer has all
/// of the time-out at its next attempt, in the tier of slow emails.
pub(super) const LEAST_PATIENCE: Duration = Duration::from_secs(5);
pub(super) const LEAST_PATIENCE_STALLING: Duration = Duration::from_secs(2);
/// The most that it may take while many attempts wait, unless twice the usual duration of all domains is
/// more.
pub(super) const MOST_PATIENCE_CROWDED: Duration = Duration::from_secs(5);

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

/// How many slots a worker has, and how many places beside them for attempts that wait for the server of
/// their recipient.
#[derive(Clone, Copy, Debug)]
pub(super) struct Space {
    pub(super) slots: usize,
    pub(super) waiting: usize,
}

/// How many slots the attempts of each tier have taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TakenSlots {
    pub(super) slow: usize,
    pub(super) new: usize,
    pub(super) usual: usize,
    known: usize,
}

impl TakenSlots {
    pub(super) const fn total(self) -> usize {
        self.slow + self.new + self.usual + self.known
    }
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

    /// Returns how many slots the attempts of each tier hold. An attempt that waits for the server of
    /// its recipient holds a place beside the slots instead, while its tier has one left: new domains and
    /// usual emails have a quarter of the places each, known recipients have the rest, and slow emails
    /// have none.
    pub(super) fn taken_slots(&self, space: Space, now: Time) -> TakenSlots {
        let slots_and_places = |tier, most: usize| {
            let domains = self.domains.values();
            let (all, waiting) = domains.fold((0, 0), |(all, waiting), domain| {
                let of_domain = domain.waiting_of_tier(tier, now);
                (all + domain.in_flight_of_tier(tier), waiting + of_domain)
            });
            let places = waiting.min(most);
            (all - places, places)
        };
        let (slow, _) = slots_and_places(Tier::Slow, 0);
        let (new, of_new) = slots_and_places(Tier::New, space.waiting / 4);
        let (usual, of_usual) = slots_and_places(Tier::Usual, space.waiting / 4);
        let (known, _) = slots_and_places(Tier::Known, space.waiting - of_new - of_usual);
        TakenSlots {
            slow,
            new,
            usual,
            known,
        }
    }

    /// Returns whether attempts that wait for the servers of their recipients would fill half of the slots,
    /// without those that are worth less than this tier or, for a known person, a stranger's.
    fn is_crowded(&self, tier: Tier, is_known: bool, space: Space, now: Time) -> bool {
        let of_domain = |domain: &DomainState| domain.waiting_beside(tier, is_known, now);
        let waiting: usize = self.domains.values().map(of_domain).sum();
        waiting > 0 && waiting >= space.slots / 2
    }

    /// Returns how long the server may take for the recipient, if less than the time-out: at a first
    /// attempt, so much more than usual, and less where the domain stalls or many attempts wait.
    pub(super) fn patience(
        &self,
        email: &DueEmail,
        recipient: Recipient,
        space: Space,
        now: Time,
    ) -> Option<Duration> {
        let state = self.domains.get(&email.domain)?;
        let usual = state.usual().or(self.usual)?;
        if email.is_retry || state.has_stalled(recipient, now) {
            return None;
        }
        let tier = state.tier(recipient, now);
        let is_crowded = self.is_crowded(tier, recipient.is_known, space, now);
        let least = if is_crowded || state.is_stalling(now) {
            LEAST_PATIENCE_STALLING
        } else {
            LEAST_PATIENCE
        };
        let patience = (usual * TIMES_USUAL).max(least);
        if !is_crowded {
            return Some(patience);
        }
        let of_all = self.usual.unwrap_or(usual);
        Some(patience.min((of_all * 2).max(MOST_PATIENCE_CROWDED)))
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
