//! The budgets of devices that signed in before (OA-3).

use super::*;

#[tokio::test]
async fn oa_03_a_known_device_passes_the_other_budgets_and_is_never_worse_off() {
    let mut bench = Bench::new();
    assert_eq!(bench.passed("192.0.2.1", 25).await, 20);
    for n in 0..1000 {
        bench.sent(&network(n), "owner", 3).await;
    }
    let mut sent = 0;
    for _ in 0..12 {
        let budget = bench.ask("192.0.2.1", "owner", Some("laptop")).await;
        sent += usize::from(budget == EmailBudget::KnownDevice);
    }
    assert_eq!(
        sent, 10,
        "beside a thousand networks and its own neighbours"
    );
    // Its own budget is exhausted: from now on it is what a stranger is.
    let fresh = Bench::new();
    (bench.tickets, bench.clock) = (fresh.tickets, fresh.clock);
    bench.limits.known_device = vec![Budget {
        count: 1,
        seconds: 900,
    }];
    let mut budgets = Vec::new();
    for _ in 0..4 {
        budgets.push(bench.ask("192.0.2.7", "owner", Some("laptop")).await);
    }
    let [known, new] = [EmailBudget::KnownDevice, EmailBudget::Allowed];
    assert_eq!(budgets[..3], [known, new, new]);
    assert!(matches!(budgets[3], EmailBudget::Withheld(_)));
    assert_eq!(
        bench.ask("192.0.2.8", "another", Some("laptop")).await,
        EmailBudget::Allowed
    );
}

/// OA-3: a device is known for every address of its owner's domain, and its budget is still one.
#[tokio::test]
async fn oa_03_a_known_device_has_one_budget_for_all_its_addresses() {
    let bench = Bench::new();
    let mut budgets = Vec::new();
    for nth in 0..400 {
        let address = format!("{}@own.test", nth % 40);
        budgets.push(bench.ask("192.0.2.1", &address, Some("laptop")).await);
    }
    let count = |wanted| budgets.iter().filter(|budget| **budget == wanted).count();
    let [known, new] = [EmailBudget::KnownDevice, EmailBudget::Allowed];
    assert_eq!((count(known), count(new)), (10, 20), "then a new device's");
}

/// OA-3: many known devices of one network together have a budget, and none of them is kept out.
#[tokio::test]
async fn oa_03_the_known_devices_of_a_network_share_a_budget_that_keeps_none_out() {
    let bench = Bench::new();
    let mut budgets = Vec::new();
    for nth in 0..400 {
        let device = format!("device {}", nth % 40);
        let address = format!("{}@own.test", nth % 40);
        budgets.push(bench.ask("192.0.2.1", &address, Some(&device)).await);
    }
    let count = |wanted| budgets.iter().filter(|budget| **budget == wanted).count();
    assert_eq!(count(EmailBudget::KnownDevice), 60);
    assert!(count(EmailBudget::Allowed) <= 40 * 3 + 20);
    assert!(matches!(
        bench.ask("192.0.2.1", "a guest", None).await,
        EmailBudget::RateLimited(_)
    ));
    for _ in 0..3 {
        let budget = bench.ask("192.0.2.1", "owner", Some("phone")).await;
        assert_eq!(budget, EmailBudget::Allowed);
    }
    let elsewhere = bench.ask("198.51.100.1", "owner", Some("phone")).await;
    assert_eq!(elsewhere, EmailBudget::KnownDevice);
}
