//! Returns from a provider that are late, repeated, or without cookies keep the client (OC-8).

use std::time::Duration;

use entree::{
    secret::{Hash, Plain},
    ticket::{Claim, TicketKind},
};
use serde_json::json;
use testkit::{page::Page, upstream::Fault};

use crate::{
    federation::{ProviderFixture, leads_to_client, post_callback},
    oauth::{CALLBACK, parameter, settle},
    test_app::TestApp,
};

on_both!(
    oc_8_a_response_that_comes_twice_leads_to_the_client,
    oc_8_a_posted_response_that_comes_twice_leads_to_the_client,
    oc_8_a_posted_response_that_comes_again_spends_no_flow,
    oc_8_a_late_response_leads_to_the_request_that_still_waits,
    oc_8_a_browser_that_lost_its_cookies_is_led_to_the_client,
    oc_8_another_browser_learns_nothing_of_the_client,
);

fn next_of(page: &Page) -> String {
    let next = page.attribute("a#next", "href");
    next.unwrap_or_else(|| panic!("no way on: {}", page.summary()))
}

async fn oc_8_a_response_that_comes_twice_leads_to_the_client(test_app: TestApp) {
    // After a sign-in, by Back.
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    let (mut browser, _, back) = fixture.go_to_provider().await;
    let done = browser.open(&back.path()).await;
    assert!(leads_to_client(&settle(&mut browser, done).await));
    let again = browser.open(&back.path()).await;
    let page = browser.open(&next_of(&again)).await;
    assert!(page.has("a#client"), "{}", page.summary());

    // After a refusal, by a reload.
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    fixture.up.inject(Fault::error("access_denied"));
    let (mut browser, login, back) = fixture.go_to_provider().await;
    let declined = browser.open(&back.path()).await;
    assert!(declined.has("form#sign-in"), "{}", declined.summary());
    let again = browser.open(&back.path()).await;
    let next = next_of(&again);
    assert!(next.contains("client=web"), "{next}");
    let page = browser.open(&next).await;
    assert_eq!(
        page.attribute("form#sign-in input[name=txn]", "value"),
        login.attribute("form#sign-in input[name=txn]", "value"),
    );
}

/// Apple's way: the form comes again by Back, or its redirect by a reload.
async fn oc_8_a_posted_response_that_comes_twice_leads_to_the_client(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({"response_mode": "form_post"})).await;
    fixture.up.inject(Fault::error("access_denied"));
    let (mut browser, login, back) = fixture.go_to_provider().await;
    let posted = post_callback(&mut browser, &back).await;
    let declined = browser.follow(&posted).await;
    assert!(declined.has("form#sign-in"), "{}", declined.summary());
    let reloaded = browser.follow(&posted).await;
    let posted_again = post_callback(&mut browser, &back).await;
    let again = browser.follow(&posted_again).await;
    for refused in [reloaded, again] {
        assert_eq!(refused.status, 400, "{}", refused.summary());
        let next = next_of(&refused);
        assert!(next.contains("client=web"), "{next}");
        let page = browser.open(&next).await;
        assert_eq!(
            page.attribute("form#sign-in input[name=txn]", "value"),
            login.attribute("form#sign-in input[name=txn]", "value"),
        );
    }
    // Another browser learns nothing of the client.
    let mut other = test_app.browser();
    other.open("/login").await;
    let posted = post_callback(&mut other, &back).await;
    assert_eq!(next_of(&other.follow(&posted).await), "/login");
}

/// The redirect comes again while the first one has its parameters, and has not claimed the flow yet.
async fn oc_8_a_posted_response_that_comes_again_spends_no_flow(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({"response_mode": "form_post"})).await;
    let (mut browser, _, back) = fixture.go_to_provider().await;
    let posted = post_callback(&mut browser, &back).await;
    let handle = Plain::parse(&parameter(&posted, "h").unwrap()).unwrap();
    let state = back.get("state").unwrap().as_bytes();
    let tickets = &test_app.app.tickets;
    let minute = Duration::from_secs(60);
    let handle = handle.hash();
    let first = tickets.claim(TicketKind::Returned, &handle, state, minute);
    assert!(matches!(first.await.unwrap(), Claim::Fresh(_)));

    let again = browser.follow(&posted).await;
    assert_eq!(again.status, 400, "{}", again.summary());
    assert!(next_of(&again).contains("client=web"));
    let state = Hash::of(state);
    let flow = tickets.peek(TicketKind::Upstream, &state).await;
    assert!(flow.unwrap().is_some(), "the first one completes the flow");
}

async fn oc_8_a_late_response_leads_to_the_request_that_still_waits(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    let (mut browser, _, back) = fixture.go_to_provider().await;
    test_app.pass(11 * 60);
    fixture.up.pass(11 * 60);
    let refused = browser.open(&back.path()).await;
    assert_eq!(refused.status, 400, "{}", refused.summary());
    let page = browser.open(&next_of(&refused)).await;
    assert!(
        page.has("form#sign-in input[name=txn]"),
        "{}",
        page.summary()
    );
}

async fn oc_8_a_browser_that_lost_its_cookies_is_led_to_the_client(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    let (mut browser, _, back) = fixture.go_to_provider().await;
    browser.cookies.clear();
    let refused = browser.open(&back.path()).await;
    assert_eq!(refused.status, 400, "{}", refused.summary());
    let home = url::Url::parse(CALLBACK).unwrap().join("/").unwrap();
    assert_eq!(next_of(&refused), home.as_str());
}

async fn oc_8_another_browser_learns_nothing_of_the_client(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    let (mut browser, _, back) = fixture.go_to_provider().await;
    let mut other = test_app.browser();
    other.open("/login").await;
    assert_eq!(next_of(&other.open(&back.path()).await), "/login");
    // It is spent, and says no more to the other browser.
    assert_eq!(next_of(&other.open(&back.path()).await), "/login");
    assert!(next_of(&browser.open(&back.path()).await).contains("client=web"));
}
