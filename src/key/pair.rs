//! A private key in memory: made, read from PKCS#8, and used. ES256 through ring; RS256 through aws-lc-rs, which can
//! generate RSA keys and signs with them in half of ring's time. Nothing here is ever printed.

use std::fmt;

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der},
    rsa::KeySize,
    signature::{KeyPair as _, RsaKeyPair},
};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use zeroize::Zeroizing;

use super::public::Public;
use crate::{config::Alg, secret};

/// A parsed private key with its public half.
pub(super) enum Pair {
    /// P-256.
    Ec(Box<EcdsaKeyPair>),
    /// RSA, 2048 bits.
    Rsa(RsaKeyPair),
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pair(…)")
    }
}

/// The PKCS#8 of a new key. Slow for RSA (tens of milliseconds): not for a thread that serves.
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

impl Pair {
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

    /// Parses an `RSAPrivateKey` (RFC 8017 §A.1.2), the form in which jsonwebtoken hands RSA keys over.
    pub(super) fn parse_rsa_der(der: &[u8]) -> Option<Self> {
        Some(Self::Rsa(RsaKeyPair::from_der(der).ok()?))
    }

    /// The public half.
    pub(super) fn public(&self) -> Option<Public> {
        match self {
            Self::Ec(pair) => Public::from_point(pair.public_key().as_ref()),
            Self::Rsa(pair) => Public::from_rsa_der(pair.public_key().as_ref()),
        }
    }

    /// The signature of `message` in the form of RFC 7518 §3.3, §3.4.
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
                let rng = aws_lc_rs::rand::SystemRandom::new(); // PKCS#1 v1.5 draws nothing; the interface wants one.
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn sk_01_each_kind_signs_and_only_its_public_half_verifies() {
        for alg in [Alg::ES256, Alg::RS256] {
            let [pair, other] = [0, 1].map(|_| Pair::parse(alg, &generate(alg).unwrap()).unwrap());
            let signature = pair.sign(b"message").unwrap();
            assert!(pair.public().unwrap().verifies(b"message", &signature));
            assert!(!pair.public().unwrap().verifies(b"another", &signature));
            assert!(!other.public().unwrap().verifies(b"message", &signature));
        }
    }

    #[test]
    fn jw_02_rsa_keys_have_2048_bits() {
        let pair = Pair::parse(Alg::RS256, &generate(Alg::RS256).unwrap()).unwrap();
        let Some(Public::Rsa { n, e }) = pair.public() else {
            panic!("an RSA key")
        };
        assert_eq!((n.len(), n[0] >> 7, e), (256, 1, vec![1, 0, 1]));
    }

    #[test]
    fn a_key_of_one_kind_is_not_read_as_the_other() {
        assert!(Pair::parse(Alg::RS256, &generate(Alg::ES256).unwrap()).is_none());
        assert!(Pair::parse(Alg::ES256, &generate(Alg::RS256).unwrap()).is_none());
    }

    #[test]
    fn sk_07_debug_prints_nothing() {
        assert_eq!(
            format!(
                "{:?}",
                Pair::parse(Alg::ES256, &generate(Alg::ES256).unwrap())
            ),
            "Some(Pair(…))"
        );
    }
}
