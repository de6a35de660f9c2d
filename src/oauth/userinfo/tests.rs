#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use poem::{
    Request,
    http::{Method, header},
};

use crate::oauth::test_app::{TestApp, TestResponse, claims, form_request};

const PATH: &str = "/oauth2/userinfo";

#[tokio::test]
async fn ui_1_ui_2_ui_6_the_token_may_stand_in_header_or_form() {
    let test_app = TestApp::new().await;
    let tokens = test_app.tokens("web", "openid").await;
    let token = tokens.text("access_token");
    let with_header = |method, scheme: &str| {
        Request::builder()
            .method(method)
            .uri_str(PATH)
            .header("accept", "text/html")
            .header("authorization", format!("{scheme} {token}"))
            .finish()
    };
    for request in [
        with_header(Method::GET, "Bearer"),
        with_header(Method::GET, "bEARER"),
        with_header(Method::POST, "Bearer"),
        form_request(PATH, &[("access_token", &token)]),
    ] {
        let response = test_app.send(request).await;
        assert_eq!(response.status, 200);
        assert_eq!(response.header(header::CONTENT_TYPE), "application/json");
        assert_eq!(response.header(header::CACHE_CONTROL), "no-store");
        let id_token = claims(&tokens.text("id_token"));
        assert_eq!(response.body["sub"], id_token["sub"]);
    }
}

#[tokio::test]
async fn ui_3_ui_4_refusals_name_the_scheme_and_an_error_only_if_a_token_came() {
    let test_app = TestApp::new().await;
    let tokens = test_app.tokens("web", "openid").await;
    let token = tokens.text("access_token");
    let without_openid = test_app.tokens("web", "email").await.text("access_token");
    let with_header = |value: String| {
        Request::builder()
            .uri_str(PATH)
            .header("authorization", value)
            .finish()
    };
    let bearer = |token: &str| with_header(format!("Bearer {token}"));
    let mut twice = form_request(PATH, &[("access_token", &token)]);
    twice.headers_mut().insert(
        header::AUTHORIZATION,
        format!("Bearer {token}").parse().unwrap(),
    );
    let query = Request::builder()
        .uri_str(format!("{PATH}?access_token={token}"))
        .finish();
    for (case, request, expected) in [
        (
            "no token",
            Request::builder().uri_str(PATH).finish(),
            (401, ""),
        ),
        (
            "another scheme",
            with_header("Basic YTpi".to_owned()),
            (401, ""),
        ),
        ("not a token", bearer("x"), (401, "invalid_token")),
        (
            "an ID token",
            bearer(&tokens.text("id_token")),
            (401, "invalid_token"),
        ),
        (
            "without openid",
            bearer(&without_openid),
            (403, "insufficient_scope"),
        ),
        ("in the query", query, (400, "invalid_request")),
        ("twice", twice, (400, "invalid_request")),
    ] {
        let response = test_app.send(request).await;
        assert_eq!(response.error(), expected, "{case}");
        let challenge = response.header(header::WWW_AUTHENTICATE);
        assert!(challenge.starts_with("Bearer "), "{case}");
        let has_error = !expected.1.is_empty();
        assert_eq!(challenge.contains("error="), has_error, "{case}");
        assert_eq!(response.header(header::CACHE_CONTROL), "no-store", "{case}");
    }
}

/// Requests userinfo with this scope and checks which claims are there.
async fn userinfo_with(test_app: &TestApp, scope: &str, names: &[&str]) -> TestResponse {
    let tokens = test_app.tokens("web", scope).await;
    let response = test_app.userinfo(&tokens.text("access_token")).await;
    let claims = response.body.as_object().unwrap();
    let found: BTreeSet<&str> = claims.keys().map(String::as_str).collect();
    assert_eq!(found, names.iter().copied().collect(), "{scope}");
    response
}

#[tokio::test]
async fn cl_1_cl_2_cl_3_cl_4_each_scope_brings_its_claims_and_nothing_is_null() {
    let test_app = TestApp::new().await;
    userinfo_with(&test_app, "openid", &["sub"]).await;
    userinfo_with(&test_app, "profile openid", &["sub", "updated_at"]).await;
    let email = ["sub", "email", "email_verified"];
    let response = userinfo_with(&test_app, "openid email", &email).await;
    assert_eq!(response.body["email"], "coach@example.com");
    assert_eq!(response.body["email_verified"], true);
    test_app
        .sql("UPDATE users SET name = 'Ada', locale = ' '")
        .await;
    let profile = ["sub", "name", "updated_at"];
    let response = userinfo_with(&test_app, "openid profile", &profile).await;
    let updated_at = test_app.user.updated_at.seconds();
    assert_eq!(response.body["updated_at"], updated_at);
    test_app
        .sql("UPDATE user_emails SET verified_at = NULL")
        .await;
    let response = userinfo_with(&test_app, "openid email", &email).await;
    assert_eq!(response.body["email_verified"], false);
}

#[tokio::test]
async fn ui_5_od_4_what_ended_is_refused_on_the_next_call_and_the_log_has_the_reason() {
    for (change, reason) in [
        ("UPDATE grant_families SET revoked_at = 1", "grant_revoked"),
        ("UPDATE grant_families SET expires_at = 1", "grant_expired"),
        ("UPDATE sessions SET revoked_at = 1", "session_ended"),
        ("UPDATE users SET state = 'disabled'", "user_disabled"),
        ("UPDATE users SET auth_epoch = 7", "signed_out_everywhere"),
        ("DELETE FROM grant_families", "grant_unknown"),
    ] {
        let test_app = TestApp::new().await;
        let bound = test_app.tokens("web", "openid").await;
        let offline = test_app.tokens("web", "openid offline_access").await;
        let bound = bound.text("access_token");
        assert_eq!(test_app.userinfo(&bound).await.status, 200);
        test_app.sql(change).await;
        let refused = test_app.userinfo(&bound).await;
        assert_eq!(refused.error(), (401, "invalid_token"), "{change}");
        assert_eq!(refused.reason, reason, "{change}");
        let words = refused.body["error_description"].as_str().unwrap();
        assert_eq!(
            words, "The token is expired, revoked or not valid here.",
            "one answer for all"
        );
        let offline = test_app.userinfo(&offline.text("access_token")).await;
        let expected = if change.contains("sessions") {
            200
        } else {
            401
        };
        assert_eq!(offline.status, expected, "{change}");
    }
    let test_app = TestApp::new().await;
    let tokens = test_app.tokens("web", "openid").await;
    test_app.advance(601 + 30);
    let expired = test_app.userinfo(&tokens.text("access_token")).await;
    assert_eq!(expired.status, 401);
    assert_eq!(expired.reason, "token_expired");
    for (token, reason) in [
        (tokens.text("id_token"), "token_audience"),
        ("x".to_owned(), "token_malformed"),
    ] {
        let refused = test_app.userinfo(&token).await;
        assert_eq!((refused.error().0, &*refused.reason), (401, reason));
    }
}
