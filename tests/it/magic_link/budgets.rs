//! What strangers and neighbours spend, and what they cannot: the budgets of emails and codes.

use entity::code_budget;
use entree::config::Reloadable;
use poem::http::{Method, StatusCode, header};
use sea_orm::EntityTrait as _;
use serde_json::{Value, json};
use testkit::page::Page;

use crate::test_app::{Browser, TestApp};

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

on_both!(
    oa_01_a_new_device_beside_ten_networks_gets_its_email,
    oa_01_a_page_says_when_an_address_gets_email_again_alike_for_every_address,
    oa_01_an_app_keeps_its_emails_by_its_device_secret,
    oa_02_wrong_codes_of_ten_networks_do_not_switch_the_right_one_off,
    oa_02_flows_without_a_live_code_count_nothing,
    oa_02_a_known_device_has_tries_of_its_own,
    oa_02_a_right_code_that_came_too_late_leads_to_one_that_works,
    oa_03_a_known_device_passes_what_its_neighbours_exhausted,
);

pub(super) fn with_app(config: &mut Reloadable) {
    let client = json!({"client_id": "app", "name": "App", "audience": "https://api.test",
        "first_party": true, "app_sign_in": true});
    config.clients = vec![serde_json::from_value(client).unwrap()];
}

async fn post(from: &Browser<'_>, action: &str, body: Value) -> (StatusCode, Value) {
    let request = from
        .request(Method::POST, &format!("/api/v1/auth/magic-link/{action}"))
        .header(header::CONTENT_TYPE, "application/json");
    let page = from.clone().send(request.body(body.to_string())).await;
    let json = serde_json::from_str(&page.body).unwrap_or_default();
    (page.status, json)
}

/// Begins a sign-in of the app and returns the response.
pub(super) async fn begin(from: &Browser<'_>, email: &str, device_secret: Option<&str>) -> Value {
    let mut body = json!({"client_id": "app", "email": email, "code_challenge": CHALLENGE,
        "code_challenge_method": "S256"});
    if let Some(secret) = device_secret {
        body["device_secret"] = secret.into();
    }
    let (status, begun) = post(from, "request", body).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{begun}");
    begun
}

/// Submits a code and returns the response.
pub(super) async fn submit(
    from: &Browser<'_>,
    begun: &Value,
    code: &str,
    device_secret: Option<&str>,
) -> (StatusCode, Value) {
    let mut body = json!({"flow_id": begun["flow_id"], "code_verifier": VERIFIER, "code": code,
        "scope": "openid"});
    if let Some(secret) = device_secret {
        body["device_secret"] = secret.into();
    }
    post(from, "consume", body).await
}

/// Requests emails for an address from each of `networks` networks, more often than one network gets
/// any. Each time it is a new browser: one that asks again is led to the flow that it has.
async fn attack(test_app: &TestApp, email: &str, networks: usize) {
    for _ in 0..networks {
        let from = test_app.browser().from;
        for _ in 0..3 {
            ask_from(test_app, &from, email).await;
        }
    }
}

/// Requests an email in a new browser of a network.
async fn ask_from(test_app: &TestApp, from: &str, email: &str) -> Page {
    let mut browser = test_app.browser();
    from.clone_into(&mut browser.from);
    browser.ask(email).await
}

async fn oa_01_a_new_device_beside_ten_networks_gets_its_email(test_app: TestApp) {
    test_app.restore_address_budget_per_network();
    let email = "beside-ten@example.com";
    attack(&test_app, email, 10).await;
    test_app.send_due_emails().await;
    assert_eq!(test_app.mails(email).len(), 20, "two for each network");
    let mut person = test_app.browser();
    person.sign_in(email).await;
    assert!(person.is_signed_in());
}

/// Returns the text of a page with a fixed word in place of the address.
fn without_address(page: &Page, email: &str) -> String {
    page.text().replace(email, "ADDRESS")
}

async fn oa_01_a_page_says_when_an_address_gets_email_again_alike_for_every_address(
    test_app: TestApp,
) {
    test_app.restore_address_budget_per_network();
    let (known, unknown) = ("spent-known@example.com", "spent-other@example.com");
    test_app.browser().sign_in(known).await;
    let mut pages = Vec::new();
    for email in [known, unknown] {
        attack(&test_app, email, 14).await;
        test_app.send_due_emails().await;
        let sent = test_app.mails(email).len();
        assert_eq!(
            sent, 25,
            "24 by `limits.address`, and one by `limits.address_reserve`"
        );
        let page = test_app.browser().ask(email).await;
        assert!(
            page.has("#withheld") && page.text().contains("minute"),
            "{}",
            page.text()
        );
        test_app.send_due_emails().await;
        assert_eq!(
            test_app.mails(email).len(),
            sent,
            "no email is sent while the page says so"
        );
        pages.push(without_address(&page, email));
    }
    // The second page is rendered a few seconds later.
    let [known, unknown] = [&pages[0], &pages[1]].map(|page| without_pause(page));
    assert_eq!(known, unknown);
    let page = test_app.browser().ask("fresh@example.com").await;
    assert!(!page.has("#withheld"));
    // The same goes for one network that requested its two emails.
    let from = test_app.browser().from;
    for is_withheld in [false, false, true] {
        let page = ask_from(&test_app, &from, "hasty@example.com").await;
        assert_eq!(page.has("#withheld"), is_withheld);
    }
}

/// Returns a page without the minutes and seconds that are left of the pause before a resend.
fn without_pause(page: &str) -> String {
    let (before, after) = page.split_once("resend in ").expect("a pause");
    let rest = after.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == ':');
    assert!(rest.len() < after.len(), "no time after `resend in`");
    format!("{before}{rest}")
}

async fn oa_01_an_app_keeps_its_emails_by_its_device_secret(test_app: TestApp) {
    test_app.configure(with_app);
    test_app.restore_address_budget_per_network();
    let email = "app-owner@example.com";
    let phone = test_app.browser();
    let begun = begin(&phone, email, None).await;
    let code = test_app.mail(email).await.code();
    let (status, tokens) = submit(&phone, &begun, &code, None).await;
    assert_eq!(status, StatusCode::OK, "{tokens}");
    let secret = tokens["device_secret"].as_str().unwrap().to_owned();
    let stored = test_app.stored().await;
    assert!(
        !stored
            .windows(secret.len())
            .any(|part| part == secret.as_bytes()),
        "only its hash is stored"
    );

    attack(&test_app, email, 16).await;
    test_app.send_due_emails().await;
    let sent = test_app.mails(email).len();
    let withheld = begin(&phone, email, None).await;
    assert!(withheld["withheld_for"].as_u64().unwrap() > 0, "{withheld}");
    let other = begin(&phone, email, Some(&"x".repeat(43))).await;
    assert!(other["withheld_for"].as_u64().is_some(), "not its secret");
    test_app.send_due_emails().await;
    assert_eq!(test_app.mails(email).len(), sent);

    let begun = begin(&phone, email, Some(&secret)).await;
    assert!(begun["withheld_for"].is_null(), "{begun}");
    test_app.send_due_emails().await;
    assert_eq!(test_app.mails(email).len(), sent + 1);
    let code = test_app.mail(email).await.code();
    let (status, tokens) = submit(&phone, &begun, &code, Some(&secret)).await;
    assert_eq!(status, StatusCode::OK, "{tokens}");
    assert_eq!(
        tokens["device_secret"],
        secret.as_str(),
        "it stays the same"
    );
    // It is worth nothing for another address.
    let victim = "app-victim@example.com";
    attack(&test_app, victim, 16).await;
    let begun = begin(&phone, victim, Some(&secret)).await;
    assert!(begun["withheld_for"].as_u64().is_some(), "{begun}");
}

async fn oa_03_a_known_device_passes_what_its_neighbours_exhausted(test_app: TestApp) {
    test_app.restore_address_budget_per_network();
    let email = "neighbour@example.com";
    let mut laptop = test_app.browser();
    laptop.sign_in(email).await;
    let account = laptop.open("/account").await;
    laptop.submit(&account, "sign-out", &[]).await;
    for n in 0..25 {
        let mut neighbour = test_app.browser();
        neighbour.from.clone_from(&laptop.from);
        neighbour.try_ask(&format!("class-{n}@example.com")).await;
    }
    let mut neighbour = test_app.browser();
    neighbour.from.clone_from(&laptop.from);
    let refused = neighbour.try_ask("class@example.com").await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    let before = test_app.mails(email).len();
    for sent in 1..=10 {
        // The device is the same, and asks as if for the first time.
        laptop.cookies.remove("__Host-Http-pre");
        let page = laptop.ask(email).await;
        assert!(!page.has("#withheld"));
        test_app.send_due_emails().await;
        assert_eq!(test_app.mails(email).len(), before + sent);
    }
    // Beyond its own budget it counts as a new device.
    laptop.cookies.remove("__Host-Http-pre");
    let refused = laptop.try_ask(email).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
}

/// A code that is not this one.
fn wrong(code: &str, n: u64) -> String {
    format!(
        "{:08}",
        (code.parse::<u64>().unwrap() + 1 + n) % 10_u64.pow(8)
    )
}

/// Requests an email from a new network and enters five wrong codes.
async fn guess_five(test_app: &TestApp, email: &str, from: Option<&str>) {
    let mut attacker = test_app.browser();
    if let Some(from) = from {
        from.clone_into(&mut attacker.from);
    }
    let waiting = attacker.ask(email).await;
    let code = test_app.mail(email).await.code();
    for n in 0..5 {
        let wrong = wrong(&code, n);
        attacker.submit(&waiting, "code", &[("code", &wrong)]).await;
    }
}

async fn oa_02_wrong_codes_of_ten_networks_do_not_switch_the_right_one_off(test_app: TestApp) {
    test_app.restore_address_budget_per_network();
    let email = "guessed@example.com";
    for _ in 0..10 {
        let from = test_app.browser().from;
        for _ in 0..2 {
            guess_five(&test_app, email, Some(&from)).await;
        }
    }
    let mut person = test_app.browser();
    let waiting = person.ask(email).await;
    let code = test_app.mail(email).await.code();
    person.submit(&waiting, "code", &[("code", &code)]).await;
    assert!(person.is_signed_in());
}

async fn budget_rows(test_app: &TestApp) -> usize {
    let rows = code_budget::Entity::find()
        .all(test_app.app.db.read())
        .await;
    rows.unwrap().len()
}

async fn oa_02_flows_without_a_live_code_count_nothing(test_app: TestApp) {
    let email = "no-code@example.com";
    for _ in 0..5 {
        let mut attacker = test_app.browser();
        let waiting = attacker.ask(email).await;
        for n in 0..5 {
            let code = format!("0000000{n}");
            let page = attacker
                .submit_and_follow(&waiting, "code", &[("code", &code)])
                .await;
            assert!(!attacker.is_signed_in(), "{}", page.summary());
        }
    }
    assert_eq!(budget_rows(&test_app).await, 0, "no email was sent");
    guess_five(&test_app, email, None).await;
    assert_eq!(
        budget_rows(&test_app).await,
        3,
        "the network, its /24 and the address"
    );
}

async fn oa_02_a_known_device_has_tries_of_its_own(test_app: TestApp) {
    let email = "own-tries@example.com";
    let mut laptop = test_app.browser();
    laptop.sign_in(email).await;
    let account = laptop.open("/account").await;
    laptop.submit(&account, "sign-out", &[]).await;
    // A neighbour spends what the network has for this address.
    for _ in 0..3 {
        guess_five(&test_app, email, Some(&laptop.from)).await;
    }
    let waiting = laptop.ask(email).await;
    let code = test_app.mail(email).await.code();
    let mistyped = wrong(&code, 0);
    laptop
        .submit(&waiting, "code", &[("code", &mistyped)])
        .await;
    laptop.submit(&waiting, "code", &[("code", &code)]).await;
    assert!(laptop.is_signed_in());
}

async fn oa_02_a_right_code_that_came_too_late_leads_to_one_that_works(test_app: TestApp) {
    test_app.configure(with_app);
    let email = "too-late@example.com";
    let phone = test_app.browser();
    for _ in 0..2 {
        guess_five(&test_app, email, Some(&phone.from)).await;
    }
    let begun = begin(&phone, email, None).await;
    let mail = test_app.mail(email).await;
    let (status, refused) = submit(&phone, &begun, &mail.code(), None).await;
    assert_eq!(
        (status, &refused["code"]),
        (StatusCode::BAD_REQUEST, &json!("code_locked"))
    );
    // That code is void: who guessed it learned nothing of use.
    let (_, refused) = submit(&phone, &begun, &mail.code(), None).await;
    assert_eq!(refused["code"], "invalid_code");
    let begun = begin(&phone, email, None).await;
    let code = test_app.mail(email).await.code();
    let (status, tokens) = submit(&phone, &begun, &code, None).await;
    assert_eq!(status, StatusCode::OK, "{tokens}");
    // In the browser the link of the same email works.
    let mut person = test_app.browser();
    person.from.clone_from(&phone.from);
    for _ in 0..2 {
        guess_five(&test_app, "late-link@example.com", Some(&phone.from)).await;
    }
    let waiting = person.ask("late-link@example.com").await;
    let mail = test_app.mail("late-link@example.com").await;
    let late = mail.code();
    let page = person
        .submit_and_follow(&waiting, "code", &[("code", &late)])
        .await;
    assert!(page.error().unwrap().contains("Open the link"));
    person.click(&mail.link()).await;
    assert!(person.is_signed_in());
}
