//! Introspection as clients and resource servers see it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use poem::http::header;
use serde_json::json;

use crate::{
    config::GrantType,
    oauth::{
        scope::ADMIN,
        test_app::{API, ISSUER, SECRET, TestApp, exchange},
    },
    user,
};

const PATH: &str = "/oauth2/introspect";

async fn ask(test_app: &TestApp, client: &str, token: &str) -> serde_json::Value {
    let answer = test_app
        .post(PATH, Some((client, SECRET)), &[("token", token)])
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.header(header::CACHE_CONTROL)),
        (200, "no-store"),
        "{answer:?}"
    );
    answer.body
}

#[tokio::test]
async fn in_1_in_3_the_audience_and_the_client_itself_see_what_it_says() {
    let test_app = TestApp::new().await;
    let code = test_app
        .code(
            "basic",
            "openid offline_access",
            Some(crate::oauth::test_app::VERIFIER),
        )
        .await;
    let tokens = test_app
        .post(
            "/oauth2/token",
            Some(("basic", SECRET)),
            &exchange("basic", &code),
        )
        .await;
    let access = tokens.text("access_token");
    for client in ["basic", "api"] {
        let told = ask(&test_app, client, &access).await;
        assert_eq!(
            (&told["active"], &told["token_type"]),
            (&json!(true), &json!("Bearer"))
        );
        assert_eq!(
            (&told["iss"], &told["aud"], &told["client_id"]),
            (&json!(ISSUER), &json!(API), &json!("basic"))
        );
        assert_eq!(told["sub"], test_app.user.public_id.to_string());
        for member in ["scope", "exp", "iat", "jti", "auth_time", "acr", "sid"] {
            assert!(!told[member].is_null(), "{member}");
        }
    }
    let refresh = tokens.text("refresh_token");
    assert_eq!(ask(&test_app, "basic", &refresh).await["active"], true);
    assert_eq!(
        ask(&test_app, "api", &refresh).await,
        json!({ "active": false }),
        "a refresh token is its client's alone"
    );
    let own = test_app
        .post(
            "/oauth2/token",
            Some(("basic", SECRET)),
            &[("grant_type", "client_credentials")],
        )
        .await;
    assert_eq!(
        ask(&test_app, "api", &own.text("access_token")).await["sub"],
        "basic"
    );
    for (basic, form) in [
        (None, vec![("client_id", "web"), ("token", "x")]),
        (Some(("api", "wrong")), vec![("token", "x")]),
    ] {
        assert_eq!(
            test_app.post(PATH, basic, &form).await.error(),
            (401, "invalid_client"),
            "the caller has a secret"
        );
    }
}

#[tokio::test]
async fn in_2_whatever_does_not_count_is_inactive_and_nothing_more() {
    let inactive = json!({ "active": false });
    let test_app = TestApp::new().await;
    let tokens = test_app.tokens("web", "openid").await;
    for (client, token) in [
        ("api", "x".to_owned()),
        ("api", tokens.text("id_token")),
        ("elsewhere", tokens.text("access_token")),
        ("basic", tokens.text("access_token")),
    ] {
        assert_eq!(ask(&test_app, client, &token).await, inactive, "{client}");
    }
    for ends in [
        "UPDATE grant_families SET revoked_at = 1",
        "UPDATE sessions SET revoked_at = 1",
        "UPDATE users SET state = 'disabled'",
    ] {
        let test_app = TestApp::new().await;
        let bound = test_app.tokens("web", "openid").await.text("access_token");
        let offline = test_app
            .tokens("web", "openid offline_access")
            .await
            .text("access_token");
        assert_eq!(ask(&test_app, "api", &bound).await["active"], true);
        test_app.sql(ends).await;
        assert_eq!(ask(&test_app, "api", &bound).await, inactive, "{ends}");
        assert_eq!(
            ask(&test_app, "api", &offline).await["active"],
            ends.contains("sessions"),
            "{ends}"
        );
    }
    test_app.advance(631);
    assert_eq!(
        ask(&test_app, "api", &tokens.text("access_token")).await,
        inactive,
        "expired"
    );
}

#[tokio::test]
async fn in_2_a_used_refresh_token_is_inactive() {
    let test_app = TestApp::new().await;
    let basic = Some(("basic", SECRET));
    let code = test_app
        .code(
            "basic",
            "offline_access",
            Some(crate::oauth::test_app::VERIFIER),
        )
        .await;
    let first = test_app
        .post("/oauth2/token", basic, &exchange("basic", &code))
        .await
        .text("refresh_token");
    let second = test_app
        .post(
            "/oauth2/token",
            basic,
            &[("grant_type", "refresh_token"), ("refresh_token", &first)],
        )
        .await;
    test_app.advance(61);
    assert_eq!(
        ask(&test_app, "basic", &first).await,
        json!({ "active": false })
    );
    assert_eq!(
        ask(&test_app, "basic", &second.text("refresh_token")).await["active"],
        true
    );
}

#[tokio::test]
async fn in_3_a_token_reaches_as_far_as_its_client_and_person_may_now() {
    let test_app = TestApp::new().await;
    let roles = async |names: &[&str]| {
        let tx = test_app.app.db.begin().await.unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        user::set_roles(&tx, test_app.user.id, &names)
            .await
            .unwrap();
        tx.commit().await.unwrap();
    };
    test_app.configure("basic", |client| {
        client
            .scopes
            .extend(["lessons:write", ADMIN].map(str::to_owned))
    });
    roles(&["admin", "coach"]).await;
    let basic = Some(("basic", SECRET));
    let asked = "offline_access lessons:read lessons:write entree:admin";
    let code = test_app
        .code("basic", asked, Some(crate::oauth::test_app::VERIFIER))
        .await;
    let tokens = test_app
        .post("/oauth2/token", basic, &exchange("basic", &code))
        .await;
    let own = test_app
        .post(
            "/oauth2/token",
            basic,
            &[("grant_type", "client_credentials")],
        )
        .await
        .text("access_token");
    let (access, refresh) = (tokens.text("access_token"), tokens.text("refresh_token"));
    for token in [&access, &refresh] {
        assert_eq!(ask(&test_app, "basic", token).await["scope"], asked);
    }
    assert_eq!(
        ask(&test_app, "api", &access).await["roles"],
        json!(["admin", "coach"])
    );

    roles(&["coach"]).await;
    for token in [&access, &refresh] {
        assert_eq!(
            ask(&test_app, "basic", token).await["scope"],
            "offline_access lessons:read lessons:write",
            "the role"
        );
    }
    assert_eq!(
        ask(&test_app, "api", &access).await["roles"],
        json!(["coach"])
    );
    assert_eq!(
        ask(&test_app, "api", &own).await["scope"],
        "lessons:read lessons:write entree:admin",
        "nobody's role"
    );

    test_app.configure("basic", |client| {
        client
            .scopes
            .retain(|name| name != "lessons:write" && name != ADMIN)
    });
    for token in [&access, &refresh] {
        assert_eq!(
            ask(&test_app, "basic", token).await["scope"],
            "offline_access lessons:read"
        );
    }
    assert_eq!(ask(&test_app, "api", &own).await["scope"], "lessons:read");

    // Nothing is left, and both are still tokens of ours.
    test_app.configure("basic", |client| client.scopes.clear());
    for token in [&access, &own] {
        let told = ask(&test_app, "api", token).await;
        assert_eq!((&told["active"], told.get("scope")), (&json!(true), None));
    }
}

#[tokio::test]
async fn in_2_tk_8_what_a_client_got_by_codes_is_inactive_once_it_may_get_none() {
    let test_app = TestApp::new().await;
    let basic = Some(("basic", SECRET));
    let code = test_app
        .code(
            "basic",
            "offline_access",
            Some(crate::oauth::test_app::VERIFIER),
        )
        .await;
    let tokens = test_app
        .post("/oauth2/token", basic, &exchange("basic", &code))
        .await;
    test_app.configure("basic", |client| {
        client.grant_types = vec![GrantType::ClientCredentials]
    });
    for name in ["access_token", "refresh_token"] {
        assert_eq!(
            ask(&test_app, "basic", &tokens.text(name)).await,
            json!({ "active": false }),
            "{name}"
        );
    }
}
