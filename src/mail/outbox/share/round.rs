//! The slots while one look chooses among due emails: those of the attempts under way, and those that
//! were given so far.

use std::collections::HashMap;

use super::{
    domain::{DomainState, Group, Tier},
    state::{DueEmail, HeldSlots, SharesState, Space},
};
use crate::clock::Time;

/// Which bound of a domain applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cap {
    Quarter,
    BeyondIfProven,
}

pub(super) struct Round<'a> {
    slots: usize,
    now: Time,
    state: &'a SharesState,
    unknown: DomainState,
    added: HashMap<(String, Group), usize>,
    held: HeldSlots,
}

impl<'a> Round<'a> {
    pub(super) fn new(space: Space, state: &'a SharesState, now: Time) -> Self {
        Self {
            slots: space.slots,
            now,
            state,
            unknown: DomainState::default(),
            added: HashMap::new(),
            held: state.held(space, now),
        }
    }

    /// Gives an email a slot, if it may have one.
    pub(super) fn take(&mut self, email: &DueEmail, cap: Cap) -> bool {
        let domain = self.domain(email);
        let recipient = self.state.recipient(email);
        let tier = domain.tier(recipient, self.now);
        let group = Group::of(tier, recipient);
        let held = domain.in_flight_of_group(group) + self.added(email, group);
        let has_room = held < self.most_of_domain(domain, group, cap) && self.has_room(tier);
        let must_wait = self.waits_for_recipient(email) || self.is_held(email);
        if !has_room || must_wait {
            return false;
        }
        self.held.slow += usize::from(tier == Tier::Slow);
        self.held.new += usize::from(tier == Tier::New);
        self.held.usual += usize::from(tier == Tier::Usual);
        *self.added.entry((email.domain.clone(), group)).or_default() += 1;
        true
    }

    /// Until when an email waits because the breaker of its domain is open. An email for a known
    /// person does not.
    pub(super) fn held_until(&self, email: &DueEmail) -> Option<Time> {
        let until = self.domain(email).open_until()?;
        (until > self.now && self.group(email) != Group::Known).then_some(until)
    }

    /// Whether the breaker keeps an email from having a slot: it is open, or a probe is under way.
    pub(super) fn is_held(&self, email: &DueEmail) -> bool {
        let domain = self.domain(email);
        let Some(until) = domain.open_until() else {
            return false;
        };
        match self.group(email) {
            Group::Known => self.held(email, &[Group::Known]) > 0,
            Group::Stalled | Group::Strangers => {
                let all = [Group::Known, Group::Stalled, Group::Strangers];
                until > self.now || self.held(email, &all) > 0
            }
        }
    }

    /// Whether an email waits until another one for its recipient ends.
    pub(super) fn waits_for_recipient(&self, email: &DueEmail) -> bool {
        let recipient = self.state.recipient(email);
        self.domain(email).is_waiting_for(recipient, self.now)
    }

    fn domain(&self, email: &DueEmail) -> &DomainState {
        let domain = self.state.domains.get(&email.domain);
        domain.unwrap_or(&self.unknown)
    }

    fn group(&self, email: &DueEmail) -> Group {
        let recipient = self.state.recipient(email);
        Group::of(self.domain(email).tier(recipient, self.now), recipient)
    }

    fn added(&self, email: &DueEmail, group: Group) -> usize {
        let key = (email.domain.clone(), group);
        self.added.get(&key).copied().unwrap_or(0)
    }

    /// How many slots these groups of the email's domain have.
    fn held(&self, email: &DueEmail, groups: &[Group]) -> usize {
        let domain = self.domain(email);
        let of_group =
            |group: &Group| domain.in_flight_of_group(*group) + self.added(email, *group);
        groups.iter().map(of_group).sum()
    }

    /// How many slots a group of a domain may have.
    fn most_of_domain(&self, domain: &DomainState, group: Group, cap: Cap) -> usize {
        let is_beyond = cap == Cap::BeyondIfProven && domain.is_proven(self.now);
        match group {
            Group::Known if is_beyond => self.part(3),
            Group::Strangers if is_beyond && domain.is_stalling(self.now) => self.part(2),
            Group::Strangers if is_beyond => self.part(3),
            Group::Known | Group::Strangers | Group::Stalled => self.part(1),
        }
    }

    /// Whether a tier leaves the next ones their quarters.
    fn has_room(&self, tier: Tier) -> bool {
        let HeldSlots {
            slow, new, usual, ..
        } = self.held;
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
