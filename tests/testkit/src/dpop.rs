//! Client software that proves possession of a key (RFC 9449). Shares no code with the service.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    digest,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use serde_json::{Value, json};

/// A key on P-256, and what its owner signs with it.
#[derive(Debug)]
pub struct Prover {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl Default for Prover {
    fn default() -> Self {
        Self::new()
    }
}

impl Prover {
    /// A new key.
    #[must_use]
    pub fn new() -> Self {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let der = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, der.as_ref(), &random).expect("a key");
        Self { pair, random }
    }

    /// The public half, with its members in the order of the thumbprint (RFC 7638 §3.2).
    #[must_use]
    pub fn jwk(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        let (x, y) = point.split_at(point.len() / 2 + 1);
        let x = x.get(1..).unwrap_or_default();
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        json!({ "crv": "P-256", "kty": "EC", "x": x, "y": y })
    }

    /// The thumbprint of the public half.
    #[must_use]
    pub fn jkt(&self) -> String {
        hash(&self.jwk().to_string())
    }

    /// A proof with these claims.
    #[must_use]
    pub fn proof(&self, claims: &Value) -> String {
        let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk() });
        self.sign(&header, claims)
    }

    /// A token with this header and these claims.
    #[must_use]
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature = self.pair.sign(&self.random, message.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(signature.expect("a signature"));
        format!("{message}.{signature}")
    }
}

/// The claims of a proof for one request, made at `iat` (seconds since 1970).
#[must_use]
pub fn claims(method: &str, url: &str, iat: i64) -> Value {
    let jti = uuid::Uuid::new_v4().to_string();
    json!({ "jti": jti, "htm": method, "htu": url, "iat": iat })
}

/// The same for a request with an access token.
#[must_use]
pub fn claims_with_token(method: &str, url: &str, iat: i64, token: &str) -> Value {
    let mut claims = claims(method, url, iat);
    if let Some(members) = claims.as_object_mut() {
        members.insert("ath".to_owned(), hash(token).into());
    }
    claims
}

fn hash(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, text.as_bytes()))
}
