//! The log line of requests whose header was not read: it is too large (431, or 414 for its address),
//! or malformed (400).
//!
//! They are refused before the layers, so that they have no line of their own and show no reference.
//! Any stranger can send them: all of a second share one line.

use std::{error::Error, net::IpAddr};

use poem::web::RemoteAddr;

use crate::{network::Network, web::every_second::EverySecond};

/// What was refused since the last line.
#[derive(Debug, Default)]
struct Unread {
    too_large: u64,
    malformed: u64,
    /// That of the last one.
    network: Option<Network>,
}

/// Counts what was refused, and logs it once a second.
#[derive(Clone, Debug)]
pub(super) struct UnreadLog(EverySecond<Unread>);

impl Default for UnreadLog {
    fn default() -> Self {
        Self(EverySecond::new(write))
    }
}

impl UnreadLog {
    /// Counts the request that ended a connection with this error, if one did.
    pub(super) fn note_error(&self, error: &(dyn Error + 'static), remote: &RemoteAddr) {
        match error.downcast_ref::<hyper::Error>() {
            Some(error) if error.is_parse_too_large() => self.note_too_large(remote),
            Some(error) if error.is_parse() => self.0.add(|unread| {
                unread.malformed += 1;
                unread.network = network_of(remote);
            }),
            _ => {}
        }
    }

    pub(super) fn note_too_large(&self, remote: &RemoteAddr) {
        self.0.add(|unread| {
            unread.too_large += 1;
            unread.network = network_of(remote);
        });
    }
}

fn network_of(remote: &RemoteAddr) -> Option<Network> {
    let ip: IpAddr = remote.as_socket_addr()?.ip();
    Some(Network::of(ip))
}

fn write(unread: Unread) {
    let reason = match unread.too_large {
        0 => "header_malformed",
        _ => "header_too_large",
    };
    tracing::info!(
        too_large = unread.too_large,
        malformed = unread.malformed,
        network = unread.network.map(tracing::field::display),
        reason,
        "requests were refused by their header: 431 where it is too large, 400 where it is malformed"
    );
}
