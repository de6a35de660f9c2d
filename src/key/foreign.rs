//! Tokens that others sign with keys of their own, such as the assertions of clients (RFC 7523).
//!
//! They are parsed first and verified later: nothing in a token may be trusted until
//! [`ForeignToken::is_signed_by`] returns true. Keys come from the caller alone; `jku`, `jwk`,
//! `x5u` and `x5c` are ignored (RFC 8725 §3.10).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde_json::Value;

use super::{Claims, TokenError, jwt::is_type};
use crate::config::jwks::{Jwk, Jwks, PublicKey, SigAlg, sig_alg};

/// A signed token whose signature is not verified yet.
#[derive(Clone)]
pub struct ForeignToken {
    pub claims: Claims,
    /// The key that the token names.
    pub kid: Option<String>,
    alg: SigAlg,
    message: Vec<u8>,
    signature: Vec<u8>,
}

impl std::fmt::Debug for ForeignToken {
    /// Leaves out the token, which is a credential.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ForeignToken")
            .field("alg", &self.alg)
            .finish_non_exhaustive()
    }
}

impl ForeignToken {
    /// Parses a compact JWS (RFC 7515 §7.1) with one of these types or none.
    ///
    /// # Errors
    /// Also for a header that demands an extension, and for algorithms that are not in [`SigAlg`],
    /// above all `none` and those with a shared secret (RFC 8725 §3.1, §3.2).
    pub fn parse(token: &str, types: &[&str]) -> Result<Self, TokenError> {
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(TokenError::Malformed)?;
        let (header, claims) = (decode_object(header)?, decode_object(payload)?);
        if header.contains_key("crit") {
            return Err(TokenError::Critical);
        }
        let is_known = |typ: &Value| {
            typ.as_str()
                .is_some_and(|typ| types.iter().any(|known| is_type(typ, known)))
        };
        if !header.get("typ").is_none_or(is_known) {
            return Err(TokenError::Type);
        }
        let alg = header
            .get("alg")
            .and_then(Value::as_str)
            .and_then(sig_alg)
            .ok_or(TokenError::Algorithm)?;
        let kid = match header.get("kid") {
            None => None,
            Some(kid) => Some(kid.as_str().ok_or(TokenError::Key)?.to_owned()),
        };
        let signature = BASE64
            .decode(signature)
            .map_err(|_| TokenError::Malformed)?;
        Ok(Self {
            claims,
            kid,
            alg,
            message: message.as_bytes().to_vec(),
            signature,
        })
    }

    /// Returns the algorithm that the token names.
    #[must_use]
    pub const fn alg(&self) -> SigAlg {
        self.alg
    }

    /// Returns whether one of these keys made the signature: the key that the token names, or one
    /// without a name. If the token names none, any key for its algorithm may have made it.
    #[must_use]
    pub fn is_signed_by(&self, keys: &Jwks) -> bool {
        keys.keys
            .iter()
            .any(|key| self.may_use(key) && self.is_signed_with(&key.public))
    }

    /// Returns whether these keys have one of the name that the token names, or one without a name.
    /// If not, there may be newer keys.
    #[must_use]
    pub fn names_key_in(&self, keys: &Jwks) -> bool {
        self.kid.is_some() && keys.keys.iter().any(|key| self.may_use(key))
    }

    fn may_use(&self, key: &Jwk) -> bool {
        let is_named = self.kid.is_none() || key.kid.is_none() || self.kid == key.kid;
        is_named && key.public.supports_alg(self.alg) && key.alg.is_none_or(|alg| alg == self.alg)
    }

    fn is_signed_with(&self, key: &PublicKey) -> bool {
        is_signature(key, self.alg, &self.message, &self.signature)
    }
}

/// Returns whether `signature` over `message` was made by this algorithm with the private half of
/// `key`.
pub(super) fn is_signature(key: &PublicKey, alg: SigAlg, message: &[u8], signature: &[u8]) -> bool {
    let result = match (key, alg) {
        (PublicKey::P256(point), SigAlg::ES256) => {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
        }
        (PublicKey::Ed25519(point), SigAlg::Ed25519) => {
            UnparsedPublicKey::new(&ED25519, point).verify(message, signature)
        }
        (PublicKey::Rsa { n, e }, SigAlg::RS256) => {
            RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
        }
        (PublicKey::Rsa { n, e }, SigAlg::PS256) => {
            RsaPublicKeyComponents { n, e }.verify(&RSA_PSS_2048_8192_SHA256, message, signature)
        }
        _ => return false,
    };
    result.is_ok()
}

fn decode_object(part: &str) -> Result<Claims, TokenError> {
    let bytes = BASE64.decode(part).map_err(|_| TokenError::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| TokenError::Malformed)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
        RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
    };
    use serde_json::json;

    use super::*;
    use crate::key::public::VerifyingKey;

    const TYPES: [&str; 2] = ["JWT", "client-authentication+jwt"];

    type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

    fn token(header: &Value, sign: &Sign) -> String {
        let message = format!(
            "{}.{}",
            BASE64.encode(header.to_string()),
            BASE64.encode(r#"{"iss":"x"}"#)
        );
        format!("{message}.{}", BASE64.encode(sign(message.as_bytes())))
    }

    /// One key of each kind: its JWK, and how it signs by each of its algorithms.
    fn pairs() -> Vec<(&'static str, Value, Sign)> {
        let random = aws_lc_rs::rand::SystemRandom::new();
        let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let (x, y) = ec.public_key().as_ref()[1..].split_at(32);
        let ec_jwk =
            json!({ "kty": "EC", "crv": "P-256", "x": BASE64.encode(x), "y": BASE64.encode(y) });
        let ed = Ed25519KeyPair::generate().unwrap();
        let ed_jwk =
            json!({ "kty": "OKP", "crv": "Ed25519", "x": BASE64.encode(ed.public_key().as_ref()) });
        let rsa =
            std::sync::Arc::new(RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap());
        let part = |bytes: &[u8]| BASE64.encode(bytes);
        let Some(VerifyingKey::Rsa { n, e }) =
            VerifyingKey::from_rsa_der(rsa.public_key().as_ref())
        else {
            unreachable!()
        };
        let rsa_jwk = json!({ "kty": "RSA", "n": part(&n), "e": part(&e) });
        let by = |padding: &'static dyn aws_lc_rs::signature::RsaEncoding| -> Sign {
            let (rsa, random) = (
                std::sync::Arc::clone(&rsa),
                aws_lc_rs::rand::SystemRandom::new(),
            );
            Box::new(move |message| {
                let mut signature = vec![0; rsa.public_modulus_len()];
                rsa.sign(padding, &random, message, &mut signature).unwrap();
                signature
            })
        };
        vec![
            (
                "ES256",
                ec_jwk,
                Box::new(move |message| ec.sign(&random, message).unwrap().as_ref().to_vec()),
            ),
            (
                "Ed25519",
                ed_jwk,
                Box::new(move |message| ed.sign(message).as_ref().to_vec()),
            ),
            ("RS256", rsa_jwk.clone(), by(&RSA_PKCS1_SHA256)),
            ("PS256", rsa_jwk, by(&RSA_PSS_SHA256)),
        ]
    }

    fn set(keys: &[&Value]) -> Jwks {
        Jwks::try_from(json!({ "keys": keys })).unwrap()
    }

    fn named(key: &Value, kid: &str) -> Value {
        let mut key = key.clone();
        key.as_object_mut()
            .unwrap()
            .insert("kid".to_owned(), kid.into());
        key
    }

    #[test]
    fn ca_8_each_algorithm_is_verified_by_its_own_key_alone() {
        let (pairs, others) = (pairs(), self::pairs());
        for (at, (alg, jwk, sign)) in pairs.iter().enumerate() {
            let signed = token(&json!({ "alg": alg, "typ": "JWT" }), sign);
            let read = ForeignToken::parse(&signed, &TYPES).unwrap();
            assert!(read.is_signed_by(&set(&[jwk])), "{alg}");
            assert!(
                !read.is_signed_by(&set(&[&others[at].1])),
                "{alg} by another key"
            );
            let all: Vec<&Value> = others.iter().map(|(_, jwk, _)| jwk).chain([jwk]).collect();
            assert!(
                read.is_signed_by(&set(&all)),
                "{alg}: any fitting key without kid"
            );
            let mut bytes = signed.into_bytes();
            let end = bytes.len() - 20;
            bytes[end] = if bytes[end] == b'A' { b'B' } else { b'A' };
            let altered =
                ForeignToken::parse(std::str::from_utf8(&bytes).unwrap(), &TYPES).unwrap();
            assert!(!altered.is_signed_by(&set(&[jwk])), "{alg} altered");
        }
        // RFC 9864: two names of one algorithm, in the token and in the key.
        let (_, ed, sign) = &pairs[1];
        for name in ["EdDSA", "Ed25519"] {
            let mut key = ed.clone();
            key.as_object_mut()
                .unwrap()
                .insert("alg".to_owned(), name.into());
            for alg in ["EdDSA", "Ed25519"] {
                let read =
                    ForeignToken::parse(&token(&json!({ "alg": alg }), sign), &TYPES).unwrap();
                assert!(
                    read.is_signed_by(&set(&[&key])),
                    "{alg} by a key for {name}"
                );
            }
        }
        // PS256 by a key that says that it is for RS256.
        let (_, rsa, sign) = &pairs[3];
        let mut rsa = rsa.clone();
        rsa.as_object_mut()
            .unwrap()
            .insert("alg".to_owned(), "RS256".into());
        assert!(
            !ForeignToken::parse(&token(&json!({ "alg": "PS256" }), sign), &TYPES)
                .unwrap()
                .is_signed_by(&set(&[&rsa]))
        );
    }

    #[test]
    fn ca_10_a_kid_picks_the_key_and_keys_without_one_are_taken() {
        let pairs = pairs();
        let (_, jwk, sign) = &pairs[0];
        let read = |header: &Value| ForeignToken::parse(&token(header, sign), &TYPES).unwrap();
        let (with, without) = (
            read(&json!({ "alg": "ES256", "kid": "a" })),
            read(&json!({ "alg": "ES256" })),
        );
        for (key, by_name, by_any) in [
            (named(jwk, "a"), true, true),
            (named(jwk, "b"), false, true),
            (jwk.clone(), true, true),
        ] {
            assert_eq!(
                (
                    with.is_signed_by(&set(&[&key])),
                    without.is_signed_by(&set(&[&key]))
                ),
                (by_name, by_any),
                "{key}"
            );
            assert_eq!(with.names_key_in(&set(&[&key])), by_name, "{key}");
        }
    }

    #[test]
    fn ca_8_what_is_no_plain_signed_token_is_refused() {
        let pairs = pairs();
        let (_, _, sign) = &pairs[0];
        for (header, error) in [
            (json!({ "alg": "none" }), TokenError::Algorithm),
            (json!({ "alg": "HS256" }), TokenError::Algorithm),
            (json!({ "alg": "ES384" }), TokenError::Algorithm),
            (json!({ "alg": ["ES256"] }), TokenError::Algorithm),
            (json!({}), TokenError::Algorithm),
            (
                json!({ "alg": "ES256", "crit": ["b64"], "b64": true }),
                TokenError::Critical,
            ),
            (json!({ "alg": "ES256", "crit": [] }), TokenError::Critical),
            (json!({ "alg": "ES256", "typ": "at+jwt" }), TokenError::Type),
            (
                json!({ "alg": "ES256", "typ": "dpop+jwt" }),
                TokenError::Type,
            ),
            (json!({ "alg": "ES256", "typ": 7 }), TokenError::Type),
            (json!({ "alg": "ES256", "kid": 7 }), TokenError::Key),
            (json!("text"), TokenError::Malformed),
        ] {
            assert_eq!(
                ForeignToken::parse(&token(&header, sign), &TYPES).unwrap_err(),
                error,
                "{header}"
            );
        }
        for typ in ["jwt", "application/jwt", "client-authentication+jwt"] {
            assert!(
                ForeignToken::parse(&token(&json!({ "alg": "ES256", "typ": typ }), sign), &TYPES)
                    .is_ok(),
                "{typ}"
            );
        }
        for text in [
            "",
            "a",
            "a.b",
            "a.b.c",
            "..",
            "e30.e30",
            "e30.e30.e30.e30",
            "e30=.e30.e30",
        ] {
            assert!(ForeignToken::parse(text, &TYPES).is_err(), "{text}");
        }
    }
}
