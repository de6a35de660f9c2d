//! A test for each rule, with a good proof of which one part is wrong (PP-11).
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use serde_json::json;

use super::*;

const NOW: i64 = 1_800_000_000;
const API: &str = "https://api.example/school";
const TOKEN: &str = "a.b.c";

struct Prover(EcdsaKeyPair);

impl Prover {
    fn new() -> Self {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let der = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self(EcdsaKeyPair::from_pkcs8(algorithm, der.as_ref(), &random).unwrap())
    }

    fn jkt(&self) -> String {
        thumbprint(self.0.public_key().as_ref())
    }

    fn header(&self) -> Value {
        let (x, y) = self.0.public_key().as_ref()[1..].split_at(32);
        let (x, y) = (BASE64.encode(x), BASE64.encode(y));
        let jwk = json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y });
        json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": jwk })
    }

    fn sign(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
        let signature = self
            .0
            .sign(&SystemRandom::new(), message.as_bytes())
            .unwrap();
        format!("{message}.{}", BASE64.encode(signature))
    }

    fn proof(&self, claims: &Value) -> String {
        self.sign(&self.header().to_string(), &claims.to_string())
    }
}

fn claims() -> Value {
    let (htu, ath) = (format!("{API}/lessons"), hash(TOKEN.as_bytes()));
    json!({ "jti": "one", "htm": "GET", "htu": htu, "iat": NOW, "ath": ath })
}

/// Changes a member, or removes it if the value is null.
fn with(mut object: Value, name: &str, value: Value) -> Value {
    match value {
        Value::Null => drop(object.as_object_mut().unwrap().remove(name)),
        value => object[name] = value,
    }
    object
}

fn check_at(prover: &Prover, proof: &str, now: i64) -> Result<(), ProofError> {
    let expected = Expected {
        method: "GET",
        path: "/lessons",
        token: TOKEN,
        jkt: &prover.jkt(),
    };
    Proofs::new(API, NOW - 3600).check(&[proof], &expected, now)
}

fn check(prover: &Prover, proof: &str) -> Result<(), ProofError> {
    check_at(prover, proof, NOW)
}

#[test]
fn pp_11_a_good_proof_passes_and_the_normal_form_of_its_address_counts() {
    let prover = Prover::new();
    assert_eq!(check(&prover, &prover.proof(&claims())), Ok(()));
    for same in [
        "HTTPS://API.example:443/school/lessons?a=b#c",
        "https://api.example/school/x/../lessons",
    ] {
        let proof = prover.proof(&with(claims(), "htu", same.into()));
        assert_eq!(check(&prover, &proof), Ok(()), "{same}");
    }
}

#[test]
fn pp_11_each_claim_is_checked() {
    let prover = Prover::new();
    for (name, value, error) in [
        ("htm", json!("POST"), ProofError::Request),
        ("htm", Value::Null, ProofError::Malformed),
        ("htu", json!(format!("{API}/register")), ProofError::Request),
        (
            "htu",
            json!("https://api.example/lessons"),
            ProofError::Request,
        ),
        (
            "htu",
            json!("https://api.example\\school\\lessons"),
            ProofError::Request,
        ),
        ("htu", json!("/school/lessons"), ProofError::Request),
        (
            "htu",
            json!("https:/api.example/school/lessons"),
            ProofError::Request,
        ),
        ("ath", json!(hash(b"another")), ProofError::Token),
        ("ath", Value::Null, ProofError::Malformed),
        ("jti", json!(""), ProofError::Malformed),
        ("jti", json!("x".repeat(513)), ProofError::Malformed),
        ("jti", Value::Null, ProofError::Malformed),
        ("iat", json!(NOW - 61), ProofError::Time),
        ("iat", json!(NOW + 31), ProofError::Time),
        ("iat", json!("now"), ProofError::Malformed),
        ("iat", Value::Null, ProofError::Malformed),
        ("exp", json!(NOW), ProofError::Time),
        ("nbf", json!(NOW + 31), ProofError::Time),
    ] {
        let proof = prover.proof(&with(claims(), name, value.clone()));
        assert_eq!(check(&prover, &proof), Err(error), "{name} {value}");
    }
    for name in ["exp", "nbf", "iat"] {
        let mut claims = claims();
        claims[name] = Value::Null;
        let checked = check(&prover, &prover.proof(&claims));
        assert_eq!(checked, Err(ProofError::Malformed), "{name} null");
    }
    for (name, value) in [
        ("iat", json!(NOW - 60)),
        ("iat", json!(NOW + 30)),
        ("exp", json!(NOW + 1)),
        ("nbf", json!(NOW + 30)),
        ("more", json!(1)),
    ] {
        let proof = prover.proof(&with(claims(), name, value.clone()));
        assert_eq!(check(&prover, &proof), Ok(()), "{name} {value}");
    }
}

#[test]
fn pp_11_the_header_is_checked() {
    let prover = Prover::new();
    let headed = |header: &Value| {
        check(
            &prover,
            &prover.sign(&header.to_string(), &claims().to_string()),
        )
    };
    for (name, value, error) in [
        ("typ", json!("JWT"), ProofError::Header),
        ("typ", json!("at+jwt"), ProofError::Header),
        ("typ", Value::Null, ProofError::Malformed),
        ("alg", json!("none"), ProofError::Header),
        ("alg", json!("HS256"), ProofError::Header),
        ("alg", json!("RS256"), ProofError::Header),
        ("crit", json!([]), ProofError::Header),
        ("jwk", Value::Null, ProofError::Malformed),
        ("jwk", json!({ "kty": "oct", "k": "AA" }), ProofError::Key),
    ] {
        let header = with(prover.header(), name, value.clone());
        assert_eq!(headed(&header), Err(error), "{name} {value}");
    }
    for (name, value) in [
        ("crv", json!("P-384")),
        ("x", json!("AA")),
        ("y", Value::Null),
        ("d", json!("AA")),
    ] {
        let jwk = with(prover.header()["jwk"].clone(), name, value);
        let header = with(prover.header(), "jwk", jwk);
        assert_eq!(headed(&header), Err(ProofError::Key), "{name}");
    }
    let twice = prover
        .header()
        .to_string()
        .replacen('{', r#"{"alg":"ES256","#, 1);
    let proof = prover.sign(&twice, &claims().to_string());
    assert_eq!(
        check(&prover, &proof),
        Err(ProofError::Malformed),
        "repeated"
    );
}

#[test]
fn pp_11_another_key_and_another_signature_are_refused() {
    let (prover, thief) = (Prover::new(), Prover::new());
    let own = thief.proof(&claims());
    assert_eq!(check(&prover, &own), Err(ProofError::OtherKey));
    let forged = thief.sign(&prover.header().to_string(), &claims().to_string());
    assert_eq!(check(&prover, &forged), Err(ProofError::Signature));
    for text in ["", "a", "a.b", "a.b.c", "..", "e30.e30.e30"] {
        assert_eq!(check(&prover, text), Err(ProofError::Malformed), "{text}");
    }
    let long = prover.proof(&with(claims(), "more", "x".repeat(LONGEST).into()));
    assert_eq!(check(&prover, &long), Err(ProofError::Malformed));
}

#[test]
fn pp_11_a_proof_is_shown_once_and_no_more_than_100_000_are_kept() {
    let prover = Prover::new();
    let (jkt, proofs) = (prover.jkt(), Proofs::new(API, NOW - 3600));
    let expected = Expected {
        method: "GET",
        path: "/lessons",
        token: TOKEN,
        jkt: &jkt,
    };
    let one = prover.proof(&claims());
    let show = |proof: &str, now| proofs.check(&[proof], &expected, now);
    assert_eq!(show(&one, NOW), Ok(()));
    assert_eq!(show(&one, NOW + 60), Err(ProofError::Used));
    assert_eq!(show(&one, NOW + 61), Err(ProofError::Time));
    let made = |jti: &str, iat: i64| {
        prover.proof(&with(with(claims(), "jti", jti.into()), "iat", iat.into()))
    };
    for number in 0..MOST - 1 {
        let claims: Claims = serde_json::from_value(claims()).unwrap();
        let claims = Claims {
            jti: number.to_string(),
            ..claims
        };
        assert_eq!(proofs.remember(&claims, "another", NOW), Ok(()));
    }
    let two = made("two", NOW + 30);
    assert_eq!(show(&two, NOW + 30), Err(ProofError::Full));
    assert_eq!(
        show(&one, NOW + 60),
        Err(ProofError::Used),
        "nothing is forgotten early"
    );
    assert_eq!(show(&two, NOW + 61), Ok(()), "what is over makes room");
    assert_eq!(show(&two, NOW + 90), Err(ProofError::Used));
}

/// A proof that is dated ahead outlives a restart of the process that remembers it.
#[test]
fn pp_11_after_a_restart_no_proof_of_before_passes() {
    let prover = Prover::new();
    let (jkt, began) = (prover.jkt(), NOW);
    let expected = Expected {
        method: "GET",
        path: "/lessons",
        token: TOKEN,
        jkt: &jkt,
    };
    let made = |iat: i64| prover.proof(&with(claims(), "iat", iat.into()));
    let (before, after) = (Proofs::new(API, began - 3600), Proofs::new(API, began));
    let ahead = made(began + MAX_AHEAD);
    assert_eq!(before.check(&[&ahead], &expected, began), Ok(()));
    for now in [began, began + MAX_AHEAD, began + MAX_AHEAD + MAX_AGE] {
        let shown = after.check(&[&ahead], &expected, now);
        assert_eq!(shown, Err(ProofError::JustBegun), "{now}");
    }
    let now = began + MAX_AHEAD + MAX_AGE + 1;
    assert_eq!(
        after.check(&[&ahead], &expected, now),
        Err(ProofError::Time)
    );
    let first = made(began + MAX_AHEAD + 1);
    let shown = after.check(&[&first], &expected, began + MAX_AHEAD + 1);
    assert_eq!(shown, Ok(()), "a proof of then");
    let forged = Prover::new().sign(&prover.header().to_string(), &claims().to_string());
    assert_eq!(
        after.check(&[&forged], &expected, now - 90),
        Err(ProofError::Signature),
        "a bad proof is called so"
    );
}

#[test]
fn pp_11_exactly_one_proof_comes() {
    let prover = Prover::new();
    let (proof, jkt) = (prover.proof(&claims()), prover.jkt());
    let expected = Expected {
        method: "GET",
        path: "/lessons",
        token: TOKEN,
        jkt: &jkt,
    };
    for headers in [vec![], vec![&*proof, &*proof]] {
        let checked = Proofs::new(API, NOW).check(&headers, &expected, NOW);
        assert_eq!(checked, Err(ProofError::Missing));
    }
}
