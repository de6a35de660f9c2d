//! A provider that returns an error, and sign-ins while something is away: the provider, its
//! configuration, the ticket store, the user (R-37 to R-40, UE-01 to UE-05).

use entree::{
    config::{Config, SignUp},
    secret::Text,
    user,
};
use poem::http::StatusCode;
use sea_orm::EntityTrait as _;
use serde_json::json;
use testkit::{
    entree::Backend,
    services::Redis,
    upstream::{Lie, Place},
};

use crate::{
    federation::{Kept, Row, Stage, at_client, count, reasons, refuse},
    oauth::settle,
    outside,
    test_app::{TestApp, there},
};

on_both!(
    r_37_ue_01_up_denied,
    r_37_ue_01_up_provider_error,
    r_37_ue_01_up_misconfigured,
    r_38_up_provider_disabled_between_start_and_callback,
    r_40_lc_h_up_user_disabled,
    up_sign_up_closed_says_so_to_whoever_is_new,
    ue_02_ue_03_an_error_of_the_provider_stays_between_us_and_it,
    ue_05_the_provider_is_gone_and_mail_goes_on,
    up_03_tickets_flushed_in_mid_flow_begin_again,
    the_runbook_ends_what_a_compromised_provider_may_have_begun,
    cb_02_an_answer_over_eight_kibibytes_is_not_read,
    a_callback_takes_at_most_ten_seconds,
);

async fn r_37_ue_01_up_denied(test_app: TestApp) {
    let stage = Stage::new(&test_app, json!({})).await;
    stage.up.tell(Lie::error("access_denied"));
    let page = stage.refused("access_denied", 200, "up_denied").await;
    assert!(
        page.has("form#sign-in") || page.has("a[href^='/login']"),
        "UE-01: the sign-in page: {}",
        page.summary()
    );
    assert_eq!(stage.up.count(Place::Token), 0);
}

async fn r_37_ue_01_up_provider_error(test_app: TestApp) {
    let row = |error, status| Row::new(error, status, vec![Lie::error(error)]);
    refuse(
        &test_app,
        "up_provider_error",
        vec![
            row("server_error", 200),
            row("temporarily_unavailable", 200),
            row("interaction_required", 502),
            row("something_else", 502),
            row("<script>alert(1)</script>", 502),
        ],
    )
    .await;
}

async fn r_37_ue_01_up_misconfigured(test_app: TestApp) {
    let row = |error| Row::new(error, 502, vec![Lie::error(error)]);
    let errors = [
        "invalid_request",
        "unauthorized_client",
        "unsupported_response_type",
        "invalid_scope",
        "invalid_client",
        // GitHub's.
        "redirect_uri_mismatch",
        "application_suspended",
    ];
    refuse(&test_app, "up_misconfigured", errors.map(row).into()).await;
}

async fn ue_02_ue_03_an_error_of_the_provider_stays_between_us_and_it(test_app: TestApp) {
    for error in ["access_denied", "server_error", "invalid_scope", "whatever"] {
        let stage = Stage::new(&test_app, json!({})).await;
        stage.up.tell(Lie::error(error));
        let (mut browser, login, back) = stage.gone().await;
        let answer = browser.open(&back.path()).await;
        assert!(
            answer.location().is_none() && answer.refresh().is_none(),
            "UE-02: sent to the client"
        );
        for words in ["words of the upstream", "&lt;b&gt;", "error_description"] {
            assert!(!answer.body.contains(words), "UE-03: {words}");
        }
        assert!(
            browser
                .open(&login.url[url::Position::BeforePath..])
                .await
                .has("form#sign-in")
        );
    }
}

async fn r_38_up_provider_disabled_between_start_and_callback(test_app: TestApp) {
    let stage = Stage::new(&test_app, json!({})).await;
    let (mut browser, login, back) = stage.gone().await;
    stage.set(|provider| provider.enabled = false);
    let page = browser.open(&login.url[url::Position::BeforePath..]).await;
    assert!(stage.button(&page).is_none(), "its button is gone");
    stage
        .judge(
            &mut browser,
            &login,
            &back,
            ("switched off meanwhile", 403, "up_provider_disabled"),
        )
        .await;
    assert_eq!(stage.up.count(Place::Token), 0);

    let stage = Stage::new(&test_app, json!({})).await;
    let (mut browser, login) = stage.at_login().await;
    stage.set(|provider| provider.enabled = false);
    let before = Kept::of(&test_app).await;
    let answer = stage.press(&mut browser, &login).await;
    stage
        .check(
            &before,
            &answer,
            ("the button of an old page", 403, "up_provider_disabled"),
        )
        .await;
    assert_eq!(stage.up.total(), 0);
}

async fn r_40_lc_h_up_user_disabled(test_app: TestApp) {
    let stage = Stage::new(&test_app, json!({})).await;
    stage.signs_in("while it is well").await;
    let person = entity::user::Entity::find()
        .one(test_app.app.db.read())
        .await
        .unwrap()
        .unwrap();
    let tx = test_app.tx().await;
    user::set_state(&tx, person.id, user::UserState::Disabled)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let (mut browser, _, back) = stage.gone().await;
    let before = Kept::of(&test_app).await;
    let answer = browser.open(&back.path()).await;
    stage
        .check(&before, &answer, ("locked out", 403, "up_user_disabled"))
        .await;
}

async fn up_sign_up_closed_says_so_to_whoever_is_new(test_app: TestApp) {
    let stage = Stage::new(&test_app, json!({})).await;
    test_app.configure(|config| config.magic_link.sign_up = SignUp::Closed);
    let (mut browser, _, back) = stage.gone().await;
    let page = browser.open(&back.path()).await;
    assert_eq!(
        (page.status, reasons(&test_app).await),
        (StatusCode::FORBIDDEN, vec!["up_sign_up_closed".to_owned()])
    );
    assert!(
        page.text().contains("don't have an account here yet"),
        "{}",
        page.summary()
    );
    assert_eq!(
        entity::user::Entity::find()
            .all(test_app.app.db.read())
            .await
            .unwrap(),
        []
    );
}

async fn ue_05_the_provider_is_gone_and_mail_goes_on(test_app: TestApp) {
    let stage = Stage::new(&test_app, json!({})).await;
    stage.signs_in("before").await;
    stage.up.go_down();
    let (mut browser, login) = stage.at_login().await;
    assert!(stage.button(&login).is_some(), "UE-05: the button stays");
    let begin = std::time::Instant::now();
    let done = crate::oauth::sign_in_from(&mut browser, &login, "by-mail@example.test").await;
    assert!(
        browser.is_signed_in() && at_client(&done),
        "{}",
        done.summary()
    );
    assert!(
        begin.elapsed() < std::time::Duration::from_secs(5),
        "mail waited for the provider"
    );
}

async fn up_03_tickets_flushed_in_mid_flow_begin_again(test_app: TestApp) {
    let stage = Stage::new(&test_app, json!({})).await;
    let (mut browser, _, back) = stage.gone().await;
    let before = Kept::of(&test_app).await;
    let answer = if test_app.app.db.is_postgres() {
        let (mut redis, keys) = test_app.redis().await;
        assert!(!keys.is_empty());
        let () = redis::cmd("DEL")
            .arg(&keys)
            .query_async(&mut redis)
            .await
            .unwrap();
        browser.open(&back.path()).await
    } else {
        // The same database in a new process: its tickets are gone.
        let again = test_app.copy().await;
        let mut there = again.browser();
        there.cookies.clone_from(&browser.cookies);
        there.open(&back.path()).await
    };
    stage
        .check(&before, &answer, ("flushed", 400, "up_state_unknown"))
        .await;
    assert!(
        answer.has("a[href^='/login']"),
        "a way to begin again: {}",
        answer.summary()
    );
    assert_eq!(stage.up.count(Place::Token), 0);
}

/// The whole service starts while its provider takes every connection and says nothing: it is ready, has the button, and
/// mail signs in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dj_08_a_service_starts_and_serves_while_its_provider_is_silent() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let issuer = format!("http://{}", silent.local_addr().unwrap());
    let provider = format!(
        "\n[[providers]]\nid = \"office\"\nissuer = \"{issuer}\"\nclient_id = \"c\"\nclient_secret = \"s\"\n\
         loopback_http = true\n"
    );
    let stage = outside::Stage::start(Backend::Embedded, |options| options.tail(&provider))
        .await
        .unwrap();
    let (held, _) = silent.accept().await.unwrap();
    let mut browser = testkit::browser::Browser::new(outside::fresh_network());
    let login = browser.open(&stage.service.at("/login")).await;
    assert!(
        login.has("form[action='/login/upstream/office']"),
        "{}",
        login.summary()
    );
    stage.ask(&mut browser, "ann@example.test").await;
    let link = stage.mail("ann@example.test", 1).await.link();
    let page = browser.open(&link).await;
    let done = browser.submit(&page, "link", &[]).await;
    browser.settle(done).await;
    assert!(browser.cookie("sid").is_some(), "{}", stage.page_error());
    drop(held);
    assert!(stage.faults().is_empty(), "{:?}", stage.faults());
}

async fn the_runbook_ends_what_a_compromised_provider_may_have_begun(test_app: TestApp) {
    let (stage, other) = (
        Stage::new(&test_app, json!({})).await,
        Stage::new(&test_app, json!({})).await,
    );
    let (mut browser, mut another) = (
        stage.signs_in("before").await,
        other.signs_in("before").await,
    );
    let pages = include_str!("../../docs/operations.md");
    let part = pages
        .split("### A provider is compromised")
        .nth(1)
        .unwrap()
        .split("\n## ")
        .next()
        .unwrap();
    let commands: Vec<&str> = part
        .lines()
        .filter_map(|line| line.trim().strip_prefix("entree users "))
        .collect();
    assert_eq!(commands.len(), 2, "{part}");
    for command in commands {
        test_app.entree(&format!("users {}", command.replace("office", &stage.id)));
    }
    assert!(browser.account().await.is_none(), "its session");
    assert!(another.account().await.is_some(), "not another provider's");
    let (browser, page) = stage.walk().await;
    assert!(
        !browser.is_signed_in() && page.has("form#sign-in"),
        "its connection: {}",
        page.summary()
    );
    other.signs_in("afterwards").await;
}

async fn cb_02_an_answer_over_eight_kibibytes_is_not_read(test_app: TestApp) {
    let stage = Stage::new(&test_app, json!({})).await;
    let (mut browser, _, back) = stage.gone().await;
    let most = 8192 - back.query().len() - "&filler=".len();
    let before = Kept::of(&test_app).await;
    let answer = browser
        .open(&back.clone().with("filler", &"x".repeat(most + 1)).path())
        .await;
    stage
        .check(
            &before,
            &answer,
            ("a byte too long", 400, "up_state_malformed"),
        )
        .await;
    let answer = browser
        .open(&back.with("filler", &"x".repeat(most)).path())
        .await;
    let page = settle(&mut browser, answer).await;
    assert!(
        browser.is_signed_in() && at_client(&page),
        "8 KiB, and its state was not spent: {}",
        page.summary()
    );
}

async fn a_callback_takes_at_most_ten_seconds(test_app: TestApp) {
    // Each call by itself would be in time: 4.5 s for the keys, the token, userinfo, 13.5 s in all.
    let stage = Stage::new(&test_app, json!({"userinfo": "always"})).await;
    let (mut browser, _, back) = stage.gone().await;
    stage.up.slow_down(std::time::Duration::from_millis(4_500));
    let begin = std::time::Instant::now();
    let answer = browser.open(&back.path()).await;
    assert!(
        begin.elapsed() < std::time::Duration::from_secs(13),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(
        answer.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{}",
        answer.summary()
    );
    assert_eq!(count(&test_app, "users").await, 0);
}

/// with the ticket store away nobody is sent anywhere, and nobody comes in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r_39_up_store_down() {
    let Some(redis) = there(Redis::start().await) else {
        return;
    };
    let own = |config: &mut Config| config.startup.tickets.url = Text::new(redis.url().to_owned());
    let Some(test_app) = TestApp::servers_with(own).await else {
        return;
    };
    let stage = Stage::new(&test_app, json!({})).await;
    let (mut under_way, _, back) = stage.gone().await;
    let mut browser = test_app.browser();
    let login = browser.open("/login").await;
    let asked = stage.up.total();
    redis.kill();
    let before = Kept::of(&test_app).await;
    let answer = stage.press(&mut browser, &login).await;
    stage
        .check(&before, &answer, ("at the start", 503, "up_store_down"))
        .await;
    // It is our part that is away: the mail does not work either, and the provider does.
    assert!(
        answer.text().contains("Part of this service"),
        "{}",
        answer.text()
    );
    assert!(
        !answer.text().contains("reach School") && !answer.text().contains("with email"),
        "{}",
        answer.text()
    );
    assert_eq!(
        (answer.refresh(), stage.up.total()),
        (None, asked),
        "nothing was sent"
    );
    let before = Kept::of(&test_app).await;
    let answer = under_way.open(&back.path()).await;
    stage
        .check(&before, &answer, ("at the callback", 503, "up_store_down"))
        .await;
    assert_eq!(stage.up.count(Place::Token), 0);
    assert!(answer.header("retry-after").is_some());
}
