//! What the metadata says to clients of the profile.

use serde_json::Value;

use crate::{
    oauth::get,
    test_app::{PUBLIC, TestApp},
};

#[tokio::test]
async fn fs_1_fs_2_the_metadata_has_what_the_profile_needs_and_no_mutual_tls() {
    let test_app = TestApp::embedded().await;
    super::register(&test_app).await;
    for path in [
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
    ] {
        let body = get(&test_app, path).await.body;
        let metadata: Value = serde_json::from_str(&body).unwrap();
        let has = |member: &str, value: &str| {
            let list = metadata[member].as_array();
            list.is_some_and(|list| list.iter().any(|listed| listed == value))
        };
        for (member, value) in [
            ("token_endpoint_auth_methods_supported", "private_key_jwt"),
            ("token_endpoint_auth_signing_alg_values_supported", "ES256"),
            ("token_endpoint_auth_signing_alg_values_supported", "PS256"),
            ("token_endpoint_auth_signing_alg_values_supported", "EdDSA"),
            ("dpop_signing_alg_values_supported", "ES256"),
            ("dpop_signing_alg_values_supported", "PS256"),
            ("id_token_signing_alg_values_supported", "ES256"),
            ("code_challenge_methods_supported", "S256"),
            ("grant_types_supported", "authorization_code"),
            ("response_types_supported", "code"),
        ] {
            assert!(has(member, value), "{member} lacks {value}: {body}");
        }
        assert_eq!(metadata["issuer"], PUBLIC);
        let endpoint = format!("{PUBLIC}/oauth2/par");
        assert_eq!(metadata["pushed_authorization_request_endpoint"], endpoint);
        assert_eq!(metadata["require_pushed_authorization_requests"], false);
        assert_eq!(
            metadata["authorization_response_iss_parameter_supported"],
            true
        );
        assert_eq!(metadata["request_uri_parameter_supported"], false);
        assert!(!has("dpop_signing_alg_values_supported", "RS256"));
        assert!(
            !body.contains("mtls") && !body.contains("tls_client"),
            "{body}"
        );
    }
}
