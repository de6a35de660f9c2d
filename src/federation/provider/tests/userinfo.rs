//! Userinfo that is refused, and userinfo that is signed (OC-11).
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use crate::{
    federation::{
        error::RefusalCode,
        provider::{
            ProviderIdentity,
            oidc::test_signer::TestSigner,
            test_support::{TestProvider, claims_without_address},
        },
    },
    web::fetch::test_server::raw_response,
};

#[tokio::test]
async fn oc_11_userinfo_of_4xx_is_a_refusal_and_5xx_a_failure() {
    let provider = TestProvider::start("").await;
    for (status, expected) in [
        (400, RefusalCode::UserinfoHttp),
        (401, RefusalCode::UserinfoHttp),
        (403, RefusalCode::UserinfoHttp),
        (404, RefusalCode::UserinfoHttp),
        (204, RefusalCode::UserinfoHttp),
        (429, RefusalCode::ProviderDown),
        (500, RefusalCode::ProviderDown),
        (503, RefusalCode::ProviderDown),
    ] {
        provider.serve("/userinfo", raw_response(status, "", ""));
        let result = provider.sign_in(claims_without_address()).await;
        assert_eq!(result, Err(expected), "{status}");
    }
}

/// Signs in with userinfo that is the claims of a right one with these changes; null removes one.
async fn sign_in(
    provider: &TestProvider,
    signer: &TestSigner,
    changes: &Value,
) -> Result<ProviderIdentity, RefusalCode> {
    let mut claims = json!({
        "iss": provider.issuer,
        "aud": "us",
        "sub": "person",
        "email": "u@x.example",
        "email_verified": true,
    });
    let object = claims.as_object_mut().unwrap();
    object.extend(changes.as_object().unwrap().clone());
    object.retain(|_, value| !value.is_null());
    sign_in_with_body(provider, &signer.sign(&claims)).await
}

async fn sign_in_with_body(
    provider: &TestProvider,
    body: &str,
) -> Result<ProviderIdentity, RefusalCode> {
    let headers = "Content-Type: application/jwt; charset=utf-8\r\n";
    provider.serve("/userinfo", raw_response(200, headers, body));
    provider.sign_in(claims_without_address()).await
}

#[tokio::test]
async fn oc_11_signed_userinfo_is_verified() {
    let provider = TestProvider::start("trust = \"asserted\"").await;
    let signer = &provider.signer;
    let identity = sign_in(&provider, signer, &json!({})).await.unwrap();
    assert_eq!(identity.email.as_deref(), Some("u@x.example"));
    for (changes, expected) in [
        (json!({"iss": null}), RefusalCode::IssClaim),
        (
            json!({"iss": "https://evil.example"}),
            RefusalCode::IssClaim,
        ),
        (json!({"aud": null}), RefusalCode::Aud),
        (json!({"aud": "another"}), RefusalCode::Aud),
        (json!({"aud": ["us", "another"]}), RefusalCode::Aud),
        (json!({"sub": null}), RefusalCode::UserinfoSub),
        (json!({"sub": "another"}), RefusalCode::UserinfoSub),
        (json!({"exp": 1}), RefusalCode::Expired),
        (json!({"email": 7}), RefusalCode::ClaimsMalformed),
    ] {
        let result = sign_in(&provider, signer, &changes).await;
        assert_eq!(result, Err(expected), "{changes}");
    }
    let stranger = TestSigner::new("k1");
    assert_eq!(
        sign_in(&provider, &stranger, &json!({})).await,
        Err(RefusalCode::Signature)
    );
    for (body, expected) in [
        (String::new(), RefusalCode::IdTokenMalformed),
        ("a.b.c.d.e".to_owned(), RefusalCode::IdTokenMalformed),
        (
            json!({"sub": "person", "email": "u@x.example"}).to_string(),
            RefusalCode::IdTokenMalformed,
        ),
        (
            signer.sign_parts(
                r#"{"alg":"RS256","kid":"k1"}"#,
                r#"{"sub":"person","aud":"us"}"#,
            ),
            RefusalCode::Alg,
        ),
        (
            signer.sign_parts(r#"{"alg":"none"}"#, r#"{"sub":"person","aud":"us"}"#),
            RefusalCode::Alg,
        ),
        (
            signer.sign_parts(
                r#"{"alg":"ES256","kid":"k1","typ":"logout+jwt"}"#,
                r#"{"sub":"person","aud":"us"}"#,
            ),
            RefusalCode::Typ,
        ),
    ] {
        let result = sign_in_with_body(&provider, &body).await;
        assert_eq!(result, Err(expected), "{body}");
    }
}
