//! What holds for every grant.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use serde_json::json;

use crate::oauth::test_app::{
    API, CREDENTIALS, ISSUER, SECRET, TestApp, TestResponse, VERIFIER, claims, exchange, refreshing,
};

const SECOND: &str = "https://second.example/api";

fn naming<'a>(form: Vec<(&'a str, &'a str)>, resources: &[&'a str]) -> Vec<(&'a str, &'a str)> {
    let named = resources.iter().map(|resource| ("resource", *resource));
    form.into_iter().chain(named).collect()
}

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
    let life = |token: &str| {
        claims(token)["exp"].as_i64().unwrap() - claims(token)["iat"].as_i64().unwrap()
    };
    let first = test_app.tokens("web", "openid offline_access").await;
    assert_eq!(first.body["expires_in"], 60);
    assert_eq!(
        (
            life(&first.text("access_token")),
            life(&first.text("id_token"))
        ),
        (60, 120)
    );
    let others = test_app.tokens("other", "openid").await;
    assert_eq!(
        (
            life(&others.text("access_token")),
            life(&others.text("id_token"))
        ),
        (600, 600),
        "and nobody else's"
    );
    let own = test_app
        .post("/oauth2/token", Some(("basic", SECRET)), &CREDENTIALS)
        .await;
    assert_eq!(
        (&own.body["expires_in"], life(&own.text("access_token"))),
        (&json!(60), 60)
    );

    let mut token = first.text("refresh_token");
    for _ in 0..7 {
        test_app.advance(500);
        let next = test_app.refresh("web", &token).await;
        assert_eq!(life(&next.text("access_token")), 60);
        token = next.text("refresh_token");
    }
    test_app.advance(101);
    assert_eq!(
        test_app.refresh("web", &token).await.error(),
        (400, "invalid_grant"),
        "an hour in all"
    );
    let unused = test_app
        .tokens("web", "offline_access")
        .await
        .text("refresh_token");
    let kept = test_app
        .tokens("other", "offline_access")
        .await
        .text("refresh_token");
    test_app.advance(601);
    assert_eq!(
        test_app.refresh("web", &unused).await.error(),
        (400, "invalid_grant"),
        "ten minutes unused"
    );
    assert_eq!(test_app.refresh("other", &kept).await.status, 200);
}

#[tokio::test]
async fn az_23_each_access_token_is_for_one_audience_that_was_granted() {
    let test_app = TestApp::new().await;
    for id in ["third", "basic"] {
        test_app.configure(id, |client| client.resources = vec![SECOND.to_owned()]);
    }
    let scope = "openid offline_access";
    let audience = |answer: &TestResponse| {
        claims(&answer.text("access_token"))["aud"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let post = async |form: Vec<(&str, &str)>| test_app.post("/oauth2/token", None, &form).await;

    let code = test_app.code("third", scope, Some(VERIFIER)).await;
    for bad in [
        &["https://other.example"][..],
        &[API, SECOND],
        &[ISSUER],
        &[" "],
    ] {
        let refused = post(naming(exchange("third", &code), bad)).await;
        assert_eq!(refused.error(), (400, "invalid_target"), "{bad:?}");
    }
    let first = post(naming(exchange("third", &code), &[SECOND])).await;
    assert_eq!(
        audience(&first),
        SECOND,
        "nothing was consumed, and what is registered may be chosen"
    );
    assert_eq!(
        test_app.userinfo(&first.text("access_token")).await.status,
        200
    );
    let next = test_app
        .refresh("third", &first.text("refresh_token"))
        .await;
    assert_eq!(audience(&next), API, "named nothing: the default");
    let token = next.text("refresh_token");
    let refused = post(naming(
        refreshing("third", &token),
        &["https://other.example"],
    ))
    .await;
    assert_eq!(refused.error(), (400, "invalid_target"));
    let next = post(naming(refreshing("third", &token), &[SECOND])).await;
    assert_eq!(audience(&next), SECOND);

    let narrow = test_app
        .code_for("third", scope, Some(VERIFIER), Some(SECOND))
        .await;
    assert_eq!(
        post(naming(exchange("third", &narrow), &[API]))
            .await
            .error(),
        (400, "invalid_target"),
        "not granted"
    );
    let narrow = post(exchange("third", &narrow)).await;
    assert_eq!(
        audience(&narrow),
        SECOND,
        "what the request named is the default"
    );
    test_app.configure("third", |client| client.resources.clear());
    let withdrawn = post(naming(
        refreshing("third", &narrow.text("refresh_token")),
        &[SECOND],
    ))
    .await;
    assert_eq!(
        withdrawn.error(),
        (400, "invalid_target"),
        "no longer the client's"
    );
    assert_eq!(
        audience(
            &test_app
                .refresh("third", &narrow.text("refresh_token"))
                .await
        ),
        API
    );

    let basic = Some(("basic", SECRET));
    for (named, expected) in [(&[][..], API), (&[SECOND], SECOND), (&[ISSUER], ISSUER)] {
        let own = test_app
            .post("/oauth2/token", basic, &naming(CREDENTIALS.to_vec(), named))
            .await;
        assert_eq!(audience(&own), expected);
    }
    for bad in [&["https://other.example"][..], &[API, SECOND]] {
        let refused = test_app
            .post("/oauth2/token", basic, &naming(CREDENTIALS.to_vec(), bad))
            .await;
        assert_eq!(refused.error(), (400, "invalid_target"), "{bad:?}");
    }
}

#[tokio::test]
async fn az_6_scopes_of_apis_are_carried_and_the_admin_scope_needs_the_role() {
    let test_app = TestApp::new().await;
    test_app.configure("third", |client| {
        client.scopes.push("entree:admin".to_owned())
    });
    let scope = "openid lessons:read lessons:write entree:admin";
    let answer = test_app.tokens("third", scope).await;
    assert_eq!(answer.body["scope"], "openid lessons:read");
    assert_eq!(
        claims(&answer.text("access_token"))["scope"],
        "openid lessons:read"
    );
    test_app.sql("UPDATE users SET roles = 'admin coach'").await;
    let answer = test_app.tokens("third", scope).await;
    assert_eq!(
        claims(&answer.text("access_token"))["scope"],
        "openid lessons:read entree:admin"
    );
}
