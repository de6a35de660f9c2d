//! `/api/v2/logins`: a login as one resource, from its beginning to the tokens. The app that began it
//! reads and finishes it; for all others it does not exist.

use std::time::Duration;

use entree::config::{ClientAuth, GrantType, Reloadable};
use futures_util::StreamExt as _;
use poem::http::{Method, StatusCode, header};
use serde_json::{Value, json};
use testkit::page::Page;

use crate::test_app::TestApp;

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const APP: &str = "https://app.example";
const OTHER: &str = "https://other.example";

fn with_apps(config: &mut Reloadable) {
    config.api.v2_enabled = true;
    config.clients = ["app", "other"]
        .map(|id| {
            let origin = format!("https://{id}.example");
            let client = json!({"client_id": id, "name": id, "audience": "https://api.test", "first_party": true, "app_sign_in": true,
                "allowed_origins": [origin]});
            serde_json::from_value(client).unwrap()
        })
        .into();
}

on_both!(
    a_login_is_begun_read_and_finished_by_its_verifier,
    a_login_is_followed_until_it_is_consumed,
    a_login_is_read_by_pages_of_its_own_client_alone,
    a_login_is_begun_by_apps_without_a_secret_alone,
    oa_11_a_client_without_app_sign_in_begins_no_login,
    a_login_ends_with_its_time_and_its_tries,
    oa_6_a_login_has_one_stream,
    a_link_finishes_the_login_that_is_named_alone,
);

fn json_of(page: &Page) -> Value {
    serde_json::from_str(&page.body).unwrap_or_else(|_| panic!("{}", page.body))
}

async fn send(
    test_app: &TestApp,
    method: Method,
    path: &str,
    headers: &[(&'static str, &str)],
    body: Option<Value>,
) -> Page {
    let request = headers.iter().fold(
        test_app.browser().request(method, path),
        |request, (name, value)| request.header(*name, *value),
    );
    test_app
        .call(match body {
            Some(body) => request
                .header(header::CONTENT_TYPE, "application/json")
                .body(body.to_string()),
            None => request.finish(),
        })
        .await
}

async fn begin(test_app: &TestApp, email: &str) -> String {
    let body = json!({"client_id": "app", "email": email, "code_challenge": CHALLENGE, "code_challenge_method": "S256"});
    let begun = send(test_app, Method::POST, "/api/v2/logins", &[], Some(body)).await;
    assert_eq!(begun.status, StatusCode::CREATED, "{}", begun.body);
    json_of(&begun)["flow_id"].as_str().unwrap().to_owned()
}

async fn read(test_app: &TestApp, id: &str, verifier: &str) -> (StatusCode, Value) {
    let page = send(
        test_app,
        Method::GET,
        &format!("/api/v2/logins/{id}"),
        &[("code-verifier", verifier)],
        None,
    )
    .await;
    (page.status, json_of(&page))
}

async fn submit(test_app: &TestApp, id: &str, code: &str, verifier: &str) -> Page {
    let body = json!({"code": code, "code_verifier": verifier, "scope": "openid"});
    send(
        test_app,
        Method::POST,
        &format!("/api/v2/logins/{id}/code"),
        &[],
        Some(body),
    )
    .await
}

async fn a_login_is_begun_read_and_finished_by_its_verifier(test_app: TestApp) {
    test_app.configure(with_apps);
    let id = begin(&test_app, "v2@example.com").await;
    let (status, login) = read(&test_app, &id, VERIFIER).await;
    assert_eq!(
        (status, &login["id"], &login["state"]),
        (StatusCode::OK, &json!(id), &json!("open"))
    );
    assert!(
        (1..=1800).contains(&login["expires_in"].as_u64().unwrap()),
        "{login}"
    );

    let path = format!("/api/v2/logins/{id}");
    let other = "x".repeat(43);
    for (what, headers) in [
        ("another verifier", vec![("code-verifier", other.as_str())]),
        ("the challenge", vec![("code-verifier", CHALLENGE)]),
        ("an empty one", vec![("code-verifier", "")]),
        ("none", vec![]),
    ] {
        for path in [path.clone(), format!("{path}/events")] {
            assert_eq!(
                send(&test_app, Method::GET, &path, &headers, None)
                    .await
                    .status,
                StatusCode::NOT_FOUND,
                "{what} {path}"
            );
        }
    }
    for id in ["00000000-0000-0000-0000-000000000000", "x"] {
        assert_eq!(
            read(&test_app, id, VERIFIER).await.0,
            StatusCode::NOT_FOUND,
            "{id}"
        );
    }

    let code = test_app.mail("v2@example.com").await.code();
    let wrong = if code == "00000000" {
        "00000001"
    } else {
        "00000000"
    };
    assert_eq!(
        submit(&test_app, &id, wrong, VERIFIER).await.status,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        submit(&test_app, &id, &code, &other).await.status,
        StatusCode::BAD_REQUEST,
        "D1: the verifier binds it"
    );
    let done = submit(&test_app, &id, &code, VERIFIER).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.body);
    let tokens = json_of(&done);
    assert!(
        tokens["access_token"].is_string() && tokens["id_token"].is_string(),
        "{tokens}"
    );
    assert_eq!(read(&test_app, &id, VERIFIER).await.1["state"], "consumed");
    assert_eq!(
        submit(&test_app, &id, &code, VERIFIER).await.status,
        StatusCode::BAD_REQUEST,
        "once"
    );
}

/// The whole body of a stream that ends by itself.
async fn a_login_is_followed_until_it_is_consumed(test_app: TestApp) {
    test_app.configure(with_apps);
    let id = begin(&test_app, "v2-events@example.com").await;
    let path = format!("/api/v2/logins/{id}/events");
    let headers = [("code-verifier", VERIFIER)];
    let (stream, done) = tokio::join!(send(&test_app, Method::GET, &path, &headers, None), async {
        let code = test_app.mail("v2-events@example.com").await.code();
        submit(&test_app, &id, &code, VERIFIER).await
    });
    assert_eq!(
        (stream.status, done.status),
        (StatusCode::OK, StatusCode::OK),
        "{}",
        done.body
    );
    assert!(
        stream
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/event-stream"))
    );
    let events: Vec<Value> = stream
        .body
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    let states: Vec<&str> = events
        .iter()
        .map(|event| event["state"].as_str().unwrap())
        .collect();
    assert!(
        states == ["open", "consumed"] || states == ["consumed"],
        "{states:?}"
    );
}

/// OA-6: a newer stream of a login ends the older, and a login that is over holds none open.
async fn oa_6_a_login_has_one_stream(test_app: TestApp) {
    test_app.configure(with_apps);
    let id = begin(&test_app, "v2-one@example.com").await;
    let path = format!("/api/v2/logins/{id}/events");
    let follow = async || {
        let request = test_app.browser().request(Method::GET, &path);
        let stream = test_app.answer(request.header("code-verifier", VERIFIER).finish());
        let stream = stream.await;
        assert_eq!(stream.status(), StatusCode::OK);
        stream.into_body().into_bytes_stream().boxed()
    };
    let (mut older, mut newer) = (follow().await, follow().await);
    older.next().await.unwrap().unwrap();
    newer.next().await.unwrap().unwrap();
    let ends = tokio::time::timeout(Duration::from_secs(20), older.collect::<Vec<_>>());
    assert!(ends.await.unwrap().is_empty(), "no further event");
    let code = test_app.mail("v2-one@example.com").await.code();
    let done = submit(&test_app, &id, &code, VERIFIER).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.body);
    let rest = tokio::time::timeout(Duration::from_secs(20), newer.collect::<Vec<_>>());
    assert_eq!(rest.await.unwrap().len(), 1, "the newer one went on");
    let mut late = follow().await;
    late.next().await.unwrap().unwrap();
    let ends = tokio::time::timeout(Duration::from_secs(20), late.collect::<Vec<_>>());
    assert!(ends.await.unwrap().is_empty());
}

/// `/api/v1`, whose links name their login by themselves.
async fn a_link_finishes_the_login_that_is_named_alone(test_app: TestApp) {
    test_app.configure(with_apps);
    let own = begin(&test_app, "v1-link@example.com").await;
    let link = test_app.mail("v1-link@example.com").await.link();
    let token = link.rsplit('/').next().unwrap();
    let second = begin(&test_app, "v1-second@example.com").await;
    let finish = async |id: &str| {
        let body = json!({"flow_id": id, "code_verifier": VERIFIER, "link_token": token, "scope": "openid"});
        let page = send(
            &test_app,
            Method::POST,
            "/api/v1/auth/magic-link/consume",
            &[],
            Some(body),
        )
        .await;
        (page.status, json_of(&page))
    };
    for (what, id) in [
        ("unknown", "11111111-2222-4333-8444-555555555555"),
        ("another of the same app", second.as_str()),
        ("no identifier", "x"),
    ] {
        let (status, answer) = finish(id).await;
        assert_eq!(
            (status, &answer["code"]),
            (StatusCode::BAD_REQUEST, &json!("invalid_code")),
            "{what}"
        );
    }
    let (status, answer) = finish(&own).await;
    assert!(
        status == StatusCode::OK && answer["access_token"].is_string(),
        "nothing of that spent it: {answer}"
    );
}

async fn a_login_is_read_by_pages_of_its_own_client_alone(test_app: TestApp) {
    test_app.configure(with_apps);
    let id = begin(&test_app, "v2-cors@example.com").await;
    let path = format!("/api/v2/logins/{id}");
    for (origin, may) in [
        (APP, Some(APP)),
        (OTHER, None),
        ("https://evil.example", None),
    ] {
        let headers = [("code-verifier", VERIFIER), ("origin", origin)];
        let page = send(&test_app, Method::GET, &path, &headers, None).await;
        assert_eq!(page.status, StatusCode::OK);
        assert_eq!(
            page.header("access-control-allow-origin"),
            may,
            "PX-02: {origin}"
        );
        assert_eq!(page.header("access-control-allow-credentials"), None);
    }
    // A browser's flow is none of this API's, whatever cookie comes along.
    let mut browser = test_app.browser();
    let waiting = browser.ask("v2-browser@example.com").await;
    let path = format!("/api/v2/logins/{}", crate::test_app::flow_of(&waiting));
    let answer = browser
        .send(browser.request(Method::GET, &path).finish())
        .await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "no cookie is read");
}

async fn a_login_is_begun_by_apps_without_a_secret_alone(test_app: TestApp) {
    test_app.configure(with_apps);
    let status = async || {
        let body = json!({"client_id": "app", "email": "x@example.com", "code_challenge": CHALLENGE, "code_challenge_method": "S256"});
        let first = send(
            &test_app,
            Method::POST,
            "/api/v1/auth/magic-link/request",
            &[],
            Some(body.clone()),
        )
        .await;
        (
            first.status,
            send(&test_app, Method::POST, "/api/v2/logins", &[], Some(body))
                .await
                .status,
        )
    };
    assert_eq!(status().await, (StatusCode::ACCEPTED, StatusCode::CREATED));
    let refused = (StatusCode::BAD_REQUEST, StatusCode::BAD_REQUEST);
    test_app.configure(|config| {
        config.clients[0].token_endpoint_auth_method = ClientAuth::ClientSecretBasic
    });
    assert_eq!(
        status().await,
        refused,
        "CA-3: what it has to show elsewhere it is not spared here"
    );
    test_app.configure(with_apps);
    test_app.configure(|config| config.clients[0].grant_types = vec![GrantType::ClientCredentials]);
    assert_eq!(status().await, refused, "TK-8: it starts no session");
    test_app.configure(with_apps);
    test_app.configure(|config| config.clients[0].first_party = false);
    assert_eq!(status().await, refused);
}

/// A program that names a public client of ours must not begin a sign-in for it and relay its code.
async fn oa_11_a_client_without_app_sign_in_begins_no_login(test_app: TestApp) {
    test_app.configure(with_apps);
    test_app.configure(|config| config.clients[0].app_sign_in = false);
    let body = json!({"client_id": "app", "email": "x@example.com", "code_challenge": CHALLENGE, "code_challenge_method": "S256"});
    for path in ["/api/v1/auth/magic-link/request", "/api/v2/logins"] {
        let refused = send(&test_app, Method::POST, path, &[], Some(body.clone())).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{path}");
        assert!(
            refused.body.contains("invalid_client") && refused.body.contains("app_sign_in = true"),
            "{path}: {}",
            refused.body
        );
    }
    // A login that began before the setting was removed gets no tokens either.
    test_app.configure(with_apps);
    let id = begin(&test_app, "v2-relay@example.com").await;
    let code = test_app.mail("v2-relay@example.com").await.code();
    test_app.configure(|config| config.clients[0].app_sign_in = false);
    let late = submit(&test_app, &id, &code, VERIFIER).await;
    assert_eq!(late.status, StatusCode::BAD_REQUEST, "{}", late.body);
}

async fn a_login_ends_with_its_time_and_its_tries(test_app: TestApp) {
    test_app.configure(with_apps);
    let id = begin(&test_app, "v2-tries@example.com").await;
    let code = test_app.mail("v2-tries@example.com").await.code();
    for n in 1..6 {
        let wrong = format!("{:08}", (code.parse::<u32>().unwrap() + n) % 100_000_000);
        assert_eq!(
            submit(&test_app, &id, &wrong, VERIFIER).await.status,
            StatusCode::BAD_REQUEST
        );
    }
    assert_eq!(
        submit(&test_app, &id, &code, VERIFIER).await.status,
        StatusCode::BAD_REQUEST,
        "D2"
    );
    let id = begin(&test_app, "v2-late@example.com").await;
    test_app.pass(1801);
    let (status, login) = read(&test_app, &id, VERIFIER).await;
    assert!(
        status == StatusCode::NOT_FOUND || login["state"] == "ended",
        "{login}"
    );
}
