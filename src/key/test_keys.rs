//! Keys of clients that prove possession of them, for tests.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use ring::{
    rsa::PublicKeyComponents,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
        RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
    },
};
use serde_json::{Value, json};

use super::pair;
use crate::{
    config::Alg,
    secret::{self, Hash},
};

type Sign = Box<dyn Fn(&[u8]) -> Vec<u8> + Send + Sync>;

/// A key of a client, and how it signs.
pub(crate) struct ProofKey {
    pub(crate) alg: &'static str,
    /// The required members alone, in the order of the thumbprint (RFC 7638 §3.2).
    pub(crate) jwk: Value,
    sign: Sign,
}

impl ProofKey {
    pub(crate) fn es256() -> Self {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let der = pair::generate(Alg::ES256).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, &der, &secret::source()).unwrap();
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let (x, y) = (BASE64.encode(x), BASE64.encode(y));
        Self {
            alg: "ES256",
            jwk: json!({ "crv": "P-256", "kty": "EC", "x": x, "y": y }),
            sign: Box::new(move |message| {
                let signature = pair.sign(&secret::source(), message).unwrap();
                signature.as_ref().to_vec()
            }),
        }
    }

    pub(crate) fn ed25519() -> Self {
        let der = Ed25519KeyPair::generate_pkcs8(&secret::source()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(der.as_ref()).unwrap();
        let x = BASE64.encode(pair.public_key().as_ref());
        Self {
            alg: "Ed25519",
            jwk: json!({ "crv": "Ed25519", "kty": "OKP", "x": x }),
            sign: Box::new(move |message| pair.sign(message).as_ref().to_vec()),
        }
    }

    /// One RSA key, which signs by PS256 and by RS256.
    pub(crate) fn ps256_and_rs256() -> [Self; 2] {
        let der = pair::generate(Alg::RS256).unwrap();
        let pair = Arc::new(RsaKeyPair::from_pkcs8(&der).unwrap());
        let public: PublicKeyComponents<Vec<u8>> = pair.public().into();
        let (n, e) = (BASE64.encode(&public.n), BASE64.encode(&public.e));
        let jwk = json!({ "e": e, "kty": "RSA", "n": n });
        let by = |padding: &'static dyn ring::signature::RsaEncoding| -> Sign {
            let pair = Arc::clone(&pair);
            Box::new(move |message| {
                let mut signature = vec![0; pair.public().modulus_len()];
                let source = secret::source();
                pair.sign(padding, &source, message, &mut signature)
                    .unwrap();
                signature
            })
        };
        [
            Self {
                alg: "PS256",
                jwk: jwk.clone(),
                sign: by(&RSA_PSS_SHA256),
            },
            Self {
                alg: "RS256",
                jwk,
                sign: by(&RSA_PKCS1_SHA256),
            },
        ]
    }

    /// The thumbprint (RFC 7638 §3).
    pub(crate) fn jkt(&self) -> String {
        BASE64.encode(Hash::of(self.jwk.to_string().as_bytes()).as_bytes())
    }

    pub(crate) fn header(&self) -> Value {
        json!({ "typ": "dpop+jwt", "alg": self.alg, "jwk": self.jwk })
    }

    /// Signs a proof with these claims.
    pub(crate) fn proof(&self, claims: &Value) -> String {
        self.sign(&self.header().to_string(), &claims.to_string())
    }

    /// Signs any header and any claims, well-formed or not.
    pub(crate) fn sign(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
        let signature = (self.sign)(message.as_bytes());
        format!("{message}.{}", BASE64.encode(signature))
    }
}

/// The claims of a proof for a request without an access token.
pub(crate) fn proof_claims(method: &str, url: &str, iat: i64) -> Value {
    let jti = secret::public_id().to_string();
    json!({ "jti": jti, "htm": method, "htu": url, "iat": iat })
}

/// `ath` of a proof for a request with this access token.
pub(crate) fn ath(token: &str) -> String {
    BASE64.encode(Hash::of(token.as_bytes()).as_bytes())
}
