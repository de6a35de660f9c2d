//! What a user asks for again, or too late: emails, links, and codes (OC-8, OD-12).

use std::time::Duration;

use poem::http::StatusCode;
use sea_orm::EntityTrait as _;

use crate::{
    oauth::{Attempt, leads_to_client, register, settle},
    test_app::{TestApp, flow_of},
};

on_both!(
    oc_8_asking_again_leads_to_the_flow_that_waits,
    oc_8_a_second_click_on_resend_shows_the_success,
    od_12_a_link_that_expired_yesterday_says_so_and_leads_on,
    lc_h_a_user_who_was_disabled_meanwhile_reads_that_they_cannot_sign_in,
    oc_8_a_name_page_by_back_leads_to_the_client,
    od_4_an_error_page_names_the_parameter_and_no_more,
);

async fn oc_8_asking_again_leads_to_the_flow_that_waits(test_app: TestApp) {
    register(&test_app);
    let email = "again@x.test";
    let mut browser = test_app.browser();
    let answer = browser.open(&Attempt::new().path()).await;
    let login = settle(&mut browser, answer).await;
    let ask = [("email", email)];
    let first = browser.submit_and_follow(&login, "sign-in", &ask).await;
    let code = test_app.mail(email).await.code();
    // A second click, and a request by Back: no second email, and the same page.
    for _ in 0..2 {
        let again = browser.submit_and_follow(&login, "sign-in", &ask).await;
        assert_eq!(flow_of(&again), flow_of(&first));
    }
    test_app.send_due_emails().await;
    assert_eq!(test_app.mails(email).len(), 1);
    // Once the pause is over it is another email of the same flow, and the first code still works.
    test_app.pass(31);
    let again = browser.submit_and_follow(&login, "sign-in", &ask).await;
    assert_eq!(flow_of(&again), flow_of(&first));
    test_app.send_due_emails().await;
    assert_eq!(test_app.mails(email).len(), 2);
    // Another address, another client's request and another browser have flows of their own.
    let other = browser
        .submit_and_follow(&login, "sign-in", &[("email", "another@x.test")])
        .await;
    assert_ne!(flow_of(&other), flow_of(&first));
    let bare = browser.ask(email).await;
    assert_ne!(flow_of(&bare), flow_of(&first));
    let stranger = test_app.browser().ask(email).await;
    assert_ne!(flow_of(&stranger), flow_of(&bare));
    let done = browser.submit(&again, "code", &[("code", &code)]).await;
    assert!(browser.is_signed_in(), "{}", done.summary());
    assert!(leads_to_client(&settle(&mut browser, done).await));
}

async fn oc_8_a_second_click_on_resend_shows_the_success(test_app: TestApp) {
    let email = "resend@x.test";
    let mut browser = test_app.browser();
    let waiting = browser.ask(email).await;
    test_app.pass(31);
    for _ in 0..2 {
        let page = browser.submit_and_follow(&waiting, "resend", &[]).await;
        assert!(!page.has("#error"), "{}", page.summary());
    }
    test_app.send_due_emails().await;
    assert_eq!(test_app.mails(email).len(), 2);
    test_app.pass(10);
    let page = browser.submit_and_follow(&waiting, "resend", &[]).await;
    assert!(page.has("#error"), "that is a request: {}", page.summary());
}

async fn od_12_a_link_that_expired_yesterday_says_so_and_leads_on(test_app: TestApp) {
    register(&test_app);
    let email = "yesterday@x.test";
    let mut browser = test_app.browser();
    let answer = browser.open(&Attempt::new().path()).await;
    let login = settle(&mut browser, answer).await;
    let ask = [("email", email)];
    browser.submit_and_follow(&login, "sign-in", &ask).await;
    let link = test_app.mail(email).await.link();
    test_app.pass(20 * 3600);
    let sweep = || entree::jobs::sweep(&test_app.app, Duration::from_secs(60));
    sweep().await.unwrap();
    let dead = browser.open(&link).await;
    assert_eq!(dead.status, StatusCode::GONE);
    let next = dead.attribute("a.button", "href").unwrap();
    let login = browser.open(&next).await;
    let login = settle(&mut browser, login).await;
    let address = login.attribute("form#sign-in input[name=email]", "value");
    assert_eq!(address.as_deref(), Some(email), "{}", login.summary());
    assert!(
        login.has("form#sign-in input[name=txn]"),
        "the client waits"
    );
    test_app.pass(6 * 3600);
    sweep().await.unwrap();
    assert_eq!(browser.open(&link).await.status, StatusCode::GONE);
}

async fn lc_h_a_user_who_was_disabled_meanwhile_reads_that_they_cannot_sign_in(test_app: TestApp) {
    for by_link in [false, true] {
        let email = format!("disabled-{by_link}@x.test");
        test_app.browser().sign_in(&email).await;
        let mut browser = test_app.browser();
        let waiting = browser.ask(&email).await;
        let mail = test_app.mail(&email).await;
        for user in entity::user::Entity::find()
            .all(test_app.app.db.read())
            .await
            .unwrap()
        {
            let tx = test_app.tx().await;
            entree::user::set_state(&tx, user.id, entree::user::UserState::Disabled)
                .await
                .unwrap();
            tx.commit().await.unwrap();
        }
        // Only who has proved the address learns it.
        let wrong = browser
            .submit_and_follow(&waiting, "code", &[("code", "00000000")])
            .await;
        assert!(wrong.has("form#code"), "{}", wrong.summary());
        let page = match by_link {
            true => browser.click(&mail.link()).await,
            false => {
                browser
                    .submit(&waiting, "code", &[("code", &mail.code())])
                    .await
            }
        };
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{}", page.summary());
        assert!(page.text().contains("You can't sign in"), "{}", page.text());
        assert!(!browser.is_signed_in());
    }
}

async fn oc_8_a_name_page_by_back_leads_to_the_client(test_app: TestApp) {
    register(&test_app);
    test_app.configure(|config| {
        for client in &mut config.clients {
            client.require_name = true;
        }
    });
    let mut browser = test_app.browser();
    browser.sign_in("nameless@x.test").await;
    let answer = browser.open(&Attempt::new().path()).await;
    let page = settle(&mut browser, answer).await;
    assert!(page.has("form#name"), "{}", page.summary());
    let name = [("name", "Ann Nameless")];
    let done = browser.submit(&page, "name", &name).await;
    assert!(leads_to_client(&settle(&mut browser, done).await));
    // By Back, and by a second press there.
    let back = browser.open(&page.url[url::Position::BeforePath..]).await;
    let second = browser.submit(&page, "name", &name).await;
    for page in [back, second] {
        assert_eq!(page.status, StatusCode::GONE, "{}", page.summary());
        assert!(page.has("a#client"), "{}", page.summary());
    }
}

async fn od_4_an_error_page_names_the_parameter_and_no_more(test_app: TestApp) {
    let page = test_app.browser().open("/login?txn=a&txn=b").await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST, "{}", page.summary());
    assert_eq!(page.text_of("p.soft code").as_deref(), Some("txn"));
}
