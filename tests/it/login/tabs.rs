//! Several tabs of one browser, each with a client's request (ST-04, OC-8, OD-9).

use testkit::page::Page;

use crate::{
    oauth::{Attempt, leads_to_client, parameter, register, settle},
    test_app::{Browser, TestApp},
};

on_both!(
    st_04_the_tab_that_still_waits_goes_on_after_the_other_one,
    st_04_a_sign_in_page_that_is_reloaded_after_the_sign_in_leads_to_its_client,
    st_04_a_user_who_stays_signed_in_goes_on_to_the_client,
    od_9_a_reload_of_the_switch_question_leads_to_the_waiting_page,
    st_04_a_second_click_on_the_switch_by_link_goes_on_as_the_first,
    st_04_a_second_click_on_the_switch_by_code_goes_on_as_the_first,
);

async fn open_sign_in(browser: &mut Browser<'_>, attempt: &Attempt) -> Page {
    let answer = browser.open(&attempt.path()).await;
    let login = settle(browser, answer).await;
    assert!(login.has("form#sign-in"), "{}", login.summary());
    login
}

/// Opens a client's request and asks for an email.
async fn wait_for_email(browser: &mut Browser<'_>, attempt: &Attempt, email: &str) -> Page {
    let login = open_sign_in(browser, attempt).await;
    let answer = browser.submit(&login, "sign-in", &[("email", email)]).await;
    browser.follow(&answer).await
}

fn other() -> Attempt {
    Attempt::new()
        .with("client_id", "other")
        .with("state", "of the other tab")
}

fn assert_at_other_client(page: &Page) {
    assert!(leads_to_client(page), "{}", page.summary());
    let state = parameter(page, "state");
    assert_eq!(state.as_deref(), Some("of the other tab"));
    assert_eq!(parameter(page, "code").map(|code| code.len()), Some(43));
}

async fn st_04_the_tab_that_still_waits_goes_on_after_the_other_one(test_app: TestApp) {
    register(&test_app);
    let email = "tabs@x.test";
    for way in ["code", "reload", "continue"] {
        let mut browser = test_app.browser();
        let first = wait_for_email(&mut browser, &Attempt::new(), email).await;
        let first_code = test_app.mail(email).await.code();
        let second = wait_for_email(&mut browser, &other(), email).await;
        let second_code = test_app.mail(email).await.code();
        test_app.pass(1);
        let code = [("code", first_code.as_str())];
        let done = browser.submit(&first, "code", &code).await;
        assert!(leads_to_client(&settle(&mut browser, done).await));
        let page = match way {
            "code" => {
                let code = [("code", second_code.as_str())];
                browser.submit(&second, "code", &code).await
            }
            "reload" => browser.open(&second.url[url::Position::BeforePath..]).await,
            _ => {
                let href = second.attribute("a#continue", "href").unwrap();
                browser.open(&href).await
            }
        };
        let page = settle(&mut browser, page).await;
        assert_at_other_client(&page);
        // The email of that tab is still good for what is left: it leads to the client, too.
        let link = test_app.mail(email).await.link();
        let late = browser.click(&link).await;
        assert!(browser.is_signed_in(), "{way}: {}", late.summary());
        test_app.pass(900);
    }
}

async fn st_04_a_sign_in_page_that_is_reloaded_after_the_sign_in_leads_to_its_client(
    test_app: TestApp,
) {
    register(&test_app);
    let email = "reload@x.test";
    let mut browser = test_app.browser();
    let login = open_sign_in(&mut browser, &other()).await;
    let first = wait_for_email(&mut browser, &Attempt::new(), email).await;
    let code = test_app.mail(email).await.code();
    browser.submit(&first, "code", &[("code", &code)]).await;
    assert!(browser.is_signed_in());
    let page = browser.open(&login.url[url::Position::BeforePath..]).await;
    let page = settle(&mut browser, page).await;
    assert_at_other_client(&page);

    // A request that asks for a sign-in beside the session stays where it is.
    let attempt = other().with("prompt", "login");
    let answer = browser.open(&attempt.path()).await;
    let asked = settle(&mut browser, answer).await;
    for _ in 0..2 {
        let again = browser.open(&asked.url[url::Position::BeforePath..]).await;
        assert!(again.has("form#sign-in"), "{}", again.summary());
    }
}

/// A browser that waits for the email of one user, signs in as another one in a second tab, and opens
/// the link of the first.
async fn switch_question<'a>(test_app: &'a TestApp, attempt: &Attempt) -> (Browser<'a>, Page) {
    register(test_app);
    let mut browser = test_app.browser();
    let waiting = wait_for_email(&mut browser, attempt, "leaves@x.test").await;
    assert!(waiting.has("form#code"), "{}", waiting.summary());
    let link = test_app.mail("leaves@x.test").await.link();
    test_app.pass(1);
    browser.sign_in("stays@x.test").await;
    let question = browser.open(&link).await;
    assert!(question.has("a#stay"), "{}", question.summary());
    (browser, question)
}

async fn st_04_a_user_who_stays_signed_in_goes_on_to_the_client(test_app: TestApp) {
    let (mut browser, question) = switch_question(&test_app, &other()).await;
    let stay = question.attribute("a#stay", "href").unwrap();
    let page = browser.open(&stay).await;
    assert_at_other_client(&settle(&mut browser, page).await);
    let account = browser.account().await.unwrap();
    assert!(account.contains("stays@x.test"), "{account}");
}

async fn od_9_a_reload_of_the_switch_question_leads_to_the_waiting_page(test_app: TestApp) {
    let (mut browser, _) = switch_question(&test_app, &other()).await;
    // The script of the question takes the secret out of the address.
    let page = browser.open("/login/link").await;
    let page = settle(&mut browser, page).await;
    assert!(page.has("form#code"), "{}", page.summary());
    let elsewhere = test_app.browser().open("/login/link").await;
    assert!(elsewhere.has("a#restart"), "{}", elsewhere.summary());
}

/// Sends a form that leaves another user's session twice: with the cookies of before, of which the
/// browser shows the second response, and then with those of the first.
async fn switch_twice(mut browser: Browser<'_>, page: &Page, form: &str, fill: &[(&str, &str)]) {
    let mut lost = browser.clone();
    let first = lost.submit(page, form, fill).await;
    let second = browser.submit(page, form, fill).await;
    assert_eq!(second.status, first.status, "{}", second.summary());
    assert_at_other_client(&settle(&mut browser, second).await);
    let third = lost.submit(page, form, fill).await;
    assert_eq!(third.status, first.status, "{}", third.summary());
    for browser in [&mut browser, &mut lost] {
        let account = browser.account().await.unwrap();
        assert!(account.contains("leaves@x.test"), "{account}");
    }
}

async fn st_04_a_second_click_on_the_switch_by_link_goes_on_as_the_first(test_app: TestApp) {
    let (browser, question) = switch_question(&test_app, &other()).await;
    switch_twice(browser, &question, "link", &[]).await;
}

async fn st_04_a_second_click_on_the_switch_by_code_goes_on_as_the_first(test_app: TestApp) {
    let (mut browser, _) = switch_question(&test_app, &other()).await;
    let page = browser.open("/login/link").await;
    let waiting = settle(&mut browser, page).await;
    let code = test_app.mail("leaves@x.test").await.code();
    switch_twice(browser, &waiting, "code", &[("code", &code)]).await;
}
