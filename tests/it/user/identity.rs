//! Which user an address belongs to once it is verified (E, LK), and what the link page reveals (F2).

use std::time::Duration;

use entity::{magic_link_flow, mail_outbox, session, user, user_email};
use entree::{
    config::Budget,
    login::flow::FlowHolder,
    magic_link::request::{self, SignInRequest, StartOutcome},
    secret::{Plain, row_id},
    session::NewSession,
    user::{Address, ResolvedUser, VerifiedBy},
    web::caller::Caller,
};
use poem::{Request, http::StatusCode};
use sea_orm::{
    ActiveModelTrait as _, ActiveValue::Set, ColumnTrait as _, EntityTrait as _,
    PaginatorTrait as _, QueryFilter as _, sea_query::Expr,
};

use crate::{
    oauth::{register, signed_in},
    test_app::TestApp,
};

fn address(text: &str) -> Address {
    Address::parse(text, false).unwrap()
}

async fn users(test_app: &TestApp) -> u64 {
    user::Entity::find()
        .count(test_app.app.db.read())
        .await
        .unwrap()
}

async fn live_sessions(test_app: &TestApp, user: uuid::Uuid) -> u64 {
    session::Entity::find()
        .filter(session::Column::UserId.eq(user))
        .filter(session::Column::RevokedAt.is_null())
        .count(test_app.app.db.read())
        .await
        .unwrap()
}

/// Imports an account with an unverified address and a session, as an attacker may have prepared it (E2).
async fn prepared(test_app: &TestApp, email: &str) -> (user::Model, Plain) {
    let tx = test_app.app.db.begin().await.unwrap();
    let user = entree::user::import_unverified(&tx, &address(email))
        .await
        .unwrap();
    let start = NewSession {
        user: &user,
        method: entree::session::AuthMethod::Email,
        device: "x",
        remembered: true,
        browser: None,
    };
    let (_, sid) = entree::session::start(&tx, start, &test_app.app.config.get().session)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    (user, sid)
}

/// Adds an address to a user.
async fn add_address(
    test_app: &TestApp,
    user: uuid::Uuid,
    email: &str,
    verified: bool,
) -> Result<(), sea_orm::DbErr> {
    let now = test_app.app.clock().now();
    let row = user_email::ActiveModel {
        id: Set(row_id(now)),
        user_id: Set(user),
        email: Set(email.to_owned()),
        canonical: Set(address(email).canonical().to_owned()),
        canon_version: Set(1),
        state: Set(user_email::UserEmailState::Active),
        verified_at: Set(verified.then_some(now)),
        verified_by: Set(verified.then(|| "mail".to_owned())),
        created_at: Set(now),
    };
    row.insert(test_app.app.db.pool()).await.map(drop)
}

on_both!(
    e_1_lk_02_a_request_creates_no_user,
    e_2_the_first_proof_ends_what_was_prepared,
    e_2_the_first_proof_of_a_known_person_ends_nothing,
    lk_01_only_verified_addresses_resolve_and_each_to_one_user,
    lk_03_a_proof_clears_the_claims_of_others,
    lk_09_many_first_proofs_at_once_make_one_user,
    e_5_email_goes_to_the_stored_address,
);

async fn e_1_lk_02_a_request_creates_no_user(test_app: TestApp) {
    register(&test_app);
    let config = test_app.app.config.get();
    let caller = Caller::resolve(&Request::builder().finish(), &[]);
    let ask = |n: usize| {
        let (app, config, caller) = (&test_app.app, &config, &caller);
        async move {
            let address = address(&format!("e1-{n}@example.com"));
            let request = SignInRequest {
                holder: FlowHolder::Browser(Plain::generate().hash()),
                address: &address,
                client_id: None,
                locale: "en",
                device: None,
                remembered: false,
                destination: None,
                link: None,
                caller,
            };
            assert!(matches!(
                request::start(app, config, request).await.unwrap(),
                StartOutcome::Accepted(_)
            ));
        }
    };
    for chunk in 0..1250 {
        futures_util::future::join_all((0..8).map(|n| ask(chunk * 8 + n))).await;
    }
    let asked = magic_link_flow::Entity::find()
        .count(test_app.app.db.read())
        .await
        .unwrap();
    assert_eq!(asked, 10_000);
    assert_eq!(users(&test_app).await, 0);
    // Sending the emails creates no user either; only a verification does.
    mail_outbox::Entity::delete_many()
        .filter(mail_outbox::Column::Canonical.ne("e1-7@example.com"))
        .exec(test_app.app.db.pool())
        .await
        .unwrap();
    test_app.send_due_emails().await;
    assert_eq!(test_app.mails("e1-7@example.com").len(), 1);
    assert_eq!(users(&test_app).await, 0);
    assert_eq!(
        user_email::Entity::find()
            .count(test_app.app.db.read())
            .await
            .unwrap(),
        0
    );
    assert_eq!(
        session::Entity::find()
            .count(test_app.app.db.read())
            .await
            .unwrap(),
        0
    );
    signed_in(&test_app, "e1-7@example.com").await;
    assert_eq!(users(&test_app).await, 1);
}

async fn e_2_the_first_proof_ends_what_was_prepared(test_app: TestApp) {
    let email = "e2@example.com";
    let (before, sid) = prepared(&test_app, email).await;
    let mut thief = test_app.browser();
    thief
        .cookies
        .insert("__Host-Http-sid".to_owned(), sid.to_text());
    assert!(
        thief.account().await.is_some(),
        "the prepared session works until its owner comes"
    );
    let mut owner = signed_in(&test_app, email).await;
    assert!(thief.account().await.is_none(), "it is over");
    assert!(owner.account().await.is_some());
    let after = user::Entity::find_by_id(before.id)
        .one(test_app.app.db.read())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(after.auth_epoch, before.auth_epoch + 1);
    assert_eq!(
        (
            users(&test_app).await,
            live_sessions(&test_app, before.id).await
        ),
        (1, 1),
        "the same account, one session"
    );
    test_app.send_due_emails().await;
    let mails = test_app.mails(email);
    assert_eq!(
        mails.len(),
        2,
        "the sign-in, and a word about what was ended"
    );
    assert!(
        mails[0]
            .links()
            .iter()
            .all(|link| !link.contains("/login/link/")),
        "it starts no session"
    );
    // A second sign-in is nothing special.
    signed_in(&test_app, email).await;
    test_app.send_due_emails().await;
    assert_eq!(test_app.mails(email).len(), 3);
    assert!(owner.account().await.is_some());
}

async fn e_2_the_first_proof_of_a_known_person_ends_nothing(test_app: TestApp) {
    let email = "e2-known@example.com";
    let mut first = signed_in(&test_app, email).await;
    let mut second = signed_in(&test_app, email).await;
    assert!(first.account().await.is_some() && second.account().await.is_some());
    assert_eq!(users(&test_app).await, 1);
    assert_eq!(test_app.mails(email).len(), 2);
}

async fn lk_01_only_verified_addresses_resolve_and_each_to_one_user(test_app: TestApp) {
    let (claimer, _) = prepared(&test_app, "lk1@example.com").await;
    let by = |text: &'static str| {
        let test_app = &test_app;
        async move {
            entree::user::find_by_address(test_app.app.db.read(), &address(text))
                .await
                .unwrap()
        }
    };
    assert_eq!(
        by("lk1@example.com").await,
        None,
        "a claim resolves to no user"
    );
    add_address(&test_app, claimer.id, "lk1-verified@example.com", true)
        .await
        .unwrap();
    assert_eq!(by("LK1-verified@example.com").await.unwrap().id, claimer.id);
    // The database itself refuses a second owner of a verified address, and takes any number of claims.
    let (other, _) = prepared(&test_app, "lk1-other@example.com").await;
    assert!(
        add_address(&test_app, other.id, "lk1-verified@example.com", true)
            .await
            .is_err()
    );
    add_address(&test_app, other.id, "lk1-verified@example.com", false)
        .await
        .unwrap();
    assert_eq!(by("lk1-verified@example.com").await.unwrap().id, claimer.id);
}

async fn lk_03_a_proof_clears_the_claims_of_others(test_app: TestApp) {
    // A user who has verified another address claims this one: the account does not belong to the
    // owner of the address.
    let mut claimer = signed_in(&test_app, "lk3-claimer@example.com").await;
    let owner = address("lk3@example.com");
    let claimed =
        entree::user::find_by_address(test_app.app.db.read(), &address("lk3-claimer@example.com"))
            .await
            .unwrap()
            .unwrap();
    add_address(&test_app, claimed.id, owner.canonical(), false)
        .await
        .unwrap();
    let mut person = signed_in(&test_app, owner.canonical()).await;
    let made = entree::user::find_by_address(test_app.app.db.read(), &owner)
        .await
        .unwrap()
        .unwrap();
    assert_ne!(made.id, claimed.id, "a new user");
    let rows = user_email::Entity::find()
        .filter(user_email::Column::Canonical.eq(owner.canonical()))
        .all(test_app.app.db.read())
        .await
        .unwrap();
    assert_eq!(
        rows.iter().map(|row| row.user_id).collect::<Vec<_>>(),
        [made.id],
        "the claim is gone"
    );
    assert!(
        claimer.account().await.is_some(),
        "whose claim fell stays signed in"
    );
    assert!(
        person
            .account()
            .await
            .is_some_and(|page| page.contains("lk3@example.com"))
    );
    // Two imports of one address: the older becomes its owner's, the younger one's claim falls.
    let (older, _) = prepared(&test_app, "lk3-twice@example.com").await;
    test_app.pass(1);
    let (younger, _) = prepared(&test_app, "lk3-twice@example.com").await;
    signed_in(&test_app, "lk3-twice@example.com").await;
    let owned =
        entree::user::find_by_address(test_app.app.db.read(), &address("lk3-twice@example.com"))
            .await
            .unwrap()
            .unwrap();
    assert_eq!(owned.id, older.id);
    assert!(
        entree::user::primary_address(test_app.app.db.read(), younger.id)
            .await
            .unwrap()
            .is_none()
    );
}

async fn lk_09_many_first_proofs_at_once_make_one_user(test_app: TestApp) {
    register(&test_app);
    for round in 0..3 {
        let email = format!("lk9-{round}@example.com");
        let mut forms = Vec::new();
        for _ in 0..12 {
            let mut browser = test_app.browser();
            browser.ask(&email).await;
            let link = test_app.mail(&email).await.link();
            let page = browser.open(&link).await;
            let request = browser.filled(&page, &page.form("link"), &[]);
            forms.push(test_app.call(request));
        }
        let answers = futures_util::future::join_all(forms).await;
        for answer in &answers {
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.summary());
            assert!(answer.refresh().is_some(), "{}", answer.summary());
        }
        assert_eq!(
            users(&test_app).await,
            round + 1,
            "one user for one address"
        );
        let owner = entree::user::find_by_address(test_app.app.db.read(), &address(&email))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(live_sessions(&test_app, owner.id).await, 12);
    }
    let rows = user_email::Entity::find()
        .count(test_app.app.db.read())
        .await
        .unwrap();
    assert_eq!(rows, 3);
}

async fn e_5_email_goes_to_the_stored_address(test_app: TestApp) {
    let (user, _) = prepared(&test_app, "e5-claim@example.com").await;
    add_address(&test_app, user.id, "Ada.E5@Example.com", true)
        .await
        .unwrap();
    for typed in [" ADA.E5@example.COM ", "ada.e5@ｅｘａｍｐｌｅ.com"] {
        let mut browser = test_app.browser();
        browser.ask(typed).await;
        let mail = test_app.mail("ada.e5@example.com").await;
        assert_eq!(
            mail.to, "Ada.E5@Example.com",
            "as it is stored, not as it was typed"
        );
        browser.click(&mail.link()).await;
        assert!(browser.is_signed_in());
    }
    assert_eq!(users(&test_app).await, 1);
}

#[tokio::test]
async fn lk_09_the_loser_of_two_first_proofs_gets_the_winners_user() {
    let Some(test_app) = TestApp::servers().await else {
        return;
    };
    let who = address("lk9-race@example.com");
    let (one, two) = (
        test_app.app.db.begin().await.unwrap(),
        test_app.app.db.begin().await.unwrap(),
    );
    let ResolvedUser::Created(first) = entree::user::resolve(&one, &who, VerifiedBy::Email, true)
        .await
        .unwrap()
    else {
        panic!("the first proof makes the user")
    };
    // The second waits for the first at the unique index, and finds its user there.
    let (second, _) = tokio::join!(
        entree::user::resolve(&two, &who, VerifiedBy::Email, true),
        async {
            tokio::task::yield_now().await;
            one.commit().await.unwrap();
        }
    );
    assert_eq!(second.unwrap(), ResolvedUser::Known(first));
    two.commit().await.unwrap();
    assert_eq!(users(&test_app).await, 1);
}

#[tokio::test]
async fn e_6_a_plus_tag_is_another_person() {
    let test_app = TestApp::embedded().await;
    let mut plain = signed_in(&test_app, "e6@gmail.com").await;
    let mut tagged = signed_in(&test_app, "e6+x@gmail.com").await;
    assert_eq!(users(&test_app).await, 2);
    assert!(plain.account().await.unwrap().contains("e6@gmail.com"));
    assert!(tagged.account().await.unwrap().contains("e6+x@gmail.com"));
}

#[tokio::test]
async fn e_6_a_5_spellings_of_one_mailbox_share_one_budget() {
    let test_app = TestApp::embedded().await;
    let budget = |count| {
        vec![Budget {
            count,
            seconds: 900,
        }]
    };
    test_app.configure(|config| {
        config.limits.address = budget(4);
        config.limits.address_reserve = budget(1);
    });
    for spelling in [
        "e6budget@gmail.com",
        "e6.budget@gmail.com",
        "E6budget+1@googlemail.com",
        "e.6budget+2@gmail.com",
    ] {
        test_app.browser().ask(spelling).await;
    }
    test_app.browser().ask("e6b.udget@gmail.com").await;
    test_app.browser().ask("e6budge.t+9@gmail.com").await;
    test_app.send_due_emails().await;
    assert_eq!(test_app.mails("e6b.udget@gmail.com").len(), 1, "the fifth");
    assert_eq!(
        test_app.mails("e6budge.t+9@gmail.com").len(),
        0,
        "the sixth within 15 minutes"
    );
}

#[tokio::test]
async fn e_4_what_is_no_address_is_said_on_the_page_and_makes_no_flow() {
    let test_app = TestApp::embedded().await;
    for typed in [
        "ada",
        "ada@localhost",
        "\"ada\"@example.com",
        "ada@[127.0.0.1]",
        "ad\u{131}@example.com",
        "a\r\nb@c.de",
    ] {
        let answer = test_app.browser().try_ask(typed).await;
        assert!(answer.error().is_some(), "{typed:?}: {}", answer.summary());
        assert!(
            answer.status.is_client_error(),
            "{typed:?}: {}",
            answer.status
        );
        assert!(answer.has("form#sign-in"), "{typed:?}");
    }
    assert_eq!(
        magic_link_flow::Entity::find()
            .count(test_app.app.db.read())
            .await
            .unwrap(),
        0
    );
}

#[tokio::test]
async fn lk_02_a_locked_user_is_not_created_anew() {
    let test_app = TestApp::embedded().await;
    let email = "locked@example.com";
    let mut browser = test_app.browser();
    browser.sign_in(email).await;
    let mut waiting = test_app.browser();
    waiting.ask(email).await;
    let link = test_app.mail(email).await.link();
    user::Entity::update_many()
        .col_expr(user::Column::State, Expr::value("disabled"))
        .exec(test_app.app.db.pool())
        .await
        .unwrap();
    let refused = waiting.click(&link).await;
    assert!(refused.status.is_client_error(), "{}", refused.summary());
    assert!(!waiting.is_signed_in() && browser.account().await.is_none());
    assert_eq!(users(&test_app).await, 1);
    // No further letter goes there, and the page does not tell.
    let before = test_app.mails(email).len();
    test_app.pass(1000);
    let page = test_app.browser().ask(email).await;
    assert_eq!(page.status, StatusCode::OK);
    test_app.send_due_emails().await;
    assert_eq!(test_app.mails(email).len(), before);
}

#[tokio::test]
async fn f_2_the_pages_of_a_link_keep_it_to_themselves() {
    let test_app = TestApp::embedded().await;
    let email = "f2@example.com";
    let (mut mine, mut other) = (test_app.browser(), test_app.browser());
    mine.ask(email).await;
    let link = test_app.mail(email).await.link();
    let unknown = format!("/login/link/{}", Plain::generate().to_text());
    let bound = mine.open(&link).await;
    let elsewhere = other.open(&link).await;
    let nothing = other.open(&unknown).await;
    test_app.pass(601);
    let expired = mine.open(&link).await;
    for (page, name) in [
        (&bound, "bound"),
        (&elsewhere, "elsewhere"),
        (&nothing, "unknown"),
        (&expired, "expired"),
    ] {
        assert_eq!(page.header("cache-control"), Some("no-store"), "{name}");
        assert_eq!(
            page.header("x-content-type-options"),
            Some("nosniff"),
            "{name}"
        );
        assert!(page.header("strict-transport-security").is_some(), "{name}");
        let policy = page.header("content-security-policy").unwrap();
        for part in [
            "default-src 'none'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'self'",
        ] {
            assert!(policy.contains(part), "{name}: {policy}");
        }
        assert!(
            !policy.contains("unsafe") && !policy.contains('*'),
            "{name}: {policy}"
        );
        assert!(
            !page.body.contains("https://") || page.body.contains(crate::test_app::PUBLIC),
            "{name}: nothing foreign"
        );
    }
    assert_eq!(bound.header("referrer-policy"), Some("no-referrer"));
    for (page, name) in [
        (&bound, "bound"),
        (&elsewhere, "elsewhere"),
        (&nothing, "unknown"),
    ] {
        assert!(
            page.header("x-robots-tag")
                .is_some_and(|tag| tag.contains("noindex")),
            "{name}"
        );
        assert_ne!(page.header("referrer-policy"), Some("unsafe-url"), "{name}");
    }
    assert!(
        bound.body.contains("replaceState"),
        "the address bar is cleared"
    );
    assert!(
        nothing.status == 410 && nothing.has("a#next"),
        "a link that does not exist says so: {}",
        nothing.summary()
    );
    assert!(
        !elsewhere.has("form")
            || elsewhere
                .forms("form")
                .iter()
                .all(|form| !form.action.path().contains("link"))
    );
}

#[tokio::test]
async fn e_2_the_letter_about_it_waits_a_day_at_most() {
    let test_app = TestApp::embedded().await;
    prepared(&test_app, "e2-letter@example.com").await;
    let mut owner = test_app.browser();
    owner.ask("e2-letter@example.com").await;
    let link = test_app.mail("e2-letter@example.com").await.link();
    let now = test_app.app.clock().now();
    owner.click(&link).await;
    let row = mail_outbox::Entity::find()
        .filter(mail_outbox::Column::Kind.eq(mail_outbox::Kind::AccessReset))
        .one(test_app.app.db.read())
        .await
        .unwrap()
        .expect("a letter");
    assert_eq!(row.canonical, "e2-letter@example.com");
    assert!(row.give_up_at.since(now) >= Duration::from_secs(86_400));
}

#[tokio::test]
async fn e_2_an_unused_imported_account_sends_no_email_about_it() {
    let test_app = TestApp::embedded().await;
    let tx = test_app.tx().await;
    entree::user::import_unverified(&tx, &address("e2-fresh@example.com"))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    test_app.browser().sign_in("e2-fresh@example.com").await;
    let letters = mail_outbox::Entity::find()
        .filter(mail_outbox::Column::Kind.eq(mail_outbox::Kind::AccessReset));
    assert!(
        letters.one(test_app.app.db.read()).await.unwrap().is_none(),
        "nothing of theirs ended"
    );
}
