//! Proof Key for Code Exchange, S256 only (RFC 7636; RFC 9700 §2.1.1).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

pub use crate::login::challenge::{challenge_of, is_challenge, is_verifier};

use crate::secret::Hash;

/// RFC 7636 §4.6: whether the verifier belongs to the challenge, compared in constant time.
#[must_use]
pub fn verify(challenge: &str, verifier: &str) -> bool {
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
