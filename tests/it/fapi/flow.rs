//! The whole way of a client of the profile, and what its request may say.

use poem::http::StatusCode;
use serde_json::json;

use super::{SCOPE, Software, TOKEN, assert_error, exchange, json_of, now, register, userinfo};
use crate::{
    oauth::{Attempt, leads_to_client, parameter, sign_in_from, signed_in, verified},
    test_app::{PUBLIC, TestApp},
};

const EMAIL: &str = "ada@example.com";

on_both!(
    fs_1_from_a_push_to_userinfo_and_a_refresh,
    fs_1_state_and_nonce_come_back_as_they_were_sent_or_not_at_all,
    fs_1_what_stands_beside_the_reference_does_not_count,
    fs_1_a_cancel_is_access_denied_with_the_state,
    ot_3_max_age_acr_and_claims_work_pushed_as_plain,
);

async fn fs_1_from_a_push_to_userinfo_and_a_refresh(test_app: TestApp) {
    let (bank, broker) = register(&test_app).await;
    for (software, scope) in [
        (&bank, SCOPE),
        (&broker, "offline_access profile email openid"),
    ] {
        let attempt = software.attempt().with("scope", scope);
        let path = software.visit(&test_app, &attempt).await;
        let mut browser = test_app.browser();
        let asked = browser.open(&path).await;
        assert_eq!(asked.status, StatusCode::SEE_OTHER);
        let login = browser.follow(&asked).await;
        let back = sign_in_from(&mut browser, &login, EMAIL).await;
        assert_eq!(back.status, StatusCode::SEE_OTHER, "{}", back.summary());
        assert_eq!(parameter(&back, "iss").as_deref(), Some(PUBLIC));
        assert_eq!(parameter(&back, "state").as_deref(), Some("the state"));
        for name in ["access_token", "id_token", "refresh_token"] {
            assert_eq!(parameter(&back, name), None, "no token in an address");
        }
        let code = parameter(&back, "code").unwrap();
        let fields = exchange(&attempt, &code);
        let first = json_of(&software.post(&test_app, TOKEN, &fields).await);
        let second = json_of(&software.refresh(&test_app, &first).await);
        for tokens in [&first, &second] {
            assert_eq!(tokens["token_type"], "DPoP");
            assert_eq!(tokens["scope"], scope);
            let access = verified(&test_app, &tokens["access_token"]).await;
            assert_eq!(access.header["alg"], "ES256");
            let jkt = software.prover.jkt();
            assert_eq!(access.claims["cnf"], json!({ "jkt": jkt }));
            let id = verified(&test_app, &tokens["id_token"]).await;
            assert_eq!(id.header["alg"], "ES256");
            assert_eq!(id.claims["aud"], software.id);
            let user = json_of(&software.userinfo(&test_app, tokens).await);
            assert_eq!(
                (&user["email"], &user["sub"]),
                (&EMAIL.into(), &id.claims["sub"])
            );
        }
        let id = verified(&test_app, &first["id_token"]).await.claims;
        assert_eq!(id["nonce"], "the nonce");
        // The scheme stands in any case.
        let token = second["access_token"].as_str().unwrap();
        for scheme in ["dpop", "DPOP"] {
            let claims = software.userinfo_claims(&test_app, token);
            let proof = software.prover.proof(&claims);
            let answer = userinfo(&test_app, &format!("{scheme} {token}"), &proof).await;
            assert_eq!(answer.status, StatusCode::OK, "{scheme}: {}", answer.body);
        }
    }
}

async fn fs_1_state_and_nonce_come_back_as_they_were_sent_or_not_at_all(test_app: TestApp) {
    let (bank, _) = register(&test_app).await;
    let mut browser = signed_in(&test_app, EMAIL).await;
    let (of_64, of_384) = ("n".repeat(64), "~-._".repeat(96));
    for (state, nonce) in [
        (None, Some("n")),
        (Some("s"), None),
        (Some("s"), Some(&*of_64)),
        (Some(&*of_384), Some(&*of_384)),
    ] {
        let mut attempt = bank.attempt().without("state").without("nonce");
        for (name, value) in [("state", state), ("nonce", nonce)] {
            if let Some(value) = value {
                attempt = attempt.with(name, value);
            }
        }
        let path = bank.visit(&test_app, &attempt).await;
        let back = browser.open(&path).await;
        assert_eq!(parameter(&back, "state").as_deref(), state);
        let code = parameter(&back, "code").unwrap();
        let answer = bank
            .post(&test_app, TOKEN, &exchange(&attempt, &code))
            .await;
        let id = verified(&test_app, &json_of(&answer)["id_token"])
            .await
            .claims;
        assert_eq!(id.get("nonce").and_then(|nonce| nonce.as_str()), nonce);
    }
}

async fn fs_1_what_stands_beside_the_reference_does_not_count(test_app: TestApp) {
    let (bank, _) = register(&test_app).await;
    let mut browser = signed_in(&test_app, EMAIL).await;
    for (attempt, beside, state) in [
        (bank.attempt(), "state=other&nonce=other", Some("the state")),
        (bank.attempt().without("state"), "state=outside", None),
        // As a library that repeats the request.
        (
            bank.attempt(),
            "response_type=code&scope=openid",
            Some("the state"),
        ),
    ] {
        let path = bank.visit(&test_app, &attempt).await;
        let back = browser.open(&format!("{path}&{beside}")).await;
        assert_eq!(parameter(&back, "state").as_deref(), state, "{beside}");
        let code = parameter(&back, "code").unwrap();
        let answer = bank
            .post(&test_app, TOKEN, &exchange(&attempt, &code))
            .await;
        let id = verified(&test_app, &json_of(&answer)["id_token"])
            .await
            .claims;
        assert_eq!(id["nonce"], "the nonce", "{beside}");
    }
}

async fn fs_1_a_cancel_is_access_denied_with_the_state(test_app: TestApp) {
    let (bank, _) = register(&test_app).await;
    let path = bank.visit(&test_app, &bank.attempt()).await;
    let mut browser = test_app.browser();
    let asked = browser.open(&path).await;
    let login = browser.follow(&asked).await;
    let cancelled = browser.submit(&login, "cancel", &[]).await;
    let to = cancelled.refresh().or_else(|| cancelled.location());
    let to = to.unwrap_or_else(|| panic!("{}", cancelled.summary()));
    let pairs: Vec<_> = to.query_pairs().into_owned().collect();
    for (name, value) in [
        ("error", "access_denied"),
        ("state", "the state"),
        ("iss", PUBLIC),
    ] {
        let is_there = pairs
            .iter()
            .any(|pair| (&*pair.0, &*pair.1) == (name, value));
        assert!(is_there, "{name}: {to}");
    }
}

/// Where a request goes that is sent by each of the two ways.
async fn both_ways(test_app: &TestApp, bank: &Software, plain: &Attempt) -> [String; 2] {
    let mut pushed = bank.attempt();
    for (name, value) in &plain.parameters {
        if !["client_id", "code_challenge", "scope"].contains(&&**name) {
            pushed = pushed.with(name, value);
        }
    }
    [plain.path(), bank.visit(test_app, &pushed).await]
}

async fn ot_3_max_age_acr_and_claims_work_pushed_as_plain(test_app: TestApp) {
    let (bank, _) = register(&test_app).await;
    let mut browser = signed_in(&test_app, EMAIL).await;
    let signed_in_at = now(&test_app);
    test_app.pass(100);
    let reachable =
        json!({ "id_token": { "acr": { "essential": true, "value": "urn:entree:acr:email" } } });
    let unreachable = json!({ "id_token": { "acr": { "essential": true, "value": "gold" } } });
    for (name, value, goes_on) in [
        ("max_age", "10000", true),
        ("max_age", "50", false),
        ("prompt", "login", false),
        ("acr_values", "urn:entree:acr:email", true),
        ("claims", &*reachable.to_string(), true),
    ] {
        let plain = Attempt::new().with(name, value);
        for path in both_ways(&test_app, &bank, &plain).await {
            let answer = browser.open(&path).await;
            assert_eq!(leads_to_client(&answer), goes_on, "{name}={value}: {path}");
            assert_eq!(
                parameter(&answer, "code").is_some(),
                goes_on,
                "{name}={value}"
            );
        }
    }
    // What no sign-in reaches is refused where it is asked for.
    let refused = Attempt::new().with("claims", &unreachable.to_string());
    let plain = browser.open(&refused.path()).await;
    let error = parameter(&plain, "error");
    assert_eq!(error.as_deref(), Some("unmet_authentication_requirements"));
    let pushed = bank.attempt().with("claims", &unreachable.to_string());
    let pushed = bank.push(&test_app, &pushed).await;
    assert_error(&pushed, 400, "unmet_authentication_requirements", "acr");
    // An old sign-in is shown as old, and every claim that is asked for comes where it is asked for.
    let asked = json!({
        "id_token": { "name": null, "locale": null, "updated_at": null, "email": null,
                      "email_verified": null, "roles": null, "acr": null, "auth_time": null },
        "userinfo": { "email": { "essential": true }, "email_verified": null, "roles": null },
    });
    let attempt = bank.attempt().with("claims", &asked.to_string());
    let tokens = bank
        .tokens(&mut browser, &attempt.with("max_age", "10000"))
        .await;
    let id = verified(&test_app, &tokens["id_token"]).await.claims;
    let auth_time = id["auth_time"].as_i64().unwrap();
    assert!(auth_time <= signed_in_at, "{auth_time} {signed_in_at}");
    assert_eq!(id["acr"], "urn:entree:acr:email");
    assert_eq!(
        (&id["email"], &id["email_verified"]),
        (&EMAIL.into(), &true.into())
    );
    assert!(id["updated_at"].is_i64() && id["roles"].is_array(), "{id}");
    let user = json_of(&bank.userinfo(&test_app, &tokens).await);
    assert_eq!(
        (&user["email"], &user["roles"]),
        (&EMAIL.into(), &json!([]))
    );
}
