//! F3, B3, ER-5: whole sign-ins at TRACE, with every request that applications send; then a search
//! for every secret in every output and every store: logs, spans, metrics, all columns of all tables,
//! Redis, error responses. Every stored value, sent back, opens nothing.
//!
//! The address alone may stand in the rows of flow, outbox and user, which need it, and on the
//! waiting page of the user who typed it.

mod app;
mod canary;
mod collected;
mod feed_back;
mod person;
mod running;
mod software;
mod stores;

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sea_orm::{ConnectionTrait as _, DatabaseBackend, DatabaseConnection};
use testkit::{browser::Browser, entree::Backend, otlp::Collector};

use crate::service::{Stage, binary, fresh_network, token_of};
use app::{by_api, ring_digest};
use canary::hex;
use collected::Loot;
use feed_back::feed_back;
use person::{by_client, by_code, by_link, unspent_code};
use running::{sent_telemetry, start_at_trace};
use software::{by_software, signing_key};

pub(crate) use canary::{Canary, Place, leaks};
pub(crate) use stores::{dump, dump_redis, files};

/// Tables that hold addresses because they must.
const ADDRESS_TABLES: [&str; 3] = ["magic_link_flows.", "mail_outbox.", "user_emails."];
const DATABASE_PASSWORD: &str = "canary-of-the-database-7f3a";
const REDIS_PASSWORD: &str = "canary-of-redis-91bc";
/// Programs that an operator registers: one shows its secret in a header, one in the form, one signs.
const BASIC: (&str, &str) = (
    "canary-basic",
    "canary-of-a-client-in-a-header-0a1b2c3d4e5f6071",
);
const POST: (&str, &str) = (
    "canary-post",
    "canary-of-a-client-in-a-form-8293a4b5c6d7e8f90",
);
const SIGNER: &str = "canary-signer";
const GOODBYE: &str = "http://127.0.0.1:7777/goodbye";
/// A service that has just started takes no assertion for a minute (RD-09): its clock is moved on by so much.
const LATER: i64 = 61;
/// The trace of a request that a proxy names.
const TRACE: &str = "7d2b6f0c9a3e4815b7c60d1e2f3a4b5c";
const WRONG_VERIFIER: &str = "wrong-wrong-wrong-wrong-wrong-wrong-wrong-wrong";

fn address_where_it_must_be(canary: &Canary, place: &str) -> bool {
    canary.what == "address" && ADDRESS_TABLES.iter().any(|table| place.starts_with(table))
}

async fn nothing_secret_is_kept_or_said(backend: Backend) {
    let (collector, (key, jwks)) = (Collector::start(), signing_key());
    let Some(stage) = start_at_trace(backend, &collector, &jwks).await else {
        return;
    };
    stage.service.shift_clock(LATER).await;
    let mut loot = Loot::default();
    let address = |who: &str| format!("canary.{who}@example.test");
    let mut browser = by_link(&stage, &mut loot, &address("link")).await;
    by_code(&stage, &mut loot, &address("code")).await;
    let mut other = by_link(&stage, &mut loot, &address("software")).await;
    by_software(&stage, &mut loot, &mut other, &key).await;
    by_client(&stage, &mut loot, &mut browser).await;
    by_api(&stage, &mut loot, &address("app")).await;
    for who in ["link", "code", "software", "app"] {
        loot.note("address", &address(who));
    }
    if backend == Backend::Servers {
        loot.note("password", DATABASE_PASSWORD);
        loot.note("password", REDIS_PASSWORD);
    }
    unspent_code(&stage, &mut loot, &mut browser).await;
    let kinds: BTreeSet<&str> = loot.canaries.iter().map(|canary| canary.what).collect();
    assert!(
        kinds.len() >= 20 && loot.errors.len() >= 30,
        "{kinds:?}, {} errors",
        loot.errors.len()
    );

    let log: Vec<Place> = stage
        .service
        .log()
        .into_iter()
        .map(|line| ("the log".to_owned(), line.into_bytes()))
        .collect();
    let traces = log
        .iter()
        .filter(|(_, line)| String::from_utf8_lossy(line).contains("\"TRACE\""))
        .count();
    assert!(
        traces > 20,
        "{traces} lines at TRACE among {}: it proves nothing",
        log.len()
    );
    assert_eq!(leaks(&loot.canaries, &log, |_, _| false), BTreeSet::new());
    assert_eq!(
        leaks(&loot.canaries, &loot.errors, |_, _| false),
        BTreeSet::new()
    );
    let measured = sent_telemetry(&stage, &collector).await;
    assert_eq!(
        leaks(&loot.canaries, &measured, |_, _| false),
        BTreeSet::new()
    );

    let db = stage.database().await;
    let rows = dump(&db).await;
    assert_eq!(
        leaks(&loot.canaries, &rows, address_where_it_must_be),
        BTreeSet::new()
    );
    // The dump reads what is there: the addresses, where they must be.
    for table in ADDRESS_TABLES {
        let there = leaks(&loot.canaries, &rows, |canary, _| canary.what != "address");
        assert!(
            there.iter().any(|found| found.contains(table)),
            "no address in {table}: {there:?}"
        );
    }
    let files = files(&stage);
    assert_eq!(
        leaks(&loot.canaries, &files, |canary, _| canary.what == "address"),
        BTreeSet::new()
    );
    let mut stored = rows.clone();
    if backend == Backend::Servers {
        let redis = dump_redis(&stage.setting("tickets.url").unwrap());
        assert!(redis.len() > 10, "{} in Redis", redis.len());
        assert_eq!(leaks(&loot.canaries, &redis, |_, _| false), BTreeSet::new());
        stored.extend(redis);
    }
    println!(
        "{} canaries; {} lines of log ({traces} at TRACE), {} values of the database, {} places stored, {} error answers",
        loot.canaries.len(),
        log.len(),
        rows.len(),
        stored.len(),
        loot.errors.len()
    );
    planted(&stage, &loot, &db).await;
    feed_back(&stage, &mut loot, &stored, &browser).await;
}

/// The search itself: one leak at a time, in each place and form, must be found.
async fn planted(stage: &Stage, loot: &Loot, db: &DatabaseConnection) {
    for canary in &loot.canaries {
        for form in &canary.forms {
            let line = [
                b"{\"level\":\"TRACE\",\"message\":\"sent ",
                form.as_slice(),
                b"\"}",
            ]
            .concat();
            let found = leaks(&loot.canaries, &[("the log".to_owned(), line)], |_, _| {
                false
            });
            assert!(
                found.contains(&format!("the {} is in the log", canary.what)),
                "{} not found",
                canary.what
            );
        }
    }
    let link = loot
        .canaries
        .iter()
        .find(|canary| canary.what == "link")
        .unwrap();
    db.execute_unprepared(&format!(
        "UPDATE audit_events SET reason = 'used {}'",
        link.text
    ))
    .await
    .unwrap();
    let raw = String::from_utf8(hex(&URL_SAFE_NO_PAD.decode(&link.text).unwrap())).unwrap();
    let bytes = if db.get_database_backend() == DatabaseBackend::Postgres {
        format!("'\\x{raw}'")
    } else {
        format!("x'{raw}'")
    };
    db.execute_unprepared(&format!("UPDATE audit_events SET address_key = {bytes}"))
        .await
        .unwrap();
    let found = leaks(&loot.canaries, &dump(db).await, address_where_it_must_be);
    let expected = ["audit_events.address_key", "audit_events.reason"]
        .map(|place| format!("the link is in {place}"));
    assert_eq!(found, BTreeSet::from(expected));
    db.execute_unprepared("UPDATE audit_events SET reason = NULL, address_key = NULL")
        .await
        .unwrap();
    if stage
        .setting("tickets.url")
        .is_some_and(|url| url != "memory:")
    {
        let url = stage.setting("tickets.url").unwrap();
        let mut redis = redis::Client::open(url.as_str())
            .unwrap()
            .get_connection()
            .unwrap();
        let () = redis::cmd("SET")
            .arg("planted")
            .arg(&link.text)
            .query(&mut redis)
            .unwrap();
        assert_eq!(
            leaks(&loot.canaries, &dump_redis(&url), |_, _| false).len(),
            1
        );
        let () = redis::cmd("DEL").arg("planted").query(&mut redis).unwrap();
    }
}

/// X12: no secret and no panic after whole sign-ins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f3_b3_er_5_nothing_secret_is_kept_or_said_on_the_embedded_default() {
    nothing_secret_is_kept_or_said(Backend::Embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f3_b3_er_5_nothing_secret_is_kept_or_said_on_postgresql_and_redis() {
    nothing_secret_is_kept_or_said(Backend::Servers).await;
}

/// B1: two mails have nothing in common, the link has 256 bits, and the code is no part of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b1_links_have_256_bits_of_their_own() {
    let stage = Stage::start(Backend::Embedded, |options| options)
        .await
        .expect("needs nothing");
    let mut seen = BTreeSet::new();
    let mut ones = [0_u32; 256];
    const MAILS: u32 = 24;
    for n in 0..MAILS {
        let address = format!("b1-{n}@example.test");
        stage
            .ask(&mut Browser::new(fresh_network()), &address)
            .await;
        let mail = stage.mail(&address, 1).await;
        let token = token_of(&mail.link());
        let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
        assert_eq!(bytes.len(), 32);
        assert!(
            !token.contains(&mail.code()) && seen.insert(token),
            "a link came twice, or tells its code"
        );
        for (bit, count) in ones.iter_mut().enumerate() {
            *count += u32::from(bytes[bit / 8] >> (bit % 8) & 1);
        }
        let hashed = [
            ring_digest(mail.code().as_bytes()),
            ring_digest(address.as_bytes()),
        ];
        assert!(!hashed.contains(&bytes), "made from what is known");
    }
    // A bit that is the same in all mails is none: by chance once in 32 000 runs.
    assert!(
        ones.iter().all(|count| (1..MAILS).contains(count)),
        "{ones:?}"
    );
}

/// A start that fails says why, without the passwords.
#[test]
fn f3_a_failed_start_reveals_no_password() {
    let folder = testkit::child::scratch("secrets");
    let database = format!("postgres://entree:{DATABASE_PASSWORD}@127.0.0.1:1/entree");
    let redis = format!("redis://entree:{REDIS_PASSWORD}@127.0.0.1:1/0");
    let smtp = "canary-of-smtp-55de";
    for (more, database) in [
        ("", database.as_str()),
        ("nonsense = 1\n", database.as_str()),
        ("", "postgres:nonsense canary"),
    ] {
        let text = format!(
            "[server]\npublic_url = \"https://id.example.test\"\ndata_dir = \"{}\"\n{more}[database]\nurl = \
             \"{database}\"\n[tickets]\nurl = \"{redis}\"\n[mail]\ntransport = \"smtp\"\nhost = \"127.0.0.1\"\nport = \
             1\nusername = \"entree\"\npassword = \"{smtp}\"\ntls = \"none\"\nfrom = \"a@example.test\"\n",
            folder.display()
        );
        std::fs::write(folder.join("entree.toml"), text).unwrap();
        for command in ["check-config", "migrate"] {
            let (_, said) = testkit::entree::run(&binary(), &folder, &[command]);
            assert!(said.len() > 20, "{command} says nothing");
            for secret in [DATABASE_PASSWORD, REDIS_PASSWORD, smtp] {
                assert!(!said.contains(secret), "{command} tells a password");
            }
        }
    }
    let _ = std::fs::remove_dir_all(folder);
}
