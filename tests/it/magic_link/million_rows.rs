//! H1: signing in beside a million old rows, and while they are cleaned up. Two services of the same kind take turns,
//! one of them empty, so that whatever else the machine does falls on both.
//!
//! Minutes of work, so it is asked for by name: `cargo test --test it -- --ignored --nocapture h_1_a_million`.

use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sea_orm::{ConnectionTrait as _, DatabaseBackend, DatabaseConnection, Statement};
use serde_json::{Value, json};
use testkit::entree::Backend;

use crate::service::{CLIENT, Stage, fresh_network};

/// Old flows; each has a token.
const FLOWS: u64 = 400_000;
/// Old sessions.
const SESSIONS: u64 = 200_000;
/// Rows a statement: between two of them the service writes.
const CHUNK: u64 = 50_000;
/// Sign-ins at each service.
const LOGINS: usize = 300;

/// The words of one kind of database.
struct Words {
    id: &'static str,
    bytes: &'static str,
    now: &'static str,
}

fn words(db: &DatabaseConnection) -> Words {
    match db.get_database_backend() {
        DatabaseBackend::Postgres => Words {
            id: "gen_random_uuid()",
            bytes: "sha256(convert_to(gen_random_uuid()::text, 'UTF8'))",
            now: "(extract(epoch FROM now()) * 1000)::bigint",
        },
        _ => Words {
            id: "randomblob(16)",
            bytes: "randomblob(32)",
            now: "(unixepoch() * 1000)",
        },
    }
}

async fn run(db: &DatabaseConnection, sql: &str) {
    db.execute_unprepared(sql)
        .await
        .unwrap_or_else(|error| panic!("{error}: {sql:.80}"));
}

async fn count(db: &DatabaseConnection, sql: &str) -> i64 {
    let statement = Statement::from_string(db.get_database_backend(), sql);
    db.query_one_raw(statement)
        .await
        .unwrap()
        .unwrap()
        .try_get("", "n")
        .unwrap()
}

/// A million rows whose keeping time is not over: used flows of today with their tokens, ended sessions of this month.
async fn fill(db: &DatabaseConnection) {
    let Words { id, bytes, now } = words(db);
    let series = |rows: u64| {
        let of =
            "WITH RECURSIVE series(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n <";
        format!("{of} {rows})")
    };
    let user = "X'00000000000000000000000000000001'";
    let user = if id == "randomblob(16)" {
        user
    } else {
        "'00000000-0000-0000-0000-000000000001'"
    };
    run(
        db,
        &format!(
            "INSERT INTO users (id, public_id, state, auth_epoch, created_at, updated_at) VALUES ({user}, {user}, \
             'active', 1, 0, 0)"
        ),
    )
    .await;
    for _ in 0..FLOWS / CHUNK {
        let sql = format!(
            "INSERT INTO magic_link_flows (id, state, browser_hash, canonical, address_key, locale, device, remembered, \
             next_send_at, created_at, expires_at, consumed_at) {} SELECT {id}, 'consumed', {bytes}, 'old-' || n || \
             '@example.test', {bytes}, 'en', '', {}, 0, {now} - 7200000, {now} - 3600000, {now} - 5400000 FROM series",
            series(CHUNK),
            if id == "randomblob(16)" { "0" } else { "false" },
        );
        run(db, &sql).await;
    }
    let tokens = format!(
        "INSERT INTO magic_link_tokens (id, flow_id, link_hash, code_mac, created_at, expires_at) SELECT {id}, id, \
         {bytes}, {bytes}, created_at, expires_at FROM magic_link_flows WHERE canonical LIKE 'old-%'"
    );
    run(db, &tokens).await;
    for _ in 0..SESSIONS / CHUNK {
        let sql = format!(
            "INSERT INTO sessions (id, user_id, secret_hash, browser_hash, auth_epoch, auth_time, acr, amr, device, \
             remembered, created_at, last_seen_at, expires_at, revoked_at, told_at) {} SELECT {id}, {user}, {bytes}, {bytes}, 1, \
             0, '', '', 'old', {}, 0, 0, {now} - 3600000, 1, 1 FROM series",
            series(CHUNK),
            if id == "randomblob(16)" { "0" } else { "false" },
        );
        run(db, &sql).await;
    }
    run(db, "ANALYZE").await;
    let rows = count(
        db,
        "SELECT (SELECT count(*) FROM magic_link_flows) + (SELECT count(*) FROM magic_link_tokens) + \
                          (SELECT count(*) FROM sessions) AS n",
    );
    assert!(rows.await >= 1_000_000);
}

/// One whole sign-in of a new person; gives how long its two requests took together.
async fn login(stage: &Stage, http: &reqwest::Client, number: usize) -> Duration {
    let address = format!("million-{number}@example.test");
    let verifier = format!(
        "{}{number:06}",
        "abcdefghijklmnopqrstuvwxyz-0123456789~ABCDEFGH"
    );
    let challenge = URL_SAFE_NO_PAD.encode(ring::digest::digest(
        &ring::digest::SHA256,
        verifier.as_bytes(),
    ));
    let post = async |action: &str, body: &Value| {
        let url = stage
            .service
            .at(&format!("/api/v1/auth/magic-link/{action}"));
        let request = http
            .post(url)
            .header("x-forwarded-for", fresh_network().to_string())
            .json(body);
        let began = Instant::now();
        let answer = request.send().await.expect("an answer");
        let took = began.elapsed();
        (
            took,
            answer.status().as_u16(),
            answer.json::<Value>().await.unwrap_or_default(),
        )
    };
    let body = json!({"client_id": CLIENT, "email": address, "code_challenge": challenge, "code_challenge_method": "S256"});
    let (asking, status, begun) = post("request", &body).await;
    assert_eq!(status, 202, "{begun}\n{}", stage.page_error());
    let code = stage.mail(&address, 1).await.code();
    let body = json!({"flow_id": begun["flow_id"], "code_verifier": verifier, "scope": "openid", "code": code});
    let (using, status, said) = post("consume", &body).await;
    assert_eq!(status, 200, "{said}\n{}", stage.page_error());
    asking + using
}

/// p50 and p99, in milliseconds.
fn quantiles(mut all: Vec<Duration>) -> (f64, f64) {
    all.sort();
    let at =
        |share: usize| all[(all.len() * share / 100).min(all.len() - 1)].as_secs_f64() * 1000.0;
    (at(50), at(99))
}

/// Signs in at both in turn; gives the quantiles of each.
async fn compare(empty: &Stage, full: &Stage, from: usize) -> [(f64, f64); 2] {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let (mut one, mut two) = (Vec::new(), Vec::new());
    for number in from..from + LOGINS {
        one.push(login(empty, &http, number).await);
        two.push(login(full, &http, number).await);
    }
    [quantiles(one), quantiles(two)]
}

fn say(what: &str, backend: Backend, [(p50, p99), (full_p50, full_p99)]: [(f64, f64); 2]) {
    println!(
        "{backend:?}, {what}: empty p50 {p50:.1} ms, p99 {p99:.1} ms; a million rows p50 {full_p50:.1} ms, p99 \
         {full_p99:.1} ms ({:.2} times)",
        full_p99 / p99
    );
}

async fn million(backend: Backend) {
    let Some(empty) = Stage::start(backend, |options| options).await else {
        return;
    };
    let Some(full) = Stage::start(backend, |options| options).await else {
        return;
    };
    let db = full.database().await;
    let began = Instant::now();
    fill(&db).await;
    println!(
        "{backend:?}: filled in {:.0} s",
        began.elapsed().as_secs_f64()
    );
    let beside = compare(&empty, &full, 0).await;
    say("kept", backend, beside);
    // All of it is due at once, which no real service sees.
    let Words { now, .. } = words(&db);
    run(
        &db,
        &format!("UPDATE sessions SET expires_at = {now} - 4000000000 WHERE device = 'old'"),
    )
    .await;
    run(
        &db,
        &format!(
            "UPDATE magic_link_flows SET expires_at = {now} - 90000000 WHERE canonical LIKE 'old-%'"
        ),
    )
    .await;
    let due = Instant::now();
    let during = compare(&empty, &full, LOGINS).await;
    say("being cleaned up", backend, during);
    let left = "SELECT (SELECT count(*) FROM magic_link_flows WHERE canonical LIKE 'old-%') + (SELECT count(*) FROM \
                sessions WHERE device = 'old') AS n";
    let gone = testkit::until("the clean-up", Duration::from_secs(900), || async {
        (count(&db, left).await == 0).then(|| due.elapsed())
    });
    let gone = gone
        .await
        .unwrap_or_else(|why| panic!("{why}\n{}", full.page_error()));
    println!(
        "{backend:?}: a million rows gone {:.0} s after they were due",
        gone.as_secs_f64()
    );
    assert!(
        beside[1].1 <= 2.0 * beside[0].1,
        "H1: p99 within twice that of an empty database"
    );
    assert!(
        gone <= Duration::from_secs(300),
        "H1: gone within five minutes"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "fills a million rows, minutes of work; docs/testing.md has the figures"]
async fn h_1_a_million_old_rows_slow_no_sign_in_on_the_embedded_default() {
    million(Backend::Embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "fills a million rows, minutes of work; docs/testing.md has the figures"]
async fn h_1_a_million_old_rows_slow_no_sign_in_on_postgresql_and_redis() {
    million(Backend::Servers).await;
}
