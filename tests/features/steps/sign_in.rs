//! Asking, link, code.

use std::{sync::Arc, time::Duration};

use cucumber::{given, then, when};
use reqwest::Method;
use testkit::{browser::Browser, page::Page};

use super::World;

#[given(expr = "an email was asked for on the {word}")]
async fn asked(world: &mut World, device: String) {
    let before = world.post.all(&world.address).await.len();
    let address = world.address.clone();
    world.ask(&device, &address).await;
    world.mails(before + 1).await;
}

#[when(expr = "an email is asked for on the {word}")]
async fn ask(world: &mut World, device: String) {
    let address = world.address.clone();
    let begin = std::time::Instant::now();
    world.ask(&device, &address).await;
    world.took = begin.elapsed();
}

#[given(expr = "an email to a stranger was asked for on the {word}")]
#[when(expr = "an email to a stranger was asked for on the {word}")]
async fn asked_for_a_stranger(world: &mut World, device: String) {
    let stranger = world.other("stranger");
    world.ask(&device, &stranger).await;
    world.newest(&stranger).await;
}

#[given(expr = "the person signed in on the {word}")]
async fn signed_in(world: &mut World, device: String) {
    let address = world.address.clone();
    world.sign_in(&device, &address).await;
}

#[given(expr = "a neighbour signed in on the {word}")]
async fn neighbour(world: &mut World, device: String) {
    let address = world.other("neighbour");
    world.sign_in(&device, &address).await;
}

#[given(expr = "a thief copies the cookies of the {word}")]
async fn thief(world: &mut World, device: String) {
    let from = world.device(&device).clone();
    world.device("thief").take_cookies(&from);
}

#[given("a service where a second email has to wait for ten minutes")]
async fn patient(world: &mut World) {
    world
        .own_service(|options| options.set("limits.resend_seconds", "[600]"))
        .await;
}

#[given("a service whose clock can be moved")]
async fn clock(world: &mut World) {
    world
        .own_service(|options| options.clock().expect("libfaketime"))
        .await;
}

#[when(expr = "{int} minutes pass")]
async fn time_passes(world: &mut World, minutes: i64) {
    // An email is here before the service has written down that it was taken, which is when its time begins.
    let here = world.post.all(&world.address).await.len();
    let service = &world.service;
    let settled = || async { (service.audited("magic_link.sent").await >= here).then_some(()) };
    testkit::until("every email on record", super::SOON, settled)
        .await
        .unwrap_or_else(|why| panic!("{why}"));
    world.service.shift_clock(minutes * 60).await;
}

#[then("an email arrives")]
async fn a_mail(world: &mut World) {
    world.mails(1).await;
}

#[then(expr = "an email arrives within {int} seconds")]
async fn a_mail_within(world: &mut World, seconds: u64) {
    let found = world
        .post
        .wait(&world.address, 1, Duration::from_secs(seconds))
        .await;
    found.unwrap_or_else(|why| panic!("{why}\n{}", world.page_error()));
}

#[then(expr = "{int} emails arrive")]
async fn mails(world: &mut World, count: usize) {
    assert_eq!(world.mails(count).await.len(), count);
}

#[then(expr = "just {int} email(s) arrive(s)")]
async fn just(world: &mut World, count: usize) {
    world.mails(count).await;
    // What was asked for before the canary has left before it, or never will.
    let canary = world.other("canary");
    world.ask("canary", &canary).await;
    world.newest(&canary).await;
    assert_eq!(world.post.all(&world.address).await.len(), count);
}

#[when(expr = "the link is opened on the {word}")]
async fn open_link(world: &mut World, device: String) {
    let link = world.newest(&world.address).await.link();
    let page = world.device(&device).open(&link).await;
    assert!(page.status.as_u16() < 500, "{}", page.summary());
    world.show(&device, page);
}

#[when(expr = "the button of the link page is pressed on the {word}")]
async fn press(world: &mut World, device: String) {
    let page = world.page(&device).clone();
    let answer = world.device(&device).submit(&page, "link", &[]).await;
    let page = world.device(&device).settle(answer).await;
    world.show(&device, page);
}

#[when(expr = "the button of the link page is pressed twice on the {word}")]
async fn press_twice(world: &mut World, device: String) {
    let page = world.page(&device).clone();
    // The second click of a double click left before the answer to the first came: it has the old cookies.
    let mut second = world.device(&device).clone();
    let one = world.device(&device).submit(&page, "link", &[]).await;
    let two = second.submit(&page, "link", &[]).await;
    world.device(&device).take_cookies(&second);
    world.presses = vec![one, two];
}

#[then("both presses lead to the same place")]
fn same_place(world: &mut World) {
    let target = |page: &Page| {
        page.refresh()
            .or_else(|| page.location())
            .map(|url| url.path().to_owned())
    };
    let (one, two) = (&world.presses[0], &world.presses[1]);
    assert!(target(one).is_some(), "{}", one.summary());
    assert_eq!(target(one), target(two), "{}", two.summary());
}

#[when(expr = "the link is used on the {word}")]
async fn use_link(world: &mut World, device: String) {
    let link = world.newest(&world.address).await.link();
    let page = world.use_link(&device, &link).await;
    world.show(&device, page);
}

#[when(expr = "the link of email {int} is used on the {word}")]
async fn use_link_of(world: &mut World, number: usize, device: String) {
    let link = world.mails(number).await[number - 1].link();
    let page = world.use_link(&device, &link).await;
    world.show(&device, page);
}

#[when(expr = "the link is used on the {word} if it can be")]
async fn try_link(world: &mut World, device: String) {
    try_link_of(world, 1, device).await;
}

#[when(expr = "the link of email {int} is used on the {word} if it can be")]
async fn try_link_of(world: &mut World, number: usize, device: String) {
    let link = world.mails(number).await[number - 1].link();
    let mut page = world.device(&device).open(&link).await;
    if page.has("form#link") {
        page = world.device(&device).submit(&page, "link", &[]).await;
        page = world.device(&device).settle(page).await;
    }
    world.show(&device, page);
}

#[when(expr = "the code is typed on the {word}")]
async fn type_code(world: &mut World, device: String) {
    let code = world.newest(&world.address).await.code();
    let page = world.type_code(&device, &code).await;
    world.show(&device, page);
}

#[when(expr = "the code of email {int} is typed on the {word}")]
async fn type_code_of(world: &mut World, number: usize, device: String) {
    let code = world.mails(number).await[number - 1].code();
    let page = world.type_code(&device, &code).await;
    world.show(&device, page);
}

#[when(expr = "the code of the laptop's email is typed on the {word}")]
async fn type_foreign_code(world: &mut World, device: String) {
    let code = world.mails(1).await[0].code();
    let page = world.type_code(&device, &code).await;
    world.show(&device, page);
}

#[when(expr = "the code is typed as {string} on the {word}")]
async fn type_code_as(world: &mut World, how: String, device: String) {
    let code = world.newest(&world.address).await.code();
    let (a, b) = code.split_at(code.len() / 2);
    let shift = |zero: char| -> String {
        code.chars()
            .filter_map(|c| char::from_u32(zero as u32 + c.to_digit(10)?))
            .collect()
    };
    let typed = match how.as_str() {
        "spaced" => format!(" {a} {b} "),
        "dashed" => format!("{a}-{b}"),
        "full-width" => shift('\u{ff10}'),
        "arabic-indic" => shift('\u{660}'),
        other => panic!("no way to type called {other}"),
    };
    let page = world.type_code(&device, &typed).await;
    world.show(&device, page);
}

#[when(expr = "a wrong code is typed {int} times on the {word}")]
async fn type_wrong(world: &mut World, times: usize, device: String) {
    let right = world.newest(&world.address).await.code();
    for n in 0..times {
        // Another one each time: the same code again would be a double click.
        let shifted = |c: char| (c.to_digit(10).unwrap() as usize + 1 + n % 9) % 10;
        let wrong: String = right.chars().map(|c| shifted(c).to_string()).collect();
        let page = world.type_code(&device, &wrong).await;
        assert!(page.error().is_some(), "{}", page.summary());
        world.show(&device, page);
    }
}

#[when("another email is asked for from the waiting page")]
async fn resend(world: &mut World) {
    let waiting = world.waiting["laptop"].clone();
    let answer = world.device("laptop").submit(&waiting, "resend", &[]).await;
    let page = world.device("laptop").settle(answer).await;
    world.show("laptop", page);
}

#[given("another email is asked for from the waiting page, as soon as that is allowed")]
#[when("another email is asked for from the waiting page, as soon as that is allowed")]
async fn resend_when_allowed(world: &mut World) {
    let waiting = world.waiting["laptop"].clone();
    let before = world.mails(1).await.len();
    let mut browser = world.device("laptop").clone();
    for _ in 0..100 {
        let page = browser.open(waiting.url.as_str()).await;
        if !page.has("#pause") {
            let answer = browser.submit(&page, "resend", &[]).await;
            let page = browser.settle(answer).await;
            world.device("laptop").take_cookies(&browser);
            world.show("laptop", page);
            world.mails(before + 1).await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("another mail was not allowed within 10 s");
}

#[then(expr = "the {word} is signed in")]
async fn is_signed_in(world: &mut World, device: String) {
    assert!(
        world.account(&device).await.is_some(),
        "signed in; before it: {:?}",
        world
    );
}

#[then(expr = "the {word} is not signed in")]
async fn is_not_signed_in(world: &mut World, device: String) {
    let page = world.open(&device, "/account").await;
    assert!(
        !page.status.is_success() || !page.has("form#sign-out"),
        "{}",
        page.summary()
    );
    assert!(page.status.as_u16() < 500, "{}", page.summary());
}

#[then(expr = "the {word} is signed in as the person")]
async fn as_person(world: &mut World, device: String) {
    let account = world.account(&device).await.expect("signed in");
    assert!(
        account
            .text()
            .split_whitespace()
            .any(|word| word == world.address),
        "{}",
        account.summary()
    );
}

#[then(expr = "the {word} is signed in as the neighbour")]
async fn as_neighbour(world: &mut World, device: String) {
    let account = world.account(&device).await.expect("signed in");
    assert!(
        account.text().contains(&world.other("neighbour")),
        "{}",
        account.summary()
    );
}

#[then(expr = "the {word} is asked whether to switch")]
fn asked_to_switch(world: &mut World, device: String) {
    let form = world.page(&device).form("link");
    assert!(
        form.fields
            .iter()
            .any(|(name, value)| name == "switch" && value == "1"),
        "{:?}",
        form.fields
    );
    assert!(
        !world.page(&device).has("form#link[data-auto]"),
        "a page that asks must not answer by itself"
    );
}

#[then(expr = "the {word} shows no form that signs in")]
fn no_form(world: &mut World, device: String) {
    let page = world.page(&device);
    assert!(!page.has("form#link"), "{}", page.summary());
    assert!(
        page.status.is_success() || page.status.is_client_error(),
        "{}",
        page.summary()
    );
}

#[then(expr = "the {word} is refused because the code is wrong")]
#[then(expr = "the {word} is refused with a message")]
#[then(expr = "the {word} is asked to wait")]
fn refused_with_message(world: &mut World, device: String) {
    // The waiting page shows the message after a redirect, so that a reload sends nothing again.
    let page = world.page(&device);
    let is_waiting = page.status.is_success() && (page.has("form#code") || page.has("form#resend"));
    assert!(
        is_waiting || page.status.is_client_error(),
        "{}",
        page.summary()
    );
    assert!(
        page.error().is_some_and(|text| text.len() > 10),
        "{}",
        page.summary()
    );
}

#[then(expr = "the {word} is refused")]
fn refused(world: &mut World, device: String) {
    let page = world.page(&device);
    assert!(page.status.is_client_error(), "{}", page.summary());
}

#[when(expr = "the {word} forgets its sign-in")]
fn forget(world: &mut World, device: String) {
    world.device(&device).forget();
}

#[when(expr = "a scanner fetches every link of the email {int} times by GET, HEAD and OPTIONS")]
async fn scan(world: &mut World, times: usize) {
    let links = world.newest(&world.address).await.links();
    let base = world.service.url.clone();
    for link in links.iter().filter(|link| link.starts_with(&base)) {
        for _ in 0..times {
            for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
                let page = world.device("scanner").bare(method, link).await;
                assert!(page.status.as_u16() < 500, "{}", page.summary());
                assert!(
                    world.device("scanner").cookie("sid").is_none(),
                    "a scanner got a session"
                );
            }
        }
    }
}

#[when(expr = "the link's form is sent from a page of another site on the {word}")]
async fn forged_link(world: &mut World, device: String) {
    let link = world.newest(&world.address).await.link();
    let form = world.device(&device).open(&link).await.form("link");
    let page = world
        .device(&device)
        .forged(&form.action, &form.fields)
        .await;
    world.show(&device, page);
}

#[when(expr = "the link's form is sent without its token on the {word}")]
async fn tokenless_link(world: &mut World, device: String) {
    let link = world.newest(&world.address).await.link();
    let page = world.device(&device).open(&link).await;
    let mut form = page.form("link");
    form.fields.retain(|(name, _)| name != "form_token");
    let page = world.device(&device).send_form(&page, &form, &[]).await;
    world.show(&device, page);
}

#[then(expr = "the page on the {word} forbids referrers, storing, framing and indexing")]
fn strict_headers(world: &mut World, device: String) {
    let page = world.page(&device);
    let has = |name: &str, part: &str| page.header(name).is_some_and(|value| value.contains(part));
    assert!(has("referrer-policy", "no-referrer"), "Referrer-Policy");
    assert!(has("cache-control", "no-store"), "Cache-Control");
    assert!(
        has("content-security-policy", "frame-ancestors 'none'"),
        "frame-ancestors"
    );
    assert!(
        !has("content-security-policy", "unsafe-inline"),
        "unsafe-inline"
    );
    assert!(has("x-robots-tag", "noindex"), "X-Robots-Tag");
}

#[then(expr = "in {int} rounds of {int} presses of one link at once, each round gives one session")]
async fn race_links(world: &mut World, rounds: usize, width: usize) {
    for round in 0..rounds {
        let (address, device) = (world.other(&format!("r{round}")), format!("r{round}"));
        world.ask(&device, &address).await;
        let link = world.newest(&address).await.link();
        let page = world.device(&device).open(&link).await;
        race(world, &device, width, &page, "link", Vec::new()).await;
    }
}

#[then(expr = "in {int} rounds of {int} entries of one code at once, each round gives one session")]
async fn race_codes(world: &mut World, rounds: usize, width: usize) {
    for round in 0..rounds {
        let (address, device) = (world.other(&format!("c{round}")), format!("c{round}"));
        world.ask(&device, &address).await;
        let code = world.newest(&address).await.code();
        let page = world.waiting[&device].clone();
        race(
            world,
            &device,
            width,
            &page,
            "code",
            vec![("code".to_owned(), code)],
        )
        .await;
    }
}

/// Sends one form `width` times at once with the same cookies; afterwards the account must show one session.
async fn race(
    world: &mut World,
    device: &str,
    width: usize,
    page: &Page,
    form: &str,
    fields: Vec<(String, String)>,
) {
    let before = world.device(device).clone();
    let (page, form, fields) = (
        Arc::new(page.clone()),
        Arc::new(page.form(form)),
        Arc::new(fields),
    );
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..width {
        let (mut browser, page, form, fields) =
            (before.clone(), page.clone(), form.clone(), fields.clone());
        tasks.spawn(async move {
            let fields: Vec<_> = fields
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            let answer = browser.send_form(&page, &form, &fields).await;
            (browser, answer)
        });
    }
    let done: Vec<(Browser, Page)> = tasks.join_all().await;
    for (_, answer) in &done {
        assert!(
            answer.status.as_u16() < 500,
            "{}\n{}",
            answer.summary(),
            world.page_error()
        );
    }
    // The browser that got a cookie last holds the session; a double click renews the secret of the same one.
    let mut shown = 0;
    for (browser, _) in &done {
        world.device(device).take_cookies(browser);
        if let Some(account) = world.account(device).await {
            shown += 1;
            assert_eq!(
                account.forms("form.end-session").len(),
                0,
                "one press made a second session"
            );
        }
    }
    assert!(
        shown > 0,
        "no browser was signed in: {}",
        done[0].1.summary()
    );
}
