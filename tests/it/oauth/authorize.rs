//! The authorization endpoint (AZ), and where it sends people (F1).

use poem::http::{Method, StatusCode};
use testkit::page::Page;

use crate::{
    oauth::{
        Attempt, CALLBACK, leads_to_client, parameter, register, settle, sign_in_from, signed_in,
    },
    test_app::{PUBLIC, TestApp, encoded},
};

/// What an answer in a redirect may carry (AZ-16).
const ANSWER: [&str; 5] = ["code", "error", "error_description", "state", "iss"];

fn names(answer: &Page) -> Vec<String> {
    answer
        .location()
        .unwrap()
        .query_pairs()
        .map(|(name, _)| name.into_owned())
        .collect()
}

on_both!(
    az_17_se_3_a_signed_in_user_gets_a_code_without_a_page,
    az_1_a_post_from_another_site_goes_on_as_our_own_get,
    az_1_what_is_broken_in_a_posted_request_is_refused_as_in_a_get,
    rfc_8252_nothing_on_the_device_gets_a_code_without_a_page,
    az_1_es_1_a_posted_sign_out_keeps_its_hint_out_of_urls,
    az_21_bs_06_a_pending_request_is_its_browsers_alone,
    az_21_the_first_tab_takes_the_request_and_the_other_says_so,
    bs_04_requests_that_wait_in_other_tabs_go_on_after_a_sign_in,
);

async fn az_17_se_3_a_signed_in_user_gets_a_code_without_a_page(test_app: TestApp) {
    register(&test_app);
    let mut browser = test_app.browser();
    let asked = browser.open(&Attempt::new().path()).await;
    assert_eq!(
        (asked.status, asked.location().unwrap().path()),
        (StatusCode::SEE_OTHER, "/login")
    );
    let login = browser.follow(&asked).await;
    let back = sign_in_from(&mut browser, &login, "az17@example.com").await;
    assert!(leads_to_client(&back), "{}", back.summary());
    let again = browser.open(&Attempt::new().path()).await;
    let mut codes = std::collections::BTreeSet::new();
    for answer in [&back, &again] {
        assert_eq!(answer.status, StatusCode::SEE_OTHER);
        assert!(leads_to_client(answer));
        assert_eq!(parameter(answer, "state").as_deref(), Some("the state"));
        assert_eq!(
            parameter(answer, "iss").as_deref(),
            Some(PUBLIC),
            "RFC 9207 §2"
        );
        let code = parameter(answer, "code").unwrap();
        assert_eq!(code.len(), 43, "32 bytes in base64url");
        assert!(
            names(answer)
                .iter()
                .all(|name| ANSWER.contains(&name.as_str()))
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert!(codes.insert(code), "each code is its own");
    }
}

async fn az_21_bs_06_a_pending_request_is_its_browsers_alone(test_app: TestApp) {
    register(&test_app);
    let (mut mine, mut other) = (test_app.browser(), test_app.browser());
    let asked = mine.open(&Attempt::new().path()).await;
    let at = asked.location().unwrap();
    let path = &at[url::Position::BeforePath..];
    let login = mine.open(path).await;
    assert!(login.has("form#sign-in"), "{}", login.summary());
    // Without any cookie, with a cookie of its own, and signed in.
    for status in [StatusCode::BAD_REQUEST, StatusCode::GONE] {
        let refused = other.open(path).await;
        assert_eq!(refused.status, status, "{}", refused.summary());
        assert!(!refused.has("form#sign-in"));
        other.open("/login").await;
    }
    other.sign_in("az21-thief@example.com").await;
    assert_eq!(other.open(path).await.status, StatusCode::GONE);
    let resume = path.replace("/login?", "/oauth2/authorize/resume?");
    let stolen = other.open(&resume).await;
    assert_eq!(stolen.status, StatusCode::GONE, "{}", stolen.summary());
    // Nothing of it was spent by that.
    let back = sign_in_from(&mut mine, &login, "az21@example.com").await;
    assert!(leads_to_client(&back), "{}", back.summary());
}

/// OD-9: the other tab leads to the client's home page, and so does the request that is spent.
async fn az_21_the_first_tab_takes_the_request_and_the_other_says_so(test_app: TestApp) {
    register(&test_app);
    let mut browser = test_app.browser();
    let asked = browser.open(&Attempt::new().path()).await;
    let login = browser.follow(&asked).await;
    let sent = browser
        .submit(&login, "sign-in", &[("email", "tabs@example.com")])
        .await;
    let waiting = browser.follow(&sent).await;
    let link = test_app.mail("tabs@example.com").await.link();
    let done = browser.click(&link).await;
    let path = done.refresh().expect("a page that goes on")[url::Position::BeforePath..].to_owned();
    assert_eq!(
        path,
        format!(
            "/login/continue?flow={}&client=web",
            crate::test_app::flow_of(&waiting)
        )
    );
    let link_tab = browser.open(&path).await;
    let waiting_tab = browser.open(&path).await;
    assert!(leads_to_client(
        &settle(&mut browser, link_tab.clone()).await
    ));
    assert_eq!(waiting_tab.status, StatusCode::OK);
    assert!(
        waiting_tab.location().is_none() && waiting_tab.refresh().is_none(),
        "{}",
        waiting_tab.summary()
    );
    let home = waiting_tab.attribute("a#client", "href").unwrap();
    let root = url::Url::parse(CALLBACK).unwrap().join("/").unwrap();
    assert_eq!(home, root.as_str());
    // The resumed request is spent too.
    let spent = browser.follow(&link_tab).await;
    assert_eq!(spent.status, StatusCode::GONE, "{}", spent.summary());
    assert!(spent.has("a#client"), "{}", spent.summary());
    test_app.configure(|config| {
        let client = config.clients.iter_mut().find(|one| one.client_id == "web");
        client.unwrap().client_uri = "https://app.test/start".to_owned();
    });
    let late = browser.open(&path).await;
    assert_eq!(late.header("location"), Some("https://app.test/start"));
}

/// ST-04: what was pending under the old cookie goes on under the new one.
async fn bs_04_requests_that_wait_in_other_tabs_go_on_after_a_sign_in(test_app: TestApp) {
    register(&test_app);
    let email = "tabs2@example.com";
    let mut browser = test_app.browser();
    // A first tab waits for a mail, a second one shows the form of another request, a third one signs in.
    let first = browser
        .open(&Attempt::new().with("state", "one").path())
        .await;
    let first = browser.follow(&first).await;
    let first = browser.submit(&first, "sign-in", &[("email", email)]).await;
    let first = browser.follow(&first).await;
    test_app.mail(email).await;
    test_app.pass(1);
    let second = browser
        .open(&Attempt::new().with("state", "two").path())
        .await;
    let third = browser
        .open(&Attempt::new().with("state", "three").path())
        .await;
    let third = browser.follow(&third).await;
    let third = sign_in_from(&mut browser, &third, email).await;
    assert_eq!(parameter(&third, "state").as_deref(), Some("three"));
    // Each goes on with the session once its page is loaded again.
    let first = browser.open(&first.url[url::Position::BeforePath..]).await;
    let first = settle(&mut browser, first).await;
    let second = settle(&mut browser, second).await;
    for (page, state) in [(first, "one"), (second, "two")] {
        let found = parameter(&page, "state");
        assert_eq!(found.as_deref(), Some(state), "{}", page.summary());
    }
}

async fn az_1_a_post_from_another_site_goes_on_as_our_own_get(test_app: TestApp) {
    register(&test_app);
    let mut browser = signed_in(&test_app, "az1@example.com").await;
    let attempt = Attempt::new()
        .with("state", "a b&c=d+é")
        .with("login_hint", "hint@example.com");
    let mut foreign = test_app.browser();
    let to = posted(&mut foreign, "/oauth2/authorize", &attempt.parameters).await;
    assert!(
        foreign.cookies.is_empty(),
        "nothing is kept for a request without our cookie"
    );
    // A reload works; what waits is no secret, and whose browser comes for it decides who answers.
    for _ in 0..2 {
        let back = browser.open(&to).await;
        assert!(leads_to_client(&back), "{}", back.summary());
        assert_eq!(parameter(&back, "state").as_deref(), Some("a b&c=d+é"));
    }
    let asked = foreign.open(&to).await;
    let login = foreign.follow(&asked).await;
    assert_eq!(
        login.attribute("input[name=email]", "value").as_deref(),
        Some("hint@example.com")
    );
    // An error is reported as for a GET.
    let wrong = attempt.clone().with("response_type", "token");
    let to = posted(&mut foreign, "/oauth2/authorize", &wrong.parameters).await;
    assert_eq!(
        parameter(&browser.open(&to).await, "error").as_deref(),
        Some("unsupported_response_type")
    );
    for bad in ["posted=x", "posted=", &format!("posted={}", "A".repeat(43))] {
        let answer = browser.open(&format!("/oauth2/authorize?{bad}")).await;
        assert!(
            answer.status.is_client_error(),
            "{bad}: {}",
            answer.summary()
        );
    }
}

/// Posts as a page of another site does; gives where that leads: to our GET, with nothing of the request in its URL.
async fn posted(
    browser: &mut crate::test_app::Browser<'_>,
    path: &str,
    parameters: &[(String, String)],
) -> String {
    let request = browser
        .posted(path)
        .header("origin", "https://app.example")
        .header("sec-fetch-site", "cross-site")
        .body(encoded(parameters));
    let answer = browser.send(request).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.summary());
    let to = answer.location().unwrap();
    assert_eq!(
        (to.origin().ascii_serialization().as_str(), to.path()),
        (PUBLIC, path)
    );
    let names: Vec<String> = to
        .query_pairs()
        .map(|(name, _)| name.into_owned())
        .collect();
    assert_eq!(names, ["posted"]);
    // The random handle may hold a short value by chance.
    for (name, value) in parameters.iter().filter(|(_, value)| value.len() > 8) {
        let encoded: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
        assert!(
            !to.as_str().contains(&encoded) && !to.as_str().contains(value.as_str()),
            "{name} stands in {to}"
        );
    }
    to[url::Position::BeforePath..].to_owned()
}

async fn az_1_es_1_a_posted_sign_out_keeps_its_hint_out_of_urls(test_app: TestApp) {
    register(&test_app);
    test_app.configure(|config| {
        for client in &mut config.clients {
            client.post_logout_redirect_uris = vec!["https://app.example/bye".to_owned()];
        }
    });
    let mut browser = signed_in(&test_app, "es1@example.com").await;
    let tokens = Attempt::new().tokens(&mut browser).await;
    let asked = [
        ("id_token_hint", tokens["id_token"].as_str().unwrap()),
        ("post_logout_redirect_uri", "https://app.example/bye"),
        ("state", "the state"),
    ];
    let asked = asked.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let to = posted(&mut test_app.browser(), "/oauth2/logout", &asked).await;
    let gone = browser.open(&to).await;
    assert_eq!(
        gone.location().unwrap().as_str(),
        "https://app.example/bye?state=the+state"
    );
    assert!(browser.account().await.is_none());
}

#[tokio::test]
async fn az_1_posted_requests_have_the_budget_of_client_requests_and_an_end() {
    let test_app = TestApp::embedded().await;
    register(&test_app);
    test_app.configure(|config| {
        config.limits.authorize = vec![entree::config::Budget {
            count: 3,
            seconds: 600,
        }]
    });
    let mut browser = test_app.browser();
    let parameters = Attempt::new().parameters;
    let to = posted(&mut browser, "/oauth2/authorize", &parameters).await;
    for _ in 0..2 {
        posted(&mut browser, "/oauth2/authorize", &parameters).await;
    }
    // Beyond it nothing is stored: what fits a URL goes on there, and more is refused.
    let request = browser
        .posted("/oauth2/authorize")
        .body(encoded(&parameters));
    let unstored = browser.send(request).await;
    assert_eq!(unstored.status, StatusCode::SEE_OTHER);
    assert!(unstored.location().unwrap().as_str().contains("client_id="));
    let more = Attempt::new().with("nonce", &"x".repeat(4096));
    for body in [encoded(&more.parameters), "client_id=a b\"<".to_owned()] {
        let request = browser.posted("/oauth2/authorize").body(body);
        let refused = browser.send(request).await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    }
    let long = Attempt::new().with("nonce", &"x".repeat(17_000));
    let request = test_app
        .browser()
        .posted("/oauth2/authorize")
        .body(encoded(&long.parameters));
    assert_eq!(test_app.call(request).await.status, StatusCode::BAD_REQUEST);
    test_app.pass(301);
    assert_eq!(test_app.browser().open(&to).await.status, StatusCode::GONE);
}

/// OA-3: a neighbour spends the network's budget, and none of a device that signed in before.
#[tokio::test]
async fn oa_3_a_known_device_has_a_budget_of_client_requests_of_its_own() {
    let test_app = TestApp::embedded().await;
    register(&test_app);
    let mut known = signed_in(&test_app, "known@example.com").await;
    test_app.configure(|config| {
        config.limits.authorize = vec![entree::config::Budget {
            count: 3,
            seconds: 600,
        }]
    });
    let path = Attempt::new().with("prompt", "login").path();
    let mut neighbour = test_app.browser();
    neighbour.from.clone_from(&known.from);
    for _ in 0..3 {
        neighbour.open(&path).await;
    }
    let refused = neighbour.open(&path).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    for _ in 0..3 {
        assert_eq!(known.open(&path).await.status, StatusCode::SEE_OTHER);
    }
    let spent = known.open(&path).await;
    assert_eq!(spent.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn az_21_to_take_a_request_up_again_has_the_budget_of_client_requests() {
    let test_app = TestApp::embedded().await;
    register(&test_app);
    let budget = |count| {
        test_app.configure(|config| {
            config.limits.authorize = vec![entree::config::Budget {
                count,
                seconds: 600,
            }]
        })
    };
    budget(3);
    let mut browser = test_app.browser();
    let asked = browser.open(&Attempt::new().path()).await;
    let login = browser.follow(&asked).await;
    let sent = browser
        .submit(&login, "sign-in", &[("email", "again@example.com")])
        .await;
    let flow = crate::test_app::flow_of(&browser.follow(&sent).await);
    let restart = format!("/login/restart?flow={flow}");
    for status in [
        StatusCode::SEE_OTHER,
        StatusCode::SEE_OTHER,
        StatusCode::TOO_MANY_REQUESTS,
    ] {
        assert_eq!(browser.open(&restart).await.status, status);
    }
    browser
        .click(&test_app.mail("again@example.com").await.link())
        .await;
    // The browser has signed in, so that its device has a budget of its own (OA-3).
    let go_on = format!("/login/continue?flow={flow}");
    let first = browser.open(&go_on).await;
    assert!(leads_to_client(&settle(&mut browser, first).await));
    for _ in 0..3 {
        assert_eq!(browser.open(&go_on).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn f_1_az_2_az_3_no_redirect_goes_to_an_unregistered_uri() {
    let test_app = TestApp::embedded().await;
    register(&test_app);
    // With a session the redirect would be immediate.
    let mut browser = signed_in(&test_app, "f1@example.com").await;
    let payloads = include_str!("../vectors/redirects.jsonl").lines();
    let mut tried = 0;
    for line in payloads {
        let payload: String = serde_json::from_str(line).unwrap();
        for attempt in [
            Attempt::new().with("redirect_uri", &payload),
            Attempt::new()
                .with("redirect_uri", &payload)
                .with("prompt", "none"),
            Attempt::new()
                .with("redirect_uri", &payload)
                .with("response_type", "token"),
        ] {
            let answer = browser.open(&attempt.path()).await;
            assert_eq!(
                answer.status,
                StatusCode::BAD_REQUEST,
                "{line}: {}",
                answer.summary()
            );
            assert!(
                answer.header("location").is_none() && answer.refresh().is_none(),
                "{line}"
            );
            assert!(
                answer.body.contains("redirect_uri"),
                "the page names the parameter: {line}"
            );
            assert!(
                !answer.body.contains("evil.example"),
                "{line}: the page does not repeat it"
            );
        }
        tried += 1;
    }
    assert!(tried >= 200, "{tried}");
}

#[tokio::test]
async fn f_1_no_other_parameter_leads_out_of_our_pages() {
    let test_app = TestApp::embedded().await;
    register(&test_app);
    let mut browser = signed_in(&test_app, "f1b@example.com").await;
    for path in [
        "/login",
        "/login/continue",
        "/login/sent",
        "/login/restart",
        "/account",
        "/logged-out",
        "/",
    ] {
        for name in [
            "next",
            "return_to",
            "redirect_uri",
            "continue",
            "url",
            "to",
            "txn",
            "flow",
        ] {
            for value in [
                "https://evil.example",
                "//evil.example",
                "/\\evil.example",
                "javascript:alert(1)",
            ] {
                let query = encoded(&[(name.to_owned(), value.to_owned())]);
                let answer = browser.open(&format!("{path}?{query}")).await;
                let to = answer.location().or_else(|| answer.refresh());
                assert!(
                    to.is_none_or(|to| to.origin().ascii_serialization() == PUBLIC),
                    "{path}?{query}"
                );
                assert!(
                    !answer.body.contains("evil.example") && !answer.body.contains("javascript:"),
                    "{path}?{query}"
                );
            }
        }
    }
}

#[tokio::test]
async fn az_3_a_registered_query_is_kept_and_a_loopback_port_is_free() {
    let test_app = TestApp::embedded().await;
    register(&test_app);
    let mut browser = signed_in(&test_app, "az3@example.com").await;
    let answer = browser
        .open(
            &Attempt::new()
                .with("redirect_uri", "https://app.example/q?a=1")
                .path(),
        )
        .await;
    let location = answer.header("location").unwrap();
    assert!(
        location.starts_with("https://app.example/q?a=1&code="),
        "{location}"
    );
    for place in LOOPBACK {
        let done = allowed(&mut browser, &Attempt::new().with("redirect_uri", place)).await;
        assert!(done.starts_with(&format!("{place}?code=")), "{done}");
    }
}

const LOOPBACK: [&str; 3] = [
    "http://127.0.0.1:50123/cb",
    "http://[::1]:1/cb",
    "http://127.0.0.1/cb",
];

/// Presses the button of the question that a request leads to; gives where that goes.
async fn allowed(browser: &mut crate::test_app::Browser<'_>, attempt: &Attempt) -> String {
    let asked = browser.open(&attempt.path()).await;
    let question = settle(browser, asked).await;
    let done = browser
        .submit(&question, "consent", &[("decision", "allow")])
        .await;
    done.attribute("meta[http-equiv=refresh]", "content")
        .expect("a page that goes on")
        .split_once("url=")
        .unwrap()
        .1
        .to_owned()
}

async fn rfc_8252_nothing_on_the_device_gets_a_code_without_a_page(test_app: TestApp) {
    register(&test_app);
    test_app.configure(|config| {
        let app = &mut config.clients[0];
        app.redirect_uris.push("com.example.app:/cb".to_owned());
        let mut keeper = app.clone();
        keeper.client_id = "keeper".to_owned();
        keeper.token_endpoint_auth_method = entree::config::ClientAuth::ClientSecretBasic;
        keeper.client_secret_sha256 = vec!["ab".repeat(32)];
        config.clients.push(keeper);
    });
    let mut browser = signed_in(&test_app, "device@example.com").await;
    for place in LOOPBACK.into_iter().chain(["com.example.app:/cb"]) {
        let attempt = Attempt::new().with("redirect_uri", place);
        let silent = browser
            .open(&attempt.clone().with("prompt", "none").path())
            .await;
        assert_eq!(
            parameter(&silent, "error").as_deref(),
            Some("consent_required"),
            "{place}"
        );
        // Each time: what was allowed before says nothing of who waits there now.
        for _ in 0..2 {
            let asked = browser.open(&attempt.path()).await;
            let question = settle(&mut browser, asked).await;
            assert!(
                question.has("form#consent") && question.body.contains("on this device"),
                "{}",
                question.summary()
            );
            assert!(
                allowed(&mut browser, &attempt)
                    .await
                    .starts_with(&format!("{place}?code="))
            );
        }
    }
    let third = Attempt::new().with("client_id", "foreign");
    allowed(&mut browser, &third).await;
    assert!(
        leads_to_client(&browser.open(&third.path()).await),
        "allowed once, for the web"
    );
    let asked = browser
        .open(&third.with("redirect_uri", LOOPBACK[0]).path())
        .await;
    assert_eq!(
        asked.location().unwrap().path(),
        "/consent",
        "and not for the device"
    );
    // A secret keeps others from using the code.
    let answer = browser
        .open(
            &Attempt::new()
                .with("client_id", "keeper")
                .with("redirect_uri", LOOPBACK[0])
                .path(),
        )
        .await;
    assert!(parameter(&answer, "code").is_some(), "{}", answer.summary());

    // Who signs in for it has seen the page that names the application.
    let mut newcomer = test_app.browser();
    let asked = newcomer
        .open(&Attempt::new().with("redirect_uri", LOOPBACK[0]).path())
        .await;
    let login = newcomer.follow(&asked).await;
    let back = sign_in_from(&mut newcomer, &login, "newcomer@example.com").await;
    assert!(
        back.location()
            .unwrap()
            .as_str()
            .starts_with("http://127.0.0.1:50123/cb?code="),
        "{}",
        back.summary()
    );
}

async fn az_1_what_is_broken_in_a_posted_request_is_refused_as_in_a_get(test_app: TestApp) {
    register(&test_app);
    let mut browser = signed_in(&test_app, "az1b@example.com").await;
    let good = encoded(&Attempt::new().parameters);
    for broken in [
        "prompt=login%zz",
        "max_age=%zz",
        "nonce=%ff",
        "state=a&state=%ff",
        "scope=openid&scope=%",
    ] {
        let query = format!("{good}&{broken}");
        let own = browser.open(&format!("/oauth2/authorize?{query}")).await;
        let request = test_app.browser().posted("/oauth2/authorize").body(query);
        let posted = test_app.call(request).await;
        let back = browser.follow(&posted).await;
        for answer in [&own, &back] {
            assert_eq!(
                parameter(answer, "error").as_deref(),
                Some("invalid_request"),
                "{broken}: {}",
                answer.summary()
            );
        }
        assert_eq!(own.location(), back.location(), "{broken}");
    }
    // Hints never fail a request (AZ-10), and a parameter of the client's own is none of ours (AZ-6).
    for ignored in [
        "claims=%ff",
        "ui_locales=%zz",
        "display=%ff",
        "login_hint=%ff",
        "acr_values=%",
        "posted=foo",
    ] {
        let answer = browser
            .open(&format!("/oauth2/authorize?{good}&{ignored}"))
            .await;
        assert!(
            parameter(&answer, "code").is_some(),
            "{ignored}: {}",
            answer.summary()
        );
    }
}

#[tokio::test]
async fn az_2_an_error_page_escapes_what_it_was_given() {
    let test_app = TestApp::embedded().await;
    register(&test_app);
    let mut browser = test_app.browser();
    for name in ["client_id", "redirect_uri"] {
        let answer = browser
            .open(
                &Attempt::new()
                    .with(name, "\"><script>alert(1)</script>")
                    .path(),
            )
            .await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert!(!answer.body.contains("<script>alert"), "{name}");
        assert!(answer.text().contains(name), "{}", answer.summary());
        assert!(answer.has("#error[role=alert]"));
    }
}

#[tokio::test]
async fn az_5_az_12_az_15_az_16_errors_go_back_with_state_and_issuer() {
    let test_app = TestApp::embedded().await;
    register(&test_app);
    let mut browser = signed_in(&test_app, "az5@example.com").await;
    for (attempt, error) in [
        (Attempt::new().without("response_type"), "invalid_request"),
        (
            Attempt::new().with("response_type", "token"),
            "unsupported_response_type",
        ),
        (
            Attempt::new().with("response_type", "code id_token"),
            "unsupported_response_type",
        ),
        (
            Attempt::new().with("response_mode", "fragment"),
            "invalid_request",
        ),
        (Attempt::new().without("code_challenge"), "invalid_request"),
        (
            Attempt::new().with("code_challenge_method", "plain"),
            "invalid_request",
        ),
        (
            Attempt::new().with("prompt", "none login"),
            "invalid_request",
        ),
        (Attempt::new().with("max_age", "soon"), "invalid_request"),
        (Attempt::new().with("request", "x"), "request_not_supported"),
        (
            Attempt::new().with("request_uri", "https://app.example/r"),
            "request_uri_not_supported",
        ),
    ] {
        let answer = browser.open(&attempt.path()).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.summary());
        assert!(leads_to_client(&answer));
        assert_eq!(parameter(&answer, "error").as_deref(), Some(error));
        assert_eq!(parameter(&answer, "state").as_deref(), Some("the state"));
        assert_eq!(parameter(&answer, "iss").as_deref(), Some(PUBLIC));
        assert!(
            names(&answer)
                .iter()
                .all(|name| ANSWER.contains(&name.as_str()) && name != "code")
        );
    }
}

#[tokio::test]
async fn az_8_state_comes_back_as_sent_in_answers_and_errors() {
    let test_app = TestApp::embedded().await;
    register(&test_app);
    let mut browser = signed_in(&test_app, "az8@example.com").await;
    let long = "-._~aZ09".repeat(48);
    for state in [long.as_str(), "a b+c%20&=#?", "ünï ✓", "\"'<>\\"] {
        for attempt in [
            Attempt::new(),
            Attempt::new().with("response_type", "token"),
        ] {
            let answer = browser.open(&attempt.with("state", state).path()).await;
            assert_eq!(parameter(&answer, "state").as_deref(), Some(state));
        }
    }
    for attempt in [
        Attempt::new(),
        Attempt::new().with("response_type", "token"),
    ] {
        let answer = browser.open(&attempt.without("state").path()).await;
        assert!(
            leads_to_client(&answer) && parameter(&answer, "state").is_none(),
            "absent in, absent out"
        );
    }
}

#[tokio::test]
async fn az_11_a_hint_fills_the_field_and_does_nothing_else() {
    let test_app = TestApp::embedded().await;
    register(&test_app);
    signed_in(&test_app, "known@example.com").await;
    let mut pages = Vec::new();
    for hint in ["known@example.com", "unknown@example.com"] {
        let mut browser = test_app.browser();
        let answer = browser
            .open(&Attempt::new().with("login_hint", hint).path())
            .await;
        let page = browser.follow(&answer).await;
        assert_eq!(
            page.attribute("input[name=email]", "value").as_deref(),
            Some(hint)
        );
        assert_eq!(test_app.due().await, 0, "no mail");
        pages.push(page.text().replace(hint, "HINT"));
    }
    assert_eq!(pages[0], pages[1], "known and unknown look alike");
}

/// ST-15: the lifetime of a code, and that of one client.
#[tokio::test]
async fn az_17_a_code_lives_for_a_minute_or_less_if_its_client_says_so() {
    let test_app = TestApp::embedded().await;
    register(&test_app);
    let mut browser = signed_in(&test_app, "az17b@example.com").await;
    test_app.configure(|config| {
        let short = config
            .clients
            .iter_mut()
            .find(|client| client.client_id == "other")
            .unwrap();
        short.code_seconds = Some(10);
    });
    for (client, age, status) in [
        ("web", 50, StatusCode::OK),
        ("web", 61, StatusCode::BAD_REQUEST),
        ("other", 5, StatusCode::OK),
        ("other", 11, StatusCode::BAD_REQUEST),
    ] {
        let attempt = Attempt::new().with("client_id", client);
        let code = attempt.code(&mut browser).await;
        test_app.pass(age);
        let answer = crate::oauth::token(&test_app, &attempt.exchange(&code)).await;
        assert_eq!(answer.status, status, "after {age} s: {}", answer.body);
    }
}

#[tokio::test]
async fn az_19_cw_04_see_other_and_never_a_redirect_that_repeats_the_body() {
    let test_app = TestApp::embedded().await;
    register(&test_app);
    let mut browser = signed_in(&test_app, "az19@example.com").await;
    let before = browser.cookies.clone();
    for method in [Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS] {
        for path in [
            Attempt::new().path(),
            "/oauth2/authorize/resume?txn=x".to_owned(),
        ] {
            let answer = browser
                .send(browser.request(method.clone(), &path).finish())
                .await;
            assert_eq!(
                answer.status,
                StatusCode::METHOD_NOT_ALLOWED,
                "{method} {path}"
            );
            assert!(answer.header("allow").is_some() && answer.header("location").is_none());
        }
    }
    assert_eq!(browser.cookies, before);
    let answers = [
        browser.open(&Attempt::new().path()).await,
        browser
            .open(&Attempt::new().with("prompt", "login").path())
            .await,
        browser
            .open(&Attempt::new().with("response_type", "token").path())
            .await,
        browser
            .send(
                browser
                    .posted("/oauth2/authorize")
                    .body(encoded(&Attempt::new().parameters)),
            )
            .await,
        browser.open("/").await,
    ];
    for answer in answers {
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.summary());
    }
}

#[tokio::test]
async fn az_22_no_other_origin_reads_or_frames_it() {
    let test_app = TestApp::embedded().await;
    register(&test_app);
    let mut browser = test_app.browser();
    for path in [
        Attempt::new().path(),
        Attempt::new().with("client_id", "unknown-client").path(),
    ] {
        let asked = browser
            .request(Method::GET, &path)
            .header("origin", "https://app.example")
            .finish();
        let mut answers = vec![browser.send(asked).await];
        if answers[0].location().is_some() {
            answers.push(browser.follow(&answers[0]).await);
        }
        for answer in answers {
            assert_eq!(answer.header("access-control-allow-origin"), None);
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            let policy = answer.header("content-security-policy").unwrap();
            assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        }
    }
    let preflight = browser
        .request(Method::OPTIONS, "/oauth2/authorize")
        .header("origin", "https://app.example")
        .header("access-control-request-method", "GET")
        .finish();
    assert_eq!(
        browser.send(preflight).await.status,
        StatusCode::METHOD_NOT_ALLOWED
    );
}

#[tokio::test]
async fn cw_05_a_client_that_is_gone_gets_no_answer_to_a_request_that_waited() {
    let test_app = TestApp::embedded().await;
    register(&test_app);
    let mut browser = test_app.browser();
    let asked = browser.open(&Attempt::new().path()).await;
    let login = browser.follow(&asked).await;
    test_app.configure(|config| {
        for client in &mut config.clients {
            client.redirect_uris.retain(|uri| uri != CALLBACK);
        }
    });
    let end = sign_in_from(&mut browser, &login, "gone@example.com").await;
    assert_eq!(end.status, StatusCode::BAD_REQUEST, "{}", end.summary());
    assert!(end.location().is_none());
}
