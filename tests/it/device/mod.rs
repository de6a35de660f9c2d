//! The device grant (DE): a device without a browser, and the user who enters its code in one, on both
//! databases and both stores.

mod page;
mod poll;

use entree::{
    config::{Budget, Client, ClientAuth},
    secret::Hash,
};
use poem::http::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::page::Page;

use crate::{
    oauth::{get, register, signed_in},
    test_app::{Browser, TestApp},
    work::form_request,
};

pub(crate) const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// The secret of a device's client that has one.
const SECRET: &str = "5f2b1d0c9e8a7b6c5d4e3f2a1b0c9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a3b2c";
pub(crate) const START: &str = "/oauth2/device_authorization";

on_both!(
    de_1_the_grant_is_off_by_default_and_for_clients_that_have_it,
    de_2_a_device_gets_two_codes_and_no_link_that_has_one,
    de_7_starts_are_limited_by_network,
    de_7_starts_of_a_client_with_a_secret_are_limited,
);

/// A television of ours, one of others, and a second client of the same grant; the grant is on.
pub(crate) fn prepare(test_app: &TestApp) {
    register(test_app);
    test_app.configure(|config| {
        config.device.enabled = true;
        for (id, first_party) in [("tv", true), ("foreign-tv", false), ("radio", true)] {
            let client = json!({
                "client_id": id, "name": format!("The {id}"), "audience": "https://api.example",
                "grant_types": ["device_code"], "first_party": first_party,
                "scopes": ["openid", "email", "offline_access"],
            });
            let client: Client = serde_json::from_value(client).unwrap();
            config.clients.push(client);
        }
    });
}

/// A start of the television, or of the client that the fields name.
pub(crate) async fn try_start(test_app: &TestApp, more: &[(&str, &str)]) -> Page {
    let names_client = more.iter().any(|(name, _)| *name == "client_id");
    let mut form = more.to_vec();
    if !names_client {
        form.push(("client_id", "tv"));
    }
    test_app.call(form_request(START, &form)).await
}

/// The codes that the television gets.
pub(crate) async fn start(test_app: &TestApp, more: &[(&str, &str)]) -> Value {
    let answer = try_start(test_app, more).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

/// A poll of a client with the code of a start.
pub(crate) async fn poll_as(test_app: &TestApp, client: &str, started: &Value) -> Page {
    let form = [
        ("grant_type", GRANT_TYPE),
        ("client_id", client),
        ("device_code", started["device_code"].as_str().unwrap()),
    ];
    test_app.call(form_request("/oauth2/token", &form)).await
}

pub(crate) async fn poll(test_app: &TestApp, started: &Value) -> Page {
    poll_as(test_app, "tv", started).await
}

/// The tokens of a poll that gets some.
pub(crate) async fn tokens(test_app: &TestApp, client: &str, started: &Value) -> Value {
    let answer = poll_as(test_app, client, started).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

/// Enters the code of a start, and returns the page that asks.
pub(crate) async fn question(browser: &mut Browser<'_>, started: &Value) -> Page {
    let page = browser.open("/device").await;
    let code = started["user_code"].as_str().unwrap();
    let question = browser
        .submit(&page, "device", &[("user_code", code)])
        .await;
    assert_eq!(question.status, StatusCode::OK, "{}", question.summary());
    question
}

/// Enters the code of a start and decides.
pub(crate) async fn decide(browser: &mut Browser<'_>, started: &Value, decision: &str) -> Page {
    let question = question(browser, started).await;
    browser
        .submit(&question, "decide", &[("decision", decision)])
        .await
}

async fn metadata(test_app: &TestApp) -> Value {
    let answer = get(test_app, "/.well-known/openid-configuration").await;
    serde_json::from_str(&answer.body).unwrap()
}

async fn de_1_the_grant_is_off_by_default_and_for_clients_that_have_it(test_app: TestApp) {
    prepare(&test_app);
    let document = metadata(&test_app).await;
    let endpoint = document["device_authorization_endpoint"].as_str().unwrap();
    assert!(endpoint.ends_with(START), "{endpoint}");
    let types = document["grant_types_supported"].to_string();
    assert!(types.contains(GRANT_TYPE), "{types}");
    for (client, status, error) in [
        ("web", 400, "unauthorized_client"),
        ("unknown", 401, "invalid_client"),
    ] {
        let refused = try_start(&test_app, &[("client_id", client)]).await;
        assert_eq!(refused.status.as_u16(), status, "{client}");
        assert!(refused.body.contains(error), "{client}: {}", refused.body);
    }
    let started = start(&test_app, &[]).await;
    test_app.configure(|config| config.device.enabled = false);
    let document = metadata(&test_app).await;
    assert_eq!(document["device_authorization_endpoint"], Value::Null);
    let types = document["grant_types_supported"].to_string();
    assert!(!types.contains(GRANT_TYPE), "{types}");
    let refused = try_start(&test_app, &[]).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
    let page = test_app.browser().open("/device").await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    let refused = poll(&test_app, &started).await;
    assert!(refused.body.contains("unsupported_grant_type"));
}

async fn de_2_a_device_gets_two_codes_and_no_link_that_has_one(test_app: TestApp) {
    prepare(&test_app);
    let answer = try_start(&test_app, &[("scope", "openid email nonsense")]).await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let started: Value = serde_json::from_str(&answer.body).unwrap();
    let mut names: Vec<&String> = started.as_object().unwrap().keys().collect();
    names.sort();
    let expected = [
        "device_code",
        "expires_in",
        "interval",
        "user_code",
        "verification_uri",
    ];
    assert_eq!(names, expected, "no verification_uri_complete");
    assert_eq!(started["device_code"].as_str().unwrap().len(), 43);
    assert_eq!(
        (&started["expires_in"], &started["interval"]),
        (&json!(600), &json!(5))
    );
    let uri = format!("{}/device", test_app.public_url());
    assert_eq!(started["verification_uri"], uri);
    let code = started["user_code"].as_str().unwrap();
    assert_eq!((code.len(), code.find('-')), (9, Some(4)), "{code}");
    // What the store holds shows neither code.
    let stored = test_app.stored().await;
    let stored = String::from_utf8_lossy(&stored);
    for secret in [
        code,
        &code.replace('-', ""),
        started["device_code"].as_str().unwrap(),
    ] {
        assert!(!stored.contains(secret), "{secret}");
    }
    for (name, value) in [
        ("scope", "openid"),
        ("client_id", "tv"),
        ("resource", "https://other.example"),
    ] {
        let refused = try_start(
            &test_app,
            &[("scope", "openid"), ("client_id", "tv"), (name, value)],
        )
        .await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{name}");
    }
    let request = poem::Request::builder().method(Method::GET).uri_str(START);
    let refused = test_app
        .call(request.header("host", "id.test").finish())
        .await;
    assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED);
}

async fn de_7_starts_are_limited_by_network(test_app: TestApp) {
    prepare(&test_app);
    for _ in 0..30 {
        start(&test_app, &[]).await;
    }
    let refused = try_start(&test_app, &[]).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.header("retry-after").is_some());
}

async fn de_7_starts_of_a_client_with_a_secret_are_limited(test_app: TestApp) {
    prepare(&test_app);
    test_app.configure(|config| {
        let television = config
            .clients
            .iter()
            .find(|client| client.client_id == "tv");
        let mut kept = television.unwrap().clone();
        kept.client_id = "kept-tv".to_owned();
        kept.token_endpoint_auth_method = ClientAuth::ClientSecretPost;
        kept.client_secret_sha256 = vec![Hash::of(SECRET.as_bytes()).to_hex()];
        config.clients.push(kept);
        config.limits.device_client = vec![Budget {
            count: 2,
            seconds: 600,
        }];
    });
    let of_client = [("client_id", "kept-tv"), ("client_secret", SECRET)];
    for _ in 0..2 {
        start(&test_app, &of_client).await;
    }
    let refused = try_start(&test_app, &of_client).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.header("retry-after").is_some());
    start(&test_app, &[]).await;
}

/// OA-4: what devices of many networks store is charged to these, and a further one starts all the same.
#[tokio::test]
async fn de_7_starts_of_many_networks_fill_no_more_than_their_share() {
    const SPACE: usize = 1 << 20;
    let test_app = TestApp::embedded_with(|config| config.startup.tickets.max_bytes = SPACE).await;
    prepare(&test_app);
    // A budget of a client without a secret would be one that strangers spend.
    test_app.configure(|config| {
        config.limits.device_client = vec![Budget {
            count: 1,
            seconds: 600,
        }];
    });
    let mut browser = test_app.browser();
    for number in 0..2_000 {
        browser.from = format!("127.1.{}.1", number / 20);
        let request = browser.posted(START).body("client_id=tv&scope=openid");
        let answer = test_app.call(request).await;
        assert_eq!(answer.status, StatusCode::OK, "{number}: {}", answer.body);
    }
    let usage = test_app.app.tickets.usage().await.unwrap();
    assert!(usage.tickets <= SPACE / 2, "{usage:?}");
    assert!(usage.tickets > SPACE / 3, "they filled it: {usage:?}");
    let started = start(&test_app, &[("scope", "openid")]).await;
    let mut browser = signed_in(&test_app, "de7@example.com").await;
    decide(&mut browser, &started, "allow").await;
    tokens(&test_app, "tv", &started).await;
}
