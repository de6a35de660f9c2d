#![allow(clippy::unwrap_used)]

use crate::oauth::test_app::{CREDENTIALS, SECRET, TestApp};

const PATH: &str = "/oauth2/revoke";

#[tokio::test]
async fn rv_1_unknown_and_dead_tokens_are_as_good_as_revoked_and_hints_harm_nothing() {
    let test_app = TestApp::new().await;
    let tokens = test_app.tokens("web", "openid offline_access").await;
    let refresh_token = tokens.text("refresh_token");
    for token in ["x", "a.b.c", &refresh_token, &refresh_token] {
        let form = [
            ("client_id", "web"),
            ("token", token),
            ("token_type_hint", "access_token"),
        ];
        let response = test_app.post(PATH, None, &form).await;
        assert_eq!(response.status, 200, "{token}");
    }
    let refused = test_app.refresh("web", &refresh_token).await;
    assert_eq!(refused.error(), (400, "invalid_grant"));
    for (form, expected) in [
        (&[("client_id", "web")][..], (400, "invalid_request")),
        (&[("token", "x")], (400, "invalid_request")),
        (
            &[("client_id", "unknown"), ("token", "x")],
            (401, "invalid_client"),
        ),
    ] {
        let refused = test_app.post(PATH, None, form).await;
        assert_eq!(refused.error(), expected, "{form:?}");
    }
}

#[tokio::test]
async fn rv_2_either_token_ends_the_whole_grant_at_once() {
    for kind in ["refresh_token", "access_token"] {
        let test_app = TestApp::new().await;
        let tokens = test_app.tokens("web", "openid offline_access").await;
        let other = test_app.tokens("web", "openid offline_access").await;
        let form = [("client_id", "web"), ("token", &tokens.text(kind))];
        assert_eq!(test_app.post(PATH, None, &form).await.status, 200);
        let userinfo = test_app.userinfo(&tokens.text("access_token")).await;
        assert_eq!(userinfo.status, 401, "{kind}");
        let refresh = test_app.refresh("web", &tokens.text("refresh_token")).await;
        assert_eq!(refresh.error(), (400, "invalid_grant"), "{kind}");
        let userinfo = test_app.userinfo(&other.text("access_token")).await;
        assert_eq!(userinfo.status, 200, "another grant of the client");
    }
}

#[tokio::test]
async fn rv_3_another_clients_token_is_refused_and_stays_valid() {
    let test_app = TestApp::new().await;
    let tokens = test_app.tokens("web", "openid offline_access").await;
    for kind in ["refresh_token", "access_token"] {
        let token = tokens.text(kind);
        let form = [("client_id", "other"), ("token", &token)];
        let public = test_app.post(PATH, None, &form).await;
        assert_eq!(public.error(), (400, "invalid_grant"), "{kind}");
        let confidential = test_app
            .post(PATH, Some(("basic", SECRET)), &[("token", &token)])
            .await;
        assert_eq!(confidential.error(), (400, "invalid_grant"), "{kind}");
    }
    let userinfo = test_app.userinfo(&tokens.text("access_token")).await;
    assert_eq!(userinfo.status, 200);
    let refresh = test_app.refresh("web", &tokens.text("refresh_token")).await;
    assert_eq!(refresh.status, 200);
}

#[tokio::test]
async fn rfc_7009_2_2_1_a_clients_own_token_cannot_be_revoked() {
    let test_app = TestApp::new().await;
    let basic = Some(("basic", SECRET));
    let tokens = test_app.post("/oauth2/token", basic, &CREDENTIALS).await;
    let form = [("token", &*tokens.text("access_token"))];
    let refused = test_app.post(PATH, basic, &form).await;
    assert_eq!(refused.error(), (400, "unsupported_token_type"));
}
