//! What a request asks for people holds on every page and email of its sign-in (OC-3). The browser
//! of these tests prefers English, so that French can only come from the request.

use poem::http::StatusCode;
use serde_json::json;
use testkit::page::Page;

use crate::{
    federation::ProviderFixture,
    oauth::{Attempt, register, settle},
    test_app::{Browser, TestApp},
};

on_both!(
    oc_3_the_language_of_a_request_holds_on_every_page_and_email,
    oc_3_the_language_holds_when_a_sign_in_goes_wrong,
    oc_3_the_language_holds_around_a_provider,
);

#[track_caller]
fn assert_french(page: &Page, what: &str) {
    let language = page.attribute("html", "lang");
    assert_eq!(
        language.as_deref(),
        Some("fr"),
        "{what}: {}",
        page.summary()
    );
}

/// The request of a third-party client that needs a name: every page there is.
fn french() -> Attempt {
    Attempt::new()
        .with("client_id", "foreign")
        .with("ui_locales", "fr-CA fr en")
        .with("login_hint", "hint@example.com")
}

fn register_all(test_app: &TestApp) {
    register(test_app);
    test_app.configure(|config| {
        for client in &mut config.clients {
            client.require_name = client.client_id == "foreign";
        }
    });
}

/// Opens the sign-in page of the request.
async fn open_sign_in(browser: &mut Browser<'_>) -> Page {
    let asked = browser.open(&french().path()).await;
    let login = browser.follow(&asked).await;
    assert_french(&login, "the sign-in page");
    login
}

async fn ask(browser: &mut Browser<'_>, login: &Page, email: &str) -> Page {
    let sent = browser.submit(login, "sign-in", &[("email", email)]).await;
    let waiting = browser.follow(&sent).await;
    assert_french(&waiting, "the waiting page");
    waiting
}

async fn oc_3_the_language_of_a_request_holds_on_every_page_and_email(test_app: TestApp) {
    register_all(&test_app);
    let email = "oc3@example.com";
    let mut browser = test_app.browser();
    let login = open_sign_in(&mut browser).await;
    let hint = |page: &Page| page.attribute("input[name=email]", "value");
    assert_eq!(hint(&login).as_deref(), Some("hint@example.com"));
    let waiting = ask(&mut browser, &login, email).await;
    assert!(waiting.text().contains("The foreign application"));
    let mail = test_app.mail(email).await;
    assert!(mail.html.contains("lang=\"fr\""), "{}", mail.html);
    assert!(mail.text.contains("The foreign application"));
    test_app.pass(31);
    let sent = browser.submit(&waiting, "resend", &[]).await;
    let waiting = browser.follow(&sent).await;
    assert_french(&waiting, "after another email");
    let mail = test_app.mail(email).await;
    assert!(mail.html.contains("lang=\"fr\""), "{}", mail.html);
    let wrong = browser
        .submit(&waiting, "code", &[("code", "00000000")])
        .await;
    let wrong = settle(&mut browser, wrong).await;
    assert_french(&wrong, "a wrong code");
    let link = browser.open(&mail.link()).await;
    assert_french(&link, "the link page");
    let done = browser.submit(&link, "link", &[]).await;
    assert_french(&done, "the page that goes on");
    let consent = settle(&mut browser, done).await;
    assert!(consent.has("form#consent"), "{}", consent.summary());
    assert_french(&consent, "consent");
    let allowed = browser
        .submit(&consent, "consent", &[("decision", "allow")])
        .await;
    let name = settle(&mut browser, allowed).await;
    assert!(name.has("form#name"), "{}", name.summary());
    assert_french(&name, "the page that asks for a name");
    let refused = browser.submit(&name, "name", &[("name", " ")]).await;
    assert_french(&refused, "no name");
    let canceled = browser.submit(&name, "cancel", &[]).await;
    assert_french(&canceled, "the way back to the client");
    let form_post = french().with("response_mode", "form_post");
    let silent = form_post.with("prompt", "none");
    let page = browser.open(&silent.path()).await;
    assert_french(&page, "a response by a form");
}

async fn oc_3_the_language_holds_when_a_sign_in_goes_wrong(test_app: TestApp) {
    register_all(&test_app);
    let email = "oc3-wrong@example.com";
    let mut browser = test_app.browser();
    let login = open_sign_in(&mut browser).await;
    let refused = browser
        .submit(&login, "sign-in", &[("email", "no address")])
        .await;
    assert_french(&refused, "an address that is none");
    let waiting = ask(&mut browser, &login, email).await;
    let early = browser.submit(&waiting, "resend", &[]).await;
    let early = settle(&mut browser, early).await;
    assert_french(&early, "another email too early");
    let again = browser
        .open(&format!(
            "/login/restart?flow={}",
            crate::test_app::flow_of(&waiting)
        ))
        .await;
    let again = browser.follow(&again).await;
    assert_french(&again, "another address");
    assert!(again.text().contains("The foreign application"));
    let link = test_app.mail(email).await.link();
    let page = browser.open(&link).await;
    let done = browser.submit(&page, "link", &[]).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.summary());
    test_app.pass(120);
    let used = browser.open(&link).await;
    // OD-9: in its own browser a used link leads on.
    assert_eq!(used.location().unwrap().path(), "/login/continue");
    // Nothing of a sign-in is known here but the request itself.
    for wrong in [
        french().with("client_id", "unknown"),
        french().with("redirect_uri", "https://evil.example"),
    ] {
        let page = test_app.browser().open(&wrong.path()).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST);
        assert_french(&page, "a request without a redirect");
    }
}

/// ST-08: an error page takes the opener from no client with pop-ups either.
#[tokio::test]
async fn oc_3_an_error_page_leaves_a_client_its_window() {
    let test_app = TestApp::embedded().await;
    register(&test_app);
    test_app.configure(|config| {
        for client in &mut config.clients {
            client.uses_popups = client.client_id == "web";
        }
    });
    let wrong = |id: &str| {
        Attempt::new()
            .with("client_id", id)
            .with("redirect_uri", "https://evil.example")
    };
    for (id, policy) in [("web", "unsafe-none"), ("other", "same-origin")] {
        let page = test_app.browser().open(&wrong(id).path()).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST);
        assert_eq!(page.header("cross-origin-opener-policy"), Some(policy));
    }
}

async fn oc_3_the_language_holds_around_a_provider(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    let mut browser = test_app.browser();
    let asked = Attempt::new().with("ui_locales", "fr");
    let asked = browser.open(&asked.path()).await;
    let login = browser.follow(&asked).await;
    assert_french(&login, "the sign-in page");
    let leaves = fixture.press_button(&mut browser, &login).await;
    assert_french(&leaves, "the page that leads to the provider");
    let back = fixture.up.visit(&leaves).await;
    let wrong = back.path().replace("code=", "no_code=");
    let refused = browser.open(&wrong).await;
    assert!(refused.status.is_client_error(), "{}", refused.summary());
    assert_french(&refused, "a callback that is refused");
    let leaves = fixture.press_button(&mut browser, &login).await;
    let back = fixture.up.visit(&leaves).await;
    let done = browser.open(&back.path()).await;
    assert_french(&done, "the page after the callback");
}
