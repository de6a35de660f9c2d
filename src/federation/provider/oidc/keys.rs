//! A provider's key set: which of its keys are used at all, and which one a token must be verified with.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use openidconnect::{
    JsonWebKeyId,
    core::{CoreJsonCurveType, CoreJsonWebKey, CoreJwsSigningAlgorithm},
};
use serde_json::Value;

use super::json::{self, Object, text};
use crate::config::providers::UpstreamAlg;

/// More keys than this make no set.
const MOST: usize = 100;

/// The keys of a provider that are fit for verifying.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeySet {
    keys: Vec<Key>,
}

/// One public key.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    kid: Option<String>,
    /// The one algorithm that it is for, if it says.
    alg: Option<String>,
    shape: Shape,
    /// Entra: whose tokens it signs, which may be a template.
    pub(crate) issuer: Option<String>,
    /// As the library takes it.
    pub(crate) jwk: CoreJsonWebKey,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// Why there is no key for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Miss {
    /// No key has that name, or none at all fits: reading the keys again may help.
    Unknown,
    /// More than one could be meant (RFC 7517 §4.5; OpenID Connect Core §10.1).
    Ambiguous,
    /// The named key is for something else (RFC 8725 §3.1).
    Unfit,
}

impl KeySet {
    /// Reads a JWKS (RFC 7517 §5), keeping only what is fit for verifying (DJ-09). None: it is no JWKS.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let document = json::object(body)?;
        let list = document.get("keys")?.as_array()?;
        if list.len() > MOST {
            return None;
        }
        Some(Self {
            keys: list
                .iter()
                .filter_map(|key| Key::read(key.as_object()?))
                .collect(),
        })
    }

    /// How many keys are fit for verifying.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// How many of them fit one of these algorithms.
    pub(crate) fn fit_for(&self, algs: &[UpstreamAlg]) -> usize {
        self.keys
            .iter()
            .filter(|key| algs.iter().any(|alg| key.fits(*alg)))
            .count()
    }

    /// Names that more than one key has: none of these is used.
    pub(crate) fn repeated(&self) -> usize {
        let named = |kid: &str| {
            self.keys
                .iter()
                .filter(|key| key.kid.as_deref() == Some(kid))
                .count()
        };
        self.keys
            .iter()
            .filter_map(|key| key.kid.as_deref())
            .filter(|kid| named(kid) > 1)
            .count()
    }

    /// The key for a token (IT-04): by its name, else the only one that fits.
    pub(crate) fn select(&self, kid: Option<&str>, alg: UpstreamAlg) -> Result<&Key, Miss> {
        let candidates: Vec<&Key> = match kid {
            Some(_) => self
                .keys
                .iter()
                .filter(|key| key.kid.as_deref() == kid)
                .collect(),
            None => self.keys.iter().filter(|key| key.fits(alg)).collect(),
        };
        match candidates.as_slice() {
            [] => Err(Miss::Unknown),
            [key] if key.fits(alg) => Ok(key),
            [_] => Err(Miss::Unfit),
            _ => Err(Miss::Ambiguous),
        }
    }
}

impl Key {
    fn read(jwk: &Object) -> Option<Self> {
        let is_private = ["d", "k", "p", "q"]
            .iter()
            .any(|member| jwk.contains_key(*member));
        let for_signing = jwk.get("use").is_none_or(|usage| usage == "sig");
        let verifies = jwk.get("key_ops").is_none_or(|ops| {
            ops.as_array()
                .is_some_and(|ops| ops.contains(&"verify".into()))
        });
        if is_private || !for_signing || !verifies {
            return None;
        }
        let kid = match jwk.get("kid") {
            None => None,
            Some(Value::String(kid)) => Some(kid.clone()),
            Some(_) => return None,
        };
        let alg = text(jwk, "alg").map(str::to_owned);
        let bytes = |name: &str| BASE64.decode(text(jwk, name)?).ok();
        let id = kid.clone().map(JsonWebKeyId::new);
        let (shape, key) = match (text(jwk, "kty")?, text(jwk, "crv")) {
            ("RSA", _) => {
                let n = bytes("n").filter(|n| (2048..=8192).contains(&bits(n)))?;
                (
                    Shape::Rsa,
                    CoreJsonWebKey::new_rsa(n, bytes("e").filter(|e| bits(e) <= 33)?, id),
                )
            }
            ("EC", Some("P-256")) => (
                Shape::P256,
                CoreJsonWebKey::new_ec(bytes("x")?, bytes("y")?, CoreJsonCurveType::P256, id),
            ),
            ("EC", Some("P-384")) => (
                Shape::P384,
                CoreJsonWebKey::new_ec(bytes("x")?, bytes("y")?, CoreJsonCurveType::P384, id),
            ),
            ("OKP", Some("Ed25519")) => (
                Shape::Ed25519,
                CoreJsonWebKey::new_okp(bytes("x")?, CoreJsonCurveType::Ed25519, id),
            ),
            _ => return None,
        };
        Some(Self {
            kid,
            alg,
            shape,
            issuer: text(jwk, "issuer").map(str::to_owned),
            jwk: key,
        })
    }

    /// RFC 8725 §3.1: a key is used with one algorithm, the one that it names or that its kind has.
    fn fits(&self, alg: UpstreamAlg) -> bool {
        use UpstreamAlg::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        let shape = match alg {
            RS256 | RS384 | RS512 | PS256 | PS384 | PS512 => Shape::Rsa,
            ES256 => Shape::P256,
            ES384 => Shape::P384,
            EdDSA => Shape::Ed25519,
        };
        self.shape == shape && self.alg.as_deref().is_none_or(|named| named == name(alg))
    }
}

/// The length of a number in bits (RFC 7518 §3.3 asks for 2048 of an RSA modulus).
fn bits(bytes: &[u8]) -> usize {
    let bytes: Vec<u8> = bytes
        .iter()
        .copied()
        .skip_while(|byte| *byte == 0)
        .collect();
    bytes
        .first()
        .map_or(0, |first| bytes.len() * 8 - first.leading_zeros() as usize)
}

/// The name of an algorithm (RFC 7518 §3.1, RFC 8037 §3.1).
pub(crate) const fn name(alg: UpstreamAlg) -> &'static str {
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

/// As the library calls it.
pub(crate) const fn core(alg: UpstreamAlg) -> CoreJwsSigningAlgorithm {
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
        let mut key = json!({"kty": "EC", "crv": crv, "x": BASE64.encode([1; 32]), "y": BASE64.encode([2; 32])});
        key.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        key
    }

    fn set(keys: &[Value]) -> KeySet {
        KeySet::read(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
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
        assert!(KeySet::read(json!({ "keys": many }).to_string().as_bytes()).is_none());
        assert!(KeySet::read(b"{\"keys\":[],\"keys\":[]}").is_none());
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
            (vec![a(), b(), c()], Some("c"), RS256, Err(Miss::Unfit)),
            (vec![a(), b(), c()], Some("b"), PS256, Err(Miss::Unfit)),
            (vec![a(), b(), c()], Some("d"), RS256, Err(Miss::Unknown)),
            (vec![a(), a(), b()], Some("a"), RS256, Err(Miss::Ambiguous)),
            (
                vec![a(), ec("P-256", json!({"kid": "a"}))],
                Some("a"),
                RS256,
                Err(Miss::Ambiguous),
            ),
            (vec![a(), c()], None, RS256, Ok("a")),
            (vec![a(), b()], None, RS256, Err(Miss::Ambiguous)),
            (vec![c()], None, RS256, Err(Miss::Unknown)),
        ] {
            let set = set(&keys);
            let found = set.select(kid, alg).map(|key| key.kid.as_deref().unwrap());
            assert_eq!(found, result, "{kid:?} {alg:?} of {}", keys.len());
        }
    }
}
