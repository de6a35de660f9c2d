//! A queue that is fair by network: a pure account of what waits, and of whose turn it is.
//!
//! Networks of one widest prefix (/24, /48) are *neighbours*. Neighbours take turns with one another, and
//! the prefixes take turns by weight: one with many networks that wait counts like eight of them at most,
//! so that one customer with a whole prefix is not worth hundreds. Of one network ([`super::crowd`]) the
//! oldest of the connection that waits with least comes first.

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::crowd::{Crowd, Peer};
use crate::network::{Network, Prefix};

/// What one turn costs a prefix of weight 1. The weights divide it.
const TURN: u64 = 840;

/// How many networks a prefix is worth at most.
const MAX_WEIGHT: usize = 8;

/// What waits, by network.
pub(super) struct FairQueue<T> {
    all: HashMap<Prefix, Neighbours<T>>,
    /// The prefixes in which something waits, in the order of their turns.
    order: BTreeSet<(u64, u64, Prefix)>,
    /// The same by how much waits in their largest network, or in all of them beside their weight.
    by_size: BTreeSet<(usize, Prefix)>,
    /// When the last turn began, in the time of the turns.
    clock: u64,
    /// Numbers what joins the queue, and the prefixes in `order`.
    turn: u64,
    len: usize,
    weight: usize,
}

/// The networks of one prefix.
struct Neighbours<T> {
    waiting: HashMap<Network, Crowd<T>>,
    /// The networks in the order of their turns.
    round: VecDeque<Network>,
    len: usize,
    /// When the next turn of this prefix is, in the time of the turns. It stays while nothing waits, so
    /// that who asks again at once has no advantage.
    next: u64,
    place: u64,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self {
            all: HashMap::new(),
            order: BTreeSet::new(),
            by_size: BTreeSet::new(),
            clock: 0,
            turn: 0,
            len: 0,
            weight: 0,
        }
    }
}

impl<T> Default for Neighbours<T> {
    fn default() -> Self {
        Self {
            waiting: HashMap::new(),
            round: VecDeque::new(),
            len: 0,
            next: 0,
            place: 0,
        }
    }
}

impl<T> FairQueue<T> {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Returns how much of a network waits.
    pub(super) fn waiting(&self, network: Network) -> usize {
        let neighbours = widest(network).and_then(|prefix| self.all.get(&prefix));
        neighbours.map_or(0, |neighbours| neighbours.waiting_of(network))
    }

    /// Returns how much of a network comes before one more of a connection.
    pub(super) fn before(&self, network: Network, peer: Peer) -> usize {
        let crowd = self.crowd(network);
        crowd.map_or(0, |crowd| crowd.before(peer))
    }

    /// Returns how much of a connection waits.
    pub(super) fn waiting_on(&self, network: Network, peer: Peer) -> usize {
        let crowd = self.crowd(network);
        crowd.map_or(0, |crowd| crowd.waiting_on(peer))
    }

    fn crowd(&self, network: Network) -> Option<&Crowd<T>> {
        let neighbours = self.all.get(&widest(network)?)?;
        neighbours.waiting.get(&network)
    }

    /// Returns how many turns there are at most until that of a newcomer, its own included.
    pub(super) fn turns_until(&self, newcomer: Network, peer: Peer) -> usize {
        let neighbours = widest(newcomer).and_then(|prefix| self.all.get(&prefix));
        let own = self.before(newcomer, peer);
        let (weight, count) = neighbours.map_or((0, 0), |neighbours| {
            (neighbours.weight(), neighbours.round.len())
        });
        let is_new = usize::from(self.waiting(newcomer) == 0);
        let all = self.weight - weight + (count + is_new).min(MAX_WEIGHT);
        let rounds = (own + 1) * (count + is_new).div_ceil(MAX_WEIGHT);
        rounds.saturating_mul(all).min(self.len + 1)
    }

    /// Adds to what waits, and returns its number.
    pub(super) fn push(&mut self, network: Network, peer: Peer, item: T) -> u64 {
        self.turn += 1;
        let (turn, clock) = (self.turn, self.clock);
        self.change(network, |neighbours| {
            if neighbours.len == 0 {
                neighbours.next = neighbours.next.max(clock);
                neighbours.place = turn;
            }
            neighbours.push(network, peer, (turn, item));
        });
        turn
    }

    /// Takes what is next, of the networks that `may` have a turn.
    pub(super) fn take(&mut self, may: impl Fn(Network) -> bool) -> Option<(Network, T)> {
        let mut by_turn = self.order.iter();
        let (start, at, network) = by_turn.find_map(|(start, _, prefix)| {
            let round = &self.all.get(prefix)?.round;
            let at = round.iter().position(|network| may(*network))?;
            Some((*start, at, *round.get(at)?))
        })?;
        self.clock = self.clock.max(start);
        self.turn += 1;
        let (place, clock) = (self.turn, self.clock);
        let item = self.change(network, |neighbours| {
            // From the clock, so that a prefix that had to be passed over saves no turns up.
            neighbours.next = clock + TURN / neighbours.weight().max(1) as u64;
            neighbours.place = place;
            neighbours.take(at)
        });
        self.forget();
        Some((network, item?))
    }

    /// Takes something out that no longer waits.
    pub(super) fn remove(&mut self, network: Network, turn: u64) -> Option<T> {
        let removed = self.change(network, |neighbours| neighbours.remove(network, turn));
        self.forget();
        removed
    }

    /// Takes the newest out of the network that waits most. Of several it is the one whose turn is last:
    /// one that was served a moment ago, rather than a newcomer.
    pub(super) fn drop_one(&mut self, newcomer: Network) -> Option<T> {
        let (most, _) = *self.by_size.last()?;
        let mut by_turn = self
            .order
            .iter()
            .rev()
            .filter_map(|(_, _, prefix)| self.all.get(prefix));
        let neighbours = by_turn.find(|neighbours| neighbours.size() >= most)?;
        let network = neighbours.largest(newcomer)?;
        self.change(network, |neighbours| neighbours.pop_newest(network))
    }

    /// Takes the newest out of the connection of a network that waits with most.
    pub(super) fn drop_one_of(&mut self, network: Network) -> Option<T> {
        self.change(network, |neighbours| neighbours.pop_newest(network))
    }

    /// Changes the networks of a prefix, and keeps the sums and orders.
    fn change<R: Default>(
        &mut self,
        network: Network,
        change: impl FnOnce(&mut Neighbours<T>) -> R,
    ) -> R {
        let Some(prefix) = widest(network) else {
            return R::default();
        };
        let neighbours = self.all.entry(prefix).or_default();
        if neighbours.len > 0 {
            self.order
                .remove(&(neighbours.next, neighbours.place, prefix));
            self.by_size.remove(&(neighbours.size(), prefix));
        }
        self.len -= neighbours.len;
        self.weight -= neighbours.weight();
        let changed = change(neighbours);
        self.len += neighbours.len;
        self.weight += neighbours.weight();
        if neighbours.len > 0 {
            self.order
                .insert((neighbours.next, neighbours.place, prefix));
            self.by_size.insert((neighbours.size(), prefix));
        }
        changed
    }

    /// Forgets the turns of networks of which nothing waits, once these no longer matter.
    fn forget(&mut self) {
        if self.len == 0 {
            self.all.clear();
            self.clock = 0;
        } else if self.all.len() > 2 * self.order.len() + 64 {
            let clock = self.clock;
            self.all
                .retain(|_, neighbours| neighbours.len > 0 || neighbours.next > clock);
        }
    }
}

impl<T> Neighbours<T> {
    fn waiting_of(&self, network: Network) -> usize {
        self.waiting.get(&network).map_or(0, Crowd::len)
    }

    /// How many networks these count like.
    fn weight(&self) -> usize {
        self.round.len().min(MAX_WEIGHT)
    }

    fn size(&self) -> usize {
        let most = self.waiting.values().map(Crowd::len).max();
        (most.unwrap_or(0) * MAX_WEIGHT).max(self.len)
    }

    /// Returns the network that waits most, the newcomer's among several.
    fn largest(&self, newcomer: Network) -> Option<Network> {
        let sizes = self.waiting.iter();
        let largest = sizes.max_by_key(|(network, waiting)| (waiting.len(), **network == newcomer));
        largest.map(|(network, _)| *network)
    }

    fn push(&mut self, network: Network, peer: Peer, entry: (u64, T)) {
        let waiting = self.waiting.entry(network).or_default();
        if waiting.is_empty() {
            self.round.push_back(network);
        }
        waiting.push(peer, entry);
        self.len += 1;
    }

    /// Takes the next of the network at a place of the round, which then waits for its next turn.
    fn take(&mut self, at: usize) -> Option<T> {
        let network = self.round.remove(at)?;
        let waiting = self.waiting.get_mut(&network)?;
        let item = waiting.take()?;
        self.len -= 1;
        if waiting.is_empty() {
            self.waiting.remove(&network);
        } else {
            self.round.push_back(network);
        }
        Some(item)
    }

    fn remove(&mut self, network: Network, turn: u64) -> Option<T> {
        let item = self.waiting.get_mut(&network)?.remove(turn)?;
        self.removed_of(network);
        Some(item)
    }

    fn pop_newest(&mut self, network: Network) -> Option<T> {
        let item = self.waiting.get_mut(&network)?.pop_newest()?;
        self.removed_of(network);
        Some(item)
    }

    fn removed_of(&mut self, network: Network) {
        self.len -= 1;
        if self.waiting_of(network) == 0 {
            self.waiting.remove(&network);
            self.round.retain(|other| *other != network);
        }
    }
}

/// Returns the widest prefix around a network.
fn widest(network: Network) -> Option<Prefix> {
    network.prefixes().next_back()
}

#[cfg(test)]
mod tests;
