//! Sign-ins from the request to the identity, with a provider on loopback.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod documents;
mod kinds;
mod userinfo;

use std::{collections::BTreeMap, time::Duration};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde_json::json;

use super::{
    AuthorizationResponse, ProviderFinding, RequestRecord, Trust, apple, test_support::TestProvider,
};
use crate::{
    config::providers::ProviderAuth,
    federation::error::RefusalCode,
    web::fetch::test_server::{json_response, raw_response},
};

fn parse_form(body: &str) -> BTreeMap<String, String> {
    form_urlencoded::parse(body.as_bytes())
        .into_owned()
        .collect()
}

#[tokio::test]
async fn cb_09_the_exchange_sends_what_was_recorded_and_reads_no_more_than_it_needs() {
    let provider = TestProvider::start("").await;
    let redirect = provider.start_authorization().await.unwrap();
    let endpoint = format!("{}/auth?response_type=code&", provider.server.base);
    assert!(redirect.url.starts_with(&endpoint), "{}", redirect.url);
    provider.serve_token(&redirect.record, &json!({}));
    provider.identify(&redirect.record).await.unwrap();
    let request = provider.server.requests_for("/token").remove(0);
    let form = parse_form(&request.body);
    assert_eq!(form["grant_type"], "authorization_code");
    assert_eq!(form["code"], "c");
    assert_eq!(
        form["redirect_uri"],
        "https://login.example/upstream/a/callback"
    );
    assert_eq!(
        Some(&form["code_verifier"]),
        redirect.record.verifier.as_ref()
    );
    assert!(!form.contains_key("client_secret"));
    let basic = format!("Basic {}", STANDARD.encode("us:s+e"));
    assert_eq!(request.header("authorization"), Some(basic.as_str()));
    assert_eq!(provider.requests("/userinfo"), 0);
    assert_eq!(provider.requests("/keys"), 1);
    assert_eq!(provider.server.connections(), 3);
}

#[tokio::test]
async fn it_11_userinfo_adds_what_the_id_token_leaves_out() {
    let provider = TestProvider::start("trust = \"asserted\"\nauth = \"post\"").await;
    let claims = json!({"email": null, "email_verified": null});
    let userinfo = |sub: &str| json!({"sub": sub, "email": "u@x.example", "email_verified": true});
    provider.serve_json("/userinfo", &userinfo("person"));
    let identity = provider.sign_in(claims.clone()).await.unwrap();
    assert_eq!(identity.email.as_deref(), Some("u@x.example"));
    assert_eq!(identity.trust, Trust::Asserted);
    let request = provider.server.requests_for("/userinfo").remove(0);
    assert_eq!(request.header("authorization"), Some("Bearer at"));
    let form = parse_form(&provider.server.requests_for("/token")[0].body);
    assert_eq!(form["client_secret"], "s e");
    provider.serve_json("/userinfo", &userinfo("other"));
    assert_eq!(
        provider.sign_in(claims).await,
        Err(RefusalCode::UserinfoSub)
    );
}

/// A code or token from one document is not sent to the endpoint of a newer document.
#[tokio::test]
async fn cb_09_it_11_the_recorded_endpoints_are_called_whatever_a_newer_document_names() {
    let provider = TestProvider::start("trust = \"asserted\"").await;
    let record = provider.start_authorization().await.unwrap().record;
    let base = &provider.server.base;
    let newer_token_endpoint = format!("{base}/token2");
    provider.serve_metadata(json!({
        "token_endpoint": newer_token_endpoint,
        "userinfo_endpoint": format!("{base}/userinfo2"),
    }));
    provider.clock.advance(Duration::from_secs(3601));
    let newer = provider.start_authorization().await.unwrap().record;
    assert_eq!(
        newer.token_endpoint, newer_token_endpoint,
        "the newer document is in use"
    );
    let userinfo = json!({"sub": "person", "email": "u@x.example", "email_verified": true});
    provider.serve_json("/userinfo", &userinfo);
    provider.serve_token(&record, &json!({"email": null, "email_verified": null}));
    let identity = provider.identify(&record).await.unwrap();
    assert_eq!(identity.email.as_deref(), Some("u@x.example"));
    assert_eq!(
        (provider.requests("/token"), provider.requests("/userinfo")),
        (1, 1)
    );
    assert_eq!(
        (
            provider.requests("/token2"),
            provider.requests("/userinfo2")
        ),
        (0, 0)
    );
}

#[tokio::test]
async fn up_provider_disabled_the_settings_count_when_the_response_arrives() {
    let provider = TestProvider::start("").await;
    let record = provider.start_authorization().await.unwrap().record;
    provider.serve_token(&record, &json!({}));
    provider.change_settings(|settings| settings.enabled = false);
    let error = provider.identify(&record).await.unwrap_err();
    assert_eq!(error.code(), RefusalCode::ProviderDisabled);
    let error = provider.start_authorization().await.unwrap_err();
    assert_eq!(error.code(), RefusalCode::ProviderDisabled);
    let form_post = provider.providers.uses_form_post("a");
    assert_eq!(
        form_post,
        Some(false),
        "its callback still exists, to report this"
    );
    provider.change_settings(|settings| {
        settings.enabled = true;
        settings.issuer = "http://127.0.0.1:1".to_owned();
    });
    let error = provider.identify(&record).await.unwrap_err();
    assert_eq!(
        error.code(),
        RefusalCode::ProviderDisabled,
        "the issuer is another one now"
    );
    assert_eq!(provider.requests("/token"), 0);
    assert_eq!(provider.providers.uses_form_post("b"), None);
    let error = provider.start_authorization().await.unwrap_err();
    assert_eq!(error.code(), RefusalCode::ProviderDown);
}

#[tokio::test]
async fn cb_06_cb_07_no_call_is_made_for_a_response_of_another_issuer_or_an_error() {
    let provider = TestProvider::start("iss_param = \"required\"").await;
    let record = provider.start_authorization().await.unwrap().record;
    let issuer = Some(provider.issuer.as_str());
    let evil = Some("https://evil.example");
    let denied = Some("access_denied");
    for (code, error, iss, expected) in [
        (Some("c"), None, None, RefusalCode::IssMissing),
        (None, denied, None, RefusalCode::IssMissing),
        (Some("c"), None, evil, RefusalCode::IssMismatch),
        (None, denied, issuer, RefusalCode::Denied),
        (None, None, issuer, RefusalCode::CodeMissing),
    ] {
        let response = AuthorizationResponse {
            code,
            error,
            iss,
            ..AuthorizationResponse::default()
        };
        let error = provider
            .providers
            .identify(&record, &response)
            .await
            .unwrap_err();
        assert_eq!(error.code(), expected);
    }
    assert_eq!(provider.requests("/token"), 0);
}

#[tokio::test]
async fn ht_09_an_exchange_that_fails_is_not_sent_again() {
    let provider = TestProvider::start("").await;
    let record = provider.start_authorization().await.unwrap().record;
    let without_id_token = json!({"access_token": "at", "token_type": "bearer"});
    for (response, expected) in [
        (Vec::new(), RefusalCode::ProviderDown),
        (raw_response(500, "", ""), RefusalCode::TokenDown),
        (
            raw_response(302, "Location: /elsewhere\r\n", ""),
            RefusalCode::Redirect,
        ),
        (
            json_response(200, &without_id_token),
            RefusalCode::IdTokenMissing,
        ),
    ] {
        let before = provider.requests("/token");
        provider.serve("/token", response);
        assert_eq!(
            provider.identify(&record).await.unwrap_err().code(),
            expected
        );
        assert_eq!(provider.requests("/token"), before + 1, "{expected}");
    }
}

#[tokio::test]
async fn ue_05_up_provider_down_a_provider_that_cannot_be_reached_is_not_called_for_a_while() {
    let provider = TestProvider::start("").await;
    provider.serve("/.well-known/openid-configuration", Vec::new());
    for _ in 0..5 {
        let error = provider.start_authorization().await.unwrap_err();
        assert_eq!(error.code(), RefusalCode::ProviderDown);
    }
    assert_eq!(provider.server.connections(), 5);
    let error = provider.start_authorization().await.unwrap_err();
    assert_eq!(error.code(), RefusalCode::ProviderDown);
    assert_eq!(provider.server.connections(), 5, "the breaker is open");
    provider.serve_metadata(json!({}));
    provider.clock.advance(Duration::from_secs(30));
    assert!(provider.sign_in(json!({})).await.is_ok());
}

#[tokio::test]
async fn doctor_reports_what_is_wrong_with_a_hint() {
    let provider = TestProvider::start("").await;
    let findings = provider.providers.diagnose("a").await;
    assert!(findings.iter().all(|finding| finding.ok), "{findings:?}");
    let checks: Vec<_> = findings.iter().map(|finding| finding.check).collect();
    assert_eq!(
        checks,
        [
            "redirect_uri",
            "discovery",
            "metadata",
            "clock",
            "keys",
            "client"
        ]
    );
    assert!(
        findings[0]
            .message
            .ends_with("https://login.example/upstream/a/callback")
    );
    let problem = |findings: &[ProviderFinding]| {
        let problems: Vec<_> = findings
            .iter()
            .filter(|finding| !finding.ok)
            .cloned()
            .collect();
        assert_eq!(problems.len(), 1, "{findings:?}");
        assert!(!problems[0].hint.is_empty(), "{findings:?}");
        problems[0].clone()
    };
    provider.serve_keys(&[json!({"kty": "RSA"})], "");
    let findings = provider.new_instance().diagnose("a").await;
    assert_eq!(problem(&findings).check, "keys");
    provider.serve_metadata(json!({"issuer": "https://other.example"}));
    let findings = provider.new_instance().diagnose("a").await;
    assert!(problem(&findings).message.contains("https://other.example"));
    let findings = provider.new_instance().diagnose("unknown").await;
    assert_eq!(problem(&findings).check, "settings");
}

/// OC-4: the metadata decides how we authenticate, and the record keeps it for the exchange.
#[tokio::test]
async fn oc_04_the_client_authenticates_as_the_metadata_supports() {
    let provider = TestProvider::start("").await;
    let methods = |names: &[&str]| json!({"token_endpoint_auth_methods_supported": names});
    provider.serve_metadata(methods(&["client_secret_post"]));
    provider.sign_in(json!({})).await.unwrap();
    let request = provider.server.requests_for("/token").remove(0);
    let form = parse_form(&request.body);
    assert_eq!(
        (form["client_id"].as_str(), form["client_secret"].as_str()),
        ("us", "s e")
    );
    assert_eq!(request.header("authorization"), None);
    // A newer document does not change the exchange of a sign-in that is under way.
    let record = provider.start_authorization().await.unwrap().record;
    provider.serve_metadata(methods(&["client_secret_basic"]));
    provider.clock.advance(Duration::from_secs(3601));
    provider.start_authorization().await.unwrap();
    provider.serve_token(&record, &json!({}));
    provider.identify(&record).await.unwrap();
    let form = parse_form(&provider.server.requests_for("/token")[1].body);
    assert!(form.contains_key("client_secret"));
    provider.change_settings(|settings| settings.auth = Some(ProviderAuth::Basic));
    provider.sign_in(json!({})).await.unwrap();
    let request = provider.server.requests_for("/token").remove(2);
    assert!(
        request.header("authorization").is_some(),
        "the setting wins"
    );
}

#[tokio::test]
async fn oc_04_private_key_jwt_is_an_assertion_for_the_token_endpoint() {
    let (pem, public) = apple::tests::key_file();
    let key = format!("key_id = \"k9\"\nprivate_key = '''{pem}'''");
    let provider = TestProvider::start(&key).await;
    provider.serve_metadata(json!({"token_endpoint_auth_methods_supported": ["private_key_jwt"]}));
    let mut identifiers = std::collections::BTreeSet::new();
    for _ in 0..2 {
        provider.sign_in(json!({})).await.unwrap();
        let request = provider.server.requests_for("/token").pop().unwrap();
        assert_eq!(request.header("authorization"), None);
        let form = parse_form(&request.body);
        assert!(!form.contains_key("client_secret"));
        assert_eq!(
            form["client_assertion_type"],
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        );
        let (message, signature) = form["client_assertion"].rsplit_once('.').unwrap();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &public)
            .verify(
                message.as_bytes(),
                &URL_SAFE_NO_PAD.decode(signature).unwrap(),
            )
            .unwrap();
        let (header, claims) = message.split_once('.').unwrap();
        let decoded = |part: &str| -> serde_json::Value {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        assert_eq!(decoded(header), json!({"alg": "ES256", "kid": "k9"}));
        let claims = decoded(claims);
        let endpoint = format!("{}/token", provider.server.base);
        assert_eq!(
            (&claims["iss"], &claims["sub"], &claims["aud"]),
            (&json!("us"), &json!("us"), &json!(endpoint))
        );
        let lifetime = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
        assert_eq!(lifetime, 120);
        identifiers.insert(claims["jti"].as_str().unwrap().to_owned());
    }
    assert_eq!(identifiers.len(), 2, "each assertion is used once");
}

#[tokio::test]
async fn oc_04_od_7_doctor_tells_dns_refusal_tls_and_authentication_apart() {
    let provider = TestProvider::start("").await;
    let client = async |status: u16, body: &str| {
        provider.serve("/token", raw_response(status, "", body));
        let findings = provider.new_instance().diagnose("a").await;
        findings
            .into_iter()
            .find(|one| one.check == "client")
            .unwrap()
    };
    assert!(client(400, r#"{"error":"invalid_grant"}"#).await.ok);
    for (status, body) in [(401, r#"{"error":"invalid_client"}"#), (401, "")] {
        let refused = client(status, body).await;
        assert!(
            !refused.ok && refused.message.contains("does not accept our client"),
            "{refused:?}"
        );
        assert!(refused.hint.contains("client_id"), "{refused:?}");
    }
    let unclear = client(400, r#"{"error":"invalid_request"}"#).await;
    assert!(unclear.ok && unclear.message.contains("does not say"));
    // Speaks no TLS.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.write_all(b"HTTP/1.1 400 X\r\n\r\n").await;
    });
    for (issuer, what, hint) in [
        ("https://nowhere.invalid", "does not resolve", "DNS"),
        ("http://127.0.0.1:1", "refuses connections", "running"),
        (plain.as_str(), "TLS failed", "ca_file"),
    ] {
        provider.change_settings(|settings| {
            settings.issuer = issuer.to_owned();
            settings.private_hosts = vec!["127.0.0.1".to_owned()];
        });
        let findings = provider.new_instance().diagnose("a").await;
        let finding = findings.last().unwrap();
        assert!(
            !finding.ok && finding.message.contains(what) && finding.hint.contains(hint),
            "{issuer}: {finding:?}"
        );
        assert!(!finding.message.contains(finding.check), "{finding:?}");
    }
}

#[test]
fn sk_07_debug_prints_no_secret() {
    let record = RequestRecord {
        provider: "a".into(),
        issuer: "i".into(),
        token_endpoint: String::new(),
        token_auth: None,
        userinfo_endpoint: None,
        redirect_uri: String::new(),
        nonce: Some("hunter2".into()),
        verifier: Some("hunter2".into()),
        iss_required: false,
    };
    assert!(!format!("{record:?}").contains("hunter2"));
}
