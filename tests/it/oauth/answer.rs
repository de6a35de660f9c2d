//! A form about a client's request that a browser sends twice, or too late (ST-04, OC-8).

use poem::http::StatusCode;
use testkit::page::Page;
use url::Url;

use super::{Attempt, CALLBACK, settle, sign_in_from, signed_in, token};
use crate::test_app::{Browser, PUBLIC, TestApp};

on_both!(
    st_04_a_second_click_on_allow_gets_the_same_code_which_is_good_once,
    st_04_a_second_click_on_deny_or_cancel_gets_the_same_answer,
);

/// The request of the client that needs consent.
fn foreign() -> Attempt {
    Attempt::new().with("client_id", "foreign")
}

/// The parameters with which a page leads on to the client.
fn sent_to_client(page: &Page) -> Vec<(String, String)> {
    let to = page.refresh().or_else(|| page.location());
    let to = to.unwrap_or_else(|| panic!("leads nowhere: {}", page.summary()));
    assert!(to.as_str().starts_with(CALLBACK), "to the client: {to}");
    to.query_pairs().into_owned().collect()
}

fn field(pairs: &[(String, String)], name: &str) -> String {
    let found = pairs.iter().find(|(found, _)| found == name);
    found.map(|(_, value)| value.clone()).unwrap_or_default()
}

async fn open_consent(browser: &mut Browser<'_>, attempt: &Attempt) -> Page {
    let answer = browser.open(&attempt.path()).await;
    let page = settle(browser, answer).await;
    assert!(page.has("form#consent"), "{}", page.summary());
    page
}

async fn st_04_a_second_click_on_allow_gets_the_same_code_which_is_good_once(test_app: TestApp) {
    crate::oauth::register(&test_app);
    let mut browser = signed_in(&test_app, "twice@x.test").await;
    let attempt = foreign();
    let page = open_consent(&mut browser, &attempt).await;
    let allow = [("decision", "allow")];
    let first = browser.submit(&page, "consent", &allow).await;
    let second = browser.submit(&page, "consent", &allow).await;
    assert_eq!(second.status, StatusCode::OK, "{}", second.summary());
    let (first, second) = (sent_to_client(&first), sent_to_client(&second));
    assert_eq!(first, second);
    // Another decision does not undo the first one.
    let denied = browser
        .submit(&page, "consent", &[("decision", "deny")])
        .await;
    assert_eq!(denied.status, StatusCode::GONE, "{}", denied.summary());
    // Another browser gets nothing.
    let mut other = signed_in(&test_app, "other-twice@x.test").await;
    let stolen = other.submit(&page, "consent", &allow).await;
    assert_eq!(stolen.status, StatusCode::FORBIDDEN, "{}", stolen.summary());
    let tokens = token(&test_app, &attempt.exchange(&field(&second, "code"))).await;
    assert_eq!(tokens.status, StatusCode::OK, "{}", tokens.summary());
    // Once the client has the tokens, a third click must not make it replay the code.
    let third = browser.submit(&page, "consent", &allow).await;
    assert_eq!(third.status, StatusCode::GONE, "{}", third.summary());
    let next = third.attribute("a.button", "href").unwrap_or_default();
    assert!(!next.is_empty() && next != "/login", "{}", third.summary());

    // A minute later the answer is not given again.
    let page = open_consent(&mut browser, &foreign().with("prompt", "consent")).await;
    sent_to_client(&browser.submit(&page, "consent", &allow).await);
    test_app.pass(61);
    let late = browser.submit(&page, "consent", &allow).await;
    assert_eq!(late.status, StatusCode::GONE, "{}", late.summary());
}

async fn st_04_a_second_click_on_deny_or_cancel_gets_the_same_answer(test_app: TestApp) {
    crate::oauth::register(&test_app);
    let mut browser = signed_in(&test_app, "deny@x.test").await;
    let page = open_consent(&mut browser, &foreign()).await;
    let deny = [("decision", "deny")];
    let first = browser.submit(&page, "consent", &deny).await;
    let second = browser.submit(&page, "consent", &deny).await;
    assert_eq!(field(&sent_to_client(&first), "error"), "access_denied");
    assert_eq!(sent_to_client(&first), sent_to_client(&second));

    // Of the sign-in page, and of the page that waits for an email.
    for waits in [false, true] {
        let mut browser = test_app.browser();
        let answer = browser.open(&Attempt::new().path()).await;
        let mut page = settle(&mut browser, answer).await;
        if waits {
            let answer = browser
                .submit(&page, "sign-in", &[("email", "back@x.test")])
                .await;
            page = browser.follow(&answer).await;
        }
        let first = browser.submit(&page, "cancel", &[]).await;
        let second = browser.submit(&page, "cancel", &[]).await;
        assert_eq!(field(&sent_to_client(&first), "error"), "access_denied");
        assert_eq!(
            sent_to_client(&first),
            sent_to_client(&second),
            "waits: {waits}"
        );
    }

    // A request that another sign-in has answered is not cancelled by a later click.
    let mut browser = test_app.browser();
    let answer = browser.open(&Attempt::new().path()).await;
    let login = settle(&mut browser, answer).await;
    let done = sign_in_from(&mut browser, &login, "done@x.test").await;
    assert_eq!(field(&sent_to_client(&done), "code").len(), 43);
    let cancelled = browser.submit(&login, "cancel", &[]).await;
    assert!(
        cancelled.refresh().is_none(),
        "answered once: {}",
        cancelled.summary()
    );
}

// Redis has a clock of its own, which no test moves.
#[tokio::test]
async fn oc_8_a_form_that_is_sent_too_late_names_its_client() {
    let test_app = TestApp::embedded().await;
    crate::oauth::register(&test_app);
    let mut browser = signed_in(&test_app, "late@x.test").await;
    let consent = open_consent(&mut browser, &foreign()).await;
    let mut stranger = test_app.browser();
    let answer = stranger.open(&Attempt::new().path()).await;
    let login = settle(&mut stranger, answer).await;
    test_app.pass(80 * 60);
    let home = Url::parse(CALLBACK).unwrap().join("/").unwrap();
    let late = browser
        .submit(&consent, "consent", &[("decision", "allow")])
        .await;
    let cancelled = stranger.submit(&login, "cancel", &[]).await;
    for page in [late, cancelled] {
        assert_eq!(page.status, StatusCode::GONE, "{}", page.summary());
        let next = page.attribute("a.button", "href").unwrap_or_default();
        assert_eq!(next, home.as_str(), "{}", page.summary());
    }
}

#[tokio::test]
async fn oc_8_too_many_requests_lead_to_the_same_request_again() {
    let test_app = TestApp::embedded().await;
    crate::oauth::register(&test_app);
    test_app.configure(|config| {
        config.limits.authorize = vec![entree::config::Budget {
            count: 1,
            seconds: 60,
        }];
    });
    let mut browser = test_app.browser();
    let path = Attempt::new().path();
    let refused = loop {
        let page = browser.open(&path).await;
        if page.status == StatusCode::TOO_MANY_REQUESTS {
            break page;
        }
    };
    let again = refused.attribute("a#next", "href").unwrap();
    let again = Url::parse(PUBLIC).unwrap().join(&again).unwrap();
    assert_eq!(again, Url::parse(PUBLIC).unwrap().join(&path).unwrap());
    test_app.pass(61);
    let page = browser.open(&again[url::Position::BeforePath..]).await;
    assert!(settle(&mut browser, page).await.has("form#sign-in"));
}
