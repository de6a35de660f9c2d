//! answers of an upstream provider, each brought back fifty times at once: one session each, one exchange each.

use std::{sync::Arc, time::Instant};

use serde_json::json;
use testkit::{
    browser::Browser,
    entree::Backend,
    upstream::{CLIENT_ID, CLIENT_SECRET, Place, Upstream},
};

use crate::{
    TRIES,
    judge::{Round, one_winner},
    pause, race, report_and_check_overlap, rounds,
    service::{Stage, fresh_network},
    sign_in::sessions_of,
    with_ample_resources,
};

/// How many callbacks come with one state.
const CALLBACKS: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r_11_50_callbacks_with_one_state_over_two_instances_make_one_session() {
    let up = Upstream::start().await;
    let provider = format!(
        "\n[[providers]]\nid = \"school\"\nissuer = \"{}\"\nclient_id = \"{CLIENT_ID}\"\nclient_secret = \"{CLIENT_SECRET}\"\n\
         trust = \"authoritative\"\nmail_domains = [\"example.test\"]\nloopback_http = true\nprivate_hosts = [\"127.0.0.1\"]\n",
        up.url()
    );
    let Some(stage) = Stage::start(Backend::Two, |options| {
        with_ample_resources(options.tail(&provider))
    })
    .await
    else {
        return;
    };
    up.register(&stage.service.at("/upstream/school/callback"));
    let began = Instant::now();
    let (mut statuses, mut addresses, mut started_before_first_response) =
        (Vec::new(), Vec::new(), 0);
    let rounds = rounds().div_ceil(2);
    for round in 0..rounds {
        let address = format!("callback-{round}@example.test");
        let mut browser = Browser::new(fresh_network());
        let login = browser.open(&stage.service.at("/login")).await;
        let page = browser.submit(&login, "upstream-school", &[]).await;
        let person = json!({"sub": address, "email": address, "email_verified": true});
        let back = Arc::new(up.visit_as(&page, &person).await.url());
        let raced = race(CALLBACKS, |_| {
            let (mut browser, back) = (browser.clone(), Arc::clone(&back));
            async move {
                let mut answer = browser.open(&back).await;
                for _ in 1..TRIES {
                    let Some(pause) = pause(answer.status.as_u16(), &answer.headers) else {
                        break;
                    };
                    tokio::time::sleep(pause).await;
                    answer = browser.open(&back).await;
                }
                let status = answer.status.as_u16();
                if status == 303 && browser.cookie("sid").is_some() {
                    200
                } else {
                    status
                }
            }
        })
        .await;
        started_before_first_response += raced.started_before_first_response;
        statuses.push(raced.results);
        addresses.push(address);
    }
    let kept = sessions_of(&stage, &addresses).await;
    let journal: Vec<Round> = statuses
        .into_iter()
        .zip(kept)
        .map(|(all, kept)| Round::of(all, kept))
        .collect();
    one_winner(&journal, CALLBACKS).unwrap_or_else(|why| panic!("{why}\n{}", stage.page_error()));
    assert_eq!(
        (up.count(Place::Token), up.complaints()),
        (rounds, Vec::new()),
        "each code was exchanged once"
    );
    report_and_check_overlap(
        "callback Two",
        rounds,
        CALLBACKS,
        started_before_first_response,
        began,
    );
    assert_eq!(stage.faults(), Vec::<String>::new());
}
