//! A private key in memory: made, parsed from PKCS#8, and used to sign. ES256 uses ring. RS256 uses
//! aws-lc-rs, which can generate RSA keys and signs in half of ring's time. Nothing here is
//! printed.

use std::fmt;

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der},
    rsa::KeySize,
    signature::{KeyPair as _, RsaKeyPair},
};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use zeroize::Zeroizing;

use super::public::VerifyingKey;
use crate::{config::Alg, secret};

/// A parsed private key with its public half.
pub(super) enum SigningPair {
    Ec(Box<EcdsaKeyPair>),
    /// 2048 bits.
    Rsa(RsaKeyPair),
}

impl fmt::Debug for SigningPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningPair(…)")
    }
}

/// Returns the PKCS#8 of a new key. RSA takes tens of milliseconds: not on the threads of the
/// runtime.
pub(super) fn generate(alg: Alg) -> Option<Zeroizing<Vec<u8>>> {
    match alg {
        Alg::ES256 => {
            let document =
                EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &secret::source())
                    .ok()?;
            Some(Zeroizing::new(document.as_ref().to_vec()))
        }
        Alg::RS256 => {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).ok()?;
            let document: Pkcs8V1Der<'_> = pair.as_der().ok()?;
            Some(Zeroizing::new(document.as_ref().to_vec()))
        }
    }
}

impl SigningPair {
    /// Parses PKCS#8 of the kind that `alg` needs.
    pub(super) fn parse(alg: Alg, pkcs8: &[u8]) -> Option<Self> {
        match alg {
            Alg::ES256 => {
                let pair = EcdsaKeyPair::from_pkcs8(
                    &ECDSA_P256_SHA256_FIXED_SIGNING,
                    pkcs8,
                    &secret::source(),
                );
                Some(Self::Ec(Box::new(pair.ok()?)))
            }
            Alg::RS256 => Some(Self::Rsa(RsaKeyPair::from_pkcs8(pkcs8).ok()?)),
        }
    }

    /// Parses an `RSAPrivateKey` (RFC 8017 §A.1.2), as jsonwebtoken passes RSA keys.
    pub(super) fn parse_rsa_der(der: &[u8]) -> Option<Self> {
        Some(Self::Rsa(RsaKeyPair::from_der(der).ok()?))
    }

    pub(super) fn verifying_key(&self) -> Option<VerifyingKey> {
        match self {
            Self::Ec(pair) => VerifyingKey::from_point(pair.public_key().as_ref()),
            Self::Rsa(pair) => VerifyingKey::from_rsa_der(pair.public_key().as_ref()),
        }
    }

    /// Returns the signature of `message` as in RFC 7518 §3.3, §3.4.
    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Ec(pair) => Some(
                pair.sign(&secret::source(), message)
                    .ok()?
                    .as_ref()
                    .to_vec(),
            ),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                // PKCS#1 v1.5 uses no randomness, but the interface needs a source.
                let rng = aws_lc_rs::rand::SystemRandom::new();
                pair.sign(
                    &aws_lc_rs::signature::RSA_PKCS1_SHA256,
                    &rng,
                    message,
                    &mut signature,
                )
                .ok()?;
                Some(signature)
            }
        }
    }
}

/// Returns the signature of `message` with a PKCS#8 key from the configuration (RFC 7518 §3.3,
/// §3.4), or nothing if it is no key for `alg`.
#[must_use]
pub fn sign_with_pkcs8(alg: Alg, pkcs8: &[u8], message: &[u8]) -> Option<Vec<u8>> {
    SigningPair::parse(alg, pkcs8)?.sign(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sk_01_each_kind_signs_and_only_its_public_half_verifies() {
        for alg in [Alg::ES256, Alg::RS256] {
            let [pair, other] =
                [0, 1].map(|_| SigningPair::parse(alg, &generate(alg).unwrap()).unwrap());
            let signature = pair.sign(b"message").unwrap();
            assert!(
                pair.verifying_key()
                    .unwrap()
                    .verifies(b"message", &signature)
            );
            assert!(
                !pair
                    .verifying_key()
                    .unwrap()
                    .verifies(b"another", &signature)
            );
            assert!(
                !other
                    .verifying_key()
                    .unwrap()
                    .verifies(b"message", &signature)
            );
        }
    }

    #[test]
    fn jw_02_rsa_keys_have_2048_bits() {
        let pair = SigningPair::parse(Alg::RS256, &generate(Alg::RS256).unwrap()).unwrap();
        let Some(VerifyingKey::Rsa { n, e }) = pair.verifying_key() else {
            panic!("an RSA key")
        };
        assert_eq!((n.len(), n[0] >> 7, e), (256, 1, vec![1, 0, 1]));
    }

    #[test]
    fn a_key_of_one_kind_is_not_read_as_the_other() {
        assert!(SigningPair::parse(Alg::RS256, &generate(Alg::ES256).unwrap()).is_none());
        assert!(SigningPair::parse(Alg::ES256, &generate(Alg::RS256).unwrap()).is_none());
    }

    #[test]
    fn sk_07_debug_prints_nothing() {
        assert_eq!(
            format!(
                "{:?}",
                SigningPair::parse(Alg::ES256, &generate(Alg::ES256).unwrap())
            ),
            "Some(SigningPair(…))"
        );
    }
}
