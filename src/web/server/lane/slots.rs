//! One lane: its slots, and the requests that wait for one.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until, timeout},
};

use super::{crowd::Peer, queue::FairQueue};
use crate::network::Network;

/// A connection of which fewer requests wait than this is patient.
const FEW: usize = 4;

/// How long a request of a patient connection waits at most.
const PATIENT: Duration = Duration::from_secs(5);

/// How long any other request waits at most.
const IMPATIENT: Duration = Duration::from_millis(500);

/// When a request that gets no slot is refused: not at once, so that a client that repeats it without a
/// pause takes little of the processors.
const REFUSED_AFTER: Duration = Duration::from_millis(60);

/// A refusal that is as late as this shows that the processors are busy with refusals. They take longer
/// then, until they are in time again.
const LATE: Duration = Duration::from_millis(20);

/// The longest that a refusal takes on a busy machine.
const REFUSED_AFTER_AT_MOST: Duration = Duration::from_secs(10);

/// Only a network of which more requests than this are about to be refused waits longer.
const LOUD: usize = 64;

/// How many requests of one network may wait.
const MAX_OF_NETWORK: usize = 256;

/// The least number of requests that may wait: more than the networks of an attack.
const MIN_QUEUE: usize = 2_048;

/// How many requests may wait for each slot.
const QUEUE_PER_SLOT: usize = 16;

/// How long a request holds its slot, before any has.
const FIRST_GUESS: Duration = Duration::from_millis(5);

/// How many requests are at work in a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) slots: usize,
    /// Of one network.
    pub(super) of_network: usize,
}

/// Slots for requests at work, and a queue in front of them.
pub(super) struct Lane {
    bounds: Bounds,
    state: Mutex<State>,
}

struct State {
    at_work: usize,
    by_network: HashMap<Network, usize>,
    queue: FairQueue<oneshot::Sender<Slot>>,
    /// How long a request holds its slot: a moving average.
    held: Duration,
    /// How long a refusal of a loud network takes.
    refused_after: Duration,
    /// How many requests are about to be refused.
    refused: HashMap<Network, usize>,
}

/// A request at work, until this is dropped.
pub(in crate::web::server) struct Slot {
    lane: Arc<Lane>,
    network: Network,
    since: Instant,
}

/// There is no slot for the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoSlot;

/// What a request gets when it arrives.
enum Arrival {
    Slot(Slot),
    Wait(Waiting, Duration),
    Refused,
}

/// A request that waits, until this is dropped.
struct Waiting {
    lane: Arc<Lane>,
    network: Network,
    turn: u64,
    slot: oneshot::Receiver<Slot>,
}

/// A request that is about to be refused, until this is dropped.
struct Refused {
    lane: Arc<Lane>,
    network: Network,
}

impl Lane {
    pub(super) fn new(bounds: Bounds) -> Arc<Self> {
        let state = State {
            at_work: 0,
            by_network: HashMap::new(),
            queue: FairQueue::default(),
            held: FIRST_GUESS,
            refused_after: REFUSED_AFTER,
            refused: HashMap::new(),
        };
        Arc::new(Self {
            bounds,
            state: Mutex::new(state),
        })
    }

    /// Returns a slot, at once or when it is the turn of the network.
    ///
    /// # Errors
    /// The request has to wait for too long, or others of more networks wait. Nothing was done.
    pub(super) async fn enter(
        self: &Arc<Self>,
        network: Network,
        peer: Peer,
    ) -> Result<Slot, NoSlot> {
        let arrived = Instant::now();
        let slot = match self.arrive(network, peer) {
            Arrival::Slot(slot) => return Ok(slot),
            Arrival::Wait(waiting, patience) => waiting.within(patience).await,
            Arrival::Refused => None,
        };
        if slot.is_none() {
            Refused::new(self, network).wait(arrived).await;
        }
        slot.ok_or(NoSlot)
    }

    fn arrive(self: &Arc<Self>, network: Network, peer: Peer) -> Arrival {
        let mut state = self.lock();
        // Of those that wait, none may have a slot now: each was offered the last that was free.
        if state.at_work < self.bounds.slots && state.of(network) < self.bounds.of_network {
            return Arrival::Slot(state.begin(self, network));
        }
        let on_connection = state.queue.waiting_on(network, peer);
        let patience = if on_connection < FEW {
            PATIENT
        } else {
            IMPATIENT
        };
        let is_full = state.queue.waiting(network) >= MAX_OF_NETWORK;
        if state.expected_wait(network, peer, self.bounds) > patience
            || is_full && on_connection >= FEW
        {
            return Arrival::Refused;
        }
        let (sender, slot) = oneshot::channel();
        let turn = state.queue.push(network, peer, sender);
        let dropped = if is_full {
            state.queue.drop_one_of(network)
        } else if state.queue.len() > self.bounds.queue() {
            state.queue.drop_one(network)
        } else {
            None
        };
        drop(state);
        drop(dropped);
        let waiting = Waiting {
            lane: Arc::clone(self),
            network,
            turn,
            slot,
        };
        Arrival::Wait(waiting, patience)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many requests are at work, and how many wait.
    #[cfg(test)]
    fn load(&self) -> (usize, usize) {
        let state = self.lock();
        (state.at_work, state.queue.len())
    }
}

/// Returns how long the next refusal takes: in balance, one of ten is late.
fn next_refused_after(last: Duration, is_late: bool) -> Duration {
    let next = if is_late {
        last + Duration::from_millis(10)
    } else {
        last.saturating_sub(Duration::from_millis(1))
    };
    next.clamp(REFUSED_AFTER, REFUSED_AFTER_AT_MOST)
}

impl Bounds {
    const fn queue(self) -> usize {
        let by_slots = self.slots.saturating_mul(QUEUE_PER_SLOT);
        if by_slots > MIN_QUEUE {
            by_slots
        } else {
            MIN_QUEUE
        }
    }
}

impl State {
    fn of(&self, network: Network) -> usize {
        self.by_network.get(&network).copied().unwrap_or_default()
    }

    fn begin(&mut self, lane: &Arc<Lane>, network: Network) -> Slot {
        self.at_work += 1;
        *self.by_network.entry(network).or_default() += 1;
        Slot {
            lane: Arc::clone(lane),
            network,
            since: Instant::now(),
        }
    }

    fn end(&mut self, network: Network, held: Duration) {
        self.at_work = self.at_work.saturating_sub(1);
        if let Some(count) = self.by_network.get_mut(&network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_network.remove(&network);
            }
        }
        self.held = (self.held * 15 + held) / 16;
    }

    /// Returns the next request that waits and may have a slot.
    fn next(&mut self, lane: &Arc<Lane>) -> Option<(oneshot::Sender<Slot>, Slot)> {
        let Bounds { slots, of_network } = lane.bounds;
        if self.at_work >= slots {
            return None;
        }
        let by_network = &self.by_network;
        let may = |network: Network| {
            by_network
                .get(&network)
                .is_none_or(|count| *count < of_network)
        };
        let (network, sender) = self.queue.take(may)?;
        Some((sender, self.begin(lane, network)))
    }

    fn refused_after(&self, network: Network) -> Duration {
        match self.refused.get(&network) {
            Some(count) if *count > LOUD => self.refused_after,
            _ => REFUSED_AFTER,
        }
    }

    /// Returns how long one more request of a connection would wait, if those before it take as long as
    /// the last ones did.
    fn expected_wait(&self, network: Network, peer: Peer, bounds: Bounds) -> Duration {
        let wait = |turns: usize, slots: usize| {
            let turns = u32::try_from(turns).unwrap_or(u32::MAX);
            let slots = u32::try_from(slots.max(1)).unwrap_or(u32::MAX);
            self.held.saturating_mul(turns) / slots
        };
        let in_turn = wait(self.queue.turns_until(network, peer), bounds.slots);
        let of_network = wait(self.queue.before(network, peer) + 1, bounds.of_network);
        in_turn.max(of_network)
    }
}

impl Refused {
    fn new(lane: &Arc<Lane>, network: Network) -> Self {
        *lane.lock().refused.entry(network).or_default() += 1;
        Self {
            lane: Arc::clone(lane),
            network,
        }
    }

    /// Waits until the refusal is due, and notes whether it is late.
    async fn wait(self, arrived: Instant) {
        let due = arrived + self.lane.lock().refused_after(self.network);
        if due > Instant::now() {
            sleep_until(due).await;
            let is_late = due.elapsed() > LATE;
            let mut state = self.lane.lock();
            state.refused_after = next_refused_after(state.refused_after, is_late);
        }
    }
}

impl Drop for Refused {
    fn drop(&mut self) {
        let mut state = self.lane.lock();
        if let Some(count) = state.refused.get_mut(&self.network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                state.refused.remove(&self.network);
            }
        }
    }
}

impl Waiting {
    async fn within(mut self, patience: Duration) -> Option<Slot> {
        timeout(patience, &mut self.slot).await.ok()?.ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let removed = self.lane.lock().queue.remove(self.network, self.turn);
        drop(removed);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let held = self.since.elapsed();
        let mut state = self.lane.lock();
        state.end(self.network, held);
        let next = state.next(&self.lane);
        drop(state);
        // One that waits no longer gives its slot to the next: not while the state is held.
        if let Some((sender, slot)) = next {
            drop(sender.send(slot));
        }
    }
}

#[cfg(test)]
mod tests;
