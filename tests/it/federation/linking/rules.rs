//! The rules of linking (LK) without a provider: they begin after a provider has identified the
//! user. The complete flow, with an honest provider and with one that has a fault, is in `federation*`.
#![allow(
    clippy::too_many_lines,
    reason = "the steps of one user read best in one piece"
)]

use entity::{session::Entity as Sessions, user_email, user_identity};
use entree::{
    config::{Provider, SignUp},
    federation::{
        error::RefusalCode,
        linking::settle::{LinkContext, LinkOutcome, UpstreamLogin, settle},
    },
    login::{
        authenticate::{
            BrowserState, EmailEvidence, Evidence, IdentityEvidence, SignInAttempt, SignInError,
            SignInRefusal,
        },
        device,
        finish::finish_sign_in,
        pending_link,
        pending_link::LinkRequirement,
        pending_link::PendingLink,
    },
    secret::Plain,
    session::{self, AuthMethod},
    user::{self, Address, UpstreamAccount, identity},
    web::caller::Caller,
};
use poem::{Request, http::StatusCode};
use sea_orm::{EntityTrait as _, PaginatorTrait as _};
use serde_json::json;
use uuid::Uuid;

use crate::{
    federation::refusal_reasons,
    oauth::{register, signed_in},
    test_app::{Browser, TestApp},
};

on_both!(
    lk_07_disconnecting_ends_sessions_leaves_a_tombstone_and_notifies_the_owner,
    lk_07_the_last_sign_in_method_stays,
    r_41_lk_07_the_last_sign_in_method_stays_and_the_page_says_why,
    r_44_lk_04_lk_07_adding_or_removing_a_sign_in_method_needs_a_fresh_session,
    lk_04_a_session_from_a_provider_changes_no_sign_in_method_and_one_by_email_does,
    lk_07_a_link_that_was_disconnected_meanwhile_signs_no_user_in,
    e_3_lk_04_connecting_takes_consent_in_that_session,
    r_41_lk_01_an_account_at_a_provider_belongs_to_one_user,
    lk_02_a_new_user_needs_an_authoritative_provider_and_open_sign_up,
    di_5_a_first_sign_in_stores_a_locale_and_the_name_that_a_provider_sends,
    lk_09_two_simultaneous_first_sign_ins_create_one_user,
    lk_06_a_link_waits_for_its_own_browser_for_fifteen_minutes,
    oa_17_a_sign_in_with_a_provider_makes_the_browser_known_for_an_own_address,
    up_01_without_a_provider_no_page_mentions_one,
    up_08_a_request_for_a_fresh_sign_in_shows_no_provider,
);

/// Returns the settings of a provider that does not exist and is authoritative for `example.test`.
pub(crate) fn provider(id: &str) -> Provider {
    let settings = json!({
        "id": id, "name": "Example", "issuer": "https://up.invalid", "client_id": "c",
        "trust": "authoritative", "mail_domains": ["example.test"],
    });
    serde_json::from_value(settings).unwrap()
}

/// Returns an account at that provider.
pub(crate) fn account_at_provider(subject: &str, email: Option<&str>) -> UpstreamAccount {
    UpstreamAccount {
        provider: "office".to_owned(),
        issuer: "https://up.invalid".to_owned(),
        subject: subject.to_owned(),
        email: email.map(str::to_owned),
        name: Some("Ann".to_owned()),
    }
}

fn login(subject: &str, email: &str, authoritative: bool) -> UpstreamLogin {
    UpstreamLogin {
        account: account_at_provider(subject, Some(email)),
        authoritative,
        amr: "pwd".to_owned(),
    }
}

async fn user_of(test_app: &TestApp, email: &str) -> user::User {
    user::find_by_address(
        test_app.app.db.read(),
        &Address::parse(email, false).unwrap(),
    )
    .await
    .unwrap()
    .unwrap()
}

/// Connects an account to a user and returns the id of the link.
pub(crate) async fn link_account_to(test_app: &TestApp, email: &str, subject: &str) -> Uuid {
    let user = user_of(test_app, email).await;
    let tx = test_app.tx().await;
    let added = identity::link(&tx, user.id, &account_at_provider(subject, Some(email)))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    match added {
        identity::LinkResult::Linked(link) => link.id,
        other => panic!("{other:?}"),
    }
}

/// Makes the session of this browser look as if this account had signed it in a moment ago.
pub(crate) async fn step_up_by_provider(test_app: &TestApp, browser: &mut Browser<'_>, link: Uuid) {
    let cookie = Plain::parse(&browser.cookies["__Host-Http-sid"])
        .unwrap()
        .hash();
    let config = test_app.app.config.get();
    let found = session::find_by_cookie(
        test_app.app.db.read(),
        &cookie,
        test_app.app.clock().now(),
        &config.session,
    )
    .await;
    let tx = test_app.tx().await;
    let method = AuthMethod::Upstream {
        identity_id: link,
        amr: "",
    };
    let sid = session::step_up(&tx, found.unwrap().unwrap().session.id, method)
        .await
        .unwrap()
        .unwrap();
    tx.commit().await.unwrap();
    browser
        .cookies
        .insert("__Host-Http-sid".to_owned(), sid.to_text());
}

/// Stores a link that waits for the consent of the user of this browser. Returns the path of the
/// page.
pub(crate) async fn confirm_path(
    test_app: &TestApp,
    browser: &Browser<'_>,
    subject: &str,
) -> String {
    let cookie = |name: &str| Plain::parse(&browser.cookies[name]).unwrap().hash();
    let config = test_app.app.config.get();
    let now = test_app.app.clock().now();
    let current = session::find_by_cookie(
        test_app.app.db.read(),
        &cookie("__Host-Http-sid"),
        now,
        &config.session,
    )
    .await;
    let link = PendingLink {
        account: account_at_provider(subject, Some("there@example.test")),
        authoritative: false,
        amr: String::new(),
        provider_name: "Example".to_owned(),
        requirement: LinkRequirement::LinkConsent,
        session: Some(current.unwrap().unwrap().session.id),
        txn: None,
        client_id: None,
        waiting_since: now,
        returned_at: None,
        origin: None,
    };
    let handle = pending_link::store(&test_app.app.tickets, cookie("__Host-Http-pre"), &link)
        .await
        .unwrap();
    format!("/login/identity?link={}", handle.to_text())
}

/// The provider says which address the account has; only one that the user verified here counts.
async fn oa_17_a_sign_in_with_a_provider_makes_the_browser_known_for_an_own_address(
    test_app: TestApp,
) {
    test_app.configure(|config| config.providers = vec![provider("office")]);
    let email = "own@example.com";
    test_app.browser().sign_in(email).await;
    link_account_to(&test_app, email, "own").await;
    let caller = Caller::resolve(&Request::builder().finish(), &[]);
    for (reported, known) in [("other@example.com", false), (email, true)] {
        let device = Plain::generate();
        let at = LinkContext {
            browser_state: BrowserState {
                browser: Some(Plain::generate().hash()),
                device: Some(&device),
                current: None,
            },
            ..LinkContext::for_app("en", &caller)
        };
        let outcome = settle(&test_app.app, &login("own", reported, false), at).await;
        let LinkOutcome::SignedIn(signed_in) = outcome.unwrap() else {
            panic!("the account is linked");
        };
        let now = test_app.app.clock().now();
        for address in [email, reported] {
            let key = Address::parse(address, false).unwrap();
            let key = key.key(&test_app.app.macs.address);
            let hash = signed_in.device.hash();
            let found = device::is_known(test_app.app.db.read(), Some(&hash), &key, now).await;
            assert_eq!(found.unwrap(), known, "{reported}: {address}");
        }
    }
}

/// Settles an upstream login that has no browser state.
async fn settle_without_browser(test_app: &TestApp, login: &UpstreamLogin) -> LinkOutcome {
    let caller = Caller::resolve(&Request::builder().finish(), &[]);
    let at = LinkContext {
        browser_state: BrowserState::default(),
        connecting: false,
        switch: false,
        remembered: false,
        locale: "en",
        caller: &caller,
    };
    settle(&test_app.app, login, at).await.unwrap()
}

fn waits_for_email(outcome: &LinkOutcome) -> bool {
    matches!(outcome, LinkOutcome::Waits(LinkRequirement::VerifiedEmail))
}

fn refusal_code(outcome: &LinkOutcome) -> Option<RefusalCode> {
    match outcome {
        LinkOutcome::Refused(refused) => Some(refused.code),
        _ => None,
    }
}

async fn lk_07_disconnecting_ends_sessions_leaves_a_tombstone_and_notifies_the_owner(
    test_app: TestApp,
) {
    let email = "ann@example.test";
    test_app.configure(|config| config.providers.push(provider("office")));
    let mut browser = signed_in(&test_app, email).await;
    let link = link_account_to(&test_app, email, "ann").await;
    let LinkOutcome::SignedIn(there) =
        settle_without_browser(&test_app, &login("ann", email, false)).await
    else {
        panic!("LC-A")
    };
    assert_eq!(
        (there.session.acr.as_str(), there.session.amr.as_str()),
        ("urn:entree:acr:upstream", "pwd")
    );
    let account = browser.open("/account").await;
    assert!(
        account.text().contains("Example ann@example.test"),
        "{}",
        account.text()
    );
    assert!(
        account
            .text()
            .contains("Connect another account at Example"),
        "{}",
        account.text()
    );
    let form = account
        .forms("form.disconnect")
        .into_iter()
        .next()
        .expect("a form");
    let request = browser.filled(&account, &form, &[]);
    let done = browser.send(request).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.summary());
    let account = browser
        .account()
        .await
        .expect("this session began by email and stays");
    assert!(account.contains("Connect Example"), "{account}");
    let ended = Sessions::find_by_id(there.session.id)
        .one(test_app.app.db.read())
        .await
        .unwrap()
        .unwrap();
    assert!(
        ended.revoked_at.is_some(),
        "the session that the account began has ended"
    );
    let row = user_identity::Entity::find_by_id(link)
        .one(test_app.app.db.read())
        .await
        .unwrap()
        .unwrap();
    assert!(row.unlinked_at.is_some(), "the row stays");
    let mail = test_app.mail(email).await;
    assert!(
        mail.subject.contains("no longer connected"),
        "{}",
        mail.subject
    );
    // Later logins follow LC-C.
    assert!(waits_for_email(
        &settle_without_browser(&test_app, &login("ann", email, true)).await
    ));
}

async fn lk_07_the_last_sign_in_method_stays(test_app: TestApp) {
    let email = "last@example.test";
    signed_in(&test_app, email).await;
    let (first, second) = (
        link_account_to(&test_app, email, "one").await,
        link_account_to(&test_app, email, "two").await,
    );
    let user = user_of(&test_app, email).await;
    let remove = async |id: Uuid, by_mail: bool| {
        let tx = test_app.tx().await;
        let removed = identity::unlink(&tx, user.id, id, by_mail).await.unwrap();
        tx.commit().await.unwrap();
        removed
    };
    assert!(
        matches!(
            remove(first, false).await,
            identity::UnlinkResult::Unlinked(_)
        ),
        "another is left"
    );
    assert_eq!(
        remove(first, false).await,
        identity::UnlinkResult::NotLinked,
        "once"
    );
    assert_eq!(
        remove(second, false).await,
        identity::UnlinkResult::LastMethod
    );
    assert!(
        matches!(
            remove(second, true).await,
            identity::UnlinkResult::Unlinked(_)
        ),
        "email is a sign-in method"
    );
    // Two simultaneous requests remove one of two, where email is no sign-in method.
    let (one, two) = (
        link_account_to(&test_app, email, "three").await,
        link_account_to(&test_app, email, "four").await,
    );
    let (a, b) = tokio::join!(remove(one, false), remove(two, false));
    let last = [&a, &b]
        .into_iter()
        .filter(|removed| **removed == identity::UnlinkResult::LastMethod)
        .count();
    assert_eq!(last, 1, "{a:?} {b:?}");
    assert!(
        user::has_verified_address(test_app.app.db.read(), user.id)
            .await
            .unwrap()
    );
}

/// The user has no verified address.
async fn r_41_lk_07_the_last_sign_in_method_stays_and_the_page_says_why(test_app: TestApp) {
    let email = "only@example.test";
    test_app.configure(|config| config.providers.push(provider("office")));
    let mut browser = signed_in(&test_app, email).await;
    let link = link_account_to(&test_app, email, "only").await;
    let tx = test_app.tx().await;
    user_email::Entity::delete_many()
        .exec(tx.conn())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let account = browser.open("/account").await;
    let form = account
        .forms("form.disconnect")
        .into_iter()
        .next()
        .expect("a form");
    let request = browser.filled(&account, &form, &[]);
    let stays = browser.send(request).await;
    assert_eq!(stays.status, StatusCode::CONFLICT, "{}", stays.summary());
    assert!(
        stays.text().contains("another way to sign in first"),
        "{}",
        stays.text()
    );
    assert_eq!(refusal_reasons(&test_app).await, ["lk_last_method"]);
    let row = user_identity::Entity::find_by_id(link)
        .one(test_app.app.db.read())
        .await
        .unwrap()
        .unwrap();
    assert!(row.unlinked_at.is_none(), "no change");
}

async fn r_44_lk_04_lk_07_adding_or_removing_a_sign_in_method_needs_a_fresh_session(
    test_app: TestApp,
) {
    let email = "stale@example.test";
    test_app.configure(|config| config.providers.push(provider("office")));
    let mut browser = signed_in(&test_app, email).await;
    link_account_to(&test_app, email, "stale").await;
    test_app.pass(590);
    let path = confirm_path(&test_app, &browser, "new").await;
    test_app.pass(11);
    let question = browser.open(&path).await;
    let response = browser
        .submit(&question, "identity", &[("decision", "yes")])
        .await;
    assert_eq!(
        response.status,
        StatusCode::FORBIDDEN,
        "lk_stale_auth: {}",
        response.summary()
    );
    let account = browser.open("/account").await;
    let form = account
        .forms("form.disconnect")
        .into_iter()
        .next()
        .expect("a form");
    let request = browser.filled(&account, &form, &[]);
    assert_eq!(browser.send(request).await.status, StatusCode::FORBIDDEN);
    let start = browser.submit(&account, "connect-office", &[]).await;
    assert_eq!(start.status, StatusCode::FORBIDDEN);
    assert_eq!(refusal_reasons(&test_app).await, ["lk_stale_auth"; 3]);
    let all = user_identity::Entity::find()
        .all(test_app.app.db.read())
        .await
        .unwrap();
    assert!(all.len() == 1 && all[0].unlinked_at.is_none(), "no change");
}

async fn lk_04_a_session_from_a_provider_changes_no_sign_in_method_and_one_by_email_does(
    test_app: TestApp,
) {
    let email = "silent@example.test";
    test_app.configure(|config| config.providers.push(provider("office")));
    let mut browser = signed_in(&test_app, email).await;
    let link = link_account_to(&test_app, email, "silent").await;
    let user = user_of(&test_app, email).await;
    step_up_by_provider(&test_app, &mut browser, link).await;
    let path = confirm_path(&test_app, &browser, "thief").await;
    let question = browser.open(&path).await;
    let response = browser
        .submit(&question, "identity", &[("decision", "yes")])
        .await;
    assert_eq!(
        response.status,
        StatusCode::FORBIDDEN,
        "{}",
        response.summary()
    );
    let account = browser.open("/account").await;
    let start = browser.submit(&account, "connect-office", &[]).await;
    assert_eq!(start.status, StatusCode::FORBIDDEN, "{}", start.summary());
    let form = account
        .forms("form.disconnect")
        .into_iter()
        .next()
        .expect("a form");
    let request = browser.filled(&account, &form, &[]);
    let refused = browser.send(request).await;
    assert_eq!(
        refused.status,
        StatusCode::FORBIDDEN,
        "{}",
        refused.summary()
    );
    let all = user_identity::Entity::find()
        .all(test_app.app.db.read())
        .await
        .unwrap();
    assert!(all.len() == 1 && all[0].unlinked_at.is_none(), "no change");
    // The page leads to the sign-in by email and back.
    let login = browser
        .open(
            &refused
                .attribute("a#next", "href")
                .expect("a link that continues"),
        )
        .await;
    assert!(
        !login.has("#providers") && login.has("#notice"),
        "{}",
        login.summary()
    );
    assert_eq!(
        login
            .attribute("form#sign-in input[name=email]", "value")
            .as_deref(),
        Some(email)
    );
    let sent = browser.submit(&login, "sign-in", &[]).await;
    browser.follow(&sent).await;
    let mail = test_app.mail(email).await.link();
    browser.click(&mail).await;
    let account = browser.open("/account").await;
    let form = account
        .forms("form.disconnect")
        .into_iter()
        .next()
        .expect("a form");
    let request = browser.filled(&account, &form, &[]);
    browser.send(request).await;
    let row = user_identity::Entity::find_by_id(link)
        .one(test_app.app.db.read())
        .await
        .unwrap()
        .unwrap();
    assert!(
        row.unlinked_at.is_some() && row.user_id == user.id,
        "disconnected after the sign-in by email"
    );
}

async fn lk_07_a_link_that_was_disconnected_meanwhile_signs_no_user_in(test_app: TestApp) {
    let email = "race@example.test";
    signed_in(&test_app, email).await;
    let id = link_account_to(&test_app, email, "race").await;
    let user = user_of(&test_app, email).await;
    let account = account_at_provider("race", Some(email));
    let link = identity::find_linked(test_app.app.db.read(), &account.issuer, &account.subject)
        .await
        .unwrap()
        .unwrap();
    let tx = test_app.tx().await;
    assert!(matches!(
        identity::unlink(&tx, user.id, id, true).await.unwrap(),
        identity::UnlinkResult::Unlinked(_)
    ));
    tx.commit().await.unwrap();
    let before = Sessions::find()
        .count(test_app.app.db.read())
        .await
        .unwrap();
    // The sign-in has read the link before.
    let caller = Caller::resolve(&Request::builder().finish(), &[]);
    let attempt = SignInAttempt {
        evidence: Evidence::Identity(IdentityEvidence {
            identity: &link,
            account: &account,
            amr: "",
            address: None,
        }),
        remembered: false,
        locale: "en",
        browser_state: BrowserState::default(),
        caller: &caller,
    };
    let tx = test_app.tx().await;
    let finished = finish_sign_in(&tx, &attempt, &test_app.app.config.get()).await;
    tx.commit().await.unwrap();
    assert!(
        matches!(
            finished,
            Err(SignInError::Refused(SignInRefusal::IdentityUnlinked))
        ),
        "{finished:?}"
    );
    assert_eq!(
        Sessions::find()
            .count(test_app.app.db.read())
            .await
            .unwrap(),
        before,
        "no session"
    );
}

/// LC-B: the page asks, and a POST links.
async fn e_3_lk_04_connecting_takes_consent_in_that_session(test_app: TestApp) {
    test_app.configure(|config| config.providers.push(provider("office")));
    let email = "yes@example.test";
    let mut browser = signed_in(&test_app, email).await;
    let path = confirm_path(&test_app, &browser, "yes").await;
    let question = browser.open(&path).await;
    assert!(
        question.text().contains("there@example.test") && question.text().contains(email),
        "{}",
        question.text()
    );
    assert_eq!(
        user_identity::Entity::find()
            .count(test_app.app.db.read())
            .await
            .unwrap(),
        0,
        "not before the consent"
    );
    let mut thief = signed_in(&test_app, "thief@example.test").await;
    assert_eq!(
        thief.open(&path).await.status,
        StatusCode::BAD_REQUEST,
        "lk_browser"
    );
    let old = browser.cookies.clone();
    let done = browser
        .submit(&question, "identity", &[("decision", "yes")])
        .await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.summary());
    assert!(
        browser
            .account()
            .await
            .is_some_and(|page| page.contains("there@example.test"))
    );
    let mut stolen = Browser {
        cookies: old,
        ..browser.clone()
    };
    assert!(
        stolen.account().await.is_none(),
        "BS-04: the old secret is invalid at once"
    );
    assert!(test_app.mail(email).await.subject.contains("connected"));
    // A second click gets the same result for a minute (ST-04), and connects nothing more.
    for expected in [StatusCode::SEE_OTHER, StatusCode::BAD_REQUEST] {
        let again = browser
            .submit(&question, "identity", &[("decision", "yes")])
            .await;
        assert_eq!(again.status, expected, "LK-06: once");
        test_app.pass(61);
    }
    // The user declines.
    let path = confirm_path(&test_app, &browser, "no").await;
    let question = browser.open(&path).await;
    browser
        .submit(&question, "identity", &[("decision", "no")])
        .await;
    assert_eq!(
        user_identity::Entity::find()
            .count(test_app.app.db.read())
            .await
            .unwrap(),
        1
    );
}

async fn r_41_lk_01_an_account_at_a_provider_belongs_to_one_user(test_app: TestApp) {
    test_app.configure(|config| config.providers.push(provider("office")));
    signed_in(&test_app, "first@example.test").await;
    let mut browser = signed_in(&test_app, "second@example.test").await;
    link_account_to(&test_app, "first@example.test", "shared").await;
    let path = confirm_path(&test_app, &browser, "shared").await;
    let question = browser.open(&path).await;
    let taken = browser
        .submit(&question, "identity", &[("decision", "yes")])
        .await;
    assert_eq!(
        taken.status,
        StatusCode::CONFLICT,
        "lk_taken: {}",
        taken.summary()
    );
    assert!(
        !taken.body.contains("first@example.test"),
        "the page does not say whose it is"
    );
    assert_eq!(refusal_reasons(&test_app).await, ["lk_taken"]);
    let all = user_identity::Entity::find()
        .all(test_app.app.db.read())
        .await
        .unwrap();
    assert_eq!(all.len(), 1);
}

async fn lk_02_a_new_user_needs_an_authoritative_provider_and_open_sign_up(test_app: TestApp) {
    test_app.configure(|config| config.providers.push(provider("office")));
    let counts = async || {
        let db = test_app.app.db.read();
        let users = entity::user::Entity::find().count(db).await.unwrap();
        let emails = user_email::Entity::find().count(db).await.unwrap();
        (
            users,
            emails,
            user_identity::Entity::find().count(db).await.unwrap(),
        )
    };
    assert!(waits_for_email(
        &settle_without_browser(&test_app, &login("a", "a@example.test", false)).await
    ));
    assert!(waits_for_email(
        &settle_without_browser(&test_app, &login("a", "not an address", true)).await
    ));
    assert_eq!(counts().await, (0, 0, 0));
    test_app.configure(|config| config.magic_link.sign_up = SignUp::Closed);
    assert_eq!(
        refusal_code(&settle_without_browser(&test_app, &login("a", "a@example.test", true)).await),
        Some(RefusalCode::SignUpClosed)
    );
    assert_eq!(counts().await, (0, 0, 0), "sign-up is closed");
    test_app.configure(|config| config.magic_link.sign_up = SignUp::Open);
    assert!(matches!(
        settle_without_browser(&test_app, &login("a", "a@example.test", true)).await,
        LinkOutcome::SignedIn(_)
    ));
    assert_eq!(counts().await, (1, 1, 1));
    assert_eq!(test_app.mails("a@example.test").len(), 0, "no email");
    // LC-H: one generic refusal.
    let user = user_of(&test_app, "a@example.test").await;
    let tx = test_app.tx().await;
    user::set_state(&tx, user.id, user::UserState::Disabled)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(
        refusal_code(&settle_without_browser(&test_app, &login("a", "a@example.test", true)).await),
        Some(RefusalCode::UserDisabled)
    );
}

async fn di_5_a_first_sign_in_stores_a_locale_and_the_name_that_a_provider_sends(
    test_app: TestApp,
) {
    test_app.configure(|config| config.providers.push(provider("office")));
    let known = async |email: &str| {
        let user = user_of(&test_app, email).await;
        (
            user.locale.unwrap_or_default(),
            user.name.unwrap_or_default(),
        )
    };
    let mut french = Browser {
        headers: vec![("accept-language", "fr-CA,en;q=0.5".to_owned())],
        ..test_app.browser()
    };
    french.sign_in("mail@example.test").await;
    assert_eq!(
        known("mail@example.test").await,
        ("fr".to_owned(), String::new())
    );
    french.headers.clear();
    test_app.pass(3600);
    french.sign_in("mail@example.test").await;
    assert_eq!(
        known("mail@example.test").await.0,
        "fr",
        "a later sign-in changes nothing"
    );
    settle_without_browser(&test_app, &login("named", "named@example.test", true)).await;
    assert_eq!(
        known("named@example.test").await,
        ("en".to_owned(), "Ann".to_owned())
    );
    let mut blank = login("blank", "blank@example.test", true);
    blank.account.name = Some(" ".to_owned());
    settle_without_browser(&test_app, &blank).await;
    assert_eq!(known("blank@example.test").await.1, "");
    // LC-D: verified by email first. An account that is connected later gives no name.
    let user = verify_by_email(
        &test_app,
        "later@example.test",
        Some(&account_at_provider("later", None)),
    )
    .await;
    assert_eq!(user.name.as_deref(), Some("Ann"));
    link_account_to(&test_app, "mail@example.test", "too-late").await;
    assert_eq!(known("mail@example.test").await.1, "");
}

/// Signs in by email with an account that waits.
async fn verify_by_email(
    test_app: &TestApp,
    email: &str,
    link: Option<&UpstreamAccount>,
) -> user::User {
    let caller = Caller::resolve(&Request::builder().finish(), &[]);
    let address = Address::parse(email, false).unwrap();
    let attempt = SignInAttempt {
        evidence: Evidence::Email(EmailEvidence {
            address: &address,
            address_key: &address.key(&test_app.app.macs.address),
            pending_account: link,
        }),
        remembered: false,
        locale: "en",
        browser_state: BrowserState::default(),
        caller: &caller,
    };
    let tx = test_app.tx().await;
    let done = finish_sign_in(&tx, &attempt, &test_app.app.config.get())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(
        done.user,
        user_of(test_app, email).await,
        "the result is what is stored"
    );
    done.user
}

async fn lk_09_two_simultaneous_first_sign_ins_create_one_user(test_app: TestApp) {
    test_app.configure(|config| config.providers.push(provider("office")));
    for round in 0..20 {
        let email = format!("both{round}@example.test");
        let one = login(&format!("same{round}"), &email, true);
        let (a, b) = tokio::join!(
            settle_without_browser(&test_app, &one),
            settle_without_browser(&test_app, &one)
        );
        let [a, b] = [a, b].map(|outcome| match outcome {
            LinkOutcome::SignedIn(done) => done.user.id,
            other => panic!("round {round}: {other:?}"),
        });
        assert_eq!(a, b, "round {round}");
    }
    assert_eq!(
        entity::user::Entity::find()
            .count(test_app.app.db.read())
            .await
            .unwrap(),
        20
    );
}

async fn lk_06_a_link_waits_for_its_own_browser_for_fifteen_minutes(test_app: TestApp) {
    test_app.configure(|config| config.providers.push(provider("office")));
    let browser = signed_in(&test_app, "waits@example.test").await;
    let path = confirm_path(&test_app, &browser, "waits").await;
    let mut browser = browser;
    test_app.pass(599);
    assert_eq!(browser.open(&path).await.status, StatusCode::OK);
    test_app.pass(302);
    assert_eq!(
        browser.open(&path).await.status,
        StatusCode::BAD_REQUEST,
        "901 s old"
    );
}

async fn up_01_without_a_provider_no_page_mentions_one(test_app: TestApp) {
    let mut browser = signed_in(&test_app, "none@example.test").await;
    for path in ["/login", "/account"] {
        let page = browser.open(path).await;
        assert!(
            !page.has("#providers")
                && !page.has("#identities")
                && !page.has("form[action*=upstream]"),
            "{path}"
        );
    }
    test_app.configure(|config| {
        config.providers.push(Provider {
            order: 2,
            ..provider("second")
        });
        config.providers.push(Provider {
            order: 1,
            ..provider("first")
        });
        config.providers.push(Provider {
            enabled: false,
            ..provider("off")
        });
    });
    let login = browser.open("/login").await;
    let actions: Vec<String> = login
        .forms("#providers form")
        .into_iter()
        .map(|form| form.action.path().to_owned())
        .collect();
    assert_eq!(
        actions,
        ["/login/upstream/first", "/login/upstream/second"],
        "without a restart, in their order"
    );
}

/// ST-12: only a proof by email is fresh.
async fn up_08_a_request_for_a_fresh_sign_in_shows_no_provider(test_app: TestApp) {
    register(&test_app);
    test_app.configure(|config| config.providers.push(provider("office")));
    let mut browser = signed_in(&test_app, "fresh@example.test").await;
    let asked = browser
        .open(&crate::oauth::Attempt::new().with("prompt", "login").path())
        .await;
    let login = browser.follow(&asked).await;
    assert!(
        login.has("form#sign-in") && !login.has("#providers"),
        "{}",
        login.summary()
    );
}
