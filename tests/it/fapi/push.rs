//! Pushes of clients of the profile: what is refused, and which visit is answered.

use poem::{
    Request,
    http::{Method, StatusCode, header},
};
use serde_json::Value;
use testkit::page::Page;

use super::{PAR, TOKEN, assert_error, exchange, json_of, register};
use crate::{
    oauth::{leads_to_client, par::visit, parameter, signed_in},
    test_app::TestApp,
};

const EMAIL: &str = "ada@example.com";

on_both!(
    fs_1_fa_3_what_a_push_refuses,
    fs_1_a_plain_request_is_refused,
    fs_1_a_reference_is_its_clients_for_a_minute_and_for_one_answer,
);

async fn fs_1_fa_3_what_a_push_refuses(test_app: TestApp) {
    let (bank, _) = register(&test_app).await;
    for (name, value, error) in [
        (
            "response_type",
            Some("code id_token"),
            "unsupported_response_type",
        ),
        (
            "response_type",
            Some("code token"),
            "unsupported_response_type",
        ),
        ("response_type", Some("token"), "unsupported_response_type"),
        ("redirect_uri", None, "invalid_request"),
        (
            "redirect_uri",
            Some("https://evil.example/cb"),
            "invalid_request",
        ),
        (
            "redirect_uri",
            Some("http://app.example/cb"),
            "invalid_request",
        ),
        ("code_challenge", None, "invalid_request"),
        ("code_challenge_method", Some("plain"), "invalid_request"),
        ("code_challenge_method", None, "invalid_request"),
        (
            "request_uri",
            Some("urn:ietf:params:oauth:request_uri:x"),
            "invalid_request",
        ),
        (
            "request_uri",
            Some("https://app.example/request"),
            "invalid_request",
        ),
        ("request", Some("e30.e30."), "request_not_supported"),
        ("client_id", Some("broker"), "invalid_request"),
    ] {
        let attempt = match value {
            Some(value) => bank.attempt().with(name, value),
            None => bank.attempt().without(name),
        };
        let refused = bank.push(&test_app, &attempt).await;
        assert_error(&refused, 400, error, &format!("{name} {value:?}"));
    }
    let pushed = bank.push(&test_app, &bank.attempt()).await;
    assert_eq!(pushed.status, StatusCode::CREATED, "{}", pushed.body);
    let get = Request::builder()
        .method(Method::GET)
        .uri_str(PAR)
        .header(header::HOST, "id.test");
    let refused = test_app.call(get.finish()).await;
    assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED);
}

async fn fs_1_a_plain_request_is_refused(test_app: TestApp) {
    let (bank, _) = register(&test_app).await;
    let mut browser = signed_in(&test_app, EMAIL).await;
    let refused = browser.open(&bank.attempt().path()).await;
    assert!(leads_to_client(&refused), "{}", refused.summary());
    let error = parameter(&refused, "error");
    assert_eq!(error.as_deref(), Some("invalid_request"));
    assert_eq!(parameter(&refused, "code"), None);
}

fn assert_over(page: &Page, why: &str) {
    assert_eq!(
        page.status,
        StatusCode::BAD_REQUEST,
        "{why}: {}",
        page.summary()
    );
    assert!(page.location().is_none(), "{why}");
    assert!(
        page.text().contains("request_uri"),
        "{why}: {}",
        page.text()
    );
}

async fn fs_1_a_reference_is_its_clients_for_a_minute_and_for_one_answer(test_app: TestApp) {
    let (bank, broker) = register(&test_app).await;
    let mut browser = signed_in(&test_app, EMAIL).await;
    let attempt = bank.attempt();
    let pushed = bank.push(&test_app, &attempt).await;
    let body: Value = serde_json::from_str(&pushed.body).unwrap();
    let uri = body["request_uri"].as_str().unwrap();
    let foreign = browser.open(&visit(broker.id, uri)).await;
    assert_over(&foreign, "another client");
    // A visit before the answer spends nothing.
    let mut stranger = test_app.browser();
    let asked = stranger.open(&visit(bank.id, uri)).await;
    assert_eq!(asked.location().unwrap().path(), "/login");
    let back = browser.open(&visit(bank.id, uri)).await;
    let code = parameter(&back, "code").unwrap();
    let again = browser.open(&visit(bank.id, uri)).await;
    assert_eq!(parameter(&again, "code").as_ref(), Some(&code), "a reload");
    json_of(
        &bank
            .post(&test_app, TOKEN, &exchange(&attempt, &code))
            .await,
    );
    assert_over(&browser.open(&visit(bank.id, uri)).await, "answered");

    let late = bank.visit(&test_app, &attempt).await;
    test_app.pass(61);
    assert_over(&browser.open(&late).await, "over a minute");
}
