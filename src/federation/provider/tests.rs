//! Whole sign-ins at a provider that stands on loopback, one a kind, each with its quirks (PR-01); and what happens when
//! the provider itself goes away.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod documents;

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

use super::*;
use crate::{
    federation::{
        error::RefusalCode,
        provider::test_app::{PUBLIC, World},
    },
    web::fetch::test_server::{json_response as page, raw_response},
};

fn form(body: &str) -> BTreeMap<String, String> {
    form_urlencoded::parse(body.as_bytes())
        .into_owned()
        .collect()
}

#[tokio::test]
async fn pr_01_generic_from_the_request_to_the_person() {
    let world = World::new("trust = \"asserted\"").await;
    let started = world.start().await.unwrap();
    assert!(
        started
            .url
            .starts_with(&format!("{}/auth?response_type=code&", world.server.base)),
        "{}",
        started.url
    );
    world.token(
        &started.record,
        &json!({"name": "Ada", "locale": "fr", "amr": ["pwd"]}),
    );
    let found = world.identify(&started.record).await.unwrap();
    let expected = Identity {
        provider: "a".into(),
        issuer: world.issuer.clone(),
        subject: "person".into(),
        email: Some("a@gmail.com".into()),
        trust: Trust::Asserted,
        name: Some("Ada".into()),
        locale: Some("fr".into()),
        amr: vec!["pwd".into()],
    };
    assert_eq!(found, expected);
    let asked = world.server.requests_for("/token").remove(0);
    let sent = form(&asked.body);
    assert_eq!(
        (sent["grant_type"].as_str(), sent["code"].as_str()),
        ("authorization_code", "c")
    );
    assert_eq!(
        sent["redirect_uri"],
        "https://login.example/upstream/a/callback"
    );
    assert_eq!(
        Some(&sent["code_verifier"]),
        started.record.verifier.as_ref()
    );
    assert!(!sent.contains_key("client_secret"));
    assert_eq!(
        asked.header("authorization"),
        Some(format!("Basic {}", STANDARD.encode("us:s+e")).as_str())
    );
    assert_eq!(
        (
            world.asked("/userinfo"),
            world.asked("/keys"),
            world.server.connections()
        ),
        (0, 1, 3)
    );
}

#[tokio::test]
async fn it_11_userinfo_fills_in_what_the_id_token_leaves_out() {
    let world = World::new("trust = \"asserted\"\nauth = \"post\"").await;
    world.put(
        "/userinfo",
        page(
            200,
            &json!({"sub": "person", "email": "u@x.example", "email_verified": true}),
        ),
    );
    let found = world
        .sign_in(json!({"email": null, "email_verified": null}))
        .await
        .unwrap();
    assert_eq!(
        (found.email.as_deref(), found.trust),
        (Some("u@x.example"), Trust::Asserted)
    );
    assert_eq!(
        world.server.requests_for("/userinfo")[0].header("authorization"),
        Some("Bearer at")
    );
    assert_eq!(
        form(&world.server.requests_for("/token")[0].body)["client_secret"],
        "s e"
    );
    world.put(
        "/userinfo",
        page(
            200,
            &json!({"sub": "other", "email": "u@x.example", "email_verified": true}),
        ),
    );
    assert_eq!(
        world.sign_in(json!({"email": null})).await,
        Err(RefusalCode::UserinfoSub)
    );
}

/// What another document says later is not asked with a code or token that was got by this one's word.
#[tokio::test]
async fn cb_09_it_11_the_recorded_endpoints_are_asked_whatever_the_document_says_by_now() {
    let world = World::new("trust = \"asserted\"").await;
    let record = world.start().await.unwrap().record;
    let base = &world.server.base;
    world.document(
        json!({"token_endpoint": format!("{base}/token2"), "userinfo_endpoint": format!("{base}/userinfo2")}),
    );
    world.clock.advance(Duration::from_secs(3601));
    assert_eq!(
        world.start().await.unwrap().record.token_endpoint,
        format!("{base}/token2"),
        "the new one is in force"
    );
    let info = page(
        200,
        &json!({"sub": "person", "email": "u@x.example", "email_verified": true}),
    );
    world.put("/userinfo", info);
    world.token(&record, &json!({"email": null, "email_verified": null}));
    assert_eq!(
        world.identify(&record).await.unwrap().email.as_deref(),
        Some("u@x.example")
    );
    assert_eq!((world.asked("/token"), world.asked("/userinfo")), (1, 1));
    assert_eq!((world.asked("/token2"), world.asked("/userinfo2")), (0, 0));
}

#[tokio::test]
async fn pr_01_google_sends_iss_without_a_word_and_runs_its_mailboxes() {
    let world = World::new("kind = \"google\"").await;
    let started = world.start().await.unwrap();
    world.token(&started.record, &json!({}));
    let answer = AuthorizationResponse {
        code: Some("c"),
        iss: Some(&world.issuer),
        ..AuthorizationResponse::default()
    };
    let found = world
        .providers
        .identify(&started.record, &answer)
        .await
        .unwrap();
    assert_eq!(found.trust, Trust::Authoritative);
    let found = world
        .sign_in(json!({"email": "a@elsewhere.example"}))
        .await
        .unwrap();
    assert_eq!(found.trust, Trust::Asserted);
    assert_eq!(
        world.sign_in(json!({"iss": "accounts.google.com"})).await,
        Err(RefusalCode::IssClaim)
    );
}

#[tokio::test]
async fn pr_01_entra_many_directories_behind_one_template() {
    let tid = "0f0e0d0c-0000-4000-8000-00000000000a";
    let world = World::new(
        "kind = \"entra\"\ntenant = \"organizations\"\nissuer = \"BASE/{tenantid}/v2.0\"",
    )
    .await;
    let own = world.issuer.replace("{tenantid}", tid);
    let found = world
        .sign_in(json!({"iss": own, "tid": tid, "xms_edov": true}))
        .await
        .unwrap();
    assert_eq!(
        (found.issuer.as_str(), found.trust),
        (own.as_str(), Trust::Asserted)
    );
    assert_eq!(
        world.asked("/organizations/v2.0/.well-known/openid-configuration"),
        1
    );
    let found = world
        .sign_in(json!({"iss": own, "tid": tid}))
        .await
        .unwrap();
    assert_eq!(
        found.trust,
        Trust::None,
        "email_verified counts for nothing there"
    );
    let other = "0f0e0d0c-0000-4000-8000-00000000000b";
    assert_eq!(
        world.sign_in(json!({"iss": own, "tid": other})).await,
        Err(RefusalCode::IssClaim)
    );
    // The answer's issuer is of the person's own directory.
    let record = world.start().await.unwrap().record;
    world.token(&record, &json!({"iss": own, "tid": tid}));
    for (iss, code) in [
        (own.clone(), None),
        (own.replace(tid, other), Some(RefusalCode::IssMismatch)),
    ] {
        let answer = AuthorizationResponse {
            code: Some("c"),
            iss: Some(&iss),
            ..AuthorizationResponse::default()
        };
        let found = world.providers.identify(&record, &answer).await;
        assert_eq!(found.err().map(|refused| refused.code), code, "{iss}");
    }
}

#[tokio::test]
async fn pr_01_keycloak_and_gitlab_by_configuration_alone() {
    let keycloak = World::new("kind = \"keycloak\"\nissuer = \"BASE/realms/school\"").await;
    keycloak.document(json!({"authorization_response_iss_parameter_supported": true}));
    let found = keycloak.sign_in(json!({})).await.unwrap();
    assert_eq!(
        found.trust,
        Trust::None,
        "no iss in the answer, although the realm advertises it"
    );
    keycloak.document(json!({"issuer": format!("{}/realms/other", keycloak.server.base)}));
    let again = Providers::without_database(keycloak.live.clone(), PUBLIC, keycloak.clock.clone());
    let ask = AuthorizationRequest {
        state: "s",
        login_hint: None,
        ui_locales: "",
    };
    let refused = again.start_authorization("a", ask).await.unwrap_err();
    assert_eq!(refused.code, RefusalCode::DiscoveryIssuer);
    assert!(
        refused.detail.contains("/realms/school`") && refused.detail.contains("/realms/other`"),
        "{refused}"
    );
    let gitlab = World::new("kind = \"gitlab\"").await;
    assert_eq!(gitlab.sign_in(json!({})).await.unwrap().trust, Trust::None);
}

#[tokio::test]
async fn pr_01_apple_gets_a_signed_secret_and_posts_its_answer() {
    let (pem, _) = super::apple::tests::key_file();
    let key = format!("team_id = \"TEAM\"\nkey_id = \"KEY\"\nprivate_key = '''{pem}'''");
    let world = World::new(&format!("kind = \"apple\"\n{key}")).await;
    assert_eq!(world.providers.uses_form_post("a"), Some(true));
    let started = world.start().await.unwrap();
    assert!(started.url.contains("response_mode=form_post"));
    let relay = json!({"email": "x@privaterelay.appleid.com", "email_verified": "true"});
    world.token(&started.record, &relay);
    let user = r#"{"name":{"firstName":"Marie","lastName":"Taglioni"},"email":"evil@example.com"}"#;
    let answer = AuthorizationResponse {
        code: Some("c"),
        user: Some(user),
        ..AuthorizationResponse::default()
    };
    let found = world
        .providers
        .identify(&started.record, &answer)
        .await
        .unwrap();
    assert_eq!(
        (found.name.as_deref(), found.trust),
        (Some("Marie Taglioni"), Trust::Asserted)
    );
    assert_eq!(found.email.as_deref(), Some("x@privaterelay.appleid.com"));
    let sent = form(&world.server.requests_for("/token")[0].body);
    assert_eq!(
        (
            sent["client_id"].as_str(),
            sent["client_secret"].split('.').count()
        ),
        ("us", 3)
    );
    assert_eq!(
        world
            .sign_in(json!({"nonce": null, "nonce_supported": true}))
            .await,
        Err(RefusalCode::Nonce)
    );
    assert!(
        world
            .sign_in(json!({"nonce": null, "nonce_supported": false}))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn pr_01_github_without_an_id_token() {
    let world = World::new("kind = \"github\"\ntrust = \"asserted\"").await;
    let token =
        json!({"access_token": "at", "token_type": "bearer", "scope": "read:user,user:email"});
    world.put("/login/oauth/access_token", page(200, &token));
    world.put(
        "/api/v3/user",
        page(200, &json!({"id": 7, "login": "ada", "name": null})),
    );
    let emails = json!([{"email": "ada@x.example", "primary": true, "verified": true}]);
    world.put("/api/v3/user/emails", page(200, &emails));
    let started = world.start().await.unwrap();
    assert!(
        started.url.contains("/login/oauth/authorize?") && !started.url.contains("nonce"),
        "{}",
        started.url
    );
    let found = world.identify(&started.record).await.unwrap();
    assert_eq!(
        (found.subject.as_str(), found.issuer.as_str()),
        ("7", world.server.base.as_str())
    );
    assert_eq!(
        (found.email.as_deref(), found.trust),
        (Some("ada@x.example"), Trust::Asserted)
    );
    assert_eq!(found.name.as_deref(), Some("ada"));
    let asked = world
        .server
        .requests_for("/login/oauth/access_token")
        .remove(0);
    assert_eq!(asked.header("accept"), Some("application/json"));
    assert!(
        form(&asked.body).contains_key("client_secret")
            && form(&asked.body).contains_key("code_verifier")
    );
    // An error comes as 200.
    world.put(
        "/login/oauth/access_token",
        page(200, &json!({"error": "bad_verification_code"})),
    );
    assert_eq!(
        world.identify(&started.record).await.unwrap_err().code,
        RefusalCode::TokenGrant
    );
}

#[tokio::test]
async fn up_provider_disabled_settings_count_when_the_answer_comes() {
    let world = World::new("").await;
    let record = world.start().await.unwrap().record;
    world.token(&record, &json!({}));
    let change = |edit: &dyn Fn(&mut crate::config::Provider)| {
        let mut config = (*world.live.get()).clone();
        edit(&mut config.providers[0]);
        world.live.replace(config);
    };
    change(&|provider| provider.enabled = false);
    assert_eq!(
        world.identify(&record).await.unwrap_err().code,
        RefusalCode::ProviderDisabled
    );
    assert_eq!(
        world.start().await.unwrap_err().code,
        RefusalCode::ProviderDisabled
    );
    assert_eq!(
        world.providers.uses_form_post("a"),
        Some(false),
        "its callback is still there, to say so"
    );
    change(&|provider| {
        (provider.enabled, provider.issuer) = (true, "http://127.0.0.1:1".to_owned())
    });
    assert_eq!(
        world.identify(&record).await.unwrap_err().code,
        RefusalCode::ProviderDisabled,
        "another issuer now"
    );
    assert_eq!(world.asked("/token"), 0);
    assert_eq!(
        (
            world.providers.uses_form_post("b"),
            world.start().await.unwrap_err().code
        ),
        (None, RefusalCode::ProviderDown)
    );
}

#[tokio::test]
async fn cb_06_cb_07_nothing_is_asked_for_an_answer_of_somebody_else_or_an_error() {
    let world = World::new("iss_param = \"required\"").await;
    let record = world.start().await.unwrap().record;
    let ours = world.issuer.clone();
    for (answer, code) in [
        (
            AuthorizationResponse {
                code: Some("c"),
                ..AuthorizationResponse::default()
            },
            RefusalCode::IssMissing,
        ),
        (
            AuthorizationResponse {
                error: Some("access_denied"),
                ..AuthorizationResponse::default()
            },
            RefusalCode::IssMissing,
        ),
        (
            AuthorizationResponse {
                code: Some("c"),
                iss: Some("https://evil.example"),
                ..AuthorizationResponse::default()
            },
            RefusalCode::IssMismatch,
        ),
        (
            AuthorizationResponse {
                error: Some("access_denied"),
                iss: Some(&ours),
                ..AuthorizationResponse::default()
            },
            RefusalCode::Denied,
        ),
        (
            AuthorizationResponse {
                iss: Some(&ours),
                ..AuthorizationResponse::default()
            },
            RefusalCode::CodeMissing,
        ),
    ] {
        assert_eq!(
            world
                .providers
                .identify(&record, &answer)
                .await
                .unwrap_err()
                .code,
            code
        );
    }
    assert_eq!(world.asked("/token"), 0);
}

#[tokio::test]
async fn ht_09_an_exchange_that_fails_is_not_sent_again() {
    let world = World::new("").await;
    let record = world.start().await.unwrap().record;
    for (bytes, code) in [
        (Vec::new(), RefusalCode::ProviderDown),
        (raw_response(500, "", ""), RefusalCode::TokenDown),
        (
            raw_response(302, "Location: /elsewhere\r\n", ""),
            RefusalCode::Redirect,
        ),
        (
            page(200, &json!({"access_token": "at", "token_type": "bearer"})),
            RefusalCode::IdTokenMissing,
        ),
    ] {
        let before = world.asked("/token");
        world.put("/token", bytes);
        assert_eq!(world.identify(&record).await.unwrap_err().code, code);
        assert_eq!(world.asked("/token"), before + 1, "{code}");
    }
}

#[tokio::test]
async fn ue_05_up_provider_down_a_provider_that_is_away_is_left_alone() {
    let world = World::new("").await;
    world.put("/.well-known/openid-configuration", Vec::new());
    for _ in 0..5 {
        assert_eq!(
            world.start().await.unwrap_err().code,
            RefusalCode::ProviderDown
        );
    }
    assert_eq!(world.server.connections(), 5);
    assert_eq!(
        world.start().await.unwrap_err().code,
        RefusalCode::ProviderDown
    );
    assert_eq!(world.server.connections(), 5, "the breaker is open");
    world.document(json!({}));
    world.clock.advance(Duration::from_secs(30));
    assert!(world.sign_in(json!({})).await.is_ok());
}

#[tokio::test]
async fn examine_tells_what_is_wrong_and_how_to_mend_it() {
    let world = World::new("").await;
    let found = world.providers.diagnose("a").await;
    assert!(found.iter().all(|finding| finding.ok), "{found:?}");
    assert_eq!(
        found
            .iter()
            .map(|finding| finding.check)
            .collect::<Vec<_>>(),
        ["redirect_uri", "discovery", "clock", "keys"]
    );
    assert!(
        found[0]
            .message
            .ends_with("https://login.example/upstream/a/callback")
    );
    world.keys(&[json!({"kty": "RSA"})], "");
    let again = Providers::without_database(world.live.clone(), PUBLIC, world.clock.clone());
    let found = again.diagnose("a").await;
    assert!(
        found
            .iter()
            .any(|finding| !finding.ok && finding.check == "keys"),
        "{found:?}"
    );
    world.document(json!({"issuer": "https://other.example"}));
    let again = Providers::without_database(world.live.clone(), PUBLIC, world.clock.clone());
    let found = again.diagnose("a").await;
    assert!(
        found
            .iter()
            .any(|finding| !finding.ok && finding.message.contains("https://other.example")),
        "{found:?}"
    );
    assert!(!again.diagnose("nobody").await[0].ok);
}

#[test]
fn sk_07_debug_prints_no_secret() {
    let record = RequestRecord {
        provider: "a".into(),
        issuer: "i".into(),
        token_endpoint: String::new(),
        userinfo_endpoint: None,
        redirect_uri: String::new(),
        nonce: Some("hunter2".into()),
        verifier: Some("hunter2".into()),
        iss_required: false,
    };
    assert!(!format!("{record:?}").contains("hunter2"));
}
