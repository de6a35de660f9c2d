//! An ID token taken apart, before any check of its content.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use openidconnect::JsonWebKey as _;

use crate::{
    config::providers::UpstreamAlg,
    federation::provider::{
        error::IdTokenError,
        oidc::{
            algorithm::library_algorithm,
            json::{self, Object},
            keys::Key,
        },
    },
};

/// Longer tokens are not parsed.
const MAX_BYTES: usize = 16 * 1024;

/// A compact JWS.
pub(super) struct ParsedToken<'a> {
    pub(super) text: &'a str,
    pub(super) header: Object,
    pub(super) claims: Object,
    /// What the signature is over.
    message: &'a str,
    signature: Vec<u8>,
}

impl<'a> ParsedToken<'a> {
    /// RFC 7515 §7.1, §4; RFC 7519 §4: three parts of strict base64url, two of them JSON objects
    /// that repeat no member. An encrypted token has five parts, or names `enc` (IT-01).
    pub(super) fn parse(text: &'a str) -> Result<Self, IdTokenError> {
        if text.len() > MAX_BYTES {
            return Err(IdTokenError::Malformed("is over 16 KiB"));
        }
        let parts: Vec<&str> = text.split('.').collect();
        let &[header, payload, signature] = parts.as_slice() else {
            return Err(IdTokenError::Malformed("does not have three parts"));
        };
        let bytes = |part| {
            let error = IdTokenError::Malformed("has a part that is not base64url");
            BASE64.decode(part).map_err(|_| error)
        };
        let object = |part| {
            let error = "has a part that is not a JSON object, or repeats a member";
            json::object(&bytes(part)?).ok_or(IdTokenError::Malformed(error))
        };
        let token = Self {
            text,
            header: object(header)?,
            claims: object(payload)?,
            message: text
                .get(..header.len() + 1 + payload.len())
                .unwrap_or_default(),
            signature: bytes(signature)?,
        };
        if token.header.contains_key("enc") || token.header.contains_key("zip") {
            return Err(IdTokenError::Malformed("is encrypted or compressed"));
        }
        Ok(token)
    }

    /// Core §3.1.3.7(6), RFC 7515 §5.2.
    pub(super) fn is_signed_by(&self, key: &Key, alg: UpstreamAlg) -> bool {
        let alg = library_algorithm(alg);
        key.jwk
            .verify_signature(&alg, self.message.as_bytes(), &self.signature)
            .is_ok()
    }
}
