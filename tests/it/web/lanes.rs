//! SP-4: a request for which there is no slot is refused before any statement, in the form of its
//! audience, and the other lanes go on.

use std::time::Duration;

use entree::{config::Config, db::Tx, routes::POST_ROUTES, secret::Plain, telemetry::metrics};
use futures_util::future::join_all;
use poem::{
    Request,
    http::{Method, StatusCode, header},
};
use serde_json::{Value, json};
use testkit::page::Page;

use crate::{
    oauth::{Attempt, error_of, register, signed_in},
    test_app::{Browser, TestApp, encoded},
};

/// How many requests of one network wait for seconds; further ones give up soon.
const PATIENT: usize = 4;

/// The origin of an application in the browser.
const APP: &str = "https://app.example";

fn one_slot_each(config: &mut Config) {
    let server = &mut config.startup.server;
    (
        server.email_slots,
        server.provider_slots,
        server.quick_slots,
    ) = (1, 1, 1);
}

/// A service whose writer another one holds: what writes stays at work.
async fn stuck(test_app: &TestApp) -> Tx {
    test_app.tx().await
}

fn email_request(browser: &Browser<'_>, number: usize) -> Request {
    let body = json!({
        "client_id": "web",
        "email": format!("sp4-{number}@example.com"),
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "code_challenge_method": "S256",
    });
    browser
        .request(Method::POST, "/api/v1/auth/magic-link/request")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ORIGIN, APP)
        .body(body.to_string())
}

/// PX-02: whether the page of an application sees the response.
fn is_readable(page: &Page) -> bool {
    page.header("access-control-allow-origin") == Some(APP)
        && page.header("vary") == Some("Origin")
        && page
            .header("access-control-expose-headers")
            .is_some_and(|exposed| exposed.contains("retry-after"))
}

fn is_refused(page: &Page, lane: &str) -> bool {
    let retry_after = page.header("retry-after");
    let counted = format!("entree_limit_refusals_total{{limit=\"{lane}\"");
    page.status == StatusCode::SERVICE_UNAVAILABLE
        && matches!(retry_after, Some("1" | "2"))
        && metrics::text().unwrap().contains(&counted)
}

/// The lane of emails is full: one request is at work and four wait. What comes then is a problem for an
/// app, and a page with a button for people. Tokens and pages have lanes of their own.
#[tokio::test]
async fn sp_4_a_full_lane_of_emails_refuses_in_the_form_of_the_audience() {
    let test_app = TestApp::embedded_with(one_slot_each).await;
    register(&test_app);
    let mut person = test_app.browser();
    let login = person.open("/login").await;
    let writer = stuck(&test_app).await;
    let held = (0..=PATIENT).map(|number| test_app.call(email_request(&person, number)));
    let measured = async {
        // The one that has the slot comes as far as it can.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let sent = test_app.app.db.sent().statements;
        let form = person.filled(
            &login,
            &login.form("sign-in"),
            &[("email", "sp4@example.com")],
        );
        let app = email_request(&person, 10);
        let (page, problem) = tokio::join!(test_app.call(form), test_app.call(app));
        assert_eq!(
            test_app.app.db.sent().statements,
            sent,
            "before any statement"
        );
        assert!(is_refused(&page, "lane-email"), "{}", page.summary());
        let again = page.form("again");
        assert_eq!(again.action.path(), "/login/email");
        let kept = again.fields.iter().find(|(name, _)| name == "email");
        assert_eq!(
            kept.map(|(_, value)| value.as_str()),
            Some("sp4@example.com")
        );
        assert!(is_refused(&problem, "lane-email"), "{}", problem.summary());
        let body: Value = serde_json::from_str(&problem.body).unwrap();
        assert_eq!(body["code"], "temporarily_unavailable");
        assert!(is_readable(&problem), "PX-02: {:?}", problem.headers);
        let other = person.clone().open("/login").await;
        assert_eq!(other.status, StatusCode::OK, "another lane goes on");
        drop(writer);
    };
    let (held, ()) = tokio::join!(join_all(held), measured);
    for answer in held {
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    }
}

/// The quick lane is full: a client gets the error of RFC 6749, and a document that asks no store is
/// served.
#[tokio::test]
async fn sp_4_a_full_quick_lane_answers_clients_and_serves_documents() {
    let test_app = TestApp::embedded_with(one_slot_each).await;
    register(&test_app);
    let mut person = signed_in(&test_app, "sp4@example.com").await;
    let mut exchanges = Vec::new();
    for _ in 0..=PATIENT + 1 {
        let attempt = Attempt::new();
        let code = attempt.code(&mut person).await;
        let fields: Vec<_> = attempt.exchange(&code).into_iter().collect();
        exchanges.push(person.posted("/oauth2/token").body(encoded(&fields)));
    }
    let last = exchanges.pop().unwrap();
    let writer = stuck(&test_app).await;
    let held = exchanges.into_iter().map(|request| test_app.call(request));
    let measured = async {
        let refused = test_app.call(last).await;
        assert!(is_refused(&refused, "lane-quick"), "{}", refused.summary());
        assert_eq!(error_of(&refused), "temporarily_unavailable");
        assert!(!is_readable(&refused), "without an origin");
        for (origin, is_registered) in [(APP, true), ("https://evil.example", false)] {
            let request = person.posted("/oauth2/token").header("origin", origin);
            let refused = test_app.call(request.finish()).await;
            assert!(is_refused(&refused, "lane-quick"), "{}", refused.summary());
            assert_eq!(is_readable(&refused), is_registered, "{origin}");
            let allowed = refused.header("access-control-allow-credentials");
            assert_eq!(allowed, None, "PX-02");
        }
        let page = person.clone().open("/login").await;
        assert!(is_refused(&page, "lane-quick"), "{}", page.summary());
        assert_eq!(page.header("access-control-allow-origin"), None);
        assert_eq!(page.text_of("a#next").as_deref(), Some("Try again"));
        for path in [
            "/.well-known/openid-configuration",
            "/.well-known/jwks.json",
        ] {
            let document = person.clone().open(path).await;
            assert_eq!(document.status, StatusCode::OK, "{path}");
        }
        drop(writer);
    };
    let (held, ()) = tokio::join!(join_all(held), measured);
    for answer in held {
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    }
}

/// The errors of the layers, here for a body that is too large, are readable where the endpoint's own
/// are.
#[tokio::test]
async fn px_02_an_error_before_the_endpoint_is_readable_as_its_own_are() {
    let test_app = TestApp::embedded().await;
    register(&test_app);
    let browser = test_app.browser();
    let mut readable = Vec::new();
    for (route, _) in POST_ROUTES {
        let path = route
            .replace(":id", "1")
            .replace(":provider", "up")
            .replace(":token", "t");
        let preflight = browser
            .request(Method::OPTIONS, &path)
            .header("origin", APP)
            .header("access-control-request-method", "POST");
        let preflight = test_app.call(preflight.finish()).await;
        let large = browser.posted(&path).header("origin", APP);
        let refused = test_app.call(large.body("a".repeat(70_000))).await;
        assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE, "{path}");
        let own = preflight.header("access-control-allow-origin");
        assert_eq!(refused.header("access-control-allow-origin"), own, "{path}");
        readable.extend(own.map(|_| *route));
    }
    assert!(readable.contains(&"/oauth2/token") && readable.contains(&"/api/v2/logins"));
    assert!(!readable.contains(&"/oauth2/introspect") && !readable.contains(&"/oauth2/authorize"));
}

on_both!(sp_4_made_up_links_and_codes_take_no_transaction);

/// What any caller can make up is looked up and no more: the one writer of SQLite is for others.
async fn sp_4_made_up_links_and_codes_take_no_transaction(test_app: TestApp) {
    register(&test_app);
    let mut person = test_app.browser();
    let waiting = person.ask("sp4@example.com").await;
    let before = test_app.app.db.sent();
    let verifier = "v".repeat(43);
    for secret in [
        json!({"code": "12345678"}),
        json!({"link_token": Plain::generate().to_text()}),
    ] {
        let mut proof = json!({
            "flow_id": "9736b860-f8a9-4cf8-981f-e304f0617e96",
            "code_verifier": verifier,
            "scope": "openid",
        });
        let fields = proof.as_object_mut().unwrap();
        fields.extend(secret.as_object().unwrap().clone());
        let request = person
            .request(Method::POST, "/api/v1/auth/magic-link/consume")
            .header(header::CONTENT_TYPE, "application/json")
            .body(proof.to_string());
        let refused = test_app.call(request).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.body);
    }
    let after = test_app.app.db.sent();
    assert_eq!(after.statements, before.statements + 2, "one look for each");
    // No code at all, in a flow of the browser's own.
    let refused = person
        .submit(&waiting, "code", &[("code", "no code")])
        .await;
    assert_eq!(refused.status, StatusCode::SEE_OTHER);
    assert_eq!(test_app.app.db.sent().commits, before.commits);
}
