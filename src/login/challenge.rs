//! PKCE S256 as the way an app shows that it began a flow (RFC 7636): the challenge at the start, the verifier later.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::secret::Hash;

/// RFC 7636 §4.1: 43 to 128 unreserved characters.
#[must_use]
pub fn is_verifier(text: &str) -> bool {
    (43..=128).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
}

/// RFC 7636 §4.2: what S256 gives, 43 characters of base64url for 32 bytes.
#[must_use]
pub fn is_challenge(text: &str) -> bool {
    text.len() == 43
        && URL_SAFE_NO_PAD
            .decode(text)
            .is_ok_and(|bytes| bytes.len() == 32)
}

/// RFC 7636 §4.2: the S256 challenge of a verifier.
#[must_use]
pub fn challenge_of(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Hash::of(verifier.as_bytes()).as_bytes())
}
