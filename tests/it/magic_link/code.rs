//! Section D: the code, and how little guessing it gets one.

use entity::{audit_event, magic_link_flow};
use entree::{
    clock::Time,
    config::{Budget, Reloadable},
    login::{
        authenticate::BrowserState,
        flow::{self, FlowHolder, NewFlow},
    },
    magic_link::{
        code,
        consume::{ConsumeAttempt, ConsumeOutcome, LookUpError},
        refusal::ConsumeRefusal,
        token,
    },
    secret::{Hash, Plain},
    web::caller::Caller,
};
use futures_util::future::join_all;
use poem::{
    Request,
    http::{StatusCode, header},
};
use sea_orm::{ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _};
use std::{sync::Arc, time::Duration};
use testkit::page::Page;

use crate::test_app::{Browser, TestApp, flow_of};

on_both!(
    d_1_a_code_works_only_with_the_flow_cookie,
    d_2_five_tries_counted_before_the_compare_and_over_resends,
    d_2_of_64_guesses_at_once_five_are_compared,
    d_2_a_double_click_on_a_wrong_code_costs_one_attempt,
    d_3_spent_wrong_codes_switch_codes_off_for_an_hour_and_links_still_work,
    d_3_ten_thousand_flows_give_at_most_thirty_compares_a_day,
    d_4_wrong_and_expired_codes_differ_for_the_holder_alone,
    od_8_a_refused_code_survives_a_reload_and_offers_what_is_left,
    d_5_a_code_is_taken_as_people_type_and_paste_it,
    d_6_the_subject_holds_the_code_and_the_email_names_the_requester,
);

/// A code that is not this one.
fn wrong(code: &str, n: usize) -> String {
    let value = (code.parse::<u64>().unwrap() + 1 + n as u64) % 10_u64.pow(8);
    format!("{value:08}")
}

/// Enters a code, and gives the page that a refusal leads to.
async fn guess(person: &mut Browser<'_>, waiting: &Page, code: &str) -> Page {
    person
        .submit_and_follow(waiting, "code", &[("code", code)])
        .await
}

async fn events(test_app: &TestApp, reason: &str) -> u64 {
    let found = audit_event::Entity::find().filter(audit_event::Column::Reason.eq(reason));
    found.count(test_app.app.db.read()).await.unwrap()
}

async fn d_1_a_code_works_only_with_the_flow_cookie(test_app: TestApp) {
    let email = "d1@example.com";
    let mut person = test_app.browser();
    let waiting = person.ask(email).await;
    let code = test_app.mail(email).await.code();
    // With its own cookie and a form of its own, for the other's flow.
    let mut thief = test_app.browser();
    let own = thief.ask("thief@example.com").await;
    let flow = flow_of(&waiting).to_string();
    for page in [&own, &waiting] {
        thief
            .submit(page, "code", &[("flow", &flow), ("code", &code)])
            .await;
        assert!(!thief.is_signed_in());
    }
    let mut other_browser = test_app.browser();
    guess(&mut other_browser, &waiting, &code).await;
    assert!(!other_browser.is_signed_in());
    // And the rule itself, behind the form's token.
    let tx = test_app.tx().await;
    let stranger = FlowHolder::Browser(Plain::generate().hash());
    let config = test_app.app.config.get();
    let caller = caller();
    let attempt = attempt(&test_app, &config, stranger, &caller);
    let looked = code::look_up_code(tx.conn(), flow_of(&waiting), &code, &attempt).await;
    let Err(LookUpError::Refused(outcome)) = looked else {
        panic!("{looked:?}");
    };
    assert!(
        matches!(
            *outcome,
            ConsumeOutcome::Refused {
                flow: None,
                reason: ConsumeRefusal::NotHolder
            }
        ),
        "{outcome:?}"
    );
    drop(tx);
    let row = magic_link_flow::Entity::find_by_id(flow_of(&waiting))
        .one(test_app.app.db.read())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.tries, 0, "strangers spend none of the owner's tries");
    guess(&mut person, &waiting, &code).await;
    assert!(person.is_signed_in());
}

fn caller() -> Caller {
    let request = Request::builder().header(header::HOST, "id.test").finish();
    Caller::resolve(&request, &[])
}

fn attempt<'a>(
    test_app: &'a TestApp,
    config: &'a entree::config::Reloadable,
    holder: FlowHolder,
    caller: &'a Caller,
) -> ConsumeAttempt<'a> {
    let macs = &test_app.app.macs;
    ConsumeAttempt {
        holder,
        browser_state: BrowserState::default(),
        switch_confirmed: false,
        caller,
        config,
        code_pepper: &macs.code,
        repeat_mac: &macs.repeats,
    }
}

async fn d_2_five_tries_counted_before_the_compare_and_over_resends(test_app: TestApp) {
    let email = "d2@example.com";
    let mut person = test_app.browser();
    let mut waiting = person.ask(email).await;
    let code = test_app.mail(email).await.code();
    for n in 0..3 {
        let answer = guess(&mut person, &waiting, &wrong(&code, n)).await;
        assert!(answer.error().is_some(), "{}", answer.summary());
    }
    test_app.pass(31);
    let answer = person.submit(&waiting, "resend", &[]).await;
    waiting = person.follow(&answer).await;
    let mail = test_app.mail(email).await;
    for n in 0..2 {
        guess(&mut person, &waiting, &wrong(&mail.code(), n)).await;
    }
    let sixth = guess(&mut person, &waiting, &mail.code()).await;
    assert!(
        !person.is_signed_in(),
        "the right code, one try too late: {}",
        sixth.summary()
    );
    assert_eq!(events(&test_app, "wrong_code").await, 5, "compares");
    person.click(&mail.link()).await;
    assert!(person.is_signed_in(), "the link still works");
}

async fn d_2_of_64_guesses_at_once_five_are_compared(test_app: TestApp) {
    let test_app = Arc::new(test_app);
    let email = "d2-race@example.com";
    let mut person = test_app.browser();
    let waiting = person.ask(email).await;
    let code = test_app.mail(email).await.code();
    let guesses = (0..64).map(|n| {
        let request = person.filled(
            &waiting,
            &waiting.form("code"),
            &[("code", &wrong(&code, n))],
        );
        let test_app = Arc::clone(&test_app);
        tokio::spawn(async move { test_app.call(request).await.status })
    });
    for status in join_all(guesses).await {
        assert_eq!(status.unwrap(), StatusCode::SEE_OTHER);
    }
    assert_eq!(events(&test_app, "wrong_code").await, 5, "compares");
}

async fn tries(test_app: &TestApp, waiting: &Page) -> i32 {
    let flow = magic_link_flow::Entity::find_by_id(flow_of(waiting));
    flow.one(test_app.app.db.read())
        .await
        .unwrap()
        .unwrap()
        .tries
}

async fn d_2_a_double_click_on_a_wrong_code_costs_one_attempt(test_app: TestApp) {
    let test_app = Arc::new(test_app);
    let email = "d2-double@example.com";
    let mut person = test_app.browser();
    let waiting = person.ask(email).await;
    let code = test_app.mail(email).await.code();
    let (mistyped, other) = (wrong(&code, 0), wrong(&code, 1));
    let first = guess(&mut person, &waiting, &mistyped).await;
    let again = guess(&mut person, &waiting, &mistyped).await;
    assert!(first.error().is_some());
    assert_eq!(again.error(), first.error(), "the same answer");
    assert_eq!(tries(&test_app, &waiting).await, 1);
    let at_once = (0..2).map(|_| {
        let form = waiting.form("code");
        let request = person.filled(&waiting, &form, &[("code", &other)]);
        let test_app = Arc::clone(&test_app);
        tokio::spawn(async move { test_app.call(request).await.status })
    });
    for status in join_all(at_once).await {
        assert_eq!(status.unwrap(), StatusCode::SEE_OTHER);
    }
    assert_eq!(tries(&test_app, &waiting).await, 2);
    assert_eq!(events(&test_app, "wrong_code").await, 2);
    // Later it is another attempt, and so is one after another code.
    test_app.pass(11);
    for (entered, counted) in [(&other, 3), (&mistyped, 4), (&other, 5), (&other, 5)] {
        let page = guess(&mut person, &waiting, entered).await;
        assert!(page.error().is_some(), "{}", page.summary());
        assert_eq!(tries(&test_app, &waiting).await, counted);
    }
    guess(&mut person, &waiting, &code).await;
    assert!(!person.is_signed_in(), "five were wrong");
}

/// Ten wrong codes an hour and thirty a day of an address; as many as they like of a network with it.
fn ten_an_hour(config: &mut Reloadable) {
    let budget = |count, seconds| Budget { count, seconds };
    config.limits.wrong_codes = vec![budget(10, 3600), budget(30, 86_400)];
    config.limits.wrong_codes_network_address = vec![budget(100_000, 60)];
}

/// ST-11: the counter is in SQL.
async fn d_3_spent_wrong_codes_switch_codes_off_for_an_hour_and_links_still_work(
    test_app: TestApp,
) {
    test_app.configure(ten_an_hour);
    // Plus tags are one account in the budget.
    for n in 0..2 {
        let email = format!("d3+{n}@example.com");
        let mut person = test_app.browser();
        let waiting = person.ask(&email).await;
        let code = test_app.mail(&email).await.code();
        for n in 0..5 {
            guess(&mut person, &waiting, &wrong(&code, n)).await;
        }
    }
    assert_eq!(events(&test_app, "wrong_code").await, 10);
    let email = "d3@example.com";
    let mut person = test_app.browser();
    let waiting = person.ask(email).await;
    let mail = test_app.mail(email).await;
    let answer = guess(&mut person, &waiting, &mail.code()).await;
    assert!(!person.is_signed_in(), "codes are off, right ones too");
    assert_eq!(events(&test_app, "right_code_too_late").await, 1);
    let error = answer.error().unwrap();
    assert!(error.contains("Open the link"), "{error}");
    guess(&mut person, &waiting, &wrong(&mail.code(), 0)).await;
    assert_eq!(events(&test_app, "wrong_code").await, 11, "by its pass");
    person.click(&mail.link()).await;
    assert!(person.is_signed_in(), "links still work");
    test_app.pass(3660);
    if test_app.app.db.is_postgres() {
        return; // Redis' own clock holds the budget of mails.
    }
    let mut later = test_app.browser();
    let waiting = later.ask(email).await;
    let code = test_app.mail(email).await.code();
    guess(&mut later, &waiting, &code).await;
    assert!(later.is_signed_in(), "codes are on again after an hour");
}

async fn d_3_ten_thousand_flows_give_at_most_thirty_compares_a_day(test_app: TestApp) {
    test_app.configure(ten_an_hour);
    let config = test_app.app.config.get();
    let mut tx = test_app.tx().await;
    let began = tx.now;
    let (address, caller) = (Hash::of(b"victim"), caller());
    let lifetime = config.link_lifetime();
    let (mut compared, mut first_and_last) = (0, (Time(i64::MAX), Time(0)));
    // PostgreSQL is the same code at three times the price: a tenth of the flows there.
    let flows = if test_app.app.db.is_postgres() {
        1_000
    } else {
        10_000
    };
    for n in 0..flows {
        tx.now = began + Duration::from_millis(n * 86_400_000 / flows);
        let holder = FlowHolder::Browser(Plain::generate().hash());
        let open = NewFlow {
            holder: &holder,
            client_id: None,
            canonical: "victim@example.com",
            address_key: &address,
            locale: "en",
            device: "",
            remembered: false,
            destination: None,
            link: None,
            withheld_for: None,
        };
        let flow = flow::open(&tx, open, &config).await.unwrap();
        let has_code = n % 20 == 0;
        if has_code {
            token::create(&tx, flow.id, 8, lifetime, &test_app.app.macs.code)
                .await
                .unwrap();
        }
        let attempt = attempt(&test_app, &config, holder, &caller);
        let code = code::look_up_code(tx.conn(), flow.id, "00000000", &attempt).await;
        let outcome = code::consume(&tx, code.unwrap(), &attempt).await.unwrap();
        let ConsumeOutcome::Refused { reason, .. } = outcome else {
            panic!("one in a hundred million: {outcome:?}")
        };
        match reason {
            ConsumeRefusal::WrongCode if has_code => {
                compared += 1;
                first_and_last = (first_and_last.0.min(tx.now), first_and_last.1.max(tx.now));
            }
            ConsumeRefusal::BudgetSpent if has_code => {}
            ConsumeRefusal::WrongCode => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        compared, 30,
        "no more than thirty, and the day's budget is there to be used"
    );
    assert!(
        first_and_last.1.since(first_and_last.0) > Duration::from_secs(2 * 3600),
        "ten an hour"
    );
}

/// OD-8: the holder of the flow learns what is wrong with a code; each costs an attempt, and a code of
/// another flow is like any wrong one.
async fn d_4_wrong_and_expired_codes_differ_for_the_holder_alone(test_app: TestApp) {
    let mut foreign = test_app.browser();
    foreign.ask("d4-other@example.com").await;
    let foreign_code = test_app.mail("d4-other@example.com").await.code();
    let email = "d4@example.com";
    let mut person = test_app.browser();
    let mut waiting = person.ask(email).await;
    let first = test_app.mail(email).await.code();
    let wrong_page = guess(&mut person, &waiting, &wrong(&first, 0)).await;
    let foreign_page = guess(&mut person, &waiting, &foreign_code).await;
    assert_eq!(wrong_page.error(), foreign_page.error());
    assert_eq!(
        foreign_page.text_of("#tries").as_deref(),
        Some("You have 3 attempts left.")
    );
    let malformed = guess(&mut person, &waiting, "12ab").await;
    assert_eq!(
        malformed.error().as_deref(),
        Some("Enter the 8 digits from the email.")
    );
    assert_eq!(malformed.text_of("#tries"), foreign_page.text_of("#tries"));
    for pause in [31, 61, 121] {
        test_app.pass(pause);
        let answer = person.submit(&waiting, "resend", &[]).await;
        waiting = person.follow(&answer).await;
        assert_eq!(waiting.error(), None, "a new email ends the error");
        test_app.send_due_emails().await;
    }
    let superseded = guess(&mut person, &waiting, &first).await;
    test_app.pass(605);
    let newest = test_app.mails(email).remove(0).code();
    let expired = guess(&mut person, &waiting, &newest).await;
    assert_eq!(superseded.error(), expired.error());
    assert!(expired.error().unwrap().contains("expired"));
    assert_ne!(wrong_page.error(), expired.error());
    assert_eq!(
        expired.text_of("#tries").as_deref(),
        Some("You have one attempt left.")
    );
    // Of a flow that is over no code says anything, right or wrong.
    let mut used = test_app.browser();
    let waiting = used.ask("d4-used@example.com").await;
    let code = test_app.mail("d4-used@example.com").await.code();
    let old = used.clone();
    guess(&mut used, &waiting, &code).await;
    assert!(used.is_signed_in());
    test_app.pass(61);
    let mut over = Vec::new();
    for code in [code.clone(), wrong(&code, 0)] {
        let page = guess(&mut old.clone(), &waiting, &code).await;
        over.push((page.status, page.error(), page.body.len()));
    }
    assert_eq!(over[0], over[1]);
    assert!(over[0].0.is_client_error());
}

async fn d_5_a_code_is_taken_as_people_type_and_paste_it(test_app: TestApp) {
    let shapes: [fn(&str) -> String; 3] = [
        |code| format!(" {} {}\u{a0}", &code[..4], &code[4..]),
        |code| {
            code.chars()
                .map(|c| char::from_u32(u32::from(c) - 0x30 + 0xff10).unwrap())
                .collect()
        },
        |code| format!("{}-{}", &code[..2], &code[2..]),
    ];
    for (n, shape) in shapes.into_iter().enumerate() {
        let email = format!("d5-{n}@example.com");
        let mut person = test_app.browser();
        let waiting = person.ask(&email).await;
        let field = |name: &str| waiting.attribute("form#code input[name=code]", name);
        assert_eq!(field("autocomplete").as_deref(), Some("one-time-code"));
        assert_eq!(field("inputmode").as_deref(), Some("numeric"));
        assert!(
            field("maxlength").is_none_or(|most| most.parse::<usize>().unwrap() >= 16),
            "a paste is not cut"
        );
        let code = test_app.mail(&email).await.code();
        guess(&mut person, &waiting, &shape(&code)).await;
        assert!(person.is_signed_in(), "shape {n}");
    }
}

async fn d_6_the_subject_holds_the_code_and_the_email_names_the_requester(test_app: TestApp) {
    let email = "d6@example.com";
    let mut person = test_app.browser();
    let agent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0";
    person.headers.push(("user-agent", agent.to_owned()));
    person.ask(email).await;
    let mail = test_app.mail(email).await;
    let digits: String = mail.subject.chars().filter(char::is_ascii_digit).collect();
    assert!(!digits.contains(&mail.code()), "{}", mail.subject);
    for words in ["Firefox on Windows", "id.test", "UTC"] {
        assert!(
            mail.text.contains(words) && mail.html.contains(words),
            "{words} in {}",
            mail.text
        );
    }
}

/// OD-8: the POST redirects, what was entered comes back, and after the last attempt the page offers the
/// link, another email and a new start with the same address.
async fn od_8_a_refused_code_survives_a_reload_and_offers_what_is_left(test_app: TestApp) {
    let email = "od8@example.com";
    let mut person = test_app.browser();
    let waiting = person.ask(email).await;
    assert!(waiting.text().contains("work for 10 minutes"));
    assert!(waiting.has("input[name=code][autofocus]"));
    let mail = test_app.mail(email).await;
    let answer = person
        .submit(&waiting, "code", &[("code", &wrong(&mail.code(), 0))])
        .await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    let page = person.follow(&answer).await;
    for _ in 0..2 {
        let again = person.follow(&answer).await;
        assert_eq!((again.status, again.error()), (page.status, page.error()));
        let kept = again.attribute("input[name=code]", "value");
        assert_eq!(kept, Some(wrong(&mail.code(), 0)));
    }
    let mut last = page;
    for n in 1..5 {
        last = guess(&mut person, &waiting, &wrong(&mail.code(), n)).await;
    }
    assert!(!last.has("form#code"), "no field without an attempt");
    assert!(last.has("form#resend") && last.has("a#start-over"));
    let restart = last.attribute("a#start-over", "href").unwrap();
    let redirect = person.open(&restart).await;
    let login = person.follow(&redirect).await;
    let kept = login.attribute("form#sign-in input[name=email]", "value");
    assert_eq!(kept.as_deref(), Some(email));
    person.click(&mail.link()).await;
    assert!(person.is_signed_in(), "the link still works");
}
