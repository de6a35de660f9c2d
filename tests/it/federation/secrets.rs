//! R-45, HT-08: sign-ins at a provider with the log at TRACE, a good one and one for each kind of
//! failure; then the search for code, state, nonce, verifier, token and address in the log, every
//! column of every table, every file and Redis.
#![allow(
    clippy::too_many_lines,
    reason = "a table of cases reads best in one piece"
)]

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testkit::{
    browser::Browser,
    entree::Backend,
    page::Page,
    upstream::{CLIENT_ID, CLIENT_SECRET, Fault, Pace, Place as At, Reply, Upstream},
};

use crate::{
    leaks::{Canary, Place, dump, dump_redis, files, leaks},
    service::{Stage, fresh_network},
};

/// Tables that must contain addresses. A link has the address that its provider sent, by which
/// users recognise the account.
const ADDRESS_TABLES: [&str; 4] = [
    "magic_link_flows.",
    "mail_outbox.",
    "user_emails.",
    "user_identities.",
];

/// Returns the failures of a provider, one at a time.
fn failures() -> Vec<(&'static str, Fault)> {
    let token =
        |status, kind: &str, body: &str| Fault::reply(At::Token, Reply::new(status, kind, body));
    vec![
        ("denied", Fault::error("access_denied")),
        ("unknown error", Fault::error("whatever")),
        (
            "another iss",
            Fault::parameter("iss", "https://evil.example"),
        ),
        ("no code", Fault::parameter("code", "")),
        ("500", token(500, "text/plain", "words of the upstream")),
        ("HTML", token(200, "text/html", "<html>")),
        // A library's own error would contain this body with the access token.
        (
            "a token response of wrong types",
            Fault::member(At::Token, "access_token", json!(["canary"])),
        ),
        (
            "another type of token",
            Fault::member(At::Token, "token_type", json!("mac")),
        ),
        (
            "no ID token",
            Fault::member(At::Token, "id_token", Value::Null),
        ),
        (
            "two parts",
            Fault::compact(|token| *token = token.rsplit_once('.').unwrap().0.to_owned()),
        ),
        ("an unknown key", Fault::header("kid", json!("unknown"))),
        (
            "a bad signature",
            Fault::Sign(testkit::upstream::Sign::Stranger),
        ),
        ("another audience", Fault::claim("aud", json!("another"))),
        (
            "another nonce",
            Fault::claim("nonce", json!("A".repeat(43))),
        ),
        (
            "a subject with a control",
            Fault::claim("sub", json!("canary-of-the-subject\u{7}")),
        ),
        (
            "a malformed claim",
            Fault::claim("locale", json!({"canary": true})),
        ),
        (
            "a slow token endpoint",
            Fault::reply(
                At::Token,
                Reply::json(200, &json!({"a": "x".repeat(100)}))
                    .at(Pace::Drip(std::time::Duration::from_secs(1))),
            ),
        ),
        (
            "a large response",
            token(200, "application/json", &"x".repeat(600 * 1024)),
        ),
    ]
}

/// Signs in once and returns the last page.
async fn sign_in(stage: &Stage, up: &Upstream, browser: &mut Browser, person: &Value) -> Page {
    let login = browser.open(&stage.service.at("/login")).await;
    let page = browser.submit(&login, "upstream-canary", &[]).await;
    let back = up.visit_as(&page, person).await;
    let response = browser.open(&back.url()).await;
    // A second use is refused.
    let again = browser.open(&back.url()).await;
    assert_eq!(again.status, 400, "{}", again.summary());
    browser.settle(response).await
}

async fn no_secret_of_the_provider_leaks(backend: Backend) {
    let up = Upstream::start().await;
    let provider = format!(
        "\n[[providers]]\nid = \"canary\"\nissuer = \"{}\"\nclient_id = \"{CLIENT_ID}\"\nclient_secret = \"{CLIENT_SECRET}\"\ntrust \
         = \"authoritative\"\nmail_domains = [\"example.test\"]\nloopback_http = true\nprivate_hosts = [\"127.0.0.1\"]\nuserinfo = \"always\"\n",
        up.url()
    );
    let started = Stage::start(backend, |options| {
        options.set("telemetry.level", "\"trace\"").tail(&provider)
    })
    .await;
    let Some(stage) = started else { return };
    up.register(&stage.service.at("/upstream/canary/callback"));
    let person = |number: usize| {
        let email = format!("canary.{number}.of.upstream@example.test");
        json!({"sub": format!("canary-subject-{number}"), "email": email, "email_verified": true, "name": "Ann"})
    };
    let mut canaries = vec![Canary::new("client secret", CLIENT_SECRET)];
    let mut errors: Vec<Place> = Vec::new();
    for (number, failure) in std::iter::once(None)
        .chain(failures().into_iter().map(Some))
        .enumerate()
    {
        let person = person(number);
        canaries.push(Canary::new("address", person["email"].as_str().unwrap()));
        let mut browser = Browser::new(fresh_network());
        let Some((why, fault)) = failure else {
            let page = sign_in(&stage, &up, &mut browser, &person).await;
            assert!(
                page.has("form#sign-out"),
                "{}\n{}",
                page.summary(),
                stage.page_error()
            );
            continue;
        };
        up.reset_faults();
        up.inject(fault);
        let page = sign_in(&stage, &up, &mut browser, &person).await;
        assert!(!page.has("form#sign-out"), "{why}: {}", page.summary());
        errors.push((format!("the response to {why}"), page.body.into_bytes()));
    }
    let secrets = up.secrets();
    assert!(
        secrets.len() > 80,
        "{} codes, states, nonces, verifiers, tokens",
        secrets.len()
    );
    canaries.extend(
        secrets
            .iter()
            .filter(|secret| secret.len() >= 20)
            .map(|secret| Canary::new("secret", secret)),
    );

    let log: Vec<Place> = stage
        .service
        .log()
        .into_iter()
        .map(|line| ("the log".to_owned(), line.into_bytes()))
        .collect();
    assert!(
        log.iter()
            .any(|(_, line)| String::from_utf8_lossy(line).contains("\"TRACE\"")),
        "the log is not at TRACE"
    );
    let refusals = log
        .iter()
        .filter(|(_, line)| String::from_utf8_lossy(line).contains("\"up_"))
        .count();
    assert!(
        refusals >= failures().len(),
        "{refusals} refusals in the log"
    );
    assert_eq!(leaks(&canaries, &log, |_, _| false), BTreeSet::new());
    assert_eq!(leaks(&canaries, &errors, |_, _| false), BTreeSet::new());
    let rows = dump(&stage.database().await).await;
    let must = |canary: &Canary, place: &str| {
        canary.what == "address" && ADDRESS_TABLES.iter().any(|table| place.starts_with(table))
    };
    assert_eq!(leaks(&canaries, &rows, must), BTreeSet::new());
    assert_eq!(
        leaks(&canaries, &files(&stage), |canary, _| canary.what
            == "address"),
        BTreeSet::new()
    );
    if backend == Backend::Servers {
        let redis = dump_redis(&stage.setting("tickets.url").unwrap());
        assert!(redis.len() > 10, "{} in Redis", redis.len());
        assert_eq!(leaks(&canaries, &redis, |_, _| false), BTreeSet::new());
    }
    // The search finds planted values: a state in a line of the log, and addresses where they may
    // be.
    let planted = vec![(
        "the log".to_owned(),
        format!("GET /?state={}", secrets.first().unwrap()).into_bytes(),
    )];
    assert!(!leaks(&canaries, &planted, |_, _| false).is_empty());
    assert!(
        leaks(&canaries, &rows, |canary, _| canary.what != "address")
            .iter()
            .any(|found| found.contains("user_"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r_45_ht_08_no_secret_of_the_provider_leaks_on_the_embedded_default() {
    no_secret_of_the_provider_leaks(Backend::Embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r_45_ht_08_no_secret_of_the_provider_leaks_on_postgresql_and_redis() {
    no_secret_of_the_provider_leaks(Backend::Servers).await;
}
