//! The responses of a provider's token endpoint, and the form, header, key and signature of the ID
//! token (R-18 to R-25).
#![allow(
    clippy::too_many_lines,
    reason = "a table of cases reads best in one piece"
)]

use serde_json::{Value, json};
use testkit::upstream::{Fault, Keys, Pace, Place, Reply, Sign, encode};

use crate::{
    federation::{ProviderFixture, RefusalCase, assert_refused},
    test_app::TestApp,
};

on_both!(
    r_18_up_token_http_a_response_that_is_no_token_response,
    r_19_up_token_type_not_bearer,
    r_20_a_response_without_an_id_token_is_refused,
    r_21_it_01_up_id_token_malformed,
    r_22_it_02_up_alg,
    r_23_it_02_up_typ_up_crit,
    r_24_dj_09_pr_02_up_key_unknown,
    r_25_it_04_up_signature,
    it_02_a_listed_algorithm_other_than_the_default_is_accepted,
    ht_09_a_token_exchange_is_never_sent_twice,
);

fn token(status: u16, kind: &str, body: &str) -> Vec<Fault> {
    vec![Fault::reply(Place::Token, Reply::new(status, kind, body))]
}

async fn r_18_up_token_http_a_response_that_is_no_token_response(test_app: TestApp) {
    let grant = r#"{"error":"invalid_grant","error_description":"<i>gone</i>"}"#;
    let form = "access_token=abc&token_type=bearer&id_token=a.b.c";
    assert_refused(
        &test_app,
        "up_token_http",
        vec![
            RefusalCase::new("invalid_grant", 400, token(400, "application/json", grant)),
            RefusalCase::new(
                "401",
                502,
                token(401, "application/json", r#"{"error":"invalid_client"}"#),
            ),
            RefusalCase::new("500", 503, token(500, "application/json", "{}")),
            RefusalCase::new("an empty 503", 503, token(503, "text/plain", "")),
            RefusalCase::new(
                "HTML",
                502,
                token(200, "text/html", "<html><body>sign in</body></html>"),
            ),
            RefusalCase::new(
                "form-encoded",
                502,
                token(200, "application/x-www-form-urlencoded", form),
            ),
            RefusalCase::new("200 with error", 400, token(200, "application/json", grant)),
            RefusalCase::new(
                "200 with another error",
                502,
                token(200, "application/json", r#"{"error":"bad_client"}"#),
            ),
            RefusalCase::new("an array", 502, token(200, "application/json", "[]")),
            RefusalCase::new("nothing", 502, token(200, "application/json", "")),
        ],
    )
    .await;
}

async fn r_19_up_token_type_not_bearer(test_app: TestApp) {
    let kind = |value: Value| vec![Fault::member(Place::Token, "token_type", value)];
    assert_refused(
        &test_app,
        "up_token_type",
        vec![
            RefusalCase::new("mac", 502, kind(json!("mac"))),
            RefusalCase::new("DPoP", 502, kind(json!("DPoP"))),
            RefusalCase::new("empty", 502, kind(json!(""))),
            RefusalCase::new("none", 502, kind(Value::Null)),
        ],
    )
    .await;
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    fixture
        .up
        .inject(Fault::member(Place::Token, "token_type", json!("bEaReR")));
    fixture.assert_signs_in("RFC 6749 §5.1: in any case").await;
}

async fn r_20_a_response_without_an_id_token_is_refused(test_app: TestApp) {
    let fault = |value: Value| vec![Fault::member(Place::Token, "id_token", value)];
    assert_refused(
        &test_app,
        "up_id_token_missing",
        vec![RefusalCase::new("absent", 502, fault(Value::Null))],
    )
    .await;
}

/// Returns the fault that changes a token after it was signed.
fn compact(change: impl Fn(&str) -> String + Send + Sync + 'static) -> Vec<Fault> {
    vec![Fault::compact(move |token| *token = change(token))]
}

/// A change of a text before it is signed.
type Edit = Box<dyn Fn(&mut String) + Send + Sync>;

/// Adds a second member of the same name to a text before it is signed.
fn twice(text: &mut String, name: &str, value: &str) {
    let end = text.trim_end_matches('}').to_owned();
    *text = format!("{end},\"{name}\":{value}}}");
}

async fn r_21_it_01_up_id_token_malformed(test_app: TestApp) {
    let jwe = || {
        format!(
            "{}.a.b.c.d",
            encode(br#"{"alg":"RSA-OAEP","enc":"A128GCM"}"#)
        )
    };
    let second = |fault: fn(Edit) -> Fault, name: &'static str, value: &'static str| {
        vec![fault(Box::new(move |text| twice(text, name, value)))]
    };
    let member = |value: Value| vec![Fault::member(Place::Token, "id_token", value)];
    assert_refused(
        &test_app,
        "up_id_token_malformed",
        vec![
            RefusalCase::new(
                "two parts",
                502,
                compact(|token| token.rsplit_once('.').unwrap().0.to_owned()),
            ),
            RefusalCase::new("four parts", 502, compact(|token| format!("{token}.AAAA"))),
            RefusalCase::new("padding", 502, compact(|token| format!("{token}=="))),
            RefusalCase::new(
                "a blank inside",
                502,
                compact(|token| token.replacen('.', " .", 1)),
            ),
            RefusalCase::new(
                "base64, not base64url",
                502,
                compact(|token| format!("{}+/", &token[..token.len() - 2])),
            ),
            RefusalCase::new("empty", 502, member(json!(""))),
            RefusalCase::new(
                "header is not JSON",
                502,
                vec![Fault::HeaderText(Box::new(|text| {
                    *text = "alg=RS256".to_owned()
                }))],
            ),
            RefusalCase::new(
                "claims are an array",
                502,
                vec![Fault::ClaimsText(Box::new(|text| *text = "[1]".to_owned()))],
            ),
            RefusalCase::new(
                "claims are not JSON",
                502,
                vec![Fault::ClaimsText(Box::new(|text| text.push('x')))],
            ),
            RefusalCase::new(
                "17 KiB",
                502,
                vec![Fault::claim("filler", json!("x".repeat(17 * 1024)))],
            ),
            RefusalCase::new("a JWE", 502, compact(move |_| jwe())),
            RefusalCase::new(
                "alg twice",
                502,
                second(Fault::HeaderText, "alg", "\"RS256\""),
            ),
            RefusalCase::new(
                "sub twice",
                502,
                second(Fault::ClaimsText, "sub", "\"mallory\""),
            ),
            RefusalCase::new(
                "a nested member twice",
                502,
                second(Fault::ClaimsText, "address", r#"{"a":1,"a":2}"#),
            ),
        ],
    )
    .await;
}

async fn r_22_it_02_up_alg(test_app: TestApp) {
    let public = first_public_key().await;
    let secret = testkit::upstream::CLIENT_SECRET.as_bytes().to_vec();
    let hs256 = |key: Vec<u8>| vec![Fault::Sign(Sign::Hs256(key))];
    assert_refused(
        &test_app,
        "up_alg",
        vec![
            RefusalCase::new("none", 502, vec![Fault::Sign(Sign::None)]),
            RefusalCase::new(
                "nOnE",
                502,
                vec![Fault::Sign(Sign::None), Fault::header("alg", json!("nOnE"))],
            ),
            RefusalCase::new("HS256 with the secret", 502, hs256(secret)),
            RefusalCase::new("HS256 with the public key", 502, hs256(public)),
            RefusalCase::new("PS256, unlisted", 502, vec![Fault::Sign(Sign::Ps256)]),
            RefusalCase::new("ES256, unlisted", 502, vec![Fault::Sign(Sign::Es256)]),
            RefusalCase::new("absent", 502, vec![Fault::header("alg", Value::Null)]),
        ],
    )
    .await;
}

/// Returns the public key with which every provider of this process signs at first.
async fn first_public_key() -> Vec<u8> {
    testkit::upstream::Upstream::start().await.public_der()
}

async fn r_23_it_02_up_typ_up_crit(test_app: TestApp) {
    let typ = |value: &str| vec![Fault::header("typ", json!(value))];
    let rows = ["at+jwt", "logout+jwt", "JOSE", "dpop+jwt", ""].map(|value| {
        let label = if value.is_empty() { "empty" } else { value };
        RefusalCase::new(label, 502, typ(value))
    });
    assert_refused(&test_app, "up_typ", rows.into()).await;
    let crit = |value: Value| vec![Fault::header("crit", value)];
    assert_refused(
        &test_app,
        "up_crit",
        vec![
            RefusalCase::new("empty", 502, crit(json!([]))),
            RefusalCase::new("of something unknown", 502, crit(json!(["exp"]))),
            RefusalCase::new("of something known", 502, crit(json!(["alg"]))),
        ],
    )
    .await;
    for typ in [json!("jwt"), Value::Null] {
        let fixture = ProviderFixture::new(&test_app, json!({})).await;
        fixture.up.inject(Fault::header("typ", typ));
        fixture
            .assert_signs_in("RFC 8725 §3.11: absent, or JWT in any case")
            .await;
    }
}

/// Returns the fault that changes the first key of the set.
fn first_key(change: impl Fn(&mut Value) + Send + Sync + 'static) -> Fault {
    Fault::json(Place::Jwks, move |jwks| change(&mut jwks["keys"][0]))
}

fn with_key(key: impl Fn(&Value) -> Value + Send + Sync + 'static) -> Fault {
    Fault::json(Place::Jwks, move |jwks| {
        let more = key(&jwks["keys"][0]);
        jwks["keys"].as_array_mut().unwrap().push(more);
    })
}

fn set(key: &Value, name: &str, value: Value) -> Value {
    let mut key = key.clone();
    key[name] = value;
    key
}

async fn r_24_dj_09_pr_02_up_key_unknown(test_app: TestApp) {
    let small = || {
        Fault::json(Place::Jwks, |jwks| {
            jwks["keys"] = json!([Keys::small_jwk()])
        })
    };
    assert_refused(
        &test_app,
        "up_key_unknown",
        vec![
            RefusalCase::new(
                "unknown after a refresh",
                502,
                vec![Fault::header("kid", json!("unknown"))],
            ),
            RefusalCase::new(
                "an encryption key",
                502,
                vec![first_key(|key| key["use"] = json!("enc"))],
            ),
            RefusalCase::new(
                "RSA of 1024 bits",
                502,
                vec![small(), Fault::Sign(Sign::Small)],
            ),
            RefusalCase::new(
                "no kid with two keys",
                502,
                vec![
                    Fault::header("kid", Value::Null),
                    with_key(|key| set(key, "kid", json!("rsa-other"))),
                ],
            ),
            RefusalCase::new("a kid twice", 502, vec![with_key(Clone::clone)]),
            RefusalCase::new(
                "a private key",
                502,
                vec![first_key(|key| key["d"] = json!("AQAB"))],
            ),
            RefusalCase::new(
                "a kid of another kind of key",
                502,
                vec![Fault::header("kid", json!("ec-1"))],
            ),
            RefusalCase::new(
                "an unknown kind",
                502,
                vec![first_key(|key| key["kty"] = json!("XYZ"))],
            ),
            RefusalCase::new(
                "no keys",
                502,
                vec![Fault::json(Place::Jwks, |jwks| jwks["keys"] = json!([]))],
            ),
        ],
    )
    .await;
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    fixture.up.inject(Fault::header("kid", Value::Null));
    fixture
        .assert_signs_in("no kid, and one key that fits")
        .await;
}

/// Flips one bit in the middle of a part of the token.
fn flipped(part: usize) -> Vec<Fault> {
    use base64::Engine as _;
    let url_safe = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    compact(move |token| {
        let mut parts: Vec<Vec<u8>> = token
            .split('.')
            .map(|text| url_safe.decode(text).unwrap())
            .collect();
        if part < 2 {
            // A change that leaves JSON: one letter of a value.
            let text = String::from_utf8(parts[part].clone()).unwrap();
            let text = if part == 0 {
                text.replace("\"JWT\"", "\"jWT\"")
            } else {
                text.replace("Ann", "Bnn")
            };
            assert_ne!(text.as_bytes(), parts[part]);
            parts[part] = text.into_bytes();
        } else {
            let middle = parts[2].len() / 2;
            parts[2][middle] ^= 1;
        }
        parts
            .iter()
            .map(|bytes| encode(bytes))
            .collect::<Vec<_>>()
            .join(".")
    })
}

async fn r_25_it_04_up_signature(test_app: TestApp) {
    assert_refused(
        &test_app,
        "up_signature",
        vec![
            RefusalCase::new("the header", 502, flipped(0)),
            RefusalCase::new("the claims", 502, flipped(1)),
            RefusalCase::new("the signature", 502, flipped(2)),
            RefusalCase::new(
                "an empty signature",
                502,
                compact(|token| format!("{}.", token.rsplit_once('.').unwrap().0)),
            ),
            RefusalCase::new(
                "a stranger's key under that name",
                502,
                vec![Fault::Sign(Sign::Stranger)],
            ),
            RefusalCase::new(
                "a key in the header",
                502,
                vec![
                    Fault::Sign(Sign::Stranger),
                    Fault::header("jku", json!("https://evil.example/jwks")),
                    Fault::header("jwk", Keys::small_jwk()),
                ],
            ),
        ],
    )
    .await;
}

async fn it_02_a_listed_algorithm_other_than_the_default_is_accepted(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({"algs": ["RS256", "ES256"]})).await;
    fixture.up.inject(Fault::Sign(Sign::Es256));
    fixture.assert_signs_in("ES256 where it is listed").await;
    fixture.up.reset_faults();
    fixture.assert_signs_in("RS256 beside it").await;
}

async fn ht_09_a_token_exchange_is_never_sent_twice(test_app: TestApp) {
    let late = Reply::json(200, &json!({"filler": "x".repeat(100)}))
        .at(Pace::Drip(std::time::Duration::from_secs(1)));
    for (why, reply) in [
        ("a fault", Reply::new(503, "text/plain", "")),
        ("a body that never ends", late),
    ] {
        let fixture = ProviderFixture::new(&test_app, json!({})).await;
        fixture.up.inject(Fault::reply(Place::Token, reply));
        let (mut browser, login) = fixture.open_sign_in().await;
        let page = fixture.press_button(&mut browser, &login).await;
        let back = fixture.up.visit(&page).await;
        let response = browser.open(&back.path()).await;
        assert_eq!(response.status, 503, "{why}: {}", response.summary());
        assert_eq!(fixture.up.count(Place::Token), 1, "{why}");
        let again = browser.open(&back.path()).await;
        assert_eq!(
            (again.status.as_u16(), fixture.up.count(Place::Token)),
            (400, 1),
            "{why}"
        );
    }
}
