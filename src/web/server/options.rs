//! The bounds of a listener.

use std::{sync::Arc, time::Duration};

use ipnet::IpNet;

/// The bounds of a listener.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// How long a header may take to arrive, and an idle HTTP/1.1 connection may wait for its next
    /// request.
    pub header_timeout: Duration,
    /// How long the TLS handshake may take.
    pub handshake_timeout: Duration,
    /// The most bytes of a header: 431. At least 8 KiB.
    pub header_bytes: usize,
    /// How long a connection may be without a request before it is closed.
    pub idle_timeout: Duration,
    /// How long a connection with a request may be without activity (a request begins or ends, a
    /// part of a response leaves) before it is cut: for clients that do not read.
    pub busy_timeout: Duration,
    /// More connections wait in the backlog of the operating system.
    pub max_connections: usize,
    /// The most connections of one IPv4 address or IPv6 /64. More are closed at once.
    pub connections_per_network: usize,
    /// Networks whose connections are not counted by network: proxies, which carry every client.
    pub trusted_proxies: Arc<[IpNet]>,
    /// The most concurrent requests of one HTTP/2 connection.
    pub max_streams: u32,
    /// The most bytes of all unfinished requests together (OA-5).
    pub request_bytes: usize,
    /// How long requests may go on after the shutdown began.
    pub drain_timeout: Duration,
    /// How long units of work may go on after that, whose clients are gone by then (SP-3).
    pub work_timeout: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            header_bytes: 16 * 1024,
            idle_timeout: Duration::from_secs(60),
            busy_timeout: Duration::from_secs(300),
            max_connections: 4096,
            connections_per_network: 512,
            trusted_proxies: Arc::new([]),
            max_streams: 32,
            request_bytes: 64 * 1024 * 1024,
            drain_timeout: Duration::from_secs(20),
            work_timeout: Duration::from_secs(5),
        }
    }
}
