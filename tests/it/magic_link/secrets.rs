//! Section B: what link and code are worth, for how long, and how often.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use entity::{magic_link_flow, magic_link_token, mail_outbox, session};
use entree::{
    app::Macs,
    magic_link::{composer::EmailComposer, token},
    mail::{Composed, Composer as _, DeliveryOutcome},
    secret::{MasterKeys, Plain},
};
use poem::http::StatusCode;
use sea_orm::{EntityTrait as _, PaginatorTrait as _};

use crate::test_app::{PUBLIC, TestApp, encoded, fields, flow_of};

on_both!(
    b_1_a_link_holds_32_random_bytes_that_are_not_made_of_the_code,
    b_2_codes_have_as_many_digits_as_configured,
    b_3_what_is_stored_opens_nothing,
    b_4_link_and_code_live_ten_minutes_from_accept_and_the_flow_thirty,
    b_4_an_email_works_before_its_accept_is_recorded,
    b_5_the_last_three_emails_work,
    b_7_a_second_click_within_a_minute_leads_to_the_same_session,
    b_7_of_three_clicks_every_answer_leaves_the_browser_signed_in,
    b_7_a_code_form_left_open_in_another_tab_goes_on,
);

/// The secret of a link.
fn secret(link: &str) -> Plain {
    Plain::parse(link.rsplit('/').next().unwrap()).expect("32 bytes in base64url")
}

async fn sessions(test_app: &TestApp) -> u64 {
    session::Entity::find()
        .count(test_app.app.db.read())
        .await
        .unwrap()
}

async fn b_1_a_link_holds_32_random_bytes_that_are_not_made_of_the_code(test_app: TestApp) {
    let flow = flow_of(&test_app.browser().ask("b1@example.com").await);
    let tx = test_app.tx().await;
    let mut columns = vec![BTreeSet::new(); 32];
    for _ in 0..256 {
        let lifetime = test_app.app.config.get().link_lifetime();
        // One digit: ten codes, so a link made of code and flow would come again and again.
        let made = token::create(&tx, flow, 1, lifetime, &test_app.app.macs.code)
            .await
            .unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(made.link.to_text()).unwrap();
        assert_eq!(bytes.len(), 32);
        for (column, byte) in columns.iter_mut().zip(bytes) {
            column.insert(byte);
        }
    }
    // 256 draws of 256 values give 162 different ones, give or take 6.5; fewer than 110 is 8 deviations off.
    for (at, values) in columns.iter().enumerate() {
        assert!(
            values.len() > 110,
            "byte {at} takes {} values",
            values.len()
        );
    }
}

async fn b_2_codes_have_as_many_digits_as_configured(test_app: TestApp) {
    for digits in [6, 10, 8] {
        test_app.configure(|config| config.magic_link.code_digits = digits);
        let email = format!("b2-{digits}@example.com");
        let mut person = test_app.browser();
        let waiting = person.ask(&email).await;
        let code = test_app.mail(&email).await.code();
        assert_eq!(code.len(), digits as usize);
        person.submit(&waiting, "code", &[("code", &code)]).await;
        assert!(person.is_signed_in());
    }
}

async fn b_3_what_is_stored_opens_nothing(test_app: TestApp) {
    let email = "b3@example.com";
    test_app.browser().sign_in(email).await;
    let mut person = test_app.browser();
    let waiting = person.ask(email).await;
    let mail = test_app.mail(email).await;
    let db = test_app.app.db.read();
    let flow = magic_link_flow::Entity::find_by_id(flow_of(&waiting))
        .one(db)
        .await
        .unwrap()
        .unwrap();
    let tokens = magic_link_token::Entity::find().all(db).await.unwrap();
    let mine = tokens
        .iter()
        .find(|token| token.flow_id == flow.id)
        .unwrap();
    assert_eq!(
        mine.link_hash,
        secret(&mail.link()).hash().to_column(),
        "SHA-256 of the link's secret"
    );
    let mac = token::code_mac(&test_app.app.macs.code, flow.id, &mail.code());
    assert_eq!(mine.code_mac, mac.to_column(), "HMAC of flow and code");
    // The pepper is no part of what is stored, and two are live while it is changed.
    let next = Macs::new(&MasterKeys::new([8; 32], [[7; 32]])).code;
    let without = Macs::new(&MasterKeys::new([8; 32], [])).code;
    let live = std::slice::from_ref(mine);
    assert!(
        token::matches_code(live, flow.id, &mail.code(), &next)
            && !token::matches_code(live, flow.id, &mail.code(), &without)
    );

    let mut stored: Vec<Vec<u8>> = tokens
        .iter()
        .flat_map(|t| [t.link_hash.clone(), t.code_mac.clone()])
        .collect();
    for flow in magic_link_flow::Entity::find().all(db).await.unwrap() {
        stored.extend(
            [flow.browser_hash, flow.consumed_browser_hash]
                .into_iter()
                .flatten(),
        );
        stored.push(flow.address_key);
    }
    for session in session::Entity::find().all(db).await.unwrap() {
        stored.extend(
            [
                Some(session.secret_hash),
                session.previous_hash,
                session.browser_hash,
            ]
            .into_iter()
            .flatten(),
        );
    }
    stored.sort();
    stored.dedup();
    assert!(stored.len() >= 8, "{}", stored.len());
    for value in stored {
        let text = URL_SAFE_NO_PAD.encode(&value);
        let page = person.open(&format!("/login/link/{text}")).await;
        assert!(!page.has("form#link"), "a stored value as a link");
        let answer = person.submit(&waiting, "code", &[("code", &text)]).await;
        assert_ne!(answer.status, StatusCode::OK, "as a code");
        for cookie in ["__Host-Http-sid", "__Host-Http-pre", "__Host-Http-dev"] {
            let mut thief = test_app.browser();
            thief.cookies.insert(cookie.to_owned(), text.clone());
            assert!(thief.account().await.is_none(), "as {cookie}");
            let page = thief.open(&mail.link()).await;
            assert!(!page.has("form#link"), "as {cookie}");
        }
    }
    person.click(&mail.link()).await;
    assert!(person.is_signed_in());
}

async fn b_4_link_and_code_live_ten_minutes_from_accept_and_the_flow_thirty(test_app: TestApp) {
    // Accepted late: ten minutes begin then.
    let mut late = test_app.browser();
    late.ask("late@example.com").await;
    test_app.pass(1195);
    let mail = test_app.mail("late@example.com").await;
    test_app.pass(590);
    late.click(&mail.link()).await;
    assert!(late.is_signed_in());

    for by_link in [true, false] {
        let email = format!("over-{by_link}@example.com");
        let mut person = test_app.browser();
        let waiting = person.ask(&email).await;
        let mail = test_app.mail(&email).await;
        test_app.pass(601);
        let answer = if by_link {
            person.open(&mail.link()).await
        } else {
            person
                .submit_and_follow(&waiting, "code", &[("code", &mail.code())])
                .await
        };
        assert!(
            answer.error().is_some() && !person.is_signed_in(),
            "{}",
            answer.summary()
        );
        // The flow goes on: another mail works.
        let answer = person.submit(&waiting, "resend", &[]).await;
        person.follow(&answer).await;
        person.click(&test_app.mail(&email).await.link()).await;
        assert!(person.is_signed_in());
    }

    let mut gone = test_app.browser();
    let waiting = gone.ask("gone@example.com").await;
    test_app.pass(1801);
    test_app.send_due_emails().await;
    assert!(
        test_app.mails("gone@example.com").is_empty(),
        "no dead mail"
    );
    assert_eq!(
        gone.submit(&waiting, "resend", &[]).await.status,
        StatusCode::GONE
    );
    assert_eq!(
        gone.open(waiting.url.as_str()).await.status,
        StatusCode::GONE
    );
}

async fn b_4_an_email_works_before_its_accept_is_recorded(test_app: TestApp) {
    let address = "fast@example.com";
    let mut person = test_app.browser();
    person.ask(address).await;
    let composer = EmailComposer {
        app: test_app.app.clone(),
    };
    let row = mail_outbox::Entity::find()
        .one(test_app.app.db.read())
        .await
        .unwrap()
        .unwrap();
    let tx = test_app.tx().await;
    let Composed::Email { email, reference } = composer.compose(&tx, &row).await.unwrap() else {
        panic!("no email");
    };
    tx.commit().await.unwrap();
    let secrets = reference.secrets;
    let token = |test_app: &TestApp| {
        let db = test_app.app.db.read().clone();
        async move {
            magic_link_token::Entity::find_by_id(secrets)
                .one(&db)
                .await
                .unwrap()
                .unwrap()
        }
    };
    let provisional = token(&test_app).await;
    test_app.pass(120);
    let tx = test_app.tx().await;
    let accepted = tx.now;
    composer
        .record_outcome(&tx, &row, &reference, DeliveryOutcome::Accepted)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let extended = token(&test_app).await;
    assert!(extended.expires_at > provisional.expires_at);
    assert_eq!(extended.expires_at.since(accepted).as_secs(), 600);
    // The hash was committed before the email was sent, so a fast reader gets in before the receipt.
    let begin = email.text.find(PUBLIC).unwrap();
    let link: String = email.text[begin..]
        .split_whitespace()
        .next()
        .unwrap()
        .to_owned();
    person.click(&link).await;
    assert!(person.is_signed_in());
}

async fn b_5_the_last_three_emails_work(test_app: TestApp) {
    for (which, works) in [(0, true), (1, true), (2, true), (3, false)] {
        let email = format!("b5-{which}@example.com");
        let mut person = test_app.browser();
        let mut waiting = person.ask(&email).await;
        test_app.send_due_emails().await;
        for pause in [31, 61, 121] {
            test_app.pass(pause);
            let answer = person.submit(&waiting, "resend", &[]).await;
            waiting = person.follow(&answer).await;
            test_app.send_due_emails().await;
        }
        let mails = test_app.mails(&email);
        assert_eq!(mails.len(), 4);
        let page = person.open(&mails[which].link()).await;
        if works {
            person.submit(&page, "link", &[]).await;
        }
        assert_eq!(
            person.is_signed_in(),
            works,
            "mail {which} of the newest four: {}",
            page.summary()
        );
        if !works {
            assert_eq!(page.status, StatusCode::GONE);
            let answer = person
                .submit_and_follow(&waiting, "code", &[("code", &mails[which].code())])
                .await;
            assert!(answer.error().is_some(), "its code neither");
            continue;
        }
        // Using one voids all.
        test_app.pass(61);
        for mail in mails {
            // OD-9: in its own browser a used link leads on.
            let own = person.open(&mail.link()).await;
            assert_eq!(own.location().unwrap().path(), "/login/continue");
            let foreign = test_app.browser().open(&mail.link()).await;
            assert_eq!(foreign.status, StatusCode::GONE);
        }
    }
}

async fn b_7_a_second_click_within_a_minute_leads_to_the_same_session(test_app: TestApp) {
    for by_link in [true, false] {
        let email = format!("twice-{by_link}@example.com");
        let before = sessions(&test_app).await;
        let mut person = test_app.browser();
        let waiting = person.ask(&email).await;
        let mail = test_app.mail(&email).await;
        let (page, form, fill) = if by_link {
            (person.open(&mail.link()).await, "link", Vec::new())
        } else {
            (waiting, "code", vec![("code", mail.code())])
        };
        let fill: Vec<_> = fill
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let (mut double, mut late) = (person.clone(), person.clone());
        let first = person.submit(&page, form, &fill).await;
        test_app.pass(50);
        let second = double.submit(&page, form, &fill).await;
        assert_eq!(
            (first.status, second.status),
            (StatusCode::OK, StatusCode::OK),
            "{}",
            second.summary()
        );
        assert_eq!(
            first.refresh().unwrap(),
            second.refresh().unwrap(),
            "the same destination"
        );
        assert_eq!(sessions(&test_app).await, before + 1, "no new session");
        let (one, two) = (person.account().await, double.account().await);
        assert!(two.is_some() && one == two, "both tabs are signed in");
        test_app.pass(15);
        let third = late.submit(&page, form, &fill).await;
        assert_eq!(third.status, StatusCode::GONE, "{}", third.summary());
        let says = third.text();
        assert!(
            says.contains("work only once") && says.contains("go back to that tab"),
            "what to do: {says}"
        );
        assert!(
            third
                .attribute("main a", "href")
                .is_some_and(|href| href == "/login"),
            "{}",
            third.summary()
        );
        assert!(!late.is_signed_in());
    }
}

/// A browser that is out of patience: it keeps the cookies of whichever answer comes last, in whatever order.
async fn b_7_of_three_clicks_every_answer_leaves_the_browser_signed_in(test_app: TestApp) {
    let email = "thrice@example.com";
    let before = sessions(&test_app).await;
    let mut person = test_app.browser();
    person.ask(email).await;
    let mut elsewhere = person.clone();
    elsewhere.ask("another-tab@example.com").await;
    let page = person.open(&test_app.mail(email).await.link()).await;
    let mut clicks = [
        person.clone(),
        person.clone(),
        person.clone(),
        person.clone(),
    ];
    for click in &mut clicks {
        assert_eq!(
            click.submit(&page, "link", &[]).await.status,
            StatusCode::OK
        );
        test_app.pass(5);
    }
    for click in &mut clicks {
        assert!(
            click
                .account()
                .await
                .is_some_and(|account| account.contains(email))
        );
    }
    assert_eq!(sessions(&test_app).await, before + 1, "one session");
    // The other tab's sign-in went over to the cookie of the repeated clicks.
    let link = test_app.mail("another-tab@example.com").await.link();
    assert!(clicks[3].open(&link).await.has("form#link"));
    test_app.pass(61);
    assert!(
        clicks[0].account().await.is_none(),
        "the first secret was good for a minute more"
    );
    assert!(clicks[1].account().await.is_some() && clicks[3].account().await.is_some());
}

async fn b_7_a_code_form_left_open_in_another_tab_goes_on(test_app: TestApp) {
    let email = "two-tabs@example.com";
    let mut person = test_app.browser();
    let waiting = person.ask(email).await;
    let mail = test_app.mail(email).await;
    person.click(&mail.link()).await;
    assert!(person.is_signed_in());
    for pause in [0, 120] {
        test_app.pass(pause);
        let answer = person
            .submit(&waiting, "code", &[("code", &mail.code())])
            .await;
        // A page and no redirect: Chromium holds a form's redirects against `form-action`.
        let path = answer.refresh().unwrap();
        assert_eq!(path.path(), "/login/continue");
        let next = person.open(path.as_str()).await;
        assert_eq!(
            next.location().unwrap().path(),
            "/account",
            "{}",
            next.summary()
        );
        assert!(person.account().await.is_some());
    }
    // A form that waits for another sign-in of this browser gets a fresh token, and nothing is taken from it.
    let mut tab = test_app.browser();
    let first = tab.ask("first@example.com").await;
    let second = tab.ask("second@example.com").await;
    tab.click(&test_app.mail("first@example.com").await.link())
        .await;
    let code = test_app.mail("second@example.com").await.code();
    let answer = tab.submit(&second, "code", &[("code", &code)]).await;
    assert_eq!(
        answer.location().unwrap().path(),
        "/login/sent",
        "{}",
        answer.summary()
    );
    assert!(tab.follow(&answer).await.has("form#code"));
    assert!(tab.account().await.unwrap().contains("first@example.com"));
    // No other page and no other browser is redirected.
    for (mut browser, origin) in [
        (person.clone(), "https://evil.test"),
        (test_app.browser(), PUBLIC),
    ] {
        let body = encoded(&fields(&first.form("code"), &[("code", "12345678")]));
        let answer = browser
            .send(
                browser
                    .posted("/login/code")
                    .header("origin", origin)
                    .body(body),
            )
            .await;
        assert!(
            answer.status.is_client_error() && answer.location().is_none(),
            "{}",
            answer.summary()
        );
    }
}
