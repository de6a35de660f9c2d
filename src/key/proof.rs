//! The strict verifier of a DPoP proof: that the sender of a request has the private half of a key
//! (RFC 9449 §4).
//!
//! It judges one proof by itself. Whether the proof is recent, whether its nonce is ours and whether
//! it was shown before is for `crate::dpop`. Nothing but `jwk` names the key: `kid`, `jku`, `x5u` and
//! `x5c` are ignored, as is every member that RFC 9449 does not know.

mod target;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde_json::Value;

use super::{
    foreign::is_signature,
    json,
    jwt::{Claims, numeric_date},
};
use crate::{
    clock::Time,
    config::jwks::{Jwk, PublicKey, SigAlg, sig_alg},
    secret::Hash,
};

/// The algorithms of proofs, for the metadata and for challenges. RS256 is not among them (FAPI 2.0
/// Security Profile §5.4.1).
pub const PROOF_ALGS: [&str; 4] = ["ES256", "PS256", "Ed25519", "EdDSA"];

/// Longer proofs are refused. One with an RSA key of 4096 bits has about 1.6 KiB.
const MAX_BYTES: usize = 4 * 1024;

const TYPE: &str = "dpop+jwt";

/// The longest modulus: 4096 bits.
const MAX_MODULUS_BYTES: usize = 512;

const MAX_JTI: usize = 512;

/// How far `nbf` may be ahead of our clock, in seconds.
const MAX_AHEAD: i64 = 30;

/// The request that a proof must be for.
#[derive(Clone, Copy, Debug)]
pub struct ExpectedProof<'a> {
    pub method: &'a str,
    /// The public address of the endpoint. What the request itself says of the host does not count.
    pub url: &'a str,
    /// The access token that the request carries, if any.
    pub token: Option<&'a str>,
}

/// A proof whose signature and claims are right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The thumbprint of the key (RFC 7638).
    pub jkt: String,
    pub jti: String,
    /// When the proof was made, in seconds since 1970, by the clock of its maker. The caller judges it.
    pub iat: i64,
    /// The nonce of a challenge. The caller judges it.
    pub nonce: Option<String>,
}

/// Why a proof is refused. The words are for logs and tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Over 4 KiB.
    #[error("too long")]
    TooLong,
    /// Not a compact JWS of JSON objects (RFC 7515 §7.1), or one that repeats a member.
    #[error("malformed")]
    Malformed,
    #[error("wrong type")]
    Type,
    /// The header demands an extension, of which we have none.
    #[error("critical header")]
    Critical,
    #[error("wrong algorithm")]
    Algorithm,
    /// `jwk` is missing, has a private part, or is no public key for the algorithm.
    #[error("wrong key")]
    Key,
    #[error("bad signature")]
    Signature,
    /// `jti` is missing, empty, too long or not a string.
    #[error("no identifier")]
    Identifier,
    #[error("wrong method")]
    Method,
    #[error("wrong address")]
    Target,
    /// `ath` is not the hash of the access token.
    #[error("wrong token")]
    Token,
    /// `iat` is missing or no number.
    #[error("no time of issue")]
    IssuedAt,
    /// `exp` is past or no number.
    #[error("expired")]
    Expired,
    /// `nbf` is ahead or no number.
    #[error("not yet valid")]
    NotYet,
    /// `nonce` is not a string.
    #[error("wrong nonce")]
    Nonce,
}

impl ProofError {
    /// Returns the reason code for the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLong | Self::Malformed => "proof_malformed",
            Self::Type => "proof_type",
            Self::Critical => "proof_critical",
            Self::Algorithm => "proof_algorithm",
            Self::Key => "proof_key",
            Self::Signature => "proof_signature",
            Self::Identifier => "proof_jti",
            Self::Method => "proof_method",
            Self::Target => "proof_url",
            Self::Token => "proof_token",
            Self::IssuedAt | Self::Expired | Self::NotYet => "proof_time",
            Self::Nonce => "proof_nonce",
        }
    }
}

/// Verifies a proof: its header, then its claims, then its signature, which costs most.
///
/// # Errors
/// Why it is not a proof for this request.
pub fn verify_proof(
    text: &str,
    expected: &ExpectedProof<'_>,
    now: Time,
) -> Result<Proof, ProofError> {
    if text.len() > MAX_BYTES {
        return Err(ProofError::TooLong);
    }
    let (message, signature) = text.rsplit_once('.').ok_or(ProofError::Malformed)?;
    let (header, payload) = message.split_once('.').ok_or(ProofError::Malformed)?;
    let (header, claims) = (decode_object(header)?, decode_object(payload)?);
    let signature = decode(signature)?;
    let (alg, key) = read_header(&header)?;
    check_request(&claims, expected)?;
    check_times(&claims, now.seconds())?;
    let proof = Proof {
        jkt: thumbprint(&key),
        jti: read_jti(&claims)?,
        iat: number(&claims, "iat", ProofError::IssuedAt)?.ok_or(ProofError::IssuedAt)?,
        nonce: read_nonce(&claims)?,
    };
    if !is_signature(&key, alg, message.as_bytes(), &signature) {
        return Err(ProofError::Signature);
    }
    Ok(proof)
}

fn decode(part: &str) -> Result<Vec<u8>, ProofError> {
    BASE64.decode(part).map_err(|_| ProofError::Malformed)
}

fn decode_object(part: &str) -> Result<Claims, ProofError> {
    json::read_object(&decode(part)?).ok_or(ProofError::Malformed)
}

fn text<'a>(claims: &'a Claims, name: &str) -> Option<&'a str> {
    claims.get(name).and_then(Value::as_str)
}

/// RFC 9449 §4.3, checks 4 to 7.
fn read_header(header: &Claims) -> Result<(SigAlg, PublicKey), ProofError> {
    if text(header, "typ") != Some(TYPE) {
        return Err(ProofError::Type);
    }
    if header.contains_key("crit") {
        return Err(ProofError::Critical);
    }
    let alg = text(header, "alg")
        .filter(|alg| PROOF_ALGS.contains(alg))
        .and_then(sig_alg)
        .ok_or(ProofError::Algorithm)?;
    let jwk = header.get("jwk").ok_or(ProofError::Key)?;
    let jwk = Jwk::parse(jwk).map_err(|_| ProofError::Key)?;
    let is_for_alg = jwk.public.supports_alg(alg) && jwk.alg.is_none_or(|own| own == alg);
    if !is_for_alg || is_too_long(&jwk.public) {
        return Err(ProofError::Key);
    }
    Ok((alg, jwk.public))
}

/// Verifying a signature by a longer modulus costs more than a request may cost.
fn is_too_long(key: &PublicKey) -> bool {
    matches!(key, PublicKey::Rsa { n, .. } if n.len() > MAX_MODULUS_BYTES)
}

/// RFC 9449 §4.3, checks 8, 9 and 12: the proof is for this request.
fn check_request(claims: &Claims, expected: &ExpectedProof<'_>) -> Result<(), ProofError> {
    if text(claims, "htm") != Some(expected.method) {
        return Err(ProofError::Method);
    }
    if !text(claims, "htu").is_some_and(|htu| target::is_same(htu, expected.url)) {
        return Err(ProofError::Target);
    }
    let Some(token) = expected.token else {
        return Ok(());
    };
    let hash = BASE64.encode(Hash::of(token.as_bytes()).as_bytes());
    if text(claims, "ath") == Some(&*hash) {
        Ok(())
    } else {
        Err(ProofError::Token)
    }
}

/// RFC 7519 §4.1.4, §4.1.5: a proof need not have these, but what it says of itself holds.
fn check_times(claims: &Claims, now: i64) -> Result<(), ProofError> {
    if number(claims, "exp", ProofError::Expired)?.is_some_and(|end| end <= now) {
        return Err(ProofError::Expired);
    }
    let latest = now.saturating_add(MAX_AHEAD);
    if number(claims, "nbf", ProofError::NotYet)?.is_some_and(|start| start > latest) {
        return Err(ProofError::NotYet);
    }
    Ok(())
}

/// Reads a time, which may be missing but is a number.
fn number(claims: &Claims, name: &str, error: ProofError) -> Result<Option<i64>, ProofError> {
    let read = |value: &Value| numeric_date(value).ok_or(error);
    claims.get(name).map(read).transpose()
}

fn read_jti(claims: &Claims) -> Result<String, ProofError> {
    text(claims, "jti")
        .filter(|jti| (1..=MAX_JTI).contains(&jti.len()))
        .map(str::to_owned)
        .ok_or(ProofError::Identifier)
}

fn read_nonce(claims: &Claims) -> Result<Option<String>, ProofError> {
    let read = |value: &Value| value.as_str().map(str::to_owned).ok_or(ProofError::Nonce);
    claims.get("nonce").map(read).transpose()
}

/// RFC 7638 §3: SHA-256 of the required members, in their order, without anything else.
fn thumbprint(key: &PublicKey) -> String {
    let encode = |bytes: &[u8]| BASE64.encode(bytes);
    let members = match key {
        PublicKey::P256(point) => {
            let both = point.get(1..).unwrap_or_default();
            let (x, y) = both.split_at(both.len() / 2);
            let (x, y) = (encode(x), encode(y));
            format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#)
        }
        PublicKey::Ed25519(point) => {
            let x = encode(point);
            format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)
        }
        PublicKey::Rsa { n, e } => {
            let (n, e) = (encode(n), encode(e));
            format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#)
        }
    };
    encode(Hash::of(members.as_bytes()).as_bytes())
}

#[cfg(test)]
mod tests;
