//! How many lines of the log the requests of strangers may take (OA-19).
//!
//! A request that belongs to no user, flow or client costs its sender a few bytes, and its line takes
//! some hundred. So each network has a number of lines a minute, and all strangers together have one.
//! The first line of a network counts more than the next ones: those may take half of what there is
//! for all, so that a crowd of loud networks leaves a line for each quiet one. What gets no line is
//! counted, and one line a second gives the numbers.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    network::{Network, Prefix},
    web::every_second::EverySecond,
};

/// The time for which lines are counted.
const WINDOW: Duration = Duration::from_secs(60);

/// The most networks without a line that are counted apart.
const MAX_NETWORKS: usize = 1_000;

/// What the line of a request says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineKind {
    /// The request was refused: 4xx, or 503 without a cause of its own in the log.
    Refused,
    Served,
}

impl LineKind {
    /// Returns how many lines a network and all networks have a minute.
    const fn most(self) -> (u32, u32) {
        match self {
            Self::Refused => (30, 2_400),
            Self::Served => (120, 3_000),
        }
    }
}

/// The lines of strangers on one listener. Clones share them.
#[derive(Clone, Debug)]
pub struct LineBudget {
    written: Arc<Mutex<Written>>,
    left_out: EverySecond<LeftOut>,
}

impl Default for LineBudget {
    fn default() -> Self {
        Self {
            written: Arc::default(),
            left_out: EverySecond::new(LeftOut::write),
        }
    }
}

/// The lines that were written since `since`.
#[derive(Debug, Default)]
struct Written {
    since: Option<Instant>,
    refused: Lines,
    served: Lines,
}

#[derive(Debug, Default)]
struct Lines {
    all: u32,
    by_prefix: HashMap<Prefix, u32>,
}

impl LineBudget {
    /// Takes a line for a request of this network. Returns `false` if there is none left.
    #[must_use]
    pub fn take(&self, network: Network, kind: LineKind) -> bool {
        self.take_at(network, kind, Instant::now())
    }

    fn take_at(&self, network: Network, kind: LineKind, now: Instant) -> bool {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if written
            .since
            .is_none_or(|since| now.duration_since(since) >= WINDOW)
        {
            *written = Written {
                since: Some(now),
                ..Written::default()
            };
        }
        let lines = match kind {
            LineKind::Refused => &mut written.refused,
            LineKind::Served => &mut written.served,
        };
        lines.take(network, kind.most())
    }

    /// Counts a request that got no line. `reason` is a word of ours.
    pub(super) fn leave_out(&self, network: Network, kind: LineKind, reason: Cow<'static, str>) {
        self.left_out.add(|left_out| {
            match kind {
                LineKind::Refused => left_out.refused += 1,
                LineKind::Served => left_out.served += 1,
            }
            *left_out.reasons.entry(reason).or_default() += 1;
            if left_out.networks.len() < MAX_NETWORKS {
                left_out.networks.insert(network);
            }
        });
    }
}

impl Lines {
    fn take(&mut self, network: Network, (of_network, of_all): (u32, u32)) -> bool {
        let written = |prefix: &Prefix| self.by_prefix.get(prefix).copied().unwrap_or_default();
        let has_line = network
            .prefixes()
            .all(|prefix| written(&prefix) < of_network.saturating_mul(prefix.weight));
        // A wide prefix has as many first lines as the networks that it is worth.
        let is_first = network
            .prefixes()
            .all(|prefix| written(&prefix) < prefix.weight);
        let of_all = if is_first { of_all } else { of_all / 2 };
        if !has_line || self.all >= of_all {
            return false;
        }
        self.all += 1;
        for prefix in network.prefixes() {
            *self.by_prefix.entry(prefix).or_default() += 1;
        }
        true
    }
}

/// The requests that got no line since the last count.
#[derive(Debug, Default)]
struct LeftOut {
    refused: u64,
    served: u64,
    networks: HashSet<Network>,
    reasons: HashMap<Cow<'static, str>, u64>,
}

impl LeftOut {
    fn write(self) {
        let most = self.reasons.iter().max_by_key(|(_, count)| **count);
        tracing::info!(
            refused = self.refused,
            served = self.served,
            networks = self.networks.len(),
            most = most.map(|(reason, _)| &**reason),
            "more requests of strangers than have lines of their own"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use super::*;

    /// A network in a /24 of its own.
    fn network(number: u32) -> Network {
        Network::of(IpAddr::V4(Ipv4Addr::from(0x0a00_0001 + number * 0x100)))
    }

    fn lines(budget: &LineBudget, networks: impl Iterator<Item = Network>) -> usize {
        networks
            .filter(|network| budget.take(*network, LineKind::Refused))
            .count()
    }

    #[test]
    fn oa_19_a_network_has_thirty_lines_a_minute() {
        let budget = LineBudget::default();
        let loud = || std::iter::repeat_n(network(1), 10_000);
        assert_eq!(lines(&budget, loud()), 30);
        assert!(budget.take(network(2), LineKind::Refused), "an innocent's");
        assert!(
            budget.take(network(1), LineKind::Served),
            "served requests have lines of their own"
        );
        let later = Instant::now() + WINDOW;
        assert!(budget.take_at(network(1), LineKind::Refused, later));
    }

    #[test]
    fn oa_19_a_thousand_loud_networks_leave_a_line_for_each_quiet_one() {
        let budget = LineBudget::default();
        let written = lines(&budget, (0..100_000).map(|turn| network(turn % 1_000)));
        assert_eq!(written, 1_200, "half of the lines");
        let quiet = lines(&budget, (1_000..2_000).map(network));
        assert_eq!(quiet, 1_000);
        let all = written + quiet + lines(&budget, (2_000..9_000).map(network));
        assert_eq!(all, 2_400, "no more, whatever comes");
    }

    #[test]
    fn oa_19_a_customer_with_many_networks_has_the_lines_of_eight() {
        let budget = LineBudget::default();
        let of_48 = (0..60_000_u128).map(|turn| {
            let address = (0x2001_0db8_0001_u128 << 80) | (turn << 64);
            Network::of(IpAddr::V6(Ipv6Addr::from(address)))
        });
        assert_eq!(lines(&budget, of_48), 240);
    }

    #[tokio::test]
    async fn oa_19_what_is_left_out_is_counted_in_bounded_space() {
        let budget = LineBudget::default();
        let most = u32::try_from(MAX_NETWORKS).unwrap();
        for number in 0..2 * most {
            for reason in ["rate_limited", "csrf"] {
                budget.leave_out(network(number), LineKind::Refused, reason.into());
            }
        }
        budget.leave_out(network(0), LineKind::Served, "csrf".into());
        budget.left_out.add(|left_out| {
            let counted = (left_out.refused, left_out.served);
            assert_eq!(counted, (u64::from(4 * most), 1), "each is counted");
            assert_eq!(left_out.networks.len(), MAX_NETWORKS);
            assert_eq!(left_out.reasons.len(), 2);
            assert_eq!(left_out.reasons["csrf"], u64::from(2 * most) + 1);
        });
    }
}
