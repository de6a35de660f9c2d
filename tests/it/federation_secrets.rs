//! R-45, HT-08: upstream sign-ins at TRACE, good ones and one for each kind of trouble; then the search for code, state,
//! nonce, verifier, token and address in the log, every column of every table, every file and Redis.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testkit::{
    browser::Browser,
    entree::Backend,
    page::Page,
    upstream::{CLIENT_ID, CLIENT_SECRET, Lie, Pace, Place as At, Reply, Upstream},
};

use crate::{
    leaks::{Canary, Place, dump, dump_redis, files, leaks},
    outside::{Stage, fresh_network},
};

/// Tables that hold addresses because they must; a link keeps the one that its provider told, for people to know it by.
const ADDRESS_TABLES: [&str; 4] = [
    "magic_link_flows.",
    "mail_outbox.",
    "user_emails.",
    "user_identities.",
];

/// What goes wrong on the way, one at a time.
fn troubles() -> Vec<(&'static str, Lie)> {
    let token =
        |status, kind: &str, body: &str| Lie::reply(At::Token, Reply::new(status, kind, body));
    vec![
        ("denied", Lie::error("access_denied")),
        ("unknown error", Lie::error("whatever")),
        ("another iss", Lie::parameter("iss", "https://evil.example")),
        ("no code", Lie::parameter("code", "")),
        ("500", token(500, "text/plain", "words of the upstream")),
        ("HTML", token(200, "text/html", "<html>")),
        // The body that the crate's own error would carry, access token and all.
        (
            "a token answer of wrong types",
            Lie::member(At::Token, "access_token", json!(["canary"])),
        ),
        (
            "another type of token",
            Lie::member(At::Token, "token_type", json!("mac")),
        ),
        (
            "no ID token",
            Lie::member(At::Token, "id_token", Value::Null),
        ),
        (
            "two parts",
            Lie::compact(|token| *token = token.rsplit_once('.').unwrap().0.to_owned()),
        ),
        ("an unknown key", Lie::header("kid", json!("nobody"))),
        (
            "a bad signature",
            Lie::Sign(testkit::upstream::Sign::Stranger),
        ),
        ("another audience", Lie::claim("aud", json!("another"))),
        ("another nonce", Lie::claim("nonce", json!("A".repeat(43)))),
        (
            "a subject with a control",
            Lie::claim("sub", json!("canary-of-the-subject\u{7}")),
        ),
        (
            "a malformed claim",
            Lie::claim("locale", json!({"canary": true})),
        ),
        (
            "a slow token endpoint",
            Lie::reply(
                At::Token,
                Reply::json(200, &json!({"a": "x".repeat(100)}))
                    .at(Pace::Drip(std::time::Duration::from_secs(1))),
            ),
        ),
        (
            "a large answer",
            token(200, "application/json", &"x".repeat(600 * 1024)),
        ),
    ]
}

/// One way through; gives the last page.
async fn walk(stage: &Stage, up: &Upstream, browser: &mut Browser, person: &Value) -> Page {
    let login = browser.open(&stage.service.at("/login")).await;
    let page = browser.submit(&login, "upstream-canary", &[]).await;
    let back = up.visit_as(&page, person).await;
    let answer = browser.open(&back.url()).await;
    // Once more, spent.
    let again = browser.open(&back.url()).await;
    assert_eq!(again.status, 400, "{}", again.summary());
    browser.settle(answer).await
}

async fn nothing_of_the_upstream_is_kept_or_said(backend: Backend) {
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
    for (number, page_error) in std::iter::once(None)
        .chain(troubles().into_iter().map(Some))
        .enumerate()
    {
        let person = person(number);
        canaries.push(Canary::new("address", person["email"].as_str().unwrap()));
        let mut browser = Browser::new(fresh_network());
        let Some((why, lie)) = page_error else {
            let page = walk(&stage, &up, &mut browser, &person).await;
            assert!(
                page.has("form#sign-out"),
                "{}\n{}",
                page.summary(),
                stage.page_error()
            );
            continue;
        };
        up.honest();
        up.tell(lie);
        let page = walk(&stage, &up, &mut browser, &person).await;
        assert!(!page.has("form#sign-out"), "{why}: {}", page.summary());
        errors.push((format!("the answer to {why}"), page.body.into_bytes()));
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
        "it proves nothing"
    );
    let said = log
        .iter()
        .filter(|(_, line)| String::from_utf8_lossy(line).contains("up_"))
        .count();
    assert!(said >= troubles().len(), "{said} refusals in the log");
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
    // The search finds what is there: a state put into a line of the log, an address where it may be.
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
async fn r_45_ht_08_nothing_of_the_upstream_is_kept_or_said_on_the_embedded_default() {
    nothing_of_the_upstream_is_kept_or_said(Backend::Embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r_45_ht_08_nothing_of_the_upstream_is_kept_or_said_on_postgresql_and_redis() {
    nothing_of_the_upstream_is_kept_or_said(Backend::Servers).await;
}
