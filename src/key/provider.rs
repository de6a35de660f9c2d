//! The cryptography of `jsonwebtoken`: ES256 by ring, RS256 verified by ring and signed by
//! aws-lc-rs.
//!
//! The crate has none of its own here: without this provider its first operation panics, and a
//! provider that is installed later is refused. It parses private keys for each signature, so
//! `Keys::sign` does not use it.

use std::sync::OnceLock;

use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind, EncodingKey,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{Error, ErrorKind, Result},
    jwk::ThumbprintHash,
    signature::{self, Signer, Verifier},
};

use super::{pair::SigningPair, public::VerifyingKey};
use crate::{config::Alg, secret::Hash};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    // Errors where the crate's own defaults panic.
    key_utils: KeyUtils {
        rsa_pub_components_from_private_key: |_| Err(ErrorKind::UnsupportedAlgorithm.into()),
        rsa_pub_components_from_public_key: |_| Err(ErrorKind::UnsupportedAlgorithm.into()),
        ec_pub_components_from_private_key: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
        ed_pub_components_from_private_key: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
        compute_digest: digest,
    },
};

/// Installs the cryptography of `jsonwebtoken` for this process. `main` and each test binary call
/// it first. Later calls do nothing.
pub fn install() {
    let _ = is_installed();
}

/// Returns whether our provider is in use: not if another one was installed, or the crate was used,
/// before.
pub(super) fn is_installed() -> bool {
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    *INSTALLED.get_or_init(|| PROVIDER.install_default().is_ok())
}

fn digest(bytes: &[u8], hash: ThumbprintHash) -> Result<Vec<u8>> {
    match hash {
        ThumbprintHash::SHA256 => Ok(Hash::of(bytes).to_column()),
        _ => Err(ErrorKind::UnsupportedAlgorithm.into()),
    }
}

/// RFC 7518 §3.1: the two algorithms that we sign with.
fn to_alg(algorithm: Algorithm) -> Result<Alg> {
    match algorithm {
        Algorithm::ES256 => Ok(Alg::ES256),
        Algorithm::RS256 => Ok(Alg::RS256),
        _ => Err(ErrorKind::UnsupportedAlgorithm.into()),
    }
}

fn from_alg(alg: Alg) -> Algorithm {
    match alg {
        Alg::ES256 => Algorithm::ES256,
        Alg::RS256 => Algorithm::RS256,
    }
}

struct KeyWithAlg<K> {
    alg: Alg,
    key: K,
}

fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    if key.family() != algorithm.family() {
        return Err(ErrorKind::InvalidKeyFormat.into());
    }
    let alg = to_alg(*algorithm)?;
    let pair = match alg {
        Alg::ES256 => SigningPair::parse(alg, key.as_bytes()),
        Alg::RS256 => SigningPair::parse_rsa_der(key.as_bytes()),
    };
    Ok(Box::new(KeyWithAlg {
        alg,
        key: pair.ok_or_else(|| Error::from(ErrorKind::InvalidKeyFormat))?,
    }))
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    if key.family() != algorithm.family() {
        return Err(ErrorKind::InvalidKeyFormat.into());
    }
    let alg = to_alg(*algorithm)?;
    let public = match (alg, key.kind()) {
        (Alg::ES256, DecodingKeyKind::SecretOrDer(point)) => VerifyingKey::from_point(point),
        (Alg::RS256, DecodingKeyKind::SecretOrDer(der)) => VerifyingKey::from_rsa_der(der),
        (Alg::RS256, DecodingKeyKind::RsaModulusExponent { n, e }) => Some(VerifyingKey::Rsa {
            n: n.clone(),
            e: e.clone(),
        }),
        (Alg::ES256, DecodingKeyKind::RsaModulusExponent { .. }) => None,
    };
    Ok(Box::new(KeyWithAlg {
        alg,
        key: public.ok_or_else(|| Error::from(ErrorKind::InvalidKeyFormat))?,
    }))
}

impl Signer<Vec<u8>> for KeyWithAlg<SigningPair> {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, signature::Error> {
        self.key.sign(message).ok_or_else(signature::Error::new)
    }
}

impl JwtSigner for KeyWithAlg<SigningPair> {
    fn algorithm(&self) -> Algorithm {
        from_alg(self.alg)
    }
}

impl Verifier<Vec<u8>> for KeyWithAlg<VerifyingKey> {
    fn verify(
        &self,
        message: &[u8],
        signature: &Vec<u8>,
    ) -> std::result::Result<(), signature::Error> {
        if self.key.verifies(message, signature) {
            Ok(())
        } else {
            Err(signature::Error::new())
        }
    }
}

impl JwtVerifier for KeyWithAlg<VerifyingKey> {
    fn algorithm(&self) -> Algorithm {
        from_alg(self.alg)
    }
}
