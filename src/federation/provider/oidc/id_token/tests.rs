//! Each check of an ID token by a token that fails it alone, and tokens that pass them all.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod kinds;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde_json::{Value, json};

use super::*;
use crate::{
    config::Provider,
    federation::{
        error::RefusalCode::{
            self, Alg, AtHash, Aud, Azp, ClaimsMalformed, Crit, Expired, Iat, IdTokenMalformed,
            IssClaim, KeyUnknown, Nbf, Nonce, Signature, Sub, Typ,
        },
        provider::oidc::{keys::KeySet, test_signer::TestSigner},
    },
    secret::Hash,
};

const NOW: i64 = 1_800_000_000;

fn settings(more: &str) -> Provider {
    let text = format!("id = \"a\"\nclient_id = \"us\"\nalgs = [\"ES256\"]\n{more}");
    toml::from_str(&text).unwrap()
}

fn op_settings(more: &str) -> Provider {
    settings(&format!("issuer = \"https://op.example\"\n{more}"))
}

fn valid_claims() -> Value {
    let hash = Hash::of(b"access");
    json!({
        "iss": "https://op.example",
        "sub": "person",
        "aud": "us",
        "exp": NOW + 300,
        "iat": NOW,
        "nonce": "n",
        "at_hash": BASE64.encode(&hash.as_bytes()[..16]),
        "email": "a@example.com",
        "email_verified": true,
    })
}

/// Returns the valid claims with one of them changed; null removes it.
fn with_claim(name: &str, value: Value) -> Value {
    let mut claims = valid_claims();
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value;
    }
    claims
}

fn expected<'a>(settings: &'a Provider, issuer: &'a str) -> Expected<'a> {
    let (nonce, access_token) = ("n", "access");
    Expected {
        settings,
        issuer,
        nonce,
        pkce: settings.pkce,
        access_token,
        now: NOW,
    }
}

/// Runs all checks, with a key set of one key.
fn check(token: &str, jwk: &Value, settings: &Provider) -> Result<VerifiedToken, IdTokenError> {
    let keys = KeySet::parse(json!({ "keys": [jwk] }).to_string().as_bytes()).unwrap();
    let token = ParsedToken::parse(token)?;
    let CheckedHeader { alg, kid } = check_header(&token.header, settings)?;
    let key = keys.select(kid, alg)?;
    if !token.is_signed_by(key, alg) {
        return Err(IdTokenError::Signature);
    }
    check_signed(token, key, alg, &expected(settings, &settings.issuer()))
}

fn code(token: &str, jwk: &Value, settings: &Provider) -> Option<RefusalCode> {
    check(token, jwk, settings)
        .err()
        .map(|error| ProviderError::from(error).code())
}

fn code_of_claims(claims: &Value, settings: &Provider) -> Option<RefusalCode> {
    let signer = TestSigner::new("k");
    code(&signer.sign(claims), &signer.jwk(), settings)
}

fn assert_refused(name: &str, value: Value, expected: RefusalCode) {
    let message = format!("{name} = {value}");
    let claims = with_claim(name, value);
    assert_eq!(
        code_of_claims(&claims, &op_settings("")),
        Some(expected),
        "{message}"
    );
}

#[test]
fn it_03_it_07_issuer_audience_authorized_party_and_subject_are_checked() {
    for (name, value, expected) in [
        ("iss", Value::Null, IssClaim),
        ("iss", json!("https://op.example/"), IssClaim),
        ("iss", json!("https://OP.example"), IssClaim),
        ("iss", json!(["https://op.example"]), IssClaim),
        ("aud", Value::Null, Aud),
        ("aud", json!("other"), Aud),
        ("aud", json!(["us", "other"]), Aud),
        ("aud", json!(["us", "us"]), Aud),
        ("aud", json!([]), Aud),
        ("aud", json!([null]), Aud),
        ("aud", json!(7), Aud),
        ("azp", json!("other"), Azp),
        ("azp", json!(["us"]), Azp),
        ("sub", Value::Null, Sub),
        ("sub", json!(""), Sub),
        ("sub", json!("x".repeat(256)), Sub),
        ("sub", json!("a\nb"), Sub),
        ("sub", json!("é"), Sub),
        ("sub", json!(7), Sub),
    ] {
        assert_refused(name, value, expected);
    }
}

#[test]
fn oc_04_it_03_several_audiences_are_accepted_if_the_settings_name_them_and_azp_is_us() {
    let with_setting = op_settings("additional_audiences = [\"app\", \"project\"]");
    let claims = |aud: Value, azp: Value| {
        let mut claims = with_claim("aud", aud);
        claims["azp"] = azp;
        claims
            .as_object_mut()
            .unwrap()
            .retain(|_, value| !value.is_null());
        claims
    };
    for (aud, azp, expected) in [
        (json!(["us", "app", "project"]), json!("us"), None),
        (json!(["project", "us"]), json!("us"), None),
        (json!(["us"]), Value::Null, None),
        (json!(["us", "app"]), Value::Null, Some(Azp)),
        (json!(["us", "app"]), json!("app"), Some(Azp)),
        (json!(["app", "project"]), json!("us"), Some(Aud)),
        (json!(["us", "app", "other"]), json!("us"), Some(Aud)),
        (json!(["us", "us", "app"]), json!("us"), Some(Aud)),
        (json!(["us", 7]), json!("us"), Some(Aud)),
        (json!("app"), json!("us"), Some(Aud)),
    ] {
        let message = format!("{aud} {azp}");
        assert_eq!(
            code_of_claims(&claims(aud, azp), &with_setting),
            expected,
            "{message}"
        );
    }
    let signer = TestSigner::new("k");
    let token = signer.sign(&claims(json!(["us", "app"]), json!("us")));
    let error = check(&token, &signer.jwk(), &op_settings(""))
        .err()
        .unwrap();
    let text = error.to_string();
    assert!(
        text.contains("`app`") && text.contains("additional_audiences"),
        "{text}"
    );
}

#[test]
fn it_05_it_06_it_08_times_nonce_hash_and_types_are_checked() {
    for (name, value, expected) in [
        ("exp", json!(NOW - 60), Expired),
        ("exp", Value::Null, Expired),
        ("exp", json!((NOW + 300).to_string()), Expired),
        ("exp", json!(1e30), Expired),
        ("exp", json!(-1), Expired),
        ("exp", json!(u64::MAX), Expired),
        ("iat", json!(NOW + 61), Iat),
        ("iat", json!(NOW - 601), Iat),
        ("iat", Value::Null, Iat),
        ("iat", json!("now"), Iat),
        ("nbf", json!(NOW + 61), Nbf),
        ("nbf", json!("x"), Nbf),
        ("nonce", Value::Null, Nonce),
        ("nonce", json!("m"), Nonce),
        ("nonce", json!(["n"]), Nonce),
        ("at_hash", json!("AAAA"), AtHash),
        ("at_hash", json!(7), AtHash),
        ("email_verified", json!("true"), ClaimsMalformed),
        ("email_verified", json!(1), ClaimsMalformed),
        ("locale", json!({"a": 1}), ClaimsMalformed),
        ("updated_at", json!("yesterday"), ClaimsMalformed),
        ("amr", json!("pwd"), ClaimsMalformed),
    ] {
        assert_refused(name, value, expected);
    }
}

#[test]
fn pr_02_it_05_what_is_within_the_bounds_passes() {
    assert_eq!(code_of_claims(&valid_claims(), &op_settings("")), None);
    for (name, value) in [
        ("aud", json!(["us"])),
        ("azp", json!("us")),
        ("iat", json!(NOW - 600)),
        ("nbf", json!(NOW + 60)),
        ("at_hash", Value::Null),
        ("sub", json!("x".repeat(255))),
        ("jku", json!("https://evil.example/keys")),
    ] {
        let claims = with_claim(name, value.clone());
        assert_eq!(
            code_of_claims(&claims, &op_settings("")),
            None,
            "{name} = {value}"
        );
    }
    for (iat, exp) in [
        (NOW - 300, json!(NOW - 59)),
        (NOW - 300, json!(NOW as f64 + 0.5)),
        (NOW + 60, json!(NOW + 120)),
    ] {
        let mut claims = with_claim("exp", exp);
        claims["iat"] = json!(iat);
        assert_eq!(code_of_claims(&claims, &op_settings("")), None, "{claims}");
    }
    let old = with_claim("iat", json!(NOW - 3000));
    assert_eq!(
        code_of_claims(&old, &op_settings("token_age_seconds = 3600")),
        None
    );
}

#[test]
fn pr_02_email_verified_may_be_a_string_only_by_setting() {
    let settings = op_settings("string_booleans = true");
    let code = |value| code_of_claims(&with_claim("email_verified", json!(value)), &settings);
    assert_eq!(code("true"), None);
    assert_eq!(code("yes"), Some(ClaimsMalformed));
}

#[test]
fn it_06_a_nonce_may_be_missing_only_by_setting_and_with_pkce() {
    let code = |claims: &Value, more: &str| code_of_claims(claims, &op_settings(more));
    let without = with_claim("nonce", Value::Null);
    let other = with_claim("nonce", json!("m"));
    assert_eq!(code(&without, "nonce_optional = true"), None);
    assert_eq!(code(&other, "nonce_optional = true"), Some(Nonce));
    assert_eq!(
        code(&without, "nonce_optional = true\npkce = false"),
        Some(Nonce)
    );
    let mut unsupported = without;
    unsupported["nonce_supported"] = json!(false);
    assert_eq!(code(&unsupported, "kind = \"apple\""), None);
    assert_eq!(
        code(&unsupported, ""),
        Some(Nonce),
        "the exception is Apple's alone"
    );
    unsupported["nonce_supported"] = json!(true);
    assert_eq!(code(&unsupported, "kind = \"apple\""), Some(Nonce));
}

#[test]
fn it_02_the_header_is_checked() {
    let signer = TestSigner::new("k");
    for (name, value, expected) in [
        ("crit", json!([]), Crit),
        ("crit", json!(["exp"]), Crit),
        ("typ", json!("at+jwt"), Typ),
        ("typ", json!("logout+jwt"), Typ),
        ("typ", json!("JOSE"), Typ),
        ("typ", json!(1), Typ),
        ("alg", json!("none"), Alg),
        ("alg", json!("HS256"), Alg),
        ("alg", json!("RS256"), Alg),
        ("alg", json!("PS256"), Alg),
        ("alg", json!("es256"), Alg),
        ("alg", Value::Null, Alg),
        ("kid", json!("other"), KeyUnknown),
        ("kid", json!(7), IdTokenMalformed),
        ("enc", json!("A128GCM"), IdTokenMalformed),
        ("zip", json!("DEF"), IdTokenMalformed),
    ] {
        let mut header = signer.header();
        header[name] = value.clone();
        let token = signer.sign_parts(&header.to_string(), &valid_claims().to_string());
        let code = code(&token, &signer.jwk(), &op_settings(""));
        assert_eq!(code, Some(expected), "{name} = {value}");
    }
}

#[test]
fn it_02_the_header_needs_no_key_id_unless_the_settings_demand_it() {
    let signer = TestSigner::new("k");
    let code = |header: &Value, more: &str| {
        let token = signer.sign_parts(&header.to_string(), &valid_claims().to_string());
        code(&token, &signer.jwk(), &op_settings(more))
    };
    let short = json!({"alg": "ES256"});
    assert_eq!(code(&short, ""), None);
    assert_eq!(
        code(
            &json!({"alg": "ES256", "typ": "jwt", "jwk": {"kty": "oct"}}),
            ""
        ),
        None
    );
    assert_eq!(code(&short, "require_kid = true"), Some(KeyUnknown));
}

/// HS256 over the token with the public key, and with the secret, as the key.
#[test]
fn it_02_up_alg_no_public_value_is_taken_for_a_shared_secret() {
    let signer = TestSigner::new("k");
    let header = BASE64.encode(r#"{"alg":"HS256","kid":"k"}"#);
    let message = format!("{header}.{}", BASE64.encode(valid_claims().to_string()));
    for secret in [signer.public_key(), b"secret"] {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
        let signature = ring::hmac::sign(&key, message.as_bytes());
        let token = format!("{message}.{}", BASE64.encode(signature));
        assert_eq!(code(&token, &signer.jwk(), &op_settings("")), Some(Alg));
    }
}

#[test]
fn it_01_up_id_token_malformed() {
    let signer = TestSigner::new("k");
    let token = signer.sign(&valid_claims());
    let [header, claims, signature] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
    let claims_text = valid_claims().to_string();
    let repeated = claims_text.replacen('{', "{\"sub\":\"other\",", 1);
    let repeated_header = r#"{"alg":"ES256","alg":"ES256","kid":"k"}"#;
    for bad in [
        format!("{header}.{claims}"),
        format!("{token}.x"),
        format!("{header}.{claims}.{signature}.a.b"),
        format!("{header}=.{claims}.{signature}"),
        format!("{header}.{claims}.{signature}="),
        format!(" {token}"),
        format!("{header}.{}.{signature}", BASE64.encode("not json")),
        format!("{header}.{}.{signature}", BASE64.encode("[]")),
        signer.sign_parts(&signer.header().to_string(), &repeated),
        signer.sign_parts(repeated_header, &claims_text),
        signer.sign(&with_claim("filler", json!("x".repeat(13 * 1024)))),
        String::new(),
    ] {
        let code = code(&bad, &signer.jwk(), &op_settings(""));
        assert_eq!(
            code,
            Some(IdTokenMalformed),
            "{}",
            &bad[..bad.len().min(300)]
        );
    }
}

#[test]
fn it_04_up_signature_a_bit_flipped_in_any_part() {
    let signer = TestSigner::new("k");
    let token = signer.sign(&valid_claims());
    let parts: Vec<Vec<u8>> = token
        .split('.')
        .map(|part| BASE64.decode(part).unwrap())
        .collect();
    // A letter within a string of each part, so that nothing but the signature differs.
    let header_at = parts[0]
        .windows(3)
        .position(|window| window == b"JWT")
        .unwrap();
    let claims_at = parts[1]
        .windows(6)
        .position(|window| window == b"person")
        .unwrap();
    for (part, at) in [(0, header_at), (1, claims_at), (2, 40)] {
        let mut parts = parts.clone();
        parts[part][at] ^= 0x20;
        let encoded: Vec<String> = parts.iter().map(|part| BASE64.encode(part)).collect();
        let code = code(&encoded.join("."), &signer.jwk(), &op_settings(""));
        assert_eq!(code, Some(Signature), "part {part}");
    }
    let mut other_key = TestSigner::new("k").jwk();
    assert_eq!(code(&token, &other_key, &op_settings("")), Some(Signature));
    other_key["use"] = json!("enc");
    assert_eq!(code(&token, &other_key, &op_settings("")), Some(KeyUnknown));
}

#[test]
fn it_10_a_malformed_claim_is_named_without_its_value() {
    let mut claims = valid_claims();
    claims["locale"] = json!({"hunter2": 1});
    claims["updated_at"] = json!("hunter2");
    claims["address"] = json!({"locality": ["hunter2"], "region": "r"});
    let signer = TestSigner::new("k");
    let error = check(&signer.sign(&claims), &signer.jwk(), &op_settings(""))
        .err()
        .unwrap();
    let message = "address.locality, locale, updated_at is malformed".to_owned();
    assert_eq!(error, IdTokenError::Claims(message));
    let names = malformed_claims(claims.as_object().unwrap(), |some| some.len() < 8);
    assert_eq!(names, "a claim", "claims that parse alone and not together");
}
