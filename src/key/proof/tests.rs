#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
#![allow(
    clippy::too_many_lines,
    reason = "a table of cases reads best in one piece"
)]

use serde_json::json;

use super::*;
use crate::key::test_keys::{ProofKey, ath, proof_claims};

const NOW: i64 = 1_800_000_000;
const URL: &str = "https://id.example/oauth2/token";
const TOKEN: &str = "a.b.c";

const EXPECTED: ExpectedProof<'_> = ExpectedProof {
    method: "POST",
    url: URL,
    token: None,
};

fn verify(proof: &str) -> Result<Proof, ProofError> {
    verify_proof(proof, &EXPECTED, Time::from_seconds(NOW))
}

fn claims() -> Value {
    proof_claims("POST", URL, NOW)
}

/// Changes members, or removes those whose new value is null.
fn with(mut object: Value, change: &Value) -> Value {
    for (name, value) in change.as_object().unwrap() {
        match value {
            Value::Null => drop(object.as_object_mut().unwrap().remove(name)),
            value => object[name] = value.clone(),
        }
    }
    object
}

/// The verdict on a right proof with a changed header.
fn header_with(key: &ProofKey, change: &Value) -> Result<(), ProofError> {
    let header = with(key.header(), change).to_string();
    verify(&key.sign(&header, &claims().to_string())).map(drop)
}

/// The verdict on a right proof with a changed key in its header.
fn jwk_with(key: &ProofKey, change: &Value) -> Result<(), ProofError> {
    header_with(key, &json!({ "jwk": with(key.jwk.clone(), change) }))
}

/// The verdict on a right proof with changed claims.
fn claims_with(key: &ProofKey, change: &Value) -> Result<(), ProofError> {
    verify(&key.proof(&with(claims(), change))).map(drop)
}

#[test]
fn pp_1_a_proof_by_each_kind_of_key_gives_the_thumbprint_of_that_key() {
    let [ps256, _] = ProofKey::ps256_and_rs256();
    for key in [ProofKey::es256(), ProofKey::ed25519(), ps256] {
        let claims = with(claims(), &json!({ "nonce": "n" }));
        let proof = verify(&key.proof(&claims)).unwrap();
        let expected = Proof {
            jkt: key.jkt(),
            jti: claims["jti"].as_str().unwrap().to_owned(),
            iat: NOW,
            nonce: Some("n".to_owned()),
        };
        assert_eq!(proof, expected, "{}", key.alg);
    }
    let key = ProofKey::ed25519();
    assert_eq!(header_with(&key, &json!({ "alg": "EdDSA" })), Ok(()));
}

/// RFC 9449 §4.1: the example, whose thumbprint §6.1 names.
#[test]
fn pp_1_the_example_of_the_standard_is_a_proof() {
    let example = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0V\
                   jNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY\
                   5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TV\
                   CIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8l\
                   P4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";
    let expected = ExpectedProof {
        url: "https://server.example.com/token",
        ..EXPECTED
    };
    let proof = verify_proof(example, &expected, Time::from_seconds(NOW)).unwrap();
    assert_eq!(proof.jkt, "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
    assert_eq!(
        (&*proof.jti, proof.iat),
        ("-BwC3ESc6acc2lTc", 1_562_262_616)
    );
}

#[test]
fn pp_1_type_algorithm_and_extensions_are_checked() {
    let key = ProofKey::es256();
    for (change, error) in [
        (json!({ "typ": null }), ProofError::Type),
        (json!({ "typ": "JWT" }), ProofError::Type),
        (json!({ "typ": "at+jwt" }), ProofError::Type),
        (json!({ "typ": ["dpop+jwt"] }), ProofError::Type),
        (json!({ "alg": null }), ProofError::Algorithm),
        (json!({ "alg": "none" }), ProofError::Algorithm),
        (json!({ "alg": "HS256" }), ProofError::Algorithm),
        (json!({ "alg": "RS256" }), ProofError::Algorithm),
        (json!({ "alg": "ES384" }), ProofError::Algorithm),
        (json!({ "alg": "ES256K" }), ProofError::Algorithm),
        (json!({ "alg": 7 }), ProofError::Algorithm),
        (json!({ "alg": "PS256" }), ProofError::Key),
        (json!({ "alg": "Ed25519" }), ProofError::Key),
        (json!({ "crit": ["exp"] }), ProofError::Critical),
        (json!({ "crit": [] }), ProofError::Critical),
    ] {
        assert_eq!(header_with(&key, &change), Err(error), "{change}");
    }
    let [_, rs256] = ProofKey::ps256_and_rs256();
    assert_eq!(
        verify(&rs256.proof(&claims())),
        Err(ProofError::Algorithm),
        "a right signature"
    );
    for ignored in [
        json!({ "kid": "other" }),
        json!({ "x5c": ["AA"], "jku": "https://evil.example" }),
        json!({ "more": 1 }),
    ] {
        assert_eq!(header_with(&key, &ignored), Ok(()), "{ignored}");
    }
}

fn rsa(bits: usize) -> Value {
    let mut n = vec![0xff_u8; bits.div_ceil(8)];
    n[0] = 0xff >> (n.len() * 8 - bits);
    json!({ "e": "AQAB", "kty": "RSA", "n": BASE64.encode(n) })
}

#[test]
fn pp_1_the_key_is_public_and_for_the_algorithm() {
    let key = ProofKey::es256();
    for change in [
        json!({ "d": "AA" }),
        json!({ "k": "AA" }),
        json!({ "use": "enc" }),
        json!({ "key_ops": ["sign"] }),
        json!({ "alg": "PS256" }),
        json!({ "kty": "oct" }),
        json!({ "crv": "P-384" }),
        json!({ "crv": null }),
        json!({ "x": null }),
        json!({ "x": "AA" }),
        json!({ "x": 7 }),
    ] {
        assert_eq!(jwk_with(&key, &change), Err(ProofError::Key), "{change}");
    }
    for change in [
        json!({ "use": "sig" }),
        json!({ "alg": "ES256", "kid": "a" }),
    ] {
        assert_eq!(jwk_with(&key, &change), Ok(()), "{change}");
    }
    for jwk in [
        json!(null),
        json!("x"),
        json!([]),
        json!({}),
        json!({ "kty": "oct", "k": "AA" }),
        ProofKey::ed25519().jwk,
    ] {
        let header = with(key.header(), &json!({ "jwk": jwk }));
        let proof = key.sign(&header.to_string(), &claims().to_string());
        assert_eq!(verify(&proof), Err(ProofError::Key), "{header}");
    }
    let [ps256, _] = ProofKey::ps256_and_rs256();
    for member in ["d", "p", "q", "dp", "dq", "qi", "oth"] {
        let private = jwk_with(&ps256, &json!({ member: "AA" }));
        assert_eq!(private, Err(ProofError::Key), "{member}");
    }
    for (bits, error) in [
        (1024, ProofError::Key),
        (2047, ProofError::Key),
        (2048, ProofError::Signature),
        (4096, ProofError::Signature),
        (4104, ProofError::Key),
        (8192, ProofError::Key),
    ] {
        let found = header_with(&ps256, &json!({ "jwk": rsa(bits) }));
        assert_eq!(found, Err(error), "{bits} bits");
    }
}

#[test]
fn pp_1_the_signature_is_by_the_key_in_the_header() {
    let (key, other) = (ProofKey::es256(), ProofKey::es256());
    let proof = other.sign(&key.header().to_string(), &claims().to_string());
    assert_eq!(verify(&proof), Err(ProofError::Signature));
    let right = key.proof(&claims());
    let (message, _) = right.rsplit_once('.').unwrap();
    for signature in ["", "AA", &BASE64.encode([0; 64])] {
        let proof = format!("{message}.{signature}");
        assert_eq!(verify(&proof), Err(ProofError::Signature), "{signature}");
    }
    let changed = BASE64.encode(with(claims(), &json!({ "jti": "x" })).to_string());
    let (header, signature) = (
        right.split('.').next().unwrap(),
        right.rsplit('.').next().unwrap(),
    );
    assert_eq!(
        verify(&format!("{header}.{changed}.{signature}")),
        Err(ProofError::Signature)
    );
}

#[test]
fn pp_1_what_is_no_proof_or_repeats_a_member_is_refused() {
    let key = ProofKey::es256();
    for text in ["", "a", "a.b", "a.b.c", "..", "e30.e30", "e30.e30.e30.e30"] {
        assert_eq!(verify(text), Err(ProofError::Malformed), "{text}");
    }
    let (header, good) = (key.header().to_string(), claims().to_string());
    let twice = |json: &str, member: &str| format!("{{{member},{}", &json[1..]);
    for (header, claims) in [
        (twice(&header, r#""alg":"ES256""#), good.clone()),
        (
            header.replace(r#""kty":"EC""#, r#""kty":"EC","kty":"EC""#),
            good.clone(),
        ),
        (header.clone(), twice(&good, r#""htm":"POST""#)),
        (header.clone(), twice(&good, r#""a":{"b":1,"b":1}"#)),
        (header.clone(), "[]".to_owned()),
        (format!("{header} x"), good.clone()),
    ] {
        let proof = key.sign(&header, &claims);
        assert_eq!(
            verify(&proof),
            Err(ProofError::Malformed),
            "{header} {claims}"
        );
    }
    let padded = key.sign(&header, &good).replacen('.', "=.", 1);
    assert_eq!(verify(&padded), Err(ProofError::Malformed));
    let short = key.proof(&with(claims(), &json!({ "more": "" }))).len();
    let filled = |bytes: usize| {
        // Three bytes are four characters.
        let more = "x".repeat((bytes - short) / 4 * 3);
        key.proof(&with(claims(), &json!({ "more": more })))
    };
    let fits = filled(MAX_BYTES);
    assert!(fits.len() <= MAX_BYTES && fits.len() + 8 > MAX_BYTES);
    assert!(verify(&fits).is_ok());
    assert_eq!(verify(&filled(MAX_BYTES + 8)), Err(ProofError::TooLong));
}

#[test]
fn pp_1_each_claim_is_checked() {
    let key = ProofKey::es256();
    for (change, error) in [
        (json!({ "htm": null }), ProofError::Method),
        (json!({ "htm": "GET" }), ProofError::Method),
        (json!({ "htm": "post" }), ProofError::Method),
        (json!({ "htu": null }), ProofError::Target),
        (
            json!({ "htu": "https://id.example/oauth2/userinfo" }),
            ProofError::Target,
        ),
        (
            json!({ "htu": "https://other.example/oauth2/token" }),
            ProofError::Target,
        ),
        (json!({ "htu": [URL] }), ProofError::Target),
        (json!({ "jti": null }), ProofError::Identifier),
        (json!({ "jti": "" }), ProofError::Identifier),
        (json!({ "jti": 7 }), ProofError::Identifier),
        (json!({ "jti": "x".repeat(513) }), ProofError::Identifier),
        (json!({ "iat": null }), ProofError::IssuedAt),
        (json!({ "iat": "now" }), ProofError::IssuedAt),
        (json!({ "exp": NOW }), ProofError::Expired),
        (json!({ "exp": "never" }), ProofError::Expired),
        (json!({ "nbf": NOW + 31 }), ProofError::NotYet),
        (json!({ "nbf": false }), ProofError::NotYet),
        (json!({ "nonce": 7 }), ProofError::Nonce),
    ] {
        assert_eq!(claims_with(&key, &change), Err(error), "{change}");
    }
    for change in [
        json!({ "htu": format!("{URL}?a=b#c") }),
        json!({ "jti": "x".repeat(512) }),
        json!({ "iat": NOW as f64 + 0.5 }),
        // Whether it is recent is for the caller.
        json!({ "iat": 1 }),
        json!({ "exp": NOW + 1, "nbf": NOW + 30 }),
        json!({ "aud": "other", "iss": "other", "sub": "other", "ath": "other" }),
    ] {
        assert_eq!(claims_with(&key, &change), Ok(()), "{change}");
    }
}

#[test]
fn pp_1_pp_12_with_a_token_the_proof_is_for_that_token() {
    let key = ProofKey::es256();
    let expected = ExpectedProof {
        method: "GET",
        token: Some(TOKEN),
        ..EXPECTED
    };
    let verify = |ath: &Value| {
        let claims = with(proof_claims("GET", URL, NOW), &json!({ "ath": ath }));
        verify_proof(&key.proof(&claims), &expected, Time::from_seconds(NOW)).map(drop)
    };
    assert_eq!(verify(&ath(TOKEN).into()), Ok(()));
    for other in [
        Value::Null,
        "".into(),
        TOKEN.into(),
        ath("another").into(),
        (ath(TOKEN) + "=").into(),
        json!([ath(TOKEN)]),
    ] {
        assert_eq!(verify(&other), Err(ProofError::Token), "{other}");
    }
}
