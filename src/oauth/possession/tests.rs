#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
#![allow(
    clippy::too_many_lines,
    reason = "a table of cases, or one story, reads best in one piece"
)]

mod access;
mod replay;

use std::time::Duration;

use entity::audit_event;
use poem::{Request, http::header};
use sea_orm::{ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _};
use serde_json::{Value, json};

use crate::{
    config::DpopNonce,
    key::test_keys::{ProofKey, ath, proof_claims},
    oauth::{
        par::push,
        test_app::{
            CREDENTIALS, ISSUER, SECRET, TestApp, TestResponse, VERIFIER, claims, exchange,
            form_request, refreshing,
        },
        token::{
            code_secret::{CodeBinding, CodeSecret},
            code_store::{AuthorizationCode, CodeTerms, issue_code},
        },
    },
    pkce::challenge_of,
    secret::MasterKeys,
    ticket::{Space, Tickets},
};

const TOKEN: &str = "/oauth2/token";
const USERINFO: &str = "/oauth2/userinfo";
const PUSH: &str = "/oauth2/par";
const BASIC: Option<(&str, &str)> = Some(("basic", SECRET));

const INVALID_PROOF: (u16, &str) = (400, "invalid_dpop_proof");
const USE_NONCE: (u16, &str) = (400, "use_dpop_nonce");
const INVALID_GRANT: (u16, &str) = (400, "invalid_grant");

/// A service, long enough after the start of the ticket store for proofs without a nonce.
async fn start() -> TestApp {
    let test_app = TestApp::new().await;
    test_app.advance(61);
    test_app
}

fn now(test_app: &TestApp) -> i64 {
    test_app.app.clock().now().seconds()
}

/// The claims of a right proof for a POST to this path.
fn claims_for(test_app: &TestApp, path: &str) -> Value {
    proof_claims("POST", &format!("{ISSUER}{path}"), now(test_app))
}

/// Changes one claim, or removes it if the value is null.
fn with(mut claims: Value, name: &str, value: Value) -> Value {
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value,
    }
    claims
}

fn proof(test_app: &TestApp, key: &ProofKey, path: &str) -> String {
    key.proof(&claims_for(test_app, path))
}

async fn post(test_app: &TestApp, form: &[(&str, &str)], proofs: &[&str]) -> TestResponse {
    test_app.post_proving(TOKEN, None, form, proofs).await
}

/// Requests a token of a client for itself.
async fn request_own(test_app: &TestApp, proofs: &[&str]) -> TestResponse {
    test_app
        .post_proving(TOKEN, BASIC, &CREDENTIALS, proofs)
        .await
}

/// Tokens for a fresh code of the public client, bound to a key.
async fn bound_tokens(test_app: &TestApp, key: &ProofKey, scope: &str) -> TestResponse {
    let code = test_app.code("web", scope, Some(VERIFIER)).await;
    let proof = proof(test_app, key, TOKEN);
    let tokens = post(test_app, &exchange("web", &code), &[&proof]).await;
    assert_eq!(tokens.status, 200, "{tokens:?}");
    tokens
}

async fn refresh(test_app: &TestApp, token: &str, key: Option<&ProofKey>) -> TestResponse {
    let proof = key.map(|key| proof(test_app, key, TOKEN));
    let proofs: Vec<&str> = proof.iter().map(String::as_str).collect();
    post(test_app, &refreshing("web", token), &proofs).await
}

/// The claims of a right proof for userinfo with this token.
fn userinfo_claims(test_app: &TestApp, token: &str) -> Value {
    let claims = proof_claims("GET", &format!("{ISSUER}{USERINFO}"), now(test_app));
    with(claims, "ath", ath(token).into())
}

async fn userinfo(test_app: &TestApp, authorization: &str, proofs: &[&str]) -> TestResponse {
    let mut request = Request::builder()
        .uri_str(USERINFO)
        .header("authorization", authorization)
        .finish();
    for proof in proofs {
        let headers = request.headers_mut();
        headers.append("dpop", proof.parse().unwrap());
    }
    test_app.send(request).await
}

fn confirmation(tokens: &TestResponse) -> Value {
    claims(&tokens.text("access_token"))["cnf"].clone()
}

fn nonce_of(response: &TestResponse) -> &str {
    let nonce = response.headers.get("dpop-nonce");
    nonce
        .map(|nonce| nonce.to_str().unwrap())
        .unwrap_or_default()
}

/// All challenges of a response.
fn challenges(response: &TestResponse) -> Vec<&str> {
    let all = response.headers.get_all(header::WWW_AUTHENTICATE).iter();
    all.map(|value| value.to_str().unwrap()).collect()
}

async fn bytes(test_app: &TestApp) -> [usize; 3] {
    let usage = test_app.app.tickets.usage().await.unwrap();
    [usage.own + usage.proofs, usage.tickets, usage.counters]
}

async fn refusals_in_audit_log(test_app: &TestApp) -> u64 {
    audit_event::Entity::find()
        .filter(audit_event::Column::Reason.eq("other_key"))
        .count(test_app.app.db.read())
        .await
        .unwrap()
}

/// A code of the public client that is bound to a key.
async fn bound_code(test_app: &TestApp, jkt: &str) -> String {
    let binding = CodeBinding {
        client_id: "web".to_owned(),
        redirect_uri: "https://app.example/cb".to_owned(),
        code_challenge: Some(challenge_of(VERIFIER)),
        dpop_jkt: Some(jkt.to_owned()),
    };
    let secret = CodeSecret::generate(&test_app.app.macs.authorization_code, &binding);
    let code = AuthorizationCode {
        grant_id: secret.grant_id(),
        binding,
        nonce: None,
        scope: "openid".to_owned(),
        claims: String::new(),
        resources: None,
        expires_at: None,
        sign_in: (&test_app.session).into(),
    };
    let terms = CodeTerms {
        user_id: test_app.session.user_id,
        lifetime: Duration::from_secs(60),
        budgets: &[],
    };
    let issued = issue_code(&test_app.app, &secret, &code, terms).await;
    assert!(issued.unwrap());
    secret.to_text()
}

#[tokio::test]
async fn pp_7_a_proof_binds_the_tokens_of_every_grant() {
    let (test_app, key) = (start().await, ProofKey::es256());
    let first = bound_tokens(&test_app, &key, "openid offline_access").await;
    let token = first.text("refresh_token");
    let second = refresh(&test_app, &token, Some(&key)).await;
    let own = request_own(&test_app, &[&proof(&test_app, &key, TOKEN)]).await;
    for tokens in [&first, &second, &own] {
        assert_eq!(tokens.body["token_type"], "DPoP", "{tokens:?}");
        assert_eq!(confirmation(tokens), json!({ "jkt": key.jkt() }));
    }
    for tokens in [
        test_app.tokens("web", "openid").await,
        request_own(&test_app, &[]).await,
    ] {
        assert_eq!(tokens.body["token_type"], "Bearer");
        assert_eq!(confirmation(&tokens), Value::Null, "no member");
        assert_eq!(nonce_of(&tokens), "");
    }
    for (tokens, token_type) in [
        (&own, "DPoP"),
        (&request_own(&test_app, &[]).await, "Bearer"),
    ] {
        let form = [("token", &*tokens.text("access_token"))];
        let members = test_app.post("/oauth2/introspect", BASIC, &form).await;
        assert_eq!(members.body["active"], true, "no proof is needed here");
        assert_eq!(members.body["token_type"], token_type);
        assert_eq!(members.body["cnf"], confirmation(tokens));
    }
    let revoked = test_app
        .post(
            "/oauth2/revoke",
            None,
            &[
                ("client_id", "web"),
                ("token", &second.text("access_token")),
            ],
        )
        .await;
    assert_eq!(revoked.status, 200, "nor here");
}

#[tokio::test]
async fn pp_7_a_client_that_must_prove_gets_no_bearer_token() {
    let (test_app, key) = (start().await, ProofKey::es256());
    for id in ["web", "basic"] {
        test_app.configure(id, |client| client.dpop_bound_access_tokens = true);
    }
    let code = test_app.code("web", "openid", Some(VERIFIER)).await;
    let form = exchange("web", &code);
    for refused in [
        post(&test_app, &form, &[]).await,
        request_own(&test_app, &[]).await,
    ] {
        assert_eq!(refused.error(), (400, "invalid_request"));
        assert_eq!(refused.reason, "no_proof");
    }
    let tokens = post(&test_app, &form, &[&proof(&test_app, &key, TOKEN)]).await;
    assert_eq!(tokens.status, 200, "the code was not spent: {tokens:?}");
    let own = request_own(&test_app, &[&proof(&test_app, &key, TOKEN)]).await;
    assert_eq!(own.status, 200);
}

#[tokio::test]
async fn pp_1_pp_2_a_wrong_proof_is_refused_at_the_token_endpoint_and_spends_nothing() {
    let (test_app, key) = (start().await, ProofKey::es256());
    let good = || claims_for(&test_app, TOKEN);
    let signed = |claims: &Value| key.proof(claims);
    let code = test_app.code("web", "openid", Some(VERIFIER)).await;
    let form = exchange("web", &code);
    let [_, rs256] = ProofKey::ps256_and_rs256();
    let (one, two) = (signed(&good()), signed(&good()));
    for (proofs, reason) in [
        (vec![&*one, &*two], "proof_repeated"),
        (vec!["x"], "proof_malformed"),
        (vec![""], "proof_malformed"),
        (
            vec![&*signed(&with(good(), "htm", "GET".into()))],
            "proof_method",
        ),
        (
            vec![&*signed(&with(
                good(),
                "htu",
                "https://evil.example/oauth2/token".into(),
            ))],
            "proof_url",
        ),
        (
            vec![&*signed(&with(
                good(),
                "htu",
                format!("{ISSUER}{PUSH}").into(),
            ))],
            "proof_url",
        ),
        (
            vec![&*signed(&with(good(), "jti", Value::Null))],
            "proof_jti",
        ),
        (vec![&*signed(&with(good(), "exp", json!(1)))], "proof_time"),
        (vec![&*rs256.proof(&good())], "proof_algorithm"),
    ] {
        let refused = post(&test_app, &form, &proofs).await;
        assert_eq!(refused.error(), INVALID_PROOF, "{reason}");
        assert_eq!(refused.reason, reason);
        assert_eq!(nonce_of(&refused), "", "{reason}");
    }
    let htu = "HTTPS://ID.example:443/oauth2/./token?a=b#c";
    let tokens = post(
        &test_app,
        &form,
        &[&signed(&with(good(), "htu", htu.into()))],
    )
    .await;
    assert_eq!(tokens.status, 200, "the same address: {tokens:?}");
}

#[tokio::test]
async fn pp_2_host_and_forwarding_headers_never_count() {
    let (test_app, key) = (start().await, ProofKey::es256());
    for (htu, expected) in [
        (format!("{ISSUER}{TOKEN}"), (200, "")),
        (format!("https://evil.example{TOKEN}"), INVALID_PROOF),
        (format!("http://id.example{TOKEN}"), INVALID_PROOF),
    ] {
        let claims = with(claims_for(&test_app, TOKEN), "htu", htu.into());
        let form = [
            CREDENTIALS[0],
            ("client_id", "post"),
            ("client_secret", SECRET),
        ];
        test_app.configure("post", |client| {
            client.grant_types = vec![crate::config::GrantType::ClientCredentials];
        });
        let mut request = form_request(TOKEN, &form);
        for (name, value) in [
            ("host", "evil.example"),
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-proto", "http"),
            ("forwarded", "host=evil.example;proto=http"),
            ("dpop", &*key.proof(&claims)),
        ] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let response = test_app.send(request).await;
        assert_eq!(response.error(), expected, "{response:?}");
    }
}

#[tokio::test]
async fn pp_3_a_wrong_clock_gets_in_with_a_nonce_and_an_old_proof_does_not() {
    let (test_app, key) = (start().await, ProofKey::es256());
    let at = |ahead: i64| {
        let iat = now(&test_app) + ahead;
        with(claims_for(&test_app, TOKEN), "iat", iat.into())
    };
    // The oldest proof was made after the ticket store's first minute, too (RD-09).
    test_app.advance(60);
    for ahead in [-59, 30] {
        let tokens = request_own(&test_app, &[&key.proof(&at(ahead))]).await;
        assert_eq!(tokens.status, 200, "{ahead}: {tokens:?}");
        assert_eq!(nonce_of(&tokens), "");
    }
    for ahead in [-61, 32, -86_400, 86_400] {
        let refused = request_own(&test_app, &[&key.proof(&at(ahead))]).await;
        assert_eq!(refused.error(), USE_NONCE, "{ahead}");
        let nonce = nonce_of(&refused).to_owned();
        let again = with(at(ahead), "nonce", nonce.clone().into());
        let tokens = request_own(&test_app, &[&key.proof(&again)]).await;
        assert_eq!(tokens.status, 200, "{ahead}: {tokens:?}");
        test_app.advance(301);
        let late = with(claims_for(&test_app, TOKEN), "nonce", nonce.into());
        let refused = request_own(&test_app, &[&key.proof(&late)]).await;
        assert_eq!(refused.error(), USE_NONCE, "an old nonce");
        assert_ne!(nonce_of(&refused), "");
    }
}

#[tokio::test]
async fn pp_4_a_nonce_may_be_demanded_always_and_is_renewed_in_time() {
    let (test_app, key) = (start().await, ProofKey::es256());
    test_app.reconfigure(|config| config.token.dpop_nonce = DpopNonce::Always);
    let with_nonce = |nonce: &str| {
        let claims = with(claims_for(&test_app, TOKEN), "nonce", nonce.into());
        key.proof(&claims)
    };
    let demanded = request_own(&test_app, &[&proof(&test_app, &key, TOKEN)]).await;
    assert_eq!(demanded.error(), USE_NONCE);
    let nonce = nonce_of(&demanded).to_owned();
    for _ in 0..2 {
        let tokens = request_own(&test_app, &[&with_nonce(&nonce)]).await;
        assert_eq!(tokens.status, 200, "a nonce serves many proofs: {tokens:?}");
        assert_eq!(nonce_of(&tokens), "", "it is young");
    }
    let changed = if &nonce[20..21] == "A" { "B" } else { "A" };
    let changed = format!("{}{changed}{}", &nonce[..20], &nonce[21..]);
    for forged in ["", "x", &*changed] {
        let refused = request_own(&test_app, &[&with_nonce(forged)]).await;
        assert_eq!(refused.error(), USE_NONCE, "{forged}");
    }
    test_app.advance(151);
    let tokens = request_own(&test_app, &[&with_nonce(&nonce)]).await;
    assert_eq!(tokens.status, 200);
    let next = nonce_of(&tokens).to_owned();
    assert!(!next.is_empty() && next != nonce, "a new one");
    let userinfo = bound_userinfo(&test_app, &key, &nonce, &next).await;
    assert_eq!(nonce_of(&userinfo), "");
    let bearer = test_app.tokens("web", "openid").await;
    assert_eq!(bearer.body["token_type"], "Bearer", "no proof, no nonce");
}

/// Userinfo with tokens for a code, each with its nonce. The response for the token brings a new one.
async fn bound_userinfo(
    test_app: &TestApp,
    key: &ProofKey,
    old_nonce: &str,
    nonce: &str,
) -> TestResponse {
    let code = test_app.code("web", "openid", Some(VERIFIER)).await;
    let claims = with(claims_for(test_app, TOKEN), "nonce", old_nonce.into());
    let tokens = post(test_app, &exchange("web", &code), &[&key.proof(&claims)]).await;
    assert_ne!(nonce_of(&tokens), "", "{tokens:?}");
    let token = tokens.text("access_token");
    let claims = with(userinfo_claims(test_app, &token), "nonce", old_nonce.into());
    let old = userinfo(test_app, &format!("DPoP {token}"), &[&key.proof(&claims)]).await;
    assert_eq!(old.status, 200, "{old:?}");
    assert_ne!(nonce_of(&old), "");
    let claims = with(userinfo_claims(test_app, &token), "nonce", nonce.into());
    let new = userinfo(test_app, &format!("DPoP {token}"), &[&key.proof(&claims)]).await;
    assert_eq!(new.status, 200, "{new:?}");
    new
}

#[tokio::test]
async fn pp_5_each_proof_of_a_key_counts_once_while_it_could_pass() {
    let (test_app, key) = (start().await, ProofKey::es256());
    let claims = claims_for(&test_app, TOKEN);
    let proof = key.proof(&claims);
    assert_eq!(request_own(&test_app, &[&proof]).await.status, 200);
    let again = request_own(&test_app, &[&proof]).await;
    assert_eq!(again.error(), INVALID_PROOF);
    assert_eq!(again.reason, "proof_replayed");
    let challenge = challenge_of(VERIFIER);
    let same_jti = with(claims_for(&test_app, PUSH), "jti", claims["jti"].clone());
    let proof_of_push = key.proof(&same_jti);
    let push = async |client: &str, secret: &str| {
        let form = [
            ("client_id", client),
            ("client_secret", secret),
            ("response_type", "code"),
            ("redirect_uri", "https://app.example/cb"),
            ("code_challenge", &*challenge),
            ("code_challenge_method", "S256"),
        ];
        let form = if secret.is_empty() {
            [&form[..1], &form[2..]].concat()
        } else {
            form.to_vec()
        };
        test_app
            .post_proving(PUSH, None, &form, &[&proof_of_push])
            .await
    };
    let pushed = push("post", SECRET).await;
    assert_eq!(pushed.error(), INVALID_PROOF, "at another endpoint");
    // In the name of a public client anyone may push: nothing is stored for it.
    assert_eq!(push("web", "").await.status, 201);
    let other = ProofKey::es256().proof(&claims);
    assert_eq!(
        request_own(&test_app, &[&other]).await.status,
        200,
        "another key"
    );
    test_app.advance(58);
    assert_eq!(
        request_own(&test_app, &[&proof]).await.error(),
        INVALID_PROOF
    );
    test_app.advance(4);
    assert_eq!(request_own(&test_app, &[&proof]).await.error(), USE_NONCE);

    let demanded = request_own(&test_app, &[&proof]).await;
    let claims = with(claims, "nonce", nonce_of(&demanded).into());
    let proof = key.proof(&with(claims, "jti", "with a nonce".into()));
    assert_eq!(request_own(&test_app, &[&proof]).await.status, 200);
    test_app.advance(298);
    assert_eq!(
        request_own(&test_app, &[&proof]).await.error(),
        INVALID_PROOF
    );
    test_app.advance(3);
    assert_eq!(request_own(&test_app, &[&proof]).await.error(), USE_NONCE);
}

#[tokio::test]
async fn pp_5_proofs_of_strangers_leave_nothing_in_the_store() {
    let (test_app, key) = (start().await, ProofKey::es256());
    let tokens = bound_tokens(&test_app, &key, "openid offline_access").await;
    let (refresh_token, access_token) = (tokens.text("refresh_token"), tokens.text("access_token"));
    let bound = bound_code(&test_app, &key.jkt()).await;
    let before = bytes(&test_app).await;
    let stranger = ProofKey::es256();
    let unknown_code = crate::secret::Plain::generate().to_text();
    let foreign = format!("A{}", &refresh_token[1..]);
    for number in 0..10_000 {
        let proof = proof(&test_app, &stranger, TOKEN);
        let (response, expected) = match number % 6 {
            0 => (
                post(&test_app, &exchange("web", &unknown_code), &[&proof]).await,
                400,
            ),
            1 => (post(&test_app, &exchange("web", "x"), &[&proof]).await, 400),
            2 => (
                post(&test_app, &refreshing("web", &foreign), &[&proof]).await,
                400,
            ),
            // With the victim's token and another key.
            3 if number < 10 => (
                refresh(&test_app, &refresh_token, Some(&stranger)).await,
                400,
            ),
            4 if number < 10 => (
                post(&test_app, &exchange("web", &bound), &[&proof]).await,
                400,
            ),
            _ => {
                let claims = userinfo_claims(&test_app, &access_token);
                let proof = stranger.proof(&claims);
                let bearer = format!("DPoP {access_token}");
                (userinfo(&test_app, &bearer, &[&proof]).await, 401)
            }
        };
        assert_eq!(response.status.as_u16(), expected, "{number}: {response:?}");
    }
    let [own, of_payers, _] = bytes(&test_app).await;
    assert_eq!([own, of_payers], [before[0], before[1]]);
}

#[tokio::test]
async fn pp_5_a_session_may_show_so_many_proofs_in_a_minute() {
    let (test_app, key) = (start().await, ProofKey::es256());
    let tokens = bound_tokens(&test_app, &key, "openid").await;
    let token = tokens.text("access_token");
    let bearer = format!("DPoP {token}");
    let show = async || {
        let proof = key.proof(&userinfo_claims(&test_app, &token));
        userinfo(&test_app, &bearer, &[&proof]).await
    };
    let repeated = key.proof(&userinfo_claims(&test_app, &token));
    assert_eq!(userinfo(&test_app, &bearer, &[&repeated]).await.status, 200);
    for number in 0..150 {
        let replayed = userinfo(&test_app, &bearer, &[&repeated]).await;
        assert_eq!(
            replayed.status, 401,
            "{number}: a repeated proof spends nothing"
        );
    }
    for number in 1..100 {
        assert_eq!(show().await.status, 200, "{number}");
    }
    let refused = show().await;
    assert_eq!(refused.error(), (429, "temporarily_unavailable"));
    assert_ne!(refused.header(header::RETRY_AFTER), "");
    test_app.advance(61);
    assert_eq!(show().await.status, 200);
}

fn memory(test_app: &TestApp) -> Tickets {
    let clock = test_app.app.clock().clone();
    Tickets::memory(1 << 20, clock, &MasterKeys::new([7; 32], []))
}

#[tokio::test]
async fn pp_6_after_a_loss_of_the_store_no_proof_of_before_passes() {
    let (mut test_app, key) = (TestApp::new().await, ProofKey::es256());
    let shown = proof(&test_app, &key, TOKEN);
    let refused = request_own(&test_app, &[&shown]).await;
    assert_eq!(refused.status, 503, "the store has just begun: {refused:?}");
    let with_nonce = |test_app: &TestApp, nonce: &str| {
        key.proof(&with(claims_for(test_app, TOKEN), "nonce", nonce.into()))
    };
    let old = key.proof(&with(claims_for(&test_app, TOKEN), "iat", 1.into()));
    let demanded = request_own(&test_app, &[&old]).await;
    let early = with_nonce(&test_app, nonce_of(&demanded));
    let refused = request_own(&test_app, &[&early]).await;
    assert_eq!(
        refused.status, 503,
        "another clock may be ahead: {refused:?}"
    );
    test_app.advance(5);
    let demanded = request_own(&test_app, &[&early]).await;
    assert_eq!(
        demanded.error(),
        INVALID_PROOF,
        "it was shown: {demanded:?}"
    );
    let demanded = request_own(&test_app, &[&proof(&test_app, &key, TOKEN)]).await;
    let nonce = nonce_of(&demanded).to_owned();
    let with_it = with_nonce(&test_app, &nonce);
    assert_eq!(request_own(&test_app, &[&with_it]).await.status, 200);
    test_app.advance(61);
    let dated = proof(&test_app, &key, TOKEN);
    assert_eq!(request_own(&test_app, &[&dated]).await.status, 200);
    test_app.advance(1);

    test_app.replace_tickets(memory(&test_app));
    for _ in 0..2 {
        for replayed in [&dated, &with_it] {
            let refused = request_own(&test_app, &[replayed]).await;
            assert_ne!(refused.status, 200, "{refused:?}");
        }
    }
    test_app.advance(5);
    let unused = with_nonce(&test_app, &nonce);
    let demanded = request_own(&test_app, &[&unused]).await;
    assert_eq!(demanded.error(), USE_NONCE, "the nonce is of before");
    let demanded = request_own(&test_app, &[&proof(&test_app, &key, TOKEN)]).await;
    let new = with_nonce(&test_app, nonce_of(&demanded));
    assert_eq!(request_own(&test_app, &[&new]).await.status, 200);
    test_app.advance(62);
    let later = proof(&test_app, &key, TOKEN);
    assert_eq!(request_own(&test_app, &[&later]).await.status, 200);
}

#[tokio::test]
async fn pp_6_without_the_store_no_proof_is_accepted() {
    let (mut test_app, key) = (start().await, ProofKey::es256());
    let tokens = bound_tokens(&test_app, &key, "openid").await;
    let url = "redis+unix:///nonexistent/entree-test.sock";
    let space = Space {
        prefix: "x",
        max_bytes: 1 << 20,
    };
    let away = Tickets::connect(url, space, &MasterKeys::new([7; 32], [])).unwrap();
    test_app.replace_tickets(away);
    let refused = request_own(&test_app, &[&proof(&test_app, &key, TOKEN)]).await;
    assert_eq!(refused.error(), (503, "temporarily_unavailable"));
    let token = tokens.text("access_token");
    let proof = key.proof(&userinfo_claims(&test_app, &token));
    let refused = userinfo(&test_app, &format!("DPoP {token}"), &[&proof]).await;
    assert_eq!(refused.error(), (503, "temporarily_unavailable"));
    let bearer = request_own(&test_app, &[]).await;
    assert_eq!(bearer.status, 200, "a bearer token needs no store");
}

#[tokio::test]
async fn pp_8_a_bound_code_is_for_its_key_and_is_not_spent_by_another() {
    let (test_app, key) = (start().await, ProofKey::es256());
    let other = ProofKey::ed25519();
    for resource in [None, Some(("resource", "https://api.example"))] {
        let code = bound_code(&test_app, &key.jkt()).await;
        let form: Vec<_> = exchange("web", &code).into_iter().chain(resource).collect();
        let foreign = proof(&test_app, &other, TOKEN);
        for proofs in [&[][..], &[&*foreign]] {
            let refused = post(&test_app, &form, proofs).await;
            assert_eq!(refused.error(), INVALID_GRANT);
            assert_eq!(refused.reason, "other_key");
        }
        let tokens = post(&test_app, &form, &[&proof(&test_app, &key, TOKEN)]).await;
        assert_eq!(tokens.status, 200, "{tokens:?}");
        assert_eq!(confirmation(&tokens), json!({ "jkt": key.jkt() }));
        // The thief of a spent code has no key, and revokes nothing.
        test_app.advance(11);
        let refused = post(&test_app, &form, &[]).await;
        assert_eq!(refused.error(), INVALID_GRANT);
        let token = tokens.text("access_token");
        let shown = key.proof(&userinfo_claims(&test_app, &token));
        let userinfo = userinfo(&test_app, &format!("DPoP {token}"), &[&shown]).await;
        assert_eq!(userinfo.status, 200);
    }
    assert_eq!(
        refusals_in_audit_log(&test_app).await,
        4,
        "two of each code"
    );
}

#[tokio::test]
async fn pp_8_the_audit_log_has_few_of_the_refusals_of_one_code() {
    let (test_app, key) = (start().await, ProofKey::es256());
    let code = bound_code(&test_app, &key.jkt()).await;
    for _ in 0..12 {
        let refused = post(&test_app, &exchange("web", &code), &[]).await;
        assert_eq!(refused.error(), INVALID_GRANT);
    }
    assert_eq!(refusals_in_audit_log(&test_app).await, 5);
}

#[tokio::test]
async fn pp_8_a_replayed_proof_spends_no_code() {
    let (test_app, key) = (start().await, ProofKey::es256());
    let used = proof(&test_app, &key, TOKEN);
    assert_eq!(request_own(&test_app, &[&used]).await.status, 200);
    let code = test_app.code("web", "openid", Some(VERIFIER)).await;
    let form = exchange("web", &code);
    let refused = post(&test_app, &form, &[&used]).await;
    assert_eq!(refused.error(), INVALID_PROOF);
    let tokens = post(&test_app, &form, &[&proof(&test_app, &key, TOKEN)]).await;
    assert_eq!(tokens.status, 200, "{tokens:?}");
}

/// Pushes a request with some parameters; gives the response and the stored `dpop_jkt`.
async fn push_with(
    test_app: &TestApp,
    more: &[(&str, &str)],
    proofs: &[&str],
) -> (TestResponse, Option<String>) {
    let challenge = challenge_of(VERIFIER);
    let mut form = vec![
        ("client_id", "web"),
        ("response_type", "code"),
        ("redirect_uri", "https://app.example/cb"),
        ("code_challenge", &*challenge),
        ("code_challenge_method", "S256"),
    ];
    form.extend_from_slice(more);
    let pushed = test_app.post_proving(PUSH, None, &form, proofs).await;
    let uri = pushed.body["request_uri"].as_str().unwrap_or_default();
    let stored = match push::parse_request_uri(uri) {
        Some(secret) => {
            let now = test_app.app.clock().now();
            push::find(&test_app.app.tickets, &secret, now)
                .await
                .unwrap()
        }
        None => None,
    };
    (pushed, stored.and_then(|params| params.dpop_jkt))
}

#[tokio::test]
async fn pp_8_a_push_binds_by_its_proof_or_by_dpop_jkt_and_both_must_agree() {
    let (test_app, key) = (start().await, ProofKey::es256());
    let (jkt, other) = (key.jkt(), ProofKey::es256().jkt());
    let shown = || proof(&test_app, &key, PUSH);
    let (pushed, stored) = push_with(&test_app, &[], &[&shown()]).await;
    assert_eq!((pushed.status.as_u16(), stored), (201, Some(jkt.clone())));
    let (pushed, stored) = push_with(&test_app, &[("dpop_jkt", &jkt)], &[&shown()]).await;
    assert_eq!((pushed.status.as_u16(), stored), (201, Some(jkt)));
    let (pushed, stored) = push_with(&test_app, &[("dpop_jkt", &other)], &[]).await;
    assert_eq!((pushed.status.as_u16(), stored), (201, Some(other.clone())));
    let (pushed, stored) = push_with(&test_app, &[], &[]).await;
    assert_eq!((pushed.status.as_u16(), stored), (201, None));
    let (refused, _) = push_with(&test_app, &[("dpop_jkt", &other)], &[&shown()]).await;
    assert_eq!(refused.error(), INVALID_PROOF);
    for bad in [
        "x",
        &other[1..],
        &*format!("{other}A"),
        &*format!("{}=", &other[1..]),
    ] {
        let (refused, _) = push_with(&test_app, &[("dpop_jkt", bad)], &[]).await;
        assert_eq!(refused.error(), (400, "invalid_request"), "{bad}");
    }
    let (refused, _) = push_with(&test_app, &[], &[&proof(&test_app, &key, TOKEN)]).await;
    assert_eq!(refused.error(), INVALID_PROOF, "for another endpoint");
    let old = with(
        claims_for(&test_app, PUSH),
        "iat",
        (now(&test_app) - 61).into(),
    );
    let (refused, _) = push_with(&test_app, &[], &[&key.proof(&old)]).await;
    assert_eq!(refused.error(), USE_NONCE);
    let again = with(old, "nonce", nonce_of(&refused).into());
    let (pushed, _) = push_with(&test_app, &[], &[&key.proof(&again)]).await;
    assert_eq!(pushed.status, 201);
}

#[tokio::test]
async fn pp_9_the_family_of_a_public_client_is_bound_to_its_first_key() {
    let (test_app, key) = (start().await, ProofKey::es256());
    let other = ProofKey::es256();
    let first = bound_tokens(&test_app, &key, "openid offline_access").await;
    let mut token = first.text("refresh_token");
    for _ in 0..2 {
        for wrong in [None, Some(&other)] {
            let refused = refresh(&test_app, &token, wrong).await;
            assert_eq!(refused.error(), INVALID_GRANT);
            assert_eq!(refused.reason, "other_key");
        }
        let next = refresh(&test_app, &token, Some(&key)).await;
        assert_eq!(next.status, 200, "nothing has ended: {next:?}");
        assert_eq!(confirmation(&next), json!({ "jkt": key.jkt() }));
        token = next.text("refresh_token");
    }
    let used = first.text("refresh_token");
    let refused = refresh(&test_app, &used, Some(&other)).await;
    assert_eq!(refused.error(), INVALID_GRANT, "a stolen one that was used");
    assert_eq!(refresh(&test_app, &token, Some(&key)).await.status, 200);
    assert!((1..=5).contains(&refusals_in_audit_log(&test_app).await));
}

#[tokio::test]
async fn pp_9_a_family_is_bound_from_the_first_proof_on() {
    let (test_app, key) = (start().await, ProofKey::es256());
    let first = test_app.tokens("web", "openid offline_access").await;
    let second = refresh(&test_app, &first.text("refresh_token"), None).await;
    assert_eq!(second.body["token_type"], "Bearer");
    let third = refresh(&test_app, &second.text("refresh_token"), Some(&key)).await;
    assert_eq!(third.body["token_type"], "DPoP", "{third:?}");
    let token = third.text("refresh_token");
    for wrong in [None, Some(&ProofKey::es256())] {
        assert_eq!(
            refresh(&test_app, &token, wrong).await.error(),
            INVALID_GRANT
        );
    }
    assert_eq!(refresh(&test_app, &token, Some(&key)).await.status, 200);
}

#[tokio::test]
async fn pp_9_a_confidential_client_may_change_its_key_and_gets_no_bearer_token() {
    let (test_app, key) = (start().await, ProofKey::es256());
    let as_post = [("client_secret", SECRET)];
    let code = test_app
        .code("post", "openid offline_access", Some(VERIFIER))
        .await;
    let form: Vec<_> = exchange("post", &code).into_iter().chain(as_post).collect();
    let first = post(&test_app, &form, &[&proof(&test_app, &key, TOKEN)]).await;
    let token = first.text("refresh_token");
    let form: Vec<_> = refreshing("post", &token)
        .into_iter()
        .chain(as_post)
        .collect();
    let refused = post(&test_app, &form, &[]).await;
    assert_eq!(refused.error(), INVALID_GRANT);
    let other = ProofKey::ed25519();
    let second = post(&test_app, &form, &[&proof(&test_app, &other, TOKEN)]).await;
    assert_eq!(second.status, 200, "{second:?}");
    assert_eq!(confirmation(&second), json!({ "jkt": other.jkt() }));
}
