#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
#![allow(
    clippy::too_many_lines,
    reason = "a table of cases, or one story, reads best in one piece"
)]

use entity::audit_event;
use futures_util::future::join_all;
use sea_orm::{ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _};
use serde_json::{Value, json};

use super::GRANT_TYPE;
use crate::{
    key::test_keys::{ProofKey, proof_claims},
    oauth::test_app::{
        API, CREDENTIALS, ISSUER, SECRET, TestApp, TestResponse, VERIFIER, claims,
        exchange as redeeming, form_request, send,
    },
    secret::{Hash, MasterKeys},
    ticket::{Space, Tickets},
};

const TOKEN: &str = "/oauth2/token";
const INTROSPECT: &str = "/oauth2/introspect";
const REVOKE: &str = "/oauth2/revoke";
const TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";
const GRADES: &str = "https://grades.example";
const MARKS: &str = "https://marks.example";
const INVALID_REQUEST: (u16, &str) = (400, "invalid_request");

/// `api` exchanges tokens for itself for tokens for grades, and so on; `web` lists all scopes.
async fn start() -> TestApp {
    let test_app = TestApp::new().await;
    // Long enough after the start of the ticket store for proofs without a nonce.
    test_app.advance(61);
    test_app.reconfigure(|config| {
        let resources = json!([
            { "identifier": API, "scopes": { "lessons:read": {} } },
            { "identifier": GRADES, "scopes": { "grades:read": {}, "grades:write": {} } },
            { "identifier": MARKS, "scopes": { "marks:read": {} } },
        ]);
        config.resources = serde_json::from_value(resources).unwrap();
        for client in &mut config.clients {
            if client.client_id == "web" {
                let more = ["grades:read", "grades:write", "marks:read", "far:read"];
                client.scopes.extend(more.map(str::to_owned));
            }
        }
        for (id, from, to, scopes) in [
            (
                "api",
                API,
                GRADES,
                json!(["grades:read", "grades:write", "marks:read"]),
            ),
            ("grades", GRADES, MARKS, json!(["marks:read"])),
            ("marks", MARKS, "https://far.example", json!(["far:read"])),
            ("far", "https://far.example", API, json!(["lessons:read"])),
        ] {
            let rules = json!([{ "from": from, "to": to, "scopes": scopes }]);
            let client = json!({
                "client_id": id, "name": id, "audience": from, "grant_types": [],
                "introspects": [from, to], "scopes": ["openid"], "token_exchange": rules,
                "token_endpoint_auth_method": "client_secret_basic",
                "client_secret_sha256": [Hash::of(SECRET.as_bytes()).to_hex()],
            });
            config.clients.retain(|client| client.client_id != id);
            config.clients.push(serde_json::from_value(client).unwrap());
        }
    });
    test_app
}

const SCOPE: &str =
    "openid offline_access lessons:read grades:read grades:write marks:read far:read";

async fn subject(test_app: &TestApp) -> TestResponse {
    test_app.tokens("web", SCOPE).await
}

fn form<'a>(token: &'a str, target: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("grant_type", GRANT_TYPE),
        ("subject_token", token),
        ("subject_token_type", TYPE),
        ("resource", target),
    ]
}

async fn exchange_as(test_app: &TestApp, client: &str, form: &[(&str, &str)]) -> TestResponse {
    test_app.post(TOKEN, Some((client, SECRET)), form).await
}

async fn exchanged(test_app: &TestApp, client: &str, token: &str, target: &str) -> TestResponse {
    let response = exchange_as(test_app, client, &form(token, target)).await;
    assert_eq!(response.status, 200, "{response:?}");
    response
}

async fn introspect(test_app: &TestApp, client: &str, token: &str) -> Value {
    let form = [("token", token)];
    let response = test_app
        .post(INTROSPECT, Some((client, SECRET)), &form)
        .await;
    assert_eq!(response.status, 200, "{response:?}");
    response.body
}

async fn events(test_app: &TestApp) -> u64 {
    audit_event::Entity::find()
        .filter(audit_event::Column::Kind.eq("token.exchanged"))
        .count(test_app.app.db.read())
        .await
        .unwrap()
}

#[tokio::test]
async fn ex_1_clients_without_a_rule_and_public_ones_may_not_exchange() {
    let test_app = start().await;
    let token = subject(&test_app).await.text("access_token");
    let form = form(&token, GRADES);
    let refused = exchange_as(&test_app, "basic", &form).await;
    assert_eq!(refused.error(), (400, "unauthorized_client"));
    // What a check of the configuration refuses is refused here, too.
    test_app.reconfigure(|config| {
        let rules = config.clients.iter();
        let rules = rules.flat_map(|client| client.token_exchange.clone());
        let rules: Vec<_> = rules.collect();
        for client in &mut config.clients {
            if client.client_id == "other" {
                client.token_exchange.clone_from(&rules);
            }
        }
    });
    let mut form = form;
    form.push(("client_id", "other"));
    let refused = test_app.post(TOKEN, None, &form).await;
    assert_eq!(refused.error(), (400, "unauthorized_client"));
}

#[tokio::test]
async fn ex_2_ex_4_an_api_gets_a_token_for_the_next_one_for_the_same_user_and_sign_in() {
    let test_app = start().await;
    let tokens = subject(&test_app).await;
    let token = tokens.text("access_token");
    let first = claims(&token);
    assert_eq!(first["scope"], "openid offline_access lessons:read");
    test_app.advance(30);
    let response = exchanged(&test_app, "api", &token, GRADES).await;
    assert_eq!(response.body["issued_token_type"], TYPE);
    assert_eq!(response.body["token_type"], "Bearer");
    assert_eq!(response.body["scope"], "grades:read grades:write");
    let expires_in = response.body["expires_in"].as_u64().unwrap();
    assert!(expires_in <= 570, "not later than the first: {expires_in}");
    for name in ["refresh_token", "id_token"] {
        assert_eq!(response.body[name], Value::Null, "{name}");
    }
    let second = claims(&response.text("access_token"));
    for name in [
        "sub",
        "auth_time",
        "acr",
        "amr",
        "sid",
        "roles",
        "iss",
        "exp",
    ] {
        assert_eq!(second[name], first[name], "{name}");
    }
    assert_eq!(second["aud"], GRADES);
    assert_eq!(second["client_id"], "api");
    assert_eq!(second["scope"], "grades:read grades:write");
    assert_eq!(second["act"], json!({ "sub": "api" }));
    assert_eq!(second["cnf"], Value::Null);
    assert_ne!(second["jti"], first["jti"]);
    // `audience` names the target as `resource` does, in any spelling of it.
    let mut form = form(&token, "https://GRADES.example/");
    form.push(("audience", GRADES));
    form.push(("requested_token_type", TYPE));
    form.push(("scope", "grades:read"));
    let narrowed = exchange_as(&test_app, "api", &form).await;
    assert_eq!(narrowed.body["scope"], "grades:read", "{narrowed:?}");
}

#[tokio::test]
async fn ex_2_ex_6_what_is_no_token_of_a_user_for_this_client_is_refused() {
    let test_app = start().await;
    let tokens = subject(&test_app).await;
    let token = tokens.text("access_token");
    let own = test_app
        .post(TOKEN, Some(("basic", SECRET)), &CREDENTIALS)
        .await
        .text("access_token");
    let (id, refresh) = (tokens.text("id_token"), tokens.text("refresh_token"));
    let (head, tail) = token.split_at(token.len() - 4);
    let forged = format!("{head}{}", if tail == "AAAA" { "BBBB" } else { "AAAA" });
    for subject in ["x", "a.b.c", &own, &id, &refresh, &forged] {
        let refused = exchange_as(&test_app, "api", &form(subject, GRADES)).await;
        assert_eq!(refused.error(), INVALID_REQUEST, "{subject}");
    }
    // Another API that was shown the token, or got hold of it.
    let refused = exchange_as(&test_app, "grades", &form(&token, MARKS)).await;
    assert_eq!(refused.error(), INVALID_REQUEST);
    assert_eq!(refused.reason, "subject_of_other_audience");

    let id_type = "urn:ietf:params:oauth:token-type:id_token";
    let refresh_type = "urn:ietf:params:oauth:token-type:refresh_token";
    let jwt_type = "urn:ietf:params:oauth:token-type:jwt";
    for (name, value) in [
        ("actor_token", token.as_str()),
        ("actor_token_type", TYPE),
        ("requested_token_type", refresh_type),
        ("requested_token_type", id_type),
        ("requested_token_type", jwt_type),
        ("subject_token", "again"),
        ("subject_token_type", TYPE),
        ("scope", "grades:read grades:read\u{e9}"),
    ] {
        let mut form = form(&token, GRADES);
        form.push((name, value));
        let refused = exchange_as(&test_app, "api", &form).await;
        assert_eq!(refused.status, 400, "{name} {refused:?}");
        let (_, error) = refused.error();
        assert!(
            error == "invalid_request" || name == "scope",
            "{name}: {error}"
        );
    }
    for (name, value) in [
        ("subject_token_type", id_type),
        ("subject_token_type", refresh_type),
        ("subject_token_type", jwt_type),
        ("subject_token_type", ""),
        ("subject_token", ""),
        ("resource", ""),
    ] {
        let form = form(&token, GRADES).into_iter().map(|(field, old)| {
            let value = if field == name { value } else { old };
            (field, value)
        });
        let form: Vec<_> = form.collect();
        let refused = exchange_as(&test_app, "api", &form).await;
        assert_eq!(refused.error(), INVALID_REQUEST, "{name}={value}");
    }
    test_app.advance(631);
    let refused = exchange_as(&test_app, "api", &form(&token, GRADES)).await;
    assert_eq!(refused.error(), INVALID_REQUEST, "it has expired");
    assert_eq!(events(&test_app).await, 0, "what is refused grants nothing");
}

/// RS-3: an API that demands proofs gets no bearer token by an exchange either.
#[tokio::test]
async fn rs_3_ex_4_an_exchange_shows_the_proof_that_an_api_demands() {
    let test_app = start().await;
    let token = subject(&test_app).await.text("access_token");
    test_app.reconfigure(|config| {
        let block = json!([
            { "identifier": API, "scopes": { "lessons:read": {} } },
            { "identifier": GRADES, "scopes": { "grades:read": {} }, "dpop": true },
        ]);
        config.resources = serde_json::from_value(block).unwrap();
    });
    let refused = exchange_as(&test_app, "api", &form(&token, GRADES)).await;
    assert_eq!(refused.error(), INVALID_REQUEST);
    assert_eq!(refused.reason, "no_proof");
}

#[tokio::test]
async fn ex_2_only_the_target_of_a_rule_is_given_and_one_at_a_time() {
    let test_app = start().await;
    let token = subject(&test_app).await.text("access_token");
    for target in [MARKS, API, ISSUER, "https://nowhere.example", "grades"] {
        let refused = exchange_as(&test_app, "api", &form(&token, target)).await;
        assert_eq!(refused.error(), (400, "invalid_target"), "{target}");
    }
    for name in ["resource", "audience"] {
        let mut form = form(&token, GRADES);
        form.push((name, MARKS));
        let refused = exchange_as(&test_app, "api", &form).await;
        assert_eq!(refused.error(), (400, "invalid_target"), "{name}");
    }
}

#[tokio::test]
async fn ex_3_more_than_the_grant_and_the_rule_have_is_refused() {
    let test_app = start().await;
    let token = subject(&test_app).await.text("access_token");
    for scope in [
        "grades:delete",
        "lessons:read",
        "marks:read",
        "openid",
        "offline_access",
        "grades:read openid",
    ] {
        let mut form = form(&token, GRADES);
        form.push(("scope", scope));
        let refused = exchange_as(&test_app, "api", &form).await;
        assert_eq!(refused.error(), (400, "invalid_scope"), "{scope}");
    }
    let few = test_app
        .tokens("web", "openid lessons:read grades:read")
        .await;
    let few = few.text("access_token");
    let response = exchanged(&test_app, "api", &few, GRADES).await;
    assert_eq!(response.body["scope"], "grades:read");
    let none = test_app.tokens("web", "openid lessons:read").await;
    let none = none.text("access_token");
    let refused = exchange_as(&test_app, "api", &form(&none, GRADES)).await;
    assert_eq!(
        refused.error(),
        (400, "invalid_scope"),
        "nothing was granted"
    );
    let exchanged = response.text("access_token");
    let userinfo = test_app.userinfo(&exchanged).await;
    assert_eq!(userinfo.error(), (403, "insufficient_scope"));
}

#[tokio::test]
async fn ex_4_ex_6_three_clients_exchange_in_turn_and_a_fourth_may_not() {
    let test_app = start().await;
    let token = subject(&test_app).await.text("access_token");
    let mut token = token;
    let mut act = Value::Null;
    for (client, target, scope) in [
        ("api", GRADES, "grades:read grades:write"),
        ("grades", MARKS, "marks:read"),
        ("marks", "https://far.example", "far:read"),
    ] {
        let response = exchanged(&test_app, client, &token, target).await;
        assert_eq!(response.body["scope"], scope, "{client}");
        token = response.text("access_token");
        act = match act {
            Value::Null => json!({ "sub": client }),
            earlier => json!({ "sub": client, "act": earlier }),
        };
        assert_eq!(claims(&token)["act"], act);
        assert_eq!(introspect(&test_app, client, &token).await["act"], act);
    }
    let refused = exchange_as(&test_app, "far", &form(&token, API)).await;
    assert_eq!(refused.error(), INVALID_REQUEST);
    assert_eq!(refused.reason, "exchanged_too_often");
    assert_eq!(events(&test_app).await, 3, "one a client");
    // A rule that an operator takes away ends the tokens of the later exchanges, too.
    test_app.configure("grades", |client| client.token_exchange.clear());
    let members = introspect(&test_app, "marks", &token).await;
    assert_eq!(members, json!({ "active": false }));
}

#[tokio::test]
async fn ex_4_the_key_is_that_of_the_client_that_exchanges() {
    let test_app = start().await;
    let (first, own) = (ProofKey::es256(), ProofKey::ed25519());
    let now = test_app.app.clock().now().seconds();
    let target = format!("{ISSUER}{TOKEN}");
    let proof = |key: &ProofKey| key.proof(&proof_claims("POST", &target, now));
    let code = test_app.code("web", SCOPE, Some(VERIFIER)).await;
    let bound = test_app
        .post_proving(TOKEN, None, &redeeming("web", &code), &[&proof(&first)])
        .await
        .text("access_token");
    assert_eq!(claims(&bound)["cnf"], json!({ "jkt": first.jkt() }));
    let (form, basic) = (form(&bound, GRADES), Some(("api", SECRET)));
    let shown = proof(&own);
    let response = test_app.post_proving(TOKEN, basic, &form, &[&shown]).await;
    assert_eq!(response.body["token_type"], "DPoP", "{response:?}");
    let exchanged = response.text("access_token");
    assert_eq!(claims(&exchanged)["cnf"], json!({ "jkt": own.jkt() }));
    let repeated = test_app.post_proving(TOKEN, basic, &form, &[&shown]).await;
    assert_eq!(repeated.error(), (400, "invalid_dpop_proof"));
    let without = test_app.post(TOKEN, basic, &form).await;
    assert_eq!(without.body["token_type"], "Bearer", "its own key or none");
    test_app.configure("api", |client| client.dpop_bound_access_tokens = true);
    let refused = test_app.post(TOKEN, basic, &form).await;
    assert_eq!(
        refused.error(),
        INVALID_REQUEST,
        "it is registered for a key"
    );
}

#[tokio::test]
async fn ex_5_an_exchanged_token_ends_with_the_grant_at_once() {
    let ends: [(&str, &str); 4] = [
        ("revoked", "UPDATE grant_families SET revoked_at = 1"),
        ("disabled", "UPDATE users SET state = 'disabled'"),
        (
            "signed out everywhere",
            "UPDATE users SET auth_epoch = auth_epoch + 1",
        ),
        ("deleted", "DELETE FROM grant_families"),
    ];
    for (what, statement) in ends {
        let test_app = start().await;
        let tokens = subject(&test_app).await;
        let first = tokens.text("access_token");
        let token = exchanged(&test_app, "api", &first, GRADES).await;
        let token = token.text("access_token");
        let members = introspect(&test_app, "grades", &token).await;
        assert_eq!(members["active"], true, "{members}");
        assert_eq!(members["scope"], "grades:read grades:write");
        assert_eq!(members["client_id"], "api");
        test_app.sql(statement).await;
        for client in ["grades", "api"] {
            let members = introspect(&test_app, client, &token).await;
            assert_eq!(members, json!({ "active": false }), "{what}");
        }
        let userinfo = test_app.userinfo(&token).await;
        assert_eq!(userinfo.error(), (401, "invalid_token"), "{what}");
        let again = exchange_as(&test_app, "api", &form(&first, GRADES)).await;
        assert_eq!(again.error(), INVALID_REQUEST, "{what}");
        let basic = Some(("api", SECRET));
        let revoked = test_app.post(REVOKE, basic, &[("token", &token)]).await;
        assert_eq!(revoked.status, 200, "as good as revoked: {what}");
    }
}

#[tokio::test]
async fn ex_5_the_first_client_ends_it_and_the_exchanger_cannot_end_the_grant() {
    let test_app = start().await;
    let tokens = subject(&test_app).await;
    let first = tokens.text("access_token");
    let token = exchanged(&test_app, "api", &first, GRADES).await;
    let token = token.text("access_token");
    let form = [("token", token.as_str())];
    let refused = test_app.post(REVOKE, Some(("api", SECRET)), &form).await;
    assert_eq!(refused.error(), (400, "unsupported_token_type"));
    let refused = test_app.post(REVOKE, Some(("grades", SECRET)), &form).await;
    assert_eq!(refused.error(), (400, "invalid_grant"), "another client's");
    assert_eq!(test_app.userinfo(&first).await.status, 200);
    let form = [("client_id", "web"), ("token", first.as_str())];
    assert_eq!(test_app.post(REVOKE, None, &form).await.status, 200);
    let members = introspect(&test_app, "grades", &token).await;
    assert_eq!(members, json!({ "active": false }));
}

#[tokio::test]
async fn ex_5_a_rule_scope_or_client_that_is_taken_away_is_gone_at_once() {
    let test_app = start().await;
    let first = subject(&test_app).await.text("access_token");
    let token = exchanged(&test_app, "api", &first, GRADES).await;
    let token = token.text("access_token");
    let config = test_app.app.config.get();
    let restore = || test_app.reconfigure(|current| current.clone_from(&config));
    test_app.configure("api", |client| {
        for rule in &mut client.token_exchange {
            rule.scopes.retain(|name| name != "grades:write");
        }
    });
    let members = introspect(&test_app, "grades", &token).await;
    assert_eq!(members["scope"], "grades:read");
    restore();
    test_app.configure("web", |client| {
        client.scopes.retain(|name| name != "grades:read")
    });
    let members = introspect(&test_app, "grades", &token).await;
    assert_eq!(members["scope"], "grades:write");
    restore();
    let inactive = json!({ "active": false });
    test_app.configure("api", |client| client.token_exchange.clear());
    assert_eq!(introspect(&test_app, "grades", &token).await, inactive);
    restore();
    test_app.configure("web", |client| client.grant_types.clear());
    assert_eq!(introspect(&test_app, "grades", &token).await, inactive);
    restore();
    for gone in ["web", "api"] {
        test_app.reconfigure(|config| config.clients.retain(|client| client.client_id != gone));
        assert_eq!(
            introspect(&test_app, "grades", &token).await,
            inactive,
            "{gone}"
        );
        restore();
    }
    let members = introspect(&test_app, "grades", &token).await;
    assert_eq!(members["active"], true, "all is as before");
}

#[tokio::test]
async fn ex_7_no_row_is_stored_and_a_hundred_exchanges_at_once_are_recorded_once() {
    let test_app = start().await;
    let token = subject(&test_app).await.text("access_token");
    let second = test_app.second_instance().await;
    let basic = format!("api:{SECRET}");
    let basic = {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        format!("Basic {}", STANDARD.encode(basic))
    };
    let form = form(&token, GRADES);
    let exchanges = (0..100).map(|at| {
        let mut request = form_request(TOKEN, &form);
        let headers = request.headers_mut();
        headers.insert("authorization", basic.parse().unwrap());
        let (test_app, second) = (&test_app, &second);
        async move {
            match at % 2 {
                0 => test_app.send(request).await,
                _ => send(second, request).await,
            }
        }
    });
    for response in join_all(exchanges).await {
        assert_eq!(response.status, 200, "{response:?}");
    }
    assert_eq!(events(&test_app).await, 1);
    let grants = entity::grant_family::Entity::find();
    let grants = grants.count(test_app.app.db.read()).await.unwrap();
    assert_eq!(grants, 1, "that of the first client");
    // Another grant of the same user is recorded by itself.
    let other = subject(&test_app).await.text("access_token");
    exchanged(&test_app, "api", &other, GRADES).await;
    assert_eq!(events(&test_app).await, 2);
    // And the same one after an hour, as long as its client refreshes.
    let tokens = subject(&test_app).await;
    let refresh = tokens.text("refresh_token");
    exchanged(&test_app, "api", &tokens.text("access_token"), GRADES).await;
    assert_eq!(events(&test_app).await, 3);
    test_app.advance(3601);
    let tokens = test_app.refresh("web", &refresh).await;
    exchanged(&test_app, "api", &tokens.text("access_token"), GRADES).await;
    assert_eq!(events(&test_app).await, 4);
}

#[tokio::test]
async fn ex_7_without_the_ticket_store_each_exchange_is_recorded_and_none_is_refused() {
    let mut test_app = start().await;
    let token = subject(&test_app).await.text("access_token");
    let keys = MasterKeys::new([7; 32], []);
    let space = Space {
        prefix: "away:",
        max_bytes: 1 << 20,
    };
    let away = Tickets::connect("redis://127.0.0.1:1", space, &keys).unwrap();
    test_app.replace_tickets(away);
    for expected in 1..=2 {
        exchanged(&test_app, "api", &token, GRADES).await;
        assert_eq!(events(&test_app).await, expected);
    }
}

#[tokio::test]
async fn ex_7_an_exchange_that_cannot_be_recorded_gives_no_token_and_the_next_one_is_recorded() {
    let test_app = start().await;
    let token = subject(&test_app).await.text("access_token");
    test_app
        .sql(
            "CREATE TRIGGER no_exchanges BEFORE INSERT ON audit_events \
             WHEN NEW.kind = 'token.exchanged' BEGIN SELECT RAISE(ABORT, 'refused'); END",
        )
        .await;
    let refused = exchange_as(&test_app, "api", &form(&token, GRADES)).await;
    assert!(refused.status.is_server_error(), "{refused:?}");
    assert_eq!(refused.body["access_token"], Value::Null);
    assert_eq!(events(&test_app).await, 0);
    test_app.sql("DROP TRIGGER no_exchanges").await;
    // The tombstone of the ticket ends at once.
    test_app.advance(1);
    exchanged(&test_app, "api", &token, GRADES).await;
    assert_eq!(events(&test_app).await, 1);
}
