#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    oauth::{
        grant_store,
        refresh_token::RefreshToken,
        test_app::{self, TestApp, claims, form_request, refreshing},
    },
    session,
};

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
        let read = RefreshToken::parse(&test_app.app.macs.refresh, &token).unwrap();
        RefreshToken::generate(read.family, read.generation).to_text(&test_app.app.macs.refresh)
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
        let copies = [
            test_app.second_instance().await,
            test_app.second_instance().await,
        ]
        .map(Arc::new);
        let mut tasks = tokio::task::JoinSet::new();
        for at in 0..100 {
            let (routes, token) = (Arc::clone(&copies[at % 2]), token.clone());
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
        session::end(&tx, test_app.user.id, test_app.session.id)
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
async fn db_02_a_rotation_changes_no_indexed_column_and_ended_grants_are_swept() {
    let test_app = TestApp::new().await;
    let token = test_app
        .tokens("web", "offline_access")
        .await
        .text("refresh_token");
    let family = RefreshToken::parse(&test_app.app.macs.refresh, &token)
        .unwrap()
        .family;
    let row = async || {
        grant_store::find(test_app.app.db.read(), family)
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
