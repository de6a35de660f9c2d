//! What the user sees at `/device`.

use entree::config::Budget;
use poem::http::StatusCode;
use sea_orm::{EntityTrait as _, PaginatorTrait as _};
use testkit::page::Page;

use super::{decide, poll, poll_as, prepare, question, start, tokens};
use crate::{
    oauth::{error_of, settle, sign_in_from, signed_in},
    test_app::{Browser, TestApp},
};

on_both!(
    de_4_the_page_waits_for_a_sign_in,
    de_4_the_page_says_who_asks_for_what_from_where,
    de_4_each_device_is_asked_about_and_nothing_is_read_from_the_address,
    de_4_a_decision_is_good_for_its_code_and_its_session_alone,
    de_7_codes_that_are_tried_are_limited_by_session_and_by_network,
);

fn names_of_buttons(page: &Page) -> Vec<String> {
    let body = page.body.split("<button").skip(1);
    body.filter_map(|button| {
        let value = button.split("value=\"").nth(1)?;
        Some(value.split('"').next()?.to_owned())
    })
    .collect()
}

async fn try_code(browser: &mut Browser<'_>, code: &str) -> Page {
    let page = browser.open("/device").await;
    browser
        .submit(&page, "device", &[("user_code", code)])
        .await
}

async fn de_4_the_page_waits_for_a_sign_in(test_app: TestApp) {
    prepare(&test_app);
    let started = start(&test_app, &[("scope", "openid")]).await;
    let mut browser = test_app.browser();
    let answer = browser.open("/device").await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    let login = browser.follow(&answer).await;
    assert!(login.forms("form#cancel").is_empty(), "no client waits");
    let page = sign_in_from(&mut browser, &login, "de4@example.com").await;
    assert_eq!(page.url.path(), "/device", "{}", page.summary());
    let code = started["user_code"].as_str().unwrap();
    let page = browser
        .submit(&page, "device", &[("user_code", code)])
        .await;
    let done = browser
        .submit(&page, "decide", &[("decision", "allow")])
        .await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.summary());
    tokens(&test_app, "tv", &started).await;
    // The handle of the wait is no authorization request.
    let answer = test_app.browser().open("/device").await;
    let txn = answer.location().unwrap();
    let (_, txn) = txn.query_pairs().find(|(name, _)| name == "txn").unwrap();
    let path = format!("/oauth2/authorize/resume?txn={txn}");
    let refused = browser.open(&path).await;
    assert!(refused.status.is_client_error(), "{}", refused.summary());
}

async fn de_4_the_page_says_who_asks_for_what_from_where(test_app: TestApp) {
    prepare(&test_app);
    let mut browser = signed_in(&test_app, "de4b@example.com").await;
    let form = [
        ("client_id", "foreign-tv"),
        ("scope", "openid email offline_access"),
    ];
    let started = start(&test_app, &form).await;
    let page = question(&mut browser, &started).await;
    let text = page.text();
    let code = started["user_code"].as_str().unwrap();
    for part in [
        "The foreign-tv",
        "de4b@example.com",
        code,
        "See your email address",
        "Keep access when you're not using the app",
        "if you started this yourself",
        "isn't on the network",
    ] {
        let text = text.replace('\u{2019}', "'");
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(names_of_buttons(&page), ["deny", "allow"], "deny first");
    assert!(!page.body.contains("class=\"quiet"), "both as large");
    browser.headers.push(("accept-language", "fr".to_owned()));
    let page = question(&mut browser, &started).await;
    assert_eq!(page.attribute("html", "lang").as_deref(), Some("fr"));

    // A device on the network of the browser. Requests without a proxy have the one of the test itself.
    let mut near = signed_in(&test_app, "de4c@example.com").await;
    let answer = {
        let request = near.posted(super::START).body("client_id=tv&scope=openid");
        test_app.call(request).await
    };
    let started = serde_json::from_str(&answer.body).unwrap();
    let page = question(&mut near, &started).await;
    assert!(!page.body.contains("id=\"elsewhere\""), "{}", page.body);
}

async fn de_4_each_device_is_asked_about_and_nothing_is_read_from_the_address(test_app: TestApp) {
    prepare(&test_app);
    let mut browser = signed_in(&test_app, "de4d@example.com").await;
    for _ in 0..2 {
        let started = start(&test_app, &[("scope", "openid")]).await;
        let code = started["user_code"].as_str().unwrap();
        for path in [
            format!("/device?user_code={code}"),
            format!("/device?user_code={code}&decision=allow"),
        ] {
            let page = browser.open(&path).await;
            assert!(!page.body.contains(code), "{path}");
            assert!(page.forms("form#decide").is_empty(), "{path}");
        }
        let page = question(&mut browser, &started).await;
        assert_eq!(page.forms("form#decide").len(), 1, "first-party, too");
        assert_eq!(
            error_of(&poll(&test_app, &started).await),
            "authorization_pending"
        );
        decide(&mut browser, &started, "allow").await;
        tokens(&test_app, "tv", &started).await;
        let over = try_code(&mut browser, code).await;
        assert_eq!(over.status, StatusCode::BAD_REQUEST, "it was decided");
        test_app.configure(|config| {
            config.limits.device_codes = vec![Budget {
                count: 100,
                seconds: 600,
            }];
        });
    }
    let consents = entity::consent::Entity::find();
    let consents = consents.count(test_app.app.db.read()).await.unwrap();
    assert_eq!(consents, 1, "one of the user and the client");
}

async fn de_4_a_decision_is_good_for_its_code_and_its_session_alone(test_app: TestApp) {
    prepare(&test_app);
    let mut browser = signed_in(&test_app, "de4e@example.com").await;
    let (first, second) = (
        start(&test_app, &[("scope", "openid")]).await,
        start(&test_app, &[("scope", "openid")]).await,
    );
    let page = question(&mut browser, &first).await;
    let other = second["user_code"].as_str().unwrap();
    let fill = [("decision", "allow"), ("user_code", other)];
    let refused = browser.submit(&page, "decide", &fill).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "another code");
    let mut stranger = signed_in(&test_app, "de4f@example.com").await;
    let fill = [("decision", "allow")];
    let refused = stranger.submit(&page, "decide", &fill).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "another session");
    for started in [&first, &second] {
        let answer = poll(&test_app, started).await;
        assert_eq!(error_of(&answer), "authorization_pending");
    }
    // Whatever is not "allow" is no permission.
    let denied = browser
        .submit(&page, "decide", &[("decision", "yes")])
        .await;
    let denied = settle(&mut browser, denied).await;
    assert_eq!(denied.status, StatusCode::OK);
    assert_eq!(error_of(&poll(&test_app, &first).await), "access_denied");
    // A client that an operator takes the grant from while its device waits.
    let page = question(&mut browser, &second).await;
    test_app.configure(|config| {
        for client in &mut config.clients {
            if client.client_id == "tv" {
                client.grant_types.clear();
            }
        }
    });
    let over = browser
        .submit(&page, "decide", &[("decision", "allow")])
        .await;
    assert_eq!(over.status, StatusCode::BAD_REQUEST);
    let refused = poll_as(&test_app, "tv", &second).await;
    assert_eq!(error_of(&refused), "unauthorized_client");
}

async fn de_7_codes_that_are_tried_are_limited_by_session_and_by_network(test_app: TestApp) {
    prepare(&test_app);
    let started = start(&test_app, &[("scope", "openid")]).await;
    let code = started["user_code"].as_str().unwrap();
    let mut browser = signed_in(&test_app, "de7a@example.com").await;
    for entered in ["", "BCDF", "1234-5678"] {
        let page = try_code(&mut browser, entered).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "no code: {entered}");
    }
    let wrong = if code.starts_with('B') {
        "CCCC-CCCC"
    } else {
        "BBBB-BBBB"
    };
    for _ in 0..5 {
        let page = try_code(&mut browser, wrong).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST);
    }
    let refused = try_code(&mut browser, code).await;
    assert_eq!(
        refused.status,
        StatusCode::TOO_MANY_REQUESTS,
        "the right one, too"
    );
    // Further sessions of the same network, and then one of another network.
    for at in 0..3 {
        let mut next = signed_in(&test_app, &format!("de7-{at}@example.com")).await;
        next.from.clone_from(&browser.from);
        for _ in 0..5 {
            let page = try_code(&mut next, wrong).await;
            assert_eq!(page.status, StatusCode::BAD_REQUEST, "{at}");
        }
    }
    let mut last = signed_in(&test_app, "de7-last@example.com").await;
    let elsewhere = std::mem::replace(&mut last.from, browser.from.clone());
    let refused = try_code(&mut last, code).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    last.from = elsewhere;
    let page = try_code(&mut last, code).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.summary());
}
