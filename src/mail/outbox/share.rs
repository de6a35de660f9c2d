//! How a worker shares its slots among recipients, so that a mail server that hangs delays only what
//! is addressed to it (OA-7). Everything here is in memory and belongs to one worker.
//!
//! A domain is *proven* while it accepted an email a short time ago, or accepted one before and stalled none
//! lately; *slow* if it stalled a short time ago; and *new* otherwise. An email for a person who is
//! known here (a known device requested it, or its address has an account) is worth more than one for
//! an address that a stranger may have made up. Each tier leaves a quarter of the slots to the next:
//!
//! | tier | holds emails | with the tiers above, at most |
//! |---|---|---|
//! | slow | to a recipient that stalled a short time ago; for strangers at a slow domain | a quarter |
//! | new | for strangers at a new domain | half |
//! | usual | for strangers at a proven domain; for known people at another | three quarters |
//! | known | for known people at a proven domain | all |
//!
//! Within its tier a domain has a quarter, and beyond it what others leave if it is proven: up to
//! three quarters, or half for strangers while it stalls.
//!
//! An attempt that has waited for the server of its recipient for half a second gives its slot back and
//! waits in a place beside the slots, while there are some: the tiers *new* and *usual* have a quarter of
//! them each, and slow emails have none. Until it ends no other email for its recipient is tried, but one for
//! a known person does not wait for a stranger's. So users with domains of their own that do not respond
//! hold connections, and not the slots of others. While many wait, first attempts that are worth no more
//! have less time.
//!
//! - `domain` knows how a domain responds, and when its circuit breaker opens.
//! - `relay` is the circuit breaker of our own mail server, which serves all domains.
//! - `state` is what a worker remembers; `round` counts the slots while one look chooses.

mod domain;
mod relay;
mod round;
mod state;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use uuid::Uuid;

pub(super) use self::state::DueEmail;
use self::{
    domain::Recipient,
    round::{Cap, Round, Wait},
    state::{SharesState, Space},
};
use crate::{
    clock::{Clock, Time},
    mail::{AttemptContext, DeliveryAttempt, DeliveryOutcome, Observation},
    telemetry::metrics,
};

/// What to do with the emails that are due.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Choice {
    /// The emails to try now.
    pub(super) picked: Vec<DueEmail>,
    /// The emails that wait because the breaker of their domain is open, and until when.
    pub(super) held: BTreeMap<Time, Vec<Uuid>>,
    /// Whether an email is left for which only a slot is missing.
    pub(super) is_more_waiting: bool,
}

/// What the outcome of an attempt means for other emails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consequence {
    None,
    /// The breaker of the domain closed: its emails need not wait any more.
    DomainResponds,
}

/// The slots of one worker. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Shares {
    space: Space,
    clock: Clock,
    state: Arc<Mutex<SharesState>>,
}

/// A slot that an attempt holds. Dropping it releases the slot.
#[derive(Debug)]
pub(super) struct Slot {
    shares: Shares,
    domain: String,
    recipient: Recipient,
    number: u64,
    started: Time,
    patience: Option<Duration>,
}

impl Shares {
    /// `waiting` is the number of places beside the slots.
    pub(super) fn new(slots: usize, waiting: usize, clock: Clock) -> Self {
        let slots = slots.max(1);
        Self {
            space: Space { slots, waiting },
            clock,
            state: Arc::default(),
        }
    }

    /// How many slots there are.
    pub(super) const fn slots(&self) -> usize {
        self.space.slots
    }

    /// Returns how many of the free slots may be used, by the breaker of our mail server: all while
    /// it works, none while it does not, and one for an email that probes, while less than half are taken.
    pub(super) fn usable(&self, free: usize) -> usize {
        let now = self.clock.now();
        let state = self.state();
        if state.taken_slots(self.space, now).total() < (self.space.slots / 2).max(1) {
            state.relay.usable(free, now)
        } else {
            state.relay.usable_without_probe(free)
        }
    }

    /// Returns whether emails to a domain stall: then known people's must not wait behind others.
    pub(super) fn is_stalling(&self, domain: &str) -> bool {
        let now = self.clock.now();
        let state = self.state();
        let domain = state.domains.get(domain);
        domain.is_some_and(|domain| domain.is_stalling(now))
    }

    /// Chooses among due emails, given in their order of precedence, at most `free`: first within a
    /// quarter of the slots for each domain, then what proven domains may have beyond it.
    pub(super) fn choose(&self, due: &[DueEmail], free: usize) -> Choice {
        let state = self.state();
        let mut round = Round::new(self.space, &state, self.clock.now());
        let mut choice = Choice::default();
        let mut left: Vec<&DueEmail> = due.iter().collect();
        for cap in [Cap::Quarter, Cap::BeyondIfProven] {
            left.retain(|email| {
                let is_picked = choice.picked.len() < free && round.take(email, cap);
                if is_picked {
                    choice.picked.push((*email).clone());
                }
                !is_picked
            });
        }
        for email in left {
            match round.wait(email) {
                Wait::Until(until) => choice.held.entry(until).or_default().push(email.id),
                Wait::ForAnotherEmail => {}
                Wait::ForSlot => choice.is_more_waiting = true,
            }
        }
        choice
    }

    /// Returns how many slots are free.
    pub(super) fn free(&self) -> usize {
        let taken = self.state().taken_slots(self.space, self.clock.now());
        self.space.slots.saturating_sub(taken.total())
    }

    /// Takes a slot for an email for which nothing has to wait: our mail server works, a slot is free,
    /// and the email may have it.
    pub(super) fn take_if_free(&self, email: &DueEmail) -> Option<Slot> {
        let free = self.free();
        let usable = self.state().relay.usable_without_probe(free);
        let choice = self.choose(std::slice::from_ref(email), usable);
        (!choice.picked.is_empty()).then(|| self.take(email))
    }

    /// Takes a slot for an attempt that starts.
    pub(super) fn take(&self, email: &DueEmail) -> Slot {
        let now = self.clock.now();
        let mut state = self.state();
        if !state.domains.contains_key(&email.domain) {
            state.make_space();
        }
        let recipient = state.recipient(email);
        state.attempts += 1;
        let number = state.attempts;
        state.relay.note_attempt(now);
        let domain = state.domains.entry(email.domain.clone()).or_default();
        domain.begin(number, recipient, now);
        let patience = state.patience(email, recipient, self.space, now);
        drop(state);
        Slot {
            shares: self.clone(),
            domain: email.domain.clone(),
            recipient,
            number,
            started: now,
            patience,
        }
    }

    fn state(&self) -> MutexGuard<'_, SharesState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Records how an attempt ended, and how long it took.
    pub(super) fn record(&self, attempt: &DeliveryAttempt, took: Duration) -> Consequence {
        match attempt.observation {
            Observation::Nothing => {}
            Observation::RelayFailed => self.record_relay_failure(&attempt.class),
            Observation::RecipientStalled => self.record_stall(),
            Observation::RecipientAnswered => {
                let is_accepted = attempt.outcome == DeliveryOutcome::Accepted;
                return self.record_answer(is_accepted.then_some(took));
            }
        }
        Consequence::None
    }

    fn record_relay_failure(&self, class: &str) {
        let now = self.shares.clock.now();
        let mut state = self.shares.state();
        if !state.relay.fail(self.started, now) {
            return;
        }
        // What stalled meanwhile stalled because of the mail server, and not of a domain.
        for domain in state.domains.values_mut() {
            domain.forget_stalls(now);
        }
        drop(state);
        metrics::mail_relay_held();
        tracing::warn!(
            class,
            "emails wait: the mail server does not respond before it knows a recipient"
        );
    }

    fn record_stall(&self) {
        let now = self.shares.clock.now();
        let mut state = self.shares.state();
        if state.relay.explains(self.started) {
            return;
        }
        let Some(domain) = state.domains.get_mut(&self.domain) else {
            return;
        };
        let is_opened = domain.stall(self.recipient, now);
        drop(state);
        if is_opened {
            metrics::mail_domain_held();
            tracing::warn!(
                domain = self.domain,
                recipients = domain::MAX_STALLS,
                seconds = domain::OPEN_FOR.as_secs(),
                "emails to a domain wait: the server does not respond for it"
            );
        }
    }

    /// Records a reply, and the duration of an attempt that was accepted.
    fn record_answer(&self, accepted: Option<Duration>) -> Consequence {
        let now = self.shares.clock.now();
        let mut state = self.shares.state();
        if let Some(took) = accepted {
            state.usual = Some(domain::blend(state.usual, took));
        }
        let Some(domain) = state.domains.get_mut(&self.domain) else {
            return Consequence::None;
        };
        let was_open = domain.answer(self.recipient, accepted, now);
        drop(state);
        if !was_open {
            return Consequence::None;
        }
        tracing::info!(
            domain = self.domain,
            "the server responds for a domain again"
        );
        Consequence::DomainResponds
    }
}

impl AttemptContext for Slot {
    fn patience(&self) -> Option<Duration> {
        self.patience
    }

    fn note_relay_works(&self) {
        let now = self.shares.clock.now();
        let mut state = self.shares.state();
        if let Some(domain) = state.domains.get_mut(&self.domain) {
            domain.note_relay_replied(self.number, now);
        }
        let was_open = state.relay.works(now);
        drop(state);
        if was_open {
            tracing::info!("the mail server responds again");
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(domain) = self.shares.state().domains.get_mut(&self.domain) {
            domain.end(self.number);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
