//! Who somebody is once an address is proven (E, LK), and what the link's page gives away (F2).

use std::time::Duration;

use entity::{magic_link_flow, mail_outbox, session, user, user_email};
use entree::{
    login::flow::Holder,
    magic_link::request::{Ask, Asked, request},
    secret::{Plain, row_id},
    session::Start,
    user::{Address, ProvenBy, Resolved},
    web::caller::Caller,
};
use poem::{Request, http::StatusCode};
use sea_orm::{
    ActiveModelTrait as _, ActiveValue::Set, ColumnTrait as _, EntityTrait as _,
    PaginatorTrait as _, QueryFilter as _, sea_query::Expr,
};

use crate::{
    bed::Bed,
    oauth::{register, signed_in},
};

fn address(text: &str) -> Address {
    Address::parse(text, false).unwrap()
}

async fn users(bed: &Bed) -> u64 {
    user::Entity::find().count(bed.app.db.read()).await.unwrap()
}

async fn live_sessions(bed: &Bed, user: uuid::Uuid) -> u64 {
    session::Entity::find()
        .filter(session::Column::UserId.eq(user))
        .filter(session::Column::RevokedAt.is_null())
        .count(bed.app.db.read())
        .await
        .unwrap()
}

/// Imports an account that nobody has proven, with a session in it: what somebody may have prepared (E2).
async fn prepared(bed: &Bed, email: &str) -> (user::Model, Plain) {
    let tx = bed.app.db.begin().await.unwrap();
    let user = entree::user::import(&tx, &address(email)).await.unwrap();
    let start = Start {
        user: &user,
        method: entree::session::Method::Mail,
        device: "x",
        remembered: true,
        browser: None,
    };
    let (_, sid) = entree::session::start(&tx, start, &bed.app.config.get().session)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    (user, sid)
}

/// Adds an address to a user.
async fn add_address(
    bed: &Bed,
    user: uuid::Uuid,
    email: &str,
    verified: bool,
) -> Result<(), sea_orm::DbErr> {
    let now = bed.app.clock().now();
    let row = user_email::ActiveModel {
        id: Set(row_id(now)),
        user_id: Set(user),
        email: Set(email.to_owned()),
        canonical: Set(address(email).canonical().to_owned()),
        canon_version: Set(1),
        state: Set(user_email::State::Active),
        verified_at: Set(verified.then_some(now)),
        verified_by: Set(verified.then(|| "mail".to_owned())),
        created_at: Set(now),
    };
    row.insert(bed.app.db.pool()).await.map(drop)
}

on_both!(
    e_1_lk_02_asking_makes_nobody,
    e_2_the_first_proof_ends_what_was_prepared,
    e_2_the_first_proof_of_a_known_person_ends_nothing,
    lk_01_only_verified_addresses_resolve_and_each_to_one_user,
    lk_03_a_proof_clears_the_claims_of_others,
    lk_09_many_first_proofs_at_once_make_one_user,
    e_5_mail_goes_to_the_stored_address,
);

async fn e_1_lk_02_asking_makes_nobody(bed: Bed) {
    register(&bed);
    let config = bed.app.config.get();
    let caller = Caller::make(&Request::builder().finish(), &[]);
    let ask = |n: usize| {
        let (app, config, caller) = (&bed.app, &config, &caller);
        async move {
            let address = address(&format!("e1-{n}@example.com"));
            let ask = Ask {
                holder: Holder::Browser(Plain::generate().hash()),
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
                request(app, config, ask).await.unwrap(),
                Asked::Accepted(_)
            ));
        }
    };
    for chunk in 0..1250 {
        futures_util::future::join_all((0..8).map(|n| ask(chunk * 8 + n))).await;
    }
    let asked = magic_link_flow::Entity::find()
        .count(bed.app.db.read())
        .await
        .unwrap();
    assert_eq!(asked, 10_000);
    assert_eq!(users(&bed).await, 0);
    // Sending the letters makes nobody either; only a proof does.
    mail_outbox::Entity::delete_many()
        .filter(mail_outbox::Column::Canonical.ne("e1-7@example.com"))
        .exec(bed.app.db.pool())
        .await
        .unwrap();
    bed.post().await;
    assert_eq!(bed.mails("e1-7@example.com").len(), 1);
    assert_eq!(users(&bed).await, 0);
    assert_eq!(
        user_email::Entity::find()
            .count(bed.app.db.read())
            .await
            .unwrap(),
        0
    );
    assert_eq!(
        session::Entity::find()
            .count(bed.app.db.read())
            .await
            .unwrap(),
        0
    );
    signed_in(&bed, "e1-7@example.com").await;
    assert_eq!(users(&bed).await, 1);
}

async fn e_2_the_first_proof_ends_what_was_prepared(bed: Bed) {
    let email = "e2@example.com";
    let (before, sid) = prepared(&bed, email).await;
    let mut thief = bed.browser();
    thief
        .cookies
        .insert("__Host-Http-sid".to_owned(), sid.to_text());
    assert!(
        thief.account().await.is_some(),
        "the prepared session works until its owner comes"
    );
    let mut owner = signed_in(&bed, email).await;
    assert!(thief.account().await.is_none(), "it is over");
    assert!(owner.account().await.is_some());
    let after = user::Entity::find_by_id(before.id)
        .one(bed.app.db.read())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(after.auth_epoch, before.auth_epoch + 1);
    assert_eq!(
        (users(&bed).await, live_sessions(&bed, before.id).await),
        (1, 1),
        "the same account, one session"
    );
    bed.post().await;
    let mails = bed.mails(email);
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
        "it signs nobody in"
    );
    // A second sign-in is nothing special.
    signed_in(&bed, email).await;
    bed.post().await;
    assert_eq!(bed.mails(email).len(), 3);
    assert!(owner.account().await.is_some());
}

async fn e_2_the_first_proof_of_a_known_person_ends_nothing(bed: Bed) {
    let email = "e2-known@example.com";
    let mut first = signed_in(&bed, email).await;
    let mut second = signed_in(&bed, email).await;
    assert!(first.account().await.is_some() && second.account().await.is_some());
    assert_eq!(users(&bed).await, 1);
    assert_eq!(bed.mails(email).len(), 2);
}

async fn lk_01_only_verified_addresses_resolve_and_each_to_one_user(bed: Bed) {
    let (claimer, _) = prepared(&bed, "lk1@example.com").await;
    let by = |text: &'static str| {
        let bed = &bed;
        async move {
            entree::user::by_address(bed.app.db.read(), &address(text))
                .await
                .unwrap()
        }
    };
    assert_eq!(
        by("lk1@example.com").await,
        None,
        "a claim resolves to nobody"
    );
    add_address(&bed, claimer.id, "lk1-verified@example.com", true)
        .await
        .unwrap();
    assert_eq!(by("LK1-verified@example.com").await.unwrap().id, claimer.id);
    // The database itself refuses a second owner of a verified address, and takes any number of claims.
    let (other, _) = prepared(&bed, "lk1-other@example.com").await;
    assert!(
        add_address(&bed, other.id, "lk1-verified@example.com", true)
            .await
            .is_err()
    );
    add_address(&bed, other.id, "lk1-verified@example.com", false)
        .await
        .unwrap();
    assert_eq!(by("lk1-verified@example.com").await.unwrap().id, claimer.id);
}

async fn lk_03_a_proof_clears_the_claims_of_others(bed: Bed) {
    // Somebody who has proven another address claims this one: the account is not its owner's.
    let mut claimer = signed_in(&bed, "lk3-claimer@example.com").await;
    let owner = address("lk3@example.com");
    let claimed = entree::user::by_address(bed.app.db.read(), &address("lk3-claimer@example.com"))
        .await
        .unwrap()
        .unwrap();
    add_address(&bed, claimed.id, owner.canonical(), false)
        .await
        .unwrap();
    let mut person = signed_in(&bed, owner.canonical()).await;
    let made = entree::user::by_address(bed.app.db.read(), &owner)
        .await
        .unwrap()
        .unwrap();
    assert_ne!(made.id, claimed.id, "a new user");
    let rows = user_email::Entity::find()
        .filter(user_email::Column::Canonical.eq(owner.canonical()))
        .all(bed.app.db.read())
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
    let (older, _) = prepared(&bed, "lk3-twice@example.com").await;
    bed.pass(1);
    let (younger, _) = prepared(&bed, "lk3-twice@example.com").await;
    signed_in(&bed, "lk3-twice@example.com").await;
    let owned = entree::user::by_address(bed.app.db.read(), &address("lk3-twice@example.com"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(owned.id, older.id);
    assert!(
        entree::user::address_of(bed.app.db.read(), younger.id)
            .await
            .unwrap()
            .is_none()
    );
}

async fn lk_09_many_first_proofs_at_once_make_one_user(bed: Bed) {
    register(&bed);
    for round in 0..3 {
        let email = format!("lk9-{round}@example.com");
        let mut forms = Vec::new();
        for _ in 0..12 {
            let mut browser = bed.browser();
            browser.ask(&email).await;
            let link = bed.mail(&email).await.link();
            let page = browser.open(&link).await;
            let request = browser.filled(&page, &page.form("link"), &[]);
            forms.push(bed.call(request));
        }
        let answers = futures_util::future::join_all(forms).await;
        for answer in &answers {
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.summary());
            assert!(answer.refresh().is_some(), "{}", answer.summary());
        }
        assert_eq!(users(&bed).await, round + 1, "one user for one address");
        let owner = entree::user::by_address(bed.app.db.read(), &address(&email))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(live_sessions(&bed, owner.id).await, 12);
    }
    let rows = user_email::Entity::find()
        .count(bed.app.db.read())
        .await
        .unwrap();
    assert_eq!(rows, 3);
}

async fn e_5_mail_goes_to_the_stored_address(bed: Bed) {
    let (user, _) = prepared(&bed, "e5-claim@example.com").await;
    add_address(&bed, user.id, "Ada.E5@Example.com", true)
        .await
        .unwrap();
    for typed in [" ADA.E5@example.COM ", "ada.e5@ｅｘａｍｐｌｅ.com"] {
        let mut browser = bed.browser();
        browser.ask(typed).await;
        let mail = bed.mail("ada.e5@example.com").await;
        assert_eq!(
            mail.to, "Ada.E5@Example.com",
            "as it is stored, not as it was typed"
        );
        browser.click(&mail.link()).await;
        assert!(browser.is_signed_in());
    }
    assert_eq!(users(&bed).await, 1);
}

#[tokio::test]
async fn lk_09_the_loser_of_two_first_proofs_gets_the_winners_user() {
    let Some(bed) = Bed::servers().await else {
        return;
    };
    let who = address("lk9-race@example.com");
    let (one, two) = (
        bed.app.db.begin().await.unwrap(),
        bed.app.db.begin().await.unwrap(),
    );
    let Resolved::Created(first) = entree::user::resolve(&one, &who, ProvenBy::Mail, true)
        .await
        .unwrap()
    else {
        panic!("the first proof makes the user")
    };
    // The second waits for the first at the unique index, and finds its user there.
    let (second, _) = tokio::join!(
        entree::user::resolve(&two, &who, ProvenBy::Mail, true),
        async {
            tokio::task::yield_now().await;
            one.commit().await.unwrap();
        }
    );
    assert_eq!(second.unwrap(), Resolved::Known(first));
    two.commit().await.unwrap();
    assert_eq!(users(&bed).await, 1);
}

#[tokio::test]
async fn e_6_a_plus_tag_is_another_person() {
    let bed = Bed::embedded().await;
    let mut plain = signed_in(&bed, "e6@gmail.com").await;
    let mut tagged = signed_in(&bed, "e6+x@gmail.com").await;
    assert_eq!(users(&bed).await, 2);
    assert!(plain.account().await.unwrap().contains("e6@gmail.com"));
    assert!(tagged.account().await.unwrap().contains("e6+x@gmail.com"));
}

#[tokio::test]
async fn e_6_a_5_spellings_of_one_mailbox_share_one_budget() {
    let bed = Bed::embedded().await;
    for spelling in [
        "e6budget@gmail.com",
        "e6.budget@gmail.com",
        "E6budget+1@googlemail.com",
        "e.6budget+2@gmail.com",
    ] {
        bed.browser().ask(spelling).await;
    }
    bed.browser().ask("e6b.udget@gmail.com").await;
    bed.browser().ask("e6budge.t+9@gmail.com").await;
    bed.post().await;
    assert_eq!(bed.mails("e6b.udget@gmail.com").len(), 1, "the fifth");
    assert_eq!(
        bed.mails("e6budge.t+9@gmail.com").len(),
        0,
        "the sixth within 15 minutes"
    );
}

#[tokio::test]
async fn e_4_what_is_no_address_is_said_on_the_page_and_makes_no_flow() {
    let bed = Bed::embedded().await;
    for typed in [
        "ada",
        "ada@localhost",
        "\"ada\"@example.com",
        "ada@[127.0.0.1]",
        "ad\u{131}@example.com",
        "a\r\nb@c.de",
    ] {
        let answer = bed.browser().try_ask(typed).await;
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
            .count(bed.app.db.read())
            .await
            .unwrap(),
        0
    );
}

#[tokio::test]
async fn lk_02_somebody_locked_is_nobody_new() {
    let bed = Bed::embedded().await;
    let email = "locked@example.com";
    let mut browser = bed.browser();
    browser.sign_in(email).await;
    let mut waiting = bed.browser();
    waiting.ask(email).await;
    let link = bed.mail(email).await.link();
    user::Entity::update_many()
        .col_expr(user::Column::State, Expr::value("disabled"))
        .exec(bed.app.db.pool())
        .await
        .unwrap();
    let refused = waiting.click(&link).await;
    assert!(refused.status.is_client_error(), "{}", refused.summary());
    assert!(!waiting.is_signed_in() && browser.account().await.is_none());
    assert_eq!(users(&bed).await, 1);
    // No further letter goes there, and the page does not tell.
    let before = bed.mails(email).len();
    bed.pass(1000);
    let page = bed.browser().ask(email).await;
    assert_eq!(page.status, StatusCode::OK);
    bed.post().await;
    assert_eq!(bed.mails(email).len(), before);
}

#[tokio::test]
async fn f_2_the_pages_of_a_link_keep_it_to_themselves() {
    let bed = Bed::embedded().await;
    let email = "f2@example.com";
    let (mut mine, mut other) = (bed.browser(), bed.browser());
    mine.ask(email).await;
    let link = bed.mail(email).await.link();
    let unknown = format!("/login/link/{}", Plain::generate().to_text());
    let bound = mine.open(&link).await;
    let elsewhere = other.open(&link).await;
    let nothing = other.open(&unknown).await;
    bed.pass(601);
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
            !page.body.contains("https://") || page.body.contains(crate::bed::PUBLIC),
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
    assert_eq!(
        elsewhere.text(),
        nothing.text(),
        "nobody learns which links there are"
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
    let bed = Bed::embedded().await;
    prepared(&bed, "e2-letter@example.com").await;
    let mut owner = bed.browser();
    owner.ask("e2-letter@example.com").await;
    let link = bed.mail("e2-letter@example.com").await.link();
    let now = bed.app.clock().now();
    owner.click(&link).await;
    let row = mail_outbox::Entity::find()
        .filter(mail_outbox::Column::Kind.eq(mail_outbox::Kind::AccessReset))
        .one(bed.app.db.read())
        .await
        .unwrap()
        .expect("a letter");
    assert_eq!(row.canonical, "e2-letter@example.com");
    assert!(row.give_up_at.since(now) >= Duration::from_secs(86_400));
}

#[tokio::test]
async fn e_2_an_account_that_ops_made_and_nobody_used_sends_no_letter_about_it() {
    let bed = Bed::embedded().await;
    let tx = bed.tx().await;
    entree::user::import(&tx, &address("e2-fresh@example.com"))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    bed.browser().sign_in("e2-fresh@example.com").await;
    let letters = mail_outbox::Entity::find()
        .filter(mail_outbox::Column::Kind.eq(mail_outbox::Kind::AccessReset));
    assert!(
        letters.one(bed.app.db.read()).await.unwrap().is_none(),
        "nothing of theirs ended"
    );
}
