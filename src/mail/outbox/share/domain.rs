//! How a recipient domain responds, as one worker knows it.
//!
//! Strangers choose recipients, so that a server which hangs for addresses that do not exist stalls as
//! often as they like. Only stalls of several recipients without a reply to any open the breaker, and
//! none do while the domain accepts emails. An email for a known person passes an open breaker, one
//! at a time.

use std::time::Duration;

use crate::clock::Time;

/// How many recipients that stall, without a reply to any, open the breaker of a domain.
pub(super) const MAX_STALLS: usize = 4;
/// How long a breaker stays open before an email probes.
pub(super) const OPEN_FOR: Duration = Duration::from_secs(30);
/// How long a stall counts.
pub(super) const STALL_COUNTS: Duration = Duration::from_secs(600);
/// How long an accepted email outweighs stalls.
pub(super) const ACCEPTANCE_COUNTS: Duration = Duration::from_secs(600);
/// How long an attempt keeps its slot while it waits for the recipient's server. Afterwards it may wait
/// beside the slots.
pub(super) const HOLDS_SLOT_FOR: Duration = Duration::from_millis(500);
/// How long an attempt may last before it counts as a stall of the domain.
const OVERDUE: Duration = Duration::from_secs(5);
/// How far back a failure of our mail server explains stalls: longer than the longest attempt.
const RELAY_EXPLAINS: Duration = Duration::from_secs(60);
/// How many recipients that stalled are remembered. Strangers choose them, so there is a limit.
const MAX_RECIPIENTS: usize = 64;

/// A recipient, by a number that is kept in place of the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Recipient {
    pub(super) number: u64,
    pub(super) is_known: bool,
}

/// What an email is worth, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tier {
    Slow,
    New,
    Usual,
    Known,
}

/// Which emails of a domain share a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Group {
    Stalled,
    Strangers,
    Known,
}

impl Group {
    pub(super) const fn of(tier: Tier, recipient: Recipient) -> Self {
        match (tier, recipient.is_known) {
            (Tier::Slow, _) => Self::Stalled,
            (_, true) => Self::Known,
            (_, false) => Self::Strangers,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Proven,
    New,
    Slow,
}

#[derive(Clone, Copy, Debug)]
struct Attempt {
    number: u64,
    recipient: Recipient,
    started: Time,
    tier: Tier,
    group: Group,
    /// When our mail server replied: what follows depends on the recipient's.
    relay_replied_at: Option<Time>,
}

impl Attempt {
    fn waits_for_recipient(&self, now: Time) -> bool {
        let waits_since = self.relay_replied_at;
        waits_since.is_some_and(|at| now.since(at) >= HOLDS_SLOT_FOR)
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct DomainState {
    attempts: Vec<Attempt>,
    accepted_at: Option<Time>,
    /// The recipients that stalled, and when, the latest last.
    stalled: Vec<(u64, Time)>,
    /// Those since the last reply to any recipient.
    stalled_in_a_row: Vec<u64>,
    open_until: Option<Time>,
    usual: Option<Duration>,
}

impl DomainState {
    pub(super) const fn in_flight(&self) -> usize {
        self.attempts.len()
    }

    pub(super) fn in_flight_of_tier(&self, tier: Tier) -> usize {
        self.attempts.iter().filter(|one| one.tier == tier).count()
    }

    /// How many attempts of a tier have waited long for the recipient's server.
    pub(super) fn waiting_of_tier(&self, tier: Tier, now: Time) -> usize {
        let of_tier = self.attempts.iter().filter(|one| one.tier == tier);
        of_tier.filter(|one| one.waits_for_recipient(now)).count()
    }

    /// How many attempts have waited long for the recipient's server, of those that are worth as much as one of this
    /// tier or more. For a known person those of strangers do not count.
    pub(super) fn waiting_beside(&self, tier: Tier, is_known: bool, now: Time) -> usize {
        let is_beside = |one: &&Attempt| one.tier >= tier && (one.recipient.is_known || !is_known);
        let beside = self.attempts.iter().filter(is_beside);
        beside.filter(|one| one.waits_for_recipient(now)).count()
    }

    /// Returns whether an attempt for this recipient has waited long for the server. An email for a known
    /// person does not wait for one that a stranger requested.
    pub(super) fn is_waiting_for(&self, recipient: Recipient, now: Time) -> bool {
        let is_before = |one: &Attempt| {
            one.recipient.number == recipient.number
                && (one.recipient.is_known || !recipient.is_known)
        };
        let mut attempts = self.attempts.iter();
        attempts.any(|one| is_before(one) && one.waits_for_recipient(now))
    }

    pub(super) fn in_flight_of_group(&self, group: Group) -> usize {
        let is_of_group = |one: &&Attempt| one.group == group;
        self.attempts.iter().filter(is_of_group).count()
    }

    pub(super) const fn was_proven(&self) -> bool {
        self.accepted_at.is_some()
    }

    pub(super) const fn usual(&self) -> Option<Duration> {
        self.usual
    }

    pub(super) const fn open_until(&self) -> Option<Time> {
        self.open_until
    }

    fn accepts(&self, now: Time) -> bool {
        let is_recent = |at: Time| now.since(at) < ACCEPTANCE_COUNTS;
        self.accepted_at.is_some_and(is_recent)
    }

    fn stalled_recently(&self, now: Time) -> bool {
        let last = self.stalled.last();
        last.is_some_and(|(_, at)| now.since(*at) < STALL_COUNTS)
    }

    /// Returns whether emails to the domain stall, or one has been under way for long.
    pub(super) fn is_stalling(&self, now: Time) -> bool {
        let is_overdue = |one: &Attempt| now.since(one.started) >= OVERDUE;
        self.stalled_recently(now) || self.attempts.iter().any(is_overdue)
    }

    /// Returns whether an attempt for this recipient stalled a short time ago.
    pub(super) fn has_stalled(&self, recipient: Recipient, now: Time) -> bool {
        let is_same = |(number, at): &(u64, Time)| {
            *number == recipient.number && now.since(*at) < STALL_COUNTS
        };
        self.stalled.iter().any(is_same)
    }

    fn standing(&self, now: Time) -> Standing {
        if self.accepts(now) {
            Standing::Proven
        } else if self.stalled_recently(now) {
            Standing::Slow
        } else if self.was_proven() {
            Standing::Proven
        } else {
            Standing::New
        }
    }

    pub(super) fn is_proven(&self, now: Time) -> bool {
        self.standing(now) == Standing::Proven
    }

    pub(super) fn tier(&self, recipient: Recipient, now: Time) -> Tier {
        if self.has_stalled(recipient, now) {
            return Tier::Slow;
        }
        match (self.standing(now), recipient.is_known) {
            (Standing::Proven, true) => Tier::Known,
            (Standing::Proven, false) | (_, true) => Tier::Usual,
            (Standing::New, false) => Tier::New,
            (Standing::Slow, false) => Tier::Slow,
        }
    }

    pub(super) fn begin(&mut self, number: u64, recipient: Recipient, now: Time) {
        let tier = self.tier(recipient, now);
        self.attempts.push(Attempt {
            number,
            recipient,
            started: now,
            tier,
            group: Group::of(tier, recipient),
            relay_replied_at: None,
        });
    }

    pub(super) fn note_relay_replied(&mut self, number: u64, now: Time) {
        let mut attempts = self.attempts.iter_mut();
        if let Some(attempt) = attempts.find(|one| one.number == number) {
            attempt.relay_replied_at = Some(now);
        }
    }

    pub(super) fn end(&mut self, number: u64) {
        self.attempts.retain(|one| one.number != number);
    }

    /// Notes a stall, and returns whether it opened the breaker.
    pub(super) fn stall(&mut self, recipient: Recipient, now: Time) -> bool {
        let number = recipient.number;
        self.stalled.retain(|(other, _)| *other != number);
        if self.stalled.len() >= MAX_RECIPIENTS {
            self.stalled.remove(0);
        }
        self.stalled.push((number, now));
        let is_counted = self.stalled_in_a_row.contains(&number);
        if !is_counted && self.stalled_in_a_row.len() < MAX_STALLS {
            self.stalled_in_a_row.push(number);
        }
        if self.stalled_in_a_row.len() < MAX_STALLS || self.accepts(now) {
            return false;
        }
        self.open_until.replace(now + OPEN_FOR).is_none()
    }

    /// Notes a reply, and returns whether the breaker was open. An accepted email, whose duration is
    /// given, outweighs the stalls before it.
    pub(super) fn answer(
        &mut self,
        recipient: Recipient,
        accepted: Option<Duration>,
        now: Time,
    ) -> bool {
        self.stalled_in_a_row.clear();
        if let Some(took) = accepted {
            self.accepted_at = Some(now);
            self.usual = Some(blend(self.usual, took));
            self.stalled
                .retain(|(number, _)| *number != recipient.number);
        }
        self.open_until.take().is_some()
    }

    /// Forgets what stalled a short time ago: our mail server did not work.
    pub(super) fn forget_stalls(&mut self, now: Time) {
        self.stalled
            .retain(|(_, at)| now.since(*at) >= RELAY_EXPLAINS);
        self.stalled_in_a_row.clear();
        self.open_until = None;
    }
}

/// Blends a duration into the usual one.
pub(super) fn blend(usual: Option<Duration>, took: Duration) -> Duration {
    usual.map_or(took, |usual| (usual * 7 + took) / 8)
}
