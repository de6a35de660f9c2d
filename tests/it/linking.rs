//! The rules of linking (LK), without a provider: somebody has come back, and what follows. The whole way with a provider
//! that answers, and with one that lies, is in `federation*`.

use entity::{session::Entity as Sessions, user_email, user_identity};
use entree::{
    config::{Provider, SignUp},
    federation::{
        error::RefusalCode,
        linking::settle::{LinkContext, LinkOutcome, UpstreamLogin, settle},
    },
    login::{
        authenticate::{SignInError, SignInRefusal},
        evidence::{BrowserState, EmailEvidence, Evidence, IdentityEvidence, SignInAttempt},
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
    federation::reasons,
    oauth::{register, signed_in},
    test_app::{Browser, TestApp},
};

on_both!(
    lk_07_disconnecting_ends_its_sessions_leaves_a_tombstone_and_tells_the_owner,
    lk_07_the_last_way_in_stays,
    r_41_lk_07_the_last_way_in_stays_and_its_owner_hears_why,
    r_44_lk_04_what_adds_or_takes_a_way_in_needs_a_fresh_session,
    lk_04_a_providers_word_neither_adds_nor_takes_a_way_in_and_a_mail_does,
    lk_07_a_link_that_is_disconnected_meanwhile_signs_nobody_in,
    e_3_lk_04_connecting_takes_a_yes_in_that_session,
    r_41_lk_01_an_account_there_belongs_to_one_user_here,
    lk_02_a_new_user_needs_the_word_of_whoever_runs_the_mailbox_and_open_doors,
    di_5_a_first_sign_in_leaves_a_locale_and_where_a_provider_tells_it_a_name,
    lk_09_two_first_logins_at_once_make_one_user,
    lk_06_a_link_waits_for_its_own_browser_for_fifteen_minutes,
    up_01_without_a_provider_no_page_speaks_of_one,
    up_08_a_request_for_fresh_proof_shows_no_provider,
);

/// A provider that nobody runs; it is believed about the mailboxes of `example.test`.
pub(crate) fn provider(id: &str) -> Provider {
    let settings = json!({
        "id": id, "name": "Example", "issuer": "https://up.invalid", "client_id": "c",
        "trust": "authoritative", "mail_domains": ["example.test"],
    });
    serde_json::from_value(settings).unwrap()
}

/// An account at it.
pub(crate) fn arrived(subject: &str, email: Option<&str>) -> UpstreamAccount {
    UpstreamAccount {
        provider: "office".to_owned(),
        issuer: "https://up.invalid".to_owned(),
        subject: subject.to_owned(),
        email: email.map(str::to_owned),
        name: Some("Ann".to_owned()),
    }
}

fn came(subject: &str, email: &str, authoritative: bool) -> UpstreamLogin {
    UpstreamLogin {
        account: arrived(subject, Some(email)),
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

/// Connects an account to a user; gives the link's id.
pub(crate) async fn connected(test_app: &TestApp, email: &str, subject: &str) -> Uuid {
    let user = user_of(test_app, email).await;
    let tx = test_app.tx().await;
    let added = identity::link(&tx, user.id, &arrived(subject, Some(email)))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    match added {
        identity::LinkResult::Linked(link) => link.id,
        other => panic!("{other:?}"),
    }
}

/// The session in this browser is as if it had come from this account at the provider a moment ago.
pub(crate) async fn by_provider(test_app: &TestApp, browser: &mut Browser<'_>, link: Uuid) {
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
        identity: link,
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

/// An account that waits for a yes of whoever is signed in in this browser; gives the page's path.
pub(crate) async fn asked(test_app: &TestApp, browser: &Browser<'_>, subject: &str) -> String {
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
        account: arrived(subject, Some("there@example.test")),
        authoritative: false,
        amr: String::new(),
        provider_name: "Example".to_owned(),
        requirement: LinkRequirement::LinkConsent,
        session: Some(current.unwrap().unwrap().session.id),
        txn: None,
        waiting_since: now,
        returned_at: None,
        origin: None,
    };
    let handle = pending_link::store(&test_app.app.tickets, cookie("__Host-Http-pre"), &link)
        .await
        .unwrap();
    format!("/login/identity?link={}", handle.to_text())
}

/// Somebody comes back from the provider, in no browser of ours.
async fn comes(test_app: &TestApp, came: &UpstreamLogin) -> LinkOutcome {
    let caller = Caller::resolve(&Request::builder().finish(), &[]);
    let at = LinkContext {
        browser_state: BrowserState::default(),
        connecting: false,
        switch: false,
        remembered: false,
        locale: "en",
        caller: &caller,
    };
    settle(&test_app.app, came, at).await.unwrap()
}

fn waits_for_proof(settled: &LinkOutcome) -> bool {
    matches!(settled, LinkOutcome::Waits(LinkRequirement::VerifiedEmail))
}

fn refused(settled: &LinkOutcome) -> Option<RefusalCode> {
    match settled {
        LinkOutcome::Refused(refused) => Some(refused.code),
        _ => None,
    }
}

async fn lk_07_disconnecting_ends_its_sessions_leaves_a_tombstone_and_tells_the_owner(
    test_app: TestApp,
) {
    let email = "ann@example.test";
    test_app.configure(|config| config.providers.push(provider("office")));
    let mut browser = signed_in(&test_app, email).await;
    let link = connected(&test_app, email, "ann").await;
    let LinkOutcome::SignedIn(there) = comes(&test_app, &came("ann", email, false)).await else {
        panic!("A")
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
        .expect("this session came by mail and stays");
    assert!(account.contains("Connect Example"), "{account}");
    let ended = Sessions::find_by_id(there.session.id)
        .one(test_app.app.db.read())
        .await
        .unwrap()
        .unwrap();
    assert!(
        ended.revoked_at.is_some(),
        "the session that came from it has ended"
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
    // Later logins follow C.
    assert!(waits_for_proof(
        &comes(&test_app, &came("ann", email, true)).await
    ));
}

async fn lk_07_the_last_way_in_stays(test_app: TestApp) {
    let email = "last@example.test";
    signed_in(&test_app, email).await;
    let (first, second) = (
        connected(&test_app, email, "one").await,
        connected(&test_app, email, "two").await,
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
        "mail is a way in"
    );
    // Two at once take one of two, where mail is none.
    let (one, two) = (
        connected(&test_app, email, "three").await,
        connected(&test_app, email, "four").await,
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

/// Somebody without a proven address, who asks for a page.
async fn r_41_lk_07_the_last_way_in_stays_and_its_owner_hears_why(test_app: TestApp) {
    let email = "only@example.test";
    test_app.configure(|config| config.providers.push(provider("office")));
    let mut browser = signed_in(&test_app, email).await;
    let link = connected(&test_app, email, "only").await;
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
    assert_eq!(reasons(&test_app).await, ["lk_last_method"]);
    let row = user_identity::Entity::find_by_id(link)
        .one(test_app.app.db.read())
        .await
        .unwrap()
        .unwrap();
    assert!(row.unlinked_at.is_none(), "nothing has changed");
}

async fn r_44_lk_04_what_adds_or_takes_a_way_in_needs_a_fresh_session(test_app: TestApp) {
    let email = "stale@example.test";
    test_app.configure(|config| config.providers.push(provider("office")));
    let mut browser = signed_in(&test_app, email).await;
    connected(&test_app, email, "stale").await;
    test_app.pass(590);
    let path = asked(&test_app, &browser, "new").await;
    test_app.pass(11);
    let question = browser.open(&path).await;
    let answer = browser
        .submit(&question, "identity", &[("decision", "yes")])
        .await;
    assert_eq!(
        answer.status,
        StatusCode::FORBIDDEN,
        "lk_stale_auth: {}",
        answer.summary()
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
    assert_eq!(reasons(&test_app).await, ["lk_stale_auth"; 3]);
    let all = user_identity::Entity::find()
        .all(test_app.app.db.read())
        .await
        .unwrap();
    assert!(
        all.len() == 1 && all[0].unlinked_at.is_none(),
        "nothing has changed"
    );
}

async fn lk_04_a_providers_word_neither_adds_nor_takes_a_way_in_and_a_mail_does(test_app: TestApp) {
    let email = "silent@example.test";
    test_app.configure(|config| config.providers.push(provider("office")));
    let mut browser = signed_in(&test_app, email).await;
    let link = connected(&test_app, email, "silent").await;
    let user = user_of(&test_app, email).await;
    by_provider(&test_app, &mut browser, link).await;
    let path = asked(&test_app, &browser, "thiefs").await;
    let question = browser.open(&path).await;
    let answer = browser
        .submit(&question, "identity", &[("decision", "yes")])
        .await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.summary());
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
    assert!(
        all.len() == 1 && all[0].unlinked_at.is_none(),
        "nothing has changed"
    );
    // The page leads to the proof by mail, and back.
    let login = browser
        .open(&refused.attribute("a#next", "href").expect("a way on"))
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
        "after the mail it is disconnected"
    );
}

async fn lk_07_a_link_that_is_disconnected_meanwhile_signs_nobody_in(test_app: TestApp) {
    let email = "race@example.test";
    signed_in(&test_app, email).await;
    let id = connected(&test_app, email, "race").await;
    let user = user_of(&test_app, email).await;
    let arrived = arrived("race", Some(email));
    let link = identity::find_linked(test_app.app.db.read(), &arrived.issuer, &arrived.subject)
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
    // Who signs in has read the link before.
    let caller = Caller::resolve(&Request::builder().finish(), &[]);
    let attempt = SignInAttempt {
        evidence: Evidence::Identity(IdentityEvidence {
            identity: &link,
            account: &arrived,
            amr: "",
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
async fn e_3_lk_04_connecting_takes_a_yes_in_that_session(test_app: TestApp) {
    test_app.configure(|config| config.providers.push(provider("office")));
    let email = "yes@example.test";
    let mut browser = signed_in(&test_app, email).await;
    let path = asked(&test_app, &browser, "yes").await;
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
        "not before the yes"
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
        "BS-04: the secret before it is dead at once"
    );
    assert!(test_app.mail(email).await.subject.contains("connected"));
    let again = browser
        .submit(&question, "identity", &[("decision", "yes")])
        .await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST, "LK-06: once");
    // No is no.
    let path = asked(&test_app, &browser, "no").await;
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

async fn r_41_lk_01_an_account_there_belongs_to_one_user_here(test_app: TestApp) {
    test_app.configure(|config| config.providers.push(provider("office")));
    signed_in(&test_app, "first@example.test").await;
    let mut browser = signed_in(&test_app, "second@example.test").await;
    connected(&test_app, "first@example.test", "shared").await;
    let path = asked(&test_app, &browser, "shared").await;
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
    assert!(!taken.body.contains("first@example.test"), "no hint whose");
    assert_eq!(reasons(&test_app).await, ["lk_taken"]);
    let all = user_identity::Entity::find()
        .all(test_app.app.db.read())
        .await
        .unwrap();
    assert_eq!(all.len(), 1);
}

async fn lk_02_a_new_user_needs_the_word_of_whoever_runs_the_mailbox_and_open_doors(
    test_app: TestApp,
) {
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
    assert!(waits_for_proof(
        &comes(&test_app, &came("a", "a@example.test", false)).await
    ));
    assert!(waits_for_proof(
        &comes(&test_app, &came("a", "not an address", true)).await
    ));
    assert_eq!(counts().await, (0, 0, 0));
    test_app.configure(|config| config.magic_link.sign_up = SignUp::Closed);
    assert_eq!(
        refused(&comes(&test_app, &came("a", "a@example.test", true)).await),
        Some(RefusalCode::SignUpClosed)
    );
    assert_eq!(counts().await, (0, 0, 0), "sign-up is closed");
    test_app.configure(|config| config.magic_link.sign_up = SignUp::Open);
    assert!(matches!(
        comes(&test_app, &came("a", "a@example.test", true)).await,
        LinkOutcome::SignedIn(_)
    ));
    assert_eq!(counts().await, (1, 1, 1));
    assert_eq!(
        test_app.mails("a@example.test").len(),
        0,
        "one press, no mail"
    );
    // H: one generic refusal.
    let user = user_of(&test_app, "a@example.test").await;
    let tx = test_app.tx().await;
    user::set_state(&tx, user.id, user::UserState::Disabled)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(
        refused(&comes(&test_app, &came("a", "a@example.test", true)).await),
        Some(RefusalCode::UserDisabled)
    );
}

async fn di_5_a_first_sign_in_leaves_a_locale_and_where_a_provider_tells_it_a_name(
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
    comes(&test_app, &came("told", "told@example.test", true)).await;
    assert_eq!(
        known("told@example.test").await,
        ("en".to_owned(), "Ann".to_owned())
    );
    let mut blank = came("blank", "blank@example.test", true);
    blank.account.name = Some(" ".to_owned());
    comes(&test_app, &blank).await;
    assert_eq!(known("blank@example.test").await.1, "");
    // The address is proven by email first (LC-D); an account that is connected later gives no name.
    let waits = proven(
        &test_app,
        "later@example.test",
        Some(&arrived("later", None)),
    )
    .await;
    assert_eq!(waits.name.as_deref(), Some("Ann"));
    connected(&test_app, "mail@example.test", "too-late").await;
    assert_eq!(known("mail@example.test").await.1, "");
}

/// Whoever proves this address by mail, with an account that waits.
async fn proven(test_app: &TestApp, email: &str, link: Option<&UpstreamAccount>) -> user::User {
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
        "what the door gives is what is stored"
    );
    done.user
}

async fn lk_09_two_first_logins_at_once_make_one_user(test_app: TestApp) {
    test_app.configure(|config| config.providers.push(provider("office")));
    for round in 0..20 {
        let email = format!("both{round}@example.test");
        let one = came(&format!("same{round}"), &email, true);
        let (a, b) = tokio::join!(comes(&test_app, &one), comes(&test_app, &one));
        let [a, b] = [a, b].map(|settled| match settled {
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
    let path = asked(&test_app, &browser, "waits").await;
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

async fn up_01_without_a_provider_no_page_speaks_of_one(test_app: TestApp) {
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
async fn up_08_a_request_for_fresh_proof_shows_no_provider(test_app: TestApp) {
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
