#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on must stop at once"
)]

mod known_devices;

use super::*;
use crate::{clock::Clock, secret::MasterKeys};

fn fresh() -> (Tickets, Clock, Limits) {
    let clock = Clock::default();
    (
        Tickets::memory(64 << 20, clock.clone(), &MasterKeys::new([7; 32], [])),
        clock,
        Limits::default(),
    )
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The store and the limits of one test, and requests against them.
struct Bench {
    tickets: Tickets,
    clock: Clock,
    limits: Limits,
}

impl Bench {
    fn new() -> Self {
        let (tickets, clock, limits) = fresh();
        Self {
            tickets,
            clock,
            limits,
        }
    }

    async fn ask(&self, caller: &str, address: &str, device: Option<&str>) -> EmailBudget {
        let request = EmailRequest {
            address: &Hash::of(address.as_bytes()),
            domain: None,
            caller: ip(caller),
            known_device: device.map(|device| Hash::of(device.as_bytes())),
        };
        spend_email(&self.tickets, &request, &self.limits)
            .await
            .unwrap()
    }

    /// Requests `times` emails and returns how many were allowed.
    async fn sent(&self, caller: &str, address: &str, times: usize) -> usize {
        let mut sent = 0;
        for _ in 0..times {
            sent += usize::from(self.ask(caller, address, None).await == EmailBudget::Allowed);
        }
        sent
    }

    /// Requests emails to `times` addresses and returns how many requests were not answered by 429.
    async fn passed(&self, caller: &str, times: usize) -> usize {
        let mut passed = 0;
        for n in 0..times {
            let address = format!("{n}@{caller}");
            let budget = self.ask(caller, &address, None).await;
            passed += usize::from(!matches!(budget, EmailBudget::RateLimited(_)));
        }
        passed
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

/// The n-th of many networks that share no prefix.
fn network(n: usize) -> String {
    format!("10.{}.{}.1", n / 256, n % 256)
}

#[tokio::test]
async fn oa_01_a_network_gets_2_in_15_minutes_and_5_a_day_for_an_address() {
    let bench = Bench::new();
    let mut after = Vec::new();
    for quarter in 0..97 {
        after.push(bench.sent("192.0.2.1", "victim", 4).await);
        if quarter == 0 {
            let EmailBudget::Withheld(wait) = bench.ask("192.0.2.1", "victim", None).await else {
                panic!("the third is withheld");
            };
            assert!(wait <= Duration::from_secs(900) && wait > Duration::from_secs(890));
            assert_eq!(bench.sent("192.0.2.1", "another", 1).await, 1);
            assert_eq!(bench.sent("198.51.100.1", "victim", 1).await, 1);
        }
        bench.pass(900);
    }
    assert_eq!(after[..4], [2, 2, 1, 0]);
    assert_eq!((after[95], after[96]), (0, 2), "a day later");
}

#[tokio::test]
async fn oa_01_ten_networks_do_not_exhaust_an_address() {
    let bench = Bench::new();
    for quarter in 0..96 {
        for n in 0..10 {
            bench.sent(&network(n), "victim", 3).await;
        }
        if quarter % 16 == 0 {
            let innocent = network(1000 + quarter);
            assert_eq!(bench.sent(&innocent, "victim", 1).await, 1, "{quarter}");
        }
        bench.pass(900);
    }
}

#[tokio::test]
async fn oa_01_one_48_and_one_24_are_worth_eight_networks_each() {
    let bench = Bench::new();
    let mut sent = [0, 0];
    for n in 1..=200 {
        sent[0] += bench
            .sent(&format!("2001:db8:1:{n:x}00::1"), "six", 2)
            .await;
        sent[1] += bench.sent(&format!("192.0.2.{n}"), "four", 2).await;
    }
    assert_eq!(sent, [16, 16]);
    // The address has 24: all the attackers of one /48 or /24 leave its user emails.
    assert_eq!(bench.sent("198.51.100.1", "six", 2).await, 2);
    assert_eq!(bench.sent("198.51.100.1", "four", 2).await, 2);
    let mut of_56 = 0;
    for n in 0..64 {
        of_56 += bench.sent(&format!("2001:db8:2:{n:x}::1"), "six", 2).await;
    }
    assert_eq!(of_56, 4, "a /56 is worth two");
}

#[tokio::test]
async fn oa_01_four_attacking_neighbours_leave_an_innocent_network_its_emails() {
    let bench = Bench::new();
    for quarter in 0..96 {
        for n in 1..=4 {
            bench.sent(&format!("192.0.2.{n}"), "four", 3).await;
            bench.sent(&format!("2001:db8:1:{n}00::1"), "six", 3).await;
        }
        if quarter % 16 == 0 {
            let n = 100 + quarter;
            let four = bench.sent(&format!("192.0.2.{n}"), "four", 1).await;
            let six = bench
                .sent(&format!("2001:db8:1:{n:x}00::1"), "six", 1)
                .await;
            assert_eq!((four, six), (1, 1), "{quarter}");
        }
        bench.pass(900);
    }
}

#[tokio::test]
async fn oa_01_the_reserve_serves_networks_that_had_no_email_within_a_day() {
    let bench = Bench::new();
    let mut sent = 0;
    for n in 0..12 {
        sent += bench.sent(&network(n), "victim", 2).await;
    }
    assert_eq!(sent, 24, "the address's own budget of a quarter of an hour");
    assert_eq!(
        bench.sent(&network(20), "victim", 1).await,
        1,
        "the reserve"
    );
    let EmailBudget::Withheld(wait) = bench.ask(&network(21), "victim", None).await else {
        panic!("one in a quarter of an hour");
    };
    assert!(wait <= Duration::from_secs(900) && wait > Duration::from_secs(800));
    // Until the day's budget is exhausted, too.
    let mut n = 100;
    for _ in 0..8 {
        bench.pass(900);
        for _ in 0..14 {
            bench.sent(&network(n), "victim", 2).await;
            n += 1;
        }
    }
    bench.pass(900);
    assert_eq!(
        bench.sent(&network(0), "victim", 1).await,
        0,
        "it had one this day"
    );
    assert_eq!(
        bench.sent(&network(9000), "victim", 1).await,
        1,
        "refused requests before do not count"
    );
    let mut from_reserve = 0;
    for later in 0..40 {
        bench.pass(900);
        from_reserve += bench.sent(&network(9001 + later), "victim", 1).await;
    }
    assert!(
        (1..12).contains(&from_reserve),
        "12 a day in all: {from_reserve}"
    );
    assert!(matches!(
        bench.ask(&network(9500), "victim", None).await,
        EmailBudget::Withheld(_)
    ));
    bench.pass(86_400);
    assert_eq!(bench.sent(&network(9501), "victim", 1).await, 1);
}

#[tokio::test]
async fn a5_network_of_ipv4_gets_20_in_10_minutes_50_in_an_hour() {
    let bench = Bench::new();
    assert_eq!(bench.passed("192.0.2.1", 25).await, 20);
    let EmailBudget::RateLimited(wait) = bench.ask("192.0.2.1", "x", None).await else {
        panic!("over the budget");
    };
    assert!(
        wait <= Duration::from_secs(600) && wait > Duration::from_secs(590),
        "{wait:?}"
    );
    assert_eq!(
        bench.passed("::ffff:192.0.2.1", 1).await,
        0,
        "the same address, IPv4-mapped"
    );
    assert_eq!(
        bench.passed("192.0.2.2", 1).await,
        1,
        "the neighbouring address has its own budget"
    );
    bench.clock.advance(wait);
    assert_eq!(bench.passed("192.0.2.1", 25).await, 20);
    bench.pass(600);
    assert_eq!(bench.passed("192.0.2.1", 25).await, 10, "the hour has 50");
}

#[tokio::test]
async fn a5_networks_are_counted_by_their_prefixes_too() {
    let bench = Bench::new();
    assert_eq!(bench.passed("2001:db8:1:1::1", 10).await, 10);
    assert_eq!(
        bench.passed("2001:db8:1:1:ffff::2", 15).await,
        10,
        "the same /64"
    );
    let mut passed = [20, 0];
    for n in 2..=20 {
        passed[0] += bench.passed(&format!("2001:db8:1:{n:x}00::1"), 20).await;
    }
    for n in 1..=20 {
        passed[1] += bench.passed(&format!("192.0.2.{n}"), 20).await;
    }
    assert_eq!(passed, [160, 160], "a /48 and a /24 have 160 in 10 minutes");
    assert_eq!(bench.passed("2001:db8:2:1::1", 1).await, 1, "another /48");
    assert_eq!(bench.passed("198.51.100.1", 1).await, 1, "another /24");
}

#[tokio::test]
async fn oa_10_a_domain_over_its_budget_is_open_to_networks_that_had_none() {
    let bench = Bench::new();
    let domain = Hash::of(b"school.example");
    let ask = async |caller: &str, address: &str| {
        let request = EmailRequest {
            address: &Hash::of(address.as_bytes()),
            domain: Some(domain),
            caller: ip(caller),
            known_device: None,
        };
        let budget = spend_email(&bench.tickets, &request, &bench.limits).await;
        budget.unwrap() == EmailBudget::Allowed
    };
    let mut sent = 0;
    for n in 0..20 {
        for mailbox in 0..20 {
            sent += usize::from(ask(&network(n), &format!("{n}-{mailbox}")).await);
        }
    }
    assert_eq!(sent, 305, "300, and one each for the other five networks");
    assert!(
        !ask(&network(0), "x").await,
        "of a domain that is exhausted"
    );
    let other = Bench::new();
    let mut of_ten = 0;
    for nth in 0..600 {
        let request = EmailRequest {
            address: &Hash::of(format!("{nth}").as_bytes()),
            domain: Some(domain),
            caller: ip(&network(nth % 10)),
            known_device: None,
        };
        let budget = spend_email(&other.tickets, &request, &other.limits).await;
        of_ten += usize::from(budget.unwrap() == EmailBudget::Allowed);
        if nth % 200 == 199 {
            other.clock.advance(Duration::from_secs(600));
        }
    }
    assert_eq!(
        of_ten, 250,
        "ten networks leave a part of the domain's hour"
    );
    assert!(!ask(&network(0), "pupil").await);
    assert!(ask("192.0.2.1", "pupil").await, "a pupil at home");
    assert!(!ask("192.0.2.1", "another").await, "once a day");
    assert_eq!(bench.sent(&network(30), "elsewhere", 1).await, 1);
}

/// A3: requests that cannot lead to an email spend none of what the neighbours may request.
#[tokio::test]
async fn oa_03_requests_for_one_exhausted_address_leave_the_neighbours_their_emails() {
    let bench = Bench::new();
    assert_eq!(bench.sent("192.0.2.1", "own", 40).await, 2);
    assert_eq!(bench.passed("192.0.2.1", 18).await, 18);
    let mut answered = 0;
    while !matches!(
        bench.ask("192.0.2.1", "own", None).await,
        EmailBudget::RateLimited(_)
    ) {
        answered += 1;
        assert!(answered < 100, "they are bounded, too");
    }
}

#[tokio::test]
async fn requests_that_store_entries_are_counted_by_64_and_by_48() {
    let (tickets, _, mut limits) = fresh();
    limits.authorize = vec![Budget {
        count: 10,
        seconds: 600,
    }];
    let mut passed = Vec::new();
    for subnet in 1..=10 {
        let caller = ip(&format!("2001:db8:1:{subnet:x}00::1"));
        let mut passed_here = 0;
        for _ in 0..15 {
            passed_here += usize::from(
                authorize(&tickets, Sender::unknown(caller), &limits)
                    .await
                    .unwrap()
                    .is_none(),
            );
        }
        passed.push(passed_here);
    }
    assert_eq!(
        passed,
        [10, 10, 10, 10, 10, 10, 10, 10, 0, 0],
        "one customer holds a whole /48"
    );
    assert_eq!(
        upstream(&tickets, Sender::unknown(ip("2001:db8:1:1::1")), &limits)
            .await
            .unwrap(),
        None,
        "a rule of its own"
    );
    assert_eq!(
        authorize(&tickets, Sender::unknown(ip("2001:db8:2:1::1")), &limits)
            .await
            .unwrap(),
        None,
        "another /48"
    );
}

#[tokio::test]
async fn a4_without_a_store_nothing_passes() {
    let full = Tickets::memory(0, Clock::default(), &MasterKeys::new([7; 32], []));
    for known_device in [None, Some(Hash::of(b"laptop"))] {
        let request = EmailRequest {
            address: &Hash::of(b"someone"),
            domain: None,
            caller: ip("192.0.2.1"),
            known_device,
        };
        let refused = spend_email(&full, &request, &Limits::default()).await;
        assert!(refused.unwrap_err().is_transient());
    }
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
    assert!(long(peeked().await) && long(hit(&tickets, "x", &subject, &budgets).await.unwrap()));
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
