#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::time::Duration;

use super::*;
use crate::{
    oauth::{
        test_app::{SECRET, TestApp, TestResponse, VERIFIER, exchange},
        token::code_store::{CodeTerms, TOMBSTONE_TTL, is_live, issue_code},
    },
    secret::{Plain, public_id},
};

#[tokio::test]
async fn cp_1_tk_7_a_confidential_client_may_do_without_pkce_and_then_brings_no_verifier() {
    let test_app = TestApp::new().await;
    let exchange_basic = async |code: &str, with_verifier: bool| {
        let mut form = exchange("basic", code);
        form.retain(|(name, _)| with_verifier || *name != "code_verifier");
        test_app
            .post("/oauth2/token", Some(("basic", SECRET)), &form)
            .await
    };
    let code = test_app.code("basic", "openid", None).await;
    assert_eq!(
        exchange_basic(&code, true).await.error(),
        (400, "invalid_grant"),
        "a verifier without a challenge"
    );
    assert_eq!(
        exchange_basic(&code, false).await.status,
        200,
        "the refusal consumed nothing"
    );
    let code = test_app.code("basic", "openid", Some(VERIFIER)).await;
    assert_eq!(
        exchange_basic(&code, false).await.error(),
        (400, "invalid_grant"),
        "a challenge without a verifier"
    );
}

#[tokio::test]
async fn rf_1_only_offline_access_or_the_clients_policy_give_a_refresh_token() {
    let test_app = TestApp::new().await;
    let offline = "openid offline_access";
    for (client, scope, has_refresh_token) in [
        ("web", offline, true),
        ("web", "openid", false),
        ("app", "openid", true),
        ("third", offline, true),
        ("third", "openid", false),
    ] {
        let tokens = test_app.tokens(client, scope).await;
        assert_eq!(
            tokens.body.get("refresh_token").is_some(),
            has_refresh_token,
            "{client} {scope}"
        );
        assert_eq!(tokens.body["scope"], scope, "{client}");
    }
}

#[tokio::test]
async fn tk_6_a_code_replayed_after_ten_seconds_ends_the_refresh_tokens_too() {
    let test_app = TestApp::new().await;
    let code = test_app
        .code("web", "openid offline_access", Some(VERIFIER))
        .await;
    let form = exchange("web", &code);
    let exchange = || test_app.post("/oauth2/token", None, &form);
    let refresh = async |tokens: &TestResponse| {
        let token = tokens.text("refresh_token");
        test_app.refresh("web", &token).await
    };
    let first = exchange().await;
    assert_eq!(exchange().await.error(), (400, "invalid_grant"));
    let second = refresh(&first).await;
    assert_eq!(second.status, 200, "a race revokes nothing");
    test_app.advance(11);
    assert_eq!(exchange().await.error(), (400, "invalid_grant"));
    assert_eq!(refresh(&second).await.error(), (400, "invalid_grant"));
    let userinfo = test_app.userinfo(&second.text("access_token")).await;
    assert_eq!(userinfo.status, 401);
}

/// A code as an older version of the service makes it: nothing in it shows its binding.
async fn older_code(test_app: &TestApp) -> String {
    let secret = CodeSecret::parse(&Plain::generate().to_text()).unwrap();
    let code = AuthorizationCode {
        grant_id: public_id(),
        binding: CodeBinding {
            client_id: "web".to_owned(),
            redirect_uri: "https://app.example/cb".to_owned(),
            code_challenge: Some(pkce::challenge_of(VERIFIER)),
            dpop_jkt: None,
        },
        nonce: None,
        scope: "openid".to_owned(),
        claims: String::new(),
        resources: None,
        expires_at: None,
        sign_in: (&test_app.session).into(),
    };
    let terms = CodeTerms {
        user_id: test_app.session.user_id,
        lifetime: Duration::from_secs(60),
        budgets: &[],
    };
    let issued = issue_code(&test_app.app, &secret, &code, terms).await;
    assert!(issued.unwrap());
    secret.to_text()
}

#[tokio::test]
async fn rd_06_a_code_of_an_older_version_is_checked_before_it_is_claimed() {
    let test_app = TestApp::new().await;
    let code = older_code(&test_app).await;
    let post = async |code: &str, verifier: &str| {
        let mut form = exchange("web", code);
        form.retain(|(name, _)| *name != "code_verifier");
        form.push(("code_verifier", verifier));
        test_app.post("/oauth2/token", None, &form).await
    };
    let wrong = "a".repeat(43);
    let refused = (400, "invalid_grant");
    assert_eq!(post(&code, &wrong).await.error(), refused);
    let tokens = post(&code, VERIFIER).await;
    assert_eq!(
        tokens.status, 200,
        "the refusal claimed nothing: {tokens:?}"
    );
    test_app.advance(11);
    assert_eq!(post(&code, VERIFIER).await.error(), refused);
    let userinfo = test_app.userinfo(&tokens.text("access_token")).await;
    assert_eq!(userinfo.status, 401, "a late replay revokes");
}

#[tokio::test]
async fn rd_06_tk_3_a_request_that_does_not_repeat_the_binding_claims_nothing() {
    let test_app = TestApp::new().await;
    let code = test_app.code("web", "openid", Some(VERIFIER)).await;
    let refused = (400, "invalid_grant");
    let wrong = "a".repeat(43);
    for (client, changed) in [
        ("web", Some(("code_verifier", wrong.as_str()))),
        ("web", Some(("redirect_uri", "https://app.example/other"))),
        ("app", None),
    ] {
        let mut form = exchange(client, &code);
        if let Some((name, value)) = changed {
            form.retain(|(other, _)| *other != name);
            form.push((name, value));
        }
        let response = test_app.post("/oauth2/token", None, &form).await;
        assert_eq!(response.error(), refused, "{client} {changed:?}");
    }
    let form = exchange("web", &code);
    let tokens = test_app.post("/oauth2/token", None, &form).await;
    assert_eq!(tokens.status, 200, "{tokens:?}");
}

#[tokio::test]
async fn er_3_tk_3_a_database_that_is_away_claims_no_code() {
    let test_app = TestApp::new().await;
    let codes = [
        test_app.code("web", "openid", Some(VERIFIER)).await,
        older_code(&test_app).await,
    ];
    test_app.app.db.close().await;
    for code in codes {
        let form = exchange("web", &code);
        let response = test_app.post("/oauth2/token", None, &form).await;
        assert_eq!(response.status, 503, "{response:?}");
        let is_live = is_live(&test_app.app, &code).await.unwrap();
        assert!(is_live, "the client tries again later");
    }
}

/// A code that was given back ends when it would have ended, and not with its ticket.
#[tokio::test]
async fn rd_06_a_code_that_was_given_back_expires_in_time() {
    let test_app = TestApp::new().await;
    let text = test_app.code("web", "openid", Some(VERIFIER)).await;
    let secret = CodeSecret::parse(&text).unwrap();
    let (tickets, hash) = (&test_app.app.tickets, secret.hash());
    let claim = tickets.claim(TicketKind::Code, &hash, b"{}", TOMBSTONE_TTL);
    let Claim::Fresh(value) = claim.await.unwrap() else {
        panic!("it is fresh")
    };
    let mut code = read_code(&value).unwrap();
    code.expires_at = Some(test_app.app.clock().now() + Duration::from_secs(60));
    let value = serde_json::to_vec(&code).unwrap();
    let given = tickets.give_back(TicketKind::Code, &hash, b"{}", &value);
    assert!(given.await.unwrap());
    test_app.advance(61);
    let form = exchange("web", &text);
    let response = test_app.post("/oauth2/token", None, &form).await;
    assert_eq!(response.error(), (400, "invalid_grant"));
}
