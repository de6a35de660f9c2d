//! The rule, and the token endpoint that goes by it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::oauth::test_app::{
    self, API, ISSUER, SECRET, TestApp, VERIFIER, claims, exchange, refreshing,
};

const CREDENTIALS: [(&str, &str); 1] = [("grant_type", "client_credentials")];

const OURS: &str = "https://id.example";

fn client(more: &str) -> Client {
    let least = r#""client_id":"c","name":"C","audience":"https://a.example""#;
    serde_json::from_str(&format!(
        "{{{least},\"resources\":[\"https://b.example/v1\"]{more}}}"
    ))
    .unwrap()
}

fn params(names: &[&str]) -> Params {
    let pairs = names.iter().map(|name| ("resource", *name));
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish();
    Params::from_form(body.as_bytes(), Some("application/x-www-form-urlencoded")).unwrap()
}

#[test]
fn az_23_what_is_named_must_be_the_clients() {
    let third = client("");
    let asked = |names: &[&str]| asked(&params(names), &third, OURS);
    assert_eq!(asked(&[]).unwrap(), None);
    assert_eq!(
        asked(&["https://b.example/v1"]).unwrap().as_deref(),
        Some("https://b.example/v1")
    );
    let both = [
        "https://b.example/v1",
        "https://a.example",
        "https://b.example/v1",
    ];
    assert_eq!(
        asked(&both).unwrap().as_deref(),
        Some("https://b.example/v1 https://a.example")
    );
    for bad in [
        "https://c.example",
        "https://a.example/",
        "https://A.example",
        "https://a.example#x",
        OURS,
        " ",
    ] {
        assert_eq!(
            asked(&["https://a.example", bad]).unwrap_err().code,
            Code::InvalidTarget,
            "{bad:?}"
        );
    }
    let long = format!("https://a.example/{}", "x".repeat(MAX_NAME));
    assert!(asked(&[&long]).is_err());
}

#[test]
fn a_token_has_one_audience_of_those_granted() {
    let third = client("");
    let granted = "https://b.example/v1 https://a.example";
    let chosen = |granted: &str, names: &[&str]| chosen(&params(names), granted, &third, OURS);
    assert_eq!(chosen(granted, &[]).unwrap(), "https://b.example/v1");
    assert_eq!(
        chosen(granted, &["https://a.example"]).unwrap(),
        "https://a.example"
    );
    for (granted, bad) in [
        ("https://a.example", &["https://b.example/v1"][..]),
        (granted, &["https://a.example", "https://b.example/v1"]),
        (granted, &[OURS]),
        ("https://gone.example", &["https://gone.example"]),
    ] {
        assert_eq!(
            chosen(granted, bad).unwrap_err().code,
            Code::InvalidTarget,
            "{bad:?}"
        );
    }
    assert_eq!(
        chosen("https://gone.example", &[]).unwrap(),
        "https://a.example",
        "what ops gave it since"
    );
}

#[test]
fn our_own_api_is_for_our_own_clients_and_admins() {
    assert!(!registered(&client(""), OURS).contains(&OURS));
    for more in [
        r#","first_party":true"#,
        r#","scopes":["openid","entree:admin"]"#,
    ] {
        assert_eq!(
            all(&client(more), OURS),
            format!("https://a.example https://b.example/v1 {OURS}")
        );
    }
}

const SECOND: &str = "https://second.example/api";

fn naming<'a>(form: Vec<(&'a str, &'a str)>, resources: &[&'a str]) -> Vec<(&'a str, &'a str)> {
    let named = resources.iter().map(|resource| ("resource", *resource));
    form.into_iter().chain(named).collect()
}

#[tokio::test]
async fn az_23_each_access_token_is_for_one_audience_that_was_granted() {
    let test_app = TestApp::new().await;
    for id in ["third", "basic"] {
        test_app.configure(id, |client| client.resources = vec![SECOND.to_owned()]);
    }
    let scope = "openid offline_access";
    let audience = |answer: &test_app::Answer| {
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
