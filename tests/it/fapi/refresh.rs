//! Refresh tokens that stay the same (FS-3).

use entree::{config::Profile, secret::MasterKeys};
use futures_util::future::join_all;
use poem::http::StatusCode;
use serde_json::Value;

use super::{
    Fields, Shown, Software, TOKEN, assert_error, json_of, post, refreshing, register, with,
};
use crate::{
    oauth::signed_in,
    test_app::{TestApp, masters},
};

const EMAIL: &str = "ada@example.com";

const DAY: u64 = 86_400;

on_both!(
    fs_3_twenty_refreshes_at_once_all_repeat_the_token,
    fs_3_the_token_is_its_clients_and_needs_a_proof,
    fs_3_the_token_stays_the_same_until_its_absolute_end,
    fs_3_a_refresh_costs_no_more_statements_than_one_that_rotates,
);

async fn tokens(test_app: &TestApp, software: &Software) -> Value {
    let mut browser = signed_in(test_app, EMAIL).await;
    software.tokens(&mut browser, &software.attempt()).await
}

/// All twenty of them, on one instance and on two.
async fn refresh_at_once(instances: &[&TestApp], bank: &Software, tokens: &Value) {
    let one = |turn: usize| bank.refresh(instances[turn % instances.len()], tokens);
    for answer in join_all((0..20).map(one)).await {
        let next = json_of(&answer);
        assert_eq!(next["refresh_token"], tokens["refresh_token"]);
        assert_ne!(next["access_token"], tokens["access_token"]);
    }
}

async fn fs_3_twenty_refreshes_at_once_all_repeat_the_token(test_app: TestApp) {
    let (bank, _) = register(&test_app).await;
    let tokens = tokens(&test_app, &bank).await;
    // Now, and when the idle end moves.
    for passed in [0, 3600] {
        test_app.pass(passed);
        refresh_at_once(&[&test_app], &bank, &tokens).await;
    }
    if test_app.app.db.is_postgres() {
        let second = test_app.copy().await;
        // The copy has a clock of its own.
        let behind = test_app.app.clock().now().since(second.app.clock().now());
        second.app.clock().advance(behind);
        refresh_at_once(&[&test_app, &second], &bank, &tokens).await;
        test_app.pass(3600);
        second.pass(3600);
        refresh_at_once(&[&test_app, &second], &bank, &tokens).await;
        // And after the first instance is gone.
        json_of(&bank.refresh(&second, &tokens).await);
    }
    let last = json_of(&bank.refresh(&test_app, &tokens).await);
    json_of(&bank.userinfo(&test_app, &last).await);
}

async fn fs_3_the_token_is_its_clients_and_needs_a_proof(test_app: TestApp) {
    let (bank, broker) = register(&test_app).await;
    let tokens = tokens(&test_app, &bank).await;
    let fields = refreshing(bank.id, &tokens);
    let bare = Shown {
        proof: None,
        ..bank.shown(&test_app, TOKEN)
    };
    let refused = post(&test_app, TOKEN, &fields, &bare).await;
    assert_error(&refused, 400, "invalid_request", "no proof");
    let as_broker: Fields = with(&fields, "client_id", Some(broker.id));
    let refused = broker.post(&test_app, TOKEN, &as_broker).await;
    assert_error(&refused, 400, "invalid_grant", "another client");
    // The client authenticates by another key than that of its proofs, so that it may change this one.
    let new_key = Shown {
        proof: broker.shown(&test_app, TOKEN).proof,
        ..bank.shown(&test_app, TOKEN)
    };
    let next = json_of(&post(&test_app, TOKEN, &fields, &new_key).await);
    assert_eq!(next["refresh_token"], tokens["refresh_token"]);
    json_of(&bank.refresh(&test_app, &tokens).await);
}

/// Also at an instance that was started anew with another master key, and from then on without the old one.
async fn fs_3_the_token_stays_the_same_until_its_absolute_end(test_app: TestApp) {
    let (bank, _) = register(&test_app).await;
    let tokens = tokens(&test_app, &bank).await;
    for _ in 0..8 {
        test_app.pass(20 * DAY);
        let next = json_of(&bank.refresh(&test_app, &tokens).await);
        assert_eq!(next["refresh_token"], tokens["refresh_token"]);
    }
    let with_keys = |keys: &MasterKeys| {
        let mut app = test_app.app.clone();
        app.macs.refresh = keys.mac("refresh token v1");
        test_app.over(app)
    };
    let same = with_keys(&masters());
    let next = json_of(&bank.refresh(&same, &tokens).await);
    assert_eq!(next["refresh_token"], tokens["refresh_token"], "a restart");
    let changed = with_keys(&MasterKeys::new([8; 32], [[7; 32]]));
    let next = json_of(&bank.refresh(&changed, &tokens).await);
    assert_ne!(
        next["refresh_token"], tokens["refresh_token"],
        "its MAC is new"
    );
    let without = with_keys(&MasterKeys::new([8; 32], []));
    let refused = bank.refresh(&without, &tokens).await;
    assert_error(&refused, 400, "invalid_grant", "under a key that is gone");
    json_of(&bank.refresh(&without, &next).await);
    test_app.pass(20 * DAY);
    let refused = bank.refresh(&test_app, &tokens).await;
    assert_error(&refused, 400, "invalid_grant", "180 days after the sign-in");
}

/// The fewest statements of a few refreshes. What else the service does meanwhile is not in all of them.
async fn statements(test_app: &TestApp, bank: &Software, tokens: &mut Value) -> u64 {
    let mut fewest = u64::MAX;
    for _ in 0..4 {
        let before = test_app.app.db.sent().statements;
        let answer = bank.refresh(test_app, tokens).await;
        fewest = fewest.min(test_app.app.db.sent().statements - before);
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        *tokens = json_of(&answer);
    }
    fewest
}

async fn fs_3_a_refresh_costs_no_more_statements_than_one_that_rotates(test_app: TestApp) {
    let (bank, _) = register(&test_app).await;
    let mut tokens = tokens(&test_app, &bank).await;
    let kept = statements(&test_app, &bank, &mut tokens).await;
    test_app.configure(|config| {
        for client in &mut config.clients {
            client.profile = Profile::Standard;
        }
    });
    let rotated = statements(&test_app, &bank, &mut tokens).await;
    assert!(kept < rotated, "{kept} and {rotated}: nothing is written");
}
