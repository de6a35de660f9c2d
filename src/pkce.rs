//! Proof Key for Code Exchange with S256 (RFC 7636), the only method that we accept (RFC 9700
//! §2.1.1).
//!
//! Authorization codes are bound to a challenge, and so are the sign-in flows that an app begins
//! through the JSON API: the client sends the challenge first and shows the verifier later.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::secret::Hash;

/// RFC 7636 §4.1: a verifier is 43 to 128 unreserved characters.
#[must_use]
pub(crate) fn is_verifier(text: &str) -> bool {
    (43..=128).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
}

/// RFC 7636 §4.2: an S256 challenge is 32 bytes, which are 43 characters of base64url.
#[must_use]
pub(crate) fn is_challenge(text: &str) -> bool {
    text.len() == 43
        && URL_SAFE_NO_PAD
            .decode(text)
            .is_ok_and(|bytes| bytes.len() == 32)
}

/// RFC 7636 §4.2: the S256 challenge of a verifier.
#[must_use]
pub(crate) fn challenge_of(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Hash::of(verifier.as_bytes()).as_bytes())
}

/// RFC 7636 §4.6: whether the verifier belongs to the challenge, compared in constant time.
#[must_use]
pub(crate) fn verify(challenge: &str, verifier: &str) -> bool {
    let Ok(bytes) = URL_SAFE_NO_PAD.decode(challenge) else {
        return false;
    };
    is_verifier(verifier)
        && Hash::from_column(&bytes).is_some_and(|hash| hash == Hash::of(verifier.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_7636_appendix_b() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        assert_eq!(challenge_of(verifier), challenge);
        assert!(verify(challenge, verifier));
        assert!(!verify(challenge, &verifier.replace('d', "e")));
        assert!(!verify("", verifier));
        assert!(!verify(challenge, "short"));
    }
}
