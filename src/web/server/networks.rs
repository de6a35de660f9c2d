//! The open connections, by network, and which of them is closed when there are many (OA-5).
//!
//! When more than four fifths of the connections are taken, each new one closes another: of the
//! network that holds most beside its share, the one that has been idle for longest.

use std::{
    cmp::Reverse,
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ipnet::IpNet;
use tokio::sync::{Notify, watch};

use super::{activity::Activity, options::ServerOptions};
use crate::network::{
    Network, Prefix,
    shares::{Group, Holding, Shares, groups_of},
};

/// The shortest idle time-out, as a part of the configured one.
const LEAST_IDLE_PART: u32 = 12;

/// The open connections of one listener.
pub(super) struct Networks {
    max: usize,
    per_network: usize,
    exempt: Arc<[IpNet]>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    /// Those of exempt networks included.
    count: usize,
    by_network: HashMap<Network, usize>,
    connections: HashMap<u64, Connection>,
    shares: Shares<Prefix, u64>,
    turn: u64,
}

/// A connection that is counted by network.
struct Connection {
    network: Network,
    holding: Holding<u64, Vec<Group<Prefix>>>,
    activity: watch::Receiver<Activity>,
    closed: Arc<Notify>,
}

/// One open connection, until it is dropped.
pub(super) struct NetworkSlot {
    networks: Arc<Networks>,
    /// None for an exempt connection.
    turn: Option<u64>,
    closed: Arc<Notify>,
}

/// The network has as many connections as it may have.
#[derive(Debug)]
pub(super) struct NetworkFull;

impl Networks {
    pub(super) fn new(options: &ServerOptions) -> Arc<Self> {
        Arc::new(Self {
            max: options.max_connections,
            per_network: options.connections_per_network,
            exempt: Arc::clone(&options.trusted_proxies),
            open: Mutex::default(),
        })
    }

    /// Counts a connection of `peer`, and closes another one if there are many. Connections of
    /// exempt networks are counted in all alone.
    pub(super) fn try_acquire(
        self: &Arc<Self>,
        peer: Option<IpAddr>,
        activity: &watch::Receiver<Activity>,
    ) -> Result<NetworkSlot, NetworkFull> {
        let mut open = self.lock();
        let closed = Arc::new(Notify::new());
        let counted = peer.map(|peer| peer.to_canonical()).filter(|peer| {
            let mut exempt = self.exempt.iter();
            !exempt.any(|network| network.contains(peer))
        });
        let turn = match counted {
            Some(peer) => {
                let network = Network::of(peer);
                let of_network = open.by_network.get(&network).copied().unwrap_or_default();
                if of_network >= self.per_network {
                    return Err(NetworkFull);
                }
                if open.count.saturating_mul(5) >= self.max.saturating_mul(4) {
                    open.close_one();
                }
                Some(open.add(network, activity.clone(), Arc::clone(&closed)))
            }
            None => None,
        };
        open.count += 1;
        Ok(NetworkSlot {
            networks: Arc::clone(self),
            turn,
            closed,
        })
    }

    /// Returns the idle time-out, which shrinks from the half of the connections on.
    pub(super) fn idle_timeout(&self, configured: Duration) -> Duration {
        let max = u32::try_from(self.max).unwrap_or(u32::MAX).max(1);
        let count = u32::try_from(self.lock().count).unwrap_or(u32::MAX);
        let left = max.saturating_sub(count).saturating_mul(2).min(max);
        let part = configured.mul_f64(f64::from(left) / f64::from(max));
        part.max(configured / LEAST_IDLE_PART)
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn add(
        &mut self,
        network: Network,
        activity: watch::Receiver<Activity>,
        closed: Arc<Notify>,
    ) -> u64 {
        self.turn += 1;
        let holding = Holding {
            key: self.turn,
            turn: self.turn,
            amount: 1,
            groups: groups_of(network),
        };
        self.shares.add(&holding);
        *self.by_network.entry(network).or_default() += 1;
        let connection = Connection {
            network,
            holding,
            activity,
            closed,
        };
        self.connections.insert(self.turn, connection);
        self.turn
    }

    fn remove(&mut self, turn: u64) -> Option<Connection> {
        let connection = self.connections.remove(&turn)?;
        self.shares.remove(&connection.holding);
        if let Some(count) = self.by_network.get_mut(&connection.network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_network.remove(&connection.network);
            }
        }
        Some(connection)
    }

    /// Closes the longest idle connection of the network that holds most. One that serves a request
    /// is closed only if all of them do.
    fn close_one(&mut self) {
        let idle = |turn: &&u64| {
            let activity = self.connections.get(*turn)?.activity.borrow();
            Some((!activity.is_busy(), Reverse((activity.last(), **turn))))
        };
        let longest_idle = self.shares.of_largest().max_by_key(idle).copied();
        if let Some(connection) = longest_idle.and_then(|turn| self.remove(turn)) {
            connection.closed.notify_one();
        }
    }
}

impl NetworkSlot {
    /// Waits until this connection has to make space for another one.
    pub(super) async fn closed(&self) {
        self.closed.notified().await;
    }
}

impl Drop for NetworkSlot {
    fn drop(&mut self) {
        let mut open = self.networks.lock();
        open.count = open.count.saturating_sub(1);
        if let Some(turn) = self.turn {
            open.remove(turn);
        }
    }
}

#[cfg(test)]
mod tests;
