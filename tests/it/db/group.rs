//! Units of work that share a COMMIT, seen through HTTP.

use std::collections::BTreeMap;

use entree::config::{Config, RefreshTokens};
use futures_util::FutureExt as _;
use poem::http::StatusCode;
use sea_orm::ConnectionTrait as _;

use crate::{
    oauth::{Attempt, signed_in, token, with_clients},
    test_app::TestApp,
};

fn configure(config: &mut Config) {
    with_clients(&mut config.reloadable);
    config.reloadable.clients[0].refresh_tokens = RefreshTokens::Always;
}

/// The grant is revoked, a refresh is refused for it, and then the revocation does not last: the
/// refusal must not reach the client, which would throw its refresh token away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sp_2_a_refusal_is_withdrawn_if_what_it_rests_on_does_not_last() {
    let app = TestApp::embedded_with(configure).await;
    let mut browser = signed_in(&app, "group@example.com").await;
    let tokens = Attempt::new().tokens(&mut browser).await;
    let fields = BTreeMap::from(
        [
            ("grant_type", "refresh_token"),
            ("client_id", "web"),
            ("refresh_token", tokens["refresh_token"].as_str().unwrap()),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let db = app.app.db.clone();
    let revocation = db.begin().await.unwrap();
    let revoke = "UPDATE grant_families SET revoked_at = created_at";
    revocation.conn().execute_unprepared(revoke).await.unwrap();
    let mut refresh = Box::pin(token(&app, &fields));
    while db.waiting() < 1 {
        assert!(refresh.as_mut().now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    let spoiler = tokio::spawn({
        let db = db.clone();
        async move {
            let tx = db.begin().await.unwrap();
            let orphan = "PRAGMA defer_foreign_keys = ON; UPDATE user_emails SET user_id = x'00'";
            tx.conn().execute_unprepared(orphan).await.unwrap();
            tx.commit().await
        }
    });
    while db.waiting() < 2 {
        tokio::task::yield_now().await;
    }
    let revocation = tokio::spawn(revocation.commit());
    let answer = refresh.await;
    assert_eq!(
        answer.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{}",
        answer.body
    );
    assert!(revocation.await.unwrap().is_err());
    assert!(spoiler.await.unwrap().is_err());
    assert_eq!(token(&app, &fields).await.status, StatusCode::OK);
}
