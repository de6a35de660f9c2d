//! A proxy that is not named in `server.trusted_proxies`: all its users would share the limits of
//! one network (OA-12).

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use ipnet::IpNet;
use poem::Request;

/// How long a sighting counts, and how often it is logged.
const HOUR: Duration = Duration::from_secs(3600);

/// The sightings of such a proxy. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct UnnamedProxy(Arc<Mutex<Sightings>>);

#[derive(Debug, Default)]
struct Sightings {
    seen: Option<Instant>,
    logged: Option<Instant>,
}

impl UnnamedProxy {
    /// Notes a request with `X-Forwarded-For` from an address of this machine or of a private
    /// network that is not trusted. Nearly always it is our own proxy; a client on the Internet
    /// has no such address.
    pub fn note_request(&self, request: &Request, trusted: &[IpNet]) {
        let peer = request.remote_addr().as_socket_addr().map(SocketAddr::ip);
        let forwards = request.headers().contains_key("x-forwarded-for");
        if let (Some(peer), true) = (peer, forwards) {
            self.note_peer(peer.to_canonical(), trusted);
        }
    }

    fn note_peer(&self, peer: IpAddr, trusted: &[IpNet]) {
        if is_internal(peer) && !trusted.iter().any(|network| network.contains(&peer)) {
            self.record(peer);
        }
    }

    fn record(&self, peer: IpAddr) {
        let now = Instant::now();
        let mut sightings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sightings.seen = Some(now);
        if is_within_an_hour(sightings.logged, now) {
            return;
        }
        sightings.logged = Some(now);
        tracing::warn!(
            %peer,
            "a proxy sends X-Forwarded-For and is not in server.trusted_proxies: all its users share the limits of one \
             network. Add its address there"
        );
    }

    /// Whether one was seen during the last hour.
    #[must_use]
    pub fn was_seen(&self) -> bool {
        let sightings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        is_within_an_hour(sightings.seen, Instant::now())
    }
}

fn is_within_an_hour(at: Option<Instant>, now: Instant) -> bool {
    at.is_some_and(|at| now.duration_since(at) < HOUR)
}

/// Loopback, private (RFC 1918, RFC 4193) and link-local addresses.
fn is_internal(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn was_seen(peer: &str, trusted: &[&str]) -> bool {
        let proxy = UnnamedProxy::default();
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        proxy.note_peer(peer.parse().unwrap(), &trusted);
        proxy.was_seen()
    }

    #[test]
    fn oa_12_a_proxy_of_ours_that_is_not_named_is_seen() {
        for peer in [
            "127.0.0.1",
            "::1",
            "10.1.2.3",
            "192.168.1.1",
            "172.16.0.9",
            "fd00::1",
        ] {
            assert!(was_seen(peer, &[]), "{peer}");
        }
        assert!(was_seen("127.0.0.1", &["10.0.0.0/8"]));
        assert!(!was_seen("127.0.0.1", &["127.0.0.0/8"]), "it is named");
        assert!(!was_seen("198.51.100.9", &[]), "any client can write it");
        assert!(!was_seen("2001:db8::9", &[]), "any client can write it");
    }
}
