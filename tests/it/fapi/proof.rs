//! Proofs of possession, and what a code is bound to, for clients of the profile.

use std::time::Duration;

use entree::config::DpopNonce;
use poem::http::StatusCode;
use serde_json::{Value, json};
use testkit::dpop::Prover;

use super::{
    PAR, Shown, TOKEN, assert_error, exchange, json_of, now, post, refreshing, register, userinfo,
    with, with_claim,
};
use crate::{
    oauth::{Attempt, CALLBACK, par::visit, parameter, signed_in, token},
    test_app::{PUBLIC, TestApp},
};

const EMAIL: &str = "ada@example.com";

on_both!(
    pp_3_the_time_of_a_proof_counts_whatever_its_nonce_says,
    fs_1_a_wrong_proof_is_refused_and_spends_nothing,
    fs_1_a_code_is_for_its_client_its_key_and_its_verifier,
    fs_1_dpop_jkt_and_the_proof_of_a_push_bind_the_code,
    fs_1_a_code_lives_for_a_minute,
    fs_4_a_code_that_comes_back_after_a_second_ends_the_grant,
);

async fn pp_3_the_time_of_a_proof_counts_whatever_its_nonce_says(test_app: TestApp) {
    let (bank, _) = register(&test_app).await;
    // So that a proof of some seconds ago is not one of before the data of the ticket store.
    test_app.pass(60);
    let mut browser = signed_in(&test_app, EMAIL).await;
    let attempt = bank.attempt();
    let tokens = bank.tokens(&mut browser, &attempt).await;
    let token = tokens["access_token"].as_str().unwrap();
    // A nonce of ours, which is good for five minutes.
    let set = |nonce| test_app.configure(|config| config.token.dpop_nonce = nonce);
    set(DpopNonce::Always);
    let demanded = bank.push(&test_app, &attempt).await;
    assert_error(&demanded, 400, "use_dpop_nonce", "a proof that is recent");
    let nonce = demanded.header("dpop-nonce").unwrap().to_owned();
    set(DpopNonce::Needed);
    for (offset, is_right) in [(-10, true), (10, true), (-100, false), (100, false)] {
        for shown_nonce in [Value::Null, json!(nonce)] {
            let changed = |claims: Value| {
                let at = json!(now(&test_app) + offset);
                with_claim(with_claim(claims, "iat", at), "nonce", shown_nonce.clone())
            };
            let why = format!("{offset} s, {shown_nonce}");
            let shown = |path: &str| Shown {
                proof: Some(
                    bank.prover
                        .proof(&changed(bank.proof_claims(&test_app, path))),
                ),
                ..bank.shown(&test_app, path)
            };
            let pushed = post(&test_app, PAR, &attempt.parameters, &shown(PAR)).await;
            let code = bank.code(&mut browser, &attempt).await;
            let fields = exchange(&attempt, &code);
            let exchanged = post(&test_app, TOKEN, &fields, &shown(TOKEN)).await;
            let claims = changed(bank.userinfo_claims(&test_app, token));
            let proof = bank.prover.proof(&claims);
            let user = userinfo(&test_app, &format!("DPoP {token}"), &proof).await;
            if is_right {
                assert_eq!(pushed.status, StatusCode::CREATED, "{why}: {}", pushed.body);
                json_of(&exchanged);
                json_of(&user);
            } else {
                assert_error(&pushed, 400, "invalid_dpop_proof", &why);
                assert_error(&exchanged, 400, "invalid_dpop_proof", &why);
                assert_error(&user, 401, "invalid_dpop_proof", &why);
                assert_eq!(exchanged.header("dpop-nonce"), None, "{why}");
            }
        }
    }
}

async fn fs_1_a_wrong_proof_is_refused_and_spends_nothing(test_app: TestApp) {
    let (bank, _) = register(&test_app).await;
    let mut browser = signed_in(&test_app, EMAIL).await;
    let attempt = bank.attempt();
    let code = bank.code(&mut browser, &attempt).await;
    let fields = exchange(&attempt, &code);
    let at = now(&test_app);
    for (name, value) in [
        ("htm", json!("GET")),
        ("htu", json!(format!("{PUBLIC}{PAR}"))),
        ("htu", json!("https://evil.example/oauth2/token")),
        ("jti", Value::Null),
        ("iat", Value::Null),
        ("exp", json!(at - 100)),
        ("nbf", json!(at + 100)),
    ] {
        let claims = with_claim(bank.proof_claims(&test_app, TOKEN), name, value.clone());
        let shown = Shown {
            proof: Some(bank.prover.proof(&claims)),
            ..bank.shown(&test_app, TOKEN)
        };
        let refused = post(&test_app, TOKEN, &fields, &shown).await;
        assert_error(
            &refused,
            400,
            "invalid_dpop_proof",
            &format!("{name} {value}"),
        );
    }
    let bare = Shown {
        proof: None,
        ..bank.shown(&test_app, TOKEN)
    };
    let refused = post(&test_app, TOKEN, &fields, &bare).await;
    assert_error(&refused, 400, "invalid_request", "no proof");
    // exp and nbf may be there.
    let claims = with_claim(bank.proof_claims(&test_app, TOKEN), "exp", json!(at + 300));
    let claims = with_claim(claims, "nbf", json!(at - 10));
    let shown = Shown {
        proof: Some(bank.prover.proof(&claims)),
        ..bank.shown(&test_app, TOKEN)
    };
    let tokens = json_of(&post(&test_app, TOKEN, &fields, &shown).await);
    let again = Shown {
        proof: shown.proof,
        ..bank.shown(&test_app, TOKEN)
    };
    let fields = refreshing(bank.id, &tokens);
    let refused = post(&test_app, TOKEN, &fields, &again).await;
    assert_error(&refused, 400, "invalid_dpop_proof", "shown before");

    let token = tokens["access_token"].as_str().unwrap();
    let good = bank.prover.proof(&bank.userinfo_claims(&test_app, token));
    let stolen = Prover::new().proof(&bank.userinfo_claims(&test_app, token));
    let other = bank
        .prover
        .proof(&bank.userinfo_claims(&test_app, "another token"));
    for (authorization, proof, error) in [
        (format!("Bearer {token}"), &*good, "invalid_token"),
        (format!("DPoP {token}"), &*stolen, "invalid_dpop_proof"),
        (format!("DPoP {token}"), &*other, "invalid_dpop_proof"),
        (format!("DPoP {token}"), "x", "invalid_dpop_proof"),
    ] {
        let refused = userinfo(&test_app, &authorization, proof).await;
        assert_error(&refused, 401, error, &authorization[..6]);
    }
    json_of(&userinfo(&test_app, &format!("DPoP {token}"), &good).await);
}

async fn fs_1_a_code_is_for_its_client_its_key_and_its_verifier(test_app: TestApp) {
    let (bank, broker) = register(&test_app).await;
    let mut browser = signed_in(&test_app, EMAIL).await;
    let attempt = bank.attempt();
    let code = bank.code(&mut browser, &attempt).await;
    let fields = exchange(&attempt, &code);
    let elsewhere = format!("{CALLBACK}/other");
    for (name, value) in [
        ("code_verifier", None),
        ("code_verifier", Some("a".repeat(43))),
        ("redirect_uri", Some(elsewhere)),
        ("code", Some(format!("{}x", &code[..code.len() - 1]))),
    ] {
        let wrong = with(&fields, name, value.as_deref());
        let refused = bank.post(&test_app, TOKEN, &wrong).await;
        assert_error(&refused, 400, "invalid_grant", name);
    }
    let as_broker = with(&fields, "client_id", Some(broker.id));
    let refused = broker.post(&test_app, TOKEN, &as_broker).await;
    assert_error(&refused, 400, "invalid_grant", "another client");
    let other_key = Shown {
        proof: broker.shown(&test_app, TOKEN).proof,
        ..bank.shown(&test_app, TOKEN)
    };
    let refused = post(&test_app, TOKEN, &fields, &other_key).await;
    assert_error(&refused, 400, "invalid_grant", "another key");
    json_of(&bank.post(&test_app, TOKEN, &fields).await);
}

async fn fs_1_dpop_jkt_and_the_proof_of_a_push_bind_the_code(test_app: TestApp) {
    let (bank, broker) = register(&test_app).await;
    let mut browser = signed_in(&test_app, EMAIL).await;
    let both = bank.attempt().with("dpop_jkt", &broker.prover.jkt());
    let refused = bank.push(&test_app, &both).await;
    assert_error(&refused, 400, "invalid_dpop_proof", "two keys");
    let own = bank.attempt().with("dpop_jkt", &bank.prover.jkt());
    for (attempt, has_proof) in [(&bank.attempt(), true), (&own, true), (&own, false)] {
        let shown = bank.shown(&test_app, PAR);
        let shown = Shown {
            proof: shown.proof.filter(|_| has_proof),
            ..shown
        };
        let pushed = post(&test_app, PAR, &attempt.parameters, &shown).await;
        assert_eq!(pushed.status, StatusCode::CREATED, "{}", pushed.body);
        let body: Value = serde_json::from_str(&pushed.body).unwrap();
        let uri = body["request_uri"].as_str().unwrap();
        let back = browser.open(&visit(bank.id, uri)).await;
        let fields = exchange(attempt, &parameter(&back, "code").unwrap());
        let other_key = Shown {
            proof: broker.shown(&test_app, TOKEN).proof,
            ..bank.shown(&test_app, TOKEN)
        };
        let refused = post(&test_app, TOKEN, &fields, &other_key).await;
        assert_error(&refused, 400, "invalid_grant", "another key");
        json_of(&bank.post(&test_app, TOKEN, &fields).await);
    }
}

async fn fs_1_a_code_lives_for_a_minute(test_app: TestApp) {
    let (bank, _) = register(&test_app).await;
    let mut browser = signed_in(&test_app, EMAIL).await;
    let attempt = bank.attempt();
    let code = bank.code(&mut browser, &attempt).await;
    test_app.pass(62);
    let refused = bank
        .post(&test_app, TOKEN, &exchange(&attempt, &code))
        .await;
    assert_error(&refused, 400, "invalid_grant", "after 62 s");
}

async fn fs_4_a_code_that_comes_back_after_a_second_ends_the_grant(test_app: TestApp) {
    let (bank, _) = register(&test_app).await;
    let mut browser = signed_in(&test_app, EMAIL).await;
    let attempt = bank.attempt();
    let code = bank.code(&mut browser, &attempt).await;
    let fields = exchange(&attempt, &code);
    let tokens = json_of(&bank.post(&test_app, TOKEN, &fields).await);
    test_app.app.clock().advance(Duration::from_millis(500));
    // A replay that lacks anything shows no theft.
    let wrong = with(&fields, "code_verifier", Some(&"a".repeat(43)));
    let refused = bank.post(&test_app, TOKEN, &wrong).await;
    assert_error(&refused, 400, "invalid_grant", "another verifier");
    json_of(&bank.userinfo(&test_app, &tokens).await);
    let refused = bank.post(&test_app, TOKEN, &fields).await;
    assert_error(&refused, 400, "invalid_grant", "a replay");
    let user = bank.userinfo(&test_app, &tokens).await;
    assert_error(&user, 401, "invalid_token", "the grant has ended");
    let refused = bank.refresh(&test_app, &tokens).await;
    assert_error(&refused, 400, "invalid_grant", "the grant has ended");

    // For any other client it is a race for ten seconds (TK-6).
    let attempt = Attempt::new();
    let code = attempt.code(&mut browser).await;
    let fields = attempt.exchange(&code);
    let tokens = json_of(&token(&test_app, &fields).await);
    test_app.pass(1);
    let refused = token(&test_app, &fields).await;
    assert_error(&refused, 400, "invalid_grant", "a race");
    let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
    let user = userinfo(&test_app, &bearer, "").await;
    assert_eq!(user.status, StatusCode::OK, "{}", user.body);
}
