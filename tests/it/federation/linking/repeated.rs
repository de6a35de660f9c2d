//! The answer to the question about a pending link, sent twice (ST-04).

use std::time::Duration;

use entree::{secret::Plain, ticket::TicketKind};
use poem::http::StatusCode;
use serde_json::json;
use testkit::page::Page;

use super::cases::{
    connect_through_provider, return_from_provider, untrusted_provider, verify_by_email,
};
use crate::{
    federation::{ProviderFixture, count_rows, leads_to_client},
    oauth::{settle, signed_in},
    test_app::{Browser, TestApp},
};

on_both!(
    st_04_a_second_click_on_connect_keeps_the_user_signed_in,
    st_04_two_clicks_at_once_on_connect_keep_the_user_signed_in,
    st_04_a_second_click_on_connect_from_the_account_page,
    st_04_a_second_click_on_not_now_goes_on,
    st_04_a_second_click_on_switch_goes_on_as_the_first,
    st_04_two_clicks_on_switch_at_once_both_go_on,
    st_04_after_a_switch_the_request_waits_once,
);

const SID: &str = "__Host-Http-sid";

/// Sends the answer twice from a browser that sees the second response alone.
async fn answer_twice(browser: &mut Browser<'_>, question: &Page) {
    let yes = [("decision", "yes")];
    let (mut before, mut lost) = (browser.clone(), browser.clone());
    let first = lost.submit(question, "identity", &yes).await;
    assert!(lost.cookies[SID] != before.cookies[SID], "BS-04");
    assert!(before.account().await.is_none(), "BS-04: the old cookie");
    let second = browser.submit(question, "identity", &yes).await;
    assert_eq!(second.status, first.status, "{}", second.summary());
    assert_eq!(browser.cookies[SID], lost.cookies[SID]);
    settle(browser, second).await;
    assert!(browser.account().await.is_some(), "signed in");

    // Without the cookie of before it is worth nothing, and nor is it a minute later.
    let mut thief = before.clone();
    thief.cookies.remove(SID);
    let refused = thief.submit(question, "identity", &yes).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(!thief.is_signed_in());
    browser.test_app.pass(61);
    let late = before.submit(question, "identity", &yes).await;
    assert_eq!(late.status, StatusCode::BAD_REQUEST, "{}", late.summary());
    assert!(before.account().await.is_none());
}

async fn st_04_a_second_click_on_connect_keeps_the_user_signed_in(test_app: TestApp) {
    let fixture = untrusted_provider(&test_app).await;
    signed_in(&test_app, &fixture.email).await;
    let mut browser = test_app.browser();
    let page = return_from_provider(&fixture, &mut browser).await;
    let question = verify_by_email(&mut browser, &page, &fixture.email).await;
    assert!(question.has("form#identity"), "{}", question.summary());
    answer_twice(&mut browser, &question).await;
    assert_eq!(count_rows(&test_app, "user_identities").await, 1);
}

async fn st_04_two_clicks_at_once_on_connect_keep_the_user_signed_in(test_app: TestApp) {
    let fixture = untrusted_provider(&test_app).await;
    signed_in(&test_app, &fixture.email).await;
    let mut browser = test_app.browser();
    let page = return_from_provider(&fixture, &mut browser).await;
    let question = verify_by_email(&mut browser, &page, &fixture.email).await;
    let yes = [("decision", "yes")];
    let (mut one, mut other) = (browser.clone(), browser.clone());
    let (first, second) = tokio::join!(
        one.submit(&question, "identity", &yes),
        other.submit(&question, "identity", &yes)
    );
    // Whichever response the browser keeps.
    for (mut browser, response) in [(one, first), (other, second)] {
        settle(&mut browser, response).await;
        assert!(browser.account().await.is_some(), "signed in");
    }
    assert_eq!(count_rows(&test_app, "user_identities").await, 1);
}

async fn st_04_a_second_click_on_connect_from_the_account_page(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    let mut browser = signed_in(&test_app, &fixture.email).await;
    let back = connect_through_provider(&fixture, &mut browser).await;
    let response = browser.open(&back.path()).await;
    let question = settle(&mut browser, response).await;
    assert!(question.has("form#identity"), "{}", question.summary());
    answer_twice(&mut browser, &question).await;
    assert_eq!(count_rows(&test_app, "user_identities").await, 1);
}

async fn st_04_a_second_click_on_not_now_goes_on(test_app: TestApp) {
    let fixture = untrusted_provider(&test_app).await;
    signed_in(&test_app, &fixture.email).await;
    let mut browser = test_app.browser();
    let page = return_from_provider(&fixture, &mut browser).await;
    let question = verify_by_email(&mut browser, &page, &fixture.email).await;
    for _ in 0..2 {
        let done = browser
            .submit(&question, "identity", &[("decision", "no")])
            .await;
        assert_eq!(done.status, StatusCode::OK, "{}", done.summary());
        settle(&mut browser, done).await;
        assert!(browser.account().await.is_some());
    }
    assert_eq!(count_rows(&test_app, "user_identities").await, 0);
}

/// Returns a browser with another user's session, and the question whether to leave it for the account
/// at the provider, which a client's request waits for.
async fn question_to_switch<'a>(fixture: &ProviderFixture<'a>) -> (Browser<'a>, Page) {
    fixture.assert_signs_in("the owner, elsewhere").await;
    let (mut browser, _, back) = fixture.go_to_provider().await;
    browser.sign_in("other@example.test").await;
    let response = browser.open(&back.path()).await;
    let question = settle(&mut browser, response).await;
    assert!(question.has("form#identity"), "{}", question.summary());
    (browser, question)
}

async fn st_04_a_second_click_on_switch_goes_on_as_the_first(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    let (mut browser, question) = question_to_switch(&fixture).await;
    let yes = [("decision", "yes")];
    let (mut before, mut lost) = (browser.clone(), browser.clone());
    let first = lost.submit(&question, "identity", &yes).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.summary());

    // The browser has none of the first response's cookies, and shows the second response.
    let second = browser.submit(&question, "identity", &yes).await;
    assert_eq!(second.status, StatusCode::OK, "{}", second.summary());
    assert_eq!(browser.cookies[SID], lost.cookies[SID]);
    let page = settle(&mut browser, second).await;
    assert!(leads_to_client(&page), "{}", page.summary());
    assert!(browser.account().await.unwrap().contains(&fixture.email));

    // It has them all.
    let third = lost.submit(&question, "identity", &yes).await;
    assert_eq!(third.status, StatusCode::OK, "{}", third.summary());
    assert!(lost.account().await.unwrap().contains(&fixture.email));

    // Without the session's cookie of before it is worth nothing, and nor is it a minute later.
    let mut thief = before.clone();
    thief.cookies.remove(SID);
    let refused = thief.submit(&question, "identity", &yes).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(!thief.is_signed_in());
    test_app.pass(61);
    let late = before.submit(&question, "identity", &yes).await;
    assert_eq!(late.status, StatusCode::BAD_REQUEST, "{}", late.summary());
    assert!(before.account().await.is_none());
}

async fn st_04_two_clicks_on_switch_at_once_both_go_on(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    let (browser, question) = question_to_switch(&fixture).await;
    let yes = [("decision", "yes")];
    let (mut one, mut other) = (browser.clone(), browser);
    let answers = tokio::join!(
        one.submit(&question, "identity", &yes),
        other.submit(&question, "identity", &yes),
    );
    for answer in [answers.0, answers.1] {
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.summary());
    }
    assert_eq!(one.cookies[SID], other.cookies[SID]);
    assert!(one.account().await.unwrap().contains(&fixture.email));
}

/// Another sign-in with the request, from a tab that showed its sign-in page, does not continue it again.
async fn st_04_after_a_switch_the_request_waits_once(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    fixture.assert_signs_in("the owner, elsewhere").await;
    let (mut browser, login, back) = fixture.go_to_provider().await;
    let txn = login.attribute("form#sign-in input[name=txn]", "value");
    let request = Plain::parse(&txn.unwrap()).unwrap().hash();
    let is_live = async || {
        let tickets = &test_app.app.tickets;
        let found = tickets.peek(TicketKind::Pending, &request).await;
        found.unwrap().is_some()
    };
    browser.sign_in("other@example.test").await;
    let response = browser.open(&back.path()).await;
    let question = settle(&mut browser, response).await;
    assert!(is_live().await, "the user may stay");
    let yes = [("decision", "yes")];
    let done = browser.submit(&question, "identity", &yes).await;
    assert!(!is_live().await, "it waits elsewhere");
    let page = settle(&mut browser, done).await;
    assert!(leads_to_client(&page), "{}", page.summary());
}

/// The second click comes while the first waits for the one writer of SQLite, and its response is the
/// one that the browser shows.
#[tokio::test]
async fn st_04_a_second_click_on_connect_waits_for_the_first() {
    let test_app = TestApp::embedded().await;
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    let mut browser = signed_in(&test_app, &fixture.email).await;
    let back = connect_through_provider(&fixture, &mut browser).await;
    let response = browser.open(&back.path()).await;
    let question = settle(&mut browser, response).await;
    let (mut one, mut other) = (browser.clone(), browser);
    let writer = test_app.tx().await;
    let yes = [("decision", "yes")];
    let free_the_writer = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        drop(writer);
    };
    let (first, second, ()) = tokio::join!(
        one.submit(&question, "identity", &yes),
        other.submit(&question, "identity", &yes),
        free_the_writer,
    );
    for (mut browser, response) in [(one, first), (other, second)] {
        let summary = response.summary();
        assert!(!response.status.is_client_error(), "{summary}");
        settle(&mut browser, response).await;
        assert!(browser.account().await.is_some(), "{summary}");
    }
    assert_eq!(count_rows(&test_app, "user_identities").await, 1);
}
