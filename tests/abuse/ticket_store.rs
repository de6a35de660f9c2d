//! OA-4: the ticket store is filled with large requests that wait for a sign-in.

use std::sync::Arc;

use testkit::entree::{Backend, Options};

use crate::{
    crowd::{Background, Crowd, flood, network},
    figures::report,
    judge::{Bounds, Left, Measured, judge},
    neighbours::authorize_path,
    people::{Person, Way, all_sign_in, names},
    size,
    stage::{BOTH, Stage},
};

/// Requests of this many networks: as was seen, and the goal.
const FEW: usize = 13;
const MANY: usize = 100;

/// A store of 16 MiB, which the requests exceed several times.
const SMALL: &str = "16777216";

/// A large request of a client; the service decides which of its parameters it takes. Control characters
/// and quotation marks grow when they are written as JSON.
fn large(number: usize) -> String {
    let long = |unit: &str, count: usize| format!("{number:0>8}{}", unit.repeat(count));
    let more = match number % 8 {
        // What the store held many times over when it held JSON in JSON.
        0 | 4 => vec![("state", long("\u{1}", 500)), ("nonce", long("\u{1}", 500))],
        1 => vec![
            ("state", long("\"", 480)),
            ("nonce", long("\\", 480)),
            ("claims", claims()),
        ],
        2 => vec![
            ("login_hint", long("x", 6_000)),
            ("ui_locales", long(" fr", 150)),
        ],
        3 => vec![("state", long("x", 480)), ("claims", claims())],
        // As large as a request may be.
        _ => vec![("state", long("x", 3_500)), ("nonce", long("x", 3_000))],
    };
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(more)
        .finish();
    format!("{}&{query}", authorize_path().replace("&state=x", ""))
}

/// A `claims` parameter whose JSON grows when it is written as JSON again.
fn claims() -> String {
    let wanted: Vec<String> = (0..60)
        .map(|number| {
            format!("\"claim\\\"{number}\":{{\"essential\":true,\"values\":[\"\\\"\\\\\"]}}")
        })
        .collect();
    format!("{{\"id_token\":{{{}}}}}", wanted.join(","))
}

/// Fills the store, and lets innocents sign in meanwhile and afterwards.
pub(crate) async fn fill(
    backend: Backend,
    networks: usize,
    change: impl FnOnce(Options) -> Options,
) -> Option<Measured> {
    let small = |options: Options| options.set("tickets.max_bytes", SMALL);
    let stage = Stage::start(backend, |options| change(small(options))).await?;
    let people = Person::crowd(&stage, &Way::ALL, size(3, 6)).await;
    let crowd = Crowd::of(&stage);
    stage.reset_peak();
    let count = size(7_405, 30_000);
    let attempt = async |number: usize| {
        let path = large(number);
        let from = network(number % networks);
        let _ = crowd.send(crowd.get(from, &path)).await;
    };
    flood(count, attempt).await;
    let background = {
        let crowd = Arc::clone(&crowd);
        Background::start(move |number| {
            let crowd = Arc::clone(&crowd);
            async move {
                let request = crowd.get(network(number % networks), &large(number));
                let _ = crowd.send(request).await;
            }
        })
    };
    let innocents = all_sign_in(&stage, people).await;
    drop(background);
    println!("    /readyz: {:?}", stage.readyz().await);
    Some(Measured {
        attack: format!("OA-4, {networks:4} networks fill the ticket store"),
        back_end: stage.back_end(),
        networks,
        requests: crowd.sent(),
        innocents,
        peak_mib: stage.peak_mib(),
        left: Left {
            count: stage.rows("magic_link_flows").await,
            of: "flows",
        },
        faults: stage.faults(),
    })
}

pub(crate) fn bounds(networks: usize) -> Bounds {
    Bounds {
        networks,
        requests: 7_405,
        ways: names(&Way::ALL),
        peak_mib: 192,
        // Those of the innocents.
        left: 100,
    }
}

async fn holds_on_both(networks: usize) {
    for backend in BOTH {
        let Some(measured) = fill(backend, networks, |options| options).await else {
            return;
        };
        report(&measured);
        judge(&measured, &bounds(networks)).unwrap_or_else(|why| panic!("{why}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_4_requests_of_few_networks_fill_no_store() {
    holds_on_both(FEW).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_4_requests_of_many_networks_fill_no_store() {
    holds_on_both(MANY).await;
}
