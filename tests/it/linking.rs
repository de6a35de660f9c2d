//! The rules of linking (LK), without a provider: somebody has come back, and what follows. The whole way with a provider
//! that answers, and with one that lies, is in `federation*`.

use entity::{session::Entity as Sessions, user_email, user_identity};
use entree::{
    config::{Provider, SignUp},
    federation::{
        link::{Came, Settled, Where, settle},
        refused::Code,
    },
    login::{
        finish::{Finished, Holds, Of, Proof, UNLINKED, finish},
        pending_link,
        pending_link::PendingLink,
        pending_link::Wants,
    },
    secret::Plain,
    session::{self, Method},
    user::{self, Address, Arrived, identity},
    web::caller::Caller,
};
use poem::{Request, http::StatusCode};
use sea_orm::{EntityTrait as _, PaginatorTrait as _};
use serde_json::json;
use uuid::Uuid;

use crate::{
    bed::{Bed, Browser},
    federation::reasons,
    oauth::{register, signed_in},
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
pub(crate) fn arrived(subject: &str, email: Option<&str>) -> Arrived {
    Arrived {
        provider: "office".to_owned(),
        issuer: "https://up.invalid".to_owned(),
        subject: subject.to_owned(),
        email: email.map(str::to_owned),
        name: Some("Ann".to_owned()),
    }
}

fn came(subject: &str, email: &str, authoritative: bool) -> Came {
    Came {
        arrived: arrived(subject, Some(email)),
        authoritative,
        amr: "pwd".to_owned(),
    }
}

async fn user_of(bed: &Bed, email: &str) -> user::User {
    user::by_address(bed.app.db.read(), &Address::parse(email, false).unwrap())
        .await
        .unwrap()
        .unwrap()
}

/// Connects an account to a user; gives the link's id.
pub(crate) async fn connected(bed: &Bed, email: &str, subject: &str) -> Uuid {
    let user = user_of(bed, email).await;
    let tx = bed.tx().await;
    let added = identity::add(&tx, user.id, &arrived(subject, Some(email)))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    match added {
        identity::Added::Linked(link) => link.id,
        other => panic!("{other:?}"),
    }
}

/// The session in this browser is as if it had come from this account at the provider a moment ago.
pub(crate) async fn by_provider(bed: &Bed, browser: &mut Browser<'_>, link: Uuid) {
    let cookie = Plain::parse(&browser.cookies["__Host-Http-sid"])
        .unwrap()
        .hash();
    let config = bed.app.config.get();
    let found = session::current(
        bed.app.db.read(),
        &cookie,
        bed.app.clock().now(),
        &config.session,
    )
    .await;
    let tx = bed.tx().await;
    let method = Method::Upstream {
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
pub(crate) async fn asked(bed: &Bed, browser: &Browser<'_>, subject: &str) -> String {
    let cookie = |name: &str| Plain::parse(&browser.cookies[name]).unwrap().hash();
    let config = bed.app.config.get();
    let now = bed.app.clock().now();
    let current = session::current(
        bed.app.db.read(),
        &cookie("__Host-Http-sid"),
        now,
        &config.session,
    )
    .await;
    let link = PendingLink {
        arrived: arrived(subject, Some("there@example.test")),
        authoritative: false,
        amr: String::new(),
        provider_name: "Example".to_owned(),
        wants: Wants::Yes,
        session: Some(current.unwrap().unwrap().session.id),
        txn: None,
        at: now,
        came_at: None,
        origin: None,
    };
    let handle = pending_link::park(&bed.app.tickets, cookie("__Host-Http-pre"), &link)
        .await
        .unwrap();
    format!("/login/identity?link={}", handle.to_text())
}

/// Somebody comes back from the provider, in no browser of ours.
async fn comes(bed: &Bed, came: &Came) -> Settled {
    let caller = Caller::make(&Request::builder().finish(), &[]);
    let at = Where {
        holds: Holds::default(),
        connecting: false,
        switch: false,
        remembered: false,
        locale: "en",
        caller: &caller,
    };
    settle(&bed.app, came, at).await.unwrap()
}

fn waits_for_proof(settled: &Settled) -> bool {
    matches!(settled, Settled::Waits(Wants::Proof))
}

fn refused(settled: &Settled) -> Option<Code> {
    match settled {
        Settled::Refused(refused) => Some(refused.code),
        _ => None,
    }
}

async fn lk_07_disconnecting_ends_its_sessions_leaves_a_tombstone_and_tells_the_owner(bed: Bed) {
    let email = "ann@example.test";
    bed.configure(|config| config.providers.push(provider("office")));
    let mut browser = signed_in(&bed, email).await;
    let link = connected(&bed, email, "ann").await;
    let Settled::SignedIn(there) = comes(&bed, &came("ann", email, false)).await else {
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
        .one(bed.app.db.read())
        .await
        .unwrap()
        .unwrap();
    assert!(
        ended.revoked_at.is_some(),
        "the session that came from it has ended"
    );
    let row = user_identity::Entity::find_by_id(link)
        .one(bed.app.db.read())
        .await
        .unwrap()
        .unwrap();
    assert!(row.unlinked_at.is_some(), "the row stays");
    let mail = bed.mail(email).await;
    assert!(
        mail.subject.contains("no longer connected"),
        "{}",
        mail.subject
    );
    // Later logins follow C.
    assert!(waits_for_proof(
        &comes(&bed, &came("ann", email, true)).await
    ));
}

async fn lk_07_the_last_way_in_stays(bed: Bed) {
    let email = "last@example.test";
    signed_in(&bed, email).await;
    let (first, second) = (
        connected(&bed, email, "one").await,
        connected(&bed, email, "two").await,
    );
    let user = user_of(&bed, email).await;
    let remove = async |id: Uuid, by_mail: bool| {
        let tx = bed.tx().await;
        let removed = identity::remove(&tx, user.id, id, by_mail).await.unwrap();
        tx.commit().await.unwrap();
        removed
    };
    assert!(
        matches!(remove(first, false).await, identity::Removed::Done(_)),
        "another is left"
    );
    assert_eq!(remove(first, false).await, identity::Removed::Gone, "once");
    assert_eq!(remove(second, false).await, identity::Removed::LastWay);
    assert!(
        matches!(remove(second, true).await, identity::Removed::Done(_)),
        "mail is a way in"
    );
    // Two at once take one of two, where mail is none.
    let (one, two) = (
        connected(&bed, email, "three").await,
        connected(&bed, email, "four").await,
    );
    let (a, b) = tokio::join!(remove(one, false), remove(two, false));
    let last = [&a, &b]
        .into_iter()
        .filter(|removed| **removed == identity::Removed::LastWay)
        .count();
    assert_eq!(last, 1, "{a:?} {b:?}");
    assert!(user::has_mail(bed.app.db.read(), user.id).await.unwrap());
}

/// Somebody without a proven address, who asks for a page.
async fn r_41_lk_07_the_last_way_in_stays_and_its_owner_hears_why(bed: Bed) {
    let email = "only@example.test";
    bed.configure(|config| config.providers.push(provider("office")));
    let mut browser = signed_in(&bed, email).await;
    let link = connected(&bed, email, "only").await;
    let tx = bed.tx().await;
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
    assert!(stays.text().contains("last way in"), "{}", stays.text());
    assert_eq!(reasons(&bed).await, ["lk_last_method"]);
    let row = user_identity::Entity::find_by_id(link)
        .one(bed.app.db.read())
        .await
        .unwrap()
        .unwrap();
    assert!(row.unlinked_at.is_none(), "nothing has changed");
}

async fn r_44_lk_04_what_adds_or_takes_a_way_in_needs_a_fresh_session(bed: Bed) {
    let email = "stale@example.test";
    bed.configure(|config| config.providers.push(provider("office")));
    let mut browser = signed_in(&bed, email).await;
    connected(&bed, email, "stale").await;
    bed.pass(590);
    let path = asked(&bed, &browser, "new").await;
    bed.pass(11);
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
    assert_eq!(reasons(&bed).await, ["lk_stale_auth"; 3]);
    let all = user_identity::Entity::find()
        .all(bed.app.db.read())
        .await
        .unwrap();
    assert!(
        all.len() == 1 && all[0].unlinked_at.is_none(),
        "nothing has changed"
    );
}

async fn lk_04_a_providers_word_neither_adds_nor_takes_a_way_in_and_a_mail_does(bed: Bed) {
    let email = "silent@example.test";
    bed.configure(|config| config.providers.push(provider("office")));
    let mut browser = signed_in(&bed, email).await;
    let link = connected(&bed, email, "silent").await;
    let user = user_of(&bed, email).await;
    by_provider(&bed, &mut browser, link).await;
    let path = asked(&bed, &browser, "thiefs").await;
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
        .all(bed.app.db.read())
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
    let mail = bed.mail(email).await.link();
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
        .one(bed.app.db.read())
        .await
        .unwrap()
        .unwrap();
    assert!(
        row.unlinked_at.is_some() && row.user_id == user.id,
        "after the mail it is disconnected"
    );
}

async fn lk_07_a_link_that_is_disconnected_meanwhile_signs_nobody_in(bed: Bed) {
    let email = "race@example.test";
    signed_in(&bed, email).await;
    let id = connected(&bed, email, "race").await;
    let user = user_of(&bed, email).await;
    let arrived = arrived("race", Some(email));
    let link = identity::find(bed.app.db.read(), &arrived.issuer, &arrived.subject)
        .await
        .unwrap()
        .unwrap();
    let tx = bed.tx().await;
    assert!(matches!(
        identity::remove(&tx, user.id, id, true).await.unwrap(),
        identity::Removed::Done(_)
    ));
    tx.commit().await.unwrap();
    let before = Sessions::find().count(bed.app.db.read()).await.unwrap();
    // Who signs in has read the link before.
    let caller = Caller::make(&Request::builder().finish(), &[]);
    let of = Of::Link {
        identity: &link,
        arrived: &arrived,
        amr: "",
    };
    let proof = Proof {
        of,
        remembered: false,
        locale: "en",
        holds: Holds::default(),
    };
    let tx = bed.tx().await;
    let finished = finish(&tx, proof, &caller, &bed.app.config.get())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert!(
        matches!(finished, Finished::Refused(UNLINKED)),
        "{finished:?}"
    );
    assert_eq!(
        Sessions::find().count(bed.app.db.read()).await.unwrap(),
        before,
        "no session"
    );
}

async fn e_3_lk_04_connecting_takes_a_yes_in_that_session(bed: Bed) {
    bed.configure(|config| config.providers.push(provider("office")));
    let email = "yes@example.test";
    let mut browser = signed_in(&bed, email).await;
    let path = asked(&bed, &browser, "yes").await;
    let question = browser.open(&path).await;
    assert!(
        question.text().contains("there@example.test") && question.text().contains(email),
        "{}",
        question.text()
    );
    assert_eq!(
        user_identity::Entity::find()
            .count(bed.app.db.read())
            .await
            .unwrap(),
        0,
        "not before the yes"
    );
    let mut thief = signed_in(&bed, "thief@example.test").await;
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
    assert!(bed.mail(email).await.subject.contains("connected"));
    let again = browser
        .submit(&question, "identity", &[("decision", "yes")])
        .await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST, "LK-06: once");
    // No is no.
    let path = asked(&bed, &browser, "no").await;
    let question = browser.open(&path).await;
    browser
        .submit(&question, "identity", &[("decision", "no")])
        .await;
    assert_eq!(
        user_identity::Entity::find()
            .count(bed.app.db.read())
            .await
            .unwrap(),
        1
    );
}

async fn r_41_lk_01_an_account_there_belongs_to_one_user_here(bed: Bed) {
    bed.configure(|config| config.providers.push(provider("office")));
    signed_in(&bed, "first@example.test").await;
    let mut browser = signed_in(&bed, "second@example.test").await;
    connected(&bed, "first@example.test", "shared").await;
    let path = asked(&bed, &browser, "shared").await;
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
    assert_eq!(reasons(&bed).await, ["lk_taken"]);
    let all = user_identity::Entity::find()
        .all(bed.app.db.read())
        .await
        .unwrap();
    assert_eq!(all.len(), 1);
}

async fn lk_02_a_new_user_needs_the_word_of_whoever_runs_the_mailbox_and_open_doors(bed: Bed) {
    bed.configure(|config| config.providers.push(provider("office")));
    let counts = async || {
        let db = bed.app.db.read();
        let users = entity::user::Entity::find().count(db).await.unwrap();
        let emails = user_email::Entity::find().count(db).await.unwrap();
        (
            users,
            emails,
            user_identity::Entity::find().count(db).await.unwrap(),
        )
    };
    assert!(waits_for_proof(
        &comes(&bed, &came("a", "a@example.test", false)).await
    ));
    assert!(waits_for_proof(
        &comes(&bed, &came("a", "not an address", true)).await
    ));
    assert_eq!(counts().await, (0, 0, 0));
    bed.configure(|config| config.magic_link.sign_up = SignUp::Closed);
    assert_eq!(
        refused(&comes(&bed, &came("a", "a@example.test", true)).await),
        Some(Code::SignUpClosed)
    );
    assert_eq!(counts().await, (0, 0, 0), "sign-up is closed");
    bed.configure(|config| config.magic_link.sign_up = SignUp::Open);
    assert!(matches!(
        comes(&bed, &came("a", "a@example.test", true)).await,
        Settled::SignedIn(_)
    ));
    assert_eq!(counts().await, (1, 1, 1));
    assert_eq!(bed.mails("a@example.test").len(), 0, "one press, no mail");
    // H: one generic refusal.
    let user = user_of(&bed, "a@example.test").await;
    let tx = bed.tx().await;
    user::set_state(&tx, user.id, user::State::Disabled)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(
        refused(&comes(&bed, &came("a", "a@example.test", true)).await),
        Some(Code::UserDisabled)
    );
}

async fn di_5_a_first_sign_in_leaves_a_locale_and_where_a_provider_tells_it_a_name(bed: Bed) {
    bed.configure(|config| config.providers.push(provider("office")));
    let known = async |email: &str| {
        let user = user_of(&bed, email).await;
        (
            user.locale.unwrap_or_default(),
            user.name.unwrap_or_default(),
        )
    };
    let mut french = Browser {
        headers: vec![("accept-language", "fr-CA,en;q=0.5".to_owned())],
        ..bed.browser()
    };
    french.sign_in("mail@example.test").await;
    assert_eq!(
        known("mail@example.test").await,
        ("fr".to_owned(), String::new())
    );
    french.headers.clear();
    bed.pass(3600);
    french.sign_in("mail@example.test").await;
    assert_eq!(
        known("mail@example.test").await.0,
        "fr",
        "a later sign-in changes nothing"
    );
    comes(&bed, &came("told", "told@example.test", true)).await;
    assert_eq!(
        known("told@example.test").await,
        ("en".to_owned(), "Ann".to_owned())
    );
    let mut blank = came("blank", "blank@example.test", true);
    blank.arrived.name = Some(" ".to_owned());
    comes(&bed, &blank).await;
    assert_eq!(known("blank@example.test").await.1, "");
    // Proven by mail first (case D); an account that is connected later gives no name.
    let waits = proven(&bed, "later@example.test", Some(&arrived("later", None))).await;
    assert_eq!(waits.name.as_deref(), Some("Ann"));
    connected(&bed, "mail@example.test", "too-late").await;
    assert_eq!(known("mail@example.test").await.1, "");
}

/// Whoever proves this address by mail, with an account that waits.
async fn proven(bed: &Bed, email: &str, link: Option<&Arrived>) -> user::User {
    let caller = Caller::make(&Request::builder().finish(), &[]);
    let address = Address::parse(email, false).unwrap();
    let of = Of::Mail {
        address: &address,
        key: &address.key(&bed.app.macs.address),
        link,
    };
    let proof = Proof {
        of,
        remembered: false,
        locale: "en",
        holds: Holds::default(),
    };
    let tx = bed.tx().await;
    let finished = finish(&tx, proof, &caller, &bed.app.config.get())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let Finished::SignedIn(done) = finished else {
        panic!("{finished:?}")
    };
    assert_eq!(
        done.user,
        user_of(bed, email).await,
        "what the door gives is what is stored"
    );
    done.user
}

async fn lk_09_two_first_logins_at_once_make_one_user(bed: Bed) {
    bed.configure(|config| config.providers.push(provider("office")));
    for round in 0..20 {
        let email = format!("both{round}@example.test");
        let one = came(&format!("same{round}"), &email, true);
        let (a, b) = tokio::join!(comes(&bed, &one), comes(&bed, &one));
        let [a, b] = [a, b].map(|settled| match settled {
            Settled::SignedIn(done) => done.user.id,
            other => panic!("round {round}: {other:?}"),
        });
        assert_eq!(a, b, "round {round}");
    }
    assert_eq!(
        entity::user::Entity::find()
            .count(bed.app.db.read())
            .await
            .unwrap(),
        20
    );
}

async fn lk_06_a_link_waits_for_its_own_browser_for_fifteen_minutes(bed: Bed) {
    bed.configure(|config| config.providers.push(provider("office")));
    let browser = signed_in(&bed, "waits@example.test").await;
    let path = asked(&bed, &browser, "waits").await;
    let mut browser = browser;
    bed.pass(599);
    assert_eq!(browser.open(&path).await.status, StatusCode::OK);
    bed.pass(302);
    assert_eq!(
        browser.open(&path).await.status,
        StatusCode::BAD_REQUEST,
        "901 s old"
    );
}

async fn up_01_without_a_provider_no_page_speaks_of_one(bed: Bed) {
    let mut browser = signed_in(&bed, "none@example.test").await;
    for path in ["/login", "/account"] {
        let page = browser.open(path).await;
        assert!(
            !page.has("#providers")
                && !page.has("#identities")
                && !page.has("form[action*=upstream]"),
            "{path}"
        );
    }
    bed.configure(|config| {
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

async fn up_08_a_request_for_fresh_proof_shows_no_provider(bed: Bed) {
    register(&bed);
    bed.configure(|config| config.providers.push(provider("office")));
    let mut browser = signed_in(&bed, "fresh@example.test").await;
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
