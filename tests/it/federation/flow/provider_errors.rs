//! Errors that a provider returns instead of a code, and what follows when a part is missing: the
//! provider, its configuration, our ticket store, the user.

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
    upstream::{Fault, Place},
};

use crate::{
    federation::{
        ProviderFixture, RefusalCase, Snapshot, assert_refused, count_rows, leads_to_client,
        refusal_reasons,
    },
    oauth::settle,
    service,
    test_app::{TestApp, found_or_skipped},
};

on_both!(
    r_37_ue_01_up_denied,
    r_37_ue_01_up_provider_error,
    oc_04_each_error_that_a_user_can_act_on_has_words_of_its_own,
    r_37_ue_01_up_misconfigured,
    oa_08_st_17_invented_errors_leave_few_rows_and_raise_no_alert,
    r_38_up_provider_disabled_between_start_and_callback,
    r_40_lc_h_up_user_disabled,
    up_sign_up_closed_explains_itself_to_a_new_user,
    ue_02_ue_03_an_error_of_the_provider_reaches_neither_client_nor_page,
    ue_05_sign_in_by_email_works_without_the_provider,
    up_03_a_flow_whose_tickets_were_flushed_starts_again,
    the_runbook_ends_the_sessions_and_links_of_a_compromised_provider,
    cb_02_a_response_over_eight_kibibytes_is_not_read,
    a_callback_takes_at_most_ten_seconds,
);

async fn r_37_ue_01_up_denied(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    fixture.up.inject(Fault::error("access_denied"));
    let page = fixture
        .assert_sign_in_refused("access_denied", 200, "up_denied")
        .await;
    assert!(
        page.has("form#sign-in") || page.has("a[href^='/login']"),
        "UE-01: the sign-in page: {}",
        page.summary()
    );
    assert_eq!(fixture.up.count(Place::Token), 0);
}

async fn r_37_ue_01_up_provider_error(test_app: TestApp) {
    let row = |error, status| RefusalCase::new(error, status, vec![Fault::error(error)]);
    assert_refused(
        &test_app,
        "up_provider_error",
        vec![
            row("server_error", 200),
            row("temporarily_unavailable", 200),
            row("registration_not_supported", 502),
            row("something_else", 502),
            row("<script>alert(1)</script>", 502),
        ],
    )
    .await;
}

/// OC-4: what a user can do about it differs, and so do the words.
async fn oc_04_each_error_that_a_user_can_act_on_has_words_of_its_own(test_app: TestApp) {
    for (error, words) in [
        ("login_required", "sign in there, then try again"),
        ("interaction_required", "do what it asks"),
        ("temporarily_unavailable", "in a few minutes"),
    ] {
        let fixture = ProviderFixture::new(&test_app, json!({})).await;
        fixture.up.inject(Fault::error(error));
        let page = fixture
            .assert_sign_in_refused(error, 200, "up_provider_error")
            .await;
        assert!(page.text().contains(words), "{error}: {}", page.text());
    }
}

async fn r_37_ue_01_up_misconfigured(test_app: TestApp) {
    let row = |error| RefusalCase::new(error, 502, vec![Fault::error(error)]);
    let errors = [
        "invalid_request",
        "unauthorized_client",
        "unsupported_response_type",
        "invalid_scope",
        "invalid_client",
        // Errors of GitHub.
        "redirect_uri_mismatch",
        "application_suspended",
    ];
    assert_refused(
        &test_app,
        "up_misconfigured_reported",
        errors.map(row).into(),
    )
    .await;
}

/// OA-8: anyone can begin a flow and bring an invented error.
async fn oa_08_st_17_invented_errors_leave_few_rows_and_raise_no_alert(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    let (mut stranger, login) = fixture.open_sign_in().await;
    let before = Snapshot::load(&test_app).await;
    for _ in 0..30 {
        let page = fixture.press_button(&mut stranger, &login).await;
        let mut back = fixture.up.visit(&page).await.without("code");
        back = back.with("error", "invalid_client");
        let refused = stranger.open(&back.path()).await;
        assert_eq!(refused.status, StatusCode::BAD_GATEWAY);
    }
    let after = Snapshot::load(&test_app).await;
    let logged = after.reasons_since(&before);
    assert_eq!(logged, vec!["up_misconfigured_reported"; 30]);
    assert_eq!(after.audited_since(&before).len(), 20, "of one network");
    let (mut other, login, back) = fixture.go_to_provider().await;
    let back = back.without("code").with("error", "invalid_client");
    let before = Snapshot::load(&test_app).await;
    other.open(&back.path()).await;
    let after = Snapshot::load(&test_app).await;
    assert_eq!(after.audited_since(&before).len(), 1, "another network");
    assert!(login.has("form#sign-in"));
}

async fn ue_02_ue_03_an_error_of_the_provider_reaches_neither_client_nor_page(test_app: TestApp) {
    for error in ["access_denied", "server_error", "invalid_scope", "whatever"] {
        let fixture = ProviderFixture::new(&test_app, json!({})).await;
        fixture.up.inject(Fault::error(error));
        let (mut browser, login, back) = fixture.go_to_provider().await;
        let response = browser.open(&back.path()).await;
        assert!(
            response.location().is_none() && response.refresh().is_none(),
            "UE-02: sent to the client"
        );
        for words in ["words of the upstream", "&lt;b&gt;", "error_description"] {
            assert!(!response.body.contains(words), "UE-03: {words}");
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
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    let (mut browser, login, back) = fixture.go_to_provider().await;
    fixture.change_settings(|provider| provider.enabled = false);
    let page = browser.open(&login.url[url::Position::BeforePath..]).await;
    assert!(fixture.button(&page).is_none(), "the button is gone");
    fixture
        .assert_callback_refused(
            &mut browser,
            &login,
            &back,
            ("switched off meanwhile", 403, "up_provider_disabled"),
        )
        .await;
    assert_eq!(fixture.up.count(Place::Token), 0);

    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    let (mut browser, login) = fixture.open_sign_in().await;
    fixture.change_settings(|provider| provider.enabled = false);
    let before = Snapshot::load(&test_app).await;
    let response = fixture.press_button(&mut browser, &login).await;
    fixture
        .assert_refusal(
            &before,
            &response,
            ("the button of an old page", 403, "up_provider_disabled"),
        )
        .await;
    assert_eq!(fixture.up.total(), 0);
}

async fn r_40_lc_h_up_user_disabled(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    fixture.assert_signs_in("while the user is active").await;
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
    let (mut browser, _, back) = fixture.go_to_provider().await;
    let before = Snapshot::load(&test_app).await;
    let response = browser.open(&back.path()).await;
    fixture
        .assert_refusal(&before, &response, ("locked out", 403, "up_user_disabled"))
        .await;
}

async fn up_sign_up_closed_explains_itself_to_a_new_user(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    test_app.configure(|config| config.magic_link.sign_up = SignUp::Closed);
    let (mut browser, _, back) = fixture.go_to_provider().await;
    let page = browser.open(&back.path()).await;
    assert_eq!(
        (page.status, refusal_reasons(&test_app).await),
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

async fn ue_05_sign_in_by_email_works_without_the_provider(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    fixture.assert_signs_in("before").await;
    fixture.up.go_down();
    let (mut browser, login) = fixture.open_sign_in().await;
    assert!(fixture.button(&login).is_some(), "UE-05: the button stays");
    let begin = std::time::Instant::now();
    let done = crate::oauth::sign_in_from(&mut browser, &login, "by-mail@example.test").await;
    assert!(
        browser.is_signed_in() && leads_to_client(&done),
        "{}",
        done.summary()
    );
    assert!(
        begin.elapsed() < std::time::Duration::from_secs(5),
        "sign-in by email waited for the provider"
    );
}

async fn up_03_a_flow_whose_tickets_were_flushed_starts_again(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    let (mut browser, _, back) = fixture.go_to_provider().await;
    let before = Snapshot::load(&test_app).await;
    let response = if test_app.app.db.is_postgres() {
        let (mut redis, keys) = test_app.redis().await;
        assert!(!keys.is_empty());
        let () = redis::cmd("DEL")
            .arg(&keys)
            .query_async(&mut redis)
            .await
            .unwrap();
        browser.open(&back.path()).await
    } else {
        // The same database in a new process, which has no tickets.
        let again = test_app.copy().await;
        let mut there = again.browser();
        there.cookies.clone_from(&browser.cookies);
        there.open(&back.path()).await
    };
    fixture
        .assert_refusal(&before, &response, ("flushed", 400, "up_state_unknown"))
        .await;
    assert!(
        response.has("a[href^='/login']"),
        "a link to start again: {}",
        response.summary()
    );
    assert_eq!(fixture.up.count(Place::Token), 0);
}

/// The service starts while its provider accepts every connection and sends nothing: it is ready,
/// shows the button, and sign-in by email works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dj_08_a_service_starts_and_serves_while_its_provider_is_silent() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let issuer = format!("http://{}", silent.local_addr().unwrap());
    let provider = format!(
        "\n[[providers]]\nid = \"office\"\nissuer = \"{issuer}\"\nclient_id = \"c\"\nclient_secret = \"s\"\n\
         loopback_http = true\n"
    );
    let fixture = service::Stage::start(Backend::Embedded, |options| options.tail(&provider))
        .await
        .unwrap();
    let (held, _) = silent.accept().await.unwrap();
    let mut browser = testkit::browser::Browser::new(service::fresh_network());
    let login = browser.open(&fixture.service.at("/login")).await;
    assert!(
        login.has("form[action='/login/upstream/office']"),
        "{}",
        login.summary()
    );
    fixture.ask(&mut browser, "ann@example.test").await;
    let link = fixture.mail("ann@example.test", 1).await.link();
    let page = browser.open(&link).await;
    let done = browser.submit(&page, "link", &[]).await;
    browser.settle(done).await;
    assert!(browser.cookie("sid").is_some(), "{}", fixture.page_error());
    drop(held);
    assert!(fixture.faults().is_empty(), "{:?}", fixture.faults());
}

async fn the_runbook_ends_the_sessions_and_links_of_a_compromised_provider(test_app: TestApp) {
    let (fixture, other) = (
        ProviderFixture::new(&test_app, json!({})).await,
        ProviderFixture::new(&test_app, json!({})).await,
    );
    let (mut browser, mut another) = (
        fixture.assert_signs_in("before").await,
        other.assert_signs_in("before").await,
    );
    let pages = include_str!("../../../../docs/operations.md");
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
        let command = command.replace("office", &fixture.id);
        // The command asks a person.
        test_app.entree(&format!("users {command} --yes"));
    }
    assert!(
        browser.account().await.is_none(),
        "the session of this provider"
    );
    assert!(
        another.account().await.is_some(),
        "the session of another provider stays"
    );
    let (browser, page) = fixture.complete_sign_in().await;
    assert!(
        !browser.is_signed_in() && page.has("form#sign-in"),
        "the link of this provider: {}",
        page.summary()
    );
    other.assert_signs_in("afterwards").await;
}

async fn cb_02_a_response_over_eight_kibibytes_is_not_read(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    let (mut browser, _, back) = fixture.go_to_provider().await;
    let most = 8192 - back.query().len() - "&filler=".len();
    let before = Snapshot::load(&test_app).await;
    let response = browser
        .open(&back.clone().with("filler", &"x".repeat(most + 1)).path())
        .await;
    fixture
        .assert_refusal(
            &before,
            &response,
            ("a byte too long", 400, "up_state_malformed"),
        )
        .await;
    let response = browser
        .open(&back.with("filler", &"x".repeat(most)).path())
        .await;
    let page = settle(&mut browser, response).await;
    assert!(
        browser.is_signed_in() && leads_to_client(&page),
        "8 KiB, and its state was not spent: {}",
        page.summary()
    );
}

async fn a_callback_takes_at_most_ten_seconds(test_app: TestApp) {
    // Each call alone is in time: 4.5 s for the keys, the token and userinfo, 13.5 s in all.
    let fixture = ProviderFixture::new(&test_app, json!({"userinfo": "always"})).await;
    let (mut browser, _, back) = fixture.go_to_provider().await;
    fixture
        .up
        .slow_down(std::time::Duration::from_millis(4_500));
    let begin = std::time::Instant::now();
    let response = browser.open(&back.path()).await;
    assert!(
        begin.elapsed() < std::time::Duration::from_secs(13),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(
        response.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{}",
        response.summary()
    );
    assert_eq!(count_rows(&test_app, "users").await, 0);
}

/// without the ticket store no browser leaves for a provider, and no user is signed in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r_39_up_store_down() {
    let Some(redis) = found_or_skipped(Redis::start().await) else {
        return;
    };
    let own = |config: &mut Config| config.startup.tickets.url = Text::new(redis.url().to_owned());
    let Some(test_app) = TestApp::servers_with(own).await else {
        return;
    };
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    let (mut waiting_browser, _, back) = fixture.go_to_provider().await;
    let mut browser = test_app.browser();
    let login = browser.open("/login").await;
    let requests = fixture.up.total();
    redis.kill();
    let before = Snapshot::load(&test_app).await;
    let response = fixture.press_button(&mut browser, &login).await;
    fixture
        .assert_refusal(&before, &response, ("at the start", 503, "up_store_down"))
        .await;
    // Our part is unavailable and not the provider: sign-in by email does not work either.
    assert!(
        response.text().contains("Part of this service"),
        "{}",
        response.text()
    );
    assert!(
        !response.text().contains("reach School") && !response.text().contains("with email"),
        "{}",
        response.text()
    );
    assert_eq!(
        (response.refresh(), fixture.up.total()),
        (None, requests),
        "nothing was sent"
    );
    let before = Snapshot::load(&test_app).await;
    let response = waiting_browser.open(&back.path()).await;
    fixture
        .assert_refusal(
            &before,
            &response,
            ("at the callback", 503, "up_store_down"),
        )
        .await;
    assert_eq!(fixture.up.count(Place::Token), 0);
    assert!(response.header("retry-after").is_some());
}
