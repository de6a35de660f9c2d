//! Client authentication by secret and by name alone.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
#![allow(
    clippy::too_many_lines,
    reason = "a table of cases reads best in one piece"
)]

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use poem::http::{HeaderValue, header};

use crate::oauth::test_app::{CREDENTIALS, ODD, SECRET, TestApp, form_request};

const PATH: &str = "/oauth2/token";

#[tokio::test]
async fn ca_1_ca_2_ca_3_each_client_authenticates_in_its_own_way_alone() {
    let test_app = TestApp::new().await;
    let basic = Some(("basic", SECRET));
    let with = |more: &[(&'static str, &'static str)]| [CREDENTIALS.as_slice(), more].concat();
    let post = with(&[("client_id", "post"), ("client_secret", SECRET)]);
    let table = [
        ("the secret", basic, with(&[]), (200, "")),
        (
            "the older secret",
            Some(("basic", "the one before")),
            with(&[]),
            (200, ""),
        ),
        (
            "the same client_id in the body",
            basic,
            with(&[("client_id", "basic")]),
            (200, ""),
        ),
        ("ca_1 encoded parts", Some(ODD), with(&[]), (200, "")),
        (
            "ca_2 in the body",
            None,
            post.clone(),
            (400, "unauthorized_client"),
        ),
        (
            "ca_6 another client_id in the body",
            basic,
            with(&[("client_id", "post")]),
            (400, "invalid_request"),
        ),
        (
            "ca_3 two ways",
            basic,
            with(&[("client_secret", SECRET)]),
            (400, "invalid_request"),
        ),
        (
            "ca_3 two ways",
            Some(("post", SECRET)),
            post,
            (400, "invalid_request"),
        ),
        (
            "ca_3 basic in the body",
            None,
            with(&[("client_id", "basic"), ("client_secret", SECRET)]),
            (401, "invalid_client"),
        ),
        (
            "ca_3 post in the header",
            Some(("post", SECRET)),
            with(&[]),
            (401, "invalid_client"),
        ),
        (
            "ca_3 no secret",
            None,
            with(&[("client_id", "basic")]),
            (401, "invalid_client"),
        ),
        (
            "a public client with a secret",
            None,
            with(&[("client_id", "web"), ("client_secret", "x")]),
            (401, "invalid_client"),
        ),
        (
            "a public client in the header",
            Some(("web", "")),
            with(&[]),
            (401, "invalid_client"),
        ),
        (
            "a wrong secret",
            Some(("basic", "wrong")),
            with(&[]),
            (401, "invalid_client"),
        ),
        (
            "an empty secret",
            Some(("basic", "")),
            with(&[]),
            (401, "invalid_client"),
        ),
        (
            "an unknown client",
            Some(("unknown", SECRET)),
            with(&[]),
            (401, "invalid_client"),
        ),
        (
            "an assertion without a type",
            None,
            with(&[("client_id", "basic"), ("client_assertion", "x.y.z")]),
            (400, "invalid_request"),
        ),
        ("no client", None, with(&[]), (400, "invalid_request")),
        (
            "tk_8 client_credentials for a public client",
            None,
            with(&[("client_id", "web")]),
            (400, "unauthorized_client"),
        ),
        (
            "tk_8 a client that is not registered for codes",
            Some(("api", SECRET)),
            vec![("grant_type", "authorization_code")],
            (400, "unauthorized_client"),
        ),
        (
            "tk_8 the password grant",
            basic,
            vec![("grant_type", "password")],
            (400, "unsupported_grant_type"),
        ),
        (
            "no grant type",
            basic,
            vec![("scope", "x")],
            (400, "invalid_request"),
        ),
    ];
    for (case, basic, form, expected) in table {
        let response = test_app.post(PATH, basic, &form).await;
        assert_eq!(response.error(), expected, "{case}: {response:?}");
        assert_eq!(
            response.header(header::CACHE_CONTROL),
            "no-store",
            "tk_1 {case}"
        );
        let challenge = response.header(header::WWW_AUTHENTICATE);
        assert_eq!(
            challenge.starts_with("Basic "),
            response.status == 401 && basic.is_some(),
            "ca_4 {case}"
        );
    }
}

#[tokio::test]
async fn ca_4_unknown_client_and_wrong_secret_look_alike_and_failures_alone_are_limited() {
    let test_app = TestApp::new().await;
    let request_as = async |client: &str, secret: &str| {
        test_app
            .post(PATH, Some((client, secret)), &CREDENTIALS)
            .await
    };
    let wrong = request_as("basic", "wrong").await;
    let unknown = request_as("unknown", "wrong").await;
    assert_eq!(
        (wrong.status, &wrong.body, &wrong.headers),
        (unknown.status, &unknown.body, &unknown.headers)
    );
    for path in ["/oauth2/revoke", "/oauth2/introspect", "/oauth2/par"] {
        let response = test_app
            .post(path, Some(("basic", "wrong")), &[("token", "x")])
            .await;
        assert_eq!(
            (response.status, &response.body, &response.headers),
            (wrong.status, &wrong.body, &wrong.headers),
            "ca_7 {path}"
        );
    }
    let mut statuses = BTreeSet::new();
    for _ in 0..40 {
        statuses.insert(request_as("basic", "wrong").await.status.as_u16());
    }
    assert_eq!(statuses, BTreeSet::from([401, 429]));
    let limited = request_as("unknown", "wrong").await;
    assert_eq!(limited.status, 429);
    let wait: u64 = limited.header(header::RETRY_AFTER).parse().unwrap();
    assert!((1..=60).contains(&wait));
    assert_eq!(request_as("basic", SECRET).await.status, 200);
    test_app.advance(61);
    assert_eq!(request_as("basic", "wrong").await.status, 401);
}

#[tokio::test]
async fn ca_1_malformed_headers_are_refused() {
    let test_app = TestApp::new().await;
    let credentials = STANDARD.encode(format!("basic:{SECRET}"));
    for (value, status) in [
        (format!("Basic {credentials}"), 200),
        (format!("bASIC {credentials}"), 200),
        ("Basic".to_owned(), 401),
        ("Basic !".to_owned(), 401),
        (format!("Basic {}", STANDARD.encode("basic")), 401),
        (format!("Basic {}", STANDARD.encode("basic:%zz")), 401),
        (format!("Basic {}", STANDARD.encode(b"basic:\xff")), 401),
        (format!("Bearer {credentials}"), 401),
    ] {
        let mut request = form_request(PATH, &CREDENTIALS);
        request.headers_mut().insert(
            header::AUTHORIZATION,
            HeaderValue::try_from(&value).unwrap(),
        );
        assert_eq!(test_app.send(request).await.status, status, "{value}");
    }
    let mut repeated = form_request(PATH, &CREDENTIALS);
    for _ in 0..2 {
        repeated.headers_mut().append(
            header::AUTHORIZATION,
            HeaderValue::try_from(format!("Basic {credentials}")).unwrap(),
        );
    }
    assert_eq!(
        test_app.send(repeated).await.error(),
        (400, "invalid_request")
    );
}
