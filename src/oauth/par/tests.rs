#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use poem::http::header;

use super::push::URN;
use crate::{
    oauth::test_app::{ODD, SECRET, TestApp, TestResponse},
    pkce::challenge_of,
};

const PATH: &str = "/oauth2/par";
const CALLBACK: &str = "https://app.example/cb";

/// Pushes the usual request with some parameters changed, added or (with an empty value) left out.
async fn push(
    test_app: &TestApp,
    basic: Option<(&str, &str)>,
    change: &[(&str, &str)],
) -> TestResponse {
    let challenge = challenge_of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    let mut form = vec![
        ("response_type", "code"),
        ("client_id", "web"),
        ("redirect_uri", CALLBACK),
        ("scope", "openid"),
        ("code_challenge", &*challenge),
        ("code_challenge_method", "S256"),
    ];
    form.retain(|(name, _)| !change.iter().any(|(changed, _)| changed == name));
    form.extend(change.iter().filter(|(_, value)| !value.is_empty()));
    test_app.post(PATH, basic, &form).await
}

#[tokio::test]
async fn pu_1_a_push_gives_a_reference_of_32_random_bytes_for_a_minute() {
    let test_app = TestApp::new().await;
    let mut seen = std::collections::BTreeSet::new();
    let (basic, odd) = (Some(("basic", SECRET)), Some(ODD));
    for (basic, change) in [
        (None, &[][..]),
        (basic, &[("client_id", "basic")]),
        // The Authorization header names the client.
        (basic, &[("client_id", "")]),
        (odd, &[("client_id", "")]),
        (None, &[("client_id", "post"), ("client_secret", SECRET)]),
    ] {
        let pushed = push(&test_app, basic, change).await;
        assert_eq!(pushed.status, 201, "{pushed:?}");
        assert_eq!(pushed.header(header::CACHE_CONTROL), "no-store");
        assert_eq!(pushed.header(header::CONTENT_TYPE), "application/json");
        assert_eq!(pushed.body["expires_in"], 60);
        assert_eq!(pushed.body.as_object().unwrap().len(), 2);
        let uri = pushed.text("request_uri");
        let secret = uri.strip_prefix(URN).unwrap();
        assert_eq!(secret.len(), 43, "32 bytes in base64url");
        assert!(seen.insert(uri));
    }
}

#[tokio::test]
async fn pu_1_clients_authenticate_as_at_the_token_endpoint() {
    let test_app = TestApp::new().await;
    for (basic, change, expected) in [
        (
            Some(("basic", "wrong")),
            &[("client_id", "")][..],
            (401, "invalid_client"),
        ),
        (None, &[("client_id", "basic")], (401, "invalid_client")),
        (
            None,
            &[("client_id", "basic"), ("client_secret", SECRET)],
            (401, "invalid_client"),
        ),
        (None, &[("client_id", "unknown")], (401, "invalid_client")),
        (None, &[("client_id", "")], (400, "invalid_request")),
        (Some(("basic", SECRET)), &[], (400, "invalid_request")),
        (
            Some(("basic", SECRET)),
            &[("client_id", "basic"), ("client_secret", SECRET)],
            (400, "invalid_request"),
        ),
        (
            None,
            &[("client_id", "web"), ("client_id", "web")],
            (400, "invalid_request"),
        ),
    ] {
        let refused = push(&test_app, basic, change).await;
        assert_eq!(refused.error(), expected, "{change:?}");
        assert!(refused.body.get("request_uri").is_none());
    }
}

#[tokio::test]
async fn pu_2_what_authorize_refuses_is_refused_as_json() {
    let test_app = TestApp::new().await;
    let long = "x".repeat(8192);
    for (change, expected) in [
        (&[("redirect_uri", "")][..], "invalid_request"),
        (
            &[("redirect_uri", "https://evil.example/cb")],
            "invalid_request",
        ),
        (&[("response_type", "")], "invalid_request"),
        (
            &[("response_type", "code id_token")],
            "unsupported_response_type",
        ),
        (&[("response_type", "token")], "unsupported_response_type"),
        (&[("response_mode", "fragment")], "invalid_request"),
        (&[("code_challenge", "")], "invalid_request"),
        (&[("code_challenge_method", "plain")], "invalid_request"),
        (&[("code_challenge_method", "")], "invalid_request"),
        (&[("code_challenge", "short")], "invalid_request"),
        (&[("prompt", "none login")], "invalid_request"),
        (&[("max_age", "soon")], "invalid_request"),
        (
            &[("resource", "https://elsewhere.example")],
            "invalid_target",
        ),
        (&[("id_token_hint", "x.y.z")], "invalid_request"),
        (&[("request", "e30.e30.")], "request_not_supported"),
        (
            &[("request_uri", "https://app.example/r")],
            "invalid_request",
        ),
        (&[("request_uri", &format!("{URN}x"))], "invalid_request"),
        (&[("state", "a"), ("state", "a")], "invalid_request"),
        (&[("state", &long[..2049])], "invalid_request"),
        (&[("state", "a\nb")], "invalid_request"),
        (&[("login_hint", &long)], "invalid_request"),
    ] {
        let refused = push(&test_app, None, change).await;
        assert_eq!(refused.error(), (400, expected), "{change:?}");
        assert!(refused.header(header::LOCATION).is_empty(), "{change:?}");
    }
    let essential = r#"{"id_token":{"acr":{"essential":true,"value":"gold"}}}"#;
    let refused = push(&test_app, None, &[("claims", essential)]).await;
    assert_eq!(refused.error(), (400, "unmet_authentication_requirements"));
    let only_tokens = push(&test_app, Some(("api", SECRET)), &[("client_id", "")]).await;
    assert_eq!(only_tokens.error(), (400, "unauthorized_client"));
}

/// What authenticates the client is no part of the request.
#[tokio::test]
async fn pu_2_eight_kib_are_the_request_alone() {
    let test_app = TestApp::new().await;
    let (state, nonce) = ("s".repeat(2048), "n".repeat(4096));
    let filled = |hint: usize| "h".repeat(hint);
    let sizes = |hint: &str| -> Vec<(String, String)> {
        [
            ("client_id", "post"),
            ("client_secret", SECRET),
            ("state", &state),
            ("nonce", &nonce),
            ("unknown", hint),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    };
    let mut statuses = Vec::new();
    // 6,318 bytes beside it, without the secret.
    for hint in [filled(1874), filled(1875)] {
        let change = sizes(&hint);
        let change: Vec<_> = change
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        statuses.push(push(&test_app, None, &change).await.status.as_u16());
    }
    assert_eq!(statuses, [201, 400]);
}

#[tokio::test]
async fn pu_9_each_client_with_a_secret_has_a_budget_of_its_own() {
    let test_app = TestApp::new().await;
    test_app.reconfigure(|config| {
        config.limits.pushed = vec![crate::config::Budget {
            count: 2,
            seconds: 60,
        }];
        config.limits.authorize = vec![crate::config::Budget {
            count: 3,
            seconds: 60,
        }];
    });
    let as_post = [("client_id", "post"), ("client_secret", SECRET)];
    for _ in 0..2 {
        assert_eq!(push(&test_app, None, &as_post).await.status, 201);
    }
    let refused = push(&test_app, None, &as_post).await;
    assert_eq!(refused.error(), (429, "temporarily_unavailable"));
    let wait: u64 = refused.header(header::RETRY_AFTER).parse().unwrap();
    assert!((1..=60).contains(&wait));
    let basic = Some(("basic", SECRET));
    assert_eq!(
        push(&test_app, basic, &[("client_id", "")]).await.status,
        201
    );
    // Refused ones cost nothing.
    for _ in 0..5 {
        let refused = push(&test_app, None, &[("redirect_uri", "")]).await;
        assert_eq!(refused.status, 400);
    }
    for _ in 0..3 {
        assert_eq!(push(&test_app, None, &[]).await.status, 201);
    }
    assert_eq!(push(&test_app, None, &[]).await.status, 429);
    test_app.advance(61);
    assert_eq!(push(&test_app, None, &as_post).await.status, 201);
    assert_eq!(push(&test_app, None, &[]).await.status, 201);
}
