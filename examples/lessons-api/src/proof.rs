//! Proofs of possession (RFC 9449): a token that is bound to a key is worth something only with a proof, made by
//! that key for this request, and shown once.
//!
//! What was shown is kept in this process, for as long as a proof is accepted. An API of several instances keeps it
//! where all of them look. A process that has just begun does not know what the one before it was shown: for at most
//! 90 s it tells clients to try again with a new proof.
//!
//! Proofs by ES256 are accepted, and the challenge says so; `algs` is the list to extend.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use reqwest::Url;
use ring::{
    digest,
    signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey},
};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The challenge for a request without a token of this kind (RFC 9449 §7.1).
pub const CHALLENGE: &str = r#"DPoP algs="ES256""#;

/// The longest proof that is read.
const LONGEST: usize = 4096;
/// The longest identifier of a proof.
const LONGEST_JTI: usize = 512;
/// The greatest age of a proof, in seconds.
const MAX_AGE: i64 = 60;
/// How far the client's clock may be ahead, in seconds.
const MAX_AHEAD: i64 = 30;
/// The most proofs that are kept. Beyond that none is accepted, because what is not kept could be shown again.
const MOST: usize = 100_000;

/// Why a proof is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The request has no proof, or more than one.
    #[error("one proof is needed")]
    Missing,
    /// It is too long, or not three parts of base64url with the members of a proof in them, each once.
    #[error("not a proof")]
    Malformed,
    /// `typ` is not that of a proof, `alg` is not ES256, or there is a `crit`.
    #[error("a header is wrong")]
    Header,
    /// `jwk` is not a public key on P-256.
    #[error("not a public key")]
    Key,
    /// The signature is not by the key in the header.
    #[error("wrong signature")]
    Signature,
    /// It is for another method or address.
    #[error("for another request")]
    Request,
    /// It is for another token.
    #[error("for another token")]
    Token,
    /// It is by another key than that of the token.
    #[error("by another key")]
    OtherKey,
    /// It is too old or from the future.
    #[error("not recent")]
    Time,
    /// This process has just begun: an earlier one may have been shown the proof. The client may try again with one
    /// that it makes later.
    #[error("the service has just begun")]
    JustBegun,
    /// It was shown before.
    #[error("used before")]
    Used,
    /// There is no space to remember another one. The client may try again.
    #[error("too many proofs")]
    Full,
}

/// The request that a proof must be for.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The method of the request.
    pub method: &'a str,
    /// The path of the request.
    pub path: &'a str,
    /// The access token of the request.
    pub token: &'a str,
    /// The thumbprint of the key to which that token is bound: `cnf.jkt`.
    pub jkt: &'a str,
}

#[derive(Deserialize)]
struct Header {
    typ: String,
    alg: String,
    jwk: Jwk,
    #[serde(default, deserialize_with = "there")]
    crit: Option<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    /// The private part, which no proof has.
    #[serde(default, deserialize_with = "there")]
    d: Option<Value>,
}

#[derive(Deserialize)]
struct Claims {
    jti: String,
    htm: String,
    htu: String,
    iat: f64,
    ath: String,
    #[serde(default, deserialize_with = "number")]
    exp: Option<f64>,
    #[serde(default, deserialize_with = "number")]
    nbf: Option<f64>,
}

/// Reads any member that is there, also `null`.
fn there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Reads a time, which may be missing but is not `null`.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    f64::deserialize(deserializer).map(Some)
}

/// Checks proofs for one API.
#[derive(Debug)]
pub struct Proofs {
    public_url: String,
    /// The time at which this process began, in seconds since 1970. It does not know what was shown before.
    began: i64,
    shown: Mutex<Shown>,
}

/// The proofs that were shown, each with the time after which it is not accepted anyway.
#[derive(Debug, Default)]
struct Shown {
    until: HashMap<[u8; 32], i64>,
    swept: i64,
}

impl Proofs {
    /// Returns the checker for an API that its clients reach at `public_url`, in a process that began at `began`
    /// (seconds since 1970). What a request says of its host does not count.
    #[must_use]
    pub fn new(public_url: &str, began: i64) -> Self {
        Self {
            public_url: public_url.trim_end_matches('/').to_owned(),
            began,
            shown: Mutex::default(),
        }
    }

    /// Checks the one proof among `headers`, at `now` (seconds since 1970), and remembers it.
    ///
    /// # Errors
    /// [`ProofError`], which has a variant for each rule.
    pub fn check(
        &self,
        headers: &[&str],
        expected: &Expected<'_>,
        now: i64,
    ) -> Result<(), ProofError> {
        let &[proof] = headers else {
            return Err(ProofError::Missing);
        };
        if proof.len() > LONGEST {
            return Err(ProofError::Malformed);
        }
        let (message, signature) = proof.rsplit_once('.').ok_or(ProofError::Malformed)?;
        let (header, claims) = message.split_once('.').ok_or(ProofError::Malformed)?;
        let header: Header = read(header)?;
        let claims: Claims = read(claims)?;
        let signature = decode(signature)?;
        let point = read_key(&header)?;
        self.check_claims(&claims, expected, now)?;
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point);
        key.verify(message.as_bytes(), &signature)
            .map_err(|_| ProofError::Signature)?;
        if thumbprint(&point) != expected.jkt {
            return Err(ProofError::OtherKey);
        }
        // What an earlier process was shown before `began` was dated at most so far ahead.
        if whole(claims.iat) <= self.began + MAX_AHEAD {
            return Err(ProofError::JustBegun);
        }
        // This comes last, so that nothing but a good proof takes space.
        self.remember(&claims, expected.jkt, now)
    }

    fn check_claims(
        &self,
        claims: &Claims,
        expected: &Expected<'_>,
        now: i64,
    ) -> Result<(), ProofError> {
        let url = format!("{}{}", self.public_url, expected.path);
        if claims.htm != expected.method || !is_same(&claims.htu, &url) {
            return Err(ProofError::Request);
        }
        if claims.ath != hash(expected.token.as_bytes()) {
            return Err(ProofError::Token);
        }
        if claims.jti.is_empty() || claims.jti.len() > LONGEST_JTI {
            return Err(ProofError::Malformed);
        }
        let made = whole(claims.iat);
        let is_recent = (now - MAX_AGE..=now + MAX_AHEAD).contains(&made);
        let is_over = claims.exp.is_some_and(|end| whole(end) <= now);
        let is_early = claims.nbf.is_some_and(|from| whole(from) > now + MAX_AHEAD);
        if !is_recent || is_over || is_early {
            return Err(ProofError::Time);
        }
        Ok(())
    }

    fn remember(&self, claims: &Claims, jkt: &str, now: i64) -> Result<(), ProofError> {
        let id = digest::digest(&digest::SHA256, format!("{jkt} {}", claims.jti).as_bytes());
        let id: [u8; 32] = id.as_ref().try_into().map_err(|_| ProofError::Malformed)?;
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.until.get(&id).is_some_and(|until| *until >= now) {
            return Err(ProofError::Used);
        }
        // This is done at most once a second, however many requests come while there is no space.
        if shown.until.len() >= MOST && shown.swept < now {
            shown.swept = now;
            shown.until.retain(|_, until| *until >= now);
        }
        if shown.until.len() >= MOST {
            return Err(ProofError::Full);
        }
        shown.until.insert(id, whole(claims.iat) + MAX_AGE);
        Ok(())
    }
}

fn decode(part: &str) -> Result<Vec<u8>, ProofError> {
    BASE64.decode(part).map_err(|_| ProofError::Malformed)
}

/// Reads a part. A member that is read here must not stand there twice: the derived reader refuses it.
fn read<T: for<'de> Deserialize<'de>>(part: &str) -> Result<T, ProofError> {
    serde_json::from_slice(&decode(part)?).map_err(|_| ProofError::Malformed)
}

/// Returns the uncompressed point of the key in the header (SEC 1 §2.3.3).
fn read_key(header: &Header) -> Result<Vec<u8>, ProofError> {
    if header.typ != "dpop+jwt" || header.alg != "ES256" || header.crit.is_some() {
        return Err(ProofError::Header);
    }
    let jwk = &header.jwk;
    if jwk.kty != "EC" || jwk.crv.as_deref() != Some("P-256") || jwk.d.is_some() {
        return Err(ProofError::Key);
    }
    let coordinate = |text: &Option<String>| {
        let bytes = text.as_deref().and_then(|text| BASE64.decode(text).ok());
        bytes.filter(|bytes| bytes.len() == 32)
    };
    match (coordinate(&jwk.x), coordinate(&jwk.y)) {
        (Some(x), Some(y)) => Ok([[4].as_slice(), &x, &y].concat()),
        _ => Err(ProofError::Key),
    }
}

/// Returns the hash of the required members in their order (RFC 7638 §3).
fn thumbprint(point: &[u8]) -> String {
    let both = point.get(1..).unwrap_or_default();
    let (x, y) = both.split_at(both.len() / 2);
    let (x, y) = (BASE64.encode(x), BASE64.encode(y));
    hash(format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#).as_bytes())
}

fn hash(bytes: &[u8]) -> String {
    BASE64.encode(digest::digest(&digest::SHA256, bytes))
}

/// Returns a time in whole seconds (RFC 7519 §2).
#[allow(
    clippy::cast_possible_truncation,
    reason = "a number that does not fit becomes the greatest one, which is refused"
)]
fn whole(seconds: f64) -> i64 {
    seconds.floor() as i64
}

/// Returns whether two addresses are the same without query and fragment (RFC 9449 §4.3, check 9).
fn is_same(htu: &str, url: &str) -> bool {
    let bare = |text: &str| {
        // The parser repairs what is no URL.
        let is_plain =
            text.chars().all(|c| c.is_ascii_graphic() && c != '\\') && text.contains("://");
        let mut url = is_plain.then(|| Url::parse(text).ok())??;
        url.set_query(None);
        url.set_fragment(None);
        Some(url)
    };
    let htu = bare(htu);
    htu.is_some() && htu == bare(url)
}

#[cfg(test)]
#[path = "proof_tests.rs"]
mod tests;
