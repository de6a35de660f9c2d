//! What is published: metadata and keys (DI, JW).

use poem::{
    Request,
    http::{Method, StatusCode, header},
};
use serde_json::Value;
use testkit::page::Page;

use crate::{
    oauth::get,
    test_app::{PUBLIC, TestApp},
    work::form_request,
};

const METADATA: [&str; 2] = [
    "/.well-known/openid-configuration",
    "/.well-known/oauth-authorization-server",
];
const JWKS: &str = "/.well-known/jwks.json";

/// Members that OpenID Connect Discovery §3, Back-Channel Logout 1.0 §2.1, RFC 8414 §2, RFC 9126 §5, RFC 9449 §5.1,
/// RFC 9207 §3 or the IANA registry know.
const REGISTERED: &[&str] = &[
    "introspection_endpoint",
    "introspection_endpoint_auth_methods_supported",
    "introspection_endpoint_auth_signing_alg_values_supported",
    "token_endpoint_auth_signing_alg_values_supported",
    "revocation_endpoint_auth_signing_alg_values_supported",
    "op_policy_uri",
    "revocation_endpoint",
    "revocation_endpoint_auth_methods_supported",
    "end_session_endpoint",
    "backchannel_logout_supported",
    "backchannel_logout_session_supported",
    "pushed_authorization_request_endpoint",
    "require_pushed_authorization_requests",
    "dpop_signing_alg_values_supported",
    "issuer",
    "authorization_endpoint",
    "token_endpoint",
    "jwks_uri",
    "userinfo_endpoint",
    "response_types_supported",
    "response_modes_supported",
    "grant_types_supported",
    "subject_types_supported",
    "id_token_signing_alg_values_supported",
    "token_endpoint_auth_methods_supported",
    "code_challenge_methods_supported",
    "scopes_supported",
    "claims_supported",
    "acr_values_supported",
    "prompt_values_supported",
    "authorization_response_iss_parameter_supported",
    "request_parameter_supported",
    "request_uri_parameter_supported",
    "claims_parameter_supported",
    "ui_locales_supported",
    "service_documentation",
];

async fn with(test_app: &TestApp, path: &str, name: &str, value: &str) -> Page {
    let request = Request::builder()
        .uri_str(path)
        .header(header::HOST, "id.test")
        .header(name, value);
    test_app.call(request.finish()).await
}

async fn document(test_app: &TestApp) -> Value {
    serde_json::from_str(&get(test_app, METADATA[0]).await.body).unwrap()
}

fn strings(document: &Value, member: &str) -> Vec<String> {
    let list = document[member]
        .as_array()
        .unwrap_or_else(|| panic!("{member} is no array"));
    list.iter()
        .map(|one| one.as_str().expect("a string").to_owned())
        .collect()
}

#[tokio::test]
async fn di_1_di_15_jw_3_documents_are_json_for_any_origin_and_may_be_kept() {
    let test_app = TestApp::embedded().await;
    for path in [METADATA[0], METADATA[1], JWKS] {
        let answer = with(&test_app, path, "origin", "https://any-site.example").await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(
            answer.header("content-type"),
            Some("application/json"),
            "{path}"
        );
        assert_eq!(
            answer.header("access-control-allow-origin"),
            Some("*"),
            "{path}"
        );
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        assert_eq!(
            answer.header("cache-control"),
            Some("public, max-age=300"),
            "{path}"
        );
        assert!(
            answer
                .header("etag")
                .is_some_and(|tag| tag.starts_with('"') && tag.ends_with('"'))
        );
        assert_eq!(answer.header("set-cookie"), None);
    }
    let [one, other] = [
        get(&test_app, METADATA[0]).await,
        get(&test_app, METADATA[1]).await,
    ];
    assert_eq!(one.body, other.body, "DI-15: the same document");
}

#[tokio::test]
async fn jw_3_what_one_has_already_is_not_sent_again() {
    let test_app = TestApp::embedded().await;
    for path in [METADATA[0], METADATA[1], JWKS] {
        let tag = get(&test_app, path)
            .await
            .header("etag")
            .unwrap()
            .to_owned();
        for known in [
            tag.clone(),
            format!("W/{tag}"),
            format!("\"x\", {tag}"),
            "*".to_owned(),
        ] {
            let answer = with(&test_app, path, "if-none-match", &known).await;
            assert_eq!(
                (answer.status, answer.body.as_str()),
                (StatusCode::NOT_MODIFIED, ""),
                "{known}"
            );
            assert_eq!(answer.header("etag"), Some(tag.as_str()));
            assert_eq!(
                answer.header("access-control-allow-origin"),
                Some("*"),
                "RFC 9110 §15.4.5"
            );
            assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
        }
        for other in ["\"x\"", "x", "", tag.trim_matches('"')] {
            assert_eq!(
                with(&test_app, path, "if-none-match", other).await.status,
                StatusCode::OK,
                "{other}"
            );
        }
    }
}

#[tokio::test]
async fn di_2_di_3_every_url_is_of_the_issuer_and_https() {
    let test_app = TestApp::embedded().await;
    let document = document(&test_app).await;
    assert_eq!(document["issuer"], PUBLIC);
    let mut urls = 0;
    for (name, value) in document.as_object().unwrap() {
        if name == "jwks_uri" || name.ends_with("_endpoint") {
            let url = value.as_str().unwrap();
            assert!(
                url.starts_with(&format!("{PUBLIC}/")) && url.starts_with("https://"),
                "{name}: {url}"
            );
            urls += 1;
        }
    }
    assert!(urls >= 3, "{urls}");
    // Never from the Host header: another host is not answered for.
    let elsewhere = Request::builder()
        .uri_str(METADATA[0])
        .header(header::HOST, "evil.example")
        .finish();
    let answer = test_app.call(elsewhere).await;
    assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST);
    assert!(!answer.body.contains("evil.example"));
}

#[tokio::test]
async fn di_4_di_6_di_8_di_11_di_12_the_lists_say_what_is_there() {
    let document = document(&TestApp::embedded().await).await;
    for (member, expected) in [
        ("response_types_supported", &["code"][..]),
        ("subject_types_supported", &["public"]),
        ("code_challenge_methods_supported", &["S256"]),
        ("response_modes_supported", &["query", "form_post"]),
        ("id_token_signing_alg_values_supported", &["RS256", "ES256"]),
    ] {
        assert_eq!(strings(&document, member), expected, "{member}");
    }
    assert!(
        strings(&document, "scopes_supported").contains(&"openid".to_owned()),
        "DI-5"
    );
    for claim in [
        "sub",
        "iss",
        "aud",
        "exp",
        "iat",
        "auth_time",
        "acr",
        "amr",
        "sid",
    ] {
        assert!(
            strings(&document, "claims_supported").contains(&claim.to_owned()),
            "DI-6: {claim}"
        );
    }

    let methods = strings(&document, "token_endpoint_auth_methods_supported");
    for method in ["client_secret_basic", "client_secret_post"] {
        assert!(methods.contains(&method.to_owned()), "DI-8: {method}");
    }
    assert!(
        !strings(&document, "acr_values_supported").is_empty(),
        "DI-12"
    );
}

#[tokio::test]
async fn di_7_only_registered_members_of_the_right_type() {
    let document = document(&TestApp::embedded().await).await;
    for (name, value) in document.as_object().unwrap() {
        assert!(
            REGISTERED.contains(&name.as_str()),
            "{name} is not a registered member"
        );
        let is_flag = ["request_", "backchannel_logout_"]
            .iter()
            .any(|start| name.starts_with(start))
            || name.contains("_parameter_");
        if name.starts_with("require_") || name.ends_with("_supported") && is_flag {
            assert!(value.is_boolean(), "{name}: {value}");
        } else if name.ends_with("_supported") {
            let list = strings(&document, name);
            let once: std::collections::BTreeSet<_> = list.iter().collect();
            assert!(
                !list.is_empty() && once.len() == list.len(),
                "{name}: {list:?}"
            );
        } else {
            assert!(value.is_string(), "{name}: {value}");
        }
    }
}

#[tokio::test]
async fn di_9_di_14_defaults_that_are_not_ours_are_said() {
    let document = document(&TestApp::embedded().await).await;
    assert_eq!(document["request_parameter_supported"], false);
    assert_eq!(document["request_uri_parameter_supported"], false);
    assert!(
        document
            .get("request_object_signing_alg_values_supported")
            .is_none()
    );
    assert_eq!(
        document["authorization_response_iss_parameter_supported"],
        true
    );
}

#[tokio::test]
async fn di_10_di_13_di_17_exactly_what_is_there_is_advertised() {
    let test_app = TestApp::embedded().await;
    let document = document(&test_app).await;
    for (member, path) in [
        ("authorization_endpoint", "/oauth2/authorize"),
        ("token_endpoint", "/oauth2/token"),
        ("jwks_uri", JWKS),
        ("userinfo_endpoint", "/oauth2/userinfo"),
        ("revocation_endpoint", "/oauth2/revoke"),
        ("introspection_endpoint", "/oauth2/introspect"),
        ("end_session_endpoint", "/oauth2/logout"),
        ("pushed_authorization_request_endpoint", "/oauth2/par"),
        ("registration_endpoint", "/oauth2/register"),
        (
            "device_authorization_endpoint",
            "/oauth2/device_authorization",
        ),
    ] {
        // While the grant is off, its endpoint is not there for the method that it has.
        let answer = match member {
            "device_authorization_endpoint" => test_app.call(form_request(path, &[])).await,
            _ => get(&test_app, path).await,
        };
        let advertised = document
            .get(member)
            .is_some_and(|url| url.as_str() == Some(&format!("{PUBLIC}{path}")));
        assert_eq!(
            document.get(member).is_some(),
            advertised,
            "{member} says {path}"
        );
        assert_eq!(
            answer.status != StatusCode::NOT_FOUND,
            advertised,
            "{member} and {path} ({})",
            answer.status
        );
    }
    assert!(document["end_session_endpoint"].is_string(), "DI-13");
    let refreshes =
        strings(&document, "grant_types_supported").contains(&"refresh_token".to_owned());
    assert_eq!(
        refreshes,
        strings(&document, "scopes_supported").contains(&"offline_access".to_owned()),
        "DI-10"
    );
}

#[tokio::test]
async fn jw_1_jw_2_the_key_set_holds_public_keys_of_the_right_kinds() {
    let test_app = TestApp::embedded().await;
    let set: Value = serde_json::from_str(&get(&test_app, JWKS).await.body).unwrap();
    let keys = set["keys"].as_array().unwrap();
    let mut kids = std::collections::BTreeSet::new();
    for key in keys {
        assert_eq!(key["use"], "sig");
        assert!(
            kids.insert(key["kid"].as_str().unwrap().to_owned()),
            "kid twice"
        );
        for private in ["d", "p", "q", "dp", "dq", "qi", "k", "oth"] {
            assert!(key.get(private).is_none(), "private member {private}");
        }
        match (key["kty"].as_str().unwrap(), key["alg"].as_str().unwrap()) {
            ("EC", "ES256") => assert_eq!(key["crv"], "P-256"),
            // 2048 bits are 256 bytes, 342 characters of base64url.
            ("RSA", "RS256") => assert!(key["n"].as_str().unwrap().len() >= 342),
            other => panic!("a key of {other:?}"),
        }
    }
    for alg in ["ES256", "RS256"] {
        assert!(keys.iter().any(|key| key["alg"] == alg), "no {alg} key");
    }
}

#[tokio::test]
async fn cf_05_documents_answer_nothing_but_reading() {
    let test_app = TestApp::embedded().await;
    for path in [METADATA[0], METADATA[1], JWKS] {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            let request = Request::builder()
                .method(method.clone())
                .uri_str(path)
                .header(header::HOST, "id.test");
            assert_eq!(
                test_app.call(request.finish()).await.status,
                StatusCode::METHOD_NOT_ALLOWED,
                "{method} {path}"
            );
        }
    }
}
