//! A provider's key set: which of its keys are used at all, which one verifies a token, and the names
//! of the algorithms, as the standards write them and as the library has them.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use openidconnect::{
    JsonWebKeyId,
    core::{CoreJsonCurveType, CoreJsonWebKey, CoreJwsSigningAlgorithm},
};
use serde_json::Value;

use super::json::{self, Object, string_member};
use crate::{config::providers::UpstreamAlg, federation::provider::error::KeyError};

/// A longer list is not a key set.
const MAX_KEYS: usize = 100;

/// RFC 7518 §3.3: how long an RSA modulus must be, in bits.
const MIN_RSA_BITS: usize = 2048;

const MAX_RSA_BITS: usize = 8192;

/// How long an RSA exponent may be, in bits.
const MAX_EXPONENT_BITS: usize = 33;

/// Every algorithm that may be configured.
pub(crate) const ALGORITHMS: [UpstreamAlg; 9] = [
    UpstreamAlg::RS256,
    UpstreamAlg::RS384,
    UpstreamAlg::RS512,
    UpstreamAlg::PS256,
    UpstreamAlg::PS384,
    UpstreamAlg::PS512,
    UpstreamAlg::ES256,
    UpstreamAlg::ES384,
    UpstreamAlg::EdDSA,
];

/// The keys of a provider that are for verifying signatures.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeySet {
    keys: Vec<Key>,
}

#[derive(Clone, Debug)]
pub(crate) struct Key {
    kid: Option<String>,
    /// The one algorithm that the key is for, if it names one.
    alg: Option<String>,
    key_type: KeyType,
    /// Entra: the issuer, or the template of issuers, whose tokens the key signs.
    pub(crate) issuer: Option<String>,
    pub(crate) jwk: CoreJsonWebKey,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyType {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl KeySet {
    /// Parses a JWKS (RFC 7517 §5) and keeps the keys that are for verifying signatures (DJ-09);
    /// `None` if it is not a JWKS, or too long.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        let document = json::object(body)?;
        let list = document.get("keys")?.as_array()?;
        if list.len() > MAX_KEYS {
            return None;
        }
        let keys = list
            .iter()
            .filter_map(|key| Key::parse(key.as_object()?))
            .collect();
        Some(Self { keys })
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Counts the keys that support one of these algorithms.
    pub(crate) fn count_supporting(&self, algs: &[UpstreamAlg]) -> usize {
        self.keys
            .iter()
            .filter(|key| algs.iter().any(|alg| key.supports(*alg)))
            .count()
    }

    /// Counts the keys whose `kid` another key has too: none of these is used.
    pub(crate) fn count_repeated(&self) -> usize {
        let same_kid = |kid: &str| {
            self.keys
                .iter()
                .filter(|key| key.kid.as_deref() == Some(kid))
                .count()
        };
        let kids = self.keys.iter().filter_map(|key| key.kid.as_deref());
        kids.filter(|kid| same_kid(kid) > 1).count()
    }

    /// Selects the key for a token (IT-04): by its `kid`, else the only one that supports the
    /// algorithm.
    pub(crate) fn select(&self, kid: Option<&str>, alg: UpstreamAlg) -> Result<&Key, KeyError> {
        let is_candidate = |key: &&Key| match kid {
            Some(_) => key.kid.as_deref() == kid,
            None => key.supports(alg),
        };
        let candidates: Vec<&Key> = self.keys.iter().filter(is_candidate).collect();
        match candidates.as_slice() {
            [] => Err(KeyError::Unknown),
            [key] if key.supports(alg) => Ok(key),
            [_] => Err(KeyError::Algorithm),
            _ => Err(KeyError::Ambiguous),
        }
    }
}

impl Key {
    fn parse(jwk: &Object) -> Option<Self> {
        if !is_for_verifying(jwk) {
            return None;
        }
        let kid = match jwk.get("kid") {
            None => None,
            Some(Value::String(kid)) => Some(kid.clone()),
            Some(_) => return None,
        };
        let (key_type, library_key) = parse_public_key(jwk, kid.clone().map(JsonWebKeyId::new))?;
        Some(Self {
            kid,
            alg: string_member(jwk, "alg").map(str::to_owned),
            key_type,
            issuer: string_member(jwk, "issuer").map(str::to_owned),
            jwk: library_key,
        })
    }

    /// RFC 8725 §3.1: a key is used with one algorithm, the one that it names or that its type has.
    fn supports(&self, alg: UpstreamAlg) -> bool {
        use UpstreamAlg::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        let key_type = match alg {
            RS256 | RS384 | RS512 | PS256 | PS384 | PS512 => KeyType::Rsa,
            ES256 => KeyType::P256,
            ES384 => KeyType::P384,
            EdDSA => KeyType::Ed25519,
        };
        let named = self.alg.as_deref();
        self.key_type == key_type && named.is_none_or(|named| named == algorithm_name(alg))
    }
}

/// RFC 7518 §3.1, RFC 8037 §3.1.
pub(crate) const fn algorithm_name(alg: UpstreamAlg) -> &'static str {
    match alg {
        UpstreamAlg::RS256 => "RS256",
        UpstreamAlg::RS384 => "RS384",
        UpstreamAlg::RS512 => "RS512",
        UpstreamAlg::PS256 => "PS256",
        UpstreamAlg::PS384 => "PS384",
        UpstreamAlg::PS512 => "PS512",
        UpstreamAlg::ES256 => "ES256",
        UpstreamAlg::ES384 => "ES384",
        UpstreamAlg::EdDSA => "EdDSA",
    }
}

pub(super) const fn library_algorithm(alg: UpstreamAlg) -> CoreJwsSigningAlgorithm {
    match alg {
        UpstreamAlg::RS256 => CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
        UpstreamAlg::RS384 => CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
        UpstreamAlg::RS512 => CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
        UpstreamAlg::PS256 => CoreJwsSigningAlgorithm::RsaSsaPssSha256,
        UpstreamAlg::PS384 => CoreJwsSigningAlgorithm::RsaSsaPssSha384,
        UpstreamAlg::PS512 => CoreJwsSigningAlgorithm::RsaSsaPssSha512,
        UpstreamAlg::ES256 => CoreJwsSigningAlgorithm::EcdsaP256Sha256,
        UpstreamAlg::ES384 => CoreJwsSigningAlgorithm::EcdsaP384Sha384,
        UpstreamAlg::EdDSA => CoreJwsSigningAlgorithm::EdDsa,
    }
}

/// RFC 7517 §4.2, §4.3: a public key whose use, if it is stated, is verifying signatures.
fn is_for_verifying(jwk: &Object) -> bool {
    let is_private = ["d", "k", "p", "q"]
        .iter()
        .any(|member| jwk.contains_key(*member));
    let is_for_signatures = jwk.get("use").is_none_or(|usage| usage == "sig");
    let may_verify = jwk.get("key_ops").is_none_or(|operations| {
        operations
            .as_array()
            .is_some_and(|operations| operations.contains(&"verify".into()))
    });
    !is_private && is_for_signatures && may_verify
}

fn parse_public_key(jwk: &Object, id: Option<JsonWebKeyId>) -> Option<(KeyType, CoreJsonWebKey)> {
    let bytes = |name: &str| BASE64.decode(string_member(jwk, name)?).ok();
    let on_curve = |curve| {
        Some(CoreJsonWebKey::new_ec(
            bytes("x")?,
            bytes("y")?,
            curve,
            id.clone(),
        ))
    };
    match (string_member(jwk, "kty")?, string_member(jwk, "crv")) {
        ("RSA", _) => {
            let modulus =
                bytes("n").filter(|n| (MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits(n)))?;
            let exponent = bytes("e").filter(|e| bits(e) <= MAX_EXPONENT_BITS)?;
            Some((KeyType::Rsa, CoreJsonWebKey::new_rsa(modulus, exponent, id)))
        }
        ("EC", Some("P-256")) => Some((KeyType::P256, on_curve(CoreJsonCurveType::P256)?)),
        ("EC", Some("P-384")) => Some((KeyType::P384, on_curve(CoreJsonCurveType::P384)?)),
        ("OKP", Some("Ed25519")) => {
            let key = CoreJsonWebKey::new_okp(bytes("x")?, CoreJsonCurveType::Ed25519, id);
            Some((KeyType::Ed25519, key))
        }
        _ => None,
    }
}

/// Returns the length of a number in bits, without leading zeros.
fn bits(bytes: &[u8]) -> usize {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let significant = bytes.get(zeros..).unwrap_or_default();
    significant.first().map_or(0, |first| {
        significant.len() * 8 - first.leading_zeros() as usize
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rsa(bytes: usize, more: Value) -> Value {
        let mut key = json!({"kty": "RSA", "n": BASE64.encode(vec![0xff; bytes]), "e": "AQAB"});
        key.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        key
    }

    fn ec(crv: &str, more: Value) -> Value {
        let (x, y) = (BASE64.encode([1; 32]), BASE64.encode([2; 32]));
        let mut key = json!({"kty": "EC", "crv": crv, "x": x, "y": y});
        key.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        key
    }

    fn set(keys: &[Value]) -> KeySet {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn dj_09_keys_that_are_not_for_verifying_are_dropped() {
        for bad in [
            rsa(128, json!({})),
            rsa(255, json!({})),
            rsa(1025, json!({})),
            rsa(256, json!({"use": "enc"})),
            rsa(256, json!({"use": 1})),
            rsa(256, json!({"d": "AQ"})),
            rsa(256, json!({"k": "AQ"})),
            rsa(256, json!({"kid": 7})),
            rsa(256, json!({"n": "not base64!"})),
            rsa(256, json!({"key_ops": ["encrypt"]})),
            rsa(256, json!({"e": BASE64.encode([0xff; 9])})),
            ec("P-521", json!({})),
            ec("secp256k1", json!({})),
            json!({"kty": "oct", "k": "AQ"}),
            json!({"kty": "OKP", "crv": "X25519", "x": "AQ"}),
            json!({"kty": "future"}),
            json!(1),
        ] {
            assert_eq!(set(&[bad.clone(), rsa(256, json!({}))]).len(), 1, "{bad}");
        }
        let fine = [
            rsa(256, json!({"use": "sig"})),
            rsa(1024, json!({})),
            ec("P-256", json!({})),
            ec("P-384", json!({})),
        ];
        assert_eq!(set(&fine).len(), 4);
        let many = vec![rsa(256, json!({})); 101];
        assert!(KeySet::parse(json!({ "keys": many }).to_string().as_bytes()).is_none());
        assert!(KeySet::parse(b"{\"keys\":[],\"keys\":[]}").is_none());
    }

    #[test]
    fn it_04_the_key_is_the_named_one_or_the_only_one() {
        use UpstreamAlg::{ES256, PS256, RS256};
        let a = || rsa(256, json!({"kid": "a"}));
        let b = || rsa(256, json!({"kid": "b", "alg": "RS256"}));
        let c = || ec("P-256", json!({"kid": "c"}));
        for (keys, kid, alg, result) in [
            (vec![a(), b(), c()], Some("a"), RS256, Ok("a")),
            (vec![a(), b(), c()], Some("c"), ES256, Ok("c")),
            (
                vec![a(), b(), c()],
                Some("c"),
                RS256,
                Err(KeyError::Algorithm),
            ),
            (
                vec![a(), b(), c()],
                Some("b"),
                PS256,
                Err(KeyError::Algorithm),
            ),
            (
                vec![a(), b(), c()],
                Some("d"),
                RS256,
                Err(KeyError::Unknown),
            ),
            (
                vec![a(), a(), b()],
                Some("a"),
                RS256,
                Err(KeyError::Ambiguous),
            ),
            (
                vec![a(), ec("P-256", json!({"kid": "a"}))],
                Some("a"),
                RS256,
                Err(KeyError::Ambiguous),
            ),
            (vec![a(), c()], None, RS256, Ok("a")),
            (vec![a(), b()], None, RS256, Err(KeyError::Ambiguous)),
            (vec![c()], None, RS256, Err(KeyError::Unknown)),
        ] {
            let set = set(&keys);
            let found = set.select(kid, alg).map(|key| key.kid.as_deref().unwrap());
            assert_eq!(found, result, "{kid:?} {alg:?} of {}", keys.len());
        }
    }
}
