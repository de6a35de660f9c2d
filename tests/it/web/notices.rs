//! OD-12: what was done is said once, on the page after it, and no link makes a page say it.

use poem::http::StatusCode;
use testkit::page::Page;

use crate::{
    oauth::{register, signed_in},
    test_app::{Browser, TestApp},
};

on_both!(
    od_12_what_was_done_is_said_once,
    od_12_no_link_of_a_stranger_says_what_was_done,
    od_12_what_was_done_is_bound_to_its_browser_and_page,
);

const COOKIE: &str = "__Host-Http-done";

/// Two browsers of one user; the first ends the session of the second, and is led on.
async fn end_other<'a>(test_app: &'a TestApp, email: &str) -> (Browser<'a>, Page) {
    register(test_app);
    let mut browser = signed_in(test_app, email).await;
    signed_in(test_app, email).await;
    let account = browser.open("/account").await;
    let form = account
        .forms("form.end-session")
        .into_iter()
        .next()
        .unwrap();
    let request = browser.filled(&account, &form, &[]);
    let answer = browser.send(request).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    (browser, answer)
}

async fn od_12_what_was_done_is_said_once(test_app: TestApp) {
    let (mut browser, answer) = end_other(&test_app, "once@example.com").await;
    assert_eq!(
        answer.location().unwrap().as_str(),
        "https://id.test/account"
    );
    let page = browser.follow(&answer).await;
    let text = page.text_of("#notice").unwrap_or_default();
    assert!(text.contains("signed out that device"), "{text}");
    assert!(!browser.cookies.contains_key(COOKIE));
    assert!(!browser.open("/account").await.has("#notice"), "said twice");

    let account = browser.open("/account").await;
    let page = browser
        .submit_and_follow(&account, "sign-out-everywhere", &[])
        .await;
    assert!(
        page.text().contains("on all your devices"),
        "{}",
        page.summary()
    );
    let page = browser.open("/logged-out").await;
    assert!(!page.text().contains("on all your devices"), "said twice");
}

async fn od_12_no_link_of_a_stranger_says_what_was_done(test_app: TestApp) {
    register(&test_app);
    let mut browser = signed_in(&test_app, "linked@example.com").await;
    for path in [
        "/account?done=session-ended",
        "/account?done=disconnected",
        "/account/access?done=access-removed",
    ] {
        assert!(!browser.open(path).await.has("#notice"), "{path}");
    }
    let page = browser.open("/logged-out?done=everywhere").await;
    assert!(!page.text().contains("on all your devices"));
}

async fn od_12_what_was_done_is_bound_to_its_browser_and_page(test_app: TestApp) {
    let (browser, _) = end_other(&test_app, "bound@example.com").await;
    let cookie = browser.cookies[COOKIE].clone();
    let (name, token) = cookie.split_once('.').unwrap();
    assert_eq!(name, "session-ended");

    let mut other = signed_in(&test_app, "another@example.com").await;
    other.cookies.insert(COOKIE.to_owned(), cookie.clone());
    assert!(
        !other.open("/account").await.has("#notice"),
        "another browser"
    );

    let mut elsewhere = browser.clone();
    assert!(
        !elsewhere.open("/account/access").await.has("#notice"),
        "another page"
    );
    for changed in [
        format!("disconnected.{token}"),
        format!("everywhere.{token}"),
        "session-ended.".to_owned(),
        "session-ended".to_owned(),
    ] {
        let mut changing = browser.clone();
        changing.cookies.insert(COOKIE.to_owned(), changed.clone());
        assert!(!changing.open("/account").await.has("#notice"), "{changed}");
    }
    let mut own = browser;
    assert!(own.open("/account").await.has("#notice"));
}
