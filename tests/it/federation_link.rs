//! Linking, case by case, as a user meets it (LC-A to LC-I), and its refusals (R-40 to R-43).

use entity::user_identity;
use poem::http::StatusCode;
use sea_orm::EntityTrait as _;
use serde_json::json;
use testkit::{
    page::Page,
    upstream::{Back, Lie, Place, Upstream},
};

use crate::{
    federation::{Kept, Stage, at_client, count, post_back, reasons},
    oauth::{settle, signed_in},
    test_app::{Browser, TestApp},
};

on_both!(
    lk_01_lc_a_a_link_that_exists_signs_in_and_changes_no_address,
    lk_01_lc_a_somebody_else_signed_in_here_is_asked_first,
    lk_04_lc_c_an_address_at_trust_none_is_proven_by_mail,
    lk_02_lc_d_user_address_and_link_are_made_together,
    lk_04_lc_e_an_account_that_exists_asks_after_the_proof,
    lk_04_lc_e_an_authoritative_address_of_an_existing_user_needs_the_mail_too,
    pr_01_a_pinned_provider_speaks_for_its_own_domains_alone,
    lk_04_lc_f_the_mail_opened_elsewhere_links_nothing,
    lk_04_lc_g_a_second_account_of_one_provider_is_said_aloud,
    lk_02_lc_i_without_an_address_the_field_is_empty,
    r_42_lk_06_lk_browser,
    lk_06_links_that_nobody_has_do_not_fill_the_trail,
    r_43_lk_02_a_victims_address_at_trust_none_gives_no_session,
    lk_03_a_first_proof_ends_what_was_prepared,
    lk_06_an_account_does_not_wait_for_ever_however_often_another_address_is_wanted,
    cb_10_bs_04_a_sign_in_leads_on_by_a_page_or_to_the_account_and_old_cookies_are_dead,
    r_17_cb_08_up_session_changed,
    r_17_cb_08_a_yes_in_another_session_connects_nothing,
    pr_01_apple_posts_its_answer_with_a_name_and_its_own_word_for_no,
    ue_01_who_declines_while_connecting_is_still_signed_in,
    lk_04_an_account_that_is_ones_own_already_is_called_so,
);

/// Trust none, as any OpenID Provider has it unless ops say otherwise.
pub(crate) async fn untrusted(test_app: &TestApp) -> Stage<'_> {
    Stage::new(test_app, json!({"trust": null})).await
}

/// From `/login` through the provider; gives what is brought back.
async fn through(stage: &Stage<'_>, browser: &mut Browser<'_>) -> Back {
    let login = browser.open("/login").await;
    let page = stage.press(browser, &login).await;
    stage.up.visit(&page).await
}

/// The same and back, wherever that leads.
pub(crate) async fn come(stage: &Stage<'_>, browser: &mut Browser<'_>) -> Page {
    let back = through(stage, browser).await;
    let answer = browser.open(&back.path()).await;
    settle(browser, answer).await
}

/// The page that asks for an address after the provider, and what stands in it.
pub(crate) fn asks_for_address(page: &Page) -> String {
    assert!(
        page.has("form#sign-in input[name=link]"),
        "asks for an address: {}",
        page.summary()
    );
    page.attribute("form#sign-in input[name=email]", "value")
        .unwrap_or_default()
}

/// Proves an address from that page by the mailed link, in this browser.
pub(crate) async fn prove(browser: &mut Browser<'_>, page: &Page, email: &str) -> Page {
    // Letters go out several at a time: what was written before must not pass for the newest.
    browser.test_app.post().await;
    let answer = browser.submit(page, "sign-in", &[("email", email)]).await;
    let waiting = settle(browser, answer).await;
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

async fn users(test_app: &TestApp) -> (i64, i64, i64) {
    (
        count(test_app, "users").await,
        count(test_app, "user_emails").await,
        count(test_app, "user_identities").await,
    )
}

async fn lk_06_an_account_does_not_wait_for_ever_however_often_another_address_is_wanted(
    test_app: TestApp,
) {
    let stage = untrusted(&test_app).await;
    let mut browser = test_app.browser();
    let mut page = come(&stage, &mut browser).await;
    for round in 0..10 {
        let email = format!("lk6-{}-{round}@example.test", stage.id);
        let answer = browser.submit(&page, "sign-in", &[("email", &email)]).await;
        let waiting = settle(&mut browser, answer).await;
        test_app.pass(800);
        let restart = waiting.attribute("a#restart", "href").unwrap();
        let answer = browser.open(&restart).await;
        page = settle(&mut browser, answer).await;
        assert_eq!(page.status, StatusCode::OK);
        if !page.has("form#sign-in input[name=link]") {
            assert_eq!(round, 4, "after an hour");
            return;
        }
    }
    panic!("it waits on and on");
}

async fn lk_01_lc_a_a_link_that_exists_signs_in_and_changes_no_address(test_app: TestApp) {
    let stage = Stage::new(&test_app, json!({})).await;
    stage.signs_in("the first time").await;
    let before = identities(&test_app).await.remove(0);
    stage.up.person(json!({"sub": stage.id, "email": "moved@upstream.test", "email_verified": true, "name": "Annie"}));
    let mut browser = stage.signs_in("with another address there").await;
    assert_eq!(
        users(&test_app).await,
        (1, 1, 1),
        "LK-03: no address was added or changed"
    );
    let account = browser.account().await.unwrap();
    assert!(account.contains(&stage.email), "{account}");
    let after = identities(&test_app).await.remove(0);
    assert_eq!(
        (after.id, after.user_id, &after.issuer),
        (before.id, before.user_id, &stage.up.issuer())
    );
    assert_eq!(
        after.email.as_deref(),
        Some("moved@upstream.test"),
        "the link's snapshot alone"
    );
}

async fn lk_01_lc_a_somebody_else_signed_in_here_is_asked_first(test_app: TestApp) {
    let stage = Stage::new(&test_app, json!({})).await;
    stage.signs_in("the owner, elsewhere").await;
    let mut browser = signed_in(&test_app, "other@example.test").await;
    let page = come(&stage, &mut browser).await;
    assert!(page.has("form#identity"), "asked first: {}", page.summary());
    assert!(
        browser
            .account()
            .await
            .unwrap()
            .contains("other@example.test"),
        "nothing has changed yet"
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

    let page = come(&stage, &mut browser).await;
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
        browser.account().await.unwrap().contains(&stage.email),
        "now as the owner"
    );
    assert_eq!(users(&test_app).await, (2, 2, 1));
}

async fn lk_04_lc_c_an_address_at_trust_none_is_proven_by_mail(test_app: TestApp) {
    let stage = untrusted(&test_app).await;
    let mut browser = test_app.browser();
    let page = come(&stage, &mut browser).await;
    assert_eq!(asks_for_address(&page), stage.email, "pre-filled");
    assert!(!browser.is_signed_in());
    assert_eq!(
        users(&test_app).await,
        (0, 0, 0),
        "LK-02: nothing before the proof"
    );
    let done = prove(&mut browser, &page, &stage.email).await;
    assert!(browser.is_signed_in(), "{}", done.summary());
    assert_eq!(users(&test_app).await, (1, 1, 1));
    let mail = test_app.mail(&stage.email).await;
    assert!(
        mail.subject.contains("connected"),
        "LK-07: the mailbox is told: {}",
        mail.subject
    );
    // From then on the provider alone will do.
    let mut other = test_app.browser();
    come(&stage, &mut other).await;
    assert!(other.is_signed_in() && users(&test_app).await == (1, 1, 1));
    // And the proven address may be another than the told one.
    let stage = untrusted(&test_app).await;
    let mut browser = test_app.browser();
    let page = come(&stage, &mut browser).await;
    prove(&mut browser, &page, "elsewhere@example.test").await;
    assert!(
        browser
            .account()
            .await
            .unwrap()
            .contains("elsewhere@example.test")
    );
}

async fn lk_02_lc_d_user_address_and_link_are_made_together(test_app: TestApp) {
    let stage = Stage::new(&test_app, json!({})).await;
    stage.signs_in("an authoritative address is proven").await;
    assert_eq!(users(&test_app).await, (1, 1, 1));
    assert_eq!(
        test_app.mails(&stage.email).len(),
        0,
        "ST-01: no email for a new user"
    );
    let row = identities(&test_app).await.remove(0);
    assert_eq!(
        (row.provider.as_str(), row.subject.as_str()),
        (stage.id.as_str(), stage.id.as_str())
    );

    // Asserted is not enough: the word of a provider that does not run the mailbox.
    let stage = Stage::new(&test_app, json!({"trust": "asserted"})).await;
    let mut browser = test_app.browser();
    let page = come(&stage, &mut browser).await;
    assert_eq!(asks_for_address(&page), stage.email);
    // Nor is an authoritative provider that has not verified it.
    let stage = Stage::new(&test_app, json!({})).await;
    stage.up.tell(Lie::claim("email_verified", json!(false)));
    let mut browser = test_app.browser();
    asks_for_address(&come(&stage, &mut browser).await);
    assert_eq!(users(&test_app).await, (1, 1, 1));
}

async fn lk_04_lc_e_an_account_that_exists_asks_after_the_proof(test_app: TestApp) {
    let stage = untrusted(&test_app).await;
    signed_in(&test_app, &stage.email).await;
    let mut browser = test_app.browser();
    let page = come(&stage, &mut browser).await;
    asks_for_address(&page);
    assert!(!browser.is_signed_in(), "LK-04");
    let asked = prove(&mut browser, &page, &stage.email).await;
    assert!(
        asked.has("form#identity"),
        "asks whether to connect: {}",
        asked.summary()
    );
    assert!(asked.text().contains(&stage.email), "names the account");
    assert_eq!(users(&test_app).await, (1, 1, 0), "not before the yes");
    let done = browser
        .submit(&asked, "identity", &[("decision", "yes")])
        .await;
    settle(&mut browser, done).await;
    assert_eq!(users(&test_app).await, (1, 1, 1));
    assert!(browser.account().await.is_some());

    // No is no.
    let stage = untrusted(&test_app).await;
    signed_in(&test_app, &stage.email).await;
    let mut browser = test_app.browser();
    let page = come(&stage, &mut browser).await;
    let asked = prove(&mut browser, &page, &stage.email).await;
    let done = browser
        .submit(&asked, "identity", &[("decision", "no")])
        .await;
    settle(&mut browser, done).await;
    assert_eq!(users(&test_app).await, (2, 2, 1));
    assert!(
        browser.account().await.is_some(),
        "signed in by the mail all the same"
    );
}

/// ST-01: joining an existing user takes a proof by email, whatever the provider says.
async fn lk_04_lc_e_an_authoritative_address_of_an_existing_user_needs_the_mail_too(
    test_app: TestApp,
) {
    let stage = Stage::new(&test_app, json!({})).await;
    signed_in(&test_app, &stage.email).await;
    let mut browser = test_app.browser();
    let page = come(&stage, &mut browser).await;
    assert_eq!(
        asks_for_address(&page),
        stage.email,
        "ST-01: joining an existing user always takes a proof by email"
    );
    assert!(!browser.is_signed_in());
    assert_eq!(users(&test_app).await, (1, 1, 0));
}

async fn pr_01_a_pinned_provider_speaks_for_its_own_domains_alone(test_app: TestApp) {
    let stage = Stage::new(&test_app, json!({"mail_domains": ["school.example"]})).await;
    let mut browser = test_app.browser();
    let page = come(&stage, &mut browser).await;
    assert_eq!(
        asks_for_address(&page),
        stage.email,
        "somebody new, with an address of another domain"
    );
    assert_eq!(
        (browser.is_signed_in(), users(&test_app).await),
        (false, (0, 0, 0))
    );
}

async fn lk_04_lc_f_the_mail_opened_elsewhere_links_nothing(test_app: TestApp) {
    let stage = untrusted(&test_app).await;
    let mut browser = test_app.browser();
    let page = come(&stage, &mut browser).await;
    let answer = browser
        .submit(&page, "sign-in", &[("email", &stage.email)])
        .await;
    let waiting = settle(&mut browser, answer).await;
    let mail = test_app.mail(&stage.email).await;
    let mut phone = test_app.browser();
    let there = phone.open(&mail.link()).await;
    assert!(!there.has("form#link"), "{}", there.summary());
    assert_eq!(
        (users(&test_app).await, phone.is_signed_in()),
        ((0, 0, 0), false)
    );
    let done = browser
        .submit(&waiting, "code", &[("code", &mail.code())])
        .await;
    settle(&mut browser, done).await;
    assert!(browser.is_signed_in());
    assert_eq!(
        users(&test_app).await,
        (1, 1, 1),
        "the code in the first browser completes it"
    );
}

async fn lk_04_lc_g_a_second_account_of_one_provider_is_said_aloud(test_app: TestApp) {
    let stage = untrusted(&test_app).await;
    let mut browser = test_app.browser();
    let page = come(&stage, &mut browser).await;
    prove(&mut browser, &page, &stage.email).await;
    stage
        .up
        .person(json!({"sub": "a second account", "email": stage.email, "email_verified": true}));
    let mut other = test_app.browser();
    let page = come(&stage, &mut other).await;
    let asked = prove(&mut other, &page, &stage.email).await;
    assert!(
        asked.has("form#identity") && asked.has(".note"),
        "G: warns: {}",
        asked.summary()
    );
    let done = other
        .submit(&asked, "identity", &[("decision", "yes")])
        .await;
    settle(&mut other, done).await;
    assert_eq!(users(&test_app).await, (1, 1, 2));
}

async fn lk_02_lc_i_without_an_address_the_field_is_empty(test_app: TestApp) {
    for (why, email) in [
        ("none", json!(null)),
        ("not an address", json!("ann at home")),
        ("two", json!("a@b@c.test")),
    ] {
        let stage = Stage::new(&test_app, json!({})).await;
        stage
            .up
            .person(json!({"sub": stage.id, "email_verified": true, "email": email}));
        stage.up.tell(Lie::claims(|claims| {
            if claims["email"].is_null() {
                claims.as_object_mut().unwrap().remove("email");
            }
        }));
        let mut browser = test_app.browser();
        let page = come(&stage, &mut browser).await;
        let shown = asks_for_address(&page);
        assert!(!shown.contains('@') || why == "two", "{why}: {shown}");
        assert!(!browser.is_signed_in(), "{why}");
    }
    assert_eq!(users(&test_app).await, (0, 0, 0));
}

async fn r_42_lk_06_lk_browser(test_app: TestApp) {
    let stage = untrusted(&test_app).await;
    let mut browser = test_app.browser();
    let back = through(&stage, &mut browser).await;
    let answer = browser.open(&back.path()).await;
    let path = answer.location().unwrap()[url::Position::BeforePath..].to_owned();
    let page = browser.open(&path).await;
    asks_for_address(&page);

    let mut thief = test_app.browser();
    thief.open("/login").await;
    let before = Kept::of(&test_app).await;
    let stolen = thief.open(&path).await;
    stage
        .check(&before, &stolen, ("another browser", 400, "lk_browser"))
        .await;

    prove(&mut browser, &page, &stage.email).await;
    assert_eq!(users(&test_app).await, (1, 1, 1));
    let before = Kept::of(&test_app).await;
    let used = browser.open(&path).await;
    stage
        .check(&before, &used, ("used", 400, "lk_browser"))
        .await;

    let stage = untrusted(&test_app).await;
    let mut browser = test_app.browser();
    let back = through(&stage, &mut browser).await;
    let answer = browser.open(&back.path()).await;
    test_app.pass(901);
    let before = Kept::of(&test_app).await;
    let late = browser.follow(&answer).await;
    stage
        .check(&before, &late, ("901 s old", 400, "lk_browser"))
        .await;
}

/// ST-17: what an anonymous caller brings leaves no row in the audit log.
async fn lk_06_links_that_nobody_has_do_not_fill_the_trail(test_app: TestApp) {
    test_app.configure(|config| {
        config.limits.authorize = vec![entree::config::Budget {
            count: 2,
            seconds: 600,
        }]
    });
    let mut nobody = test_app.browser();
    nobody.open("/login").await;
    let before = Kept::of(&test_app).await;
    for path in ["/login?link", "/login/identity?link"].repeat(2) {
        let answer = nobody.open(&format!("{path}={}", "A".repeat(43))).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.summary());
    }
    assert_eq!(Kept::of(&test_app).await.since(&before), ["lk_browser"; 2]);
}

async fn r_43_lk_02_a_victims_address_at_trust_none_gives_no_session(test_app: TestApp) {
    let victim = "victim@example.test";
    signed_in(&test_app, victim).await;
    let sessions = count(&test_app, "sessions").await;
    for trust in ["none", "asserted", "authoritative"] {
        let stage = Stage::new(
            &test_app,
            json!({"trust": trust, "mail_domains": ["example.test"]}),
        )
        .await;
        stage.up.person(
            json!({"sub": "mallory", "email": victim, "email_verified": true, "name": "Victim"}),
        );
        let mut attacker = test_app.browser();
        let page = come(&stage, &mut attacker).await;
        asks_for_address(&page);
        let answer = attacker
            .submit(&page, "sign-in", &[("email", victim)])
            .await;
        settle(&mut attacker, answer).await;
        assert!(
            !attacker.is_signed_in() && attacker.account().await.is_none(),
            "{trust}"
        );
        assert_eq!(
            count(&test_app, "sessions").await,
            sessions,
            "{trust}: no session before the mail"
        );
        assert_eq!(users(&test_app).await, (1, 1, 0), "{trust}");
        // The victim opens the mail where the victim is: nothing of the attacker's goes on by it.
        test_app.pass(120);
        let mut owner = test_app.browser();
        let there = owner.open(&test_app.mail(victim).await.link()).await;
        assert!(!there.has("form#link"), "{trust}");
        assert_eq!(
            users(&test_app).await,
            (1, 1, 0),
            "{trust}: the attacker's account is connected"
        );
    }
    assert_eq!(reasons(&test_app).await, Vec::<String>::new());
}

/// LK-03, E2: an account that nobody has proven yet, then somebody proves its address.
async fn lk_03_a_first_proof_ends_what_was_prepared(test_app: TestApp) {
    let stage = Stage::new(&test_app, json!({})).await;
    let address = entree::user::Address::parse(&stage.email, false).unwrap();
    let tx = test_app.tx().await;
    entree::user::import_unverified(&tx, &address)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let mut browser = test_app.browser();
    let page = come(&stage, &mut browser).await;
    // Held by an unproven claim: still nobody is joined to it without a mail.
    asks_for_address(&page);
    prove(&mut browser, &page, &stage.email).await;
    assert!(browser.is_signed_in());
    assert_eq!(users(&test_app).await.1, 1, "one address, of one user");
}

async fn cb_10_bs_04_a_sign_in_leads_on_by_a_page_or_to_the_account_and_old_cookies_are_dead(
    test_app: TestApp,
) {
    let stage = Stage::new(&test_app, json!({})).await;
    let (mut browser, _, back) = stage.gone().await;
    let mut stolen = browser.clone();
    let answer = browser.open(&back.path()).await;
    let to = answer
        .refresh()
        .unwrap_or_else(|| panic!("a page that leads on: {}", answer.summary()));
    assert_eq!(
        (answer.status.as_u16(), answer.location()),
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
    assert!(at_client(&done), "{}", done.summary());
    assert!(
        stolen.account().await.is_none(),
        "the cookie of before is worth nothing"
    );
    // Nobody's request waits.
    let mut other = test_app.browser();
    let back = through(&stage, &mut other).await;
    let answer = other.open(&back.path()).await;
    let to = answer.location().expect("a redirect");
    assert_eq!(
        (answer.status.as_u16(), to.path(), to.query()),
        (303, "/account", None)
    );
}

/// Sets out from the account page to connect the provider; gives what is brought back.
pub(crate) async fn connecting(stage: &Stage<'_>, browser: &mut Browser<'_>) -> Back {
    let account = browser.open("/account").await;
    let page = browser
        .submit(&account, &format!("connect-{}", stage.id), &[])
        .await;
    stage.up.visit(&page).await
}

async fn sign_out(browser: &mut Browser<'_>) {
    let account = browser.open("/account").await;
    browser.submit(&account, "sign-out", &[]).await;
    assert!(!browser.is_signed_in());
}

async fn r_17_cb_08_up_session_changed(test_app: TestApp) {
    for other in [false, true] {
        let stage = Stage::new(&test_app, json!({})).await;
        let mut browser = signed_in(&test_app, &stage.email).await;
        let back = connecting(&stage, &mut browser).await;
        sign_out(&mut browser).await;
        if other {
            browser.sign_in("other@example.test").await;
        }
        let before = Kept::of(&test_app).await;
        let answer = browser.open(&back.path()).await;
        stage
            .check(
                &before,
                &answer,
                ("signed out, or in anew", 409, "up_session_changed"),
            )
            .await;
        assert_eq!(
            answer.attribute("a#next", "href").as_deref(),
            Some("/account")
        );
        assert_eq!(stage.up.count(Place::Token), 0, "the code is left alone");
        assert_eq!(identities(&test_app).await.len(), 0);
    }
}

async fn r_17_cb_08_a_yes_in_another_session_connects_nothing(test_app: TestApp) {
    for other in [false, true] {
        let stage = Stage::new(&test_app, json!({})).await;
        let mut browser = signed_in(&test_app, &stage.email).await;
        let back = connecting(&stage, &mut browser).await;
        let answer = browser.open(&back.path()).await;
        let path = answer.location().unwrap()[url::Position::BeforePath..].to_owned();
        let mut page = browser.open(&path).await;
        sign_out(&mut browser).await;
        if other {
            browser.sign_in("other@example.test").await;
            page = browser.open(&path).await;
        }
        let before = Kept::of(&test_app).await;
        let answer = browser
            .submit(&page, "identity", &[("decision", "yes")])
            .await;
        stage
            .check(
                &before,
                &answer,
                ("the yes of another session", 409, "up_session_changed"),
            )
            .await;
        assert_eq!(identities(&test_app).await.len(), 0);
    }
}

async fn ue_01_who_declines_while_connecting_is_still_signed_in(test_app: TestApp) {
    for (error, code) in [
        ("access_denied", "up_denied"),
        ("temporarily_unavailable", "up_provider_error"),
    ] {
        let stage = Stage::new(&test_app, json!({})).await;
        stage.up.tell(Lie::error(error));
        let mut browser = signed_in(&test_app, &stage.email).await;
        let back = connecting(&stage, &mut browser).await;
        let before = Kept::of(&test_app).await;
        let answer = browser.open(&back.path()).await;
        stage.check(&before, &answer, (error, 200, code)).await;
        assert!(
            !answer.text().contains("email") && answer.text().contains("still signed in"),
            "{}",
            answer.text()
        );
        assert_eq!(
            answer.attribute("a#next", "href").as_deref(),
            Some("/account")
        );
        assert!(browser.account().await.is_some(), "signed in as before");
    }
}

/// Apple: a secret that is signed for each request, an answer by form_post, and the name once, beside it.
async fn pr_01_apple_posts_its_answer_with_a_name_and_its_own_word_for_no(test_app: TestApp) {
    let apple = |up: &Upstream| {
        json!({
            "kind": "apple", "trust": null, "mail_domains": null, "client_secret": null,
            "team_id": "TEAM", "key_id": "KEY", "private_key": up.wants_signed_secret(),
        })
    };
    let stage = Stage::with(&test_app, apple).await;
    let user =
        r#"{"name":{"firstName":"Marie","lastName":"Taglioni"},"email":"evil@example.test"}"#;
    let mut browser = test_app.browser();
    let back = through(&stage, &mut browser).await.with("user", user);
    let answer = post_back(&mut browser, &back).await;
    let answer = browser.follow(&answer).await;
    let page = settle(&mut browser, answer).await;
    assert_eq!(
        asks_for_address(&page),
        stage.email,
        "of the signed token, not of what stands beside it"
    );
    prove(&mut browser, &page, &stage.email).await;
    let row = identities(&test_app).await.remove(0);
    assert_eq!(
        (row.subject.as_str(), row.name.as_deref()),
        (stage.id.as_str(), Some("Marie Taglioni"))
    );
    // The second time Apple tells no name, and the account will do.
    let mut other = test_app.browser();
    let back = through(&stage, &mut other).await;
    let answer = post_back(&mut other, &back).await;
    other.follow(&answer).await;
    assert!(other.is_signed_in());
    assert_eq!(stage.up.complaints(), Vec::<String>::new());

    let stage = Stage::with(&test_app, apple).await;
    let mut browser = test_app.browser();
    let back = through(&stage, &mut browser)
        .await
        .without("code")
        .with("error", "user_cancelled_authorize");
    let answer = post_back(&mut browser, &back).await;
    let before = Kept::of(&test_app).await;
    let answer = browser.follow(&answer).await;
    stage
        .check(&before, &answer, ("cancelled there", 200, "up_denied"))
        .await;
    assert!(
        answer.has("form#sign-in") && answer.has("#notice"),
        "{}",
        answer.summary()
    );
    assert_eq!(stage.up.count(Place::Token), 0);
}

async fn lk_04_an_account_that_is_ones_own_already_is_called_so(test_app: TestApp) {
    let stage = Stage::new(&test_app, json!({})).await;
    stage.signs_in("the account is connected").await;
    let mut browser = signed_in(&test_app, &stage.email).await;
    let back = connecting(&stage, &mut browser).await;
    let answer = browser.open(&back.path()).await;
    assert_eq!(answer.status, 200, "{}", answer.summary());
    assert!(
        answer
            .text()
            .contains("already sign in here with this account"),
        "{}",
        answer.text()
    );
    assert_eq!(identities(&test_app).await.len(), 1);
}
