#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
#![allow(
    clippy::too_many_lines,
    reason = "a table of cases reads best in one piece"
)]

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use futures_util::future::join_all;
use poem::http::header;
use serde_json::{Value, json};

use super::*;
use crate::{
    config::{AssertionAudience, Budget, ClientAuth, ClientBlock, Profile, Token},
    key::test_keys::ProofKey,
    oauth::test_app::{CREDENTIALS, ISSUER, SECRET, TestApp, TestResponse},
    secret::{MasterKeys, public_id},
    ticket::{Space, Tickets},
    web::fetch::test_server::{TestServer, raw_response},
};

/// The client that is configured to sign.
const SIGNER: &str = "basic";

const INTROSPECT: &str = "/oauth2/introspect";
const INVALID_CLIENT: (u16, &str) = (401, "invalid_client");
const INVALID_REQUEST: (u16, &str) = (400, "invalid_request");

/// One key of a client.
struct ClientKey(EcdsaKeyPair);

impl ClientKey {
    fn generate() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    fn jwk(&self, kid: Option<&str>) -> Value {
        let (x, y) = self.0.public_key().as_ref()[1..].split_at(32);
        let (x, y) = (BASE64.encode(x), BASE64.encode(y));
        let mut jwk = json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y });
        if let Some(kid) = kid {
            jwk["kid"] = kid.into();
        }
        jwk
    }

    fn jwks(&self) -> Jwks {
        Jwks::try_from(json!({ "keys": [self.jwk(None)] })).unwrap()
    }

    fn sign(&self, claims: &Value) -> String {
        self.sign_with(&json!({ "alg": "ES256" }), claims)
    }

    fn sign_with(&self, header: &Value, claims: &Value) -> String {
        let header = BASE64.encode(header.to_string());
        let message = format!("{header}.{}", BASE64.encode(claims.to_string()));
        let signature = self
            .0
            .sign(&SystemRandom::new(), message.as_bytes())
            .unwrap();
        format!("{message}.{}", BASE64.encode(signature.as_ref()))
    }
}

/// The claims of a right assertion, made now.
fn claims(test_app: &TestApp) -> Value {
    let now = test_app.app.clock().now().seconds();
    json!({
        "iss": SIGNER,
        "sub": SIGNER,
        "aud": ISSUER,
        "exp": now + 60,
        "iat": now,
        "jti": public_id().to_string(),
    })
}

fn claims_of(test_app: &TestApp, client: &str) -> Value {
    let claims = with(claims(test_app), "iss", client.into());
    with(claims, "sub", client.into())
}

/// Changes one claim, or removes it if the value is null.
fn with(mut claims: Value, name: &str, value: Value) -> Value {
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value,
    }
    claims
}

fn configure_signer(test_app: &TestApp, id: &str, key: &ClientKey) {
    test_app.configure(id, |client| {
        client.token_endpoint_auth_method = ClientAuth::PrivateKeyJwt;
        client.client_secret_sha256.clear();
        client.jwks = Some(key.jwks());
    });
}

fn allow_failures(test_app: &TestApp, count: u32, seconds: u64) {
    test_app.reconfigure(|config| {
        config.limits.client_failures = vec![Budget { count, seconds }];
    });
}

/// A service with a client that signs, long enough after the start of the ticket store. It allows
/// more failures than any table has.
async fn start(key: &ClientKey) -> TestApp {
    let test_app = TestApp::new().await;
    configure_signer(&test_app, SIGNER, key);
    allow_failures(&test_app, 10_000, 60);
    test_app.advance(61);
    test_app
}

async fn post(
    test_app: &TestApp,
    path: &str,
    assertion: &str,
    more: &[(&str, &str)],
) -> TestResponse {
    let mut form = vec![
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", assertion),
    ];
    form.extend_from_slice(more);
    test_app.post(path, None, &form).await
}

async fn request_token(test_app: &TestApp, assertion: &str) -> TestResponse {
    post(test_app, "/oauth2/token", assertion, &CREDENTIALS).await
}

#[tokio::test]
async fn ca_7_ca_8_tk_15_an_assertion_authenticates_the_client_at_every_endpoint() {
    let key = ClientKey::generate();
    let test_app = start(&key).await;
    let sign = || key.sign(&claims(&test_app));
    let tokens = request_token(&test_app, &sign()).await;
    assert_eq!(tokens.status, 200, "{tokens:?}");
    assert!(tokens.body.get("refresh_token").is_none() && tokens.body.get("id_token").is_none());
    let form = [("token", &*tokens.text("access_token"))];
    let members = post(&test_app, INTROSPECT, &sign(), &form).await;
    assert_eq!(members.body["sub"], SIGNER, "{members:?}");
    let form = [("token", "unknown")];
    let revoked = post(&test_app, "/oauth2/revoke", &sign(), &form).await;
    assert_eq!(revoked.status, 200, "{revoked:?}");
    let form = [CREDENTIALS[0], ("client_id", SIGNER)];
    let named = post(&test_app, "/oauth2/token", &sign(), &form).await;
    assert_eq!(named.status, 200);
}

#[tokio::test]
async fn ca_7_oa_3_after_too_many_failures_a_right_assertion_still_passes() {
    let key = ClientKey::generate();
    let test_app = start(&key).await;
    allow_failures(&test_app, 2, 50);
    let right = key.sign(&claims(&test_app));
    let wrong = ClientKey::generate().sign(&claims(&test_app));
    assert_eq!(request_token(&test_app, &wrong).await.status, 401);
    for _ in 0..3 {
        let response = request_token(&test_app, &key.sign(&claims(&test_app))).await;
        assert_eq!(response.status, 200, "a right one is not counted");
    }
    assert_eq!(request_token(&test_app, &wrong).await.status, 401);
    assert_eq!(request_token(&test_app, &wrong).await.status, 429);
    let response = request_token(&test_app, &right).await;
    assert_eq!(response.status, 200, "a neighbour has no key");
    assert_eq!(
        request_token(&test_app, &right).await.status,
        429,
        "and its second use is a failure"
    );
    assert_eq!(request_token(&test_app, &wrong).await.status, 429);
    test_app.advance(51);
    assert_eq!(request_token(&test_app, &wrong).await.status, 401);
}

#[tokio::test]
async fn ca_4_ca_7_a_neighbors_failures_delay_no_other_client() {
    let key = ClientKey::generate();
    let test_app = start(&key).await;
    configure_signer(&test_app, "api", &key);
    allow_failures(&test_app, 3, 50);
    let sign = |key: &ClientKey, client: &str| key.sign(&claims_of(&test_app, client));
    // An attacker behind the same address makes up clients, and guesses at one.
    for _ in 0..5 {
        test_app
            .post("/oauth2/token", Some(("unknown", "x")), &CREDENTIALS)
            .await;
        request_token(&test_app, &sign(&key, "unknown")).await;
        request_token(&test_app, &sign(&ClientKey::generate(), "api")).await;
    }
    let response = request_token(&test_app, &sign(&key, SIGNER)).await;
    assert_eq!(response.status, 200, "another client's failures");
    let form = [("token", "x")];
    let wrong = sign(&ClientKey::generate(), "api");
    let response = post(&test_app, INTROSPECT, &wrong, &form).await;
    assert_eq!(response.status, 429);
    let response = post(&test_app, INTROSPECT, &sign(&key, "api"), &form).await;
    assert_eq!(response.status, 200, "the client has the key");
    // A wrong assertion still gets the one response, and no more of them are checked.
    for _ in 0..3 {
        let wrong = sign(&ClientKey::generate(), SIGNER);
        let wrong = request_token(&test_app, &wrong).await;
        let unknown = request_token(&test_app, &sign(&key, "unknown")).await;
        assert_eq!(wrong.status, 429);
        assert_eq!(wrong.body, unknown.body);
    }
    let response = request_token(&test_app, &sign(&key, SIGNER)).await;
    assert_eq!(response.status, 200, "too many of its neighbour's");
    test_app.advance(51);
    for client in [SIGNER, "api"] {
        let response = post(&test_app, INTROSPECT, &sign(&key, client), &form).await;
        assert_eq!(response.status, 200, "{client}");
    }
}

#[tokio::test]
async fn ca_8_rd_09_one_that_is_older_than_any_may_be_is_refused_and_not_put_off() {
    let key = ClientKey::generate();
    let test_app = start(&key).await;
    let made_at = |seconds: i64| key.sign(&with(claims(&test_app), "iat", seconds.into()));
    let made_ago = |ago: i64| made_at(test_app.app.clock().now().seconds() - ago);
    // The data of the ticket store began a minute ago, but an assertion this old is wrong whatever
    // the store remembers.
    for old in [made_at(1), made_ago(MAX_LIFETIME + 1)] {
        let refused = request_token(&test_app, &old).await;
        assert_eq!(refused.error(), INVALID_CLIENT);
    }
    let put_off = request_token(&test_app, &made_ago(MAX_LIFETIME - 10)).await;
    assert_eq!(put_off.error(), (503, "temporarily_unavailable"));
    test_app.advance(400);
    let response = request_token(&test_app, &made_ago(MAX_LIFETIME - 10)).await;
    assert_eq!(response.status, 200);
    let refused = request_token(&test_app, &made_ago(MAX_LIFETIME + 1)).await;
    assert_eq!(refused.error(), INVALID_CLIENT);
}

#[tokio::test]
async fn ca_8_ca_9_each_claim_is_checked() {
    let key = ClientKey::generate();
    let test_app = start(&key).await;
    let now = test_app.app.clock().now().seconds();
    for (name, value, is_right) in [
        ("aud", json!(ISSUER), true),
        ("aud", json!(format!("{ISSUER}/oauth2/token")), true),
        ("aud", json!([ISSUER]), true),
        ("aud", json!([ISSUER, "https://other.example"]), false),
        ("aud", json!(format!("{ISSUER}/")), false),
        ("aud", json!(format!("{ISSUER}/oauth2/revoke")), false),
        ("aud", json!(format!("{ISSUER}/oauth2/par")), false),
        ("aud", json!("https://other.example"), false),
        ("aud", Value::Null, false),
        ("iss", json!("web"), false),
        ("iss", json!([SIGNER]), false),
        ("iss", Value::Null, false),
        ("exp", json!(now + 290), true),
        ("exp", json!((now + 200) as f64 + 0.5), true),
        ("exp", json!(now + 330), false),
        ("exp", json!(now - 1), false),
        ("exp", json!((now + 60).to_string()), false),
        ("exp", Value::Null, false),
        ("iat", json!(now + 10), true),
        ("iat", json!(now + 61), false),
        ("iat", json!("now"), false),
        ("nbf", json!(now + 10), true),
        ("nbf", json!(now + 61), false),
        ("jti", json!(""), false),
        ("jti", json!(7), false),
        ("jti", json!("x".repeat(MAX_JTI + 1)), false),
        ("jti", Value::Null, false),
        ("more", json!({ "anything": 1 }), true),
    ] {
        let claims = with(claims(&test_app), name, value.clone());
        let assertion = key.sign_with(&json!({ "alg": "ES256", "typ": "JWT" }), &claims);
        let response = request_token(&test_app, &assertion).await;
        let expected = if is_right { (200, "") } else { INVALID_CLIENT };
        assert_eq!(response.error(), expected, "{name} {value}");
        if !is_right {
            let unknown = request_token(&test_app, "x.y.z").await;
            assert_eq!(
                (response.body, response.headers),
                (unknown.body, unknown.headers),
                "ca_4 {name} {value}"
            );
        }
    }
}

#[tokio::test]
async fn pu_1_an_assertion_authenticates_a_push_for_the_issuer_and_not_for_the_endpoint() {
    let key = ClientKey::generate();
    let test_app = start(&key).await;
    let request = [
        ("response_type", "code"),
        ("redirect_uri", "https://app.example/cb"),
        ("scope", "openid"),
    ];
    for (audience, is_right) in [
        (ISSUER.to_owned(), true),
        (format!("{ISSUER}/oauth2/token"), true),
        (format!("{ISSUER}/oauth2/par"), false),
    ] {
        let claims = with(claims(&test_app), "aud", audience.as_str().into());
        let assertion = key.sign(&claims);
        let pushed = post(&test_app, "/oauth2/par", &assertion, &request).await;
        let expected = if is_right { (201, "") } else { INVALID_CLIENT };
        assert_eq!(pushed.error(), expected, "{audience}");
        // Each assertion counts once, at whatever endpoint.
        let again = post(&test_app, "/oauth2/par", &assertion, &request).await;
        assert_eq!(again.error(), INVALID_CLIENT, "{audience}");
    }
}

#[tokio::test]
async fn ot_1_only_the_issuer_counts_where_an_operator_says_so() {
    let key = ClientKey::generate();
    let test_app = start(&key).await;
    let accepted = async |audience: Value| {
        let assertion = key.sign(&with(claims(&test_app), "aud", audience));
        request_token(&test_app, &assertion).await.status == 200
    };
    let endpoint = json!(format!("{ISSUER}/oauth2/token"));
    let (any, issuer) = (AssertionAudience::Any, AssertionAudience::Issuer);
    for (default, own, takes_endpoint) in [
        (any, None, true),
        (issuer, None, false),
        (issuer, Some(any), true),
        (any, Some(issuer), false),
    ] {
        test_app.reconfigure(|config| config.token.assertion_audience = default);
        test_app.configure(SIGNER, |client| client.assertion_audience = own);
        assert!(accepted(json!(ISSUER)).await && accepted(json!([ISSUER])).await);
        let found = accepted(endpoint.clone()).await;
        assert_eq!(found, takes_endpoint, "{default:?} {own:?}");
    }
}

#[tokio::test]
async fn fs_1_an_assertion_of_the_profile_is_for_the_issuer_and_never_rs256() {
    let test_app = start(&ClientKey::generate()).await;
    let [ps256, rs256] = ProofKey::ps256_and_rs256();
    for (key, is_right) in [
        (ProofKey::es256(), true),
        (ProofKey::ed25519(), true),
        (ps256, true),
        (rs256, false),
    ] {
        let jwks = Jwks::try_from(json!({ "keys": [key.jwk] })).unwrap();
        test_app.configure(SIGNER, |client| client.jwks = Some(jwks));
        let accepted = async |profile: Profile, audience: Value| {
            test_app.configure(SIGNER, |client| client.profile = profile);
            let claims = with(claims(&test_app), "aud", audience);
            let header = json!({ "alg": key.alg }).to_string();
            let assertion = key.sign(&header, &claims.to_string());
            request_token(&test_app, &assertion).await.status == 200
        };
        let found = accepted(Profile::Fapi2, json!(ISSUER)).await;
        assert_eq!(found, is_right, "{}", key.alg);
        let standard = accepted(Profile::Standard, json!(ISSUER)).await;
        assert!(standard, "{}", key.alg);
        assert!(!accepted(Profile::Fapi2, json!([ISSUER])).await);
        let endpoint = json!(format!("{ISSUER}/oauth2/token"));
        assert!(!accepted(Profile::Fapi2, endpoint).await);
    }
}

/// CA-4, CA-6: the form may name the client, too.
#[tokio::test]
async fn ca_8_an_assertion_without_a_subject_is_a_wrong_one() {
    let key = ClientKey::generate();
    let test_app = start(&key).await;
    for sub in [Value::Null, json!(""), json!(7)] {
        let assertion = key.sign(&with(claims(&test_app), "sub", sub));
        for more in [&[][..], &[("client_id", SIGNER)]] {
            let form = [&CREDENTIALS[..], more].concat();
            let refused = post(&test_app, "/oauth2/token", &assertion, &form).await;
            assert_eq!(refused.error(), INVALID_CLIENT, "{more:?}");
        }
    }
}

#[tokio::test]
async fn ca_8_tk_13_the_signature_must_be_the_clients_and_the_token_an_assertion() {
    let (key, other) = (ClientKey::generate(), ClientKey::generate());
    let test_app = start(&key).await;
    let claims = || claims(&test_app);
    let sign_with = |header: Value| key.sign_with(&header, &claims());
    let tokens = test_app.tokens("web", "openid").await;
    let mut unsigned = key.sign(&claims());
    unsigned.truncate(unsigned.rfind('.').unwrap() + 1);
    let long_claims = with(claims(), "x", "x".repeat(MAX_BYTES).into());
    for (case, assertion, expected) in [
        ("another key", other.sign(&claims()), INVALID_CLIENT),
        ("no signature", unsigned, INVALID_CLIENT),
        (
            "alg none",
            sign_with(json!({ "alg": "none" })),
            INVALID_CLIENT,
        ),
        (
            "a shared secret",
            sign_with(json!({ "alg": "HS256" })),
            INVALID_CLIENT,
        ),
        (
            "crit",
            sign_with(json!({ "alg": "ES256", "crit": ["exp"] })),
            INVALID_CLIENT,
        ),
        (
            "another key in the header, which is not read",
            sign_with(json!({ "alg": "ES256", "kid": "x", "jwk": other.jwk(None) })),
            (200, ""),
        ),
        (
            "the type of an access token",
            sign_with(json!({ "alg": "ES256", "typ": "at+jwt" })),
            INVALID_CLIENT,
        ),
        (
            "the type of a proof",
            sign_with(json!({ "alg": "ES256", "typ": "dpop+jwt" })),
            INVALID_CLIENT,
        ),
        (
            "an access token",
            tokens.text("access_token"),
            INVALID_CLIENT,
        ),
        ("an ID token", tokens.text("id_token"), INVALID_CLIENT),
        ("too long", key.sign(&long_claims), INVALID_REQUEST),
    ] {
        let response = request_token(&test_app, &assertion).await;
        assert_eq!(response.error(), expected, "{case}");
    }
}

#[tokio::test]
async fn ca_3_ca_6_ca_8_one_way_alone_with_exactly_its_parameters() {
    let key = ClientKey::generate();
    let test_app = start(&key).await;
    let sign = || ("client_assertion", key.sign(&claims(&test_app)));
    let right_type = || ("client_assertion_type", ASSERTION_TYPE.to_owned());
    let saml = (
        "client_assertion_type",
        ASSERTION_TYPE.replace("jwt", "saml2"),
    );
    let client_id = |id: &str| ("client_id", id.to_owned());
    let secret = |secret: &str| ("client_secret", secret.to_owned());
    let basic = Some((SIGNER, SECRET));
    for (case, basic, form, expected) in [
        ("no type", None, vec![sign()], INVALID_REQUEST),
        ("no assertion", None, vec![right_type()], INVALID_REQUEST),
        ("another type", None, vec![sign(), saml], INVALID_REQUEST),
        (
            "two assertions",
            None,
            vec![sign(), sign(), right_type()],
            INVALID_REQUEST,
        ),
        (
            "with a secret",
            None,
            vec![sign(), right_type(), secret("x")],
            INVALID_REQUEST,
        ),
        (
            "with a header",
            basic,
            vec![sign(), right_type()],
            INVALID_REQUEST,
        ),
        (
            "another client_id",
            None,
            vec![sign(), right_type(), client_id("web")],
            INVALID_REQUEST,
        ),
        ("a secret instead", basic, vec![], INVALID_CLIENT),
        (
            "a secret in the form instead",
            None,
            vec![client_id(SIGNER), secret(SECRET)],
            INVALID_CLIENT,
        ),
        ("nothing", None, vec![client_id(SIGNER)], INVALID_CLIENT),
    ] {
        let mut form: Vec<(&str, &str)> = form
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        form.extend(CREDENTIALS);
        let response = test_app.post("/oauth2/token", basic, &form).await;
        assert_eq!(response.error(), expected, "{case}");
    }
    // A client that registered a secret cannot sign instead.
    test_app.configure("post", |client| client.jwks = Some(key.jwks()));
    let assertion = key.sign(&claims_of(&test_app, "post"));
    let refused = request_token(&test_app, &assertion).await;
    assert_eq!(refused.error(), INVALID_CLIENT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ca_8_of_64_uses_of_one_assertion_one_is_accepted() {
    let key = ClientKey::generate();
    let test_app = start(&key).await;
    let assertion = key.sign(&claims(&test_app));
    let responses = join_all((0..64).map(|_| request_token(&test_app, &assertion))).await;
    let mut statuses: Vec<u16> = responses
        .iter()
        .map(|response| response.status.as_u16())
        .collect();
    statuses.sort_unstable();
    assert_eq!(statuses[0], 200);
    assert!(statuses[1..].iter().all(|status| *status == 401));
    // Until it expires, at another endpoint too.
    test_app.advance(59);
    let form = [("token", "x")];
    let replayed = post(&test_app, INTROSPECT, &assertion, &form).await;
    assert_ne!(replayed.status, 200);
    // Another client may use the same identifier.
    configure_signer(&test_app, "api", &key);
    let jti = public_id().to_string();
    for (client, expected) in [(SIGNER, 200), ("api", 200), ("api", 401)] {
        let claims = with(claims_of(&test_app, client), "jti", jti.clone().into());
        let response = post(&test_app, INTROSPECT, &key.sign(&claims), &form).await;
        assert_eq!(response.status, expected, "{client}");
    }
}

#[tokio::test]
async fn rd_09_an_assertion_that_was_used_is_refused_when_the_store_has_lost_it() {
    let key = ClientKey::generate();
    let mut test_app = start(&key).await;
    // Without `iat` an assertion may be as old as its expiry allows.
    let undated = key.sign(&with(claims(&test_app), "iat", Value::Null));
    assert_eq!(request_token(&test_app, &undated).await.status, 503);
    test_app.advance(300);
    let now = test_app.app.clock().now().seconds();
    let long = with(claims(&test_app), "exp", (now + 290).into());
    let dated = key.sign(&long);
    let undated = with(long, "iat", Value::Null);
    let undated = key.sign(&with(undated, "jti", "another".into()));
    for assertion in [&dated, &undated] {
        assert_eq!(request_token(&test_app, assertion).await.status, 200);
    }
    let clock = test_app.app.clock().clone();
    test_app.replace_tickets(Tickets::memory(
        1 << 20,
        clock,
        &MasterKeys::new([7; 32], []),
    ));
    for _ in 0..2 {
        for assertion in [&dated, &undated] {
            let replayed = request_token(&test_app, assertion).await;
            assert_ne!(replayed.status, 200, "{replayed:?}");
        }
        // A new one may be an old one from a clock ahead of ours: later, with another one.
        let fresh = request_token(&test_app, &key.sign(&claims(&test_app))).await;
        assert_eq!(fresh.error(), (503, "temporarily_unavailable"), "{fresh:?}");
        let wait: u64 = fresh.header(header::RETRY_AFTER).parse().unwrap();
        assert!((1..=61).contains(&wait), "{wait}");
        test_app.advance(29);
    }
    test_app.advance(5);
    let fresh = request_token(&test_app, &key.sign(&claims(&test_app))).await;
    assert_eq!(fresh.status, 200, "a minute later");
    for assertion in [&dated, &undated] {
        let replayed = request_token(&test_app, assertion).await;
        assert_ne!(replayed.status, 200, "never again");
    }
}

#[tokio::test]
async fn rd_08_without_the_ticket_store_no_assertion_is_accepted() {
    let key = ClientKey::generate();
    let mut test_app = start(&key).await;
    let url = "redis+unix:///nonexistent/entree-test.sock";
    test_app.replace_tickets(
        Tickets::connect(
            url,
            Space {
                prefix: "x",
                max_bytes: 1 << 20,
            },
            &MasterKeys::new([7; 32], []),
        )
        .unwrap(),
    );
    let response = request_token(&test_app, &key.sign(&claims(&test_app))).await;
    assert_eq!(response.error(), (503, "temporarily_unavailable"));
}

#[tokio::test]
async fn ca_10_published_keys_are_read_again_for_an_unknown_kid_at_most_once_a_minute() {
    let (first, second) = (ClientKey::generate(), ClientKey::generate());
    let one = json!({ "keys": [first.jwk(Some("1"))] });
    let both = json!({
        "keys": [{ "kty": "oct", "k": "AA" }, first.jwk(Some("1")), second.jwk(Some("2"))]
    });
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&requests);
    let server = TestServer::start(move |_| {
        let is_first = counter.fetch_add(1, Ordering::SeqCst) == 0;
        let body = if is_first { &one } else { &both }.to_string();
        raw_response(200, "content-type: application/json\r\n", &body)
    })
    .await;
    let requests = || requests.load(Ordering::SeqCst);
    let test_app = start(&first).await;
    test_app.configure(SIGNER, |client| {
        client.jwks = None;
        client.jwks_uri = format!("{}/jwks", server.base);
    });
    let status = async |key: &ClientKey, kid: &str| {
        let header = json!({ "alg": "ES256", "kid": kid });
        let assertion = key.sign_with(&header, &claims(&test_app));
        request_token(&test_app, &assertion).await.status.as_u16()
    };
    assert_eq!(status(&first, "1").await, 200);
    assert_eq!(status(&first, "1").await, 200);
    assert_eq!(requests(), 1, "the document is cached");
    for kid in ["2", "3", "4"] {
        assert_eq!(status(&second, kid).await, 401);
    }
    assert_eq!(requests(), 1, "not again within a minute");
    test_app.advance(60);
    assert_eq!(status(&second, "2").await, 200, "the new key");
    assert_eq!(status(&first, "1").await, 200);
    assert_eq!(requests(), 2);
    assert_eq!(status(&first, "2").await, 401, "the kid of another key");
    // Beyond the budget of failures an invented kid causes no fetch, and the client's keys still work.
    allow_failures(&test_app, 1, 90);
    assert_eq!(status(&first, "2").await, 401);
    test_app.advance(60);
    assert_eq!(status(&first, "5").await, 429);
    assert_eq!(status(&second, "2").await, 200);
    assert_eq!(requests(), 2, "no fetch beyond the budget");
    allow_failures(&test_app, 10_000, 60);
    let unnamed = request_token(&test_app, &first.sign(&claims(&test_app))).await;
    assert_eq!(unnamed.status, 200, "without a kid any key is tried");
    drop(server);
    test_app.advance(601);
    let while_away = status(&first, "1").await;
    assert_eq!(while_away, 200, "the cached keys stay good for a time");
    test_app.advance(3600);
    assert_eq!(status(&first, "1").await, 503, "but not forever");
}

/// A document that cannot be read says nothing about an assertion: no failure is counted, and the client
/// learns when to try again.
#[tokio::test]
async fn ca_10_without_the_published_keys_a_client_is_asked_to_try_again() {
    let key = ClientKey::generate();
    let is_there = Arc::new(AtomicBool::new(false));
    let (document, published) = (
        json!({ "keys": [key.jwk(None)] }).to_string(),
        Arc::clone(&is_there),
    );
    let server = TestServer::start(move |_| {
        let status = if published.load(Ordering::SeqCst) {
            200
        } else {
            500
        };
        raw_response(status, "content-type: application/json\r\n", &document)
    })
    .await;
    let test_app = start(&key).await;
    test_app.configure(SIGNER, |client| {
        client.jwks = None;
        client.jwks_uri = format!("{}/jwks", server.base);
    });
    allow_failures(&test_app, 1, 3600);
    for _ in 0..3 {
        let response = request_token(&test_app, &key.sign(&claims(&test_app))).await;
        assert_eq!(response.error(), (503, "temporarily_unavailable"));
        assert_eq!(response.header(header::RETRY_AFTER), "60");
    }
    is_there.store(true, Ordering::SeqCst);
    test_app.advance(60);
    let response = request_token(&test_app, &key.sign(&claims(&test_app))).await;
    assert_eq!(response.status, 200, "nothing was counted");
    let wrong = ClientKey::generate().sign(&claims(&test_app));
    assert_eq!(request_token(&test_app, &wrong).await.status, 401);
    assert_eq!(
        request_token(&test_app, &wrong).await.status,
        429,
        "the budget is one"
    );
}

#[test]
fn ca_10_a_document_is_fetched_from_public_addresses_alone() {
    // `web::fetch` would refuse the same addresses when it is used.
    let problems = |uri: &str| {
        let definition = json!({
            "name": "A",
            "audience": "https://api.example",
            "redirect_uris": ["https://a.example/cb"],
            "token_endpoint_auth_method": "private_key_jwt",
            "jwks_uri": uri,
        });
        let block = ClientBlock::from_definition("a", &definition.to_string()).unwrap();
        let problems = block.into_client(&Token::default(), ISSUER).err();
        let keys = problems.into_iter().flatten().map(|problem| problem.key);
        keys.collect::<Vec<_>>()
    };
    for right in ["https://a.example/jwks.json", "http://127.0.0.1:9/jwks"] {
        assert_eq!(problems(right), Vec::<String>::new(), "{right}");
    }
    for bad in [
        "http://a.example/jwks",
        "https://u:p@a.example/",
        "https://a.example/#x",
        "file:///etc/passwd",
        "jwks",
    ] {
        assert_eq!(problems(bad), ["jwks_uri"], "{bad}");
    }
}
