//! How logout tokens are delivered: retries, clients that are down, and many at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use entree::{oauth::backchannel::Worker, session};
use poem::http::StatusCode;
use sea_orm::ConnectionTrait as _;
use testkit::{
    logout::{LogoutReceiver, ok},
    upstream::http::{Pace, Reply},
};

use super::{deliver, deliver_due, number, register_notified, signed_in_at_web, waiting};
use crate::test_app::{Browser, TestApp};

on_both!(
    lo_8_a_client_that_fails_is_tried_again_at_its_times_and_then_dropped,
    lo_8_a_delivery_without_a_record_is_repeated_after_its_lease,
    lo_9_a_client_that_is_down_delays_no_other,
    lo_10_a_dropped_row_is_kept_for_a_day,
    lo_4_a_client_that_lost_its_address_is_left_alone,
);

const EMAIL: &str = "ada@example.com";

/// How many sessions end at once in the test of a crowd. LO-9 names 1,000: `LOGOUTS=1000` runs it so.
const CROWD: usize = 60;

async fn sign_out(browser: &mut Browser<'_>) {
    let account = browser.open("/account").await;
    let done = browser.submit(&account, "sign-out", &[]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.summary());
}

fn down() -> Reply {
    Reply::new(503, "text/plain", "later")
}

async fn audited(test_app: &TestApp) -> i64 {
    number(
        test_app,
        "SELECT count(*) AS n FROM audit_events WHERE kind = 'logout.dropped' AND reason = '5xx' \
         AND client_id = 'web' AND session_id IS NOT NULL",
    )
    .await
}

async fn lo_8_a_client_that_fails_is_tried_again_at_its_times_and_then_dropped(test_app: TestApp) {
    let receiver = LogoutReceiver::start().await;
    register_notified(&test_app, &receiver);
    receiver.reply_with(|_| down());
    let (mut browser, id_token, _) = signed_in_at_web(&test_app, EMAIL).await;
    sign_out(&mut browser).await;
    deliver(&test_app).await;
    let mut ids = BTreeSet::new();
    for (tries, pause) in [(1, 5), (2, 25), (3, 90), (4, 480), (5, 2400), (6, 0)] {
        let received = receiver.received();
        assert_eq!(received.len(), tries);
        let claims = received.last().unwrap().claims();
        assert_eq!(claims["sid"], id_token["sid"]);
        assert!(
            ids.insert(claims["jti"].to_string()),
            "each has its own jti"
        );
        if pause == 0 {
            break;
        }
        assert_eq!((waiting(&test_app).await, audited(&test_app).await), (1, 0));
        test_app.pass(pause - 1);
        deliver_due(&test_app).await;
        assert_eq!(receiver.received().len(), tries, "not before its time");
        test_app.pass(1);
        deliver_due(&test_app).await;
    }
    assert_eq!((waiting(&test_app).await, audited(&test_app).await), (0, 1));
    test_app.pass(3600);
    deliver_due(&test_app).await;
    assert_eq!(receiver.received().len(), 6, "it is over");
}

async fn lo_8_a_delivery_without_a_record_is_repeated_after_its_lease(test_app: TestApp) {
    let receiver = LogoutReceiver::start().await;
    register_notified(&test_app, &receiver);
    let (mut browser, id_token, _) = signed_in_at_web(&test_app, EMAIL).await;
    sign_out(&mut browser).await;
    test_app.pass(1);
    // The client has the token, and the instance is gone before it records that.
    receiver.reply_with(|_| ok().at(Pace::After(Duration::from_secs(30))));
    let mut lost = Worker::new(test_app.app.clone());
    let arrived = || async { (!receiver.received().is_empty()).then_some(()) };
    tokio::select! {
        _ = lost.deliver_due() => panic!("the client has not answered"),
        seen = testkit::until("a logout token", Duration::from_secs(20), arrived) => seen.unwrap(),
    }
    drop(lost);
    receiver.reply_with(|_| ok());
    deliver_due(&test_app).await;
    assert_eq!(receiver.received().len(), 1, "the lease holds");
    test_app.pass(61);
    deliver_due(&test_app).await;
    let received = receiver.take();
    assert_eq!(received.len(), 2, "at least once");
    assert!(received.iter().all(|one| one.sid() == id_token["sid"]));
    assert_eq!(waiting(&test_app).await, 0);
}

/// Sign-ins of one user at the client `web`, each in a browser of its own, and sign-outs of all.
async fn end_many(test_app: &TestApp, count: usize) -> BTreeSet<String> {
    let mut sids = BTreeSet::new();
    for number in 0..count {
        let email = format!("many-{number}@example.com");
        let (mut browser, id_token, _) = signed_in_at_web(test_app, &email).await;
        sign_out(&mut browser).await;
        sids.insert(id_token["sid"].as_str().unwrap().to_owned());
    }
    sids
}

async fn lo_9_a_client_that_is_down_delays_no_other(test_app: TestApp) {
    let receiver = LogoutReceiver::start().await;
    register_notified(&test_app, &receiver);
    receiver.reply_with(|path| if path == "/other" { down() } else { ok() });
    let mut worker = Worker::new(test_app.app.clone());
    // Ten sessions of each client: the client `other` responds to none.
    let copy_to_other = "INSERT INTO logout_outbox (id, session_id, client_id, sub, attempts, due_at, \
        lease_until, created_at) SELECT session_id, session_id, 'other', sub, 0, due_at, 0, created_at \
        FROM logout_outbox WHERE client_id = 'web'";
    let sids = end_many(&test_app, 10).await;
    test_app.pass(1);
    // Queue all, and hold them back until both clients have theirs.
    receiver.reply_with(|_| down());
    deliver_due(&test_app).await;
    let _ = receiver.take();
    for sql in [
        "UPDATE logout_outbox SET attempts = 0, due_at = 0, lease_until = 0, lease_owner = NULL",
        copy_to_other,
    ] {
        let tx = test_app.tx().await;
        tx.conn().execute_unprepared(sql).await.unwrap();
        tx.commit().await.unwrap();
    }
    receiver.reply_with(|path| if path == "/other" { down() } else { ok() });
    worker.deliver_due().await.unwrap();
    let received = receiver.take();
    let of = |path: &str| {
        let of_path = received.iter().filter(|one| one.path == path);
        of_path.map(|one| one.sid()).collect::<Vec<_>>()
    };
    assert_eq!(of("web").iter().cloned().collect::<BTreeSet<_>>(), sids);
    let tried = of("other").len();
    assert!(
        (5..=6).contains(&tried),
        "five failures in a row, two at once: {tried}"
    );
    // Then one probe in half a minute, and what is due goes on as soon as it responds.
    test_app.pass(29);
    worker.deliver_due().await.unwrap();
    assert_eq!(receiver.received().len(), 0);
    test_app.pass(1);
    worker.deliver_due().await.unwrap();
    assert_eq!(receiver.take().len(), 1, "the probe");
    receiver.reply_with(|_| ok());
    test_app.pass(30);
    worker.deliver_due().await.unwrap();
    test_app.pass(600);
    worker.deliver_due().await.unwrap();
    let after: BTreeSet<_> = receiver.take().iter().map(|one| one.sid()).collect();
    assert_eq!(after, sids, "every session reached the client in the end");
}

async fn lo_10_a_dropped_row_is_kept_for_a_day(test_app: TestApp) {
    let receiver = LogoutReceiver::start().await;
    register_notified(&test_app, &receiver);
    receiver.reply_with(|_| down());
    let (mut browser, ..) = signed_in_at_web(&test_app, EMAIL).await;
    sign_out(&mut browser).await;
    deliver(&test_app).await;
    for pause in [5, 25, 90, 480, 2400] {
        test_app.pass(pause);
        deliver_due(&test_app).await;
    }
    let rows = "SELECT count(*) AS n FROM logout_outbox";
    let sweep = async || {
        let budget = Duration::from_secs(10);
        entree::jobs::sweep(&test_app.app, budget).await.unwrap();
        number(&test_app, rows).await
    };
    test_app.pass(86_399);
    assert_eq!(sweep().await, 1);
    test_app.pass(2);
    assert_eq!(sweep().await, 0);
}

async fn lo_4_a_client_that_lost_its_address_is_left_alone(test_app: TestApp) {
    let receiver = LogoutReceiver::start().await;
    register_notified(&test_app, &receiver);
    receiver.reply_with(|_| down());
    let (mut browser, ..) = signed_in_at_web(&test_app, EMAIL).await;
    sign_out(&mut browser).await;
    deliver(&test_app).await;
    assert_eq!(receiver.take().len(), 1);
    test_app.configure(|config| config.clients[0].backchannel_logout_uri.clear());
    test_app.pass(5);
    deliver_due(&test_app).await;
    assert_eq!((receiver.take().len(), waiting(&test_app).await), (0, 0));
}

/// Starts sessions of one user with a grant for each of the three clients, and ends all of them.
async fn end_crowd(test_app: &TestApp, sessions: usize) -> BTreeSet<(String, String)> {
    let (mut browser, id_token, _) = signed_in_at_web(test_app, EMAIL).await;
    let sid = id_token["sid"].as_str().unwrap();
    let first: uuid::Uuid = sid.parse().unwrap();
    test_app.configure(|config| config.session.max_per_user = 1_000_000);
    let limits = test_app.app.config.get().session.clone();
    let tx = test_app.tx().await;
    let live = session::find_live(tx.conn(), first, tx.now, &limits).await;
    let user = live.unwrap().unwrap().user;
    tx.commit().await.unwrap();
    let mut pairs = BTreeSet::new();
    for _ in 0..sessions {
        let tx = test_app.tx().await;
        let new = session::NewSession {
            user: &user,
            method: session::AuthMethod::Email,
            device: "x",
            remembered: false,
            browser: None,
        };
        let (started, _) = session::start(&tx, new, &limits).await.unwrap();
        tx.commit().await.unwrap();
        for client in ["web", "other", "es"] {
            pairs.insert((client.to_owned(), started.id.to_string()));
        }
    }
    let columns = "user_id, scope, audience, auth_time, acr, amr, created_at, expires_at, \
                   auth_epoch, generation, claims, gc_day";
    let of_grant: Vec<String> = columns
        .split(", ")
        .map(|name| format!("g.{name}"))
        .collect();
    let id = match test_app.app.db.is_postgres() {
        true => "gen_random_uuid()",
        false => "randomblob(16)",
    };
    for client in ["web", "other", "es"] {
        let sql = format!(
            "INSERT INTO grant_families (id, session_id, client_id, {columns}) SELECT {id}, s.id, \
             '{client}', {} FROM sessions s, (SELECT * FROM grant_families LIMIT 1) g",
            of_grant.join(", ")
        );
        let tx = test_app.tx().await;
        tx.conn().execute_unprepared(&sql).await.unwrap();
        tx.commit().await.unwrap();
    }
    for client in ["web", "other", "es"] {
        pairs.insert((client.to_owned(), sid.to_owned()));
    }
    let account = browser.open("/account").await;
    browser.submit(&account, "sign-out-everywhere", &[]).await;
    test_app.pass(1);
    pairs
}

/// LO-9: of a crowd of sessions with three clients each, every pair is delivered, and by two instances
/// none twice.
async fn every_pair_arrives(test_app: &TestApp, second: &TestApp) {
    let receiver = LogoutReceiver::start().await;
    register_notified(test_app, &receiver);
    register_notified(second, &receiver);
    let sessions = std::env::var("LOGOUTS")
        .ok()
        .and_then(|text| text.parse().ok());
    let pairs = end_crowd(test_app, sessions.unwrap_or(CROWD)).await;
    second.pass(1);
    let mut workers = [
        Worker::new(test_app.app.clone()),
        Worker::new(second.app.clone()),
    ];
    let [one, two] = &mut workers;
    let (first, other) = tokio::join!(one.deliver_due(), two.deliver_due());
    first.unwrap();
    other.unwrap();
    let mut arrived = BTreeMap::new();
    for one in receiver.take() {
        *arrived.entry((one.path.clone(), one.sid())).or_insert(0) += 1;
    }
    assert_eq!(arrived.keys().cloned().collect::<BTreeSet<_>>(), pairs);
    assert!(arrived.values().all(|count| *count == 1));
    assert_eq!(waiting(test_app).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lo_9_every_pair_of_a_crowd_arrives_from_one_instance() {
    let test_app = TestApp::embedded().await;
    // Another worker of the same process stands for the second instance.
    let second = test_app.over(test_app.app.clone());
    every_pair_arrives(&test_app, &second).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lo_9_every_pair_of_a_crowd_arrives_from_two_instances() {
    if let Some(test_app) = TestApp::servers().await {
        let second = test_app.copy().await;
        every_pair_arrives(&test_app, &second).await;
    }
}

/// LO-8, RD-08: signing out and the notification need no ticket store.
#[tokio::test]
async fn lo_8_without_the_ticket_store_clients_are_notified() {
    let test_app = TestApp::embedded().await;
    let receiver = LogoutReceiver::start().await;
    register_notified(&test_app, &receiver);
    let (browser, id_token, _) = signed_in_at_web(&test_app, EMAIL).await;
    let away = test_app.over(crate::oauth::without_tickets(&test_app.app));
    let mut there = Browser {
        test_app: &away,
        ..browser.clone()
    };
    sign_out(&mut there).await;
    deliver(&away).await;
    super::one_for(&receiver.take(), &id_token);
}
