//! Section H: what is stored, for how long, and what the audit log records.

use entity::{audit_event, known_device, magic_link_flow, magic_link_token, mail_outbox};
use entree::{
    config::Budget,
    db::{Db, Tx},
    jobs::{self, Swept},
    login::flow::{self, FlowHolder, NewFlow},
    magic_link::token,
    secret::{Hash, Plain, Text},
    ticket::{Counter, EvictionPolicy, Space, TicketKind, Tickets},
    user::Address,
};
use poem::http::StatusCode;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, PaginatorTrait as _,
    QueryFilter as _, Statement,
};
use std::time::Duration;
use testkit::services::Redis;

use crate::{
    tap::Tap,
    test_app::{TestApp, found_or_skipped, masters},
};

on_both!(
    h_1_what_is_over_goes_in_batches_and_what_lives_stays,
    h_3_the_audit_log_records_each_step_and_no_secret,
    h_3_one_link_cannot_fill_the_audit_log_or_the_devices,
);

/// Flows with the secrets of a mail each, whose mail may be withheld.
async fn fill(test_app: &TestApp, tx: &Tx, count: usize, withheld_for: Option<Duration>) {
    let config = test_app.app.config.get();
    for _ in 0..count {
        let holder = FlowHolder::Browser(Plain::generate().hash());
        let open = NewFlow {
            holder: &holder,
            client_id: None,
            canonical: "h1@example.com",
            address_key: &Hash::of(b"h1"),
            locale: "en",
            device: "",
            remembered: false,
            destination: None,
            link: None,
            withheld_for,
        };
        let flow = flow::open(tx, open, &config).await.unwrap();
        token::create(
            tx,
            flow.id,
            8,
            config.link_lifetime(),
            &test_app.app.macs.code,
        )
        .await
        .unwrap();
    }
}

async fn flows_and_tokens(test_app: &TestApp) -> (u64, u64) {
    let db = test_app.app.db.read();
    let flows = magic_link_flow::Entity::find().count(db).await.unwrap();
    (
        flows,
        magic_link_token::Entity::find().count(db).await.unwrap(),
    )
}

async fn h_1_what_is_over_goes_in_batches_and_what_lives_stays(test_app: TestApp) {
    let tx = test_app.tx().await;
    fill(&test_app, &tx, 2500, Some(Duration::from_secs(60))).await;
    tx.commit().await.unwrap();
    test_app.browser().sign_in("h1-used@example.com").await;
    test_app.pass(1801);
    let tx = test_app.tx().await;
    fill(&test_app, &tx, 10, None).await;
    tx.commit().await.unwrap();
    let tx = test_app.tx().await;
    assert_eq!(
        flow::sweep(&tx, 1000).await.unwrap(),
        1000,
        "no batch is larger than it may be"
    );
    drop(tx);
    assert_eq!(flows_and_tokens(&test_app).await, (2511, 2511));
    assert_eq!(
        jobs::sweep(&test_app.app, Duration::ZERO).await.unwrap(),
        Swept::MoreIsLeft,
        "and goes on soon"
    );
    assert_eq!(
        flows_and_tokens(&test_app).await,
        (1511, 1511),
        "out of time, one batch of each"
    );
    assert_eq!(
        jobs::sweep(&test_app.app, Duration::from_secs(60))
            .await
            .unwrap(),
        Swept::Clean
    );
    assert_eq!(
        flows_and_tokens(&test_app).await,
        (11, 11),
        "with their secrets; a used one stays for a day"
    );
    test_app.pass(1801);
    jobs::sweep(&test_app.app, Duration::from_secs(60))
        .await
        .unwrap();
    assert_eq!(
        flows_and_tokens(&test_app).await,
        (11, 11),
        "OD-12: a link that was sent says for a day why it is dead"
    );
    test_app.pass(25 * 3600);
    jobs::sweep(&test_app.app, Duration::from_secs(60))
        .await
        .unwrap();
    assert_eq!(flows_and_tokens(&test_app).await, (0, 0));
    assert_eq!(
        mail_outbox::Entity::find()
            .count(test_app.app.db.read())
            .await
            .unwrap(),
        0,
        "and the mail's row"
    );
}

async fn h_3_one_link_cannot_fill_the_audit_log_or_the_devices(test_app: TestApp) {
    let mut person = test_app.browser();
    person.ask("h3-flood@example.com").await;
    let link = test_app.mail("h3-flood@example.com").await.link();
    let page = person.open(&link).await;
    let before = person.clone();
    person.submit(&page, "link", &[]).await;
    for _ in 0..5 {
        let mut again = before.clone();
        again.submit(&page, "link", &[]).await;
        assert!(again.is_signed_in(), "B7");
    }
    let devices = known_device::Entity::find()
        .count(test_app.app.db.read())
        .await
        .unwrap();
    assert!(devices <= 2, "{devices}");
    test_app.pass(61);
    for _ in 0..30 {
        before.clone().submit(&page, "link", &[]).await;
    }
    let refused =
        audit_event::Entity::find().filter(audit_event::Column::Kind.eq("magic_link.refused"));
    assert_eq!(
        refused.count(test_app.app.db.read()).await.unwrap(),
        20,
        "and the rest in the log alone"
    );
}

/// The plan of a statement whose values are not known yet.
async fn plan(db: &Db, sql: &str) -> String {
    let tx = db.begin().await.unwrap();
    let (conn, mut numbers) = (tx.conn(), 0);
    while sql.contains(&format!("${}", numbers + 1)) {
        numbers += 1;
    }
    let nulls = vec!["NULL"; numbers].join(", ");
    let explain = if tx.is_postgres() {
        conn.execute_unprepared(
            "SET LOCAL enable_seqscan = off; SET LOCAL plan_cache_mode = force_generic_plan",
        )
        .await
        .unwrap();
        conn.execute_unprepared(&format!("PREPARE asked AS {sql}"))
            .await
            .unwrap();
        format!(
            "EXPLAIN EXECUTE asked{}",
            if numbers == 0 {
                String::new()
            } else {
                format!("({nulls})")
            }
        )
    } else {
        format!(
            "EXPLAIN QUERY PLAN {}",
            sql.replace(" FOR UPDATE SKIP LOCKED", "")
                .replace(" FOR NO KEY UPDATE SKIP LOCKED", "")
        )
    };
    let rows = conn
        .query_all_raw(Statement::from_string(conn.get_database_backend(), explain))
        .await
        .unwrap();
    let column = usize::from(!tx.is_postgres()) * 3;
    let lines: Vec<String> = rows
        .iter()
        .map(|row| row.try_get_by_index(column).unwrap())
        .collect();
    if tx.is_postgres() {
        conn.execute_unprepared("DEALLOCATE asked").await.unwrap();
    }
    lines.join("\n")
}

/// A service on PostgreSQL whose statements are written down.
async fn tapped() -> Option<(TestApp, Tap)> {
    let test_app = TestApp::servers().await?;
    let (tap, url) = Tap::postgres(test_app.app.config.startup().database.url.expose()).await;
    let tapped =
        TestApp::servers_with(|config| config.startup.database.url = Text::new(url)).await?;
    Some((tapped, tap))
}

/// What went by, each statement once, without those that only write new rows.
fn statements(tap: &Tap) -> Vec<String> {
    let mut said = tap.take();
    said.retain(|sql| {
        ["SELECT", "UPDATE", "DELETE", "WITH"]
            .iter()
            .any(|word| sql.starts_with(word))
    });
    said.sort();
    said.dedup();
    said
}

/// Holds that each of them goes by an index, on both databases.
async fn go_by_index(said: &[String]) {
    let (servers, embedded) = (TestApp::servers().await.unwrap(), TestApp::embedded().await);
    let scans = |shown: &str| {
        shown.contains("Seq Scan")
            || shown
                .lines()
                .any(|line| line.starts_with("SCAN ") && !line.contains("INDEX"))
    };
    for sql in said {
        for db in [&servers.app.db, &embedded.app.db] {
            let shown = plan(db, sql).await;
            assert!(!scans(&shown), "{sql}\n{shown}");
        }
    }
    for db in [&servers.app.db, &embedded.app.db] {
        let blind = plan(db, "SELECT id FROM magic_link_flows WHERE tries = $1").await;
        assert!(scans(&blind), "the check sees what has no index: {blind}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h_1_db_03_no_clean_up_reads_a_whole_table() {
    let Some((test_app, tap)) = tapped().await else {
        return;
    };
    let tx = test_app.tx().await;
    fill(&test_app, &tx, 20, None).await;
    tx.commit().await.unwrap();
    test_app.browser().sign_in("h1@example.com").await;
    test_app.pass(400 * 86_400);
    let _ = tap.take();
    jobs::sweep(&test_app.app, Duration::from_secs(60))
        .await
        .unwrap();
    let said = statements(&tap);
    for table in [
        "magic_link_flows",
        "mail_outbox",
        "code_budgets",
        "known_devices",
        "grant_families",
        "sessions",
    ] {
        assert!(
            said.iter().any(|sql| sql.contains(table)),
            "{table} is swept: {said:#?}"
        );
    }
    go_by_index(&said).await;
}

/// LO-7: each instance looks for ended sessions once a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lo_7_no_look_for_ended_sessions_reads_a_whole_table() {
    let Some((test_app, tap)) = tapped().await else {
        return;
    };
    let mut browser = test_app.browser();
    browser.sign_in("lo7@example.com").await;
    let account = browser.open("/account").await;
    browser.submit(&account, "sign-out", &[]).await;
    test_app.pass(1);
    let _ = tap.take();
    let mut worker = entree::oauth::backchannel::Worker::new(test_app.app.clone());
    worker.deliver_due().await.unwrap();
    let mut said = statements(&tap);
    for table in ["sessions", "grant_families", "logout_outbox"] {
        assert!(
            said.iter().any(|sql| sql.contains(table)),
            "{table} is looked at: {said:#?}"
        );
    }
    // SQLite calls the second step of a ranking a scan, of what the first one found.
    said.retain(|sql| !sql.contains("ROW_NUMBER"));
    go_by_index(&said).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h_2_every_key_in_redis_ends_by_itself() {
    let Some(test_app) = TestApp::servers().await else {
        return;
    };
    let mut person = test_app.browser();
    person.from = "2001:db8::1".to_owned();
    person.sign_in("h2@example.com").await;
    person.ask("h2@example.com").await;
    let (handle, ttl) = (Plain::generate().hash(), Duration::from_secs(60));
    for kind in [TicketKind::Code, TicketKind::Pending, TicketKind::Jti] {
        assert!(
            test_app
                .app
                .tickets
                .issue(kind, &handle, b"value", ttl)
                .await
                .unwrap()
        );
    }
    test_app
        .app
        .tickets
        .claim(TicketKind::Code, &handle, b"used", ttl)
        .await
        .unwrap();
    let (mut redis, keys) = test_app.redis().await;
    assert!(keys.len() >= 9, "{}", keys.len());
    for key in keys {
        let left: i64 = redis::cmd("PTTL")
            .arg(&key)
            .query_async(&mut redis)
            .await
            .unwrap();
        assert!(left > 0, "{key} never ends");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h_2_a_redis_that_drops_live_keys_is_known_as_such() {
    let Some(server) = found_or_skipped(Redis::start().await) else {
        return;
    };
    let tickets = Tickets::connect(
        server.url(),
        Space {
            prefix: "h2:",
            max_bytes: 1 << 20,
        },
        &masters(),
    )
    .unwrap();
    assert_eq!(tickets.policy().await.unwrap(), EvictionPolicy::Refuses);
    let mut redis = redis::Client::open(server.url())
        .unwrap()
        .get_multiplexed_async_connection()
        .await
        .unwrap();
    let mut set = redis::cmd("CONFIG");
    set.arg("SET").arg("maxmemory-policy").arg("allkeys-lru");
    set.query_async::<()>(&mut redis).await.unwrap();
    assert_eq!(
        tickets.policy().await.unwrap(),
        EvictionPolicy::Evicts("allkeys-lru".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h_2_a_flood_of_emails_drops_the_counters_of_its_own_network() {
    let test_app =
        TestApp::embedded_with(|config| config.startup.tickets.max_bytes = 600_000).await;
    test_app.configure(|config| {
        config.limits.network = vec![Budget {
            count: 1000,
            seconds: 600,
        }]
    });
    let email = "h2@example.com";
    let mut victim = test_app.browser();
    victim.from = "203.0.113.1".to_owned();
    assert_eq!(victim.try_ask(email).await.status, StatusCode::SEE_OTHER);
    for n in 0..30 {
        let mut attacker = test_app.browser();
        attacker.from = "192.0.2.1".to_owned();
        let answer = attacker.try_ask(&format!("n{n}@example.com")).await;
        assert_ne!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{n}");
    }
    let usage = test_app.app.tickets.usage().await.unwrap();
    assert!(
        usage.counters > 100_000,
        "the flood fills its quarter: {usage:?}"
    );
    // What was counted before for another network is still counted.
    let key = Address::parse(email, false)
        .unwrap()
        .key(&test_app.app.macs.address);
    let counter = Counter {
        name: "address 900".to_owned(),
        limit: 1,
        window: Duration::from_secs(900),
    };
    let refused = test_app.app.tickets.hit(&key, &[counter]).await.unwrap();
    assert!(refused.is_some(), "the counter of an innocent is kept");
}

async fn h_3_the_audit_log_records_each_step_and_no_secret(test_app: TestApp) {
    let email = "h3@example.com";
    let budget = |count| {
        vec![Budget {
            count,
            seconds: 900,
        }]
    };
    test_app.configure(|config| {
        config.limits.address = budget(4);
        config.limits.address_reserve = budget(1);
    });
    let mut person = test_app.browser();
    let waiting = person.ask(email).await;
    let mail = test_app.mail(email).await;
    person
        .submit(&waiting, "code", &[("code", "00000000")])
        .await;
    person.click(&mail.link()).await;
    for _ in 0..6 {
        test_app.browser().ask(email).await;
    }
    let events = audit_event::Entity::find()
        .all(test_app.app.db.read())
        .await
        .unwrap();
    let count = |kind: &str, reason: Option<&str>| {
        events
            .iter()
            .filter(|event| event.kind == kind && event.reason.as_deref() == reason)
            .count()
    };
    assert_eq!(count("magic_link.requested", None), 5);
    assert_eq!(count("magic_link.sent", None), 1);
    assert_eq!(count("magic_link.refused", Some("wrong_code")), 1);
    assert_eq!(count("magic_link.refused", Some("address_budget")), 2);
    assert_eq!(count("magic_link.consumed", None), 1);
    let key = Address::parse(email, false)
        .unwrap()
        .key(&test_app.app.macs.address)
        .to_column();
    for event in &events {
        if event.kind.starts_with("magic_link.") {
            assert_eq!(
                event.address_key.as_ref(),
                Some(&key),
                "the address as a keyed hash: {}",
                event.kind
            );
        }
        let shown = format!("{event:?}");
        for secret in [email, mail.link().rsplit('/').next().unwrap()] {
            assert!(!shown.contains(secret), "{}", event.kind);
        }
        // The digits of a code may stand in a longer number or an id by chance.
        let mut words = shown.split(|c: char| !c.is_ascii_alphanumeric());
        assert!(words.all(|word| word != mail.code()), "{}", event.kind);
    }
}
