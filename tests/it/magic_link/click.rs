//! Section C: what a click on the link does, and what only looks like one does not.

use entity::{audit_event, magic_link_flow, session};
use poem::http::{Method, StatusCode};
use sea_orm::{EntityTrait as _, PaginatorTrait as _};
use testkit::mail::Mail;

use crate::test_app::{Browser, PUBLIC, TestApp, encoded, fields, flow_of};

on_both!(
    c_1_a_thousand_gets_leave_the_database_byte_identical,
    c_2_consuming_needs_post_cookie_origin_and_form_token,
    c_2_the_flow_cookie_is_host_only_http_only_and_lax,
    c_3_the_page_posts_by_itself_unless_it_was_fetched_ahead,
    c_4_without_the_cookie_nothing_can_be_consumed_and_the_page_says_what_to_do,
    c_5_a_scanner_that_submits_every_form_gets_and_burns_nothing,
    c_7_a_session_of_another_user_asks_first,
    c_8_the_session_is_new_and_the_old_flow_cookie_dead,
);

/// The state of a flow as its row says it.
async fn state(test_app: &TestApp, flow: uuid::Uuid) -> magic_link_flow::FlowState {
    magic_link_flow::Entity::find_by_id(flow)
        .one(test_app.app.db.read())
        .await
        .unwrap()
        .unwrap()
        .state
}

async fn c_1_a_thousand_gets_leave_the_database_byte_identical(test_app: TestApp) {
    let email = "c1@example.com";
    let mut person = test_app.browser();
    person.ask(email).await;
    let link = test_app.mail(email).await.link();
    let mut other = test_app.browser();
    other.sign_in("other-user@example.com").await;
    let stranger = test_app.browser();
    let before = test_app.stored().await;
    assert!(before.len() > 10_000 || test_app.app.db.is_postgres());
    for n in 0..1000 {
        let visitor = [&person, &other, &stranger][n % 3];
        let method = [Method::GET, Method::HEAD, Method::OPTIONS][n / 3 % 3].clone();
        let request = visitor.request(method.clone(), link.strip_prefix(PUBLIC).unwrap());
        let answer = test_app.call(request.finish()).await;
        let expected = if method == Method::GET {
            StatusCode::OK
        } else {
            StatusCode::METHOD_NOT_ALLOWED
        };
        assert_eq!(answer.status, expected);
    }
    assert!(
        test_app.stored().await == before,
        "reading a link wrote something"
    );
    person.click(&link).await;
    assert!(person.is_signed_in());
    assert!(
        test_app.stored().await != before,
        "the comparison sees a consume"
    );
}

async fn c_2_consuming_needs_post_cookie_origin_and_form_token(test_app: TestApp) {
    type Head = &'static [(&'static str, &'static str)];
    const OWN: Head = &[("origin", "null"), ("sec-fetch-site", "same-origin")];
    let email = "c2@example.com";
    let mut person = test_app.browser();
    let waiting = person.ask(email).await;
    let flow = flow_of(&waiting);
    let mail = test_app.mail(email).await;
    let page = person.open(&mail.link()).await;
    let form = page.form("link");
    let path = form.action.path();
    let right = encoded(&fields(&form, &[]));
    let mut other = test_app.browser();
    other.ask("c2-other@example.com").await;
    let other_link = test_app.mail("c2-other@example.com").await.link();
    let other_token = other
        .open(&other_link)
        .await
        .attribute("form#link input", "value")
        .unwrap();
    let mut without_cookie = test_app.browser();
    without_cookie.from.clone_from(&person.from);
    let token = |value: &str| encoded(&[("form_token".to_owned(), value.to_owned())]);
    let code_token = waiting
        .attribute("form#code input[name=form_token]", "value")
        .unwrap();
    let tries: Vec<(&str, &Browser<'_>, Head, String)> = vec![
        ("no cookie", &without_cookie, OWN, right.clone()),
        ("another browser's cookie", &other, OWN, right.clone()),
        (
            "another browser's cookie and token",
            &other,
            OWN,
            token(&other_token),
        ),
        ("neither origin nor site", &person, &[], right.clone()),
        (
            "origin null alone",
            &person,
            &[("origin", "null")],
            right.clone(),
        ),
        (
            "a sandboxed frame",
            &person,
            &[("origin", "null"), ("sec-fetch-site", "cross-site")],
            right.clone(),
        ),
        (
            "a foreign page",
            &person,
            &[
                ("origin", "https://evil.test"),
                ("sec-fetch-site", "cross-site"),
            ],
            right.clone(),
        ),
        (
            "a sibling",
            &person,
            &[
                ("origin", "https://x.id.test"),
                ("sec-fetch-site", "same-site"),
            ],
            right.clone(),
        ),
        (
            "a foreign origin that says it is ours",
            &person,
            &[
                ("origin", "https://evil.test"),
                ("sec-fetch-site", "same-origin"),
            ],
            right.clone(),
        ),
        ("no form token", &person, OWN, String::new()),
        ("another form's token", &person, OWN, token(&code_token)),
        ("another browser's token", &person, OWN, token(&other_token)),
        ("an empty token", &person, OWN, token("")),
    ];
    for (what, browser, head, body) in tries {
        let mut request = browser.posted(path);
        for (name, value) in head {
            request = request.header(*name, *value);
        }
        let mut browser = browser.clone();
        let answer = browser.send(request.body(body)).await;
        assert!(!browser.is_signed_in(), "{what}: {}", answer.summary());
        assert_eq!(
            state(&test_app, flow).await,
            magic_link_flow::FlowState::Open,
            "{what}"
        );
    }
    for method in [Method::GET, Method::PUT, Method::PATCH, Method::DELETE] {
        let mut browser = person.clone();
        browser
            .send(browser.request(method, &format!("{path}?{right}")).finish())
            .await;
        assert!(!browser.is_signed_in());
    }
    let request = person.posted(path).header("origin", PUBLIC).body(right);
    assert_eq!(
        person.send(request).await.status,
        StatusCode::OK,
        "an old browser that sends Origin alone"
    );
    assert!(person.is_signed_in());
}

async fn c_2_the_flow_cookie_is_host_only_http_only_and_lax(test_app: TestApp) {
    let mut person = test_app.browser();
    let login = person.open("/login").await;
    let line = login.header("set-cookie").unwrap().to_owned();
    assert!(line.starts_with("__Host-Http-pre="), "{line}");
    let parts: Vec<_> = line.split("; ").collect();
    for part in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
        assert!(parts.contains(&part), "{part} in {line}");
    }
    assert!(!line.contains("Domain="));
    let before = person.cookies.clone();
    person.ask("c2b@example.com").await;
    let page = person
        .open(&test_app.mail("c2b@example.com").await.link())
        .await;
    assert!(
        page.header("set-cookie").is_none(),
        "never given on opening a link"
    );
    assert_eq!(person.cookies, before);
    let stranger = test_app.browser().open(page.url.path()).await;
    assert!(stranger.header("set-cookie").is_none(), "nor to a stranger");
}

async fn c_3_the_page_posts_by_itself_unless_it_was_fetched_ahead(test_app: TestApp) {
    let mut person = test_app.browser();
    person.ask("c3@example.com").await;
    let link = test_app.mail("c3@example.com").await.link();
    let page = person.open(&link).await;
    assert!(
        page.has("form#link[data-auto]") && page.has("form#link button"),
        "and a button without scripts"
    );
    for purpose in [
        "prefetch",
        "prefetch;prerender",
        "prefetch;anonymous-client-ip",
    ] {
        let mut ahead = person.clone();
        ahead.headers.push(("sec-purpose", purpose.to_owned()));
        let page = ahead.open(&link).await;
        assert!(
            page.has("form#link button") && !page.has("form#link[data-auto]"),
            "{purpose}"
        );
    }
}

async fn c_4_without_the_cookie_nothing_can_be_consumed_and_the_page_says_what_to_do(
    test_app: TestApp,
) {
    let mut person = test_app.browser();
    person.ask("c4@example.com").await;
    let mail = test_app.mail("c4@example.com").await;
    let mut phone = test_app.browser();
    let page = phone.open(&mail.link()).await;
    assert_eq!(page.status, StatusCode::OK, "a page that helps, no error");
    assert!(
        page.forms("form").iter().all(|form| !form.post),
        "{}",
        page.summary()
    );
    assert!(
        page.text().to_lowercase().contains("code") && page.has("a#restart"),
        "{}",
        page.summary()
    );
    // OD-12: a link that never existed says so.
    let unknown = phone.open(&format!("/login/link/{}", "A".repeat(43))).await;
    assert_eq!(unknown.status, StatusCode::GONE);
    assert!(unknown.text().contains("doesn't work") && unknown.has("a#next"));
    let mut french = test_app.browser();
    french
        .headers
        .push(("accept-language", "fr-CH, fr;q=0.9".to_owned()));
    let translated = french.open(&mail.link()).await;
    assert_eq!(translated.attribute("html", "lang").as_deref(), Some("fr"));
    assert_ne!(translated.text(), page.text());
    person.click(&mail.link()).await;
    assert!(person.is_signed_in(), "the link stays valid");
}

/// Opens every link of a mail every way, follows what it finds there, and submits every form.
async fn scan(test_app: &TestApp, mail: &Mail) {
    let mut scanner = test_app.browser();
    for link in mail.links() {
        let path = link
            .strip_prefix(PUBLIC)
            .expect("the mail links to us alone")
            .to_owned();
        for method in [Method::HEAD, Method::GET, Method::GET] {
            scanner.send(scanner.request(method, &path).finish()).await;
        }
        let page = scanner.open(&path).await;
        let mut pages = vec![page.clone()];
        for link in page.links() {
            pages.push(scanner.open(link.as_str()).await);
        }
        for page in pages {
            for form in page.forms("form") {
                let fill: Vec<(&str, &str)> = form
                    .open
                    .iter()
                    .map(|(name, _)| (name.as_str(), "1"))
                    .collect();
                let request = scanner.filled(&page, &form, &fill);
                scanner.send(request).await;
            }
        }
        // A guess at the form itself, with whatever cookies it was given.
        let guess = scanner
            .posted(&path)
            .header("origin", PUBLIC)
            .header("sec-fetch-site", "same-origin");
        scanner.send(guess.body("form_token=x&switch=1")).await;
    }
    assert!(!scanner.is_signed_in() && scanner.account().await.is_none());
}

async fn c_5_a_scanner_that_submits_every_form_gets_and_burns_nothing(test_app: TestApp) {
    for (n, wait) in [0, 22, 540].into_iter().enumerate() {
        let email = format!("c5-{wait}@example.com");
        let mut person = test_app.browser();
        person.ask(&email).await;
        let mail = test_app.mail(&email).await;
        test_app.pass(wait);
        scan(&test_app, &mail).await;
        assert_eq!(
            session::Entity::find()
                .count(test_app.app.db.read())
                .await
                .unwrap(),
            n as u64
        );
        person.click(&mail.link()).await;
        assert!(person.is_signed_in(), "the person, {wait} s after the mail");
    }
}

async fn c_7_a_session_of_another_user_asks_first(test_app: TestApp) {
    for by_link in [true, false] {
        let (first, second) = (
            format!("first-{by_link}@example.com"),
            format!("second-{by_link}@example.com"),
        );
        let mut person = test_app.browser();
        person.sign_in(&first).await;
        let sid = person.cookies["__Host-Http-sid"].clone();
        let waiting = person.ask(&second).await;
        let flow = flow_of(&waiting);
        let mail = test_app.mail(&second).await;
        let code = mail.code();
        let (page, form) = if by_link {
            (person.open(&mail.link()).await, "link")
        } else {
            (waiting, "code")
        };
        assert!(
            page.text().contains(&first),
            "it says who is signed in: {}",
            page.summary()
        );
        assert!(
            !page.has("form#link[data-auto]"),
            "no page leaves a session by itself"
        );
        let mut all = page.form(form);
        all.fields.retain(|(name, _)| name != "switch");
        let fill: &[(&str, &str)] = if by_link { &[] } else { &[("code", &code)] };
        let request = person.filled(&page, &all, fill);
        let asked = person.send(request).await;
        if by_link {
            assert_eq!(asked.status, StatusCode::CONFLICT, "{}", asked.summary());
        } else {
            // OD-8: the code is still in its field, so that consent is one press.
            let again = person.follow(&asked).await;
            assert!(again.has("#switch[role=alert]"), "{}", again.summary());
            let kept = again.attribute("input[name=code]", "value");
            assert_eq!(kept.as_deref(), Some(code.as_str()));
        }
        assert_eq!(
            state(&test_app, flow).await,
            magic_link_flow::FlowState::Open,
            "nothing is consumed"
        );
        assert_eq!(person.cookies["__Host-Http-sid"], sid);
        assert!(person.account().await.unwrap().contains(&first));
        let asked = match by_link {
            true => asked,
            false => person.follow(&asked).await,
        };
        let done = person.submit(&asked, form, fill).await;
        assert_eq!(done.status, StatusCode::OK, "{}", done.summary());
        let account = person.account().await.unwrap();
        assert!(account.contains(&second) && !account.contains(&first));
        let mut old = test_app.browser();
        old.cookies.insert("__Host-Http-sid".to_owned(), sid);
        assert!(
            old.account().await.is_none(),
            "the session that was left has ended"
        );
    }
}

async fn c_8_the_session_is_new_and_the_old_flow_cookie_dead(test_app: TestApp) {
    let email = "c8@example.com";
    let mut person = test_app.browser();
    // An attacker planted a session id of their choice.
    let planted = "A".repeat(43);
    person
        .cookies
        .insert("__Host-Http-sid".to_owned(), planted.clone());
    person.ask(email).await;
    let first = test_app.mail(email).await.link();
    // With another choice it is another flow.
    let login = person.open("/login").await;
    let fields = [("email", email), ("remember", "1")];
    person.submit(&login, "sign-in", &fields).await;
    let second = test_app.mail(email).await.link();
    assert_ne!(first, second);
    let mut old = person.clone();
    old.cookies.remove("__Host-Http-sid");
    person.click(&first).await;
    let sid = person.cookies["__Host-Http-sid"].clone();
    assert_ne!(sid, planted);
    assert_ne!(
        person.cookies["__Host-Http-pre"], old.cookies["__Host-Http-pre"],
        "the flow cookie is replaced"
    );
    // What was pending under the old cookie is the new one's: the old one opens nothing.
    let page = old.open(&second).await;
    assert!(!page.has("form#link"), "{}", page.summary());
    test_app.pass(61);
    assert!(!old.open(&first).await.has("form#link"));
    // The same person once more: the same session, under a new secret.
    let page = person.open(&second).await;
    person.submit(&page, "link", &[]).await;
    assert_ne!(person.cookies["__Host-Http-sid"], sid);
    assert_eq!(
        session::Entity::find()
            .count(test_app.app.db.read())
            .await
            .unwrap(),
        1
    );
    let signed = audit_event::Entity::find()
        .all(test_app.app.db.read())
        .await
        .unwrap();
    assert_eq!(
        signed
            .iter()
            .filter(|event| event.kind == "session.signed_in")
            .count(),
        2
    );
}
