//! The cryptography that `jsonwebtoken` is given: ES256 through ring, RS256 verified by ring and signed by aws-lc-rs.
//!
//! The crate has none of its own here: without this provider its first operation panics, and one installed after that
//! is refused. It parses private keys at each signature, so `Keys::sign` does not go through it.

use std::sync::OnceLock;

use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind, EncodingKey,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{Error, ErrorKind, Result},
    jwk::ThumbprintHash,
    signature::{self, Signer, Verifier},
};

use super::{pair::Pair, public::Public};
use crate::{config::Alg, secret::Hash};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    // Refusals where the crate's own defaults panic.
    key_utils: KeyUtils {
        rsa_pub_components_from_private_key: |_| Err(ErrorKind::UnsupportedAlgorithm.into()),
        rsa_pub_components_from_public_key: |_| Err(ErrorKind::UnsupportedAlgorithm.into()),
        ec_pub_components_from_private_key: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
        ed_pub_components_from_private_key: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
        compute_digest: digest,
    },
};

/// Makes ours the cryptography of `jsonwebtoken` for this process. To be called first in `main` and in each test
/// binary; again does nothing.
pub fn install() {
    let _ = installed();
}

/// Whether ours is the one in force: not if another was installed, or the crate was used, before.
pub(super) fn installed() -> bool {
    static OURS: OnceLock<bool> = OnceLock::new();
    *OURS.get_or_init(|| PROVIDER.install_default().is_ok())
}

fn digest(bytes: &[u8], hash: ThumbprintHash) -> Result<Vec<u8>> {
    match hash {
        ThumbprintHash::SHA256 => Ok(Hash::of(bytes).to_column()),
        _ => Err(ErrorKind::UnsupportedAlgorithm.into()),
    }
}

/// RFC 7518 §3.1: of its algorithms, the two that we sign with.
fn ours(algorithm: Algorithm) -> Result<Alg> {
    match algorithm {
        Algorithm::ES256 => Ok(Alg::ES256),
        Algorithm::RS256 => Ok(Alg::RS256),
        _ => Err(ErrorKind::UnsupportedAlgorithm.into()),
    }
}

fn theirs(alg: Alg) -> Algorithm {
    match alg {
        Alg::ES256 => Algorithm::ES256,
        Alg::RS256 => Algorithm::RS256,
    }
}

struct Ours<K> {
    alg: Alg,
    key: K,
}

fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    if key.family() != algorithm.family() {
        return Err(ErrorKind::InvalidKeyFormat.into());
    }
    let alg = ours(*algorithm)?;
    let pair = match alg {
        Alg::ES256 => Pair::parse(alg, key.as_bytes()),
        Alg::RS256 => Pair::parse_rsa_der(key.as_bytes()),
    };
    Ok(Box::new(Ours {
        alg,
        key: pair.ok_or_else(|| Error::from(ErrorKind::InvalidKeyFormat))?,
    }))
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    if key.family() != algorithm.family() {
        return Err(ErrorKind::InvalidKeyFormat.into());
    }
    let alg = ours(*algorithm)?;
    let public = match (alg, key.kind()) {
        (Alg::ES256, DecodingKeyKind::SecretOrDer(point)) => Public::from_point(point),
        (Alg::RS256, DecodingKeyKind::SecretOrDer(der)) => Public::from_rsa_der(der),
        (Alg::RS256, DecodingKeyKind::RsaModulusExponent { n, e }) => Some(Public::Rsa {
            n: n.clone(),
            e: e.clone(),
        }),
        (Alg::ES256, DecodingKeyKind::RsaModulusExponent { .. }) => None,
    };
    Ok(Box::new(Ours {
        alg,
        key: public.ok_or_else(|| Error::from(ErrorKind::InvalidKeyFormat))?,
    }))
}

impl Signer<Vec<u8>> for Ours<Pair> {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, signature::Error> {
        self.key.sign(message).ok_or_else(signature::Error::new)
    }
}

impl JwtSigner for Ours<Pair> {
    fn algorithm(&self) -> Algorithm {
        theirs(self.alg)
    }
}

impl Verifier<Vec<u8>> for Ours<Public> {
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

impl JwtVerifier for Ours<Public> {
    fn algorithm(&self) -> Algorithm {
        theirs(self.alg)
    }
}
