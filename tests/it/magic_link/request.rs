//! Section A: asking for a mail tells nothing about the address, and is limited.

use std::{collections::BTreeMap, sync::Arc};

use entity::{mail_outbox, user};
use entree::{
    config::{Budget, Client, SignUp},
    secret::Text,
    user::{Address, find_by_address},
};
use futures_util::future::join_all;
use poem::http::{Method, StatusCode, header};
use sea_orm::{
    ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _, sea_query::Expr,
};
use testkit::{page::Page, services};

use crate::{
    oauth::{Attempt, CALLBACK, settle, with_clients},
    tap::Tap,
    test_app::{Browser, TestApp, found_or_skipped},
};

on_both!(
    a_1_known_unknown_disabled_and_limited_addresses_look_alike,
    a_4_without_a_ticket_store_nothing_is_sent_to_anybody,
    a_5_an_address_gets_as_many_emails_as_its_budgets_have,
    a_5_a_network_may_ask_twenty_times_in_ten_minutes,
    od_11_a_late_email_is_said_on_a_known_device_alone,
    a_5_a_flow_resends_after_30_60_and_120_seconds_and_five_times_in_all,
    a_6_a_known_device_gets_its_email_when_strangers_exhausted_the_address,
    a_7_a_forged_forwarding_header_changes_nothing,
    a_9_the_cool_down_shown_is_that_of_this_flow,
);

/// Addresses of one length: known, unknown, and locked; over their limit a known and an unknown one.
const ARMS: [&str; 5] = [
    "known@example.com",
    "other@example.com",
    "locks@example.com",
    "limit@example.com",
    "spent@example.com",
];

/// What stands in every answer and is random or the time.
const RANDOM: [&str; 4] = [
    "x-request-id",
    "location",
    "set-cookie",
    "content-security-policy",
];

async fn make_arms(test_app: &TestApp) {
    let budget = |count, seconds| vec![Budget { count, seconds }];
    test_app.configure(|config| {
        config.limits.address = budget(5, 900);
        config.limits.address_reserve = budget(1, 86_400);
    });
    for known in [ARMS[0], ARMS[2], ARMS[4]] {
        test_app.browser().sign_in(known).await;
    }
    disable(test_app, ARMS[2]).await;
    for _ in 0..6 {
        test_app.browser().ask(ARMS[3]).await;
        test_app.browser().ask(ARMS[4]).await;
    }
    test_app.send_due_emails().await;
}

async fn disable(test_app: &TestApp, email: &str) {
    let tx = test_app.tx().await;
    let locked = find_by_address(tx.conn(), &Address::from_column(email))
        .await
        .unwrap()
        .unwrap();
    user::Entity::update_many()
        .col_expr(user::Column::State, Expr::value("disabled"))
        .filter(user::Column::Id.eq(locked.id))
        .exec(tx.conn())
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

/// Status, headers and lengths of an answer: what an asker sees.
fn seen(page: &Page) -> Vec<String> {
    let mut seen = vec![
        page.status.to_string(),
        format!("body of {}", page.body.len()),
    ];
    for (name, value) in &page.headers {
        let random = RANDOM.contains(&name.as_str());
        let value = if random {
            format!("{} bytes", value.len())
        } else {
            value.to_str().unwrap().to_owned()
        };
        seen.push(format!("{name}: {value}"));
    }
    seen.sort();
    seen
}

async fn a_1_known_unknown_disabled_and_limited_addresses_look_alike(test_app: TestApp) {
    make_arms(&test_app).await;
    let mut answers = BTreeMap::new();
    for arm in ARMS {
        let mut requester = test_app.browser();
        let answer = requester.try_ask(arm).await;
        let waiting = requester.follow(&answer).await;
        let flow = crate::test_app::flow_of(&waiting);
        let state = requester
            .open(&format!("/login/sent/state?flow={flow}"))
            .await;
        answers.insert(arm, (seen(&answer), seen(&waiting), seen(&state)));
    }
    for (n, arm) in ARMS.into_iter().enumerate() {
        assert_eq!(answers[arm].0, answers[ARMS[0]].0, "{arm}");
        // The page says that an address gets no more for now, and says so of known and unknown ones.
        let like = ARMS[if n < 3 { 0 } else { 3 }];
        assert_eq!(answers[arm], answers[like], "{arm}");
        assert!(answers[arm].0.contains(&"303 See Other".to_owned()));
    }
    assert_ne!(answers[ARMS[3]].1, answers[ARMS[0]].1);
}

/// A first-party app that draws its own form.
fn app_client() -> Client {
    serde_json::from_value(serde_json::json!({
        "client_id": "app",
        "name": "App",
        "audience": "https://api.test",
        "first_party": true,
        "app_sign_in": true,
    }))
    .unwrap()
}

async fn ask_by_api(requester: &mut Browser<'_>, email: &str) -> Page {
    let body = serde_json::json!({
        "client_id": "app",
        "email": email,
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "code_challenge_method": "S256",
    });
    let request = requester.request(Method::POST, "/api/v1/auth/magic-link/request");
    requester
        .send(
            request
                .header(header::CONTENT_TYPE, "application/json")
                .body(body.to_string()),
        )
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_1_a_2_every_address_costs_the_same_statements_and_commands() {
    let Some(test_app) = TestApp::servers().await else {
        return;
    };
    let config = test_app.app.config.startup();
    let (sql, database) = Tap::postgres(config.database.url.expose()).await;
    let (commands, tickets) = Tap::redis(config.tickets.url.expose()).await;
    let tapped = TestApp::servers_with(|config| {
        config.startup.database.url = Text::new(database);
        config.startup.tickets.url = Text::new(tickets);
        config.reloadable.clients = vec![app_client()];
    })
    .await
    .unwrap();
    make_arms(&tapped).await;
    // The first round fills the pool and the statement caches. A slow machine may open one more
    // connection in the middle of a later one: a difference between addresses shows in all of them.
    let mut seen = String::new();
    for round in 0..5 {
        let (mut pages, mut api) = (Vec::new(), Vec::new());
        for arm in ARMS {
            let mut requester = tapped.browser();
            let login = requester.open("/login").await;
            let _ = (sql.take(), commands.take());
            let answer = requester.submit(&login, "sign-in", &[("email", arm)]).await;
            assert_eq!(answer.status, StatusCode::SEE_OTHER);
            pages.push((sql.take(), commands.take()));
            let answer = ask_by_api(&mut requester, arm).await;
            assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
            api.push((sql.take(), commands.take()));
        }
        let alike = |all: &[(Vec<String>, Vec<String>)]| {
            let (statements, commands) = &all[0];
            statements.len() >= 4 && commands.len() == 6 && all.iter().all(|one| one == &all[0])
        };
        if round > 0 && alike(&pages) && alike(&api) {
            return;
        }
        seen = format!("{pages:#?}\n{api:#?}");
    }
    panic!("in no round did every address cost the same:\n{seen}");
}

/// A wrong code costs the same and is answered alike, whether its email was sent or, as no user may
/// sign in with the address, dropped: until the attempts at codes are spent, and beyond.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_1_a_2_wrong_codes_cost_the_same_with_and_without_an_account() {
    let Some(test_app) = TestApp::servers().await else {
        return;
    };
    let url = test_app.app.config.startup().database.url.clone();
    let (sql, database) = Tap::postgres(url.expose()).await;
    let tapped = TestApp::servers_with(|config| {
        config.startup.database.url = Text::new(database);
        config.reloadable.magic_link.sign_up = SignUp::Open;
    })
    .await
    .unwrap();
    for known in [ARMS[0], ARMS[2]] {
        tapped.browser().sign_in(known).await;
    }
    disable(&tapped, ARMS[2]).await;
    tapped.configure(|config| config.magic_link.sign_up = SignUp::Closed);
    let mut last = String::new();
    for round in 0..5 {
        let mut arms = Vec::new();
        for arm in &ARMS[..3] {
            arms.push(guess(&tapped, &sql, arm).await);
        }
        let statements = arms[0].iter().flat_map(|(statements, _)| statements);
        assert!(statements.count() > 12 * 5, "{arms:#?}");
        if round > 0 && arms.iter().all(|arm| *arm == arms[0]) {
            return;
        }
        last = format!("{arms:#?}");
    }
    panic!("in no round did every address cost the same:\n{last}");
}

/// Enters wrong codes in three flows from one network. Returns the statements of each attempt, and what
/// its page looks like.
async fn guess(tapped: &TestApp, sql: &Tap, arm: &str) -> Vec<(Vec<String>, Vec<String>)> {
    let (from, mut attempts) = (tapped.browser().from, Vec::new());
    for _ in 0..3 {
        let mut guesser = tapped.browser();
        guesser.from.clone_from(&from);
        let mut waiting = guesser.ask(arm).await;
        tapped.send_due_emails().await;
        for n in 0..4 {
            let _ = sql.take();
            let code = [("code", &*format!("0000000{n}"))];
            let answer = guesser.submit(&waiting, "code", &code).await;
            let statements = sql.take();
            if answer.status == StatusCode::SEE_OTHER {
                waiting = guesser.follow(&answer).await;
            }
            attempts.push((statements, seen(&answer)));
        }
    }
    attempts
}

async fn outbox(test_app: &TestApp, state: mail_outbox::State) -> u64 {
    mail_outbox::Entity::find()
        .filter(mail_outbox::Column::State.eq(state))
        .count(test_app.app.db.read())
        .await
        .unwrap()
}

async fn a_4_without_a_ticket_store_nothing_is_sent_to_anybody(test_app: TestApp) {
    let away = if test_app.app.db.is_postgres() {
        let Some(redis) = found_or_skipped(services::Redis::start().await) else {
            return;
        };
        let away = TestApp::servers_with(|config| {
            config.startup.tickets.url = Text::new(redis.url().to_owned())
        })
        .await
        .unwrap();
        away.browser().sign_in(ARMS[0]).await;
        redis.kill();
        away
    } else {
        // Full and refusing: a store in this process is never away.
        TestApp::embedded_with(|config| config.startup.tickets.max_bytes = 0).await
    };
    let before = outbox(&away, mail_outbox::State::Queued).await;
    let mut answers = Vec::new();
    for arm in [ARMS[0], ARMS[1]] {
        let answer = away.browser().try_ask(arm).await;
        assert_eq!(
            answer.status,
            StatusCode::SERVICE_UNAVAILABLE,
            "{}",
            answer.summary()
        );
        answers.push(seen(&answer));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(outbox(&away, mail_outbox::State::Queued).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_4_two_instances_share_their_limits_to_the_last_email() {
    let Some(one) = TestApp::servers().await else {
        return;
    };
    let copies = [Arc::new(one.copy().await), Arc::new(one.copy().await)];
    // Thirty strangers at once for one address, then one stranger 24 times for many.
    let mut asks = Vec::new();
    for n in 0..30 {
        asks.push(prepared(&copies[n % 2], None, "both@example.com").await);
    }
    for answer in join_all(asks).await {
        assert_eq!(answer.unwrap().status, StatusCode::SEE_OTHER);
    }
    assert_eq!(outbox(&one, mail_outbox::State::Queued).await, 25);
    assert_eq!(outbox(&one, mail_outbox::State::Withheld).await, 5);
    let mut asks = Vec::new();
    for n in 0..24 {
        asks.push(
            prepared(
                &copies[n % 2],
                Some("192.0.2.77"),
                &format!("many-{n}@example.com"),
            )
            .await,
        );
    }
    let answers = join_all(asks).await;
    let passed = answers
        .iter()
        .filter(|answer| answer.as_ref().unwrap().status == StatusCode::SEE_OTHER)
        .count();
    assert_eq!(passed, 20);
}

/// A request for a mail that is under way on one of the copies.
async fn prepared(
    copy: &Arc<TestApp>,
    from: Option<&str>,
    email: &str,
) -> tokio::task::JoinHandle<Page> {
    let copy = Arc::clone(copy);
    let mut requester = copy.browser();
    requester.from = from.map_or(requester.from.clone(), str::to_owned);
    let login = requester.open("/login").await;
    let request = requester.filled(&login, &login.form("sign-in"), &[("email", email)]);
    drop(requester);
    tokio::spawn(async move { copy.call(request).await })
}

/// A certification plan signs one address in dozens of times, from one place, within minutes.
#[tokio::test]
async fn se_8_limits_are_settings() {
    let test_app = TestApp::embedded().await;
    let from = test_app.browser().from;
    let again = async || {
        let mut browser = test_app.browser();
        browser.from.clone_from(&from);
        let asked = browser.open(&Attempt::new().path()).await;
        let login = settle(&mut browser, asked).await;
        let mails = test_app.mails("plan@example.com").len();
        let answer = browser
            .submit(&login, "sign-in", &[("email", "plan@example.com")])
            .await;
        settle(&mut browser, answer).await;
        test_app.send_due_emails().await;
        let arrived = test_app.mails("plan@example.com");
        let newest = arrived.first().filter(|_| arrived.len() > mails)?;
        let done = browser.click(&newest.link()).await;
        let done = settle(&mut browser, done).await;
        Some(
            browser
                .is_signed_in()
                .then(|| done.location().or_else(|| done.refresh()))
                .flatten(),
        )
    };
    test_app.configure(|config| {
        let limits = config.limits.clone();
        with_clients(config);
        config.limits = limits;
    });
    test_app.restore_address_budget_per_network();
    let mut refused = 0;
    for _ in 0..6 {
        refused += usize::from(again().await.is_none());
    }
    assert_eq!(
        refused, 4,
        "from the third within a quarter of an hour on, where nothing is set"
    );
    test_app.configure(with_clients);
    for _ in 0..30 {
        let to = again().await.flatten().expect("signed in");
        assert!(to.as_str().starts_with(CALLBACK), "{to}");
    }
}

async fn a_5_an_address_gets_as_many_emails_as_its_budgets_have(test_app: TestApp) {
    let budget = |count, seconds| Budget { count, seconds };
    test_app.configure(|config| {
        config.limits.address = vec![budget(5, 900), budget(10, 3600), budget(20, 86_400)];
        config.limits.address_reserve = vec![budget(1, 31 * 86_400)];
    });
    let email = "often@example.com";
    let (mut passed, mut after) = (0, Vec::new());
    // Minutes at which strangers ask seven times each.
    for minute in [0, 16, 32, 62, 78, 94, 24 * 60 + 2] {
        test_app.pass((minute - passed) * 60);
        passed = minute;
        for _ in 0..7 {
            assert_eq!(
                test_app.browser().try_ask(email).await.status,
                StatusCode::SEE_OTHER,
                "the attempts to send must be the same"
            );
        }
        test_app.send_due_emails().await;
        after.push(test_app.mails(email).len());
        if test_app.app.db.is_postgres() {
            break; // Redis has a clock of its own.
        }
    }
    // The first is from the reserve.
    let expected = [6, 11, 11, 16, 21, 21, 26];
    assert_eq!(after, expected[..after.len()]);
    test_app.browser().ask("o.ften+tag@example.com").await;
    assert_eq!(
        test_app.mail("o.ften+tag@example.com").await.to,
        "o.ften+tag@example.com",
        "dots count outside Gmail"
    );
    for tag in ["a", "b", "c", "d", "e", "f"] {
        test_app
            .browser()
            .ask(&format!("te.st+{tag}@gmail.com"))
            .await;
        test_app
            .browser()
            .ask(&format!("t.est+{tag}@gmail.com"))
            .await;
    }
    test_app.send_due_emails().await;
    let gmail = test_app
        .transport
        .mailbox()
        .unwrap()
        .list(None)
        .iter()
        .filter(|m| m.to.ends_with("@gmail.com"))
        .count();
    assert_eq!(gmail, 6, "tags and Gmail's dots are one address");
}

async fn a_5_a_network_may_ask_twenty_times_in_ten_minutes(test_app: TestApp) {
    for networks in [
        ["192.0.2.9", "::ffff:192.0.2.9"],
        ["2001:db8:1:1::1", "2001:db8:1:1:ffff::2"],
    ] {
        for n in 0..20 {
            let mut requester = test_app.browser();
            requester.from = networks[n % 2].to_owned();
            requester.ask(&format!("n{n}@example.com")).await;
        }
        let mut requester = test_app.browser();
        requester.from = networks[0].to_owned();
        let mut refused = Vec::new();
        for email in ["n1@example.com", "xx@example.com"] {
            let answer = requester.try_ask(email).await;
            assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
            let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=600).contains(&wait), "{wait}");
            refused.push(answer.body.len());
        }
        assert_eq!(refused[0], refused[1], "alike for every address");
        if !test_app.app.db.is_postgres() {
            test_app.pass(601);
            requester.ask("n1@example.com").await;
        }
    }
    test_app.browser().ask("elsewhere@example.com").await;
}

async fn a_5_a_flow_resends_after_30_60_and_120_seconds_and_five_times_in_all(test_app: TestApp) {
    let email = "again@example.com";
    let mut person = test_app.browser();
    let mut waiting = person.ask(email).await;
    for (n, pause) in [30, 60, 120, 120].into_iter().enumerate() {
        test_app.pass(pause - 5);
        let early = person.submit_and_follow(&waiting, "resend", &[]).await;
        assert!(early.error().is_some());
        test_app.pass(6);
        let answer = person.submit(&waiting, "resend", &[]).await;
        assert_eq!(
            answer.status,
            StatusCode::SEE_OTHER,
            "resend {n}: {}",
            answer.summary()
        );
        if n < 3 {
            waiting = person.follow(&answer).await;
        }
    }
    test_app.send_due_emails().await;
    assert_eq!(test_app.mails(email).len(), 5);
    test_app.pass(1000);
    let sixth = person.submit_and_follow(&waiting, "resend", &[]).await;
    assert!(!sixth.has("form#resend"));
    test_app.send_due_emails().await;
    assert_eq!(test_app.mails(email).len(), 5);
}

async fn a_6_a_known_device_gets_its_email_when_strangers_exhausted_the_address(test_app: TestApp) {
    let email = "owner@example.com";
    let mut owner = test_app.browser();
    owner.sign_in(email).await;
    let account = owner.open("/account").await;
    owner.submit(&account, "sign-out", &[]).await;
    assert!(!owner.is_signed_in());
    for _ in 0..100 {
        test_app.browser().ask(email).await;
    }
    test_app.send_due_emails().await;
    let spent = test_app.mails(email).len();
    assert_eq!(spent, 25, "24 and one of the reserve");
    for sent in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10] {
        // The device is the same, and asks as if for the first time.
        owner.cookies.remove("__Host-Http-pre");
        owner.ask(email).await;
        test_app.send_due_emails().await;
        assert_eq!(test_app.mails(email).len(), spent + sent);
    }
    // The quota is for that address alone, and for who holds the cookie.
    let other = "other@example.com";
    for _ in 0..26 {
        test_app.browser().ask(other).await;
    }
    let withheld = owner.ask(other).await;
    assert!(withheld.has("#withheld"), "{}", withheld.text());
    test_app.send_due_emails().await;
    assert_eq!(test_app.mails(other).len(), 25);
}

async fn a_7_a_forged_forwarding_header_changes_nothing(test_app: TestApp) {
    // Whatever stands left of the hop that our proxy wrote was written by the asker.
    for n in 0..21 {
        let mut requester = test_app.browser();
        requester.from = format!("198.51.100.{n}, 203.0.113.5");
        for header in ["forwarded", "x-real-ip", "cf-connecting-ip"] {
            requester.headers.push((header, format!("198.51.100.{n}")));
        }
        let status = requester.try_ask(&format!("f{n}@example.com")).await.status;
        let expected = if n < 20 {
            StatusCode::SEE_OTHER
        } else {
            StatusCode::TOO_MANY_REQUESTS
        };
        assert_eq!(status, expected, "request {n}");
    }
    // Without a trusted proxy the header is ignored.
    let none = |config: &mut entree::config::Config| config.startup.server.trusted_proxies.clear();
    let bare = if test_app.app.db.is_postgres() {
        TestApp::servers_with(none).await.unwrap()
    } else {
        TestApp::embedded_with(none).await
    };
    for n in 0..21 {
        let mut requester = bare.browser();
        let status = requester.try_ask(&format!("g{n}@example.com")).await.status;
        assert_eq!(
            status == StatusCode::TOO_MANY_REQUESTS,
            n == 20,
            "request {n}"
        );
    }
}

async fn a_9_the_cool_down_shown_is_that_of_this_flow(test_app: TestApp) {
    let known = "known@example.com";
    test_app.browser().sign_in(known).await;
    let seconds = |page: &Page| -> u64 {
        page.attribute("form#resend button", "data-after")
            .map_or(0, |after| after.parse().unwrap())
    };
    let near = |shown: u64, expected: u64| shown <= expected && shown + 4 > expected;
    for email in [known, "fresh@example.com"] {
        let mut first = test_app.browser();
        let waiting = first.ask(email).await;
        assert!(near(seconds(&waiting), 30), "{}", seconds(&waiting));
        test_app.pass(20);
        let other = test_app.browser().ask(email).await;
        assert!(
            near(seconds(&other), 30),
            "another's flow begins afresh: {}",
            seconds(&other)
        );
        let again = first.open(waiting.url.as_str()).await;
        assert!(near(seconds(&again), 10), "{}", seconds(&again));
    }
}

async fn od_11_a_late_email_is_said_on_a_known_device_alone(test_app: TestApp) {
    let email = "od11@example.com";
    let mut known = test_app.browser();
    known.sign_in(email).await;
    let account = known.open("/account").await;
    known.submit(&account, "sign-out", &[]).await;
    let mut stranger = test_app.browser();
    for (browser, is_said) in [(&mut known, true), (&mut stranger, false)] {
        let waiting = browser.ask(email).await;
        assert!(waiting.has("#email-late[hidden]"), "{}", waiting.summary());
        test_app.pass(31);
        let again = browser.open(waiting.url.as_str()).await;
        assert_eq!(!again.has("#email-late[hidden]"), is_said);
    }
}
