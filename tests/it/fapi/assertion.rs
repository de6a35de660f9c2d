//! How clients of the profile authenticate.

use poem::http::StatusCode;
use serde_json::{Value, json};

use super::{
    PAR, Shown, TOKEN, assert_error, exchange, json_of, now, post, register, with, with_claim,
};
use crate::{
    oauth::signed_in,
    test_app::{PUBLIC, TestApp},
};

on_both!(
    fs_1_what_an_assertion_may_say,
    fs_1_without_an_assertion_no_client_authenticates,
);

async fn fs_1_what_an_assertion_may_say(test_app: TestApp) {
    let (bank, broker) = register(&test_app).await;
    let mut browser = signed_in(&test_app, "ada@example.com").await;
    let attempt = bank.attempt();
    let at = now(&test_app);
    let endpoint = |path: &str| format!("{PUBLIC}{path}");
    for (name, value, is_right) in [
        ("aud", json!([PUBLIC]), false),
        ("aud", json!([PUBLIC, endpoint(TOKEN)]), false),
        ("aud", json!(endpoint(TOKEN)), false),
        ("aud", json!(endpoint(PAR)), false),
        ("aud", json!("https://other.example"), false),
        ("aud", json!(format!("{PUBLIC}/")), false),
        ("aud", Value::Null, false),
        ("sub", Value::Null, false),
        ("iss", json!(broker.id), false),
        ("exp", json!(at - 300), false),
        ("nbf", json!(at + 8), true),
        ("nbf", json!(at + 100), false),
        ("iat", json!(at + 8), true),
        ("iat", json!(at + 100), false),
    ] {
        let claims = || with_claim(bank.assertion_claims(&test_app), name, value.clone());
        let why = format!("{name} {value}");
        let pushing = Shown {
            assertion: Some(bank.assertion(&claims())),
            ..bank.shown(&test_app, PAR)
        };
        let pushed = post(&test_app, PAR, &attempt.parameters, &pushing).await;
        let code = bank.code(&mut browser, &attempt).await;
        let fields = exchange(&attempt, &code);
        let exchanging = Shown {
            assertion: Some(bank.assertion(&claims())),
            ..bank.shown(&test_app, TOKEN)
        };
        let exchanged = post(&test_app, TOKEN, &fields, &exchanging).await;
        if is_right {
            assert_eq!(pushed.status, StatusCode::CREATED, "{why}: {}", pushed.body);
            json_of(&exchanged);
            continue;
        }
        assert_error(&pushed, 401, "invalid_client", &why);
        assert_error(&exchanged, 401, "invalid_client", &why);
        let answer = bank.post(&test_app, TOKEN, &fields).await;
        assert_eq!(
            answer.status,
            StatusCode::OK,
            "{why}: the code is not spent"
        );
    }
}

async fn fs_1_without_an_assertion_no_client_authenticates(test_app: TestApp) {
    let (bank, broker) = register(&test_app).await;
    let mut browser = signed_in(&test_app, "ada@example.com").await;
    let attempt = bank.attempt();
    let code = bank.code(&mut browser, &attempt).await;
    let fields = exchange(&attempt, &code);
    let bare = Shown {
        assertion: None,
        ..bank.shown(&test_app, TOKEN)
    };
    let refused = post(&test_app, TOKEN, &fields, &bare).await;
    assert_error(&refused, 401, "invalid_client", "no assertion");
    let foreign = Shown {
        assertion: Some(broker.assertion(&bank.assertion_claims(&test_app))),
        ..bank.shown(&test_app, TOKEN)
    };
    let refused = post(&test_app, TOKEN, &fields, &foreign).await;
    assert_error(&refused, 401, "invalid_client", "a foreign key");
    let used = bank.shown(&test_app, PAR);
    for expected in [StatusCode::CREATED, StatusCode::UNAUTHORIZED] {
        let fresh = Shown {
            assertion: used.assertion.clone(),
            ..bank.shown(&test_app, PAR)
        };
        let answer = post(&test_app, PAR, &attempt.parameters, &fresh).await;
        assert_eq!(answer.status, expected, "an assertion counts once");
    }
    // CA-6: the form may leave the client out, and names no other one.
    let other = with(&fields, "client_id", Some(broker.id));
    let refused = bank.post(&test_app, TOKEN, &other).await;
    assert_error(&refused, 400, "invalid_request", "another client_id");
    let unnamed = with(&fields, "client_id", None);
    json_of(&bank.post(&test_app, TOKEN, &unnamed).await);
}
