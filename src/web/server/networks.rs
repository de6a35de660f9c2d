//! The number of open connections of each network.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

use ipnet::IpNet;

/// The prefix of an IPv6 address that one customer has at least, in bits.
const IPV6_PREFIX: u32 = 64;

/// The count of each network that has an open connection.
pub(super) struct Networks {
    max: usize,
    exempt: Arc<[IpNet]>,
    open: Mutex<BTreeMap<IpAddr, usize>>,
}

/// One counted connection, until it is dropped.
pub(super) struct NetworkSlot {
    networks: Arc<Networks>,
    network: IpAddr,
}

/// The network has as many connections as it may have.
#[derive(Debug)]
pub(super) struct NetworkFull;

impl Networks {
    /// Connections of the networks in `exempt` are not counted.
    pub(super) fn new(max: usize, exempt: Arc<[IpNet]>) -> Arc<Self> {
        Arc::new(Self {
            max,
            exempt,
            open: Mutex::default(),
        })
    }

    /// Counts a connection of `peer`. An exempt one holds no slot.
    pub(super) fn try_acquire(
        self: &Arc<Self>,
        peer: Option<IpAddr>,
    ) -> Result<Option<NetworkSlot>, NetworkFull> {
        let Some(peer) = peer.map(|peer| peer.to_canonical()) else {
            return Ok(None);
        };
        if self.exempt.iter().any(|network| network.contains(&peer)) {
            return Ok(None);
        }
        let network = network_of(peer);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.get(&network).copied().unwrap_or_default();
        if count >= self.max {
            return Err(NetworkFull);
        }
        open.insert(network, count.saturating_add(1));
        Ok(Some(NetworkSlot {
            networks: Arc::clone(self),
            network,
        }))
    }
}

impl Drop for NetworkSlot {
    fn drop(&mut self) {
        let mut open = self
            .networks
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match open.get_mut(&self.network) {
            Some(count) if *count > 1 => *count = count.saturating_sub(1),
            _ => drop(open.remove(&self.network)),
        }
    }
}

fn network_of(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(peer) => {
            Ipv6Addr::from_bits(peer.to_bits() & (u128::MAX << (128 - IPV6_PREFIX))).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn px_02_each_network_has_its_share_and_proxies_are_not_counted() {
        let networks = Networks::new(2, ["10.0.0.0/8".parse().unwrap()].into());
        let acquire = |peer: &str| networks.try_acquire(Some(peer.parse().unwrap()));
        let first = acquire("192.0.2.1").unwrap();
        let _second = acquire("::ffff:192.0.2.1").unwrap();
        assert!(
            acquire("192.0.2.1").is_err(),
            "the same address, mapped to IPv6"
        );
        assert!(acquire("192.0.2.2").is_ok(), "another address");
        drop(first);
        assert!(acquire("192.0.2.1").is_ok(), "one has ended");
        let _ipv6 = [
            acquire("2001:db8:1:1::1").unwrap(),
            acquire("2001:db8:1:1:ffff::2").unwrap(),
        ];
        assert!(acquire("2001:db8:1:1::3").is_err(), "the /64 is full");
        assert!(acquire("2001:db8:1:2::1").is_ok());
        let proxies: Vec<_> = (0..9).map(|_| acquire("10.1.2.3").unwrap()).collect();
        assert!(proxies.iter().all(Option::is_none));
        assert!(networks.try_acquire(None).unwrap().is_none());
        drop((_second, _ipv6));
        assert!(
            networks.open.lock().unwrap().is_empty(),
            "closed connections leave nothing"
        );
    }
}
