//! The slots while one look chooses among due emails: those of the attempts under way, and those that
//! were given so far.

use std::collections::HashMap;

use super::{
    domain::{DomainState, Group, Recipient, Tier},
    state::{DueEmail, SharesState, Space, TakenSlots},
};
use crate::clock::Time;

/// Which bound of a domain applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cap {
    Quarter,
    BeyondIfProven,
}

/// What an email waits for that got no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// The breaker of its domain is open until then.
    Until(Time),
    /// Another email ends first: the probe of its domain, or one for its recipient.
    ForAnotherEmail,
    ForSlot,
}

pub(super) struct Round<'a> {
    slots: usize,
    now: Time,
    state: &'a SharesState,
    unknown: DomainState,
    added: HashMap<(String, Group), usize>,
    taken: TakenSlots,
}

/// An email that may get a slot, and what is known of its domain and recipient.
struct Candidate<'a> {
    email: &'a DueEmail,
    domain: &'a DomainState,
    recipient: Recipient,
    tier: Tier,
    group: Group,
}

impl<'a> Round<'a> {
    pub(super) fn new(space: Space, state: &'a SharesState, now: Time) -> Self {
        Self {
            slots: space.slots,
            now,
            state,
            unknown: DomainState::default(),
            added: HashMap::new(),
            taken: state.taken_slots(space, now),
        }
    }

    /// Gives an email a slot, if it may have one.
    pub(super) fn take(&mut self, email: &DueEmail, cap: Cap) -> bool {
        let candidate = self.candidate(email);
        let (tier, group) = (candidate.tier, candidate.group);
        let taken = self.taken_by(&candidate, &[group]);
        let has_room = taken < self.most_of_domain(&candidate, cap) && self.has_room(tier);
        if !has_room || self.waits_for_another(&candidate) || self.is_held(&candidate) {
            return false;
        }
        self.taken.slow += usize::from(tier == Tier::Slow);
        self.taken.new += usize::from(tier == Tier::New);
        self.taken.usual += usize::from(tier == Tier::Usual);
        *self.added.entry((email.domain.clone(), group)).or_default() += 1;
        true
    }

    /// Returns what an email waits for that got no slot.
    pub(super) fn wait(&self, email: &DueEmail) -> Wait {
        let candidate = self.candidate(email);
        if let Some(until) = self.held_until(&candidate) {
            Wait::Until(until)
        } else if self.is_held(&candidate) || self.waits_for_another(&candidate) {
            Wait::ForAnotherEmail
        } else {
            Wait::ForSlot
        }
    }

    fn candidate<'b>(&'b self, email: &'b DueEmail) -> Candidate<'b> {
        let domain = self.state.domains.get(&email.domain);
        let domain = domain.unwrap_or(&self.unknown);
        let recipient = self.state.recipient(email);
        let tier = domain.tier(recipient, self.now);
        Candidate {
            email,
            domain,
            recipient,
            tier,
            group: Group::of(tier, recipient),
        }
    }

    /// Until when an email waits because the breaker of its domain is open. An email for a known
    /// person does not.
    fn held_until(&self, candidate: &Candidate<'_>) -> Option<Time> {
        let until = candidate.domain.open_until()?;
        (until > self.now && candidate.group != Group::Known).then_some(until)
    }

    /// Whether the breaker keeps an email from having a slot: it is open, or a probe is under way.
    fn is_held(&self, candidate: &Candidate<'_>) -> bool {
        let Some(until) = candidate.domain.open_until() else {
            return false;
        };
        match candidate.group {
            Group::Known => self.taken_by(candidate, &[Group::Known]) > 0,
            Group::Stalled | Group::Strangers => {
                let all = [Group::Known, Group::Stalled, Group::Strangers];
                until > self.now || self.taken_by(candidate, &all) > 0
            }
        }
    }

    /// Whether an email waits until another one for its recipient ends.
    fn waits_for_another(&self, candidate: &Candidate<'_>) -> bool {
        let recipient = candidate.recipient;
        candidate.domain.is_waiting_for(recipient, self.now)
    }

    /// How many slots these groups of the email's domain have.
    fn taken_by(&self, candidate: &Candidate<'_>, groups: &[Group]) -> usize {
        let of_group = |group: &Group| {
            let key = (candidate.email.domain.clone(), *group);
            let added = self.added.get(&key).copied().unwrap_or(0);
            candidate.domain.in_flight_of_group(*group) + added
        };
        groups.iter().map(of_group).sum()
    }

    /// How many slots the group of an email may have in its domain.
    fn most_of_domain(&self, candidate: &Candidate<'_>, cap: Cap) -> usize {
        let domain = candidate.domain;
        let is_beyond = cap == Cap::BeyondIfProven && domain.is_proven(self.now);
        match candidate.group {
            Group::Known if is_beyond => self.part(3),
            Group::Strangers if is_beyond && domain.is_stalling(self.now) => self.part(2),
            Group::Strangers if is_beyond => self.part(3),
            Group::Known | Group::Strangers | Group::Stalled => self.part(1),
        }
    }

    /// Whether a tier leaves the next ones their quarters.
    fn has_room(&self, tier: Tier) -> bool {
        let TakenSlots {
            slow, new, usual, ..
        } = self.taken;
        let is_below_half = slow + new < self.part(2);
        let leaves_a_quarter = slow + new + usual < self.part(3);
        match tier {
            Tier::Slow => slow < self.part(1) && is_below_half && leaves_a_quarter,
            Tier::New => is_below_half && leaves_a_quarter,
            Tier::Usual => leaves_a_quarter,
            Tier::Known => true,
        }
    }

    /// Returns so many quarters of the slots, at least one slot.
    fn part(&self, quarters: usize) -> usize {
        (self.slots * quarters / 4).max(1)
    }
}
