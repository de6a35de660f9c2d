#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use crate::oauth::test_app::{SECRET, TestApp, VERIFIER, exchange};

#[tokio::test]
async fn cp_1_tk_7_a_confidential_client_may_do_without_pkce_and_then_brings_no_verifier() {
    let test_app = TestApp::new().await;
    let basic = Some(("basic", SECRET));
    let without = |code: &str| {
        let form = exchange("basic", code)
            .into_iter()
            .filter(|(name, _)| *name != "code_verifier");
        form.map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect::<Vec<_>>()
    };
    let post = async |form: Vec<(String, String)>| {
        let form: Vec<_> = form
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        test_app.post("/oauth2/token", basic, &form).await
    };
    let code = test_app.code("basic", "openid", None).await;
    let mut injected = without(&code);
    injected.push(("code_verifier".to_owned(), VERIFIER.to_owned()));
    assert_eq!(
        post(injected).await.error(),
        (400, "invalid_grant"),
        "a verifier without a challenge"
    );
    assert_eq!(
        post(without(&code)).await.status,
        200,
        "and nothing was consumed"
    );
    let code = test_app.code("basic", "openid", Some(VERIFIER)).await;
    assert_eq!(
        post(without(&code)).await.error(),
        (400, "invalid_grant"),
        "a challenge without a verifier"
    );
}

#[tokio::test]
async fn rf_1_only_offline_access_or_the_clients_policy_give_a_refresh_token() {
    let test_app = TestApp::new().await;
    for (client, scope, given, granted) in [
        (
            "web",
            "openid offline_access",
            true,
            "openid offline_access",
        ),
        ("web", "openid", false, "openid"),
        ("app", "openid", true, "openid"),
        (
            "third",
            "openid offline_access",
            true,
            "openid offline_access",
        ),
        ("third", "openid", false, "openid"),
    ] {
        let answer = test_app.tokens(client, scope).await;
        assert_eq!(
            answer.body.get("refresh_token").is_some(),
            given,
            "{client} {scope}"
        );
        assert_eq!(answer.body["scope"], granted, "{client} {scope}");
    }
}

#[tokio::test]
async fn tk_6_a_code_replayed_after_ten_seconds_ends_the_refresh_tokens_too() {
    let test_app = TestApp::new().await;
    let code = test_app
        .code("web", "openid offline_access", Some(VERIFIER))
        .await;
    let first = test_app
        .post("/oauth2/token", None, &exchange("web", &code))
        .await;
    assert_eq!(
        test_app
            .post("/oauth2/token", None, &exchange("web", &code))
            .await
            .error(),
        (400, "invalid_grant")
    );
    let next = test_app.refresh("web", &first.text("refresh_token")).await;
    assert_eq!(next.status, 200, "a race revokes nothing");
    test_app.advance(11);
    assert_eq!(
        test_app
            .post("/oauth2/token", None, &exchange("web", &code))
            .await
            .error(),
        (400, "invalid_grant")
    );
    assert_eq!(
        test_app
            .refresh("web", &next.text("refresh_token"))
            .await
            .error(),
        (400, "invalid_grant")
    );
    assert_eq!(
        test_app.userinfo(&next.text("access_token")).await.status,
        401
    );
}
