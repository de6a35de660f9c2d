//! OA-5: connections that take every slot.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use testkit::entree::{Backend, Options};

use crate::{
    figures::report,
    http2::{Held, Hold},
    judge::{Bounds, Left, Measured, judge},
    people::{Person, Way, all_sign_in, names},
    size,
    stage::{BOTH, Stage, wait_until},
};

pub(crate) fn left(count: usize, of: &'static str) -> Left {
    let count = i64::try_from(count).expect("a small number");
    Left { count, of }
}

/// The attackers' loopback address of that number, each in a /16 of its own.
pub(crate) fn network(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(
        127,
        u8::try_from(10 + number).expect("a few networks"),
        0,
        1,
    )
}

/// No proxy is trusted, so that connections count by their own addresses.
pub(crate) fn no_proxy(options: Options) -> Options {
    options.set("server.trusted_proxies", "[]")
}

pub(crate) fn target(stage: &Stage) -> (SocketAddr, String) {
    let (_, address) = stage.service.copies[0]
        .public
        .split_once("://")
        .expect("a URL");
    let host = stage.service.url.trim_start_matches("http://").to_owned();
    (address.parse().expect("an address"), host)
}

/// Holds `each` connections of each network while innocents sign in.
pub(crate) async fn hold(
    backend: Backend,
    networks: usize,
    each: usize,
    ways: &[Hold],
    change: impl FnOnce(Options) -> Options,
) -> Option<Measured> {
    let stage = Stage::start(backend, |options| change(no_proxy(options))).await?;
    let waves = size(1, 3);
    let mut people = Vec::new();
    for _ in 0..waves {
        people.push(Person::crowd(&stage, &Way::ALL, 1).await);
    }
    let (to, host) = target(&stage);
    let from: Vec<Ipv4Addr> = (0..networks).map(network).collect();
    stage.reset_peak();
    let held = Held::start(to, &host, &from, each, ways);
    // All that get in are in: the attackers hold what they can.
    let all = networks * each;
    wait_until("connections", Duration::from_secs(30), async || {
        held.opened() >= all.min(4_096)
    })
    .await;
    let mut innocents = Vec::new();
    for wave in people {
        innocents.extend(all_sign_in(&stage, wave).await);
    }
    let (requests, open) = (held.opened(), held.open());
    drop(held);
    Some(Measured {
        attack: format!("OA-5, {networks} networks hold {each} connections each"),
        back_end: stage.back_end(),
        networks,
        requests,
        innocents,
        peak_mib: stage.peak_mib(),
        left: left(open, "connections held"),
        faults: stage.faults(),
    })
}

pub(crate) fn bounds(networks: usize, requests: usize) -> Bounds {
    Bounds {
        networks,
        requests,
        ways: names(&Way::ALL),
        peak_mib: 256,
        left: i64::MAX,
    }
}

async fn connections_hold(networks: usize, each: usize, ways: &[Hold]) {
    for backend in BOTH {
        let Some(measured) = hold(backend, networks, each, ways, |options| options).await else {
            return;
        };
        report(&measured);
        judge(&measured, &bounds(networks, 4_096)).unwrap_or_else(|why| panic!("{why}"));
    }
}

/// OA-5: eight networks with as many connections as one may have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_5_eight_networks_take_no_users_connection() {
    connections_hold(8, 512, &[Hold::Requests]).await;
}

/// OA-5: a hundred networks with few connections each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_5_a_hundred_networks_take_no_users_connection() {
    connections_hold(100, 48, &[Hold::Requests, Hold::Pings, Hold::Body]).await;
}
