//! A test for each rule, with a good token of which one part is wrong (JT-04).
#![allow(clippy::unwrap_used, clippy::panic)]

use jwt_compact::{
    Algorithm, Header,
    alg::{Hs256, Hs256Key},
};
use serde_json::json;

use super::*;

const NOW: i64 = 1_800_000_000;
const ISSUER: &str = "http://127.0.0.1:8080";
const AUDIENCE: &str = "http://127.0.0.1:8082";

type SigningKey = <Es256 as Algorithm>::SigningKey;

fn signing_key() -> SigningKey {
    SigningKey::from_slice(&[7; 32]).unwrap()
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "8a1f3c52-0000-4000-8000-000000000001", "aud": AUDIENCE, "client_id": "lessons-web",
        "exp": NOW + 600, "iat": NOW, "jti": "j", "roles": ["student"], "scope": "openid", "auth_time": NOW - 5,
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims
        .as_object_mut()
        .unwrap()
        .insert(name.to_owned(), value);
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

/// Signs any claims with any headers beside `alg`.
fn sign_with<A: Algorithm>(
    algorithm: &A,
    key: &A::SigningKey,
    headers: Value,
    claims: Value,
) -> String {
    let headers: Headers = serde_json::from_value(headers).unwrap();
    algorithm
        .token(&Header::new(headers), &Claims::new(claims), key)
        .unwrap()
}

fn sign(claims: Value) -> String {
    sign_with(
        &Es256,
        &signing_key(),
        json!({"typ": "at+jwt", "kid": "one"}),
        claims,
    )
}

fn headed(headers: Value) -> String {
    sign_with(&Es256, &signing_key(), headers, claims())
}

fn verify(token: &str) -> Result<Caller, TokenError> {
    let (token, kid) = read(token)?;
    assert_eq!(kid, "one");
    check(
        &token,
        signing_key().verifying_key(),
        (ISSUER, AUDIENCE),
        NOW,
    )
    .and_then(Checked::into_bearer)
}

#[track_caller]
fn refused(token: &str, why: TokenError) {
    assert_eq!(verify(token), Err(why));
}

#[test]
fn jt_04_a_good_token_gives_its_person_and_roles() {
    let caller = verify(&sign(claims())).unwrap();
    assert_eq!(caller.sub, "8a1f3c52-0000-4000-8000-000000000001");
    assert_eq!(caller.roles, ["student"]);
    assert_eq!(
        (caller.scopes, caller.auth_time),
        (vec!["openid".to_owned()], Some(NOW - 5))
    );
    assert!(
        verify(&sign(with("aud", json!([AUDIENCE])))).is_ok(),
        "a list of one is the same"
    );
    assert!(verify(&headed(json!({"typ": "application/AT+JWT", "kid": "one"}))).is_ok());
}

#[test]
fn jt_04_iss_is_ours_and_a_string() {
    refused(
        &sign(with("iss", json!("http://127.0.0.1:8081"))),
        TokenError::Issuer,
    );
    refused(
        &sign(with("iss", json!("http://127.0.0.1:8080/"))),
        TokenError::Issuer,
    );
    refused(&sign(with("iss", json!([ISSUER]))), TokenError::Claims);
    refused(&sign(without("iss")), TokenError::Claims);
}

/// RS-8: a token for another API, whatever its scope, opens nothing here.
#[test]
fn jt_04_aud_is_exactly_us() {
    refused(
        &sign(with("aud", json!("lessons-web"))),
        TokenError::Audience,
    );
    for other in [
        "https://music.example",
        "http://127.0.0.1:8082/",
        "HTTP://127.0.0.1:8082",
    ] {
        refused(&sign(with("aud", json!(other))), TokenError::Audience);
    }
    refused(
        &sign(with("aud", json!([AUDIENCE, "other"]))),
        TokenError::Audience,
    );
    refused(&sign(with("aud", json!([]))), TokenError::Audience);
    refused(&sign(with("aud", json!(1))), TokenError::Claims);
    refused(&sign(without("aud")), TokenError::Claims);
}

#[test]
fn jt_04_exp_is_required_and_ahead() {
    refused(&sign(with("exp", json!(NOW - 31))), TokenError::Expired);
    assert!(
        verify(&sign(with("exp", json!(NOW - 29)))).is_ok(),
        "clocks may differ by 30 s"
    );
    refused(&sign(without("exp")), TokenError::Claims);
    refused(&sign(with("exp", json!("soon"))), TokenError::Claims);
    refused(&sign(with("exp", json!(u64::MAX))), TokenError::Claims);
}

#[test]
fn jt_04_nbf_and_iat_are_not_ahead() {
    refused(&sign(with("nbf", json!(NOW + 31))), TokenError::NotYet);
    assert!(verify(&sign(with("nbf", json!(NOW + 29)))).is_ok());
    refused(&sign(with("iat", json!(NOW + 31))), TokenError::NotYet);
    refused(&sign(without("iat")), TokenError::Claims);
}

#[test]
fn jt_04_no_token_lives_more_than_an_hour() {
    refused(&sign(with("exp", json!(NOW + 3601))), TokenError::TooLong);
    assert!(verify(&sign(with("exp", json!(NOW + 3600)))).is_ok());
}

#[test]
fn jt_04_auth_time_is_a_number_if_it_is_there() {
    refused(&sign(with("auth_time", json!("now"))), TokenError::Claims);
    assert_eq!(verify(&sign(without("auth_time"))).unwrap().auth_time, None);
}

#[test]
fn jt_04_sub_is_required() {
    refused(&sign(without("sub")), TokenError::Claims);
    refused(&sign(with("sub", json!(""))), TokenError::Claims);
}

#[test]
fn jt_04_a_bound_token_is_no_bearer_token() {
    refused(&sign(with("cnf", json!({"jkt": "x"}))), TokenError::Bound);
    for unknown in [
        json!({}),
        json!("x"),
        json!({"jkt": 7}),
        json!({"x5t#S256": "x"}),
    ] {
        refused(&sign(with("cnf", unknown)), TokenError::Claims);
    }
}

#[test]
fn pp_11_a_bound_token_names_its_key() {
    let token = sign(with("cnf", json!({"jkt": "x"})));
    let (token, _) = read(&token).unwrap();
    let key = signing_key();
    let place = (ISSUER, AUDIENCE);
    let checked = check(&token, key.verifying_key(), place, NOW).unwrap();
    assert_eq!(checked.jkt.as_deref(), Some("x"));
}

#[test]
fn jt_04_typ_is_that_of_an_access_token() {
    for other in [
        "JWT",
        "logout+jwt",
        "dpop+jwt",
        "client-authentication+jwt",
        "secevent+jwt",
        "",
    ] {
        refused(
            &headed(json!({"typ": other, "kid": "one"})),
            TokenError::Type,
        );
    }
    refused(&headed(json!({"kid": "one"})), TokenError::Type);
}

#[test]
fn jt_04_crit_is_refused_even_when_empty() {
    for crit in [json!(["exp"]), json!([]), json!(null)] {
        refused(
            &headed(json!({"typ": "at+jwt", "kid": "one", "crit": crit})),
            TokenError::Critical,
        );
    }
}

#[test]
fn jt_04_alg_none_is_refused() {
    // {"alg":"none","typ":"at+jwt","kid":"one"}, the claims of a good token, no signature.
    let good = sign(claims());
    let claims = good.split('.').nth(1).unwrap();
    refused(
        &format!("eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0Iiwia2lkIjoib25lIn0.{claims}."),
        TokenError::Algorithm,
    );
}

#[test]
fn jt_04_hs256_with_the_public_key_as_secret_is_refused() {
    let public = signing_key().verifying_key().to_encoded_point(false);
    let key = Hs256Key::new(public.as_bytes());
    let token = sign_with(
        &Hs256,
        &key,
        json!({"typ": "at+jwt", "kid": "one"}),
        claims(),
    );
    refused(&token, TokenError::Algorithm);
}

#[test]
fn jt_04_another_keys_signature_is_refused() {
    let other = SigningKey::from_slice(&[8; 32]).unwrap();
    refused(
        &sign_with(
            &Es256,
            &other,
            json!({"typ": "at+jwt", "kid": "one"}),
            claims(),
        ),
        TokenError::Signature,
    );
    // The claims of one token with the signature of another.
    let (good, admin) = (sign(claims()), sign(with("roles", json!(["admin"]))));
    let (head, _) = admin.rsplit_once('.').unwrap();
    let (_, signature) = good.rsplit_once('.').unwrap();
    refused(&format!("{head}.{signature}"), TokenError::Signature);
    refused(&format!("{head}."), TokenError::Signature);
}

#[test]
fn jt_04_a_kid_is_required() {
    refused(
        &headed(json!({"typ": "at+jwt"})),
        TokenError::Key(KeyError::Unknown),
    );
}

#[test]
fn jt_04_what_is_no_token_is_refused() {
    for text in ["", "a", "..", "a.b.c", "e30.e30.e30", "e30.e30.e30.e30.e30"] {
        refused(text, TokenError::Malformed);
    }
    let long = sign(with("scope", json!("x".repeat(LONGEST))));
    refused(&long, TokenError::Malformed);
}

#[tokio::test]
async fn jt_04_an_unknown_kid_without_a_provider_is_not_the_callers_fault() {
    crate::install_tls();
    let verifier = Verifier::new(
        Issuer::new("http://127.0.0.1:1", None).unwrap(),
        AUDIENCE.to_owned(),
    );
    assert_eq!(
        verifier.verify(&sign(claims()), NOW).await,
        Err(TokenError::Key(KeyError::Unavailable))
    );
}
