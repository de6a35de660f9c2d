#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use poem::http::header;
use serde_json::{Value, json};

use crate::{
    config::{ADMIN_SCOPE, GrantType},
    oauth::test_app::{
        API, CREDENTIALS, ISSUER, SECRET, TestApp, TestResponse, VERIFIER, exchange,
    },
    user,
};

const PATH: &str = "/oauth2/introspect";
const BASIC: Option<(&str, &str)> = Some(("basic", SECRET));

/// What a client with a secret learns about a token.
async fn introspect(test_app: &TestApp, client: &str, token: &str) -> Value {
    let response = test_app
        .post(PATH, Some((client, SECRET)), &[("token", token)])
        .await;
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.header(header::CACHE_CONTROL), "no-store");
    response.body
}

fn inactive() -> Value {
    json!({ "active": false })
}

/// Tokens of the confidential client `basic` for a user.
async fn user_tokens(test_app: &TestApp, scope: &str) -> TestResponse {
    let code = test_app.code("basic", scope, Some(VERIFIER)).await;
    let form = exchange("basic", &code);
    test_app.post("/oauth2/token", BASIC, &form).await
}

/// A token of the client `basic` for itself.
async fn own_token(test_app: &TestApp) -> String {
    let tokens = test_app.post("/oauth2/token", BASIC, &CREDENTIALS).await;
    tokens.text("access_token")
}

#[tokio::test]
async fn in_1_in_3_the_audience_and_the_client_itself_see_what_it_says() {
    let test_app = TestApp::new().await;
    let tokens = user_tokens(&test_app, "openid offline_access").await;
    for client in ["basic", "api"] {
        let members = introspect(&test_app, client, &tokens.text("access_token")).await;
        for (name, value) in [
            ("active", json!(true)),
            ("token_type", json!("Bearer")),
            ("iss", json!(ISSUER)),
            ("aud", json!(API)),
            ("client_id", json!("basic")),
            ("sub", json!(test_app.user.public_id.to_string())),
        ] {
            assert_eq!(members[name], value, "{name}");
        }
        for name in ["scope", "exp", "iat", "jti", "auth_time", "acr", "sid"] {
            assert!(!members[name].is_null(), "{name}");
        }
    }
    let refresh_token = tokens.text("refresh_token");
    let members = introspect(&test_app, "basic", &refresh_token).await;
    assert_eq!(members["active"], true);
    assert_eq!(
        introspect(&test_app, "api", &refresh_token).await,
        inactive(),
        "a refresh token is its client's alone"
    );
    let members = introspect(&test_app, "api", &own_token(&test_app).await).await;
    assert_eq!(members["sub"], "basic");
    for (basic, form) in [
        (None, &[("client_id", "web"), ("token", "x")][..]),
        (Some(("api", "wrong")), &[("token", "x")]),
    ] {
        let refused = test_app.post(PATH, basic, form).await;
        assert_eq!(refused.error(), (401, "invalid_client"), "{form:?}");
    }
}

#[tokio::test]
async fn in_2_a_token_that_is_not_live_is_inactive_and_nothing_more() {
    let test_app = TestApp::new().await;
    let tokens = test_app.tokens("web", "openid").await;
    let access_token = tokens.text("access_token");
    for (client, token) in [
        ("api", "x"),
        ("api", &tokens.text("id_token")),
        ("elsewhere", &access_token),
        ("basic", &access_token),
    ] {
        let members = introspect(&test_app, client, token).await;
        assert_eq!(members, inactive(), "{client}");
    }
    for change in [
        "UPDATE grant_families SET revoked_at = 1",
        "UPDATE sessions SET revoked_at = 1",
        "UPDATE users SET state = 'disabled'",
    ] {
        let test_app = TestApp::new().await;
        let bound = test_app.tokens("web", "openid").await;
        let offline = test_app.tokens("web", "openid offline_access").await;
        let bound = bound.text("access_token");
        let members = introspect(&test_app, "api", &bound).await;
        assert_eq!(members["active"], true);
        test_app.sql(change).await;
        let members = introspect(&test_app, "api", &bound).await;
        assert_eq!(members, inactive(), "{change}");
        let members = introspect(&test_app, "api", &offline.text("access_token")).await;
        assert_eq!(members["active"], change.contains("sessions"), "{change}");
    }
    test_app.advance(631);
    let members = introspect(&test_app, "api", &access_token).await;
    assert_eq!(members, inactive(), "expired");
}

#[tokio::test]
async fn in_2_a_used_refresh_token_is_inactive() {
    let test_app = TestApp::new().await;
    let tokens = user_tokens(&test_app, "offline_access").await;
    let first = tokens.text("refresh_token");
    let form = [("grant_type", "refresh_token"), ("refresh_token", &first)];
    let tokens = test_app.post("/oauth2/token", BASIC, &form).await;
    test_app.advance(61);
    assert_eq!(introspect(&test_app, "basic", &first).await, inactive());
    let members = introspect(&test_app, "basic", &tokens.text("refresh_token")).await;
    assert_eq!(members["active"], true);
}

async fn set_roles(test_app: &TestApp, names: &[&str]) {
    let tx = test_app.app.db.begin().await.unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    user::set_roles(&tx, test_app.user.id, &names)
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn in_3_a_token_reaches_as_far_as_its_client_and_user_may_now() {
    let test_app = TestApp::new().await;
    test_app.configure("basic", |client| {
        client
            .scopes
            .extend(["lessons:write", ADMIN_SCOPE].map(str::to_owned))
    });
    set_roles(&test_app, &["admin", "coach"]).await;
    let scope = "offline_access lessons:read lessons:write entree:admin";
    let tokens = user_tokens(&test_app, scope).await;
    let own = own_token(&test_app).await;
    let access = tokens.text("access_token");
    let refresh = tokens.text("refresh_token");
    let scope_of = async |token: &str| {
        let members = introspect(&test_app, "basic", token).await;
        members["scope"].as_str().unwrap().to_owned()
    };
    for token in [&access, &refresh] {
        assert_eq!(scope_of(token).await, scope);
    }
    let members = introspect(&test_app, "api", &access).await;
    assert_eq!(members["roles"], json!(["admin", "coach"]));

    set_roles(&test_app, &["coach"]).await;
    for token in [&access, &refresh] {
        let without_admin = "offline_access lessons:read lessons:write";
        assert_eq!(scope_of(token).await, without_admin, "needs the role");
    }
    let members = introspect(&test_app, "api", &access).await;
    assert_eq!(members["roles"], json!(["coach"]));
    let own_scope = "lessons:read lessons:write entree:admin";
    assert_eq!(scope_of(&own).await, own_scope, "without a user");

    test_app.configure("basic", |client| {
        client
            .scopes
            .retain(|name| name != "lessons:write" && name != ADMIN_SCOPE)
    });
    for token in [&access, &refresh] {
        assert_eq!(scope_of(token).await, "offline_access lessons:read");
    }
    assert_eq!(scope_of(&own).await, "lessons:read");

    // No scope is left, and both tokens are still live.
    test_app.configure("basic", |client| client.scopes.clear());
    for token in [&access, &own] {
        let members = introspect(&test_app, "api", token).await;
        assert_eq!(members["active"], true);
        assert_eq!(members.get("scope"), None);
    }
}

#[tokio::test]
async fn in_2_tk_8_tokens_from_codes_are_inactive_once_the_client_may_get_none() {
    let test_app = TestApp::new().await;
    let tokens = user_tokens(&test_app, "offline_access").await;
    test_app.configure("basic", |client| {
        client.grant_types = vec![GrantType::ClientCredentials]
    });
    for name in ["access_token", "refresh_token"] {
        let members = introspect(&test_app, "basic", &tokens.text(name)).await;
        assert_eq!(members, inactive(), "{name}");
    }
}
