//! The names of signature algorithms, as the standards write them and as the library has them.

use openidconnect::core::CoreJwsSigningAlgorithm;

use crate::config::providers::UpstreamAlg;

/// Every algorithm that may be configured.
pub(crate) const ALL: [UpstreamAlg; 9] = [
    UpstreamAlg::RS256,
    UpstreamAlg::RS384,
    UpstreamAlg::RS512,
    UpstreamAlg::PS256,
    UpstreamAlg::PS384,
    UpstreamAlg::PS512,
    UpstreamAlg::ES256,
    UpstreamAlg::ES384,
    UpstreamAlg::EdDSA,
];

/// RFC 7518 §3.1, RFC 8037 §3.1.
pub(crate) const fn name(alg: UpstreamAlg) -> &'static str {
    match alg {
        UpstreamAlg::RS256 => "RS256",
        UpstreamAlg::RS384 => "RS384",
        UpstreamAlg::RS512 => "RS512",
        UpstreamAlg::PS256 => "PS256",
        UpstreamAlg::PS384 => "PS384",
        UpstreamAlg::PS512 => "PS512",
        UpstreamAlg::ES256 => "ES256",
        UpstreamAlg::ES384 => "ES384",
        UpstreamAlg::EdDSA => "EdDSA",
    }
}

pub(super) const fn library_algorithm(alg: UpstreamAlg) -> CoreJwsSigningAlgorithm {
    match alg {
        UpstreamAlg::RS256 => CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
        UpstreamAlg::RS384 => CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
        UpstreamAlg::RS512 => CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
        UpstreamAlg::PS256 => CoreJwsSigningAlgorithm::RsaSsaPssSha256,
        UpstreamAlg::PS384 => CoreJwsSigningAlgorithm::RsaSsaPssSha384,
        UpstreamAlg::PS512 => CoreJwsSigningAlgorithm::RsaSsaPssSha512,
        UpstreamAlg::ES256 => CoreJwsSigningAlgorithm::EcdsaP256Sha256,
        UpstreamAlg::ES384 => CoreJwsSigningAlgorithm::EcdsaP384Sha384,
        UpstreamAlg::EdDSA => CoreJwsSigningAlgorithm::EdDsa,
    }
}
