//! Rules that hold for every grant.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
#![allow(
    clippy::too_many_lines,
    reason = "one story of a grant reads best in one piece"
)]

use serde_json::json;

use crate::oauth::test_app::{
    API, CREDENTIALS, ISSUER, SECRET, TestApp, TestResponse, VERIFIER, claims, exchange, refreshing,
};

const PATH: &str = "/oauth2/token";
const BASIC: Option<(&str, &str)> = Some(("basic", SECRET));
const SECOND_API: &str = "https://second.example/api";

#[tokio::test]
async fn lifetimes_are_the_clients_own() {
    let test_app = TestApp::new().await;
    for id in ["web", "basic"] {
        test_app.configure(id, |client| {
            (client.access_token_seconds, client.id_token_seconds) = (Some(60), Some(120));
            (client.refresh_idle_seconds, client.refresh_absolute_seconds) =
                (Some(600), Some(3600));
        });
    }
    let lifetime = |tokens: &TestResponse, name: &str| {
        let claims = claims(&tokens.text(name));
        claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap()
    };
    let first = test_app.tokens("web", "openid offline_access").await;
    assert_eq!(first.body["expires_in"], 60);
    assert_eq!(lifetime(&first, "access_token"), 60);
    assert_eq!(lifetime(&first, "id_token"), 120);
    let other = test_app.tokens("other", "openid").await;
    assert_eq!(lifetime(&other, "access_token"), 600, "another client");
    assert_eq!(lifetime(&other, "id_token"), 600, "another client");
    let own = test_app.post(PATH, BASIC, &CREDENTIALS).await;
    assert_eq!(own.body["expires_in"], json!(60));
    assert_eq!(lifetime(&own, "access_token"), 60);

    let invalid_grant = (400, "invalid_grant");
    let mut token = first.text("refresh_token");
    for _ in 0..7 {
        test_app.advance(500);
        let next = test_app.refresh("web", &token).await;
        assert_eq!(lifetime(&next, "access_token"), 60);
        token = next.text("refresh_token");
    }
    test_app.advance(101);
    let expired = test_app.refresh("web", &token).await;
    assert_eq!(expired.error(), invalid_grant, "after an hour");
    let idle = test_app.tokens("web", "offline_access").await;
    let other = test_app.tokens("other", "offline_access").await;
    test_app.advance(601);
    let idle = test_app.refresh("web", &idle.text("refresh_token")).await;
    assert_eq!(idle.error(), invalid_grant, "ten minutes unused");
    let other = test_app
        .refresh("other", &other.text("refresh_token"))
        .await;
    assert_eq!(other.status, 200, "another client");
}

fn with_resources<'a>(
    form: Vec<(&'a str, &'a str)>,
    resources: &[&'a str],
) -> Vec<(&'a str, &'a str)> {
    let resources = resources.iter().map(|resource| ("resource", *resource));
    form.into_iter().chain(resources).collect()
}

fn audience(tokens: &TestResponse) -> String {
    let claims = claims(&tokens.text("access_token"));
    claims["aud"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn az_23_each_access_token_is_for_one_audience_that_was_granted() {
    let test_app = TestApp::new().await;
    for id in ["third", "basic"] {
        test_app.configure(id, |client| client.resources = vec![SECOND_API.to_owned()]);
    }
    let (scope, invalid_target) = ("openid offline_access", (400, "invalid_target"));
    let exchange = async |code: &str, resources: &[&str]| {
        let form = with_resources(exchange("third", code), resources);
        test_app.post(PATH, None, &form).await
    };
    let refresh = async |tokens: &TestResponse, resources: &[&str]| {
        let token = tokens.text("refresh_token");
        let form = with_resources(refreshing("third", &token), resources);
        test_app.post(PATH, None, &form).await
    };

    let code = test_app.code("third", scope, Some(VERIFIER)).await;
    for bad in [
        &["https://other.example"][..],
        &[API, SECOND_API],
        &[ISSUER],
        &[" "],
    ] {
        let refused = exchange(&code, bad).await;
        assert_eq!(refused.error(), invalid_target, "{bad:?}");
    }
    let first = exchange(&code, &[SECOND_API]).await;
    assert_eq!(audience(&first), SECOND_API, "a registered resource");
    let userinfo = test_app.userinfo(&first.text("access_token")).await;
    assert_eq!(userinfo.status, 200);
    let second = refresh(&first, &[]).await;
    assert_eq!(audience(&second), API, "the default");
    let refused = refresh(&second, &["https://other.example"]).await;
    assert_eq!(refused.error(), invalid_target);
    let third = refresh(&second, &[SECOND_API]).await;
    assert_eq!(audience(&third), SECOND_API);

    let code = test_app
        .code_for("third", scope, Some(VERIFIER), Some(SECOND_API))
        .await;
    let refused = exchange(&code, &[API]).await;
    assert_eq!(refused.error(), invalid_target, "not granted");
    let narrow = exchange(&code, &[]).await;
    assert_eq!(audience(&narrow), SECOND_API, "the requested one");
    test_app.configure("third", |client| client.resources.clear());
    let refused = refresh(&narrow, &[SECOND_API]).await;
    assert_eq!(refused.error(), invalid_target, "no longer registered");
    assert_eq!(audience(&refresh(&narrow, &[]).await), API);

    let request_own = async |resources: &[&str]| {
        let form = with_resources(CREDENTIALS.to_vec(), resources);
        test_app.post(PATH, BASIC, &form).await
    };
    for (resources, expected) in [
        (&[][..], API),
        (&[SECOND_API], SECOND_API),
        (&[ISSUER], ISSUER),
    ] {
        assert_eq!(audience(&request_own(resources).await), expected);
    }
    for bad in [&["https://other.example"][..], &[API, SECOND_API]] {
        assert_eq!(request_own(bad).await.error(), invalid_target, "{bad:?}");
    }
}

#[tokio::test]
async fn az_6_scopes_of_apis_are_carried_and_the_admin_scope_needs_the_role() {
    let test_app = TestApp::new().await;
    test_app.configure("third", |client| {
        client.scopes.push("entree:admin".to_owned())
    });
    let scope = "openid lessons:read lessons:write entree:admin";
    let tokens = test_app.tokens("third", scope).await;
    let granted = "openid lessons:read";
    assert_eq!(tokens.body["scope"], granted);
    assert_eq!(claims(&tokens.text("access_token"))["scope"], granted);
    test_app.sql("UPDATE users SET roles = 'admin coach'").await;
    let tokens = test_app.tokens("third", scope).await;
    assert_eq!(
        claims(&tokens.text("access_token"))["scope"],
        "openid lessons:read entree:admin"
    );
}
