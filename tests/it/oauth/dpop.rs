//! Proofs of possession (PP), from the authorization request to userinfo and at the API for apps.

use std::collections::BTreeMap;

use entree::secret::MasterKeys;
use futures_util::future::join_all;
use poem::{
    Request,
    http::{Method, StatusCode, header},
};
use serde_json::{Value, json};
use testkit::{
    dpop::{self, Prover},
    page::Page,
};

use crate::{
    oauth::{
        Attempt, error_of, get, par::visit, parameter, register, signed_in, token_request,
        verified, without_tickets,
    },
    test_app::{PUBLIC, TestApp, encoded},
};

const TOKEN: &str = "/oauth2/token";
const USERINFO: &str = "/oauth2/userinfo";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

on_both!(
    pp_7_pp_8_dpop_jkt_binds_a_code_and_its_tokens,
    pp_8_the_proof_of_a_push_binds_the_code,
    pp_9_a_public_family_is_bound_to_its_first_key,
    pp_9_a_repeated_refresh_token_brings_the_first_key_of_its_family,
    rs_3_an_api_may_demand_a_proof,
    pp_7_apps_get_bound_tokens_from_both_versions_of_the_api,
    pp_2_behind_a_proxy_the_public_address_counts,
    pp_1_a_head_request_needs_a_proof_for_head,
    pp_5_of_a_hundred_at_once_one_passes,
    pp_5_wrong_codes_of_a_flow_store_no_more_proofs_than_it_has_tries,
    pp_6_without_the_store_it_is_503,
    pp_12_a_stolen_token_is_refused,
);

/// The usual clients, and a ticket store that began a minute ago: proofs pass without a nonce.
async fn prepare(test_app: &TestApp) {
    register(test_app);
    test_app.configure(|config| {
        config.api.v2_enabled = true;
        for client in &mut config.clients {
            client.scopes.push("offline_access".to_owned());
        }
    });
    let began = test_app.app.clock().now();
    test_app.app.tickets.keep_epoch(began).await.unwrap();
    test_app.pass(61);
}

fn now(test_app: &TestApp) -> i64 {
    test_app.app.clock().now().seconds()
}

fn proof(test_app: &TestApp, prover: &Prover, path: &str) -> String {
    let url = format!("{PUBLIC}{path}");
    prover.proof(&dpop::claims("POST", &url, now(test_app)))
}

/// Asks for tokens, with a new proof by this key.
async fn token(
    test_app: &TestApp,
    fields: &BTreeMap<String, String>,
    prover: Option<&Prover>,
) -> Page {
    let fields: Vec<_> = fields.clone().into_iter().collect();
    let mut request = token_request(encoded(&fields));
    if let Some(prover) = prover {
        let proof = proof(test_app, prover, TOKEN);
        request.headers_mut().insert("dpop", proof.parse().unwrap());
    }
    test_app.call(request).await
}

fn json_of(answer: &Page) -> Value {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

fn userinfo_proof(test_app: &TestApp, prover: &Prover, token: &str) -> String {
    let (url, now) = (format!("{PUBLIC}{USERINFO}"), now(test_app));
    prover.proof(&dpop::claims_with_token("GET", &url, now, token))
}

async fn userinfo(test_app: &TestApp, authorization: &str, proof: &str) -> Page {
    let request = Request::builder()
        .uri_str(USERINFO)
        .header(header::HOST, "id.test")
        .header(header::AUTHORIZATION, authorization)
        .header("dpop", proof);
    test_app.call(request.finish()).await
}

/// Checks that tokens are bound to a key and that userinfo takes them with its proofs alone.
async fn assert_bound(test_app: &TestApp, tokens: &Value, prover: &Prover) {
    assert_eq!(tokens["token_type"], "DPoP", "{tokens}");
    let claims = verified(test_app, &tokens["access_token"]).await.claims;
    assert_eq!(claims["cnf"], json!({ "jkt": prover.jkt() }));
    let token = tokens["access_token"].as_str().unwrap();
    let shown = userinfo_proof(test_app, prover, token);
    let answer = userinfo(test_app, &format!("Bearer {token}"), &shown).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "as a bearer token");
    let answer = userinfo(test_app, &format!("DPoP {token}"), &shown).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
}

fn assert_invalid_grant(answer: &Page, why: &str) {
    let found = (answer.status, error_of(answer));
    let expected = (StatusCode::BAD_REQUEST, "invalid_grant".to_owned());
    assert_eq!(found, expected, "{why}");
}

async fn pp_7_pp_8_dpop_jkt_binds_a_code_and_its_tokens(test_app: TestApp) {
    prepare(&test_app).await;
    let (prover, other) = (Prover::new(), Prover::new());
    let mut browser = signed_in(&test_app, "pp8@example.com").await;
    let attempt = Attempt::new().with("dpop_jkt", &prover.jkt());
    let fields = attempt.exchange(&attempt.code(&mut browser).await);
    for wrong in [None, Some(&other)] {
        let refused = token(&test_app, &fields, wrong).await;
        assert_invalid_grant(&refused, "not spent");
    }
    let tokens = json_of(&token(&test_app, &fields, Some(&prover)).await);
    assert_bound(&test_app, &tokens, &prover).await;

    for bad in ["x", &prover.jkt()[1..]] {
        let refused = browser
            .open(&Attempt::new().with("dpop_jkt", bad).path())
            .await;
        let error = parameter(&refused, "error");
        assert_eq!(error.as_deref(), Some("invalid_request"), "{bad}");
    }
    // Without dpop_jkt any key may be the first, and none is needed.
    let attempt = Attempt::new();
    let fields = attempt.exchange(&attempt.code(&mut browser).await);
    let tokens = json_of(&token(&test_app, &fields, Some(&other)).await);
    assert_bound(&test_app, &tokens, &other).await;
    let fields = attempt.exchange(&attempt.code(&mut browser).await);
    let tokens = json_of(&token(&test_app, &fields, None).await);
    assert_eq!(tokens["token_type"], "Bearer");
}

async fn pp_8_the_proof_of_a_push_binds_the_code(test_app: TestApp) {
    prepare(&test_app).await;
    let (prover, other) = (Prover::new(), Prover::new());
    let mut browser = signed_in(&test_app, "pp8-push@example.com").await;
    let push = async |attempt: &Attempt| {
        let request = Request::builder()
            .method(Method::POST)
            .uri_str("/oauth2/par")
            .header(header::HOST, "id.test")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("dpop", proof(&test_app, &prover, "/oauth2/par"));
        let body = encoded(&attempt.parameters);
        test_app.call(request.body(body)).await
    };
    let both = Attempt::new().with("dpop_jkt", &other.jkt());
    let refused = push(&both).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert_eq!(error_of(&refused), "invalid_dpop_proof");
    for attempt in [
        Attempt::new(),
        Attempt::new().with("dpop_jkt", &prover.jkt()),
    ] {
        let pushed = push(&attempt).await;
        assert_eq!(pushed.status, StatusCode::CREATED, "{}", pushed.body);
        let body: Value = serde_json::from_str(&pushed.body).unwrap();
        let uri = body["request_uri"].as_str().unwrap();
        // What stands beside the reference does not count.
        let path = format!("{}&dpop_jkt={}", visit("web", uri), other.jkt());
        let code = parameter(&browser.open(&path).await, "code").unwrap();
        let fields = attempt.exchange(&code);
        for wrong in [None, Some(&other)] {
            let refused = token(&test_app, &fields, wrong).await;
            assert_invalid_grant(&refused, "not spent");
        }
        let tokens = json_of(&token(&test_app, &fields, Some(&prover)).await);
        assert_bound(&test_app, &tokens, &prover).await;
    }
}

fn refreshing(tokens: &Value) -> BTreeMap<String, String> {
    let token = tokens["refresh_token"].as_str().expect("a refresh token");
    [
        ("grant_type", "refresh_token"),
        ("refresh_token", token),
        ("client_id", "web"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

async fn pp_9_a_public_family_is_bound_to_its_first_key(test_app: TestApp) {
    prepare(&test_app).await;
    let (prover, other) = (Prover::new(), Prover::new());
    let mut browser = signed_in(&test_app, "pp9@example.com").await;
    let attempt = Attempt::new().with("scope", "openid offline_access");
    for first in [None, Some(&prover)] {
        let fields = attempt.exchange(&attempt.code(&mut browser).await);
        let tokens = json_of(&token(&test_app, &fields, first).await);
        // A family without a key gets its first one now.
        let mut tokens = json_of(&token(&test_app, &refreshing(&tokens), Some(&prover)).await);
        for _ in 0..2 {
            for wrong in [None, Some(&other)] {
                let refused = token(&test_app, &refreshing(&tokens), wrong).await;
                assert_invalid_grant(&refused, "nothing ends");
            }
            tokens = json_of(&token(&test_app, &refreshing(&tokens), Some(&prover)).await);
            assert_bound(&test_app, &tokens, &prover).await;
        }
    }
}

/// A client that lost the response of its last refresh without a proof asks again with one.
async fn pp_9_a_repeated_refresh_token_brings_the_first_key_of_its_family(test_app: TestApp) {
    prepare(&test_app).await;
    let (prover, other) = (Prover::new(), Prover::new());
    let mut browser = signed_in(&test_app, "pp9-grace@example.com").await;
    let attempt = Attempt::new().with("scope", "openid offline_access");
    let fields = attempt.exchange(&attempt.code(&mut browser).await);
    let first = json_of(&token(&test_app, &fields, None).await);
    let lost = json_of(&token(&test_app, &refreshing(&first), None).await);
    assert_eq!(lost["token_type"], "Bearer");
    let repeated = json_of(&token(&test_app, &refreshing(&first), Some(&prover)).await);
    assert_eq!(repeated["refresh_token"], lost["refresh_token"]);
    assert_bound(&test_app, &repeated, &prover).await;
    for presented in [&first, &lost] {
        for wrong in [None, Some(&other)] {
            let refused = token(&test_app, &refreshing(presented), wrong).await;
            assert_invalid_grant(&refused, "the family is bound");
        }
    }
    let again = json_of(&token(&test_app, &refreshing(&first), Some(&prover)).await);
    assert_eq!(again["refresh_token"], lost["refresh_token"]);
    let tokens = json_of(&token(&test_app, &refreshing(&lost), Some(&prover)).await);
    assert_bound(&test_app, &tokens, &prover).await;
}

async fn rs_3_an_api_may_demand_a_proof(test_app: TestApp) {
    prepare(&test_app).await;
    let api = "https://lessons.example/api";
    let blocks = json!([{ "identifier": api, "clients": ["web"], "dpop": true }]);
    test_app.configure(|config| config.resources = serde_json::from_value(blocks).unwrap());
    let prover = Prover::new();
    let mut browser = signed_in(&test_app, "rs3-proof@example.com").await;
    let assert_demanded = |refused: &Page| {
        let found = (refused.status, error_of(refused));
        let expected = (StatusCode::BAD_REQUEST, "invalid_request".to_owned());
        assert_eq!(found, expected, "{}", refused.body);
        assert!(refused.body.contains("DPoP proof"), "{}", refused.body);
    };
    let attempt = Attempt::new().with("scope", "openid offline_access");
    let named = attempt.clone().with("resource", api);
    let fields = named.exchange(&named.code(&mut browser).await);
    assert_demanded(&token(&test_app, &fields, None).await);
    let tokens = json_of(&token(&test_app, &fields, Some(&prover)).await);
    let claims = verified(&test_app, &tokens["access_token"]).await.claims;
    let expected = (&json!(api), &json!({ "jkt": prover.jkt() }));
    assert_eq!((&claims["aud"], &claims["cnf"]), expected, "not spent");

    // The first audience of the client demands none.
    let fields = attempt.exchange(&attempt.code(&mut browser).await);
    let tokens = json_of(&token(&test_app, &fields, None).await);
    assert_eq!(tokens["token_type"], "Bearer");
    let mut fields = refreshing(&tokens);
    fields.insert("resource".to_owned(), api.to_owned());
    assert_demanded(&token(&test_app, &fields, None).await);
    let tokens = json_of(&token(&test_app, &fields, Some(&prover)).await);
    let claims = verified(&test_app, &tokens["access_token"]).await.claims;
    assert_eq!((&claims["aud"], &claims["cnf"]), expected, "not spent");
}

/// Sends JSON, with a proof; gives the response.
async fn send_json(test_app: &TestApp, path: &str, body: &Value, proof: Option<&str>) -> Page {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri_str(path)
        .header(header::HOST, "id.test")
        .header("x-forwarded-for", "192.0.2.7")
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(proof) = proof {
        request = request.header("dpop", proof);
    }
    test_app.call(request.body(body.to_string())).await
}

async fn pp_7_apps_get_bound_tokens_from_both_versions_of_the_api(test_app: TestApp) {
    prepare(&test_app).await;
    let (prover, email) = (Prover::new(), "pp7-app@example.com");
    for version in ["v1", "v2"] {
        // The client demands the proof, or its API does.
        let api = json!([{ "identifier": "https://api.example", "dpop": version == "v2" }]);
        test_app.configure(|config| {
            config.clients[0].dpop_bound_access_tokens = version == "v1";
            config.resources = serde_json::from_value(api).unwrap();
        });
        let start = match version {
            "v1" => "/api/v1/auth/magic-link/request",
            _ => "/api/v2/logins",
        };
        let new = json!({
            "client_id": "web", "email": email,
            "code_challenge": CHALLENGE, "code_challenge_method": "S256",
        });
        let begun = send_json(&test_app, start, &new, None).await;
        assert!(begun.status.is_success(), "{}", begun.body);
        let begun: Value = serde_json::from_str(&begun.body).unwrap();
        let id = begun["flow_id"].as_str().unwrap();
        let code = test_app.mail(email).await.code();
        let mut body = json!({ "code": code, "code_verifier": VERIFIER, "scope": "openid" });
        let path = if version == "v1" {
            body["flow_id"] = id.into();
            "/api/v1/auth/magic-link/consume".to_owned()
        } else {
            format!("/api/v2/logins/{id}/code")
        };
        let code_of = |page: &Page| {
            let problem: Value = serde_json::from_str(&page.body).unwrap();
            problem["code"].as_str().unwrap_or_default().to_owned()
        };
        let missing = send_json(&test_app, &path, &body, None).await;
        assert_eq!(code_of(&missing), "invalid_request", "{}", missing.body);
        let elsewhere = proof(&test_app, &prover, TOKEN);
        let wrong = send_json(&test_app, &path, &body, Some(&elsewhere)).await;
        assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
        assert_eq!(code_of(&wrong), "invalid_dpop_proof", "{}", wrong.body);
        let old = dpop::claims("POST", &format!("{PUBLIC}{path}"), now(&test_app) - 100);
        let demanded = send_json(&test_app, &path, &body, Some(&prover.proof(&old))).await;
        assert_eq!(code_of(&demanded), "use_dpop_nonce", "{}", demanded.body);
        let nonce = demanded.header("dpop-nonce").expect("a nonce");
        let mut claims = old.clone();
        claims["nonce"] = nonce.into();
        let shown = prover.proof(&claims);
        let tokens = send_json(&test_app, &path, &body, Some(&shown)).await;
        assert!(tokens.header("dpop-nonce").is_none(), "it is young");
        assert_bound(&test_app, &json_of(&tokens), &prover).await;
        let replayed = send_json(&test_app, &path, &body, Some(&shown)).await;
        assert_eq!(code_of(&replayed), "invalid_dpop_proof");
    }
}

async fn pp_2_behind_a_proxy_the_public_address_counts(test_app: TestApp) {
    prepare(&test_app).await;
    let prover = Prover::new();
    let mut browser = signed_in(&test_app, "pp2@example.com").await;
    let attempt = Attempt::new();
    let code = attempt.code(&mut browser).await;
    let fields: Vec<_> = attempt.exchange(&code).into_iter().collect();
    // As a proxy passes a request on: another Host would be 421 (PX-01), and what it forwards does not count.
    let through = async |htu: String| {
        let claims = dpop::claims("POST", &htu, now(&test_app));
        let request = Request::builder()
            .method(Method::POST)
            .uri_str(TOKEN)
            .header(header::HOST, "id.test")
            .header("x-forwarded-for", "192.0.2.9")
            .header("x-forwarded-host", "evil.example")
            .header("x-forwarded-proto", "http")
            .header("x-forwarded-prefix", "/elsewhere")
            .header("forwarded", "for=192.0.2.9;host=evil.example;proto=http")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("dpop", prover.proof(&claims));
        test_app.call(request.body(encoded(&fields))).await
    };
    for host in [
        "http://10.0.0.5:8080",
        "http://evil.example",
        "https://evil.example",
        "http://id.test",
    ] {
        let refused = through(format!("{host}{TOKEN}")).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{host}");
        assert_eq!(error_of(&refused), "invalid_dpop_proof", "{host}");
    }
    let tokens = json_of(&through(format!("{PUBLIC}{TOKEN}")).await);
    assert_bound(&test_app, &tokens, &prover).await;
}

async fn pp_1_a_head_request_needs_a_proof_for_head(test_app: TestApp) {
    prepare(&test_app).await;
    let prover = Prover::new();
    let tokens = bound_tokens(&test_app, &prover, "pp1-head@example.com").await;
    let token = tokens["access_token"].as_str().unwrap();
    let (url, now) = (format!("{PUBLIC}{USERINFO}"), now(&test_app));
    for (method, htm, expected) in [
        (Method::HEAD, "GET", StatusCode::UNAUTHORIZED),
        (Method::HEAD, "HEAD", StatusCode::OK),
        (Method::GET, "HEAD", StatusCode::UNAUTHORIZED),
        (Method::GET, "GET", StatusCode::OK),
    ] {
        let shown = prover.proof(&dpop::claims_with_token(htm, &url, now, token));
        let request = Request::builder()
            .method(method.clone())
            .uri_str(USERINFO)
            .header(header::HOST, "id.test")
            .header(header::AUTHORIZATION, format!("DPoP {token}"))
            .header("dpop", shown);
        let answer = test_app.call(request.finish()).await;
        assert_eq!(answer.status, expected, "{method} with {htm}");
        assert_eq!(answer.body.is_empty(), method == Method::HEAD);
    }
}

/// Tokens that are bound to a key.
async fn bound_tokens(test_app: &TestApp, prover: &Prover, email: &str) -> Value {
    let mut browser = signed_in(test_app, email).await;
    let attempt = Attempt::new();
    let fields = attempt.exchange(&attempt.code(&mut browser).await);
    json_of(&token(test_app, &fields, Some(prover)).await)
}

async fn pp_5_of_a_hundred_at_once_one_passes(test_app: TestApp) {
    prepare(&test_app).await;
    let prover = Prover::new();
    let tokens = bound_tokens(&test_app, &prover, "pp5@example.com").await;
    let token = tokens["access_token"].as_str().unwrap();
    let shown = userinfo_proof(&test_app, &prover, token);
    let bearer = format!("DPoP {token}");
    let one = |_| userinfo(&test_app, &bearer, &shown);
    let all = join_all((0..100).map(one)).await;
    let passed = all.iter().filter(|page| page.status == StatusCode::OK);
    assert_eq!(passed.count(), 1);
    for refused in all.iter().filter(|page| page.status != StatusCode::OK) {
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{}", refused.body);
        assert_eq!(error_of(refused), "invalid_dpop_proof");
    }
}

/// Anyone may begin a flow and enter wrong codes.
async fn pp_5_wrong_codes_of_a_flow_store_no_more_proofs_than_it_has_tries(test_app: TestApp) {
    prepare(&test_app).await;
    let prover = Prover::new();
    let new = json!({
        "client_id": "web", "email": "pp5-codes@example.com",
        "code_challenge": CHALLENGE, "code_challenge_method": "S256",
    });
    let begun = send_json(&test_app, "/api/v1/auth/magic-link/request", &new, None).await;
    let begun: Value = serde_json::from_str(&begun.body).unwrap();
    let path = "/api/v1/auth/magic-link/consume";
    let remembered = async || test_app.app.tickets.usage().await.unwrap().proofs;
    let (before, mut of_one) = (remembered().await, 0);
    for number in 0..20 {
        let body = json!({
            "flow_id": begun["flow_id"], "code": format!("{number:08}"), "code_verifier": VERIFIER,
        });
        let shown = proof(&test_app, &prover, path);
        let refused = send_json(&test_app, path, &body, Some(&shown)).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.body);
        if number == 0 {
            of_one = remembered().await - before;
            assert_ne!(of_one, 0, "the first is remembered");
        }
    }
    assert_eq!(remembered().await - before, 5 * of_one);
}

async fn pp_6_without_the_store_it_is_503(test_app: TestApp) {
    prepare(&test_app).await;
    let prover = Prover::new();
    let tokens = bound_tokens(&test_app, &prover, "pp6@example.com").await;
    let token = tokens["access_token"].as_str().unwrap();
    let away = test_app.over(without_tickets(&test_app.app));
    let shown = userinfo_proof(&test_app, &prover, token);
    let refused = userinfo(&away, &format!("DPoP {token}"), &shown).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.header("retry-after").is_some());
    let answer = userinfo(&test_app, &format!("DPoP {token}"), &shown).await;
    assert_eq!(answer.status, StatusCode::OK, "the proof was not spent");
}

async fn pp_12_a_stolen_token_is_refused(test_app: TestApp) {
    prepare(&test_app).await;
    let (prover, thief) = (Prover::new(), Prover::new());
    let tokens = bound_tokens(&test_app, &prover, "pp12@example.com").await;
    let own = bound_tokens(&test_app, &thief, "pp12-thief@example.com").await;
    let token = tokens["access_token"].as_str().unwrap();
    let own = own["access_token"].as_str().unwrap();
    let seen = userinfo_proof(&test_app, &prover, token);
    let bearer = format!("DPoP {token}");
    assert_eq!(
        userinfo(&test_app, &bearer, &seen).await.status,
        StatusCode::OK
    );
    for (case, shown) in [
        ("a proof that was seen", seen),
        ("another key", userinfo_proof(&test_app, &thief, token)),
        ("for another token", userinfo_proof(&test_app, &prover, own)),
        ("for another address", proof(&test_app, &prover, TOKEN)),
    ] {
        let refused = userinfo(&test_app, &bearer, &shown).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{case}");
        assert_eq!(error_of(&refused), "invalid_dpop_proof", "{case}");
    }
}

#[tokio::test]
async fn pp_4_a_nonce_is_good_at_every_instance_while_the_master_key_changes() {
    let test_app = TestApp::embedded().await;
    prepare(&test_app).await;
    let prover = Prover::new();
    let with_keys = |keys: &MasterKeys| {
        let mut app = test_app.app.clone();
        app.macs.dpop_nonce = keys.mac("DPoP nonce v1");
        test_app.over(app)
    };
    let before = with_keys(&MasterKeys::new([1; 32], []));
    let after = with_keys(&MasterKeys::new([2; 32], [[1; 32]]));
    let without = with_keys(&MasterKeys::new([2; 32], []));
    let tokens = bound_tokens(&test_app, &prover, "pp4@example.com").await;
    let token = tokens["access_token"].as_str().unwrap();
    let (url, old) = (format!("{PUBLIC}{USERINFO}"), now(&test_app) - 100);
    let bearer = format!("DPoP {token}");
    let shown = |nonce: Option<&str>| {
        let mut claims = dpop::claims_with_token("GET", &url, old, token);
        if let Some(nonce) = nonce {
            claims["nonce"] = nonce.into();
        }
        prover.proof(&claims)
    };
    let demanded = userinfo(&before, &bearer, &shown(None)).await;
    assert_eq!(error_of(&demanded), "use_dpop_nonce");
    let nonce = demanded.header("dpop-nonce").unwrap();
    for (instance, expected) in [(&before, 200), (&after, 200), (&without, 401)] {
        let answer = userinfo(instance, &bearer, &shown(Some(nonce))).await;
        assert_eq!(answer.status.as_u16(), expected, "{}", answer.body);
    }
}

#[tokio::test]
async fn pp_1_the_metadata_names_the_algorithms() {
    let test_app = TestApp::embedded().await;
    let page = get(&test_app, "/.well-known/openid-configuration").await;
    let metadata: Value = serde_json::from_str(&page.body).unwrap();
    assert_eq!(
        metadata["dpop_signing_alg_values_supported"],
        json!(["ES256", "PS256", "Ed25519", "EdDSA"])
    );
}

/// A page of the client reads the nonce that it needs (RFC 9449 §8.2).
#[tokio::test]
async fn pp_4_scripts_of_the_client_read_the_nonce() {
    let test_app = TestApp::embedded().await;
    prepare(&test_app).await;
    let old = dpop::claims("POST", &format!("{PUBLIC}{TOKEN}"), 1);
    let fields = Attempt::new().exchange("x").into_iter().collect::<Vec<_>>();
    let mut request = token_request(encoded(&fields));
    for (name, value) in [
        ("dpop", Prover::new().proof(&old)),
        ("origin", "https://app.example".to_owned()),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let refused = test_app.call(request).await;
    assert_eq!(error_of(&refused), "use_dpop_nonce");
    let allowed = refused.header("access-control-allow-origin");
    assert_eq!(allowed, Some("https://app.example"));
    let exposed = refused.header("access-control-expose-headers").unwrap();
    assert!(exposed.contains("dpop-nonce"), "{exposed}");
}
