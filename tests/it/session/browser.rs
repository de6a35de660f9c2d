//! Signed-in browsers: their cookies, how long they last, and how they end (BS, SE, C7, C8).

use entity::{session, user};
use entree::{
    secret::Plain,
    session::{AuthMethod, NewSession},
    web::csrf,
};
use poem::{
    Request,
    http::{StatusCode, header},
};
use sea_orm::{
    ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _, sea_query::Expr,
};
use testkit::page::Page;
use uuid::Uuid;

use crate::{
    oauth::{register, signed_in},
    test_app::{Browser, TestApp},
};

const SID: &str = "__Host-Http-sid";
const PRE: &str = "__Host-Http-pre";
const DEV: &str = "__Host-Http-dev";
const DAY: u64 = 86_400;
const EMAIL: &str = "ada@example.com";

/// The row of a browser's session.
async fn row(test_app: &TestApp, browser: &Browser<'_>) -> session::Model {
    let sid = Plain::parse(&browser.cookies[SID])
        .unwrap()
        .hash()
        .to_column();
    session::Entity::find()
        .filter(session::Column::SecretHash.eq(sid))
        .one(test_app.app.db.read())
        .await
        .unwrap()
        .expect("a session")
}

/// The `Set-Cookie` lines of an answer for one name.
fn lines<'a>(page: &'a Page, name: &str) -> Vec<&'a str> {
    let all = page
        .headers
        .get_all(header::SET_COOKIE)
        .iter()
        .map(|line| line.to_str().unwrap());
    all.filter(|line| line.split('=').next() == Some(name))
        .collect()
}

/// Signs in with the box "stay signed in" ticked.
async fn remembered<'a>(test_app: &'a TestApp, email: &str) -> (Browser<'a>, Page) {
    let mut browser = test_app.browser();
    let login = browser.open("/login").await;
    let answer = browser
        .submit(&login, "sign-in", &[("email", email), ("remember", "1")])
        .await;
    browser.follow(&answer).await;
    let link = test_app.mail(email).await.link();
    let done = browser.click(&link).await;
    (browser, done)
}

async fn sign_out(browser: &mut Browser<'_>, form: &str) -> Page {
    let account = browser.open("/account").await;
    browser.submit(&account, form, &[]).await
}

on_both!(
    bs_01_bs_02_se_1_cookies_carry_every_attribute_and_rows_only_hashes,
    bs_03_se_2_signing_out_ends_the_row_and_deletes_the_cookie,
    bs_04_c_8_a_sign_in_brings_new_secrets_and_kills_the_old,
    bs_04_a_second_proof_keeps_the_row_and_changes_the_secret,
    bs_05_at_most_fifty_sessions_the_oldest_ends,
    bs_05_a_locked_user_or_a_raised_epoch_ends_every_session_at_once,
    bs_05_a_user_cannot_end_another_users_session,
    b_7_a_double_click_renews_the_secret_of_the_same_row,
    c_7_another_user_is_asked_before_the_session_changes,
);

async fn bs_01_bs_02_se_1_cookies_carry_every_attribute_and_rows_only_hashes(test_app: TestApp) {
    let mut browser = test_app.browser();
    browser.ask(EMAIL).await;
    let link = test_app.mail(EMAIL).await.link();
    let done = browser.click(&link).await;
    for (name, kept) in [(SID, None), (PRE, Some(DAY)), (DEV, Some(180 * DAY))] {
        let line = lines(&done, name);
        assert_eq!(line.len(), 1, "{name}: {line:?}");
        let (pair, attributes) = line[0].split_once("; ").unwrap();
        let age = kept
            .map(|seconds| format!("; Max-Age={seconds}"))
            .unwrap_or_default();
        assert_eq!(
            attributes,
            format!("Path=/; Secure; HttpOnly; SameSite=Lax{age}"),
            "{name}"
        );
        assert!(
            Plain::parse(pair.split_once('=').unwrap().1).is_some(),
            "{name}: 32 random bytes"
        );
    }
    let row = row(&test_app, &browser).await;
    let cookie = &browser.cookies[SID];
    assert_eq!(row.secret_hash.len(), 32);
    assert!(!format!("{row:?}").contains(cookie), "the row holds a hash");
    // A stored hash, sent as a cookie, is no session.
    let mut reader = test_app.browser();
    let stolen = base64::Engine::encode(
        &base64::engine::general_purpose::URL_SAFE_NO_PAD,
        &row.secret_hash,
    );
    reader.cookies.insert(SID.to_owned(), stolen);
    assert!(reader.account().await.is_none());
}

async fn bs_03_se_2_signing_out_ends_the_row_and_deletes_the_cookie(test_app: TestApp) {
    let mut browser = signed_in(&test_app, EMAIL).await;
    let (mut thief, mut other) = (browser.clone(), signed_in(&test_app, EMAIL).await);
    let out = sign_out(&mut browser, "sign-out").await;
    assert_eq!(
        (out.status, out.location().unwrap().path()),
        (StatusCode::SEE_OTHER, "/logged-out")
    );
    assert_eq!(
        lines(&out, SID),
        [format!(
            "{SID}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"
        )]
    );
    assert!(!browser.is_signed_in());
    assert!(browser.follow(&out).await.status.is_success());
    assert!(
        thief.account().await.is_none(),
        "the cookie is worth nothing any more"
    );
    assert!(other.account().await.is_some(), "other browsers stay");
    // Everywhere.
    let mut third = signed_in(&test_app, EMAIL).await;
    sign_out(&mut other, "sign-out-everywhere").await;
    assert!(!other.is_signed_in() && third.account().await.is_none());
}

async fn bs_04_c_8_a_sign_in_brings_new_secrets_and_kills_the_old(test_app: TestApp) {
    let mut browser = test_app.browser();
    // An attacker planted a session cookie of their choice before the sign-in.
    let planted = Plain::generate().to_text();
    browser.cookies.insert(SID.to_owned(), planted.clone());
    let waiting = browser.ask(EMAIL).await;
    let before = browser.clone();
    let link = test_app.mail(EMAIL).await.link();
    let done = browser.click(&link).await;
    assert!(browser.is_signed_in(), "{}", done.summary());
    assert_ne!(browser.cookies[SID], planted);
    assert_ne!(browser.cookies[PRE], before.cookies[PRE]);
    let mut fixed = test_app.browser();
    fixed.cookies.insert(SID.to_owned(), planted);
    assert!(
        fixed.account().await.is_none(),
        "the planted value is worth nothing"
    );
    // After the minute of a double click the old pre-login cookie opens nothing.
    test_app.pass(61);
    let mut old = before;
    old.cookies.remove(SID);
    assert_eq!(old.open(&link).await.status, StatusCode::GONE);
    let code = old.submit(&waiting, "code", &[("code", "12345678")]).await;
    assert!(
        code.status.is_client_error() && !old.is_signed_in(),
        "{}",
        code.summary()
    );
    let go_on = old
        .open(&format!(
            "/login/continue?flow={}",
            crate::test_app::flow_of(&waiting)
        ))
        .await;
    assert!(
        go_on.status.is_client_error() && !old.is_signed_in(),
        "{}",
        go_on.summary()
    );
}

async fn bs_04_a_second_proof_keeps_the_row_and_changes_the_secret(test_app: TestApp) {
    register(&test_app);
    let mut browser = signed_in(&test_app, EMAIL).await;
    let before = row(&test_app, &browser).await;
    let mut thief = browser.clone();
    test_app.pass(30);
    browser.sign_in(EMAIL).await;
    let after = row(&test_app, &browser).await;
    assert_eq!(
        (after.id, after.created_at),
        (before.id, before.created_at),
        "the same row: sid and grants stay"
    );
    assert_ne!(after.secret_hash, before.secret_hash);
    assert!(after.auth_time > before.auth_time);
    assert!(
        thief.account().await.is_none(),
        "the old secret is dead at once"
    );
    assert_eq!(
        session::Entity::find()
            .count(test_app.app.db.read())
            .await
            .unwrap(),
        1
    );
}

async fn bs_05_at_most_fifty_sessions_the_oldest_ends(test_app: TestApp) {
    let mut browser = signed_in(&test_app, EMAIL).await;
    let first = row(&test_app, &browser).await;
    let owner = user::Entity::find_by_id(first.user_id)
        .one(test_app.app.db.read())
        .await
        .unwrap()
        .unwrap();
    let limits = test_app.app.config.get().session.clone();
    for n in 0..50 {
        assert_eq!(browser.account().await.is_some(), n < 50, "{n}");
        test_app.pass(1);
        let tx = test_app.app.db.begin().await.unwrap();
        let start = NewSession {
            user: &owner,
            method: AuthMethod::Email,
            device: "x",
            remembered: true,
            browser: None,
        };
        entree::session::start(&tx, start, &limits).await.unwrap();
        tx.commit().await.unwrap();
    }
    assert!(
        browser.account().await.is_none(),
        "the fifty-first ends the oldest"
    );
    let now = test_app.app.clock().now();
    let live = entree::session::list_live(test_app.app.db.read(), &owner, now, &limits)
        .await
        .unwrap();
    assert_eq!(live.len(), 50);
    assert!(live.iter().all(|session| session.id != first.id));
}

async fn bs_05_a_locked_user_or_a_raised_epoch_ends_every_session_at_once(test_app: TestApp) {
    for (email, locks) in [("locked@example.com", true), ("epoch@example.com", false)] {
        let mut browsers = [
            signed_in(&test_app, email).await,
            signed_in(&test_app, email).await,
        ];
        let owner = row(&test_app, &browsers[0]).await.user_id;
        let tx = test_app.app.db.begin().await.unwrap();
        if locks {
            let lock =
                user::Entity::update_many().col_expr(user::Column::State, Expr::value("disabled"));
            lock.filter(user::Column::Id.eq(owner))
                .exec(tx.conn())
                .await
                .unwrap();
        } else {
            entree::user::bump_epoch(&tx, owner).await.unwrap();
        }
        tx.commit().await.unwrap();
        for browser in &mut browsers {
            let answer = browser.open("/account").await;
            assert_eq!(
                answer.location().expect("signed out").path(),
                "/login",
                "{email}"
            );
        }
    }
}

async fn bs_05_a_user_cannot_end_another_users_session(test_app: TestApp) {
    let mut victim = signed_in(&test_app, "victim@example.com").await;
    let mut attacker = signed_in(&test_app, "attacker@example.com").await;
    let mut second = signed_in(&test_app, "attacker@example.com").await;
    let target = row(&test_app, &victim).await.id;
    let account = attacker.open("/account").await;
    let forms = account.forms("form.end-session");
    let own = row(&test_app, &second).await.id;
    let path = format!("/account/sessions/{own}/end");
    let form = forms
        .iter()
        .find(|form| form.action.path() == path)
        .expect("a form for the other browser");
    assert!(
        forms
            .iter()
            .all(|form| !form.action.path().contains(&target.to_string())),
        "only one's own are shown"
    );
    // The token of one's own form, at another's address.
    let mut bent = form.clone();
    bent.action
        .set_path(&format!("/account/sessions/{target}/end"));
    let refused = attacker.send(attacker.filled(&account, &bent, &[])).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    // Even with a token that only we could have made.
    let sid = Plain::parse(&attacker.cookies[SID]).unwrap().hash();
    let token = csrf::form_token(
        &test_app.app.macs.csrf,
        &sid,
        &format!("end-session {target}"),
        "",
    );
    attacker
        .send(attacker.filled(&account, &bent, &[("form_token", &token)]))
        .await;
    assert!(
        victim.account().await.is_some(),
        "the victim is still signed in"
    );
    assert!(attacker.account().await.is_some());
    // One's own other session ends.
    let account = attacker.open("/account").await;
    let ended = attacker.send(attacker.filled(&account, form, &[])).await;
    assert_eq!(ended.location().unwrap().path(), "/account");
    assert!(second.account().await.is_none() && attacker.account().await.is_some());
}

async fn b_7_a_double_click_renews_the_secret_of_the_same_row(test_app: TestApp) {
    let mut browser = test_app.browser();
    browser.ask(EMAIL).await;
    let link = test_app.mail(EMAIL).await.link();
    let page = browser.open(&link).await;
    let form = page.form("link");
    // Both clicks leave with the cookies from before.
    let (mut one, mut two) = (browser.clone(), browser.clone());
    let (first, second) = (one.filled(&page, &form, &[]), two.filled(&page, &form, &[]));
    let first = one.send(first).await;
    let second = two.send(second).await;
    assert_eq!(
        (first.status, second.status),
        (StatusCode::OK, StatusCode::OK),
        "{}",
        second.summary()
    );
    assert_eq!(
        first.refresh().unwrap(),
        second.refresh().unwrap(),
        "the same destination"
    );
    assert_ne!(one.cookies[SID], two.cookies[SID], "a fresh secret");
    assert_eq!(
        session::Entity::find()
            .count(test_app.app.db.read())
            .await
            .unwrap(),
        1,
        "for the same row"
    );
    assert!(
        one.account().await.is_some() && two.account().await.is_some(),
        "whichever answer the browser kept"
    );
    test_app.pass(61);
    assert!(
        one.account().await.is_none(),
        "the one before it is taken for a minute"
    );
    assert!(two.account().await.is_some());
    // After a minute the link is over, in the same browser too.
    let late = browser.filled(&page, &form, &[]);
    let late = browser.send(late).await;
    assert!(late.status.is_client_error(), "{}", late.summary());
}

async fn c_7_another_user_is_asked_before_the_session_changes(test_app: TestApp) {
    let mut browser = signed_in(&test_app, EMAIL).await;
    let before = row(&test_app, &browser).await;
    browser.ask("bob@example.com").await;
    let link = test_app.mail("bob@example.com").await.link();
    let page = browser.open(&link).await;
    assert!(
        page.text().contains(EMAIL),
        "it says who is signed in: {}",
        page.summary()
    );
    // A form that does not agree changes nothing.
    let mut form = page.form("link");
    form.fields.retain(|(name, _)| name != "switch");
    let asked = browser.send(browser.filled(&page, &form, &[])).await;
    assert_eq!(asked.status, StatusCode::CONFLICT, "{}", asked.summary());
    assert!(browser.account().await.unwrap().contains(EMAIL));
    let mut thief = browser.clone();
    browser.submit(&page, "link", &[]).await;
    assert!(browser.account().await.unwrap().contains("bob@example.com"));
    let now = row(&test_app, &browser).await;
    assert_ne!(
        (now.id, now.user_id),
        (before.id, before.user_id),
        "another row"
    );
    assert!(
        thief.account().await.is_none(),
        "the former session is over"
    );
}

#[tokio::test]
async fn bs_01_plain_names_without_secure_on_loopback_http_alone() {
    let test_app = TestApp::embedded_with(|config| {
        config.startup.server.public_url = "http://127.0.0.1:8080".to_owned()
    })
    .await;
    let request = Request::builder()
        .uri_str("/login")
        .header(header::HOST, "127.0.0.1:8080")
        .finish();
    let page = test_app.call(request).await;
    let line = lines(&page, "pre-8080");
    assert_eq!(line.len(), 1);
    assert!(
        line[0].ends_with(&format!("; Path=/; HttpOnly; SameSite=Lax; Max-Age={DAY}")),
        "{}",
        line[0]
    );
    assert!(page.header("strict-transport-security").is_none());
}

#[tokio::test]
async fn bs_05_an_idle_session_ends_after_a_day() {
    let test_app = TestApp::embedded().await;
    let (mut used, mut idle) = (
        signed_in(&test_app, EMAIL).await,
        signed_in(&test_app, EMAIL).await,
    );
    test_app.pass(DAY - 60);
    assert!(used.account().await.is_some());
    test_app.pass(61);
    assert!(idle.account().await.is_none(), "a day without use");
    for _ in 0..3 {
        test_app.pass(DAY - 130);
        assert!(used.account().await.is_some(), "use prolongs it");
    }
}

#[tokio::test]
async fn bs_05_a_remembered_session_idles_a_week_and_ends_after_thirty_days() {
    let test_app = TestApp::embedded().await;
    register(&test_app);
    let (mut browser, done) = remembered(&test_app, EMAIL).await;
    assert!(
        lines(&done, SID)[0].ends_with(&format!("; Max-Age={}", 30 * DAY)),
        "{:?}",
        lines(&done, SID).len()
    );
    let (mut idle, _) = remembered(&test_app, EMAIL).await;
    for _ in 0..4 {
        test_app.pass(7 * DAY - 60);
        assert!(browser.account().await.is_some());
    }
    assert!(idle.account().await.is_none(), "a week without use");
    test_app.pass(2 * DAY - 60);
    assert!(browser.account().await.is_some(), "not yet thirty days");
    test_app.pass(400);
    assert!(
        browser.account().await.is_none(),
        "thirty days, however much it is used"
    );
}

#[tokio::test]
async fn bs_05_use_is_noted_every_ten_minutes_at_most() {
    let test_app = TestApp::embedded().await;
    let mut browser = signed_in(&test_app, EMAIL).await;
    let begun = row(&test_app, &browser).await.last_seen_at;
    test_app.pass(500);
    browser.account().await;
    assert_eq!(row(&test_app, &browser).await.last_seen_at, begun);
    test_app.pass(101);
    browser.account().await;
    let noted = row(&test_app, &browser).await.last_seen_at;
    assert!(noted.since(begun).as_secs() >= 601);
    browser.account().await;
    assert_eq!(row(&test_app, &browser).await.last_seen_at, noted);
}

#[tokio::test]
async fn bs_06_two_values_of_a_cookie_are_refused_everywhere() {
    let test_app = TestApp::embedded().await;
    let browser = signed_in(&test_app, EMAIL).await;
    let other = Plain::generate().to_text();
    for name in [SID, PRE, DEV] {
        let mine = &browser.cookies[name];
        for path in [
            "/login",
            "/account",
            "/logged-out",
            "/login/sent?flow=x",
            "/oauth2/authorize?client_id=web",
        ] {
            let twice = |second: &str| {
                Request::builder()
                    .uri_str(path)
                    .header(header::HOST, "id.test")
                    .header(header::COOKIE, format!("{name}={mine}; {name}={second}"))
                    .finish()
            };
            let refused = test_app.call(twice(&other)).await;
            assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{name} at {path}");
            assert!(refused.header("set-cookie").is_none());
            let same = test_app.call(twice(mine)).await;
            assert!(
                !same.text().contains("cookie"),
                "{name} at {path}: {}",
                same.summary()
            );
        }
    }
}

#[tokio::test]
async fn bs_06_a_flow_is_nothing_in_another_browser() {
    let test_app = TestApp::embedded().await;
    let mut mine = test_app.browser();
    let waiting = mine.ask(EMAIL).await;
    let flow = crate::test_app::flow_of(&waiting);
    let mail = test_app.mail(EMAIL).await;
    let mut other = test_app.browser();
    let own = other.ask("eve@example.com").await;
    for path in ["/login/sent", "/login/sent/state", "/login/continue"] {
        let answer = other.open(&format!("{path}?flow={flow}")).await;
        assert!(
            answer.status.is_client_error(),
            "{path}: {}",
            answer.summary()
        );
        assert!(!answer.body.contains(EMAIL), "{path}");
    }
    // The other's own form, bent to this flow; and the right code in the other's own flow.
    let bent = other
        .submit(
            &own,
            "code",
            &[("flow", &flow.to_string()), ("code", &mail.code())],
        )
        .await;
    assert_eq!(
        bent.status,
        StatusCode::FORBIDDEN,
        "the form's token is bound to its flow"
    );
    let foreign = other.submit(&own, "code", &[("code", &mail.code())]).await;
    assert!(!foreign.body.contains(EMAIL) && !other.is_signed_in());
    let page = other.open(&mail.link()).await;
    assert!(!page.has("form#link"), "{}", page.summary());
    mine.submit(&waiting, "code", &[("code", &mail.code())])
        .await;
    assert!(mine.is_signed_in(), "nothing of it was spent");
}

#[tokio::test]
async fn cf_05_sessions_are_not_changed_by_reading() {
    let test_app = TestApp::embedded().await;
    let mut browser = signed_in(&test_app, EMAIL).await;
    let before = session::Entity::find()
        .all(test_app.app.db.read())
        .await
        .unwrap();
    let id = before[0].id;
    for path in [
        "/account/sign-out",
        "/account/sign-out-everywhere",
        &format!("/account/sessions/{id}/end"),
    ] {
        for method in [poem::http::Method::GET, poem::http::Method::HEAD] {
            let answer = browser.send(browser.request(method, path).finish()).await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        }
    }
    browser.open("/logged-out").await;
    assert_eq!(
        session::Entity::find()
            .all(test_app.app.db.read())
            .await
            .unwrap(),
        before
    );
    assert!(browser.account().await.is_some());
    let unknown = Uuid::from_u128(1);
    assert_eq!(
        browser
            .open(&format!("/account/sessions/{unknown}/end"))
            .await
            .status,
        StatusCode::METHOD_NOT_ALLOWED
    );
}
