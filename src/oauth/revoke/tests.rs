//! Revocation as clients see it.
#![allow(clippy::unwrap_used)]

use crate::oauth::test_app::{SECRET, TestApp};

const PATH: &str = "/oauth2/revoke";

#[tokio::test]
async fn rv_1_unknown_and_dead_tokens_are_as_good_as_revoked_and_hints_harm_nothing() {
    let test_app = TestApp::new().await;
    let token = test_app
        .tokens("web", "openid offline_access")
        .await
        .text("refresh_token");
    let form = |token| {
        [
            ("client_id", "web"),
            ("token", token),
            ("token_type_hint", "access_token"),
        ]
    };
    for text in ["x", "a.b.c", &token, &token] {
        assert_eq!(
            test_app.post(PATH, None, &form(text)).await.status,
            200,
            "{text}"
        );
    }
    assert_eq!(
        test_app.refresh("web", &token).await.error(),
        (400, "invalid_grant")
    );
    assert_eq!(
        test_app
            .post(PATH, None, &[("client_id", "web")])
            .await
            .error(),
        (400, "invalid_request")
    );
    assert_eq!(
        test_app.post(PATH, None, &[("token", "x")]).await.error(),
        (400, "invalid_request"),
        "no client"
    );
    assert_eq!(
        test_app
            .post(PATH, None, &form("x").map(|(name, _)| (name, "nobody")))
            .await
            .error(),
        (401, "invalid_client")
    );
}

#[tokio::test]
async fn rv_2_either_token_ends_the_whole_grant_at_once() {
    for kind in ["refresh_token", "access_token"] {
        let test_app = TestApp::new().await;
        let tokens = test_app.tokens("web", "openid offline_access").await;
        let other = test_app.tokens("web", "openid offline_access").await;
        let form = [("client_id", "web"), ("token", &tokens.text(kind))];
        assert_eq!(test_app.post(PATH, None, &form).await.status, 200);
        assert_eq!(
            test_app.userinfo(&tokens.text("access_token")).await.status,
            401,
            "{kind}"
        );
        assert_eq!(
            test_app
                .refresh("web", &tokens.text("refresh_token"))
                .await
                .error(),
            (400, "invalid_grant"),
            "{kind}"
        );
        assert_eq!(
            test_app.userinfo(&other.text("access_token")).await.status,
            200,
            "another grant of the same client"
        );
    }
}

#[tokio::test]
async fn rv_3_another_clients_token_is_refused_and_lives_on() {
    let test_app = TestApp::new().await;
    let tokens = test_app.tokens("web", "openid offline_access").await;
    for kind in ["refresh_token", "access_token"] {
        let token = tokens.text(kind);
        let as_public = test_app
            .post(PATH, None, &[("client_id", "other"), ("token", &token)])
            .await;
        let as_confidential = test_app
            .post(PATH, Some(("basic", SECRET)), &[("token", &token)])
            .await;
        assert_eq!(
            (as_public.error(), as_confidential.error()),
            ((400, "invalid_grant"), (400, "invalid_grant"))
        );
    }
    assert_eq!(
        test_app.userinfo(&tokens.text("access_token")).await.status,
        200
    );
    assert_eq!(
        test_app
            .refresh("web", &tokens.text("refresh_token"))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn rfc_7009_2_2_1_a_clients_own_token_cannot_be_revoked_and_is_told_so() {
    let test_app = TestApp::new().await;
    let basic = Some(("basic", SECRET));
    let token = test_app
        .post(
            "/oauth2/token",
            basic,
            &[("grant_type", "client_credentials")],
        )
        .await
        .text("access_token");
    assert_eq!(
        test_app
            .post(PATH, basic, &[("token", &token)])
            .await
            .error(),
        (400, "unsupported_token_type")
    );
}
