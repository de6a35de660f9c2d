//! The event streams that this process holds open, and which of them ends for a new one (OA-6).
//!
//! A login has one stream: a newer one replaces it. Beyond the limit the network that holds most
//! streams, beside its share, loses its oldest.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Notify;
use uuid::Uuid;

use crate::network::{
    Network, Prefix,
    shares::{Group, Holding, Shares, groups_of},
};

/// The most streams of this process. Each queries the database once a second.
const MAX_STREAMS: usize = 256;

/// The open streams of this process.
static OPEN_STREAMS: Mutex<Option<OpenStreams>> = Mutex::new(None);

/// The streams by login, and by the networks that hold them.
#[derive(Default)]
struct OpenStreams {
    by_login: HashMap<Uuid, Open>,
    shares: Shares<Prefix, Uuid>,
    turn: u64,
}

struct Open {
    holding: Holding<Uuid, Vec<Group<Prefix>>>,
    ended: Arc<Notify>,
}

impl OpenStreams {
    /// Opens the stream of a login and returns its turn. Others end for it.
    fn open(&mut self, login: Uuid, caller: IpAddr, ended: &Arc<Notify>, max: usize) -> u64 {
        self.end(login);
        while self.by_login.len() >= max {
            let oldest = self.shares.of_largest().next().copied();
            let Some(oldest) = oldest else { break };
            self.end(oldest);
        }
        self.turn += 1;
        let holding = Holding {
            key: login,
            turn: self.turn,
            amount: 1,
            groups: groups_of(Network::of(caller)),
        };
        self.shares.add(&holding);
        let ended = Arc::clone(ended);
        self.by_login.insert(login, Open { holding, ended });
        self.turn
    }

    fn end(&mut self, login: Uuid) {
        if let Some(open) = self.by_login.remove(&login) {
            self.shares.remove(&open.holding);
            // The permit stays for a stream that is not waiting now.
            open.ended.notify_one();
        }
    }

    /// Removes the stream of this turn, unless another one replaced it.
    fn close(&mut self, login: Uuid, turn: u64) {
        let open = self.by_login.get(&login);
        if open.is_some_and(|open| open.holding.turn == turn) {
            self.end(login);
        }
    }
}

fn with_streams<T>(work: impl FnOnce(&mut OpenStreams) -> T) -> T {
    let mut streams = OPEN_STREAMS.lock().unwrap_or_else(PoisonError::into_inner);
    work(streams.get_or_insert_default())
}

/// One open stream, until it is dropped.
pub(super) struct StreamSlot {
    login: Uuid,
    turn: u64,
    ended: Arc<Notify>,
}

impl StreamSlot {
    /// Opens the stream of a login for a caller.
    pub(super) fn open(login: Uuid, caller: IpAddr) -> Self {
        let ended = Arc::new(Notify::new());
        let turn = with_streams(|streams| streams.open(login, caller, &ended, MAX_STREAMS));
        Self { login, turn, ended }
    }

    /// Waits until another stream takes the place of this one.
    pub(super) async fn ended(&self) {
        self.ended.notified().await;
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        with_streams(|streams| streams.close(self.login, self.turn));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn login(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn is_ended(ended: &Arc<Notify>) -> bool {
        use futures_util::FutureExt as _;
        ended.notified().now_or_never().is_some()
    }

    #[test]
    fn oa_6_the_largest_network_loses_its_oldest_stream_first() {
        let mut streams = OpenStreams::default();
        let all: Vec<_> = (0..12).map(|_| Arc::new(Notify::new())).collect();
        streams.open(login(0), address("203.0.113.1"), &all[0], 10);
        for (n, ended) in all.iter().enumerate().skip(1) {
            let caller = address(&format!("127.0.{}.1", n % 2));
            streams.open(login(n as u128), caller, ended, 10);
        }
        let ended: Vec<usize> = (0..12).filter(|n| is_ended(&all[*n])).collect();
        assert_eq!(ended, [1, 2], "the innocent's is older and stays");
        assert_eq!(streams.by_login.len(), 10);
    }

    #[test]
    fn oa_6_a_newer_stream_of_a_login_replaces_the_older() {
        let mut streams = OpenStreams::default();
        let (older, newer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let first = streams.open(login(1), address("203.0.113.1"), &older, 10);
        let second = streams.open(login(1), address("198.51.100.1"), &newer, 10);
        assert!(is_ended(&older) && !is_ended(&newer));
        streams.close(login(1), first);
        assert_eq!(streams.by_login.len(), 1, "the older one closes late");
        streams.close(login(1), second);
        assert!(streams.by_login.is_empty() && streams.shares.is_empty());
    }
}
