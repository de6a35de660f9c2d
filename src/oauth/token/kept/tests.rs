#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::{
    config::Profile,
    oauth::{
        refresh_token::RefreshToken,
        test_app::{TestApp, claims},
    },
};

const MINUTE: u64 = 60;
const DAY: u64 = 86_400;

#[test]
fn fs_3_the_idle_end_moves_by_ten_minutes_or_by_half_of_a_short_lifetime() {
    let now = Time(1_800_000_000_000);
    let seconds = Duration::from_secs;
    for (idle, ago, moves) in [
        (30 * DAY, 0, false),
        (30 * DAY, 599, false),
        (30 * DAY, 600, true),
        (30 * DAY, DAY, true),
        (1200, 599, false),
        (1200, 600, true),
        (600, 299, false),
        (600, 300, true),
    ] {
        // The last move was this long ago.
        let end = now + seconds(idle) - seconds(ago);
        let expected = moves.then(|| now + seconds(idle));
        let found = moved_end(Some(end), now, seconds(idle));
        assert_eq!(found, expected, "{idle} s, {ago} s ago");
    }
    assert_eq!(moved_end(None, now, seconds(600)), Some(now + seconds(600)));
}

/// The client `web` with the rule of the profile, but without what else it demands: keys and proofs are
/// tested in `tests/it/fapi`.
fn keep_tokens(test_app: &TestApp) {
    test_app.configure("web", |client| client.profile = Profile::Fapi2);
}

async fn grant_of(test_app: &TestApp, token: &str) -> Grant {
    let parsed = RefreshToken::parse(&test_app.app.macs.refresh, token).unwrap();
    let found = grant_store::find(test_app.app.db.read(), parsed.family).await;
    found.unwrap().unwrap().grant
}

#[tokio::test]
async fn fs_3_each_response_repeats_the_token_and_the_absolute_end_never_moves() {
    for test_app in TestApp::all().await {
        keep_tokens(&test_app);
        let first = test_app.tokens("web", "openid offline_access").await;
        let token = first.text("refresh_token");
        let stored = grant_of(&test_app, &token).await;
        let mut end = stored.idle_until.unwrap();
        for (minutes, moves) in [(0, false), (9, false), (1, true), (9, false), (60, true)] {
            test_app.advance(minutes * MINUTE);
            let response = test_app.refresh("web", &token).await;
            assert_eq!(response.text("refresh_token"), token);
            assert_eq!(
                claims(&response.text("access_token"))["sub"],
                claims(&first.text("access_token"))["sub"]
            );
            let grant = grant_of(&test_app, &token).await;
            let now_ends = grant.idle_until.unwrap();
            assert_eq!(now_ends > end, moves, "after {minutes} minutes more");
            assert_eq!(grant.expires_at, stored.expires_at);
            assert_eq!((grant.generation, &grant.successor), (0, &None));
            end = now_ends;
        }
        for _ in 0..8 {
            test_app.advance(20 * DAY);
            assert_eq!(test_app.refresh("web", &token).await.status, 200);
        }
        test_app.advance(20 * DAY);
        let over = test_app.refresh("web", &token).await;
        assert_eq!(over.error(), (400, "invalid_grant"), "after 180 days");
    }
}

#[tokio::test]
async fn fs_3_a_token_that_is_not_used_expires() {
    let test_app = TestApp::new().await;
    keep_tokens(&test_app);
    let tokens = test_app.tokens("web", "offline_access").await;
    let token = tokens.text("refresh_token");
    test_app.advance(30 * DAY - MINUTE);
    assert_eq!(test_app.refresh("web", &token).await.status, 200);
    test_app.advance(30 * DAY + 1);
    let over = test_app.refresh("web", &token).await;
    assert_eq!(over.error(), (400, "invalid_grant"));
}

/// A family that has rotated goes on with its current token, and a used one still ends it.
#[tokio::test]
async fn fs_3_a_client_may_get_the_profile_later_and_lose_it_again() {
    let test_app = TestApp::new().await;
    let tokens = test_app.tokens("web", "openid offline_access").await;
    let first = tokens.text("refresh_token");
    let second = test_app.refresh("web", &first).await.text("refresh_token");
    keep_tokens(&test_app);
    let repeated = test_app.refresh("web", &first).await;
    assert_eq!(repeated.text("refresh_token"), second, "a lost response");
    test_app.advance(11 * MINUTE);
    for _ in 0..2 {
        let kept = test_app.refresh("web", &second).await;
        assert_eq!(kept.text("refresh_token"), second);
    }
    test_app.configure("web", |client| client.profile = Profile::Standard);
    let third = test_app.refresh("web", &second).await.text("refresh_token");
    assert_ne!(third, second);
    test_app.advance(11 * MINUTE);
    let reused = test_app.refresh("web", &first).await;
    assert_eq!(reused.error(), (400, "invalid_grant"));
    let ended = test_app.refresh("web", &third).await;
    assert_eq!(ended.error(), (400, "invalid_grant"), "the family");
}
