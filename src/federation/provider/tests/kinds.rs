//! A sign-in with each kind of provider, and what that kind does differently (PR-01).
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use serde_json::json;

use super::parse_form;
use crate::federation::{
    error::RefusalCode,
    provider::{AuthorizationResponse, ProviderIdentity, Trust, apple, test_support::TestProvider},
};

#[tokio::test]
async fn pr_01_oidc_from_the_request_to_the_identity() {
    let provider = TestProvider::start("trust = \"asserted\"").await;
    let claims = json!({"name": "Ada", "locale": "fr", "amr": ["pwd"]});
    let expected = ProviderIdentity {
        provider: "a".into(),
        issuer: provider.issuer.clone(),
        subject: "person".into(),
        email: Some("a@gmail.com".into()),
        trust: Trust::Asserted,
        name: Some("Ada".into()),
        locale: Some("fr".into()),
        amr: vec!["pwd".into()],
    };
    assert_eq!(provider.sign_in(claims).await, Ok(expected));
}

#[tokio::test]
async fn pr_01_google_sends_iss_unannounced_and_runs_its_mailboxes() {
    let provider = TestProvider::start("kind = \"google\"").await;
    let record = provider.start_authorization().await.unwrap().record;
    provider.serve_token(&record, &json!({}));
    let response = AuthorizationResponse {
        code: Some("c"),
        iss: Some(&provider.issuer),
        ..AuthorizationResponse::default()
    };
    let identity = provider
        .providers
        .identify(&record, &response)
        .await
        .unwrap();
    assert_eq!(identity.trust, Trust::Authoritative);
    let identity = provider
        .sign_in(json!({"email": "a@elsewhere.example"}))
        .await
        .unwrap();
    assert_eq!(identity.trust, Trust::Asserted);
    let schemeless = json!({"iss": "accounts.google.com"});
    assert_eq!(
        provider.sign_in(schemeless).await,
        Err(RefusalCode::IssClaim)
    );
}

const TENANT: &str = "0f0e0d0c-0000-4000-8000-00000000000a";
const OTHER_TENANT: &str = "0f0e0d0c-0000-4000-8000-00000000000b";

async fn start_entra() -> TestProvider {
    let settings =
        "kind = \"entra\"\ntenant = \"organizations\"\nissuer = \"BASE/{tenantid}/v2.0\"";
    TestProvider::start(settings).await
}

#[tokio::test]
async fn pr_01_entra_many_tenants_behind_one_template() {
    let provider = start_entra().await;
    let issuer = provider.issuer.replace("{tenantid}", TENANT);
    let claims = json!({"iss": issuer, "tid": TENANT, "xms_edov": true});
    let identity = provider.sign_in(claims).await.unwrap();
    assert_eq!(identity.issuer, issuer);
    assert_eq!(identity.trust, Trust::Asserted);
    let url = "/organizations/v2.0/.well-known/openid-configuration";
    assert_eq!(provider.requests(url), 1);
    let identity = provider
        .sign_in(json!({"iss": issuer, "tid": TENANT}))
        .await
        .unwrap();
    assert_eq!(
        identity.trust,
        Trust::None,
        "email_verified counts for nothing there"
    );
    let mixed = json!({"iss": issuer, "tid": OTHER_TENANT});
    assert_eq!(provider.sign_in(mixed).await, Err(RefusalCode::IssClaim));
}

#[tokio::test]
async fn pr_01_up_iss_mismatch_the_response_and_the_id_token_are_of_one_tenant() {
    let provider = start_entra().await;
    let issuer = provider.issuer.replace("{tenantid}", TENANT);
    let record = provider.start_authorization().await.unwrap().record;
    provider.serve_token(&record, &json!({"iss": issuer, "tid": TENANT}));
    let other_issuer = issuer.replace(TENANT, OTHER_TENANT);
    for (iss, expected) in [
        (issuer, None),
        (other_issuer, Some(RefusalCode::IssMismatch)),
    ] {
        let response = AuthorizationResponse {
            code: Some("c"),
            iss: Some(&iss),
            ..AuthorizationResponse::default()
        };
        let result = provider.providers.identify(&record, &response).await;
        assert_eq!(result.err().map(|error| error.code()), expected, "{iss}");
    }
}

#[tokio::test]
async fn pr_01_keycloak_and_gitlab_by_configuration_alone() {
    let settings = "kind = \"keycloak\"\nissuer = \"BASE/realms/school\"";
    let keycloak = TestProvider::start(settings).await;
    keycloak.serve_metadata(json!({"authorization_response_iss_parameter_supported": true}));
    let identity = keycloak.sign_in(json!({})).await;
    assert!(
        identity.is_ok(),
        "no iss in the response, although the realm advertises it"
    );
    assert_eq!(identity.unwrap().trust, Trust::None);
    let gitlab = TestProvider::start("kind = \"gitlab\"").await;
    assert_eq!(gitlab.sign_in(json!({})).await.unwrap().trust, Trust::None);
}

#[tokio::test]
async fn pr_01_up_discovery_issuer_a_mixed_up_realm_of_keycloak_is_named() {
    let settings = "kind = \"keycloak\"\nissuer = \"BASE/realms/school\"";
    let provider = TestProvider::start(settings).await;
    let other = format!("{}/realms/other", provider.server.base);
    provider.serve_metadata(json!({"issuer": other}));
    let error = provider.start_authorization().await.unwrap_err();
    assert_eq!(error.code(), RefusalCode::DiscoveryIssuer);
    let text = error.to_string();
    assert!(
        text.contains("/realms/school`") && text.contains("/realms/other`"),
        "{text}"
    );
}

async fn start_apple() -> TestProvider {
    let (pem, _) = apple::tests::key_file();
    let key = format!("team_id = \"TEAM\"\nkey_id = \"KEY\"\nprivate_key = '''{pem}'''");
    TestProvider::start(&format!("kind = \"apple\"\n{key}")).await
}

#[tokio::test]
async fn pr_01_apple_gets_a_signed_secret_and_posts_its_response() {
    let provider = start_apple().await;
    assert_eq!(provider.providers.uses_form_post("a"), Some(true));
    let redirect = provider.start_authorization().await.unwrap();
    assert!(redirect.url.contains("response_mode=form_post"));
    let relay = json!({"email": "x@privaterelay.appleid.com", "email_verified": "true"});
    provider.serve_token(&redirect.record, &relay);
    let user = r#"{"name":{"firstName":"Marie","lastName":"Taglioni"},"email":"evil@example.com"}"#;
    let response = AuthorizationResponse {
        code: Some("c"),
        user: Some(user),
        ..AuthorizationResponse::default()
    };
    let identity = provider
        .providers
        .identify(&redirect.record, &response)
        .await
        .unwrap();
    assert_eq!(identity.name.as_deref(), Some("Marie Taglioni"));
    assert_eq!(identity.trust, Trust::Asserted);
    assert_eq!(
        identity.email.as_deref(),
        Some("x@privaterelay.appleid.com")
    );
    let form = parse_form(&provider.server.requests_for("/token")[0].body);
    assert_eq!(form["client_id"], "us");
    assert_eq!(form["client_secret"].split('.').count(), 3);
}

#[tokio::test]
async fn pr_01_up_nonce_apple_may_leave_out_a_nonce_that_it_does_not_support() {
    let provider = start_apple().await;
    let supported = json!({"nonce": null, "nonce_supported": true});
    assert_eq!(provider.sign_in(supported).await, Err(RefusalCode::Nonce));
    assert!(
        provider
            .sign_in(json!({"nonce": null, "nonce_supported": false}))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn pr_01_github_without_an_id_token() {
    let provider = TestProvider::start("kind = \"github\"\ntrust = \"asserted\"").await;
    let token_path = "/login/oauth/access_token";
    let token =
        json!({"access_token": "at", "token_type": "bearer", "scope": "read:user,user:email"});
    provider.serve_json(token_path, &token);
    provider.serve_json(
        "/api/v3/user",
        &json!({"id": 7, "login": "ada", "name": null}),
    );
    let emails = json!([{"email": "ada@x.example", "primary": true, "verified": true}]);
    provider.serve_json("/api/v3/user/emails", &emails);
    let redirect = provider.start_authorization().await.unwrap();
    let url = &redirect.url;
    assert!(
        url.contains("/login/oauth/authorize?") && !url.contains("nonce"),
        "{url}"
    );
    let identity = provider.identify(&redirect.record).await.unwrap();
    assert_eq!(identity.subject, "7");
    assert_eq!(identity.issuer, provider.server.base);
    assert_eq!(identity.email.as_deref(), Some("ada@x.example"));
    assert_eq!(identity.trust, Trust::Asserted);
    assert_eq!(identity.name.as_deref(), Some("ada"));
    let request = provider.server.requests_for(token_path).remove(0);
    assert_eq!(request.header("accept"), Some("application/json"));
    let form = parse_form(&request.body);
    assert!(form.contains_key("client_secret") && form.contains_key("code_verifier"));
    // GitHub sends an error with 200.
    provider.serve_json(token_path, &json!({"error": "bad_verification_code"}));
    let error = provider.identify(&redirect.record).await.unwrap_err();
    assert_eq!(error.code(), RefusalCode::TokenGrant);
}
