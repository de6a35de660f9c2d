//! How many connections each network has open.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

use ipnet::IpNet;

/// Bits of an IPv6 address that one customer holds at least.
const SUBNET: u32 = 64;

/// The count of each network that has a connection; never longer than there are connections.
pub(super) struct Peers {
    most: usize,
    exempt: Arc<[IpNet]>,
    open: Mutex<BTreeMap<IpAddr, usize>>,
}

/// One counted connection, until it is dropped.
pub(super) struct Place {
    peers: Arc<Peers>,
    network: IpAddr,
}

/// The network has as many as it may have.
#[derive(Debug)]
pub(super) struct Full;

impl Peers {
    /// At most `most` for each network; `exempt` ones are not counted.
    pub(super) fn new(most: usize, exempt: Arc<[IpNet]>) -> Arc<Self> {
        Arc::new(Self {
            most,
            exempt,
            open: Mutex::default(),
        })
    }

    /// Counts a connection of `peer`; `None` if it is exempt.
    pub(super) fn take(self: &Arc<Self>, peer: Option<IpAddr>) -> Result<Option<Place>, Full> {
        let Some(peer) = peer.map(|peer| peer.to_canonical()) else {
            return Ok(None);
        };
        if self.exempt.iter().any(|network| network.contains(&peer)) {
            return Ok(None);
        }
        let network = network(peer);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.get(&network).copied().unwrap_or_default();
        if count >= self.most {
            return Err(Full);
        }
        open.insert(network, count.saturating_add(1));
        Ok(Some(Place {
            peers: Arc::clone(self),
            network,
        }))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self
            .peers
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match open.get_mut(&self.network) {
            Some(count) if *count > 1 => *count = count.saturating_sub(1),
            _ => drop(open.remove(&self.network)),
        }
    }
}

fn network(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(peer) => {
            Ipv6Addr::from_bits(peer.to_bits() & (u128::MAX << (128 - SUBNET))).into()
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn px_02_each_network_has_its_share_and_proxies_are_not_counted() {
        let peers = Peers::new(2, ["10.0.0.0/8".parse().unwrap()].into());
        let take = |peer: &str| peers.take(Some(peer.parse().unwrap()));
        let first = take("192.0.2.1").unwrap();
        let _second = take("::ffff:192.0.2.1").unwrap();
        assert!(
            take("192.0.2.1").is_err(),
            "the same address in IPv6 clothes counts too"
        );
        assert!(take("192.0.2.2").is_ok(), "its neighbour is another");
        drop(first);
        assert!(take("192.0.2.1").is_ok(), "one has ended");
        let _six = [
            take("2001:db8:1:1::1").unwrap(),
            take("2001:db8:1:1:ffff::2").unwrap(),
        ];
        assert!(take("2001:db8:1:1::3").is_err(), "the /64 is full");
        assert!(take("2001:db8:1:2::1").is_ok());
        let proxies: Vec<_> = (0..9).map(|_| take("10.1.2.3").unwrap()).collect();
        assert!(proxies.iter().all(Option::is_none));
        assert!(peers.take(None).unwrap().is_none());
        drop((_second, _six));
        assert!(
            peers.open.lock().unwrap().is_empty(),
            "nothing is kept of who has gone"
        );
    }
}
