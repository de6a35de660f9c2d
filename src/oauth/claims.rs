//! What stands in our tokens.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use uuid::Uuid;

use super::claims_request::Told;
use crate::secret::{Hash, Sealer};

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
    /// What is there only if a person stands behind it.
    #[serde(flatten)]
    pub person: Option<Person<'a>>,
}

/// What an access token says of the person behind it.
#[derive(Debug, Serialize)]
pub struct Person<'a> {
    /// When they proved who they are.
    pub auth_time: i64,
    /// How strong.
    pub acr: &'a str,
    /// How; left out where a provider did not say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub amr: Vec<&'a str>,
    /// The session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
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
    /// How; left out where a provider did not say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub amr: Vec<&'a str>,
    /// The session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// Binds the access token (OIDC Core §3.1.3.6).
    pub at_hash: String,
    /// What the request asked for by `claims`.
    #[serde(flatten)]
    pub asked: Told,
}

/// The `jti` of an access token of this grant: unique, and opaque to all but us. It leads back to the grant without a
/// claim of our own that resource servers might come to lean on, and without a row for each token (RFC 9068 §2.2).
#[must_use]
pub fn jti(sealer: &Sealer, grant: Uuid) -> String {
    URL_SAFE_NO_PAD.encode(sealer.seal(JTI, grant.as_bytes()))
}

/// The grant behind a `jti`; none if it has none: the client's own token.
#[must_use]
pub fn grant_of(sealer: &Sealer, jti: &str) -> Option<Uuid> {
    let sealed = URL_SAFE_NO_PAD.decode(jti).ok()?;
    Uuid::from_slice(&sealer.open(JTI, &sealed)?).ok()
}

/// What a sealed `jti` is bound to.
const JTI: &[u8] = b"jti";

/// OIDC Core §3.1.3.6: the left half of SHA-256 of the access token, for ES256 and RS256 alike.
#[must_use]
pub fn at_hash(access_token: &str) -> String {
    let hash = Hash::of(access_token.as_bytes());
    URL_SAFE_NO_PAD.encode(hash.as_bytes().split_at(16).0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::{MasterKeys, public_id};

    #[test]
    fn tk_12_a_jti_is_unique_and_leads_us_alone_to_the_grant() {
        let sealer = MasterKeys::new([7; 32], []).sealer("access token jti v1");
        let grant = public_id();
        let (one, two) = (jti(&sealer, grant), jti(&sealer, grant));
        assert_ne!(one, two);
        assert_eq!(
            (grant_of(&sealer, &one), grant_of(&sealer, &two)),
            (Some(grant), Some(grant))
        );
        assert_eq!(grant_of(&sealer, &public_id().to_string()), None);
        assert_eq!(
            grant_of(
                &MasterKeys::new([8; 32], []).sealer("access token jti v1"),
                &one
            ),
            None
        );
    }
}
