//! Links and codes from emails, used by the browsers or apps that hold the flow: one session each.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::future::join_all;
use sea_orm::{ConnectionTrait as _, Statement};
use serde_json::{Value, json};
use testkit::{browser::Browser, entree::Backend};

use crate::{
    AT_ONCE, Copies, WIDTH,
    judge::{Round, one_winner},
    race, report_and_check_overlap, rounds,
    service::{CLIENT, Stage, fresh_network, token_of},
    with_ample_resources,
};

/// Rounds that are prepared together, so that their mails travel together.
const BATCH: usize = 48;

/// A flow that an app began, and its mail.
struct Ready {
    address: String,
    link: Value,
    code: Value,
}

async fn prepare(stage: &Stage, copies: &Copies, name: &str, number: usize) -> Ready {
    let address = format!("{name}-{number}@example.test");
    let verifier = format!(
        "{}{number:06}",
        "abcdefghijklmnopqrstuvwxyz-0123456789~ABCDEFGH"
    );
    let challenge = URL_SAFE_NO_PAD.encode(ring::digest::digest(
        &ring::digest::SHA256,
        verifier.as_bytes(),
    ));
    let body = json!({"client_id": CLIENT, "email": address, "code_challenge": challenge, "code_challenge_method": "S256"});
    let (status, begun) = copies.json(number, "request", &body).await;
    assert_eq!(status, 202, "{begun}\n{}", stage.page_error());
    let mail = stage.mail(&address, 1).await;
    let mut link =
        json!({"flow_id": begun["flow_id"], "code_verifier": verifier, "scope": "openid"});
    let mut code = link.clone();
    link["link_token"] = token_of(&mail.link()).into();
    code["code"] = mail.code().into();
    Ready {
        address,
        link,
        code,
    }
}

/// How many sessions the user of an address has.
pub(crate) async fn sessions_of(stage: &Stage, addresses: &[String]) -> Vec<usize> {
    let db = stage.database().await;
    let sql = "SELECT e.canonical AS a FROM user_emails e JOIN sessions s ON s.user_id = e.user_id";
    let rows = db
        .query_all_raw(Statement::from_string(db.get_database_backend(), sql))
        .await
        .unwrap();
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    for row in rows {
        *count.entry(row.try_get("", "a").unwrap()).or_default() += 1;
    }
    addresses
        .iter()
        .map(|address| count.get(address).copied().unwrap_or_default())
        .collect()
}

/// Races one kind of secret, `rounds` times.
async fn consume(backend: Backend, rounds: usize, name: &'static str, pick: fn(&Ready) -> &Value) {
    let Some(stage) = Stage::start(backend, with_ample_resources).await else {
        return;
    };
    let copies = Copies::of(&stage);
    let began = Instant::now();
    let (mut statuses, mut addresses, mut started_before_first_response) =
        (Vec::new(), Vec::new(), 0);
    for batch in (0..rounds).collect::<Vec<_>>().chunks(BATCH) {
        let ready = join_all(
            batch
                .iter()
                .map(|number| prepare(&stage, &copies, name, *number)),
        )
        .await;
        for some in ready.chunks(AT_ONCE) {
            let races = some.iter().map(|one| {
                let body = Arc::new(pick(one).clone());
                let copies = Arc::clone(&copies);
                race(WIDTH, move |number| {
                    let (copies, body) = (Arc::clone(&copies), Arc::clone(&body));
                    async move { copies.json(number, "consume", &body).await.0 }
                })
            });
            for raced in join_all(races).await {
                started_before_first_response += raced.started_before_first_response;
                statuses.push(raced.results);
            }
        }
        addresses.extend(ready.into_iter().map(|one| one.address));
    }
    let kept = sessions_of(&stage, &addresses).await;
    let journal: Vec<Round> = statuses
        .into_iter()
        .zip(kept)
        .map(|(all, kept)| Round::of(all, kept))
        .collect();
    one_winner(&journal, WIDTH).unwrap_or_else(|why| panic!("{why}\n{}", stage.page_error()));
    report_and_check_overlap(
        &format!("{name} {backend:?}"),
        rounds,
        WIDTH,
        started_before_first_response,
        began,
    );
    assert_eq!(stage.faults(), Vec::<String>::new());
}

/// X2: at two instances.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b6_64_uses_of_one_link_over_two_instances_make_one_session() {
    consume(Backend::Two, rounds(), "link", |ready| &ready.link).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b6_64_uses_of_one_code_over_two_instances_make_one_session() {
    consume(Backend::Two, rounds(), "code", |ready| &ready.code).await;
}

/// SQLite has one writer and one copy: the same rule, fewer rounds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b6_64_uses_of_one_link_or_code_on_the_embedded_default_make_one_session() {
    consume(Backend::Embedded, rounds().div_ceil(5), "link", |ready| {
        &ready.link
    })
    .await;
    consume(Backend::Embedded, rounds().div_ceil(5), "code", |ready| {
        &ready.code
    })
    .await;
}

/// B6, B7: the same browser many times at once: one session, and every answer leads to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b6_b7_64_presses_of_one_button_over_two_instances_make_one_session() {
    let Some(stage) = Stage::start(Backend::Two, with_ample_resources).await else {
        return;
    };
    let (mut journal, mut addresses) = (Vec::new(), Vec::new());
    for round in 0..rounds().div_ceil(20) {
        let address = format!("press-{round}@example.test");
        let mut browser = Browser::new(fresh_network());
        stage.ask(&mut browser, &address).await;
        let link = stage.mail(&address, 1).await.link();
        let page = Arc::new(browser.open(&link).await);
        let pressed = race(WIDTH, |_| {
            let (mut browser, page) = (browser.clone(), Arc::clone(&page));
            async move {
                (
                    browser.submit(&page, "link", &[]).await.status.as_u16(),
                    browser,
                )
            }
        })
        .await;
        // Whichever answer a browser kept: it is signed in, by the first secret or the one of all repetitions.
        let mut cookies: BTreeMap<String, Browser> = BTreeMap::new();
        let mut statuses = Vec::new();
        for (status, browser) in pressed.results {
            statuses.push(status);
            cookies.insert(
                browser
                    .cookie("sid")
                    .map(|cookie| cookie.value.clone())
                    .unwrap_or_default(),
                browser,
            );
        }
        assert_eq!(
            cookies.len(),
            2,
            "one secret for the first, one for all others\n{}",
            stage.page_error()
        );
        for browser in cookies.values_mut() {
            assert!(
                browser
                    .open(&stage.service.at("/account"))
                    .await
                    .has("form#sign-out"),
                "{}",
                stage.page_error()
            );
        }
        journal.push(Round::of(statuses, 0).answers);
        addresses.push(address);
    }
    for (answers, kept) in journal.iter().zip(sessions_of(&stage, &addresses).await) {
        assert_eq!(
            (answers, kept),
            (&BTreeMap::from([(200, WIDTH)]), 1),
            "{}",
            stage.page_error()
        );
    }
    assert_eq!(stage.faults(), Vec::<String>::new());
}
