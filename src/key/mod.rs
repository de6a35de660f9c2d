//! The keys that sign our tokens. (interface; to come)

use std::sync::Arc;

use crate::{config::Alg, web::error::Failure};

/// The signing keys in force. Clones share them.
#[derive(Clone, Debug)]
pub struct Keys {}

/// The published key set as bytes, made once per change.
#[derive(Debug)]
pub struct Published {
    /// RFC 7517 §5 JSON.
    pub body: Vec<u8>,
    /// A strong ETag, quoted.
    pub etag: String,
}

#[allow(clippy::todo, unused_variables, missing_docs)]
impl Keys {
    /// Signs `claims` (a JSON object) as a compact JWS with `alg`, `kid` and `typ` in the header.
    pub fn sign<C: serde::Serialize>(&self, alg: Alg, typ: &str, claims: &C) -> Result<String, Failure> {
        todo!()
    }
    /// The JWKS.
    pub fn published(&self) -> Arc<Published> {
        todo!()
    }
}
