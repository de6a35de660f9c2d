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

const DAY: u64 = 86_400;

const INVALID_GRANT: (u16, &str) = (400, "invalid_grant");

/// A refresh token of the client `web`.
async fn refresh_token(test_app: &TestApp, scope: &str) -> String {
    test_app.tokens("web", scope).await.text("refresh_token")
}

#[tokio::test]
async fn rf_2_a_refreshed_id_token_tells_of_the_same_sign_in() {
    let test_app = TestApp::new().await;
    let first = test_app.tokens("web", "openid offline_access").await;
    test_app.advance(100);
    let second = test_app.refresh("web", &first.text("refresh_token")).await;
    let old = claims(&first.text("id_token"));
    let new = claims(&second.text("id_token"));
    for name in ["iss", "sub", "aud", "auth_time", "acr", "amr", "sid"] {
        assert!(!old[name].is_null() && old[name] == new[name], "{name}");
    }
    assert!(new["iat"].as_i64() >= old["iat"].as_i64().map(|iat| iat + 100));
    assert!(new.get("azp").is_none() && new.get("nonce").is_none() && old["nonce"] == "n");
    let access = claims(&second.text("access_token"));
    assert_eq!(access["sub"], old["sub"]);
    assert_eq!(access["auth_time"], old["auth_time"]);
    assert_ne!(access["jti"], claims(&first.text("access_token"))["jti"]);
}

#[tokio::test]
async fn rf_3_a_narrower_scope_is_given_and_the_grant_keeps_its_own() {
    let test_app = TestApp::new().await;
    let first = refresh_token(&test_app, "openid email offline_access").await;
    let refresh_with = async |scope: &str| {
        let form = [refreshing("web", &first), vec![("scope", scope)]].concat();
        test_app.post("/oauth2/token", None, &form).await
    };
    assert_eq!(
        refresh_with("openid profile").await.error(),
        (400, "invalid_scope")
    );
    let narrow = refresh_with("email").await;
    assert_eq!(narrow.body["scope"], "email");
    assert!(narrow.body.get("id_token").is_none());
    assert_eq!(claims(&narrow.text("access_token"))["scope"], "email");
    let whole = test_app.refresh("web", &narrow.text("refresh_token")).await;
    assert_eq!(whole.body["scope"], "openid email offline_access");
}

#[tokio::test]
async fn rf_9_a_scope_taken_from_the_client_is_gone_with_the_next_refresh() {
    let test_app = TestApp::new().await;
    let first = test_app.tokens("web", "openid email offline_access").await;
    let access_token = first.text("access_token");
    let userinfo = test_app.userinfo(&access_token).await;
    assert!(userinfo.body.get("email").is_some());
    test_app.configure("web", |client| {
        client.scopes.retain(|scope| scope != "email")
    });
    let userinfo = test_app.userinfo(&access_token).await;
    assert_eq!(userinfo.status, 200);
    assert_eq!(userinfo.body.get("email"), None, "at once");
    let second = test_app.refresh("web", &first.text("refresh_token")).await;
    let scope = "openid offline_access";
    assert_eq!(second.body["scope"], scope);
    assert_eq!(claims(&second.text("access_token"))["scope"], scope);
    // A client that is no longer first-party needs the user's consent, which it does not have.
    test_app.configure("web", |client| client.first_party = false);
    let refused = test_app.refresh("web", &second.text("refresh_token")).await;
    assert_eq!(refused.error(), INVALID_GRANT);
}

#[tokio::test]
async fn tk_8_rf_9_a_client_that_may_get_no_codes_any_more_refreshes_no_more() {
    let test_app = TestApp::new().await;
    for id in ["web", "app"] {
        let tokens = test_app.tokens(id, "openid offline_access").await;
        let token = tokens.text("refresh_token");
        let refresh = || test_app.refresh(id, &token);
        let mut grant_types = Vec::new();
        test_app.configure(id, |client| {
            grant_types = std::mem::take(&mut client.grant_types)
        });
        assert_eq!(
            refresh().await.error(),
            (400, "unauthorized_client"),
            "{id}"
        );
        test_app.configure(id, |client| client.grant_types = grant_types);
        assert_eq!(refresh().await.status, 200, "{id}: the grant did not end");
    }
}

#[tokio::test]
async fn rf_4_rf_8_another_clients_and_forged_tokens_end_nothing() {
    let test_app = TestApp::new().await;
    let token = refresh_token(&test_app, "openid offline_access").await;
    let other_client = test_app.refresh("other", &token).await;
    assert_eq!(other_client.error(), INVALID_GRANT);
    let (rest, last) = token.split_at(token.len() - 1);
    let wrong_mac = format!("{rest}{}", if last == "A" { 'B' } else { 'A' });
    let wrong_secret = {
        let mac = &test_app.app.macs.refresh;
        let parsed = RefreshToken::parse(mac, &token).unwrap();
        RefreshToken::generate(parsed.family, parsed.generation).to_text(mac)
    };
    for bad in ["x", "", &wrong_mac, &wrong_secret] {
        assert_eq!(test_app.refresh("web", bad).await.status, 400, "{bad}");
    }
    let right = test_app.refresh("web", &token).await;
    assert_eq!(right.status, 200, "the family did not end");
}

#[tokio::test]
async fn rf_6_rf_7_within_a_minute_the_old_token_gives_the_same_successor() {
    let test_app = TestApp::new().await;
    let refresh = async |token: &str| test_app.refresh("web", token).await;
    let first = refresh_token(&test_app, "openid offline_access").await;
    let second = refresh(&first).await.text("refresh_token");
    for _ in 0..8 {
        test_app.advance(7);
        let repeated = refresh(&first).await.text("refresh_token");
        assert_eq!(repeated, second, "for 56 seconds, any number of times");
    }
    let third = refresh(&second).await.text("refresh_token");
    assert_ne!(third, second);
    let repeated = refresh(&second).await.text("refresh_token");
    assert_eq!(repeated, third, "a minute of its own");
    // The successor has been used: the first token came from a copy.
    assert_eq!(refresh(&first).await.error(), INVALID_GRANT);
    assert_eq!(refresh(&third).await.error(), INVALID_GRANT, "the family");
}

#[tokio::test]
async fn rf_6_after_a_minute_the_old_token_ends_the_family_and_its_access_tokens() {
    let test_app = TestApp::new().await;
    let first = refresh_token(&test_app, "openid offline_access").await;
    let second = test_app.refresh("web", &first).await;
    let access_token = second.text("access_token");
    assert_eq!(test_app.userinfo(&access_token).await.status, 200);
    test_app.advance(61);
    for token in [first, second.text("refresh_token")] {
        let refused = test_app.refresh("web", &token).await;
        assert_eq!(refused.error(), INVALID_GRANT);
    }
    assert_eq!(test_app.userinfo(&access_token).await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rf_8_a_hundred_refreshes_at_once_on_two_instances_give_one_successor() {
    for test_app in TestApp::all().await {
        let token = refresh_token(&test_app, "offline_access").await;
        let instances = [
            Arc::new(test_app.second_instance().await),
            Arc::new(test_app.second_instance().await),
        ];
        let mut tasks = tokio::task::JoinSet::new();
        for turn in 0..100 {
            let (routes, token) = (Arc::clone(&instances[turn % 2]), token.clone());
            tasks.spawn(async move {
                let request = form_request("/oauth2/token", &refreshing("web", &token));
                test_app::send(&routes, request).await.text("refresh_token")
            });
        }
        let successors: BTreeSet<String> = tasks.join_all().await.into_iter().collect();
        assert_eq!(successors.len(), 1);
        let next = test_app.refresh("web", successors.first().unwrap()).await;
        assert_eq!(next.status, 200, "the successor is good");
    }
}

#[tokio::test]
async fn rf_9_idle_time_total_lifetime_and_withdrawal_end_a_family() {
    let test_app = TestApp::new().await;
    let token = refresh_token(&test_app, "offline_access").await;
    test_app.advance(30 * DAY - 60);
    let token = test_app.refresh("web", &token).await.text("refresh_token");
    test_app.advance(30 * DAY + 1);
    let refused = test_app.refresh("web", &token).await;
    assert_eq!(refused.error(), INVALID_GRANT, "idle");

    let test_app = TestApp::new().await;
    let mut token = refresh_token(&test_app, "offline_access").await;
    for _ in 0..8 {
        test_app.advance(20 * DAY);
        token = test_app.refresh("web", &token).await.text("refresh_token");
    }
    test_app.advance(20 * DAY);
    let refused = test_app.refresh("web", &token).await;
    assert_eq!(refused.error(), INVALID_GRANT, "after 180 days");

    let test_app = TestApp::new().await;
    let token = refresh_token(&test_app, "offline_access").await;
    test_app.configure("web", |client| {
        client.scopes.retain(|scope| scope != "offline_access")
    });
    let refused = test_app.refresh("web", &token).await;
    assert_eq!(refused.error(), INVALID_GRANT, "no longer registered");
}

/// ST-05: the end of a session counts only against grants without `offline_access`.
#[tokio::test]
async fn es_7_rf_9_a_grant_without_offline_access_ends_with_its_session() {
    let test_app = TestApp::new().await;
    let bound = test_app.tokens("app", "openid").await;
    let offline = test_app.tokens("app", "openid offline_access").await;
    let bound = test_app.refresh("app", &bound.text("refresh_token")).await;
    let tx = test_app.app.db.begin().await.unwrap();
    let ended = session::end(&tx, test_app.user.id, test_app.session.id).await;
    assert!(ended.unwrap());
    tx.commit().await.unwrap();
    let bound = test_app.refresh("app", &bound.text("refresh_token")).await;
    assert_eq!(bound.error(), INVALID_GRANT);
    let offline = test_app
        .refresh("app", &offline.text("refresh_token"))
        .await;
    assert_eq!(offline.status, 200);
}

#[tokio::test]
async fn db_02_a_rotation_changes_no_indexed_column_and_ended_grants_are_swept() {
    let test_app = TestApp::new().await;
    let token = refresh_token(&test_app, "offline_access").await;
    let parsed = RefreshToken::parse(&test_app.app.macs.refresh, &token).unwrap();
    let db = test_app.app.db.read();
    let find = async || {
        let found = grant_store::find(db, parsed.family).await.unwrap();
        found.map(|stored| stored.grant)
    };
    let before = find().await.unwrap();
    test_app.refresh("web", &token).await;
    let after = find().await.unwrap();
    assert_eq!(after.generation, 1);
    assert_eq!(after.session_id, before.session_id);
    // A test that runs across midnight may see the next day.
    assert!((0..=1).contains(&(after.gc_day - before.gc_day)));
    let sweep = async || {
        let tx = test_app.app.db.begin().await.unwrap();
        grant_store::sweep(&tx, 10).await.unwrap();
        tx.commit().await.unwrap();
    };
    test_app.advance(59 * DAY);
    sweep().await;
    assert!(find().await.is_some(), "idle since day 30, kept 30 more");
    test_app.advance(4 * DAY);
    sweep().await;
    assert!(find().await.is_none());
}
