//! The token endpoint as clients see it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use poem::http::{HeaderValue, header};
use serde_json::json;

use crate::oauth::test_app::{
    self, API, ISSUER, ODD, SECRET, TestApp, VERIFIER, claims, exchange, form_request, refreshing,
};

const CREDENTIALS: [(&str, &str); 1] = [("grant_type", "client_credentials")];

#[tokio::test]
async fn ca_1_ca_2_ca_3_each_client_authenticates_in_its_own_way_alone() {
    let test_app = TestApp::new().await;
    let basic = Some(("basic", SECRET));
    let with = |more: &[(&'static str, &'static str)]| [CREDENTIALS.as_slice(), more].concat();
    let post = with(&[("client_id", "post"), ("client_secret", SECRET)]);
    let table = [
        ("right", basic, with(&[]), (200, "")),
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
            "public with a secret",
            None,
            with(&[("client_id", "web"), ("client_secret", "x")]),
            (401, "invalid_client"),
        ),
        (
            "public in the header",
            Some(("web", "")),
            with(&[]),
            (401, "invalid_client"),
        ),
        (
            "wrong secret",
            Some(("basic", "wrong")),
            with(&[]),
            (401, "invalid_client"),
        ),
        (
            "empty secret",
            Some(("basic", "")),
            with(&[]),
            (401, "invalid_client"),
        ),
        (
            "unknown",
            Some(("nobody", SECRET)),
            with(&[]),
            (401, "invalid_client"),
        ),
        (
            "an assertion of unknown type",
            None,
            with(&[("client_id", "basic"), ("client_assertion", "x.y.z")]),
            (400, "invalid_request"),
        ),
        ("nobody", None, with(&[]), (400, "invalid_request")),
        (
            "tk_8 a public client for itself",
            None,
            with(&[("client_id", "web")]),
            (400, "unauthorized_client"),
        ),
        (
            "tk_8 not for codes",
            Some(("api", SECRET)),
            vec![("grant_type", "authorization_code")],
            (400, "unauthorized_client"),
        ),
        (
            "tk_8 no password grant",
            basic,
            vec![("grant_type", "password")],
            (400, "unsupported_grant_type"),
        ),
        (
            "no grant",
            basic,
            vec![("scope", "x")],
            (400, "invalid_request"),
        ),
    ];
    for (what, basic, form, expected) in table {
        let answer = test_app.post("/oauth2/token", basic, &form).await;
        assert_eq!(answer.error(), expected, "{what}: {answer:?}");
        assert_eq!(
            answer.header(header::CACHE_CONTROL),
            "no-store",
            "tk_1 {what}"
        );
        let challenged = answer
            .header(header::WWW_AUTHENTICATE)
            .starts_with("Basic ");
        assert_eq!(
            challenged,
            answer.status == 401 && basic.is_some(),
            "ca_4 {what}"
        );
    }
}

#[tokio::test]
async fn ca_4_unknown_client_and_wrong_secret_look_alike_and_failures_alone_are_limited() {
    let test_app = TestApp::new().await;
    let wrong = test_app
        .post("/oauth2/token", Some(("basic", "wrong")), &CREDENTIALS)
        .await;
    let unknown = test_app
        .post("/oauth2/token", Some(("nobody", "wrong")), &CREDENTIALS)
        .await;
    assert_eq!(
        (wrong.status, &wrong.body, &wrong.headers),
        (unknown.status, &unknown.body, &unknown.headers)
    );
    for path in ["/oauth2/revoke", "/oauth2/introspect"] {
        let there = test_app
            .post(path, Some(("basic", "wrong")), &[("token", "x")])
            .await;
        assert_eq!(
            (there.status, &there.body, &there.headers),
            (wrong.status, &wrong.body, &wrong.headers),
            "ca_7 {path}"
        );
    }
    let mut told = BTreeSet::new();
    for _ in 0..40 {
        told.insert(
            test_app
                .post("/oauth2/token", Some(("basic", "wrong")), &CREDENTIALS)
                .await
                .status
                .as_u16(),
        );
    }
    assert_eq!(told, BTreeSet::from([401, 429]));
    let limited = test_app
        .post("/oauth2/token", Some(("nobody", "wrong")), &CREDENTIALS)
        .await;
    assert_eq!(limited.status, 429);
    let wait: u64 = limited.header(header::RETRY_AFTER).parse().unwrap();
    assert!((1..=60).contains(&wait));
    assert_eq!(
        test_app
            .post("/oauth2/token", Some(("basic", SECRET)), &CREDENTIALS)
            .await
            .status,
        200
    );
    test_app.advance(61);
    assert_eq!(
        test_app
            .post("/oauth2/token", Some(("basic", "wrong")), &CREDENTIALS)
            .await
            .status,
        401
    );
}

#[tokio::test]
async fn ca_1_malformed_headers_are_refused() {
    let test_app = TestApp::new().await;
    let good = STANDARD.encode(format!("basic:{SECRET}"));
    for (value, status) in [
        (format!("Basic {good}"), 200),
        (format!("bASIC {good}"), 200),
        ("Basic".to_owned(), 401),
        ("Basic !".to_owned(), 401),
        (format!("Basic {}", STANDARD.encode("basic")), 401),
        (format!("Basic {}", STANDARD.encode("basic:%zz")), 401),
        (format!("Basic {}", STANDARD.encode(b"basic:\xff")), 401),
        (format!("Bearer {good}"), 401),
    ] {
        let mut request = form_request("/oauth2/token", &CREDENTIALS);
        request.headers_mut().insert(
            header::AUTHORIZATION,
            HeaderValue::try_from(&value).unwrap(),
        );
        assert_eq!(test_app.send(request).await.status, status, "{value}");
    }
    let mut twice = form_request("/oauth2/token", &CREDENTIALS);
    for _ in 0..2 {
        twice.headers_mut().append(
            header::AUTHORIZATION,
            HeaderValue::try_from(format!("Basic {good}")).unwrap(),
        );
    }
    assert_eq!(test_app.send(twice).await.error(), (400, "invalid_request"));
}

#[tokio::test]
async fn cp_1_tk_7_a_confidential_client_may_do_without_pkce_and_then_brings_no_verifier() {
    let test_app = TestApp::new().await;
    let basic = Some(("basic", SECRET));
    let without = |code: &str| {
        let form = exchange("basic", code)
            .into_iter()
            .filter(|(name, _)| *name != "code_verifier");
        form.map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect::<Vec<_>>()
    };
    let post = async |form: Vec<(String, String)>| {
        let form: Vec<_> = form
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        test_app.post("/oauth2/token", basic, &form).await
    };
    let code = test_app.code("basic", "openid", None).await;
    let mut injected = without(&code);
    injected.push(("code_verifier".to_owned(), VERIFIER.to_owned()));
    assert_eq!(
        post(injected).await.error(),
        (400, "invalid_grant"),
        "a verifier without a challenge"
    );
    assert_eq!(
        post(without(&code)).await.status,
        200,
        "and nothing was consumed"
    );
    let code = test_app.code("basic", "openid", Some(VERIFIER)).await;
    assert_eq!(
        post(without(&code)).await.error(),
        (400, "invalid_grant"),
        "a challenge without a verifier"
    );
}

#[tokio::test]
async fn tk_15_client_credentials_are_the_clients_own() {
    let test_app = TestApp::new().await;
    let answer = test_app
        .post("/oauth2/token", Some(("basic", SECRET)), &CREDENTIALS)
        .await;
    assert_eq!(answer.body["scope"], "lessons:read");
    assert!(answer.body.get("refresh_token").is_none() && answer.body.get("id_token").is_none());
    let token = answer.text("access_token");
    let claims = claims(&token);
    let known = [
        "iss",
        "sub",
        "aud",
        "exp",
        "iat",
        "jti",
        "client_id",
        "scope",
    ];
    assert_eq!(
        claims
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect::<BTreeSet<_>>(),
        known.into()
    );
    assert_eq!(
        (&claims["sub"], &claims["client_id"]),
        (&json!("basic"), &json!("basic"))
    );
    assert_eq!(
        (&claims["aud"], &claims["iss"]),
        (&json!(API), &json!(ISSUER))
    );
    for scope in ["openid", "lessons:read email", "lessons:write"] {
        let form = [("grant_type", "client_credentials"), ("scope", scope)];
        let answer = test_app
            .post("/oauth2/token", Some(("basic", SECRET)), &form)
            .await;
        assert_eq!(answer.error(), (400, "invalid_scope"), "{scope}");
    }
    assert_eq!(
        test_app.userinfo(&token).await.error(),
        (403, "insufficient_scope")
    );
}

#[tokio::test]
async fn lifetimes_are_the_clients_own() {
    let test_app = TestApp::new().await;
    for id in ["web", "basic"] {
        test_app.configure(id, |client| {
            (client.access_token_seconds, client.id_token_seconds) = (Some(60), Some(120));
            (client.refresh_idle_seconds, client.refresh_absolute_seconds) =
                (Some(600), Some(3600));
        });
    }
    let life = |token: &str| {
        claims(token)["exp"].as_i64().unwrap() - claims(token)["iat"].as_i64().unwrap()
    };
    let first = test_app.tokens("web", "openid offline_access").await;
    assert_eq!(first.body["expires_in"], 60);
    assert_eq!(
        (
            life(&first.text("access_token")),
            life(&first.text("id_token"))
        ),
        (60, 120)
    );
    let others = test_app.tokens("other", "openid").await;
    assert_eq!(
        (
            life(&others.text("access_token")),
            life(&others.text("id_token"))
        ),
        (600, 600),
        "and nobody else's"
    );
    let own = test_app
        .post("/oauth2/token", Some(("basic", SECRET)), &CREDENTIALS)
        .await;
    assert_eq!(
        (&own.body["expires_in"], life(&own.text("access_token"))),
        (&json!(60), 60)
    );

    let mut token = first.text("refresh_token");
    for _ in 0..7 {
        test_app.advance(500);
        let next = test_app.refresh("web", &token).await;
        assert_eq!(life(&next.text("access_token")), 60);
        token = next.text("refresh_token");
    }
    test_app.advance(101);
    assert_eq!(
        test_app.refresh("web", &token).await.error(),
        (400, "invalid_grant"),
        "an hour in all"
    );
    let unused = test_app
        .tokens("web", "offline_access")
        .await
        .text("refresh_token");
    let kept = test_app
        .tokens("other", "offline_access")
        .await
        .text("refresh_token");
    test_app.advance(601);
    assert_eq!(
        test_app.refresh("web", &unused).await.error(),
        (400, "invalid_grant"),
        "ten minutes unused"
    );
    assert_eq!(test_app.refresh("other", &kept).await.status, 200);
}

#[tokio::test]
async fn rf_1_only_offline_access_or_the_clients_policy_give_a_refresh_token() {
    let test_app = TestApp::new().await;
    for (client, scope, given, granted) in [
        (
            "web",
            "openid offline_access",
            true,
            "openid offline_access",
        ),
        ("web", "openid", false, "openid"),
        ("app", "openid", true, "openid"),
        (
            "third",
            "openid offline_access",
            true,
            "openid offline_access",
        ),
        ("third", "openid", false, "openid"),
    ] {
        let answer = test_app.tokens(client, scope).await;
        assert_eq!(
            answer.body.get("refresh_token").is_some(),
            given,
            "{client} {scope}"
        );
        assert_eq!(answer.body["scope"], granted, "{client} {scope}");
    }
}

#[tokio::test]
async fn rf_2_a_refreshed_id_token_tells_of_the_same_sign_in() {
    let test_app = TestApp::new().await;
    let first = test_app.tokens("web", "openid offline_access").await;
    test_app.advance(100);
    let second = test_app.refresh("web", &first.text("refresh_token")).await;
    let (old, new) = (
        claims(&first.text("id_token")),
        claims(&second.text("id_token")),
    );
    for same in ["iss", "sub", "aud", "auth_time", "acr", "amr", "sid"] {
        assert!(!old[same].is_null() && old[same] == new[same], "{same}");
    }
    assert!(new["iat"].as_i64() >= old["iat"].as_i64().map(|iat| iat + 100));
    assert!(new.get("azp").is_none() && new.get("nonce").is_none() && old["nonce"] == "n");
    let access = claims(&second.text("access_token"));
    assert_eq!(
        (&access["sub"], &access["auth_time"]),
        (&old["sub"], &old["auth_time"])
    );
    assert_ne!(access["jti"], claims(&first.text("access_token"))["jti"]);
}

#[tokio::test]
async fn rf_3_a_narrower_scope_is_given_and_the_grant_keeps_its_own() {
    let test_app = TestApp::new().await;
    let first = test_app
        .tokens("web", "openid email offline_access")
        .await
        .text("refresh_token");
    let with = |token: &str, scope: &str| {
        let form = [refreshing("web", token), vec![("scope", scope)]].concat();
        form.into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect::<Vec<_>>()
    };
    let post = async |form: Vec<(String, String)>| {
        let form: Vec<_> = form
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        test_app.post("/oauth2/token", None, &form).await
    };
    assert_eq!(
        post(with(&first, "openid profile")).await.error(),
        (400, "invalid_scope")
    );
    let narrow = post(with(&first, "email")).await;
    assert_eq!(narrow.body["scope"], "email");
    assert!(narrow.body.get("id_token").is_none());
    assert_eq!(claims(&narrow.text("access_token"))["scope"], "email");
    let wide = test_app.refresh("web", &narrow.text("refresh_token")).await;
    assert_eq!(wide.body["scope"], "openid email offline_access");
}

#[tokio::test]
async fn rf_9_what_ops_take_from_a_client_is_gone_with_the_next_refresh() {
    let test_app = TestApp::new().await;
    let first = test_app.tokens("web", "openid email offline_access").await;
    assert!(
        test_app
            .userinfo(&first.text("access_token"))
            .await
            .body
            .get("email")
            .is_some()
    );
    test_app.configure("web", |client| {
        client.scopes.retain(|scope| scope != "email")
    });
    let told = test_app.userinfo(&first.text("access_token")).await;
    assert_eq!(
        (told.status.as_u16(), told.body.get("email")),
        (200, None),
        "at once"
    );
    let second = test_app.refresh("web", &first.text("refresh_token")).await;
    assert_eq!(second.body["scope"], "openid offline_access");
    assert_eq!(
        claims(&second.text("access_token"))["scope"],
        "openid offline_access"
    );
    // Whoever is first-party no more asks people like everybody else.
    test_app.configure("web", |client| client.first_party = false);
    assert_eq!(
        test_app
            .refresh("web", &second.text("refresh_token"))
            .await
            .error(),
        (400, "invalid_grant")
    );
}

#[tokio::test]
async fn tk_8_rf_9_a_client_that_may_get_no_codes_any_more_refreshes_no_more() {
    let test_app = TestApp::new().await;
    for client in ["web", "app"] {
        let first = test_app.tokens(client, "openid offline_access").await;
        let refresh = || test_app.refresh(client, first.body["refresh_token"].as_str().unwrap());
        let mut grants = Vec::new();
        test_app.configure(client, |client| {
            grants = std::mem::take(&mut client.grant_types)
        });
        assert_eq!(
            refresh().await.error(),
            (400, "unauthorized_client"),
            "{client}"
        );
        test_app.configure(client, |client| client.grant_types = grants);
        assert_eq!(refresh().await.status, 200, "{client}: nothing was ended");
    }
}

#[tokio::test]
async fn rf_4_rf_8_another_clients_and_forged_tokens_end_nothing() {
    let test_app = TestApp::new().await;
    let token = test_app
        .tokens("web", "openid offline_access")
        .await
        .text("refresh_token");
    assert_eq!(
        test_app.refresh("other", &token).await.error(),
        (400, "invalid_grant")
    );
    let forged = format!(
        "{}{}",
        &token[..token.len() - 1],
        if token.ends_with('A') { 'B' } else { 'A' }
    );
    let right_mac = {
        let read =
            crate::oauth::refresh::RefreshToken::parse(&test_app.app.macs.refresh, &token).unwrap();
        crate::oauth::refresh::RefreshToken::generate(read.family, read.generation)
            .to_text(&test_app.app.macs.refresh)
    };
    for bad in ["x", "", &forged, &right_mac] {
        let (status, _) = test_app.refresh("web", bad).await.error();
        assert_eq!(status, 400, "{bad}");
    }
    assert_eq!(
        test_app.refresh("web", &token).await.status,
        200,
        "the family lives"
    );
}

#[tokio::test]
async fn rf_6_rf_7_within_a_minute_the_old_token_gives_the_same_successor() {
    let test_app = TestApp::new().await;
    let first = test_app
        .tokens("web", "openid offline_access")
        .await
        .text("refresh_token");
    let second = test_app.refresh("web", &first).await.text("refresh_token");
    for _ in 0..8 {
        test_app.advance(7);
        assert_eq!(
            test_app.refresh("web", &first).await.text("refresh_token"),
            second,
            "56 seconds, without a limit"
        );
    }
    let third = test_app.refresh("web", &second).await.text("refresh_token");
    assert_ne!(third, second);
    assert_eq!(
        test_app.refresh("web", &second).await.text("refresh_token"),
        third,
        "its own minute"
    );
    // The successor was used: whoever has the first token copied it.
    assert_eq!(
        test_app.refresh("web", &first).await.error(),
        (400, "invalid_grant")
    );
    assert_eq!(
        test_app.refresh("web", &third).await.error(),
        (400, "invalid_grant"),
        "the family is dead"
    );
}

#[tokio::test]
async fn rf_6_after_a_minute_the_old_token_ends_the_family_and_its_access_tokens() {
    let test_app = TestApp::new().await;
    let first = test_app
        .tokens("web", "openid offline_access")
        .await
        .text("refresh_token");
    let second = test_app.refresh("web", &first).await;
    let access = second.text("access_token");
    assert_eq!(test_app.userinfo(&access).await.status, 200);
    test_app.advance(61);
    assert_eq!(
        test_app.refresh("web", &first).await.error(),
        (400, "invalid_grant")
    );
    assert_eq!(
        test_app
            .refresh("web", &second.text("refresh_token"))
            .await
            .error(),
        (400, "invalid_grant")
    );
    assert_eq!(test_app.userinfo(&access).await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rf_8_a_hundred_refreshes_at_once_on_two_copies_give_one_successor() {
    for test_app in TestApp::all().await {
        let token = test_app
            .tokens("web", "offline_access")
            .await
            .text("refresh_token");
        let copies = [test_app.copy().await, test_app.copy().await].map(std::sync::Arc::new);
        let mut tasks = tokio::task::JoinSet::new();
        for at in 0..100 {
            let (routes, token) = (std::sync::Arc::clone(&copies[at % 2]), token.clone());
            tasks.spawn(async move {
                let request = form_request("/oauth2/token", &refreshing("web", &token));
                test_app::send(&routes, request).await.text("refresh_token")
            });
        }
        let successors: BTreeSet<String> = tasks.join_all().await.into_iter().collect();
        assert_eq!(successors.len(), 1);
        let next = successors.first().unwrap();
        assert_eq!(
            test_app.refresh("web", next).await.status,
            200,
            "and it is good"
        );
    }
}

#[tokio::test]
async fn rf_9_idle_absolute_and_what_is_withdrawn_end_a_family() {
    let day = 86_400;
    let test_app = TestApp::new().await;
    let token = test_app
        .tokens("web", "offline_access")
        .await
        .text("refresh_token");
    test_app.advance(30 * day - 60);
    let token = test_app.refresh("web", &token).await.text("refresh_token");
    test_app.advance(30 * day + 1);
    assert_eq!(
        test_app.refresh("web", &token).await.error(),
        (400, "invalid_grant"),
        "idle"
    );

    let test_app = TestApp::new().await;
    let mut token = test_app
        .tokens("web", "offline_access")
        .await
        .text("refresh_token");
    for _ in 0..8 {
        test_app.advance(20 * day);
        token = test_app.refresh("web", &token).await.text("refresh_token");
    }
    test_app.advance(20 * day);
    assert_eq!(
        test_app.refresh("web", &token).await.error(),
        (400, "invalid_grant"),
        "180 days"
    );

    for ends in [
        "UPDATE users SET state = 'disabled'",
        "UPDATE users SET auth_epoch = auth_epoch + 1",
    ] {
        let test_app = TestApp::new().await;
        let token = test_app
            .tokens("web", "offline_access")
            .await
            .text("refresh_token");
        test_app.sql(ends).await;
        assert_eq!(
            test_app.refresh("web", &token).await.error(),
            (400, "invalid_grant"),
            "{ends}"
        );
    }

    let test_app = TestApp::new().await;
    let token = test_app
        .tokens("web", "offline_access")
        .await
        .text("refresh_token");
    test_app.configure("web", |client| {
        client.scopes.retain(|scope| scope != "offline_access")
    });
    assert_eq!(
        test_app.refresh("web", &token).await.error(),
        (400, "invalid_grant"),
        "no longer allowed"
    );
}

/// ST-05: the end of a session counts only against grants without `offline_access`.
#[tokio::test]
async fn es_7_rf_9_a_grant_without_offline_access_ends_with_its_session() {
    let test_app = TestApp::new().await;
    let bound = test_app.tokens("app", "openid").await.text("refresh_token");
    let free = test_app
        .tokens("app", "openid offline_access")
        .await
        .text("refresh_token");
    let bound = test_app.refresh("app", &bound).await.text("refresh_token");
    let tx = test_app.app.db.begin().await.unwrap();
    assert!(
        crate::session::end(&tx, test_app.user.id, test_app.session.id)
            .await
            .unwrap()
    );
    tx.commit().await.unwrap();
    assert_eq!(
        test_app.refresh("app", &bound).await.error(),
        (400, "invalid_grant")
    );
    assert_eq!(test_app.refresh("app", &free).await.status, 200);
}

#[tokio::test]
async fn tk_6_a_code_replayed_after_ten_seconds_ends_the_refresh_tokens_too() {
    let test_app = TestApp::new().await;
    let code = test_app
        .code("web", "openid offline_access", Some(VERIFIER))
        .await;
    let first = test_app
        .post("/oauth2/token", None, &exchange("web", &code))
        .await;
    assert_eq!(
        test_app
            .post("/oauth2/token", None, &exchange("web", &code))
            .await
            .error(),
        (400, "invalid_grant")
    );
    let next = test_app.refresh("web", &first.text("refresh_token")).await;
    assert_eq!(next.status, 200, "a race revokes nothing");
    test_app.advance(11);
    assert_eq!(
        test_app
            .post("/oauth2/token", None, &exchange("web", &code))
            .await
            .error(),
        (400, "invalid_grant")
    );
    assert_eq!(
        test_app
            .refresh("web", &next.text("refresh_token"))
            .await
            .error(),
        (400, "invalid_grant")
    );
    assert_eq!(
        test_app.userinfo(&next.text("access_token")).await.status,
        401
    );
}

#[tokio::test]
async fn db_02_a_rotation_changes_no_indexed_column_and_ended_grants_are_swept() {
    use crate::oauth::grant_store;
    let test_app = TestApp::new().await;
    let token = test_app
        .tokens("web", "offline_access")
        .await
        .text("refresh_token");
    let family = crate::oauth::refresh::RefreshToken::parse(&test_app.app.macs.refresh, &token)
        .unwrap()
        .family;
    let row = async || {
        grant_store::by_id(test_app.app.db.read(), family)
            .await
            .unwrap()
    };
    let before = row().await.unwrap();
    test_app.refresh("web", &token).await;
    let after = row().await.unwrap();
    assert_eq!(after.generation, 1);
    let midnight = 1; // A test that runs across it may see the next day.
    assert!(
        (0..=midnight).contains(&(after.gc_day - before.gc_day))
            && after.session_id == before.session_id
    );
    let sweep = async || {
        let tx = test_app.app.db.begin().await.unwrap();
        grant_store::sweep(&tx, 10).await.unwrap();
        tx.commit().await.unwrap();
    };
    test_app.advance(59 * 86_400);
    sweep().await;
    assert!(row().await.is_some(), "idle since day 30, kept for 30 more");
    test_app.advance(4 * 86_400);
    sweep().await;
    assert!(row().await.is_none());
}
