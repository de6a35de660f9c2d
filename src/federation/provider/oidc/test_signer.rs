//! A provider's signing key, for tests.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::secret;

pub(crate) struct TestSigner {
    pair: EcdsaKeyPair,
    kid: &'static str,
}

impl TestSigner {
    pub(crate) fn new(kid: &'static str) -> Self {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let der = EcdsaKeyPair::generate_pkcs8(algorithm, &secret::source()).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, der.as_ref(), &secret::source()).unwrap();
        Self { pair, kid }
    }

    pub(crate) fn jwk(&self) -> Value {
        let point = self.public_key();
        let (x, y) = (BASE64.encode(&point[1..33]), BASE64.encode(&point[33..]));
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "kid": self.kid, "x": x, "y": y})
    }

    pub(crate) fn public_key(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    pub(crate) fn header(&self) -> Value {
        json!({"alg": "ES256", "kid": self.kid, "typ": "JWT"})
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_parts(&self.header().to_string(), &claims.to_string())
    }

    /// Signs any header and any claims, well-formed or not.
    pub(crate) fn sign_parts(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
        let signature = self
            .pair
            .sign(&secret::source(), message.as_bytes())
            .unwrap();
        format!("{message}.{}", BASE64.encode(signature.as_ref()))
    }
}
