//! The linking table (LC-A to LC-I), case by case, as a user meets it; and R-40 to R-43.

use entity::user_identity;
use poem::http::StatusCode;
use sea_orm::EntityTrait as _;
use serde_json::json;
use testkit::{
    page::Page,
    upstream::{Back, Fault, Place, Upstream},
};

use crate::{
    federation::{
        ProviderFixture, Snapshot, count_rows, leads_to_client, post_callback, refusal_reasons,
    },
    oauth::{settle, signed_in},
    test_app::{Browser, TestApp},
};

on_both!(
    lk_01_lc_a_an_existing_link_signs_in_and_changes_no_address,
    lk_01_lc_a_another_user_who_is_signed_in_is_asked_first,
    lk_04_lc_c_an_address_at_trust_none_is_verified_by_email,
    lk_02_lc_d_user_address_and_link_are_created_together,
    lk_04_lc_e_an_existing_user_is_asked_after_the_verification,
    lk_04_lc_e_an_authoritative_address_of_an_existing_user_needs_the_email_too,
    pr_01_a_pinned_provider_is_authoritative_for_its_own_domains_only,
    lk_04_lc_f_the_email_opened_elsewhere_links_nothing,
    lk_04_lc_g_a_second_account_of_one_provider_is_announced,
    lk_02_lc_i_without_an_address_the_field_is_empty,
    r_42_lk_06_lk_browser,
    lk_06_links_that_do_not_exist_do_not_fill_the_audit_log,
    r_43_lk_02_a_victims_address_at_trust_none_gives_no_session,
    lk_03_a_first_verification_ends_prepared_access,
    lk_06_a_pending_account_expires_however_often_the_address_changes,
    cb_10_bs_04_a_sign_in_continues_by_a_page_or_at_the_account_and_old_cookies_are_invalid,
    r_17_cb_08_up_session_changed,
    r_17_cb_08_consent_in_another_session_connects_nothing,
    pr_01_apple_posts_its_response_with_a_name_and_an_error_code_of_its_own,
    ue_01_a_user_who_declines_while_connecting_stays_signed_in,
    lk_04_an_account_that_is_already_connected_changes_nothing,
);

/// Returns a provider whose statements about addresses are not trusted, which is the default.
pub(crate) async fn untrusted_provider(test_app: &TestApp) -> ProviderFixture<'_> {
    ProviderFixture::new(test_app, json!({"trust": null})).await
}

/// Goes from `/login` through the provider and returns the callback.
async fn go_through_provider(fixture: &ProviderFixture<'_>, browser: &mut Browser<'_>) -> Back {
    let login = browser.open("/login").await;
    let page = fixture.press_button(browser, &login).await;
    fixture.up.visit(&page).await
}

/// Goes through the provider and opens the callback. Returns the last page.
pub(crate) async fn return_from_provider(
    fixture: &ProviderFixture<'_>,
    browser: &mut Browser<'_>,
) -> Page {
    let back = go_through_provider(fixture, browser).await;
    let response = browser.open(&back.path()).await;
    settle(browser, response).await
}

/// Requires the page that asks for an address after the provider. Returns the prefilled address.
pub(crate) fn prefilled_address(page: &Page) -> String {
    assert!(
        page.has("form#sign-in input[name=link]"),
        "the page asks for an address: {}",
        page.summary()
    );
    page.attribute("form#sign-in input[name=email]", "value")
        .unwrap_or_default()
}

/// Verifies an address on that page by the emailed link, in this browser.
pub(crate) async fn verify_by_email(browser: &mut Browser<'_>, page: &Page, email: &str) -> Page {
    // Emails are sent several at a time: an earlier one must not be taken for the newest.
    browser.test_app.send_due_emails().await;
    let response = browser.submit(page, "sign-in", &[("email", email)]).await;
    let waiting = settle(browser, response).await;
    assert!(waiting.has("form#code"), "{}", waiting.summary());
    let link = browser.test_app.mail(email).await.link();
    let done = browser.click(&link).await;
    settle(browser, done).await
}

async fn identities(test_app: &TestApp) -> Vec<user_identity::Model> {
    user_identity::Entity::find()
        .all(test_app.app.db.read())
        .await
        .unwrap()
}

async fn row_counts(test_app: &TestApp) -> (i64, i64, i64) {
    (
        count_rows(test_app, "users").await,
        count_rows(test_app, "user_emails").await,
        count_rows(test_app, "user_identities").await,
    )
}

async fn lk_06_a_pending_account_expires_however_often_the_address_changes(test_app: TestApp) {
    let fixture = untrusted_provider(&test_app).await;
    let mut browser = test_app.browser();
    let mut page = return_from_provider(&fixture, &mut browser).await;
    for round in 0..10 {
        let email = format!("lk6-{}-{round}@example.test", fixture.id);
        let response = browser.submit(&page, "sign-in", &[("email", &email)]).await;
        let waiting = settle(&mut browser, response).await;
        test_app.pass(800);
        let restart = waiting.attribute("a#restart", "href").unwrap();
        let response = browser.open(&restart).await;
        page = settle(&mut browser, response).await;
        assert_eq!(page.status, StatusCode::OK);
        if !page.has("form#sign-in input[name=link]") {
            assert_eq!(round, 4, "after an hour");
            return;
        }
    }
    panic!("the account waits for ever");
}

async fn lk_01_lc_a_an_existing_link_signs_in_and_changes_no_address(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    fixture.assert_signs_in("the first time").await;
    let before = identities(&test_app).await.remove(0);
    fixture.up.person(json!({"sub": fixture.id, "email": "moved@upstream.test", "email_verified": true, "name": "Annie"}));
    let mut browser = fixture.assert_signs_in("with another address there").await;
    assert_eq!(
        row_counts(&test_app).await,
        (1, 1, 1),
        "LK-03: no address was added or changed"
    );
    let account = browser.account().await.unwrap();
    assert!(account.contains(&fixture.email), "{account}");
    let after = identities(&test_app).await.remove(0);
    assert_eq!(
        (after.id, after.user_id, &after.issuer),
        (before.id, before.user_id, &fixture.up.issuer())
    );
    assert_eq!(
        after.email.as_deref(),
        Some("moved@upstream.test"),
        "only the snapshot of the link"
    );
}

async fn lk_01_lc_a_another_user_who_is_signed_in_is_asked_first(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    fixture.assert_signs_in("the owner, elsewhere").await;
    let mut browser = signed_in(&test_app, "other@example.test").await;
    let page = return_from_provider(&fixture, &mut browser).await;
    assert!(
        page.has("form#identity"),
        "the page asks first: {}",
        page.summary()
    );
    assert!(
        browser
            .account()
            .await
            .unwrap()
            .contains("other@example.test"),
        "no change yet"
    );
    let stayed = browser
        .submit(&page, "identity", &[("decision", "no")])
        .await;
    settle(&mut browser, stayed).await;
    assert!(
        browser
            .account()
            .await
            .unwrap()
            .contains("other@example.test")
    );

    let page = return_from_provider(&fixture, &mut browser).await;
    let mut stolen = browser.clone();
    let left = browser
        .submit(&page, "identity", &[("decision", "yes")])
        .await;
    settle(&mut browser, left).await;
    assert!(
        stolen.account().await.is_none(),
        "BS-04: the session that was left is over"
    );
    assert!(
        browser.account().await.unwrap().contains(&fixture.email),
        "now as the owner"
    );
    assert_eq!(row_counts(&test_app).await, (2, 2, 1));
}

async fn lk_04_lc_c_an_address_at_trust_none_is_verified_by_email(test_app: TestApp) {
    let fixture = untrusted_provider(&test_app).await;
    let mut browser = test_app.browser();
    let page = return_from_provider(&fixture, &mut browser).await;
    assert_eq!(prefilled_address(&page), fixture.email, "pre-filled");
    assert!(!browser.is_signed_in());
    assert_eq!(
        row_counts(&test_app).await,
        (0, 0, 0),
        "LK-02: no row before the verification"
    );
    let done = verify_by_email(&mut browser, &page, &fixture.email).await;
    assert!(browser.is_signed_in(), "{}", done.summary());
    assert_eq!(row_counts(&test_app).await, (1, 1, 1));
    let mail = test_app.mail(&fixture.email).await;
    assert!(
        mail.subject.contains("connected"),
        "LK-07: the owner is notified: {}",
        mail.subject
    );
    // From then on the provider alone suffices.
    let mut other = test_app.browser();
    return_from_provider(&fixture, &mut other).await;
    assert!(other.is_signed_in() && row_counts(&test_app).await == (1, 1, 1));
    // The verified address may differ from the address that the provider sent.
    let fixture = untrusted_provider(&test_app).await;
    let mut browser = test_app.browser();
    let page = return_from_provider(&fixture, &mut browser).await;
    verify_by_email(&mut browser, &page, "elsewhere@example.test").await;
    assert!(
        browser
            .account()
            .await
            .unwrap()
            .contains("elsewhere@example.test")
    );
}

async fn lk_02_lc_d_user_address_and_link_are_created_together(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    fixture
        .assert_signs_in("an authoritative address is proven")
        .await;
    assert_eq!(row_counts(&test_app).await, (1, 1, 1));
    assert_eq!(
        test_app.mails(&fixture.email).len(),
        0,
        "ST-01: no email for a new user"
    );
    let row = identities(&test_app).await.remove(0);
    assert_eq!(
        (row.provider.as_str(), row.subject.as_str()),
        (fixture.id.as_str(), fixture.id.as_str())
    );

    // An asserted address is not enough: the provider does not run the mailbox.
    let fixture = ProviderFixture::new(&test_app, json!({"trust": "asserted"})).await;
    let mut browser = test_app.browser();
    let page = return_from_provider(&fixture, &mut browser).await;
    assert_eq!(prefilled_address(&page), fixture.email);
    // Nor is an address that an authoritative provider has not verified.
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    fixture
        .up
        .inject(Fault::claim("email_verified", json!(false)));
    let mut browser = test_app.browser();
    prefilled_address(&return_from_provider(&fixture, &mut browser).await);
    assert_eq!(row_counts(&test_app).await, (1, 1, 1));
}

async fn lk_04_lc_e_an_existing_user_is_asked_after_the_verification(test_app: TestApp) {
    let fixture = untrusted_provider(&test_app).await;
    signed_in(&test_app, &fixture.email).await;
    let mut browser = test_app.browser();
    let page = return_from_provider(&fixture, &mut browser).await;
    prefilled_address(&page);
    assert!(!browser.is_signed_in(), "LK-04");
    let question = verify_by_email(&mut browser, &page, &fixture.email).await;
    assert!(
        question.has("form#identity"),
        "the page asks whether to connect: {}",
        question.summary()
    );
    assert!(
        question.text().contains(&fixture.email),
        "the page names the account"
    );
    assert_eq!(
        row_counts(&test_app).await,
        (1, 1, 0),
        "not before the consent"
    );
    let done = browser
        .submit(&question, "identity", &[("decision", "yes")])
        .await;
    settle(&mut browser, done).await;
    assert_eq!(row_counts(&test_app).await, (1, 1, 1));
    assert!(browser.account().await.is_some());

    // The user declines.
    let fixture = untrusted_provider(&test_app).await;
    signed_in(&test_app, &fixture.email).await;
    let mut browser = test_app.browser();
    let page = return_from_provider(&fixture, &mut browser).await;
    let question = verify_by_email(&mut browser, &page, &fixture.email).await;
    let done = browser
        .submit(&question, "identity", &[("decision", "no")])
        .await;
    settle(&mut browser, done).await;
    assert_eq!(row_counts(&test_app).await, (2, 2, 1));
    assert!(
        browser.account().await.is_some(),
        "signed in by the email nevertheless"
    );
}

/// ST-01: joining an existing user takes a proof by email, whatever the provider says.
async fn lk_04_lc_e_an_authoritative_address_of_an_existing_user_needs_the_email_too(
    test_app: TestApp,
) {
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    signed_in(&test_app, &fixture.email).await;
    let mut browser = test_app.browser();
    let page = return_from_provider(&fixture, &mut browser).await;
    assert_eq!(
        prefilled_address(&page),
        fixture.email,
        "ST-01: joining an existing user always takes a proof by email"
    );
    assert!(!browser.is_signed_in());
    assert_eq!(row_counts(&test_app).await, (1, 1, 0));
}

async fn pr_01_a_pinned_provider_is_authoritative_for_its_own_domains_only(test_app: TestApp) {
    let fixture =
        ProviderFixture::new(&test_app, json!({"mail_domains": ["school.example"]})).await;
    let mut browser = test_app.browser();
    let page = return_from_provider(&fixture, &mut browser).await;
    assert_eq!(
        prefilled_address(&page),
        fixture.email,
        "a new user with an address of another domain"
    );
    assert_eq!(
        (browser.is_signed_in(), row_counts(&test_app).await),
        (false, (0, 0, 0))
    );
}

async fn lk_04_lc_f_the_email_opened_elsewhere_links_nothing(test_app: TestApp) {
    let fixture = untrusted_provider(&test_app).await;
    let mut browser = test_app.browser();
    let page = return_from_provider(&fixture, &mut browser).await;
    let response = browser
        .submit(&page, "sign-in", &[("email", &fixture.email)])
        .await;
    let waiting = settle(&mut browser, response).await;
    let mail = test_app.mail(&fixture.email).await;
    let mut phone = test_app.browser();
    let page = phone.open(&mail.link()).await;
    assert!(!page.has("form#link"), "{}", page.summary());
    assert_eq!(
        (row_counts(&test_app).await, phone.is_signed_in()),
        ((0, 0, 0), false)
    );
    let done = browser
        .submit(&waiting, "code", &[("code", &mail.code())])
        .await;
    settle(&mut browser, done).await;
    assert!(browser.is_signed_in());
    assert_eq!(
        row_counts(&test_app).await,
        (1, 1, 1),
        "the code in the first browser completes it"
    );
}

async fn lk_04_lc_g_a_second_account_of_one_provider_is_announced(test_app: TestApp) {
    let fixture = untrusted_provider(&test_app).await;
    let mut browser = test_app.browser();
    let page = return_from_provider(&fixture, &mut browser).await;
    verify_by_email(&mut browser, &page, &fixture.email).await;
    fixture
        .up
        .person(json!({"sub": "a second account", "email": fixture.email, "email_verified": true}));
    let mut other = test_app.browser();
    let page = return_from_provider(&fixture, &mut other).await;
    let question = verify_by_email(&mut other, &page, &fixture.email).await;
    assert!(
        question.has("form#identity") && question.has(".note"),
        "LC-G: the page warns: {}",
        question.summary()
    );
    let done = other
        .submit(&question, "identity", &[("decision", "yes")])
        .await;
    settle(&mut other, done).await;
    assert_eq!(row_counts(&test_app).await, (1, 1, 2));
}

async fn lk_02_lc_i_without_an_address_the_field_is_empty(test_app: TestApp) {
    for (why, email) in [
        ("none", json!(null)),
        ("not an address", json!("ann at home")),
        ("two", json!("a@b@c.test")),
    ] {
        let fixture = ProviderFixture::new(&test_app, json!({})).await;
        fixture
            .up
            .person(json!({"sub": fixture.id, "email_verified": true, "email": email}));
        fixture.up.inject(Fault::claims(|claims| {
            if claims["email"].is_null() {
                claims.as_object_mut().unwrap().remove("email");
            }
        }));
        let mut browser = test_app.browser();
        let page = return_from_provider(&fixture, &mut browser).await;
        let shown = prefilled_address(&page);
        assert!(!shown.contains('@') || why == "two", "{why}: {shown}");
        assert!(!browser.is_signed_in(), "{why}");
    }
    assert_eq!(row_counts(&test_app).await, (0, 0, 0));
}

async fn r_42_lk_06_lk_browser(test_app: TestApp) {
    let fixture = untrusted_provider(&test_app).await;
    let mut browser = test_app.browser();
    let back = go_through_provider(&fixture, &mut browser).await;
    let response = browser.open(&back.path()).await;
    let path = response.location().unwrap()[url::Position::BeforePath..].to_owned();
    let page = browser.open(&path).await;
    prefilled_address(&page);

    let mut thief = test_app.browser();
    thief.open("/login").await;
    let before = Snapshot::load(&test_app).await;
    let stolen = thief.open(&path).await;
    fixture
        .assert_refusal(&before, &stolen, ("another browser", 400, "lk_browser"))
        .await;

    verify_by_email(&mut browser, &page, &fixture.email).await;
    assert_eq!(row_counts(&test_app).await, (1, 1, 1));
    let before = Snapshot::load(&test_app).await;
    let used = browser.open(&path).await;
    fixture
        .assert_refusal(&before, &used, ("used", 400, "lk_browser"))
        .await;

    let fixture = untrusted_provider(&test_app).await;
    let mut browser = test_app.browser();
    let back = go_through_provider(&fixture, &mut browser).await;
    let response = browser.open(&back.path()).await;
    test_app.pass(901);
    let before = Snapshot::load(&test_app).await;
    let late = browser.follow(&response).await;
    fixture
        .assert_refusal(&before, &late, ("901 s old", 400, "lk_browser"))
        .await;
}

/// ST-17: what an anonymous caller brings leaves no row in the audit log.
async fn lk_06_links_that_do_not_exist_do_not_fill_the_audit_log(test_app: TestApp) {
    test_app.configure(|config| {
        config.limits.authorize = vec![entree::config::Budget {
            count: 2,
            seconds: 600,
        }]
    });
    let mut anonymous = test_app.browser();
    anonymous.open("/login").await;
    let mut user = signed_in(&test_app, "user@example.test").await;
    let before = Snapshot::load(&test_app).await;
    for path in ["/login?link", "/login/identity?link"].repeat(2) {
        let response = anonymous.open(&format!("{path}={}", "A".repeat(43))).await;
        assert_eq!(response.status, 400, "{path}: {}", response.summary());
    }
    let after = Snapshot::load(&test_app).await;
    assert_eq!(after.reasons_since(&before), ["lk_browser"; 4], "the log");
    assert_eq!(after.audited_since(&before), [""; 0], "the audit log");
    for _ in 0..4 {
        user.open(&format!("/login/identity?link={}", "A".repeat(43)))
            .await;
    }
    let audited = Snapshot::load(&test_app).await.audited_since(&before);
    assert_eq!(audited, ["lk_browser"; 2], "a user's, within a budget");
}

async fn r_43_lk_02_a_victims_address_at_trust_none_gives_no_session(test_app: TestApp) {
    let victim = "victim@example.test";
    signed_in(&test_app, victim).await;
    let sessions = count_rows(&test_app, "sessions").await;
    for trust in ["none", "asserted", "authoritative"] {
        let fixture = ProviderFixture::new(
            &test_app,
            json!({"trust": trust, "mail_domains": ["example.test"]}),
        )
        .await;
        fixture.up.person(
            json!({"sub": "mallory", "email": victim, "email_verified": true, "name": "Victim"}),
        );
        let mut attacker = test_app.browser();
        let page = return_from_provider(&fixture, &mut attacker).await;
        prefilled_address(&page);
        let response = attacker
            .submit(&page, "sign-in", &[("email", victim)])
            .await;
        settle(&mut attacker, response).await;
        assert!(
            !attacker.is_signed_in() && attacker.account().await.is_none(),
            "{trust}"
        );
        assert_eq!(
            count_rows(&test_app, "sessions").await,
            sessions,
            "{trust}: no session before the verification"
        );
        assert_eq!(row_counts(&test_app).await, (1, 1, 0), "{trust}");
        // The victim opens the email in another browser, which does not continue the attacker's
        // flow.
        test_app.pass(120);
        let mut owner = test_app.browser();
        let page = owner.open(&test_app.mail(victim).await.link()).await;
        assert!(!page.has("form#link"), "{trust}");
        assert_eq!(
            row_counts(&test_app).await,
            (1, 1, 0),
            "{trust}: the attacker's account is connected"
        );
    }
    assert_eq!(refusal_reasons(&test_app).await, Vec::<String>::new());
}

/// LK-03, E2: the address of an imported user is verified for the first time.
async fn lk_03_a_first_verification_ends_prepared_access(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    let address = entree::user::Address::parse(&fixture.email, false).unwrap();
    let tx = test_app.tx().await;
    entree::user::import_unverified(&tx, &address)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let mut browser = test_app.browser();
    let page = return_from_provider(&fixture, &mut browser).await;
    // An unverified user has the address: no account is joined to it without an email.
    prefilled_address(&page);
    verify_by_email(&mut browser, &page, &fixture.email).await;
    assert!(browser.is_signed_in());
    assert_eq!(row_counts(&test_app).await.1, 1, "one address of one user");
}

async fn cb_10_bs_04_a_sign_in_continues_by_a_page_or_at_the_account_and_old_cookies_are_invalid(
    test_app: TestApp,
) {
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    let (mut browser, _, back) = fixture.go_to_provider().await;
    let mut stolen = browser.clone();
    let response = browser.open(&back.path()).await;
    let to = response
        .refresh()
        .unwrap_or_else(|| panic!("a page that leads on: {}", response.summary()));
    assert_eq!(
        (response.status.as_u16(), response.location()),
        (200, None),
        "CW-02: no redirect towards the client"
    );
    let path = &to[url::Position::BeforePath..];
    assert_ne!(
        browser.cookies["__Host-Http-pre"],
        stolen.cookies["__Host-Http-pre"]
    );
    let done = browser.open(path).await;
    let done = settle(&mut browser, done).await;
    assert!(leads_to_client(&done), "{}", done.summary());
    assert!(
        stolen.account().await.is_none(),
        "the old cookie is worth nothing"
    );
    // No client's request waits.
    let mut other = test_app.browser();
    let back = go_through_provider(&fixture, &mut other).await;
    let response = other.open(&back.path()).await;
    let to = response.location().expect("a redirect");
    assert_eq!(
        (response.status.as_u16(), to.path(), to.query()),
        (303, "/account", None)
    );
}

/// Connects the provider from the account page as far as the callback, which it returns.
pub(crate) async fn connect_through_provider(
    fixture: &ProviderFixture<'_>,
    browser: &mut Browser<'_>,
) -> Back {
    let account = browser.open("/account").await;
    let page = browser
        .submit(&account, &format!("connect-{}", fixture.id), &[])
        .await;
    fixture.up.visit(&page).await
}

async fn sign_out(browser: &mut Browser<'_>) {
    let account = browser.open("/account").await;
    browser.submit(&account, "sign-out", &[]).await;
    assert!(!browser.is_signed_in());
}

async fn r_17_cb_08_up_session_changed(test_app: TestApp) {
    for other in [false, true] {
        let fixture = ProviderFixture::new(&test_app, json!({})).await;
        let mut browser = signed_in(&test_app, &fixture.email).await;
        let back = connect_through_provider(&fixture, &mut browser).await;
        sign_out(&mut browser).await;
        if other {
            browser.sign_in("other@example.test").await;
        }
        let before = Snapshot::load(&test_app).await;
        let response = browser.open(&back.path()).await;
        fixture
            .assert_refusal(
                &before,
                &response,
                ("signed out, or in anew", 409, "up_session_changed"),
            )
            .await;
        assert_eq!(
            response.attribute("a#next", "href").as_deref(),
            Some("/account")
        );
        assert_eq!(
            fixture.up.count(Place::Token),
            0,
            "the code is not exchanged"
        );
        assert_eq!(identities(&test_app).await.len(), 0);
    }
}

async fn r_17_cb_08_consent_in_another_session_connects_nothing(test_app: TestApp) {
    for other in [false, true] {
        let fixture = ProviderFixture::new(&test_app, json!({})).await;
        let mut browser = signed_in(&test_app, &fixture.email).await;
        let back = connect_through_provider(&fixture, &mut browser).await;
        let response = browser.open(&back.path()).await;
        let path = response.location().unwrap()[url::Position::BeforePath..].to_owned();
        let mut page = browser.open(&path).await;
        sign_out(&mut browser).await;
        if other {
            browser.sign_in("other@example.test").await;
            page = browser.open(&path).await;
        }
        let before = Snapshot::load(&test_app).await;
        let response = browser
            .submit(&page, "identity", &[("decision", "yes")])
            .await;
        fixture
            .assert_refusal(
                &before,
                &response,
                ("the consent of another session", 409, "up_session_changed"),
            )
            .await;
        assert_eq!(identities(&test_app).await.len(), 0);
    }
}

async fn ue_01_a_user_who_declines_while_connecting_stays_signed_in(test_app: TestApp) {
    for (error, code) in [
        ("access_denied", "up_denied"),
        ("temporarily_unavailable", "up_provider_error"),
    ] {
        let fixture = ProviderFixture::new(&test_app, json!({})).await;
        fixture.up.inject(Fault::error(error));
        let mut browser = signed_in(&test_app, &fixture.email).await;
        let back = connect_through_provider(&fixture, &mut browser).await;
        let before = Snapshot::load(&test_app).await;
        let response = browser.open(&back.path()).await;
        fixture
            .assert_refusal(&before, &response, (error, 200, code))
            .await;
        assert!(
            !response.text().contains("email") && response.text().contains("still signed in"),
            "{}",
            response.text()
        );
        assert_eq!(
            response.attribute("a#next", "href").as_deref(),
            Some("/account")
        );
        assert!(browser.account().await.is_some(), "signed in as before");
    }
}

/// Apple signs a secret for each request, responds by form_post, and sends the name once, beside
/// the token.
async fn pr_01_apple_posts_its_response_with_a_name_and_an_error_code_of_its_own(
    test_app: TestApp,
) {
    let apple = |up: &Upstream| {
        json!({
            "kind": "apple", "trust": null, "mail_domains": null, "client_secret": null,
            "team_id": "TEAM", "key_id": "KEY", "private_key": up.wants_signed_secret(),
        })
    };
    let fixture = ProviderFixture::with(&test_app, apple).await;
    let user =
        r#"{"name":{"firstName":"Marie","lastName":"Taglioni"},"email":"evil@example.test"}"#;
    let mut browser = test_app.browser();
    let back = go_through_provider(&fixture, &mut browser)
        .await
        .with("user", user);
    let response = post_callback(&mut browser, &back).await;
    let response = browser.follow(&response).await;
    let page = settle(&mut browser, response).await;
    assert_eq!(
        prefilled_address(&page),
        fixture.email,
        "the address of the signed token, not the one beside it"
    );
    verify_by_email(&mut browser, &page, &fixture.email).await;
    let row = identities(&test_app).await.remove(0);
    assert_eq!(
        (row.subject.as_str(), row.name.as_deref()),
        (fixture.id.as_str(), Some("Marie Taglioni"))
    );
    // The second time Apple sends no name, and the account suffices.
    let mut other = test_app.browser();
    let back = go_through_provider(&fixture, &mut other).await;
    let response = post_callback(&mut other, &back).await;
    other.follow(&response).await;
    assert!(other.is_signed_in());
    assert_eq!(fixture.up.complaints(), Vec::<String>::new());

    let fixture = ProviderFixture::with(&test_app, apple).await;
    let mut browser = test_app.browser();
    let back = go_through_provider(&fixture, &mut browser)
        .await
        .without("code")
        .with("error", "user_cancelled_authorize");
    let response = post_callback(&mut browser, &back).await;
    let before = Snapshot::load(&test_app).await;
    let response = browser.follow(&response).await;
    fixture
        .assert_refusal(&before, &response, ("cancelled there", 200, "up_denied"))
        .await;
    assert!(
        response.has("form#sign-in") && response.has("#notice"),
        "{}",
        response.summary()
    );
    assert_eq!(fixture.up.count(Place::Token), 0);
}

async fn lk_04_an_account_that_is_already_connected_changes_nothing(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    fixture.assert_signs_in("the account is connected").await;
    let mut browser = signed_in(&test_app, &fixture.email).await;
    let back = connect_through_provider(&fixture, &mut browser).await;
    let response = browser.open(&back.path()).await;
    assert_eq!(response.status, 200, "{}", response.summary());
    assert!(
        response
            .text()
            .contains("already sign in here with this account"),
        "{}",
        response.text()
    );
    assert_eq!(identities(&test_app).await.len(), 1);
}
