//! Sign-out at a client's request that has a mistake (ST-07).

use poem::http::StatusCode;
use testkit::page::Page;

use crate::{
    oauth::{Attempt, register, signed_in},
    test_app::{Browser, TestApp},
};

on_both!(
    es_2_oc_2_st_07_a_mistake_is_named_and_the_user_may_sign_out_all_the_same,
    oc_2_a_visitor_who_is_not_signed_in_sees_the_mistake_without_the_question,
);

const BYE: &str = "post_logout_redirect_uri=https%3A%2F%2Fapp.example%2Fbye";

/// Registers the clients with an address for after the sign-out.
fn register_bye(test_app: &TestApp) {
    register(test_app);
    test_app.configure(|config| {
        for client in &mut config.clients {
            client.post_logout_redirect_uris = vec!["https://app.example/bye".to_owned()];
        }
    });
}

/// The ID token of a fresh sign-in of the client `web`.
async fn hint(browser: &mut Browser<'_>) -> String {
    let tokens = Attempt::new().tokens(browser).await;
    tokens["id_token"].as_str().unwrap().to_owned()
}

/// Requests with a mistake, what is said of it, and the parameter at fault.
fn mistakes(hint: &str) -> Vec<(String, &'static str, &'static str)> {
    let forged = hint.rsplit_once('.').unwrap().0.to_owned() + "." + &"A".repeat(86);
    let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", hint.split('.').nth(1).unwrap());
    let (missing, wrong) = ("missing parameter", "invalid parameter");
    vec![
        (BYE.to_owned(), missing, "id_token_hint"),
        (format!("{BYE}&client_id=web"), missing, "id_token_hint"),
        (
            format!("{BYE}&id_token_hint={forged}"),
            wrong,
            "id_token_hint",
        ),
        (
            format!("{BYE}&id_token_hint={unsigned}"),
            wrong,
            "id_token_hint",
        ),
        ("id_token_hint=x".to_owned(), wrong, "id_token_hint"),
        (
            format!("{BYE}2&id_token_hint={hint}"),
            wrong,
            "post_logout_redirect_uri",
        ),
        (
            format!("{BYE}%3Fx%3D1&id_token_hint={hint}"),
            wrong,
            "post_logout_redirect_uri",
        ),
        (
            format!("{BYE}&client_id=foreign&id_token_hint={hint}"),
            wrong,
            "client_id",
        ),
        (
            format!("{BYE}&{BYE}&id_token_hint={hint}"),
            wrong,
            "post_logout_redirect_uri",
        ),
        (
            format!("{BYE}&id_token_hint={hint}&state={}", "s".repeat(4097)),
            wrong,
            "state",
        ),
    ]
}

fn check_fault(page: &Page, query: &str, kind: &str, parameter: &str) {
    let summary = page.summary();
    assert_eq!(page.status, StatusCode::BAD_REQUEST, "{query}: {summary}");
    assert!(page.location().is_none() && page.refresh().is_none());
    assert!(
        page.text().contains(&format!("{kind} {parameter}")),
        "{query}: {summary}"
    );
    let error = page.error().unwrap_or_default();
    assert!(error.contains("can't send you back"), "{query}: {summary}");
}

async fn es_2_oc_2_st_07_a_mistake_is_named_and_the_user_may_sign_out_all_the_same(
    test_app: TestApp,
) {
    register_bye(&test_app);
    let mut browser = signed_in(&test_app, "oc2@example.com").await;
    let cases = mistakes(&hint(&mut browser).await);
    for (query, kind, parameter) in &cases {
        let page = browser.open(&format!("/oauth2/logout?{query}")).await;
        check_fault(&page, query, kind, parameter);
        assert!(page.text().contains("oc2@example.com"), "who is meant");
        assert!(browser.account().await.is_some(), "still signed in");
    }
    for (query, ..) in &cases {
        browser.sign_in("oc2@example.com").await;
        let page = browser.open(&format!("/oauth2/logout?{query}")).await;
        let done = browser.submit(&page, "logout", &[]).await;
        let to = done.location().unwrap();
        assert_eq!(
            to.path(),
            "/logged-out",
            "the way back is not taken: {query}"
        );
        let page = browser.follow(&done).await;
        assert!(
            page.text().contains("You've signed out"),
            "{}",
            page.summary()
        );
        assert!(browser.account().await.is_none(), "{query}");
    }
}

async fn oc_2_a_visitor_who_is_not_signed_in_sees_the_mistake_without_the_question(
    test_app: TestApp,
) {
    register_bye(&test_app);
    let mut browser = signed_in(&test_app, "oc2b@example.com").await;
    let hint = hint(&mut browser).await;
    let mut visitor = test_app.browser();
    for (query, kind, parameter) in mistakes(&hint) {
        let page = visitor.open(&format!("/oauth2/logout?{query}")).await;
        check_fault(&page, &query, kind, parameter);
        assert!(!page.has("form#logout"), "{}", page.summary());
    }
}

/// OC-3: the language of the request holds until the last page.
#[tokio::test]
async fn oc_3_the_pages_of_a_sign_out_keep_its_language() {
    let test_app = TestApp::embedded().await;
    register_bye(&test_app);
    let mut browser = signed_in(&test_app, "oc3-out@example.com").await;
    let page = browser
        .open(&format!("/oauth2/logout?{BYE}&ui_locales=fr"))
        .await;
    let language = |page: &Page| page.attribute("html", "lang");
    assert_eq!(language(&page).as_deref(), Some("fr"), "{}", page.summary());
    let done = browser.submit(&page, "logout", &[]).await;
    let page = browser.follow(&done).await;
    assert_eq!(language(&page).as_deref(), Some("fr"), "{}", page.summary());
}
