#![allow(clippy::unwrap_used)]
use futures_util::FutureExt as _;

use super::*;

/// Opens connections without activity.
struct Opener {
    networks: Arc<Networks>,
    activity: watch::Sender<Activity>,
}

impl Opener {
    fn new(max: usize, per_network: usize) -> Self {
        let options = ServerOptions {
            max_connections: max,
            connections_per_network: per_network,
            trusted_proxies: ["10.0.0.0/8".parse().unwrap()].into(),
            ..ServerOptions::default()
        };
        Self {
            networks: Networks::new(&options),
            activity: watch::Sender::new(Activity::new()),
        }
    }

    fn open(&self, peer: &str) -> Result<NetworkSlot, NetworkFull> {
        let activity = self.activity.subscribe();
        self.networks
            .try_acquire(Some(peer.parse().unwrap()), &activity)
    }
}

fn is_closed(slot: &NetworkSlot) -> bool {
    slot.closed().now_or_never().is_some()
}

#[test]
fn px_02_each_network_has_its_share_and_proxies_are_not_counted() {
    let opener = Opener::new(4096, 2);
    let first = opener.open("192.0.2.1").unwrap();
    let second = opener.open("::ffff:192.0.2.1").unwrap();
    assert!(
        opener.open("192.0.2.1").is_err(),
        "the same address, mapped to IPv6"
    );
    assert!(opener.open("192.0.2.2").is_ok(), "another address");
    drop(first);
    assert!(opener.open("192.0.2.1").is_ok(), "one has ended");
    let ipv6 = [
        opener.open("2001:db8:1:1::1").unwrap(),
        opener.open("2001:db8:1:1:ffff::2").unwrap(),
    ];
    assert!(opener.open("2001:db8:1:1::3").is_err(), "the /64 is full");
    assert!(opener.open("2001:db8:1:2::1").is_ok());
    let proxies: Vec<_> = (0..9).map(|_| opener.open("10.1.2.3").unwrap()).collect();
    drop((second, ipv6, proxies));
    let open = opener.networks.lock();
    assert!(open.count == 0 && open.by_network.is_empty() && open.shares.is_empty());
}

#[test]
fn oa_5_beyond_four_fifths_the_largest_network_loses_its_longest_idle_connection() {
    let opener = Opener::new(100, 50);
    let innocent = opener.open("203.0.113.1").unwrap();
    let attackers: Vec<_> = (0..79)
        .map(|n| opener.open(&format!("127.0.{}.1", n % 2)).unwrap())
        .collect();
    assert!(!attackers.iter().any(is_closed), "80 of 100");
    let late = opener.open("198.51.100.1").unwrap();
    let closed: Vec<usize> = (0..79).filter(|n| is_closed(&attackers[*n])).collect();
    assert_eq!(closed, [0], "40 of 127.0.0.1 are more than 39");
    assert!(!is_closed(&innocent) && !is_closed(&late));
    drop(attackers);
    assert_eq!(opener.networks.lock().count, 2, "a closed one counts once");
}

#[test]
fn oa_5_a_busy_connection_is_closed_last() {
    let opener = Opener::new(10, 50);
    let busy = watch::Sender::new(Activity::new());
    busy.send_modify(Activity::begin);
    let peer = Some("127.0.0.1".parse().unwrap());
    let working = opener
        .networks
        .try_acquire(peer, &busy.subscribe())
        .unwrap();
    let idle: Vec<_> = (0..7).map(|_| opener.open("127.0.0.1").unwrap()).collect();
    let _new = opener.open("203.0.113.1").unwrap();
    assert!(is_closed(&idle[0]) && !is_closed(&working));
}

#[test]
fn oa_5_the_idle_time_out_shrinks_as_connections_are_taken() {
    let opener = Opener::new(100, 100);
    let minute = Duration::from_secs(60);
    let mut held = Vec::new();
    let mut timeouts = Vec::new();
    for n in 0..=75 {
        if [0, 50, 75].contains(&n) {
            timeouts.push(opener.networks.idle_timeout(minute).as_secs());
        }
        held.push(opener.open("127.0.0.1").unwrap());
    }
    assert_eq!(timeouts, [60, 60, 30]);
    let full = Opener::new(1, 100);
    let _one = full.open("127.0.0.1").unwrap();
    assert_eq!(full.networks.idle_timeout(minute), minute / 12);
}
