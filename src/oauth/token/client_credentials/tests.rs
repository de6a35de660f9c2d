#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use crate::oauth::test_app::{API, CREDENTIALS, ISSUER, SECRET, TestApp, claims};

#[tokio::test]
async fn tk_15_client_credentials_are_the_clients_own() {
    let test_app = TestApp::new().await;
    let basic = Some(("basic", SECRET));
    let tokens = test_app.post("/oauth2/token", basic, &CREDENTIALS).await;
    assert_eq!(tokens.body["scope"], "lessons:read");
    assert!(tokens.body.get("refresh_token").is_none() && tokens.body.get("id_token").is_none());
    let access_token = tokens.text("access_token");
    let claims = claims(&access_token);
    let names: BTreeSet<_> = claims
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let expected = [
        "iss",
        "sub",
        "aud",
        "exp",
        "iat",
        "jti",
        "client_id",
        "scope",
    ];
    assert_eq!(names, expected.into());
    for (name, value) in [
        ("sub", "basic"),
        ("client_id", "basic"),
        ("aud", API),
        ("iss", ISSUER),
    ] {
        assert_eq!(claims[name], value, "{name}");
    }
    for scope in ["openid", "lessons:read email", "lessons:write"] {
        let form = [CREDENTIALS.as_slice(), &[("scope", scope)]].concat();
        let refused = test_app.post("/oauth2/token", basic, &form).await;
        assert_eq!(refused.error(), (400, "invalid_scope"), "{scope}");
    }
    let userinfo = test_app.userinfo(&access_token).await;
    assert_eq!(userinfo.error(), (403, "insufficient_scope"));
}
