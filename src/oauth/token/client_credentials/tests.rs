#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use serde_json::json;

use crate::oauth::test_app::{API, CREDENTIALS, ISSUER, SECRET, TestApp, claims};

#[tokio::test]
async fn tk_15_client_credentials_are_the_clients_own() {
    let test_app = TestApp::new().await;
    let answer = test_app
        .post("/oauth2/token", Some(("basic", SECRET)), &CREDENTIALS)
        .await;
    assert_eq!(answer.body["scope"], "lessons:read");
    assert!(answer.body.get("refresh_token").is_none() && answer.body.get("id_token").is_none());
    let token = answer.text("access_token");
    let claims = claims(&token);
    let known = [
        "iss",
        "sub",
        "aud",
        "exp",
        "iat",
        "jti",
        "client_id",
        "scope",
    ];
    assert_eq!(
        claims
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect::<BTreeSet<_>>(),
        known.into()
    );
    assert_eq!(
        (&claims["sub"], &claims["client_id"]),
        (&json!("basic"), &json!("basic"))
    );
    assert_eq!(
        (&claims["aud"], &claims["iss"]),
        (&json!(API), &json!(ISSUER))
    );
    for scope in ["openid", "lessons:read email", "lessons:write"] {
        let form = [("grant_type", "client_credentials"), ("scope", scope)];
        let answer = test_app
            .post("/oauth2/token", Some(("basic", SECRET)), &form)
            .await;
        assert_eq!(answer.error(), (400, "invalid_scope"), "{scope}");
    }
    assert_eq!(
        test_app.userinfo(&token).await.error(),
        (403, "insufficient_scope")
    );
}
