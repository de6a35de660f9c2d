//! Budgets, counted in the ticket store so that all copies share them: what asks for mail must pass here first.
//!
//! Windows are fixed and run from the first hit; a refused hit counts nowhere. Each question is one command to the
//! store, whoever asks and whatever the answer, so that neither time nor traffic tells one address from another. When
//! the store is away the answer is a `InfraError`, and whoever asks must refuse: no count, no mail.

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

/// Counts a mail asked for from this caller. `Some`: refuse with 429, and Retry-After so long.
///
/// IPv4 is counted by address, IPv6 by /64 and by /48: one customer holds that many. An IPv4 address in IPv6 clothes
/// (RFC 4291 §2.5.5.2) is the IPv4 address.
///
/// # Errors
/// If the store is away.
pub async fn network(
    tickets: &Tickets,
    caller: IpAddr,
    limits: &Limits,
) -> Result<Option<Duration>, InfraError> {
    of_network(
        tickets,
        "network",
        caller,
        &limits.network,
        &limits.network_wide,
    )
    .await
}

/// The same for any rule: `own` for an IPv4 address or the /64 of an IPv6 one, `wide` for its /48.
async fn of_network(
    tickets: &Tickets,
    scope: &'static str,
    caller: IpAddr,
    own: &[Budget],
    wide: &[Budget],
) -> Result<Option<Duration>, InfraError> {
    let (subject, counters) = match caller.to_canonical() {
        IpAddr::V4(address) => (Hash::of(&address.octets()), counters(scope, own)),
        IpAddr::V6(address) => {
            let (prefix, subnet) = split(address);
            let mut both = counters(&format!("{scope} {subnet:04x}"), own);
            both.extend(counters(scope, wide));
            (Hash::of(&prefix), both)
        }
    };
    let wait = tickets.hit(&subject, &counters).await?;
    Ok(wait.inspect(|_| metrics::limited(scope)))
}

/// What takes room in the ticket store, or in the trail: a /48 may four times what each of its /64 may.
async fn room(
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
    of_network(tickets, scope, caller, &limits.authorize, &wide).await
}

/// Counts a client request from this caller that has to wait for a person. `Some`: refuse with 429.
///
/// # Errors
/// If the store is away.
pub async fn authorize(
    tickets: &Tickets,
    caller: IpAddr,
    limits: &Limits,
) -> Result<Option<Duration>, InfraError> {
    room(tickets, "authorize", caller, limits).await
}

/// Counts a start towards an upstream provider from this caller, by the same budget: it takes room in the ticket store
/// too. `Some`: refuse with 429.
///
/// # Errors
/// If the store is away.
pub async fn upstream(
    tickets: &Tickets,
    caller: IpAddr,
    limits: &Limits,
) -> Result<Option<Duration>, InfraError> {
    room(tickets, "upstream", caller, limits).await
}

/// Counts a refused answer of a provider from this caller: over the budget it has a line in the log alone.
///
/// # Errors
/// If the store is away.
pub async fn upstream_refusal(
    tickets: &Tickets,
    caller: IpAddr,
    limits: &Limits,
) -> Result<Option<Duration>, InfraError> {
    room(tickets, "upstream refusal", caller, limits).await
}

/// Counts a mail to this address (its key, see E6). `false`: send nothing, and let nobody notice.
///
/// # Errors
/// If the store is away.
pub async fn address(tickets: &Tickets, key: &Hash, limits: &Limits) -> Result<bool, InfraError> {
    Ok(hit(tickets, "address", key, &limits.address)
        .await?
        .is_none())
}

/// Counts a mail to this address, asked for by a browser that has signed in with it before: a quota of its own, so
/// that strangers who spend the address's do not lock its owner out.
///
/// # Errors
/// If the store is away.
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

/// Counts one event of `subject` against all `budgets`, if all have room; else counts it nowhere and gives how long
/// until all would have. `scope` keeps the counts of one rule from another's. No budgets: no limit.
///
/// # Errors
/// If the store is away.
pub async fn hit(
    tickets: &Tickets,
    scope: &'static str,
    subject: &Hash,
    budgets: &[Budget],
) -> Result<Option<Duration>, InfraError> {
    let wait = tickets.hit(subject, &counters(scope, budgets)).await?;
    Ok(wait.inspect(|_| metrics::limited(scope)))
}

/// Whether these budgets have no room for `subject`, without counting anything: what [`hit`] would say. Beside a counter
/// that lets nothing pass none is raised, and a wait longer than that one's is another's.
///
/// # Errors
/// If the store is away.
pub async fn look(
    tickets: &Tickets,
    scope: &'static str,
    subject: &Hash,
    budgets: &[Budget],
) -> Result<Option<Duration>, InfraError> {
    let nothing = Counter {
        name: format!("{scope} look"),
        limit: 0,
        window: Duration::from_millis(1),
    };
    let least = nothing.window;
    let mut all = counters(scope, budgets);
    all.push(nothing);
    let wait = tickets
        .hit(subject, &all)
        .await?
        .filter(|wait| *wait > least);
    Ok(wait.inspect(|_| metrics::limited(scope)))
}

/// One counter a window: of two budgets over the same time the smaller holds. A window keeps its count when a reload
/// of the configuration changes its limit.
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

/// The /48 of an address, and which /64 of it: the store sees only the latter in clear.
fn split(address: Ipv6Addr) -> ([u8; 6], u16) {
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
            "the same address in IPv6 clothes"
        );
        assert_eq!(
            pass(&tickets, "192.0.2.2", &limits, 1).await,
            1,
            "its neighbour is another"
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
    async fn requests_that_take_room_are_counted_by_64_and_by_48() {
        let (tickets, _, mut limits) = fresh();
        limits.authorize = vec![Budget {
            count: 10,
            seconds: 600,
        }];
        let mut passed = Vec::new();
        for subnet in 1..=6 {
            let caller = ip(&format!("2001:db8:1:{subnet:x}::1"));
            let mut of_it = 0;
            for _ in 0..15 {
                of_it += usize::from(
                    authorize(&tickets, caller, &limits)
                        .await
                        .unwrap()
                        .is_none(),
                );
            }
            passed.push(of_it);
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
    async fn a6_a_known_device_still_gets_mail_when_strangers_spent_the_address() {
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
    async fn a_look_counts_nothing_and_says_what_a_hit_would() {
        let (tickets, clock, _) = fresh();
        let (subject, budgets) = (
            Hash::of(b"someone"),
            [Budget {
                count: 2,
                seconds: 60,
            }],
        );
        let look = async || look(&tickets, "x", &subject, &budgets).await.unwrap();
        for _ in 0..2 {
            for _ in 0..5 {
                assert_eq!(look().await, None);
            }
            assert_eq!(hit(&tickets, "x", &subject, &budgets).await.unwrap(), None);
        }
        let long = |wait: Option<Duration>| wait.is_some_and(|wait| wait > Duration::from_secs(50));
        assert!(long(look().await) && long(hit(&tickets, "x", &subject, &budgets).await.unwrap()));
        clock.advance(Duration::from_secs(60));
        assert_eq!(look().await, None);
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
