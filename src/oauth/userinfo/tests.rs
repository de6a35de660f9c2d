//! Userinfo as clients see it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use poem::{
    Request,
    http::{Method, header},
};

use crate::oauth::test_app::{TestApp, claims, form_request};

const PATH: &str = "/oauth2/userinfo";

#[tokio::test]
async fn ui_1_ui_2_ui_6_the_token_may_stand_in_header_or_form() {
    let test_app = TestApp::new().await;
    let tokens = test_app.tokens("web", "openid").await;
    let token = tokens.text("access_token");
    let header = |method, scheme: &str| {
        let request = Request::builder()
            .method(method)
            .uri_str(PATH)
            .header("accept", "text/html");
        request
            .header("authorization", format!("{scheme} {token}"))
            .finish()
    };
    for request in [
        header(Method::GET, "Bearer"),
        header(Method::GET, "bEARER"),
        header(Method::POST, "Bearer"),
        form_request(PATH, &[("access_token", &token)]),
    ] {
        let answer = test_app.send(request).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header(header::CONTENT_TYPE)),
            (200, "application/json")
        );
        assert_eq!(answer.header(header::CACHE_CONTROL), "no-store");
        assert_eq!(answer.body["sub"], claims(&tokens.text("id_token"))["sub"]);
    }
}

#[tokio::test]
async fn ui_3_ui_4_refusals_name_the_scheme_and_an_error_only_if_a_token_came() {
    let test_app = TestApp::new().await;
    let token = test_app.tokens("web", "openid").await.text("access_token");
    let without = test_app.tokens("web", "email").await.text("access_token");
    let id_token = test_app.tokens("web", "openid").await.text("id_token");
    let bearer = |token: &str| {
        Request::builder()
            .uri_str(PATH)
            .header("authorization", format!("Bearer {token}"))
    };
    let mut twice = form_request(PATH, &[("access_token", &token)]);
    twice.headers_mut().insert(
        header::AUTHORIZATION,
        format!("Bearer {token}").parse().unwrap(),
    );
    let query = Request::builder()
        .uri_str(format!("{PATH}?access_token={token}"))
        .finish();
    let basic = Request::builder()
        .uri_str(PATH)
        .header("authorization", "Basic YTpi")
        .finish();
    for (what, request, expected) in [
        ("none", Request::builder().uri_str(PATH).finish(), (401, "")),
        ("another scheme", basic, (401, "")),
        ("garbage", bearer("x").finish(), (401, "invalid_token")),
        (
            "an ID token",
            bearer(&id_token).finish(),
            (401, "invalid_token"),
        ),
        (
            "without openid",
            bearer(&without).finish(),
            (403, "insufficient_scope"),
        ),
        ("in the query", query, (400, "invalid_request")),
        ("twice", twice, (400, "invalid_request")),
    ] {
        let answer = test_app.send(request).await;
        assert_eq!(answer.error(), expected, "{what}");
        let challenge = answer.header(header::WWW_AUTHENTICATE).to_owned();
        assert!(challenge.starts_with("Bearer "), "{what}");
        assert_eq!(
            challenge.contains("error="),
            !expected.1.is_empty(),
            "{what}"
        );
        assert_eq!(answer.header(header::CACHE_CONTROL), "no-store", "{what}");
    }
}

#[tokio::test]
async fn cl_1_cl_2_cl_3_cl_4_each_scope_brings_its_claims_and_nothing_is_null() {
    let test_app = TestApp::new().await;
    let keys = async |scope: &str| {
        let answer = test_app
            .userinfo(&test_app.tokens("web", scope).await.text("access_token"))
            .await;
        (
            answer
                .body
                .as_object()
                .unwrap()
                .keys()
                .cloned()
                .collect::<BTreeSet<_>>(),
            answer,
        )
    };
    let set = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(keys("openid").await.0, set(&["sub"]));
    assert_eq!(
        keys("profile openid").await.0,
        set(&["sub", "updated_at"]),
        "no name is known yet"
    );
    let (found, answer) = keys("openid email").await;
    assert_eq!(found, set(&["sub", "email", "email_verified"]));
    assert_eq!(
        (&answer.body["email"], &answer.body["email_verified"]),
        (&"coach@example.com".into(), &true.into())
    );
    test_app
        .sql("UPDATE users SET name = 'Ada', locale = ' '")
        .await;
    let (found, answer) = keys("openid profile").await;
    assert_eq!(found, set(&["sub", "name", "updated_at"]));
    assert_eq!(
        answer.body["updated_at"],
        test_app.user.updated_at.seconds()
    );
    test_app
        .sql("UPDATE user_emails SET verified_at = NULL")
        .await;
    assert_eq!(keys("openid email").await.1.body["email_verified"], false);
}

#[tokio::test]
async fn ui_5_what_ended_is_refused_on_the_next_call() {
    for ends in [
        "UPDATE grant_families SET revoked_at = 1",
        "UPDATE sessions SET revoked_at = 1",
        "UPDATE users SET state = 'disabled'",
        "UPDATE users SET auth_epoch = 7",
        "DELETE FROM grant_families",
    ] {
        let test_app = TestApp::new().await;
        let bound = test_app.tokens("web", "openid").await.text("access_token");
        let offline = test_app
            .tokens("web", "openid offline_access")
            .await
            .text("access_token");
        assert_eq!(test_app.userinfo(&bound).await.status, 200);
        test_app.sql(ends).await;
        assert_eq!(
            test_app.userinfo(&bound).await.error(),
            (401, "invalid_token"),
            "{ends}"
        );
        let survives = if ends.contains("sessions") { 200 } else { 401 };
        assert_eq!(test_app.userinfo(&offline).await.status, survives, "{ends}");
    }
    let test_app = TestApp::new().await;
    let token = test_app.tokens("web", "openid").await.text("access_token");
    test_app.advance(601 + 30);
    assert_eq!(test_app.userinfo(&token).await.status, 401, "expired");
}
