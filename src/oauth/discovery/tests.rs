#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use poem::{Endpoint as _, EndpointExt as _, IntoResponse as _};

use super::*;
use crate::{key::Keys, oauth::test_app::TestApp, secret::MasterKeys};

fn document_with(change: impl FnOnce(&mut Reloadable)) -> Value {
    let mut config = Reloadable::default();
    change(&mut config);
    document(
        "https://id.example",
        &config,
        &["en".into(), "fr".into(), "pt-br".into()],
    )
}

fn add_public_client(config: &mut Reloadable) {
    let client = r#"{"client_id":"web","name":"Web","audience":"https://api.example","scopes":["openid","lessons:read"]}"#;
    config.clients = vec![serde_json::from_str(client).unwrap()];
}

#[test]
fn di_8_di_10_the_metadata_says_how_clients_authenticate_and_what_they_may_bring() {
    let (open, closed) = (document_with(add_public_client), document_with(|_| {}));
    let confidential = json!([
        "client_secret_basic",
        "client_secret_post",
        "private_key_jwt"
    ]);
    assert_eq!(
        open["token_endpoint_auth_methods_supported"],
        json!([
            "client_secret_basic",
            "client_secret_post",
            "private_key_jwt",
            "none"
        ])
    );
    assert_eq!(
        closed["token_endpoint_auth_methods_supported"],
        confidential
    );
    assert_eq!(
        closed["scopes_supported"],
        json!(["openid", "profile", "email", "offline_access"])
    );
    assert_eq!(open["scopes_supported"][4], "lessons:read", "di_5");
    for document in [&open, &closed] {
        assert_eq!(
            document["introspection_endpoint_auth_methods_supported"], confidential,
            "never only by name"
        );
        for endpoint in ["token", "revocation", "introspection"] {
            assert_eq!(
                document[format!("{endpoint}_endpoint_auth_signing_alg_values_supported")],
                json!(["ES256", "RS256", "PS256", "Ed25519", "EdDSA"]),
                "ca_8 {endpoint}"
            );
        }
        assert_eq!(
            document["grant_types_supported"],
            json!(["authorization_code", "refresh_token", "client_credentials"])
        );
        for (name, value) in document.as_object().unwrap() {
            let text = value.as_str().unwrap_or_default();
            assert!(
                !name.ends_with("_endpoint") || text.starts_with("https://id.example/oauth2/"),
                "di_3 {name}"
            );
        }
    }
}

#[test]
fn di_16_di_17_languages_are_in_canonical_case_and_only_configured_addresses_are_listed() {
    let document = document_with(|_| {});
    assert_eq!(
        document["ui_locales_supported"],
        json!(["en", "fr", "pt-BR"])
    );
    assert_eq!(
        (
            document.get("service_documentation"),
            document.get("op_policy_uri")
        ),
        (None, None)
    );
    let document = document_with(|config| {
        config.server.service_documentation = "https://docs.example/".to_owned();
        config.server.op_policy_uri = "https://example/policy".to_owned();
    });
    assert_eq!(document["service_documentation"], "https://docs.example/");
    assert_eq!(document["op_policy_uri"], "https://example/policy");
}

/// RS-2: what is open, and nothing else, may be found here; the scopes of all APIs are listed (DI-5).
#[test]
fn rs_2_only_open_resources_are_listed() {
    let resources = |open: bool| {
        json!([
            {
                "identifier": "https://open.example/v1", "open": open,
                "scopes": { "music:play": {} },
            },
            { "identifier": "https://closed.example", "clients": ["web"] },
        ])
    };
    let document = |open| {
        document_with(|config| {
            add_public_client(config);
            config.resources = serde_json::from_value(resources(open)).unwrap();
        })
    };
    let open = document(true);
    assert_eq!(
        open["protected_resources"],
        json!(["https://open.example/v1"])
    );
    assert_eq!(
        open["scopes_supported"],
        json!([
            "openid",
            "profile",
            "email",
            "offline_access",
            "lessons:read",
            "music:play"
        ])
    );
    assert_eq!(document(false).get("protected_resources"), None);
}

/// SP-6: an application that reads the key set right after the first start finds every key in it, although
/// the RS256 key is made in the background.
#[tokio::test]
async fn sp_6_the_key_set_waits_for_the_first_rs256_key() {
    let test_app = TestApp::new().await;
    test_app.sql("DELETE FROM signing_keys").await;
    let masters = MasterKeys::new([7; 32], []);
    let keys = Keys::open_for_service(&test_app.app.db, &masters).await;
    let app = App {
        keys: keys.unwrap(),
        ..test_app.app.clone()
    };
    let response = jwks.data(app).call(Request::default()).await.unwrap();
    let body = response.into_response().into_body().into_vec().await;
    let set: Value = serde_json::from_slice(&body.unwrap()).unwrap();
    let keys = set["keys"].as_array().unwrap().iter();
    let mut algs: Vec<&str> = keys.filter_map(|key| key["alg"].as_str()).collect();
    algs.sort_unstable();
    assert_eq!(algs, ["ES256", "RS256"], "{set}");
}
