//! Who is asked to prove who they are, and what tokens say of it (PM).

use entree::session::AuthMethod;
use serde_json::Value;

use crate::{
    oauth::{
        Attempt, leads_to_client, parameter, register, sign_in_from, signed_in, token, verified,
    },
    test_app::TestApp,
};

const EMAIL: &str = "ada@example.com";

async fn claims(test_app: &TestApp, tokens: &Value) -> Value {
    verified(test_app, &tokens["id_token"]).await.claims
}

on_both!(pm_3_prompt_login_asks_again_within_the_same_session);

async fn pm_3_prompt_login_asks_again_within_the_same_session(test_app: TestApp) {
    register(&test_app);
    let mut browser = signed_in(&test_app, EMAIL).await;
    let first = claims(&test_app, &Attempt::new().tokens(&mut browser).await).await;
    test_app.pass(100);
    let attempt = Attempt::new().with("prompt", "login");
    let asked = browser.open(&attempt.path()).await;
    assert!(!leads_to_client(&asked), "a page first");
    let login = browser.follow(&asked).await;
    assert!(login.has("form#sign-in"), "{}", login.summary());
    let back = sign_in_from(&mut browser, &login, EMAIL).await;
    let code = parameter(&back, "code").unwrap_or_else(|| panic!("no code: {}", back.summary()));
    let tokens: Value =
        serde_json::from_str(&token(&test_app, &attempt.exchange(&code)).await.body).unwrap();
    let second = claims(&test_app, &tokens).await;
    assert!(
        second["auth_time"].as_i64() >= first["auth_time"].as_i64().map(|at| at + 100),
        "a later second"
    );
    assert_eq!(second["sid"], first["sid"], "the same session");
    assert_eq!(second["sub"], first["sub"]);
}

#[tokio::test]
async fn pm_1_prompt_none_answers_without_a_page() {
    let test_app = TestApp::embedded().await;
    register(&test_app);
    let attempt = Attempt::new().with("prompt", "none");
    let mut anonymous = test_app.browser();
    let refused = anonymous.open(&attempt.path()).await;
    assert!(leads_to_client(&refused));
    assert_eq!(
        parameter(&refused, "error").as_deref(),
        Some("login_required")
    );
    assert_eq!(parameter(&refused, "state").as_deref(), Some("the state"));
    let mut signed_in_browser = signed_in(&test_app, EMAIL).await;
    assert!(parameter(&signed_in_browser.open(&attempt.path()).await, "code").is_some());
    test_app.pass(31);
    let old = signed_in_browser
        .open(&attempt.with("max_age", "30").path())
        .await;
    assert_eq!(parameter(&old, "error").as_deref(), Some("login_required"));
}

#[tokio::test]
async fn pm_3_a_request_for_a_proof_is_not_answered_by_going_on() {
    let test_app = TestApp::embedded().await;
    register(&test_app);
    let mut browser = signed_in(&test_app, EMAIL).await;
    test_app.pass(5);
    for attempt in [
        Attempt::new().with("prompt", "login"),
        Attempt::new().with("max_age", "0"),
    ] {
        let asked = browser.open(&attempt.path()).await;
        let txn = parameter(&asked, "txn").unwrap();
        // Going straight to where requests are taken up again leads back to the page.
        let resumed = browser
            .open(&format!("/oauth2/authorize/resume?txn={txn}"))
            .await;
        assert!(!leads_to_client(&resumed), "{}", resumed.summary());
        assert_eq!(resumed.location().unwrap().path(), "/login");
    }
}

#[tokio::test]
async fn pm_4_max_age_is_kept_to_the_second() {
    let test_app = TestApp::embedded().await;
    register(&test_app);
    let mut browser = signed_in(&test_app, EMAIL).await;
    let before = claims(&test_app, &Attempt::new().tokens(&mut browser).await).await;
    test_app.pass(50);
    let young = Attempt::new().with("max_age", "10000");
    let after = claims(&test_app, &young.tokens(&mut browser).await).await;
    assert_eq!(
        after["auth_time"], before["auth_time"],
        "no page, the same proof"
    );
    for max_age in ["0", "1", "49"] {
        let asked = browser
            .open(&Attempt::new().with("max_age", max_age).path())
            .await;
        assert!(!leads_to_client(&asked), "max_age={max_age}");
    }
    let attempt = Attempt::new().with("max_age", "1");
    let asked = browser.open(&attempt.path()).await;
    let login = browser.follow(&asked).await;
    let back = sign_in_from(&mut browser, &login, EMAIL).await;
    assert!(parameter(&back, "code").is_some(), "{}", back.summary());
}

#[tokio::test]
async fn pm_5_e_8_auth_time_is_that_of_the_proof() {
    let test_app = TestApp::embedded().await;
    register(&test_app);
    let mut browser = test_app.browser();
    browser.ask(EMAIL).await;
    let link = test_app.mail(EMAIL).await.link();
    test_app.pass(120);
    let before = test_app.app.clock().now().seconds();
    browser.click(&link).await;
    let proven = test_app.app.clock().now().seconds();
    test_app.pass(200);
    let tokens = Attempt::new().tokens(&mut browser).await;
    let id = claims(&test_app, &tokens).await;
    let access = verified(&test_app, &tokens["access_token"]).await;
    assert_eq!(access.header["typ"], "at+jwt");
    for claims in [&id, &access.claims] {
        let at = claims["auth_time"].as_i64().unwrap();
        assert!(
            (before..=proven).contains(&at),
            "not when it was mailed and not when tokens were made: {at}"
        );
        assert_eq!(claims["acr"], AuthMethod::Email.acr());
        assert_eq!(claims["amr"], serde_json::json!([AuthMethod::Email.amr()]));
        assert!(claims["iat"].as_i64().unwrap() >= proven + 200);
    }
}
