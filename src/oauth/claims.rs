//! What stands in our tokens.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;

use crate::secret::Hash;

/// The `typ` of access tokens (RFC 9068 §2.1).
pub const ACCESS_TYP: &str = "at+jwt";

/// The `typ` of ID tokens.
pub const ID_TYP: &str = "JWT";

/// An access token (RFC 9068 §2.2). No personal data.
#[derive(Debug, Serialize)]
pub struct Access<'a> {
    /// Issuer.
    pub iss: &'a str,
    /// The user: random, stable.
    pub sub: String,
    /// One resource server.
    pub aud: &'a str,
    /// Expiry.
    pub exp: i64,
    /// Issued.
    pub iat: i64,
    /// Identifier of this token.
    pub jti: String,
    /// The client.
    pub client_id: &'a str,
    /// What was granted.
    pub scope: &'a str,
    /// When the person proved who they are.
    pub auth_time: i64,
    /// How strong.
    pub acr: &'a str,
    /// How.
    pub amr: Vec<&'a str>,
    /// The session.
    pub sid: String,
    /// Roles set by ops.
    pub roles: Vec<String>,
}

/// An ID token (OIDC Core §2).
#[derive(Debug, Serialize)]
pub struct Id<'a> {
    /// Issuer.
    pub iss: &'a str,
    /// The user.
    pub sub: String,
    /// The client, as a string.
    pub aud: &'a str,
    /// Expiry.
    pub exp: i64,
    /// Issued.
    pub iat: i64,
    /// When the person proved who they are.
    pub auth_time: i64,
    /// As sent; absent if none was (AZ-9).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<&'a str>,
    /// How strong.
    pub acr: &'a str,
    /// How.
    pub amr: Vec<&'a str>,
    /// The session.
    pub sid: String,
    /// Binds the access token (OIDC Core §3.1.3.6).
    pub at_hash: String,
}

/// OIDC Core §3.1.3.6: the left half of SHA-256 of the access token, for ES256 and RS256 alike.
#[must_use]
pub fn at_hash(access_token: &str) -> String {
    let hash = Hash::of(access_token.as_bytes());
    URL_SAFE_NO_PAD.encode(hash.as_bytes().split_at(16).0)
}
