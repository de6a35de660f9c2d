//! Every check of section 5 by one token that fails it alone, and a token that passes them all.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::json;

use super::*;
use crate::{
    federation::provider::oidc::keys::KeySet,
    secret::{self, Hash},
};

const NOW: i64 = 1_800_000_000;
const TENANT_A: &str = "0f0e0d0c-0000-4000-8000-00000000000a";

/// A provider's key.
pub(in crate::federation) struct Signer {
    pair: EcdsaKeyPair,
    pub(in crate::federation) kid: &'static str,
}

impl Signer {
    pub(in crate::federation) fn new(kid: &'static str) -> Self {
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &secret::source())
            .unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            der.as_ref(),
            &secret::source(),
        )
        .unwrap();
        Self { pair, kid }
    }

    pub(in crate::federation) fn jwk(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        let (x, y) = (BASE64.encode(&point[1..33]), BASE64.encode(&point[33..]));
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "kid": self.kid, "x": x, "y": y})
    }

    fn sign_parts(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
        let signature = self
            .pair
            .sign(&secret::source(), message.as_bytes())
            .unwrap();
        format!("{message}.{}", BASE64.encode(signature.as_ref()))
    }

    pub(in crate::federation) fn sign(&self, claims: &Value) -> String {
        self.sign_parts(&self.header().to_string(), &claims.to_string())
    }

    fn header(&self) -> Value {
        json!({"alg": "ES256", "kid": self.kid, "typ": "JWT"})
    }
}

fn settings(more: &str) -> Provider {
    let text = format!(
        "id = \"a\"\nclient_id = \"us\"\nissuer = \"https://op.example\"\nalgs = [\"ES256\"]\n{more}"
    );
    toml::from_str(&text).unwrap()
}

fn good() -> Value {
    let hash = Hash::of(b"access");
    json!({
        "iss": "https://op.example", "sub": "person", "aud": "us", "exp": NOW + 300, "iat": NOW, "nonce": "n",
        "at_hash": BASE64.encode(&hash.as_bytes()[..16]), "email": "a@example.com", "email_verified": true,
    })
}

/// `good()` with one claim changed; null takes it away.
fn with(name: &str, value: Value) -> Value {
    let mut claims = good();
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value,
    }
    claims
}

/// All checks but the choice of a key, with the only key there is.
fn checked(token: &str, jwk: &Value, settings: &Provider) -> Result<Verified, RefusalCode> {
    let set = KeySet::read(json!({ "keys": [jwk] }).to_string().as_bytes()).unwrap();
    let all = || {
        let parts = parse(token)?;
        not_critical(&parts.header)?;
        is_jwt(&parts.header)?;
        let alg = algorithm(&parts.header, settings)?;
        let kid = key_name(&parts.header, settings)?;
        let key = set
            .select(kid, alg)
            .map_err(|_| FederationError::from(RefusalCode::KeyUnknown))?;
        if !is_signed(&parts, key, alg) {
            return refuse(RefusalCode::Signature, "");
        }
        let issuer = settings.issuer();
        let expect = Expect {
            settings,
            issuer: &issuer,
            nonce: "n",
            pkce: settings.pkce,
            access_token: "access",
            now: NOW,
        };
        claims(&parts, key, alg, &expect)
    };
    all().map_err(|refused| refused.code)
}

fn of_claims(claims: &Value, more: &str) -> Option<RefusalCode> {
    let signer = Signer::new("k");
    checked(&signer.sign(claims), &signer.jwk(), &settings(more)).err()
}

#[test]
fn it_03_it_05_it_06_it_07_it_08_each_claim_is_checked() {
    assert_eq!(of_claims(&good(), ""), None);
    for (name, value, code) in [
        ("iss", Value::Null, RefusalCode::IssClaim),
        ("iss", json!("https://op.example/"), RefusalCode::IssClaim),
        ("iss", json!("https://OP.example"), RefusalCode::IssClaim),
        ("iss", json!(["https://op.example"]), RefusalCode::IssClaim),
        ("aud", Value::Null, RefusalCode::Aud),
        ("aud", json!("other"), RefusalCode::Aud),
        ("aud", json!(["us", "other"]), RefusalCode::Aud),
        ("aud", json!(["us", "us"]), RefusalCode::Aud),
        ("aud", json!([]), RefusalCode::Aud),
        ("aud", json!([null]), RefusalCode::Aud),
        ("aud", json!(7), RefusalCode::Aud),
        ("azp", json!("other"), RefusalCode::Azp),
        ("azp", json!(["us"]), RefusalCode::Azp),
        ("exp", json!(NOW - 60), RefusalCode::Expired),
        ("exp", Value::Null, RefusalCode::Expired),
        ("exp", json!((NOW + 300).to_string()), RefusalCode::Expired),
        ("exp", json!(1e30), RefusalCode::Expired),
        ("exp", json!(-1), RefusalCode::Expired),
        ("exp", json!(u64::MAX), RefusalCode::Expired),
        ("iat", json!(NOW + 61), RefusalCode::Iat),
        ("iat", json!(NOW - 601), RefusalCode::Iat),
        ("iat", Value::Null, RefusalCode::Iat),
        ("iat", json!("now"), RefusalCode::Iat),
        ("nbf", json!(NOW + 61), RefusalCode::Nbf),
        ("nbf", json!("x"), RefusalCode::Nbf),
        ("nonce", Value::Null, RefusalCode::Nonce),
        ("nonce", json!("m"), RefusalCode::Nonce),
        ("nonce", json!(["n"]), RefusalCode::Nonce),
        ("at_hash", json!("AAAA"), RefusalCode::AtHash),
        ("at_hash", json!(7), RefusalCode::AtHash),
        ("sub", Value::Null, RefusalCode::Sub),
        ("sub", json!(""), RefusalCode::Sub),
        ("sub", json!("x".repeat(256)), RefusalCode::Sub),
        ("sub", json!("a\nb"), RefusalCode::Sub),
        ("sub", json!("é"), RefusalCode::Sub),
        ("sub", json!(7), RefusalCode::Sub),
        (
            "email_verified",
            json!("true"),
            RefusalCode::ClaimsMalformed,
        ),
        ("email_verified", json!(1), RefusalCode::ClaimsMalformed),
        ("locale", json!({"a": 1}), RefusalCode::ClaimsMalformed),
        (
            "updated_at",
            json!("yesterday"),
            RefusalCode::ClaimsMalformed,
        ),
        ("amr", json!("pwd"), RefusalCode::ClaimsMalformed),
    ] {
        assert_eq!(
            of_claims(&with(name, value.clone()), ""),
            Some(code),
            "{name} = {value}"
        );
    }
}

#[test]
fn pr_02_it_05_what_is_within_the_bounds_passes() {
    for (name, value) in [
        ("aud", json!(["us"])),
        ("azp", json!("us")),
        ("exp", json!(NOW - 59)),
        ("exp", json!(NOW as f64 + 0.5)),
        ("iat", json!(NOW - 600)),
        ("iat", json!(NOW + 60)),
        ("nbf", json!(NOW + 60)),
        ("at_hash", Value::Null),
        ("sub", json!("x".repeat(255))),
        ("jku", json!("https://evil.example/keys")),
    ] {
        let mut claims = with(name, value.clone());
        if name == "exp" {
            claims["iat"] = json!(NOW - 300);
        }
        if name == "iat" && value == json!(NOW + 60) {
            claims["exp"] = json!(NOW + 120);
        }
        assert_eq!(of_claims(&claims, ""), None, "{name} = {value}");
    }
    assert_eq!(
        of_claims(&with("iat", json!(NOW - 3000)), "token_age_seconds = 3600"),
        None
    );
    assert_eq!(
        of_claims(
            &with("email_verified", json!("true")),
            "string_booleans = true"
        ),
        None
    );
    assert_eq!(
        of_claims(
            &with("email_verified", json!("yes")),
            "string_booleans = true"
        ),
        Some(RefusalCode::ClaimsMalformed)
    );
}

#[test]
fn it_06_a_nonce_may_be_missing_only_by_setting_and_with_pkce() {
    let without = with("nonce", Value::Null);
    assert_eq!(of_claims(&without, "nonce_optional = true"), None);
    assert_eq!(
        of_claims(&with("nonce", json!("m")), "nonce_optional = true"),
        Some(RefusalCode::Nonce)
    );
    assert_eq!(
        of_claims(&without, "nonce_optional = true\npkce = false"),
        Some(RefusalCode::Nonce)
    );
    let mut apple = without.clone();
    apple["nonce_supported"] = json!(false);
    assert_eq!(of_claims(&apple, "kind = \"apple\""), None);
    assert_eq!(
        of_claims(&apple, ""),
        Some(RefusalCode::Nonce),
        "the exception is Apple's alone"
    );
    apple["nonce_supported"] = json!(true);
    assert_eq!(
        of_claims(&apple, "kind = \"apple\""),
        Some(RefusalCode::Nonce)
    );
}

#[test]
fn it_02_the_header_is_checked() {
    let signer = Signer::new("k");
    let settings = settings("");
    for (name, value, code) in [
        ("crit", json!([]), RefusalCode::Crit),
        ("crit", json!(["exp"]), RefusalCode::Crit),
        ("typ", json!("at+jwt"), RefusalCode::Typ),
        ("typ", json!("logout+jwt"), RefusalCode::Typ),
        ("typ", json!("JOSE"), RefusalCode::Typ),
        ("typ", json!(1), RefusalCode::Typ),
        ("alg", json!("none"), RefusalCode::Alg),
        ("alg", json!("HS256"), RefusalCode::Alg),
        ("alg", json!("RS256"), RefusalCode::Alg),
        ("alg", json!("PS256"), RefusalCode::Alg),
        ("alg", json!("es256"), RefusalCode::Alg),
        ("alg", Value::Null, RefusalCode::Alg),
        ("kid", json!("other"), RefusalCode::KeyUnknown),
        ("kid", json!(7), RefusalCode::IdTokenMalformed),
        ("enc", json!("A128GCM"), RefusalCode::IdTokenMalformed),
        ("zip", json!("DEF"), RefusalCode::IdTokenMalformed),
    ] {
        let mut header = signer.header();
        header[name] = value.clone();
        let token = signer.sign_parts(&header.to_string(), &good().to_string());
        assert_eq!(
            checked(&token, &signer.jwk(), &settings).err(),
            Some(code),
            "{name} = {value}"
        );
    }
    for header in [
        json!({"alg": "ES256"}),
        json!({"alg": "ES256", "typ": "jwt", "jwk": {"kty": "oct"}}),
    ] {
        let token = signer.sign_parts(&header.to_string(), &good().to_string());
        assert_eq!(
            checked(&token, &signer.jwk(), &settings).err(),
            None,
            "{header}"
        );
    }
    let mut needs = settings.clone();
    needs.require_kid = true;
    let token = signer.sign_parts("{\"alg\":\"ES256\"}", &good().to_string());
    assert_eq!(
        checked(&token, &signer.jwk(), &needs).err(),
        Some(RefusalCode::KeyUnknown)
    );
}

/// HS256 over the token with the public key and with the secret for a key: the classic confusions.
#[test]
fn it_02_up_alg_no_public_value_is_taken_for_a_shared_secret() {
    let signer = Signer::new("k");
    let message = format!(
        "{}.{}",
        BASE64.encode(r#"{"alg":"HS256","kid":"k"}"#),
        BASE64.encode(good().to_string())
    );
    for secret in [signer.pair.public_key().as_ref(), b"secret"] {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
        let token = format!(
            "{message}.{}",
            BASE64.encode(ring::hmac::sign(&key, message.as_bytes()))
        );
        assert_eq!(
            checked(&token, &signer.jwk(), &settings("")).err(),
            Some(RefusalCode::Alg)
        );
    }
}

#[test]
fn it_01_up_id_token_malformed() {
    let signer = Signer::new("k");
    let settings = settings("");
    let token = signer.sign(&good());
    let [header, claims, signature] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
    let twice = good().to_string().replacen('{', "{\"sub\":\"other\",", 1);
    for bad in [
        format!("{header}.{claims}"),
        format!("{token}.x"),
        format!("{header}.{claims}.{signature}.a.b"),
        format!("{header}=.{claims}.{signature}"),
        format!("{header}.{claims}.{signature}="),
        format!(" {token}"),
        format!("{header}.{}.{signature}", BASE64.encode("not json")),
        format!("{header}.{}.{signature}", BASE64.encode("[]")),
        signer.sign_parts(&signer.header().to_string(), &twice),
        signer.sign_parts(
            r#"{"alg":"ES256","alg":"ES256","kid":"k"}"#,
            &good().to_string(),
        ),
        signer.sign(&with("filler", json!("x".repeat(13 * 1024)))),
        String::new(),
    ] {
        let code = checked(&bad, &signer.jwk(), &settings).err();
        assert_eq!(
            code,
            Some(RefusalCode::IdTokenMalformed),
            "{}",
            &bad[..bad.len().min(300)]
        );
    }
}

#[test]
fn it_04_up_signature_a_bit_flipped_in_any_part() {
    let signer = Signer::new("k");
    let settings = settings("");
    let token = signer.sign(&good());
    let parts: Vec<Vec<u8>> = token
        .split('.')
        .map(|part| BASE64.decode(part).unwrap())
        .collect();
    // A letter within a text of each part, so that only the signature can tell.
    let places = [
        parts[0]
            .windows(3)
            .position(|window| window == b"JWT")
            .unwrap(),
        parts[1]
            .windows(6)
            .position(|window| window == b"person")
            .unwrap(),
        40,
    ];
    for (part, place) in places.into_iter().enumerate() {
        let mut parts = parts.clone();
        parts[part][place] ^= 0x20;
        let token = parts
            .iter()
            .map(|part| BASE64.encode(part))
            .collect::<Vec<_>>()
            .join(".");
        assert_eq!(
            checked(&token, &signer.jwk(), &settings).err(),
            Some(RefusalCode::Signature),
            "part {part}"
        );
    }
    let mut other = Signer::new("k").jwk();
    assert_eq!(
        checked(&token, &other, &settings).err(),
        Some(RefusalCode::Signature)
    );
    other["use"] = json!("enc");
    assert_eq!(
        checked(&token, &other, &settings).err(),
        Some(RefusalCode::KeyUnknown)
    );
}

#[test]
fn it_10_a_malformed_claim_is_named_without_its_value() {
    let mut claims = good();
    claims["locale"] = json!({"hunter2": 1});
    claims["updated_at"] = json!("hunter2");
    claims["address"] = json!({"locality": ["hunter2"], "region": "r"});
    let signer = Signer::new("k");
    let token = signer.sign(&claims);
    let set = KeySet::read(json!({ "keys": [signer.jwk()] }).to_string().as_bytes()).unwrap();
    let parts = parse(&token).unwrap();
    let (settings, key) = (settings(""), set.select(None, UpstreamAlg::ES256).unwrap());
    let issuer = settings.issuer();
    let expect = Expect {
        settings: &settings,
        issuer: &issuer,
        nonce: "n",
        pkce: true,
        access_token: "access",
        now: NOW,
    };
    let refused = super::claims(&parts, key, UpstreamAlg::ES256, &expect)
        .err()
        .unwrap();
    assert_eq!(
        (refused.code, refused.detail.as_str()),
        (
            RefusalCode::ClaimsMalformed,
            "address.locality, locale, updated_at is malformed"
        )
    );
    assert_eq!(
        misfits(&parts.claims, |some| some.len() < 8),
        "a claim",
        "what fits alone and not together"
    );
}

#[test]
fn pr_01_up_tenant_entra_takes_only_the_directory_that_the_issuer_names() {
    let of = |tid: &str| format!("https://login.microsoftonline.com/{tid}/v2.0");
    let entra = |iss: String, tid: Value, key_issuer: Value, more: &str| {
        let signer = Signer::new("k");
        let mut claims = with("iss", json!(iss));
        if !tid.is_null() {
            claims["tid"] = tid;
        }
        let mut jwk = signer.jwk();
        if !key_issuer.is_null() {
            jwk["issuer"] = key_issuer;
        }
        let text =
            format!("id = \"a\"\nkind = \"entra\"\nclient_id = \"us\"\nalgs = [\"ES256\"]\n{more}");
        checked(&signer.sign(&claims), &jwk, &toml::from_str(&text).unwrap()).err()
    };
    let other = "0f0e0d0c-0000-4000-8000-00000000000b";
    let upper = TENANT_A.to_uppercase();
    let (many, only) = (
        "tenant = \"organizations\"",
        format!("tenant = \"common\"\ntenants = [\"{TENANT_A}\"]"),
    );
    let one = format!("tenant = \"{TENANT_A}\"");
    let null = || Value::Null;
    for (iss, tid, key_issuer, more, code) in [
        (of(TENANT_A), json!(TENANT_A), null(), many, None),
        (
            of(TENANT_A),
            json!(TENANT_A),
            json!(of("{tenantid}")),
            many,
            None,
        ),
        (
            of(TENANT_A),
            json!(TENANT_A),
            json!(of(TENANT_A)),
            many,
            None,
        ),
        (
            of(TENANT_A),
            json!(TENANT_A),
            json!(of(other)),
            many,
            Some(RefusalCode::KeyUnknown),
        ),
        (
            of(TENANT_A),
            json!(other),
            null(),
            many,
            Some(RefusalCode::IssClaim),
        ),
        (
            of(&upper),
            json!(upper),
            null(),
            many,
            Some(RefusalCode::Tenant),
        ),
        (of("x"), json!("x"), null(), many, Some(RefusalCode::Tenant)),
        (
            of("{tenantid}"),
            json!("{tenantid}"),
            null(),
            many,
            Some(RefusalCode::Tenant),
        ),
        (
            of(TENANT_A),
            null(),
            null(),
            many,
            Some(RefusalCode::Tenant),
        ),
        (of(TENANT_A), json!(TENANT_A), null(), &only, None),
        (
            of(other),
            json!(other),
            null(),
            &only,
            Some(RefusalCode::Tenant),
        ),
        (of(TENANT_A), null(), null(), &one, None),
        (
            of(TENANT_A),
            json!(other),
            null(),
            &one,
            Some(RefusalCode::Tenant),
        ),
        (
            of(other),
            json!(other),
            null(),
            &one,
            Some(RefusalCode::Tenant),
        ),
        (of(other), null(), null(), &one, Some(RefusalCode::IssClaim)),
    ] {
        assert_eq!(
            entra(iss.clone(), tid.clone(), key_issuer.clone(), more),
            code,
            "{iss} {tid} {key_issuer} {more}"
        );
    }
}

#[test]
fn pr_01_up_hd_google_takes_the_claim_and_not_the_hint() {
    let google = |hd: Value| {
        let signer = Signer::new("k");
        let mut claims = with("hd", hd);
        claims["iss"] = json!("https://accounts.google.com");
        let text = "id = \"a\"\nkind = \"google\"\nclient_id = \"us\"\nalgs = [\"ES256\"]\nhosted_domains = [\"x.example\"]";
        checked(
            &signer.sign(&claims),
            &signer.jwk(),
            &toml::from_str(text).unwrap(),
        )
        .err()
    };
    assert_eq!(google(json!("x.example")), None);
    for bad in [
        Value::Null,
        json!("X.example"),
        json!("y.example"),
        json!(["x.example"]),
    ] {
        assert_eq!(google(bad.clone()), Some(RefusalCode::Hd), "{bad}");
    }
    let schemeless = with("iss", json!("accounts.google.com"));
    assert_eq!(
        of_claims(&schemeless, ""),
        Some(RefusalCode::IssClaim),
        "the form without scheme is refused"
    );
}
