//! The caller: the address, network, device and languages that a request comes from, and its id.
//!
//! The address is that of the TCP peer. `X-Forwarded-For` is trusted only as far as configured
//! proxies wrote it; every other forwarding header is ignored (PX-01). The User-Agent is not kept:
//! it is reduced to a few fixed words.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
};

use ipnet::IpNet;
use poem::{
    Request,
    http::{HeaderMap, StatusCode, header},
};

use super::{line_budget::LineBudget, log_line::LogLine};
use crate::{network::Network, secret};

/// The sender of a request. `Debug` shows the request id alone.
#[derive(Clone)]
pub struct Caller {
    /// The right-most hop that is no proxy of ours. An IPv4 address mapped to IPv6 becomes IPv4.
    pub ip: IpAddr,
    /// The IPv4 address, or the /64 of an IPv6 address, as text.
    pub network: String,
    /// Random, never taken from outside. Error responses show it as the reference.
    pub request_id: String,
    /// Fixed words such as `Firefox on Windows`, or `Unknown device`.
    pub device: String,
    /// The Accept-Language header, cut to 256 bytes; empty if absent.
    pub accept_language: String,
    /// Whether the request has a line of its own in the log.
    pub log_line: LogLine,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("request_id", &self.request_id)
            .finish_non_exhaustive()
    }
}

impl Caller {
    /// Returns the caller that the layers stored in this request. Without layers it is resolved
    /// anew, with no trusted proxy.
    #[must_use]
    pub fn from_request(request: &Request) -> Self {
        request
            .data::<Self>()
            .cloned()
            .unwrap_or_else(|| Self::resolve(request, &[]))
    }

    /// Resolves the caller. Networks in `trusted_proxies` may add to `X-Forwarded-For`.
    #[must_use]
    pub fn resolve(request: &Request, trusted_proxies: &[IpNet]) -> Self {
        let headers = request.headers();
        let ip = address_of(request, trusted_proxies);
        Self {
            ip,
            network: Network::of(ip).to_string(),
            request_id: secret::public_id().simple().to_string(),
            device: describe_device(header_text(headers, &header::USER_AGENT, 512)),
            accept_language: header_text(headers, &header::ACCEPT_LANGUAGE, 256).to_owned(),
            log_line: LogLine::default(),
        }
    }

    /// Lets the request take its line in the log from a budget of strangers, unless it turns out to
    /// belong to a user, a flow or a client (OA-19). Without a budget it has its line.
    #[must_use]
    pub fn with_lines_of(self, budget: Option<&LineBudget>) -> Self {
        let new = |budget| LogLine::new(budget, Network::of(self.ip));
        let log_line = budget.map(new).unwrap_or_default();
        Self { log_line, ..self }
    }

    /// Returns the reference that a response of this status shows; none if the request gets no line in
    /// the log, where it would lead to nothing.
    #[must_use]
    pub fn reference(&self, status: StatusCode) -> Option<&str> {
        let is_written = self.log_line.is_written(status);
        is_written.then_some(self.request_id.as_str())
    }

    /// Returns the reference for a line about why the request is refused; none if it gets no line.
    #[must_use]
    pub fn reference_if_refused(&self) -> Option<&str> {
        self.reference(StatusCode::BAD_REQUEST)
    }
}

/// Returns the address of [`Caller::resolve`] alone.
#[must_use]
pub fn address_of(request: &Request, trusted_proxies: &[IpNet]) -> IpAddr {
    let peer = request
        .remote_addr()
        .as_socket_addr()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |a| a.ip());
    client_ip(peer, request.headers(), trusted_proxies)
}

/// Returns a header as text of at most `max` bytes, empty if it is absent or not plain ASCII.
fn header_text<'a>(headers: &'a HeaderMap, name: &header::HeaderName, max: usize) -> &'a str {
    let value = headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    value.get(..max).unwrap_or(value)
}

/// Walks from the TCP peer leftwards through X-Forwarded-For while the hop is a trusted proxy
/// (PX-01, A7). What is left of the first untrusted hop is not trusted. An entry that is no address
/// ends the walk at the hop that wrote it.
fn client_ip(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_proxy = |ip: IpAddr| trusted.iter().any(|net| net.contains(&ip));
    let mut ip = peer.to_canonical();
    let lines = headers.get_all("x-forwarded-for").iter().rev();
    for entry in lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')) {
        if !is_proxy(ip) {
            break;
        }
        let Some(next) = parse_hop(entry) else { break };
        ip = next;
    }
    ip
}

/// Parses an address as proxies write it, with or without a port.
fn parse_hop(entry: &[u8]) -> Option<IpAddr> {
    let entry = std::str::from_utf8(entry.trim_ascii()).ok()?;
    let ip = entry
        .parse()
        .ok()
        .or_else(|| Some(entry.parse::<std::net::SocketAddr>().ok()?.ip()))?;
    Some(ip.to_canonical())
}

/// In this order: a browser that imitates another one names that one, too.
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

/// The words for a device that is not recognised.
pub const UNKNOWN_DEVICE: &str = "Unknown device";

/// Returns fixed words for a User-Agent: enough for its owner to recognise the device, and nothing
/// of the header itself.
fn describe_device(agent: &str) -> String {
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
    use super::*;

    fn client(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
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
            client("198.51.100.7", &["192.0.2.1"], &[]),
            "198.51.100.7",
            "no proxy is trusted"
        );
        assert_eq!(
            client("198.51.100.7", &["192.0.2.1"], &["10.0.0.0/8"]),
            "198.51.100.7",
            "this peer is not trusted"
        );
        let forged = "192.0.2.1, 10.0.0.1, 198.51.100.7";
        assert_eq!(
            client("10.0.0.9", &[forged], &["10.0.0.0/8"]),
            "198.51.100.7",
            "the client wrote what is left of it"
        );
    }

    #[test]
    fn px_01_two_proxies_and_many_lines() {
        assert_eq!(
            client("10.0.0.9", &["198.51.100.7, 10.0.0.2"], &["10.0.0.0/8"]),
            "198.51.100.7"
        );
        assert_eq!(
            client(
                "10.0.0.9",
                &["192.0.2.1, 198.51.100.7", "10.0.0.2"],
                &["10.0.0.0/8"]
            ),
            "198.51.100.7"
        );
        assert_eq!(
            client("10.0.0.9", &["10.0.0.3, 10.0.0.2"], &["10.0.0.0/8"]),
            "10.0.0.3",
            "all are ours"
        );
        assert_eq!(client("10.0.0.9", &[], &["10.0.0.0/8"]), "10.0.0.9");
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
                client("10.0.0.9", &[&line], &["10.0.0.0/8"]),
                "10.0.0.2",
                "{garbage}"
            );
        }
        assert_eq!(client("10.0.0.9", &["\u{e9}"], &["10.0.0.0/8"]), "10.0.0.9");
    }

    #[test]
    fn px_01_a_hundred_entries() {
        let line = format!(
            "{}198.51.100.7, {}10.0.0.2",
            "192.0.2.1, ".repeat(49),
            "10.1.1.1, ".repeat(49)
        );
        assert_eq!(
            client("10.0.0.9", &[&line], &["10.0.0.0/8"]),
            "198.51.100.7"
        );
    }

    #[test]
    fn px_01_mapped_ipv4_is_ipv4() {
        assert_eq!(
            client("::ffff:10.0.0.9", &["::ffff:198.51.100.7"], &["10.0.0.0/8"]),
            "198.51.100.7"
        );
        assert_eq!(
            client("::ffff:198.51.100.7", &["192.0.2.1"], &["10.0.0.0/8"]),
            "198.51.100.7"
        );
    }

    #[test]
    fn px_01_ports_are_cut() {
        assert_eq!(
            client("10.0.0.9", &["198.51.100.7:4711"], &["10.0.0.0/8"]),
            "198.51.100.7"
        );
        assert_eq!(
            client("10.0.0.9", &["[2001:db8::1]:4711"], &["10.0.0.0/8"]),
            "2001:db8::1"
        );
    }

    #[test]
    fn a_device_is_fixed_words() {
        let win =
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:130.0) Gecko/20100101 Firefox/130.0";
        assert_eq!(describe_device(win), "Firefox on Windows");
        let mac = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                   Version/18.0 Safari/605.1.15";
        assert_eq!(describe_device(mac), "Safari on macOS");
        let edge =
            "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/130.0 Safari/537.36 Edg/130.0";
        assert_eq!(describe_device(edge), "Edge on Windows");
        let phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile/15E148 Safari/604.1";
        assert_eq!(describe_device(phone), "Safari on iPhone");
        let android = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/130.0 Mobile Safari/537.36";
        assert_eq!(describe_device(android), "Chrome on Android");
        assert_eq!(
            describe_device("<script>alert(1)</script>"),
            "Unknown device"
        );
        assert_eq!(describe_device(""), "Unknown device");
    }

    #[test]
    fn a_request_id_is_made_here_and_debug_shows_nothing_else() {
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
