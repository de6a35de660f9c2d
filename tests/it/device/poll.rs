//! What a device gets at the token endpoint.

use entity::{audit_event, grant_family};
use entree::{app::App, secret::MasterKeys, ticket::Tickets};
use futures_util::future::join_all;
use poem::http::StatusCode;
use sea_orm::{ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _};
use serde_json::{Value, json};
use testkit::{dpop, page::Page};

use super::{GRANT_TYPE, decide, poll, poll_as, prepare, question, start, tokens};
use crate::{
    oauth::{error_of, signed_in, verified, without_tickets},
    test_app::{PUBLIC, TestApp},
    web::outage::without_database,
    work::{form_request, userinfo_request},
};

on_both!(
    de_5_a_poll_says_where_the_request_stands,
    de_5_another_clients_code_is_refused_and_not_spent,
    rs_3_de_8_a_device_shows_the_proof_that_an_api_demands,
    de_6_of_a_hundred_polls_one_gets_tokens_and_a_late_replay_ends_the_grant,
    de_6_of_two_decisions_one_holds,
    de_8_the_grant_ends_with_the_session_unless_it_is_offline,
    de_8_a_proof_at_the_poll_binds,
);

fn assert_error(answer: &Page, error: &str) {
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.body);
    assert_eq!(error_of(answer), error);
}

async fn grants(test_app: &TestApp) -> u64 {
    let all = grant_family::Entity::find();
    all.count(test_app.app.db.read()).await.unwrap()
}

async fn events(test_app: &TestApp, kind: &str) -> u64 {
    audit_event::Entity::find()
        .filter(audit_event::Column::Kind.eq(kind))
        .count(test_app.app.db.read())
        .await
        .unwrap()
}

async fn de_5_a_poll_says_where_the_request_stands(test_app: TestApp) {
    prepare(&test_app);
    let mut browser = signed_in(&test_app, "de5@example.com").await;
    let allowed = start(&test_app, &[("scope", "openid email")]).await;
    assert_error(&poll(&test_app, &allowed).await, "authorization_pending");
    assert_error(&poll(&test_app, &allowed).await, "slow_down");
    decide(&mut browser, &allowed, "allow").await;
    // Once it is decided, a poll is never too fast.
    let got = tokens(&test_app, "tv", &allowed).await;
    assert_eq!(got["scope"], "openid email");
    assert_eq!(got["token_type"], "Bearer");
    assert_eq!(got["refresh_token"], Value::Null);
    let id = verified(&test_app, &got["id_token"]).await.claims;
    assert_eq!((&id["aud"], &id["email"]), (&json!("tv"), &Value::Null));
    let access = got["access_token"].as_str().unwrap();
    let info = test_app.call(userinfo_request(access)).await;
    assert!(info.body.contains("de5@example.com"), "{}", info.body);
    assert_error(&poll(&test_app, &allowed).await, "invalid_grant");

    let denied = start(&test_app, &[]).await;
    decide(&mut browser, &denied, "deny").await;
    for _ in 0..2 {
        assert_error(&poll(&test_app, &denied).await, "access_denied");
    }

    let late = start(&test_app, &[]).await;
    let page = question(&mut browser, &late).await;
    test_app.pass(601);
    assert_error(&poll(&test_app, &late).await, "expired_token");
    let answer = browser
        .submit(&page, "decide", &[("decision", "allow")])
        .await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "too late to decide");
    assert_error(&poll(&test_app, &late).await, "expired_token");
    let unknown = json!({ "device_code": "A".repeat(43) });
    assert_error(&poll(&test_app, &unknown).await, "invalid_grant");
    let malformed = json!({ "device_code": "x" });
    assert_error(&poll(&test_app, &malformed).await, "invalid_grant");
    assert_eq!(grants(&test_app).await, 1);
}

async fn de_5_another_clients_code_is_refused_and_not_spent(test_app: TestApp) {
    prepare(&test_app);
    let mut browser = signed_in(&test_app, "de5b@example.com").await;
    let started = start(&test_app, &[]).await;
    assert_error(
        &poll_as(&test_app, "radio", &started).await,
        "invalid_grant",
    );
    decide(&mut browser, &started, "allow").await;
    assert_error(
        &poll_as(&test_app, "radio", &started).await,
        "invalid_grant",
    );
    let refused = poll_as(&test_app, "web", &started).await;
    assert_error(&refused, "unauthorized_client");
    tokens(&test_app, "tv", &started).await;
    test_app.pass(11);
    assert_error(
        &poll_as(&test_app, "radio", &started).await,
        "invalid_grant",
    );
    let revoked = grant_family::Entity::find()
        .one(test_app.app.db.read())
        .await;
    assert!(revoked.unwrap().unwrap().revoked_at.is_none());
}

/// RS-3: an API that demands proofs gets no bearer token from a device either, and nothing is spent.
async fn rs_3_de_8_a_device_shows_the_proof_that_an_api_demands(test_app: TestApp) {
    prepare(&test_app);
    let mut browser = signed_in(&test_app, "rs3@example.com").await;
    let started = start(&test_app, &[("scope", "openid")]).await;
    decide(&mut browser, &started, "allow").await;
    let demand = |is_demanded: bool| {
        let block = json!([{ "identifier": "https://api.example", "dpop": is_demanded }]);
        test_app.configure(|config| config.resources = serde_json::from_value(block).unwrap());
    };
    demand(true);
    assert_error(&poll(&test_app, &started).await, "invalid_request");
    demand(false);
    tokens(&test_app, "tv", &started).await;
}

async fn de_6_of_a_hundred_polls_one_gets_tokens_and_a_late_replay_ends_the_grant(
    test_app: TestApp,
) {
    prepare(&test_app);
    let mut browser = signed_in(&test_app, "de6@example.com").await;
    let started = start(&test_app, &[("scope", "openid")]).await;
    decide(&mut browser, &started, "allow").await;
    // On PostgreSQL and Redis over two instances.
    let copy = match test_app.app.db.is_postgres() {
        true => Some(test_app.copy().await),
        false => None,
    };
    let instance = |at: usize| copy.as_ref().filter(|_| at % 2 == 1).unwrap_or(&test_app);
    let polls = (0..100).map(|at| poll(instance(at), &started));
    let (won, lost): (Vec<Page>, Vec<Page>) = join_all(polls)
        .await
        .into_iter()
        .partition(|answer| answer.status == StatusCode::OK);
    assert_eq!((won.len(), lost.len()), (1, 99));
    for answer in &lost {
        assert_error(answer, "invalid_grant");
    }
    assert_eq!(grants(&test_app).await, 1);
    let won: Value = serde_json::from_str(&won[0].body).unwrap();
    let access = won["access_token"].as_str().unwrap();
    let alive = || test_app.call(userinfo_request(access));
    assert_error(&poll(&test_app, &started).await, "invalid_grant");
    assert_eq!(alive().await.status, StatusCode::OK, "a race is no theft");
    test_app.pass(11);
    assert_error(&poll(&test_app, &started).await, "invalid_grant");
    assert_eq!(alive().await.status, StatusCode::UNAUTHORIZED);
}

async fn de_6_of_two_decisions_one_holds(test_app: TestApp) {
    prepare(&test_app);
    for (at, decisions) in [["allow", "deny"], ["allow", "allow"]].iter().enumerate() {
        let mut first = signed_in(&test_app, &format!("one{at}@example.com")).await;
        let mut second = signed_in(&test_app, &format!("two{at}@example.com")).await;
        let started = start(&test_app, &[("scope", "openid")]).await;
        let pages = (
            question(&mut first, &started).await,
            question(&mut second, &started).await,
        );
        let before =
            events(&test_app, "device.approved").await + events(&test_app, "device.denied").await;
        let fields = decisions.map(|decision| [("decision", decision)]);
        let (one, two) = tokio::join!(
            first.submit(&pages.0, "decide", &fields[0]),
            second.submit(&pages.1, "decide", &fields[1]),
        );
        let held = [&one, &two].map(|page| page.status == StatusCode::OK);
        assert_eq!(held.iter().filter(|held| **held).count(), 1, "{held:?}");
        let after =
            events(&test_app, "device.approved").await + events(&test_app, "device.denied").await;
        assert_eq!(after, before + 1);
        let held_decision = if held[0] { decisions[0] } else { decisions[1] };
        let answer = poll(&test_app, &started).await;
        match held_decision {
            "allow" => assert_eq!(answer.status, StatusCode::OK, "{}", answer.body),
            _ => assert_error(&answer, "access_denied"),
        }
    }
}

async fn de_8_the_grant_ends_with_the_session_unless_it_is_offline(test_app: TestApp) {
    prepare(&test_app);
    for (scope, outlives) in [("openid", false), ("openid offline_access", true)] {
        let mut browser = signed_in(&test_app, "de8@example.com").await;
        let started = start(&test_app, &[("scope", scope)]).await;
        decide(&mut browser, &started, "allow").await;
        let got = tokens(&test_app, "tv", &started).await;
        assert_eq!(got["refresh_token"].is_string(), outlives);
        let account = browser.open("/account").await;
        browser.submit(&account, "sign-out", &[]).await;
        let access = got["access_token"].as_str().unwrap();
        let info = test_app.call(userinfo_request(access)).await;
        assert_eq!(info.status == StatusCode::OK, outlives, "{scope}");
        if outlives {
            let form = [
                ("grant_type", "refresh_token"),
                ("client_id", "tv"),
                ("refresh_token", got["refresh_token"].as_str().unwrap()),
            ];
            let answer = test_app.call(form_request("/oauth2/token", &form)).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        }
    }
    // A session that ends between the decision and the poll.
    let mut browser = signed_in(&test_app, "de8b@example.com").await;
    let started = start(&test_app, &[("scope", "openid")]).await;
    decide(&mut browser, &started, "allow").await;
    let account = browser.open("/account").await;
    browser.submit(&account, "sign-out", &[]).await;
    assert_error(&poll(&test_app, &started).await, "invalid_grant");
}

async fn de_8_a_proof_at_the_poll_binds(test_app: TestApp) {
    prepare(&test_app);
    // A ticket store that began a minute ago: proofs pass without a nonce.
    let began = test_app.app.clock().now();
    test_app.app.tickets.keep_epoch(began).await.unwrap();
    test_app.pass(61);
    let mut browser = signed_in(&test_app, "de8c@example.com").await;
    let started = start(&test_app, &[("scope", "openid offline_access")]).await;
    decide(&mut browser, &started, "allow").await;
    let prover = dpop::Prover::new();
    let url = format!("{PUBLIC}/oauth2/token");
    let now = test_app.app.clock().now().seconds();
    let proof = prover.proof(&dpop::claims("POST", &url, now));
    let form = [
        ("grant_type", GRANT_TYPE),
        ("client_id", "tv"),
        ("device_code", started["device_code"].as_str().unwrap()),
    ];
    let mut request = form_request("/oauth2/token", &form);
    request.headers_mut().insert("dpop", proof.parse().unwrap());
    let answer = test_app.call(request).await;
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(body["token_type"], "DPoP", "{body}");
    let claims = verified(&test_app, &body["access_token"]).await.claims;
    assert_eq!(claims["cnf"], json!({ "jkt": prover.jkt() }));
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", "tv"),
        ("refresh_token", body["refresh_token"].as_str().unwrap()),
    ];
    let refused = test_app.call(form_request("/oauth2/token", &form)).await;
    assert_error(&refused, "invalid_grant");
}

/// An App whose ticket store has lost its data.
fn emptied(app: &App) -> App {
    let masters = MasterKeys::new([7; 32], []);
    App {
        tickets: Tickets::memory(1 << 20, app.clock().clone(), &masters),
        ..app.clone()
    }
}

#[tokio::test]
async fn de_7_a_loss_of_the_ticket_store_ends_each_wait_and_devices_start_again() {
    let test_app = TestApp::embedded().await;
    prepare(&test_app);
    let mut browser = signed_in(&test_app, "de7@example.com").await;
    let started = start(&test_app, &[("scope", "openid")]).await;
    decide(&mut browser, &started, "allow").await;
    let lost = test_app.over(emptied(&test_app.app));
    assert_error(&poll(&lost, &started).await, "invalid_grant");
    let again = start(&lost, &[("scope", "openid")]).await;
    assert_error(&poll(&lost, &again).await, "authorization_pending");
}

#[tokio::test]
async fn de_6_while_a_store_is_away_a_poll_is_503_and_spends_nothing() {
    let test_app = TestApp::embedded().await;
    prepare(&test_app);
    let mut browser = signed_in(&test_app, "de6b@example.com").await;
    let started = start(&test_app, &[("scope", "openid")]).await;
    decide(&mut browser, &started, "allow").await;
    let away = test_app.over(without_tickets(&test_app.app));
    let answer = poll(&away, &started).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let refused = super::try_start(&away, &[]).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    let away = test_app.over(without_database(&test_app.app).await);
    let answer = poll(&away, &started).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    tokens(&test_app, "tv", &started).await;
}
