//! What waits of one network: of the connection that waits with least the oldest comes first. So one
//! program that sends hundreds of requests over its connections delays its neighbours behind the same
//! address by little. Behind a proxy that is trusted all share its connections.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
};

/// The other end of a connection, where it has an address.
pub(in crate::web::server) type Peer = Option<SocketAddr>;

/// What waits of one network. A lane bounds its length.
#[derive(Debug)]
pub(super) struct Crowd<T> {
    /// The oldest first.
    entries: VecDeque<Entry<T>>,
    by_peer: HashMap<Peer, usize>,
}

#[derive(Debug)]
struct Entry<T> {
    turn: u64,
    peer: Peer,
    item: T,
}

impl<T> Default for Crowd<T> {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            by_peer: HashMap::new(),
        }
    }
}

impl<T> Crowd<T> {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns how much of a connection waits.
    pub(super) fn waiting_on(&self, peer: Peer) -> usize {
        self.by_peer.get(&peer).copied().unwrap_or_default()
    }

    /// Returns how much comes before one more of a connection: all of those that wait with no more.
    pub(super) fn before(&self, peer: Peer) -> usize {
        let own = self.waiting_on(peer) + 1;
        self.by_peer.values().filter(|count| **count <= own).sum()
    }

    pub(super) fn push(&mut self, peer: Peer, (turn, item): (u64, T)) {
        *self.by_peer.entry(peer).or_default() += 1;
        self.entries.push_back(Entry { turn, peer, item });
    }

    /// Takes the oldest of the connections that wait with least.
    pub(super) fn take(&mut self) -> Option<T> {
        let least = self.by_peer.values().min().copied()?;
        let mut entries = self.entries.iter();
        let at = entries.position(|entry| self.waiting_on(entry.peer) == least)?;
        self.remove_at(at)
    }

    pub(super) fn remove(&mut self, turn: u64) -> Option<T> {
        let at = self.entries.binary_search_by_key(&turn, |entry| entry.turn);
        self.remove_at(at.ok()?)
    }

    /// Takes the newest of the connections that wait with most.
    pub(super) fn pop_newest(&mut self) -> Option<T> {
        let most = self.by_peer.values().max().copied()?;
        let mut entries = self.entries.iter();
        let at = entries.rposition(|entry| self.waiting_on(entry.peer) == most)?;
        self.remove_at(at)
    }

    fn remove_at(&mut self, at: usize) -> Option<T> {
        let Entry { peer, item, .. } = self.entries.remove(at)?;
        if let Some(count) = self.by_peer.get_mut(&peer) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_peer.remove(&peer);
            }
        }
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(port: u16) -> Peer {
        Some(SocketAddr::from(([192, 0, 2, 1], port)))
    }

    /// SP-4, OA-3: a neighbour behind the same address comes before all but one of a loud connection.
    #[test]
    fn sp_4_a_connection_with_little_comes_before_one_with_much() {
        let mut crowd = Crowd::default();
        for turn in 0..200 {
            crowd.push(peer(1), (turn, format!("loud{turn}")));
        }
        crowd.push(peer(2), (200, "quiet".to_owned()));
        crowd.push(peer(3), (201, "also quiet".to_owned()));
        assert_eq!((crowd.before(peer(4)), crowd.before(peer(1))), (2, 202));
        assert_eq!(crowd.pop_newest().as_deref(), Some("loud199"));
        let order: Vec<_> = (0..3).filter_map(|_| crowd.take()).collect();
        assert_eq!(order, ["quiet", "also quiet", "loud0"]);
        assert_eq!(crowd.remove(100).as_deref(), Some("loud100"));
        assert_eq!(crowd.remove(100), None);
        while crowd.take().is_some() {}
        assert!(crowd.is_empty() && crowd.by_peer.is_empty());
    }
}
