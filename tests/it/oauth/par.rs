//! Requests that clients push (PU): what a visit does, which visit is answered, and what is left
//! after a loss.

use entree::{
    app::App,
    config::{Budget, Client},
    secret::Hash,
    ticket::Tickets,
};
use poem::{
    Request,
    http::{Method, StatusCode, header},
};
use serde_json::{Value, json};
use testkit::page::Page;

use crate::{
    oauth::{
        Attempt, CALLBACK, error_of, get, leads_to_client, parameter, register, settle,
        sign_in_from, signed_in, token, without_tickets,
    },
    test_app::{Browser, TestApp, encoded, masters},
};

/// The secret of a client.
const KEPT: &str = "a secret of more than forty-three characters, of a test";

on_both!(
    pu_1_a_pushed_request_leads_to_tokens,
    pu_3_nothing_beside_the_reference_counts,
    pu_3_another_client_a_stranger_and_a_late_visit_get_a_page,
    pu_4_visits_spend_nothing,
    pu_4_a_copy_is_answered_until_an_hour_after_the_push,
    pu_5_the_first_answer_spends_it_and_the_same_session_gets_the_same_code,
    pu_5_an_error_is_an_answer_too,
    pu_5_what_another_tab_has_answered_leads_to_a_page,
    pu_6_a_hundred_at_once_get_one_code,
    pu_8_what_the_client_has_lost_since_is_refused_at_the_answer,
    pu_9_budgets_are_those_of_the_network_and_of_the_client,
    pu_9_without_the_store_it_is_503,
    pu_10_after_a_loss_open_pushes_die_and_no_spent_one_returns,
);

/// The usual clients, `must`, which has to push, and `kept`, which has a secret.
fn prepare(test_app: &TestApp) {
    register(test_app);
    test_app.configure(|config| {
        let mut client = |id: &str, more: Value| {
            let mut client = json!({
                "client_id": id, "name": id, "audience": "https://api.example",
                "redirect_uris": [CALLBACK], "first_party": true,
            });
            client
                .as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            config
                .clients
                .push(serde_json::from_value::<Client>(client).unwrap());
        };
        client(
            "must",
            json!({ "require_pushed_authorization_requests": true }),
        );
        client(
            "kept",
            json!({
                "token_endpoint_auth_method": "client_secret_post",
                "client_secret_sha256": [Hash::of(KEPT.as_bytes()).to_hex()],
            }),
        );
        // A hundred codes of one session at once.
        config.limits.session_codes = vec![Budget {
            count: 1_000,
            seconds: 60,
        }];
    });
}

fn push_request(fields: &[(String, String)], from: &str) -> Request {
    Request::builder()
        .method(Method::POST)
        .uri_str("/oauth2/par")
        .header(header::HOST, "id.test")
        .header("x-forwarded-for", from)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(encoded(fields))
}

pub(crate) async fn try_push(test_app: &TestApp, attempt: &Attempt) -> Page {
    test_app
        .call(push_request(&attempt.parameters, "192.0.2.1"))
        .await
}

/// Pushes a request, and gives its reference.
pub(crate) async fn push(test_app: &TestApp, attempt: &Attempt) -> String {
    let answer = try_push(test_app, attempt).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    body["request_uri"].as_str().unwrap().to_owned()
}

/// Where the client sends the browser.
pub(crate) fn visit(client: &str, request_uri: &str) -> String {
    let pairs = [("client_id", client), ("request_uri", request_uri)];
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    format!("/oauth2/authorize?{}", encoded(&pairs))
}

/// The page that names the parameter; nothing goes to the client.
fn assert_over(page: &Page, why: &str) {
    assert_eq!(
        page.status,
        StatusCode::BAD_REQUEST,
        "{why}: {}",
        page.summary()
    );
    assert!(
        page.location().is_none() && page.refresh().is_none(),
        "{why}"
    );
    assert!(
        page.text().contains("request_uri"),
        "{why}: {}",
        page.text()
    );
}

fn code_of(page: &Page) -> String {
    parameter(page, "code").unwrap_or_else(|| panic!("no code: {}", page.summary()))
}

/// The response that a page carries on to the client.
fn carried(page: &Page, name: &str) -> Option<String> {
    let to = page
        .refresh()
        .filter(|to| to.as_str().starts_with(CALLBACK))?;
    let mut pairs = to.query_pairs();
    pairs
        .find(|(found, _)| found == name)
        .map(|(_, value)| value.into_owned())
}

async fn pu_1_a_pushed_request_leads_to_tokens(test_app: TestApp) {
    prepare(&test_app);
    for path in ["/oauth2/par", "/oauth2/par?client_id=web"] {
        assert_eq!(
            get(&test_app, path).await.status,
            StatusCode::METHOD_NOT_ALLOWED
        );
    }
    for attempt in [
        Attempt::new(),
        Attempt::new()
            .with("client_id", "kept")
            .with("client_secret", KEPT),
    ] {
        let client = attempt
            .parameters
            .iter()
            .find(|(name, _)| name == "client_id");
        let client = client.unwrap().1.clone();
        let uri = push(&test_app, &attempt).await;
        let mut browser = test_app.browser();
        let asked = browser.open(&visit(&client, &uri)).await;
        let login = browser.follow(&asked).await;
        let back = sign_in_from(&mut browser, &login, "pu1@example.com").await;
        assert_eq!(parameter(&back, "state").as_deref(), Some("the state"));
        let mut exchange = attempt.exchange(&code_of(&back));
        if client == "kept" {
            exchange.insert("client_secret".to_owned(), KEPT.to_owned());
        }
        let tokens = token(&test_app, &exchange).await;
        assert_eq!(tokens.status, StatusCode::OK, "{}", tokens.body);
        let id_token = serde_json::from_str::<Value>(&tokens.body).unwrap()["id_token"].clone();
        let claims = crate::oauth::verified(&test_app, &id_token).await.claims;
        assert_eq!(claims["nonce"], "the nonce");
    }
}

#[tokio::test]
async fn pu_1_the_metadata_names_the_endpoint() {
    let test_app = TestApp::embedded().await;
    let document = get(&test_app, "/.well-known/openid-configuration").await;
    let document: Value = serde_json::from_str(&document.body).unwrap();
    let endpoint = format!("{}/oauth2/par", test_app.public_url());
    assert_eq!(document["pushed_authorization_request_endpoint"], endpoint);
    assert_eq!(document["require_pushed_authorization_requests"], false);
    assert_eq!(document["request_uri_parameter_supported"], false);
}

/// Pages of the client's own origins may push, as they may ask for tokens; and no cookie counts.
#[tokio::test]
async fn pu_1_pages_of_the_clients_origins_may_push_without_cookies() {
    let test_app = TestApp::embedded().await;
    prepare(&test_app);
    for (origin, is_allowed) in [
        ("https://app.example", true),
        ("https://evil.example", false),
    ] {
        let mut request = push_request(&Attempt::new().parameters, "192.0.2.1");
        let headers = request.headers_mut();
        headers.insert(header::ORIGIN, origin.parse().unwrap());
        headers.insert(
            header::COOKIE,
            "__Host-pre=x; __Host-pre=y".parse().unwrap(),
        );
        let answer = test_app.call(request).await;
        let allowed = answer.header("access-control-allow-origin");
        assert_eq!(allowed, is_allowed.then_some(origin));
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        if is_allowed {
            assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        }
        assert!(answer.header("set-cookie").is_none());
    }
}

/// The pushed values win, whatever stands beside the reference (FAPI: `state` inside and outside).
async fn pu_3_nothing_beside_the_reference_counts(test_app: TestApp) {
    prepare(&test_app);
    let mut browser = signed_in(&test_app, "pu3@example.com").await;
    let attempt = Attempt::new();
    for beside in [
        "state=other&nonce=other&scope=email&redirect_uri=https%3A%2F%2Fevil.example%2F",
        "state=a&state=b&response_type=token&prompt=login&max_age=0&request=x",
        "response_mode=form_post&code_challenge=x&ui_locales=fr&claims=%7B&state=%ff",
    ] {
        let uri = push(&test_app, &attempt).await;
        let back = browser
            .open(&format!("{}&{beside}", visit("web", &uri)))
            .await;
        assert!(leads_to_client(&back), "{beside}: {}", back.summary());
        assert_eq!(parameter(&back, "state").as_deref(), Some("the state"));
        let tokens = token(&test_app, &attempt.exchange(&code_of(&back))).await;
        let tokens: Value = serde_json::from_str(&tokens.body).unwrap();
        assert_eq!(tokens["scope"], "openid email", "{beside}");
    }
    // A state that only the query has is not used.
    let uri = push(&test_app, &Attempt::new().without("state")).await;
    let back = browser
        .open(&format!("{}&state=outside", visit("web", &uri)))
        .await;
    assert_eq!(
        (parameter(&back, "state"), code_of(&back).len()),
        (None, 43)
    );
    // A posted visit goes on as our own GET.
    let uri = push(&test_app, &attempt).await;
    let fields = [("client_id", "web"), ("request_uri", &uri)];
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let posted = browser
        .posted("/oauth2/authorize")
        .header("sec-fetch-site", "cross-site");
    let stored = browser.send(posted.body(encoded(&fields))).await;
    assert_eq!(code_of(&browser.follow(&stored).await).len(), 43);
}

async fn pu_3_another_client_a_stranger_and_a_late_visit_get_a_page(test_app: TestApp) {
    prepare(&test_app);
    let mut browser = signed_in(&test_app, "pu3-page@example.com").await;
    let uri = push(&test_app, &Attempt::new()).await;
    let made_up = format!("{}x", &uri[..uri.len() - 1]);
    let twice = format!("{}&request_uri=x", visit("web", &uri));
    for (path, why) in [
        (visit("other", &uri), "another client"),
        (visit("web", &made_up), "made up"),
        (visit("web", &uri[..40]), "cut"),
        (visit("web", &format!("{uri}x")), "longer"),
        (twice, "repeated"),
    ] {
        assert_over(&browser.open(&path).await, why);
    }
    for path in [
        visit("nobody", &uri),
        visit("", &uri),
        format!("{}&client_id=web", visit("web", &uri)),
    ] {
        let page = browser.open(&path).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST);
        assert!(page.text().contains("client_id"), "{}", page.text());
    }
    // A request URI of the client's own is refused as before, to its redirect URI if that is known.
    let own = Attempt::new().with("request_uri", "https://app.example/r");
    let refused = browser.open(&own.path()).await;
    let error = parameter(&refused, "error");
    assert_eq!(error.as_deref(), Some("request_uri_not_supported"));
    // Nothing of this has touched the owner's request.
    assert!(leads_to_client(&browser.open(&visit("web", &uri)).await));

    let late = push(&test_app, &Attempt::new()).await;
    test_app.pass(59);
    let mut other = test_app.browser();
    assert_eq!(
        other
            .open(&visit("web", &late))
            .await
            .location()
            .unwrap()
            .path(),
        "/login"
    );
    test_app.pass(1);
    assert_over(&browser.open(&visit("web", &late)).await, "over 60 s");
}

async fn pu_4_visits_spend_nothing(test_app: TestApp) {
    prepare(&test_app);
    let uri = push(&test_app, &Attempt::new()).await;
    let (mut browser, mut preview) = (test_app.browser(), test_app.browser());
    let mut logins = Vec::new();
    for _ in 0..3 {
        let asked = browser.open(&visit("web", &uri)).await;
        assert_eq!(asked.location().unwrap().path(), "/login");
        logins.push(browser.follow(&asked).await);
        let seen = preview.open(&visit("web", &uri)).await;
        assert_eq!(seen.location().unwrap().path(), "/login");
        preview.cookies.clear();
    }
    // Any of the copies goes on, also when no new visit is possible.
    test_app.pass(120);
    let back = sign_in_from(&mut browser, &logins[1], "pu4@example.com").await;
    assert_eq!(code_of(&back).len(), 43);
}

/// Opens the sign-in page of a push once more, as late as it takes, and waits for another email.
async fn restart(browser: &mut Browser<'_>, waiting: &Page, email: &str) -> Page {
    let restart = waiting.attribute("a#restart", "href").unwrap();
    let answer = browser.open(&restart).await;
    let login = settle(browser, answer).await;
    let sent = browser.submit(&login, "sign-in", &[("email", email)]).await;
    browser.follow(&sent).await
}

async fn pu_4_a_copy_is_answered_until_an_hour_after_the_push(test_app: TestApp) {
    prepare(&test_app);
    for (last, is_answered) in [(10 * 60, true), (12 * 60 + 1, false)] {
        let email = format!("pu4-{last}@example.com");
        let uri = push(&test_app, &Attempt::new()).await;
        let mut browser = test_app.browser();
        let asked = browser.open(&visit("web", &uri)).await;
        let login = browser.follow(&asked).await;
        let sent = browser
            .submit(&login, "sign-in", &[("email", &email)])
            .await;
        let mut waiting = browser.follow(&sent).await;
        for _ in 0..2 {
            test_app.pass(24 * 60);
            waiting = restart(&mut browser, &waiting, &email).await;
        }
        // 48 minutes, and as long as the link lasts from when it is sent.
        test_app.pass(last - 60);
        let link = test_app.mail(&email).await.link();
        test_app.pass(60);
        let done = browser.click(&link).await;
        let back = settle(&mut browser, done).await;
        assert!(browser.is_signed_in(), "{}", back.summary());
        match is_answered {
            true => assert_eq!(code_of(&back).len(), 43),
            false => assert_over(&back, "over an hour"),
        }
    }
}

async fn pu_5_the_first_answer_spends_it_and_the_same_session_gets_the_same_code(
    test_app: TestApp,
) {
    prepare(&test_app);
    let mut browser = signed_in(&test_app, "pu5@example.com").await;
    let mut other = signed_in(&test_app, "pu5-other@example.com").await;
    let mut elsewhere = signed_in(&test_app, "pu5@example.com").await;
    let attempt = Attempt::new();
    let uri = push(&test_app, &attempt).await;
    let path = visit("web", &uri);
    let first = code_of(&browser.open(&path).await);
    // Reloads, and an answer that was lost on the way.
    for _ in 0..3 {
        let again = browser.open(&path).await;
        assert_eq!(code_of(&again), first);
        assert_eq!(parameter(&again, "state").as_deref(), Some("the state"));
    }
    assert_over(&other.open(&path).await, "another user");
    assert_over(&elsewhere.open(&path).await, "another session of the user");
    assert_over(&test_app.browser().open(&path).await, "no session");
    let exchanged = token(&test_app, &attempt.exchange(&first)).await;
    assert_eq!(exchanged.status, StatusCode::OK, "{}", exchanged.body);
    assert_over(&browser.open(&path).await, "redeemed");
    // The code expires like any other, and brings no second one.
    let uri = push(&test_app, &attempt.with("scope", "openid")).await;
    let code = code_of(&browser.open(&visit("web", &uri)).await);
    assert!(!code.is_empty());
    test_app.pass(61);
    assert_over(&browser.open(&visit("web", &uri)).await, "over");
}

async fn pu_5_an_error_is_an_answer_too(test_app: TestApp) {
    prepare(&test_app);
    // Without a page.
    let silent = Attempt::new().with("prompt", "none");
    let uri = push(&test_app, &silent).await;
    let refused = test_app.browser().open(&visit("web", &uri)).await;
    assert_eq!(
        parameter(&refused, "error").as_deref(),
        Some("login_required")
    );
    assert_eq!(parameter(&refused, "state").as_deref(), Some("the state"));
    let mut browser = signed_in(&test_app, "pu5-error@example.com").await;
    assert_over(
        &browser.open(&visit("web", &uri)).await,
        "answered by an error",
    );

    // By a cancel, once or twice; and before an email was requested or after.
    let uri = push(&test_app, &Attempt::new()).await;
    let mut fresh = test_app.browser();
    let asked = fresh.open(&visit("web", &uri)).await;
    let login = fresh.follow(&asked).await;
    let asked = fresh.open(&visit("web", &uri)).await;
    let second_tab = fresh.follow(&asked).await;
    for _ in 0..2 {
        let cancelled = fresh.submit(&login, "cancel", &[]).await;
        let error = carried(&cancelled, "error");
        assert_eq!(
            error.as_deref(),
            Some("access_denied"),
            "{}",
            cancelled.summary()
        );
    }
    assert_over(&browser.open(&visit("web", &uri)).await, "canceled");
    let email = "pu5-cancel@example.com";
    let late = sign_in_from(&mut fresh, &second_tab, email).await;
    assert_over(&late, "the other tab was canceled");

    let uri = push(&test_app, &Attempt::new()).await;
    let mut waiting = test_app.browser();
    let asked = waiting.open(&visit("web", &uri)).await;
    let login = waiting.follow(&asked).await;
    let sent = waiting.submit(&login, "sign-in", &[("email", email)]).await;
    let page = waiting.follow(&sent).await;
    for _ in 0..2 {
        let cancelled = waiting.submit(&page, "cancel", &[]).await;
        assert_eq!(
            carried(&cancelled, "error").as_deref(),
            Some("access_denied")
        );
    }
    assert_over(
        &browser.open(&visit("web", &uri)).await,
        "canceled while it waited",
    );
}

async fn pu_5_what_another_tab_has_answered_leads_to_a_page(test_app: TestApp) {
    prepare(&test_app);
    let mut browser = signed_in(&test_app, "pu5-tabs@example.com").await;
    let attempt = Attempt::new().with("client_id", "foreign");
    let uri = push(&test_app, &attempt).await;
    let mut tabs = Vec::new();
    for _ in 0..3 {
        let asked = browser.open(&visit("foreign", &uri)).await;
        tabs.push(browser.follow(&asked).await);
    }
    let allow = [("decision", "allow")];
    let allowed = browser.submit(&tabs[0], "consent", &allow).await;
    let code = carried(&allowed, "code").unwrap();
    // The same session, while the code has not been redeemed.
    let again = browser.submit(&tabs[1], "consent", &allow).await;
    assert_eq!(carried(&again, "code"), Some(code.clone()));
    let exchanged = token(&test_app, &attempt.exchange(&code)).await;
    assert_eq!(exchanged.status, StatusCode::OK, "{}", exchanged.body);
    assert_over(
        &browser.submit(&tabs[2], "consent", &allow).await,
        "redeemed",
    );

    // After a denial another tab gets no code.
    let attempt = attempt.with("prompt", "consent");
    let uri = push(&test_app, &attempt).await;
    let mut tabs = Vec::new();
    for _ in 0..2 {
        let asked = browser.open(&visit("foreign", &uri)).await;
        tabs.push(browser.follow(&asked).await);
    }
    let denied = browser
        .submit(&tabs[0], "consent", &[("decision", "deny")])
        .await;
    assert_eq!(carried(&denied, "error").as_deref(), Some("access_denied"));
    assert_over(
        &browser.submit(&tabs[1], "consent", &allow).await,
        "denied before",
    );
}

/// A client that receives `temporarily_unavailable` tries again.
#[tokio::test]
async fn pu_5_an_error_that_asks_to_try_again_spends_nothing() {
    let test_app = TestApp::embedded().await;
    prepare(&test_app);
    test_app.configure(|config| {
        config.limits.session_codes = vec![Budget {
            count: 1,
            seconds: 20,
        }];
    });
    let mut browser = signed_in(&test_app, "pu5-again@example.com").await;
    let mut other = signed_in(&test_app, "pu5-again-other@example.com").await;
    let first = visit("web", &push(&test_app, &Attempt::new()).await);
    let second = visit("web", &push(&test_app, &Attempt::new()).await);
    let code = code_of(&browser.open(&first).await);
    let refused = browser.open(&second).await;
    let error = parameter(&refused, "error");
    assert_eq!(error.as_deref(), Some("temporarily_unavailable"));
    // A reload needs no further code.
    assert_eq!(code_of(&browser.open(&first).await), code);
    test_app.pass(21);
    assert_eq!(code_of(&browser.open(&second).await).len(), 43);
    assert_over(&other.open(&second).await, "answered at the second try");
}

/// In one session there is one code; in a hundred browsers there is one, and 99 pages.
async fn pu_6_a_hundred_at_once_get_one_code(test_app: TestApp) {
    prepare(&test_app);
    let browser = signed_in(&test_app, "pu6@example.com").await;
    let path = visit("web", &push(&test_app, &Attempt::new()).await);
    let visits = (0..100).map(|_| {
        let (mut browser, path) = (browser.clone(), path.clone());
        async move { code_of(&browser.open(&path).await) }
    });
    let codes = futures_util::future::join_all(visits).await;
    let distinct: std::collections::BTreeSet<_> = codes.iter().collect();
    assert_eq!((codes.len(), distinct.len()), (100, 1));

    let path = visit("web", &push(&test_app, &Attempt::new()).await);
    let mut browsers = Vec::new();
    for number in 0..100 {
        browsers.push(signed_in(&test_app, &format!("pu6-{number}@example.com")).await);
    }
    let visits = browsers.iter_mut().map(|browser| browser.open(&path));
    let pages = futures_util::future::join_all(visits).await;
    let (answered, over): (Vec<_>, Vec<_>) = pages.iter().partition(|page| leads_to_client(page));
    assert_eq!((answered.len(), over.len()), (1, 99));
    for page in over {
        assert_over(page, "another browser was first");
    }
}

#[tokio::test]
async fn pu_7_a_client_that_must_push_is_answered_for_nothing_else() {
    let test_app = TestApp::embedded().await;
    prepare(&test_app);
    let mut browser = signed_in(&test_app, "pu7@example.com").await;
    let attempt = Attempt::new().with("client_id", "must");
    let refused = browser.open(&attempt.path()).await;
    assert_eq!(
        parameter(&refused, "error").as_deref(),
        Some("invalid_request")
    );
    assert_eq!(parameter(&refused, "state").as_deref(), Some("the state"));
    let uri = push(&test_app, &attempt).await;
    assert!(leads_to_client(&browser.open(&visit("must", &uri)).await));
}

async fn pu_8_what_the_client_has_lost_since_is_refused_at_the_answer(test_app: TestApp) {
    prepare(&test_app);
    let change = |id: &'static str, change: &dyn Fn(&mut Client)| {
        test_app.configure(|config| {
            let mut clients = config.clients.iter_mut();
            change(clients.find(|client| client.client_id == id).unwrap());
        });
    };
    let mut browser = signed_in(&test_app, "pu8@example.com").await;
    let attempt = Attempt::new().with("client_id", "foreign");
    // Before the visit, and while the question for consent is open.
    let uri = push(&test_app, &attempt).await;
    let asked = browser.open(&visit("foreign", &uri)).await;
    let consent = browser.follow(&asked).await;
    let old = |client: &mut Client| client.redirect_uris = vec![CALLBACK.to_owned()];
    change("foreign", &|client| {
        client.redirect_uris = vec!["https://new.example/cb".to_owned()]
    });
    let answers = [
        browser.open(&visit("foreign", &uri)).await,
        browser
            .submit(&consent, "consent", &[("decision", "allow")])
            .await,
    ];
    for page in answers {
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{}", page.summary());
        assert!(page.text().contains("redirect_uri"), "{}", page.text());
    }
    change("foreign", &old);
    // A scope that it lost is not in the code.
    change("foreign", &|client| {
        client.scopes = vec!["openid".to_owned()]
    });
    let allowed = browser
        .submit(&consent, "consent", &[("decision", "allow")])
        .await;
    let code = carried(&allowed, "code").unwrap_or_else(|| panic!("{}", allowed.summary()));
    let tokens = token(&test_app, &attempt.exchange(&code)).await;
    let tokens: Value = serde_json::from_str(&tokens.body).unwrap();
    assert_eq!(tokens["scope"], "openid", "{tokens}");
    // The client itself.
    let uri = push(&test_app, &attempt).await;
    test_app.configure(|config| {
        config
            .clients
            .retain(|client| client.client_id != "foreign")
    });
    let page = browser.open(&visit("foreign", &uri)).await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST);
    assert!(page.text().contains("client_id"), "{}", page.text());
}

async fn pu_9_budgets_are_those_of_the_network_and_of_the_client(test_app: TestApp) {
    prepare(&test_app);
    test_app.configure(|config| {
        config.limits.authorize = vec![Budget {
            count: 2,
            seconds: 600,
        }];
        config.limits.pushed = vec![Budget {
            count: 3,
            seconds: 60,
        }];
    });
    let kept = Attempt::new()
        .with("client_id", "kept")
        .with("client_secret", KEPT);
    let status = async |attempt: &Attempt, from: &str| {
        let answer = test_app.call(push_request(&attempt.parameters, from)).await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            assert!(answer.header("retry-after").is_some());
            assert_eq!(error_of(&answer), "temporarily_unavailable");
        }
        answer.status.as_u16()
    };
    let mut public = Vec::new();
    for from in [
        "198.51.100.1",
        "198.51.100.1",
        "198.51.100.1",
        "203.0.113.1",
    ] {
        public.push(status(&Attempt::new(), from).await);
    }
    assert_eq!(public, [201, 201, 429, 201], "by network");
    let mut confidential = Vec::new();
    for from in ["198.51.100.1", "198.51.100.1", "203.0.113.1", "203.0.113.9"] {
        confidential.push(status(&kept, from).await);
    }
    assert_eq!(
        confidential,
        [201, 201, 201, 429],
        "by client, from any network"
    );
}

fn with_store(test_app: &TestApp, bytes: usize) -> TestApp {
    let tickets = Tickets::memory(bytes, test_app.app.clock().clone(), &masters());
    test_app.over(App {
        tickets,
        ..test_app.app.clone()
    })
}

async fn pu_9_without_the_store_it_is_503(test_app: TestApp) {
    prepare(&test_app);
    let kept = Attempt::new()
        .with("client_id", "kept")
        .with("client_secret", KEPT);
    let uri = push(&test_app, &kept).await;
    let away = test_app.over(without_tickets(&test_app.app));
    let full = with_store(&test_app, 600);
    for (service, why) in [(&away, "away"), (&full, "full")] {
        for attempt in [&kept, &Attempt::new()] {
            let answer = try_push(service, attempt).await;
            assert_eq!(
                answer.status,
                StatusCode::SERVICE_UNAVAILABLE,
                "{why}: {}",
                answer.body
            );
            assert_eq!(error_of(&answer), "temporarily_unavailable");
            assert!(answer.header("retry-after").is_some(), "{why}");
        }
    }
    let mut browser = away.browser();
    let page = browser.open(&visit("kept", &uri)).await;
    assert_eq!(
        page.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{}",
        page.summary()
    );
    // Nothing was spent meanwhile.
    let page = test_app.browser().open(&visit("kept", &uri)).await;
    assert_eq!(page.location().unwrap().path(), "/login");
}

/// A restart of the embedded default and a Redis that comes back empty are the same to a push. What
/// waits in the database for its email is still there, and must not be answered: nothing knows
/// whether it was.
async fn pu_10_after_a_loss_open_pushes_die_and_no_spent_one_returns(test_app: TestApp) {
    prepare(&test_app);
    let wait = async |uri: &str, email: &str| {
        let mut browser = test_app.browser();
        let asked = browser.open(&visit("web", uri)).await;
        let login = browser.follow(&asked).await;
        let sent = browser.submit(&login, "sign-in", &[("email", email)]).await;
        browser.follow(&sent).await;
        (browser, test_app.mail(email).await.link())
    };
    let (open, spent) = (
        push(&test_app, &Attempt::new()).await,
        push(&test_app, &Attempt::new()).await,
    );
    let waiting = [
        wait(&open, "pu10-open@example.com").await,
        wait(&spent, "pu10-spent@example.com").await,
    ];
    let mut browser = signed_in(&test_app, "pu10@example.com").await;
    assert!(leads_to_client(&browser.open(&visit("web", &spent)).await));

    let after = with_store(&test_app, 1 << 24);
    for (browser, link) in waiting {
        let mut browser = Browser {
            test_app: &after,
            ..browser
        };
        let done = browser.click(&link).await;
        let page = settle(&mut browser, done).await;
        assert!(browser.is_signed_in());
        assert_over(&page, "a copy of before the loss");
    }
    let mut browser = Browser {
        test_app: &after,
        ..browser
    };
    for uri in [&open, &spent] {
        assert_over(
            &browser.open(&visit("web", uri)).await,
            "a reference of before the loss",
        );
    }
    let uri = push(&after, &Attempt::new()).await;
    assert!(
        leads_to_client(&browser.open(&visit("web", &uri)).await),
        "a new push"
    );
}

/// OA-4: the most that a push can make the store hold: 8 KiB of characters that JSON writes as two.
#[tokio::test]
async fn pu_9_what_a_push_stores_is_bounded() {
    let test_app = TestApp::embedded().await;
    prepare(&test_app);
    let before = test_app.app.tickets.usage().await.unwrap().total();
    let quotes = |count: usize| "\"".repeat(count);
    let worst = Attempt::new()
        .with("state", &quotes(2048))
        .with("nonce", &quotes(4096))
        .with("login_hint", &quotes(254))
        .with("ui_locales", &quotes(512))
        .with("acr_values", &quotes(512));
    push(&test_app, &worst).await;
    let stored = test_app.app.tickets.usage().await.unwrap().total() - before;
    assert!((14_000..24_000).contains(&stored), "{stored} bytes");
    test_app.pass(61);
    let _ = test_app.app.tickets.sweep();
    let left = test_app.app.tickets.usage().await.unwrap().total() - before;
    assert!(left < 3_000, "{left} bytes after a minute");
    test_app.pass(3_660);
    let _ = test_app.app.tickets.sweep();
    let left = test_app.app.tickets.usage().await.unwrap().total() - before;
    assert_eq!(left, 0, "after an hour");
}

/// OA-4: a client that pushes without end drops its own requests.
#[tokio::test]
async fn pu_9_a_client_that_pushes_without_end_takes_no_others_space() {
    let test_app = TestApp::embedded().await;
    prepare(&test_app);
    test_app.configure(|config| config.limits.pushed = config.limits.session_codes.clone());
    let service = with_store(&test_app, 600_000);
    let mine = push(&service, &Attempt::new()).await;
    let big = Attempt::new()
        .with("client_id", "kept")
        .with("client_secret", KEPT)
        .with("nonce", &"n".repeat(4096));
    let mut statuses = std::collections::BTreeMap::new();
    let first = push(&service, &big).await;
    for _ in 0..200 {
        let status = try_push(&service, &big).await.status.as_u16();
        *statuses.entry(status).or_insert(0) += 1;
    }
    assert_eq!(statuses, [(201, 200)].into());
    let mut browser = service.browser();
    let asked = browser.open(&visit("web", &mine)).await;
    assert_eq!(asked.location().unwrap().path(), "/login");
    assert_over(
        &browser.open(&visit("kept", &first)).await,
        "dropped by its own client",
    );
}
