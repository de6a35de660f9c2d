//! Budgets, counted in the ticket store so that all instances share them.
//!
//! Windows are fixed and run from the first hit; a refused hit is not counted. Each check is one command
//! to the store, for every caller and every result, so that neither time nor traffic distinguishes one
//! address from another (A2). While the store is away a check returns an `InfraError`, and the caller
//! must refuse: no count, no email (A4).

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use crate::{
    config::{Budget, Limits},
    error::InfraError,
    secret::Hash,
    telemetry::metrics,
    ticket::{Counter, Tickets},
};

/// Counts an email that this caller requests. `Some` is a refusal with 429 and the time of Retry-After.
///
/// IPv4 is counted by address, IPv6 by /64 and by /48, which one customer holds. An IPv4-mapped IPv6
/// address (RFC 4291 §2.5.5.2) is the IPv4 address.
pub async fn network(
    tickets: &Tickets,
    caller: IpAddr,
    limits: &Limits,
) -> Result<Option<Duration>, InfraError> {
    hit_network(
        tickets,
        "network",
        caller,
        &limits.network,
        &limits.network_wide,
    )
    .await
}

/// Counts one event of a network: `own` is the budget of an IPv4 address or of the /64 of an IPv6 one,
/// `wide` that of its /48.
async fn hit_network(
    tickets: &Tickets,
    scope: &'static str,
    caller: IpAddr,
    own: &[Budget],
    wide: &[Budget],
) -> Result<Option<Duration>, InfraError> {
    let (subject, counters) = match caller.to_canonical() {
        IpAddr::V4(address) => (Hash::of(&address.octets()), counters(scope, own)),
        IpAddr::V6(address) => {
            let (prefix, subnet) = split_prefix(address);
            let mut both = counters(&format!("{scope} {subnet:04x}"), own);
            both.extend(counters(scope, wide));
            (Hash::of(&prefix), both)
        }
    };
    let wait = tickets.hit(&subject, &counters).await?;
    Ok(wait.inspect(|_| metrics::limited(scope)))
}

/// Counts an event that stores an entry in the ticket store or a row in the audit log. A /48 has four
/// times the budget of a /64.
async fn hit_storage(
    tickets: &Tickets,
    scope: &'static str,
    caller: IpAddr,
    limits: &Limits,
) -> Result<Option<Duration>, InfraError> {
    let four = |budget: &Budget| Budget {
        count: budget.count.saturating_mul(4),
        ..*budget
    };
    let wide: Vec<Budget> = limits.authorize.iter().map(four).collect();
    hit_network(tickets, scope, caller, &limits.authorize, &wide).await
}

/// Counts a client request of this caller that waits for a sign-in. `Some` is a refusal with 429.
pub async fn authorize(
    tickets: &Tickets,
    caller: IpAddr,
    limits: &Limits,
) -> Result<Option<Duration>, InfraError> {
    hit_storage(tickets, "authorize", caller, limits).await
}

/// Counts the start of a sign-in at an upstream provider, by the same budget: it stores an entry, too.
/// `Some` is a refusal with 429.
pub async fn upstream(
    tickets: &Tickets,
    caller: IpAddr,
    limits: &Limits,
) -> Result<Option<Duration>, InfraError> {
    hit_storage(tickets, "upstream", caller, limits).await
}

/// Counts a refused response of a provider. Over the budget it is logged and not recorded in the audit
/// log.
pub async fn upstream_refusal(
    tickets: &Tickets,
    caller: IpAddr,
    limits: &Limits,
) -> Result<Option<Duration>, InfraError> {
    hit_storage(tickets, "upstream refusal", caller, limits).await
}

/// Counts an email to this address (its key, E6). `false`: send none, and respond as if one were sent.
pub async fn address(tickets: &Tickets, key: &Hash, limits: &Limits) -> Result<bool, InfraError> {
    Ok(hit(tickets, "address", key, &limits.address)
        .await?
        .is_none())
}

/// Counts an email to this address that a known device requests. Known devices have a budget of their
/// own, so that strangers who exhaust the address's budget do not lock its owner out (A6).
pub async fn known_device(
    tickets: &Tickets,
    device: &Hash,
    key: &Hash,
    limits: &Limits,
) -> Result<bool, InfraError> {
    let pair = Hash::of(&[*device.as_bytes(), *key.as_bytes()].concat());
    Ok(hit(tickets, "device", &pair, &limits.known_device)
        .await?
        .is_none())
}

/// Counts one event of `subject` against all `budgets` if none is exhausted. Otherwise counts nothing and
/// returns the time until none is. `scope` separates the counts of rules. Without budgets there is no
/// limit.
pub async fn hit(
    tickets: &Tickets,
    scope: &'static str,
    subject: &Hash,
    budgets: &[Budget],
) -> Result<Option<Duration>, InfraError> {
    let wait = tickets.hit(subject, &counters(scope, budgets)).await?;
    Ok(wait.inspect(|_| metrics::limited(scope)))
}

/// Returns what [`hit`] would, without counting: beside a counter with the limit 0 no counter is raised,
/// and a wait longer than the window of that one comes from a budget.
pub async fn peek(
    tickets: &Tickets,
    scope: &'static str,
    subject: &Hash,
    budgets: &[Budget],
) -> Result<Option<Duration>, InfraError> {
    let blocker = Counter {
        name: format!("{scope} look"),
        limit: 0,
        window: Duration::from_millis(1),
    };
    let least = blocker.window;
    let mut all = counters(scope, budgets);
    all.push(blocker);
    let wait = tickets
        .hit(subject, &all)
        .await?
        .filter(|wait| *wait > least);
    Ok(wait.inspect(|_| metrics::limited(scope)))
}

/// Returns one counter for each window: of two budgets over the same time the smaller holds. A window
/// keeps its count when a reload changes its limit.
fn counters(scope: &str, budgets: &[Budget]) -> Vec<Counter> {
    let mut smallest = BTreeMap::new();
    for budget in budgets {
        let limit: &mut u32 = smallest.entry(budget.seconds).or_insert(budget.count);
        *limit = budget.count.min(*limit);
    }
    let counter = |(seconds, limit)| Counter {
        name: format!("{scope} {seconds}"),
        limit,
        window: Duration::from_secs(seconds),
    };
    smallest.into_iter().map(counter).collect()
}

/// Returns the /48 of an address, and the number of its /64. The store sees only the latter in clear.
fn split_prefix(address: Ipv6Addr) -> ([u8; 6], u16) {
    let [a, b, c, d, e, f, g, h, ..] = address.octets();
    ([a, b, c, d, e, f], u16::from_be_bytes([g, h]))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{clock::Clock, secret::MasterKeys};

    fn fresh() -> (Tickets, Clock, Limits) {
        let clock = Clock::default();
        (
            Tickets::memory(100_000, clock.clone(), &MasterKeys::new([7; 32], [])),
            clock,
            Limits::default(),
        )
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    async fn pass(tickets: &Tickets, caller: &str, limits: &Limits, times: usize) -> usize {
        let mut passed = 0;
        for _ in 0..times {
            passed += usize::from(
                network(tickets, ip(caller), limits)
                    .await
                    .unwrap()
                    .is_none(),
            );
        }
        passed
    }

    #[tokio::test]
    async fn a5_address_gets_5_in_15_minutes_10_in_an_hour_20_in_a_day() {
        let (tickets, clock, limits) = fresh();
        let key = Hash::of(b"someone");
        let mut sent = 0;
        let mut after = Vec::new();
        for minute in 0..24 * 60 {
            for _ in 0..3 {
                sent += u32::from(address(&tickets, &key, &limits).await.unwrap());
            }
            if [14, 59, 24 * 60 - 1].contains(&minute) {
                after.push(sent);
            }
            clock.advance(Duration::from_secs(60));
        }
        assert_eq!(after, [5, 10, 20]);
        assert!(
            address(&tickets, &Hash::of(b"another"), &limits)
                .await
                .unwrap()
        );
    }

    #[tokio::test]
    async fn a5_network_of_ipv4_gets_20_in_10_minutes_50_in_an_hour() {
        let (tickets, clock, limits) = fresh();
        assert_eq!(pass(&tickets, "192.0.2.1", &limits, 25).await, 20);
        let wait = network(&tickets, ip("192.0.2.1"), &limits)
            .await
            .unwrap()
            .unwrap();
        assert!(
            wait <= Duration::from_secs(600) && wait > Duration::from_secs(590),
            "{wait:?}"
        );
        assert_eq!(
            pass(&tickets, "::ffff:192.0.2.1", &limits, 1).await,
            0,
            "the same address, IPv4-mapped"
        );
        assert_eq!(
            pass(&tickets, "192.0.2.2", &limits, 1).await,
            1,
            "the neighbouring address has its own budget"
        );
        clock.advance(wait);
        assert_eq!(pass(&tickets, "192.0.2.1", &limits, 25).await, 20);
        clock.advance(Duration::from_secs(600));
        assert_eq!(
            pass(&tickets, "192.0.2.1", &limits, 25).await,
            10,
            "the hour has 50"
        );
    }

    #[tokio::test]
    async fn a5_network_of_ipv6_is_counted_by_64_and_by_48() {
        let (tickets, _, limits) = fresh();
        assert_eq!(pass(&tickets, "2001:db8:1:1::1", &limits, 10).await, 10);
        assert_eq!(
            pass(&tickets, "2001:db8:1:1:ffff::2", &limits, 15).await,
            10,
            "the same /64"
        );
        let mut passed = 20;
        for subnet in 2..=20 {
            passed += pass(&tickets, &format!("2001:db8:1:{subnet:x}::1"), &limits, 20).await;
        }
        assert_eq!(passed, 200, "the /48 has 200 an hour");
        assert_eq!(
            pass(&tickets, "2001:db8:2:1::1", &limits, 1).await,
            1,
            "another /48"
        );
    }

    #[tokio::test]
    async fn requests_that_store_entries_are_counted_by_64_and_by_48() {
        let (tickets, _, mut limits) = fresh();
        limits.authorize = vec![Budget {
            count: 10,
            seconds: 600,
        }];
        let mut passed = Vec::new();
        for subnet in 1..=6 {
            let caller = ip(&format!("2001:db8:1:{subnet:x}::1"));
            let mut passed_here = 0;
            for _ in 0..15 {
                passed_here += usize::from(
                    authorize(&tickets, caller, &limits)
                        .await
                        .unwrap()
                        .is_none(),
                );
            }
            passed.push(passed_here);
        }
        assert_eq!(
            passed,
            [10, 10, 10, 10, 0, 0],
            "one customer holds a whole /48"
        );
        assert_eq!(
            upstream(&tickets, ip("2001:db8:1:1::1"), &limits)
                .await
                .unwrap(),
            None,
            "a rule of its own"
        );
        assert_eq!(
            authorize(&tickets, ip("2001:db8:2:1::1"), &limits)
                .await
                .unwrap(),
            None,
            "another /48"
        );
    }

    #[tokio::test]
    async fn a6_a_known_device_still_gets_email_when_strangers_exhausted_the_address() {
        let (tickets, _, limits) = fresh();
        let (key, device) = (Hash::of(b"someone"), Hash::of(b"device"));
        for _ in 0..100 {
            let _ = address(&tickets, &key, &limits).await.unwrap();
        }
        assert!(!address(&tickets, &key, &limits).await.unwrap());
        let mut sent = 0;
        for _ in 0..5 {
            sent += u32::from(
                known_device(&tickets, &device, &key, &limits)
                    .await
                    .unwrap(),
            );
        }
        assert_eq!(sent, 3);
        assert!(
            known_device(&tickets, &device, &Hash::of(b"another"), &limits)
                .await
                .unwrap()
        );
    }

    #[tokio::test]
    async fn a4_without_a_store_nothing_passes() {
        let clock = Clock::default();
        let full = Tickets::memory(0, clock, &MasterKeys::new([7; 32], []));
        let limits = Limits::default();
        let key = Hash::of(b"someone");
        assert!(
            address(&full, &key, &limits)
                .await
                .unwrap_err()
                .is_transient()
        );
        assert!(
            known_device(&full, &key, &key, &limits)
                .await
                .unwrap_err()
                .is_transient()
        );
        assert!(
            network(&full, ip("192.0.2.1"), &limits)
                .await
                .unwrap_err()
                .is_transient()
        );
    }

    #[tokio::test]
    async fn peek_counts_nothing_and_returns_what_a_hit_would() {
        let (tickets, clock, _) = fresh();
        let (subject, budgets) = (
            Hash::of(b"someone"),
            [Budget {
                count: 2,
                seconds: 60,
            }],
        );
        let peeked = async || peek(&tickets, "x", &subject, &budgets).await.unwrap();
        for _ in 0..2 {
            for _ in 0..5 {
                assert_eq!(peeked().await, None);
            }
            assert_eq!(hit(&tickets, "x", &subject, &budgets).await.unwrap(), None);
        }
        let long = |wait: Option<Duration>| wait.is_some_and(|wait| wait > Duration::from_secs(50));
        assert!(
            long(peeked().await) && long(hit(&tickets, "x", &subject, &budgets).await.unwrap())
        );
        clock.advance(Duration::from_secs(60));
        assert_eq!(peeked().await, None);
    }

    #[test]
    fn of_two_budgets_over_the_same_time_the_smaller_holds() {
        let list = [(5, 60), (9, 3600), (3, 60)].map(|(count, seconds)| Budget { count, seconds });
        let held: Vec<_> = counters("x", &list)
            .into_iter()
            .map(|c| (c.name, c.limit))
            .collect();
        assert_eq!(held, [("x 60".to_owned(), 3), ("x 3600".to_owned(), 9)]);
    }
}
