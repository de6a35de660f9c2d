//! Who asks, as far as the connection tells: address, network, device, languages, and the id of this request.
//!
//! The address comes from the TCP peer. `X-Forwarded-For` is believed only as far as configured proxies wrote it; every
//! other forwarding header is ignored (PX-01). The User-Agent is never kept: a few fixed words are made from it.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;
use poem::{
    Request,
    http::{HeaderMap, header},
};

use crate::secret;

/// Where a request comes from. `Debug` shows the request id alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Caller {
    /// The client's address: the right-most hop that is no proxy of ours. IPv4 in IPv6 is folded to IPv4.
    pub ip: IpAddr,
    /// What limits count by: the IPv4 address, or the /64 of an IPv6 address, as text.
    pub network: String,
    /// The /48 of an IPv6 address, which one customer may hold whole; none for IPv4.
    pub wide: Option<String>,
    /// Random, made here; never taken from outside. It is the reference that error answers show.
    pub request_id: String,
    /// Fixed words such as `Firefox on Windows`, or `Unknown device`.
    pub device: String,
    /// The Accept-Language header, cut to 256 bytes; empty if absent.
    pub accept_language: String,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("request_id", &self.request_id)
            .finish_non_exhaustive()
    }
}

impl Caller {
    /// The caller that the layers noted on this request; made afresh, believing no proxy, where there are no layers.
    #[must_use]
    pub fn from_request(request: &Request) -> Self {
        request
            .data::<Self>()
            .cloned()
            .unwrap_or_else(|| Self::resolve(request, &[]))
    }

    /// Works the caller out, believing `X-Forwarded-For` as far as `trusted` reaches.
    #[must_use]
    pub fn resolve(request: &Request, trusted: &[IpNet]) -> Self {
        let peer = request
            .remote_addr()
            .as_socket_addr()
            .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |a| a.ip());
        let headers = request.headers();
        let ip = client_ip(peer, headers, trusted);
        let (network, wide) = networks(ip);
        Self {
            ip,
            network,
            wide,
            request_id: secret::public_id().simple().to_string(),
            device: device(text(headers, &header::USER_AGENT, 512)),
            accept_language: text(headers, &header::ACCEPT_LANGUAGE, 256).to_owned(),
        }
    }
}

/// A header as text of at most `max` bytes; empty if it is absent or not plain ASCII.
fn text<'a>(headers: &'a HeaderMap, name: &header::HeaderName, max: usize) -> &'a str {
    let value = headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    value.get(..max).unwrap_or(value)
}

/// Walks from the TCP peer leftwards through X-Forwarded-For while the hop is a trusted proxy (PX-01, A7).
///
/// What is left of the first untrusted hop was written by someone we do not believe. An entry that is no address ends
/// the walk at the hop that passed it on.
fn client_ip(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_proxy = |ip: IpAddr| trusted.iter().any(|net| net.contains(&ip));
    let mut ip = peer.to_canonical();
    let lines = headers.get_all("x-forwarded-for").iter().rev();
    for entry in lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')) {
        if !is_proxy(ip) {
            break;
        }
        let Some(next) = hop(entry) else { break };
        ip = next;
    }
    ip
}

/// An address, perhaps with a port, as proxies write it.
fn hop(entry: &[u8]) -> Option<IpAddr> {
    let entry = std::str::from_utf8(entry.trim_ascii()).ok()?;
    let ip = entry
        .parse()
        .ok()
        .or_else(|| Some(entry.parse::<std::net::SocketAddr>().ok()?.ip()))?;
    Some(ip.to_canonical())
}

/// The text that limits count by, and the wider one for IPv6.
fn networks(ip: IpAddr) -> (String, Option<String>) {
    match ip {
        IpAddr::V4(ip) => (ip.to_string(), None),
        IpAddr::V6(ip) => (prefix(ip, 64), Some(prefix(ip, 48))),
    }
}

fn prefix(ip: Ipv6Addr, bits: u32) -> String {
    let mask = u128::MAX << (128 - bits);
    format!("{}/{bits}", Ipv6Addr::from_bits(ip.to_bits() & mask))
}

/// In this order: a browser that imitates another names the other too.
const BROWSERS: [(&str, &str); 8] = [
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("FxiOS/", "Firefox"),
    ("Firefox/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
];
const SYSTEMS: [(&str, &str); 8] = [
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Mac OS X", "macOS"),
    ("Macintosh", "macOS"),
    ("Linux", "Linux"),
];

/// The fixed words where nothing is recognised.
pub const UNKNOWN_DEVICE: &str = "Unknown device";

/// Fixed words for a User-Agent: enough for its owner to know the device again, nothing of the header itself.
fn device(agent: &str) -> String {
    let find = |table: &[(&str, &'static str)]| {
        table
            .iter()
            .find(|(mark, _)| agent.contains(mark))
            .map(|(_, words)| *words)
    };
    match (find(&BROWSERS), find(&SYSTEMS)) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(words), None) | (None, Some(words)) => words.to_owned(),
        (None, None) => UNKNOWN_DEVICE.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn ip(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        for other in [
            "forwarded",
            "x-real-ip",
            "cf-connecting-ip",
            "true-client-ip",
            "x-client-ip",
        ] {
            headers.append(other, "192.0.2.66".parse().unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        client_ip(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn a7_a_forged_header_never_changes_the_address() {
        assert_eq!(
            ip("198.51.100.7", &["192.0.2.1"], &[]),
            "198.51.100.7",
            "no proxy is trusted"
        );
        assert_eq!(
            ip("198.51.100.7", &["192.0.2.1"], &["10.0.0.0/8"]),
            "198.51.100.7",
            "this peer is not"
        );
        let forged = "192.0.2.1, 10.0.0.1, 198.51.100.7";
        assert_eq!(
            ip("10.0.0.9", &[forged], &["10.0.0.0/8"]),
            "198.51.100.7",
            "what the client wrote is left of it"
        );
    }

    #[test]
    fn px_01_two_proxies_and_many_lines() {
        assert_eq!(
            ip("10.0.0.9", &["198.51.100.7, 10.0.0.2"], &["10.0.0.0/8"]),
            "198.51.100.7"
        );
        assert_eq!(
            ip(
                "10.0.0.9",
                &["192.0.2.1, 198.51.100.7", "10.0.0.2"],
                &["10.0.0.0/8"]
            ),
            "198.51.100.7"
        );
        assert_eq!(
            ip("10.0.0.9", &["10.0.0.3, 10.0.0.2"], &["10.0.0.0/8"]),
            "10.0.0.3",
            "all are ours"
        );
        assert_eq!(ip("10.0.0.9", &[], &["10.0.0.0/8"]), "10.0.0.9");
    }

    #[test]
    fn px_01_garbage_ends_the_walk() {
        for garbage in [
            "unknown",
            "",
            "10.0.0",
            "_hidden",
            "<script>",
            "1.2.3.4.5",
            "fe80::1%eth0",
        ] {
            let line = format!("192.0.2.1, {garbage}, 10.0.0.2");
            assert_eq!(
                ip("10.0.0.9", &[&line], &["10.0.0.0/8"]),
                "10.0.0.2",
                "{garbage}"
            );
        }
        assert_eq!(ip("10.0.0.9", &["\u{e9}"], &["10.0.0.0/8"]), "10.0.0.9");
    }

    #[test]
    fn px_01_a_hundred_entries() {
        let line = format!(
            "{}198.51.100.7, {}10.0.0.2",
            "192.0.2.1, ".repeat(49),
            "10.1.1.1, ".repeat(49)
        );
        assert_eq!(ip("10.0.0.9", &[&line], &["10.0.0.0/8"]), "198.51.100.7");
    }

    #[test]
    fn px_01_mapped_ipv4_is_ipv4() {
        assert_eq!(
            ip("::ffff:10.0.0.9", &["::ffff:198.51.100.7"], &["10.0.0.0/8"]),
            "198.51.100.7"
        );
        assert_eq!(
            ip("::ffff:198.51.100.7", &["192.0.2.1"], &["10.0.0.0/8"]),
            "198.51.100.7"
        );
    }

    #[test]
    fn px_01_ports_are_cut() {
        assert_eq!(
            ip("10.0.0.9", &["198.51.100.7:4711"], &["10.0.0.0/8"]),
            "198.51.100.7"
        );
        assert_eq!(
            ip("10.0.0.9", &["[2001:db8::1]:4711"], &["10.0.0.0/8"]),
            "2001:db8::1"
        );
    }

    #[test]
    fn px_01_ipv6_counts_by_its_64() {
        let (network, wide) = networks("2001:db8:1:2:3:4:5:6".parse().unwrap());
        assert_eq!(
            (network.as_str(), wide.as_deref()),
            ("2001:db8:1:2::/64", Some("2001:db8:1::/48"))
        );
        assert_eq!(
            networks("192.0.2.1".parse().unwrap()),
            ("192.0.2.1".into(), None)
        );
    }

    #[test]
    fn a_device_is_fixed_words() {
        let win =
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:130.0) Gecko/20100101 Firefox/130.0";
        assert_eq!(device(win), "Firefox on Windows");
        let mac = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                   Version/18.0 Safari/605.1.15";
        assert_eq!(device(mac), "Safari on macOS");
        let edge =
            "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/130.0 Safari/537.36 Edg/130.0";
        assert_eq!(device(edge), "Edge on Windows");
        let phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile/15E148 Safari/604.1";
        assert_eq!(device(phone), "Safari on iPhone");
        let android = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/130.0 Mobile Safari/537.36";
        assert_eq!(device(android), "Chrome on Android");
        assert_eq!(device("<script>alert(1)</script>"), "Unknown device");
        assert_eq!(device(""), "Unknown device");
    }

    #[test]
    fn a_request_id_is_made_here_and_debug_tells_nothing_else() {
        let request = Request::builder()
            .header("x-request-id", "theirs")
            .header("user-agent", "secret")
            .finish();
        let (a, b) = (
            Caller::from_request(&request),
            Caller::from_request(&request),
        );
        assert!(
            a.request_id.len() == 32 && a.request_id != b.request_id && a.request_id != "theirs"
        );
        assert!(!format!("{a:?}").contains("0.0.0.0"));
    }
}
