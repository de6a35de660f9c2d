//! The attacks against a service whose limits are set so that the rule cannot bind: the judge must fail.
//! An attack that no longer attacks is noticed here.

use testkit::entree::{Backend, Options};

use crate::{
    ceiling, delivery,
    judge::{Bounds, Measured, judge},
    known_devices,
    lanes::{self, Flood},
    one_victim::{Aim, Attack, one_network, ten_networks},
    people::Way,
    proxy, rows, ticket_store,
};

/// The judge names what it is there for.
fn is_seen(measured: Option<Measured>, bounds: &Bounds, fault: &str) {
    let Some(measured) = measured else {
        return;
    };
    let why = judge(&measured, bounds).expect_err("the judge must fail without the rule");
    assert!(why.contains(fault), "{why}");
}

/// OA-15, OA-1: where one network may ask for all emails of an address, a new device gets none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_15_used_up_emails_are_seen() {
    let off = |options: Options| {
        options
            .set("limits.address", "[{ count = 5, seconds = 900 }]")
            .set("limits.network_address", "[{ count = 100, seconds = 900 }]")
    };
    let attack = Attack {
        ways: &[Way::NewDevice],
        ..ten_networks(Aim::Emails)
    };
    let measured = attack.run(Backend::Embedded, off).await;
    is_seen(measured, &attack.bounds(), "kept out");
}

/// OA-15, OA-2: where one network's wrong codes count for the address, a right one is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_15_locked_codes_are_seen() {
    let off = |options: Options| {
        options
            .set("limits.wrong_codes", "[{ count = 10, seconds = 3600 }]")
            .set(
                "limits.wrong_codes_network_address",
                "[{ count = 100, seconds = 3600 }]",
            )
    };
    let attack = Attack {
        ways: &[Way::NewDevice],
        ..one_network(Aim::Codes)
    };
    let measured = attack.run(Backend::Embedded, off).await;
    is_seen(measured, &attack.bounds(), "right codes refused");
}

/// OA-15, OA-4: a store that believes it has far more memory than it has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_15_a_full_store_is_seen() {
    let off = |options: Options| options.set("tickets.max_bytes", "1073741824");
    let measured = ticket_store::fill(Backend::Servers, 100, off).await;
    is_seen(measured, &ticket_store::bounds(100), "kept out");
}

/// OA-15, OA-3: known devices whose network may request emails without end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_15_known_devices_without_a_budget_are_seen() {
    let off = |options: Options| {
        let many = "[{ count = 100000, seconds = 900 }]";
        options
            .set("limits.known_device", many)
            .set("limits.network", many)
    };
    let measured = known_devices::of_one_network(Backend::Embedded, off).await;
    is_seen(measured, &known_devices::bounds(), "emails to the attacker");
}

/// OA-15, OA-7: with a single slot and no place to wait, each domain that hangs holds all emails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_15_slow_domains_are_seen_without_shares() {
    let off = |options: Options| {
        options
            .set("mail.concurrency", "1")
            .set("mail.waiting_connections", "0")
    };
    let measured = delivery::own_domains(Backend::Embedded, off).await;
    is_seen(measured, &delivery::own_domains_bounds(), "kept out");
}

/// OA-16, OA-8: a session that may have codes without end, over a limit that is lower.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_16_grants_without_end_are_seen() {
    let off = |options: Options| options.without_limits();
    let measured = rows::codes_of_one_session(Backend::Embedded, off).await;
    let bounds = Bounds {
        left: 40,
        ..rows::codes_bounds()
    };
    is_seen(measured, &bounds, "live grants");
}

/// OA-16, OA-9: a ceiling far above what strangers request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_16_emails_without_a_ceiling_are_seen() {
    let off = |options: Options| options.set("mail.ceiling_per_minute", "1000000");
    let measured = ceiling::made_up_addresses(Backend::Embedded, off).await;
    is_seen(measured, &ceiling::bounds(), "emails in a minute");
}

/// OA-16, OA-12: a service that trusts every caller that forwards an address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_16_claimed_networks_are_seen() {
    let off = |options: Options| options.set("server.trusted_proxies", "[\"127.0.0.0/8\"]");
    let measured = proxy::unnamed(Backend::Embedded, off).await;
    is_seen(measured, &proxy::bounds(), "emails to strangers");
}

/// OA-18, SP-4: lanes so wide that two thousand requests of one address are at work at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_18_a_flood_without_lanes_is_seen() {
    let off = |options: Options| {
        let wide = "4096";
        options
            .set("server.email_slots", wide)
            .set("server.provider_slots", wide)
            .set("server.quick_slots", wide)
    };
    let measured = lanes::flood(Backend::Servers, Flood::Emails, off).await;
    is_seen(measured, &lanes::bounds(), "OA-18");
}
