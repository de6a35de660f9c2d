//! Randomness, hashes and derived keys: the only file that takes secrets from the operating system.
//!
//! The plain and the stored form of a secret are different types: [`Plain`] is shown once to its owner and has no
//! `Debug`; [`Hash`](struct@Hash) is what a table holds and serves only for comparison.

mod bound;

use std::{
    fmt,
    sync::atomic::{AtomicU16, Ordering},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    aead, digest, hkdf, hmac,
    rand::{SecureRandom as _, SystemRandom},
};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

/// Returns random bytes from the operating system.
///
/// If the system refuses them, the process ends: it cannot continue safely.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // A refused draw must never yield the zeroes above: the process ends instead.
    if SystemRandom::new().fill(&mut bytes).is_err() {
        std::process::abort();
    }
    bytes
}

/// Returns the same source, for signature schemes that draw a nonce of their own (ECDSA, FIPS 186-5 §6.3).
#[must_use]
pub fn source() -> SystemRandom {
    SystemRandom::new()
}

/// Returns a number below `bound`, each equally likely (rejection sampling, no modulo bias).
#[must_use]
pub fn random_below(bound: u64) -> u64 {
    let bound = bound.max(1);
    let zone = u64::MAX - u64::MAX % bound;
    loop {
        let drawn = u64::from_le_bytes(random());
        if drawn < zone {
            return drawn % bound;
        }
    }
}

/// Returns a random identifier that the outside may see (version 4 reveals nothing, not even its time).
#[must_use]
pub fn public_id() -> uuid::Uuid {
    uuid::Builder::from_random_bytes(random()).into_uuid()
}

/// Returns an identifier for rows, ordered by time (version 7); it is never shown. Within a millisecond the
/// identifiers of one process are ordered as they were made (RFC 9562 §6.2, method 1; 4096 of them).
#[must_use]
pub fn row_id(now: entity::Time) -> uuid::Uuid {
    static MADE: AtomicU16 = AtomicU16::new(0);
    let mut bytes: [u8; 10] = random();
    // The first twelve bits; the version goes over the upper four of these sixteen.
    bytes[..2].copy_from_slice(&MADE.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    uuid::Builder::from_unix_timestamp_millis(u64::try_from(now.0).unwrap_or(0), &bytes).into_uuid()
}

/// A secret of 256 bits in the form that its owner holds: a cookie, a link, a code.
#[derive(Clone)]
pub struct Plain([u8; 32]);

impl Plain {
    #[must_use]
    pub fn generate() -> Self {
        Self(random())
    }

    /// Parses the 43 characters of unpadded base64url that [`Plain::to_text`] writes, and nothing else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 43 {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }

    /// Returns 43 characters of unpadded base64url.
    #[must_use]
    pub fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// Returns the form to store.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash::of(&self.0)
    }
}

impl fmt::Debug for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Plain(…)")
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// The SHA-256 of a secret, or a MAC: the form that may be stored. Comparison takes constant time.
#[derive(Clone, Copy, Eq)]
pub struct Hash([u8; 32]);

impl Hash {
    /// Returns the SHA-256 of bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
        Self(hash)
    }

    /// Reads a column; `None` if it does not have 32 bytes.
    #[must_use]
    pub fn from_column(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Parses 64 hexadecimal digits in either case; `None` for anything else.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let digit = |byte: u8| {
            char::from(byte)
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        };
        let mut hash = [0; 32];
        if text.len() != 64 {
            return None;
        }
        for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let &[high, low] = pair else { return None };
            *byte = digit(high)? << 4 | digit(low)?;
        }
        Some(Self(hash))
    }

    /// Returns 64 hexadecimal digits, for a text column or the configuration.
    #[must_use]
    pub fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[must_use]
    pub fn to_column(self) -> Vec<u8> {
        self.0.to_vec()
    }

    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for Hash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash(…)")
    }
}

/// A text from the configuration that is never printed: a password, a client secret.
#[derive(Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(from = "String")]
pub struct Text(Zeroizing<String>);

impl Text {
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Returns the text, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Text(…)")
    }
}

/// The master keys: the first signs and encrypts, all verify and decrypt. All other keys are derived from
/// them by purpose (RFC 5869).
#[derive(Clone)]
pub struct MasterKeys {
    keys: Vec<Zeroizing<[u8; 32]>>,
}

impl fmt::Debug for MasterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKeys({})", self.keys.len())
    }
}

impl MasterKeys {
    /// Takes the current key and those still accepted.
    #[must_use]
    pub fn new(current: [u8; 32], previous: impl IntoIterator<Item = [u8; 32]>) -> Self {
        Self {
            keys: std::iter::once(current)
                .chain(previous)
                .map(Zeroizing::new)
                .collect(),
        }
    }

    /// Returns one derived key for each master key, the current one first. `label` names purpose and version:
    /// `csrf v1`.
    #[must_use]
    pub fn derive(&self, label: &str) -> Vec<Zeroizing<[u8; 32]>> {
        self.keys
            .iter()
            .map(|key| expand(key.as_slice(), label))
            .collect()
    }

    /// Returns a keyed hash for `label` that accepts every loaded master key.
    #[must_use]
    pub fn mac(&self, label: &str) -> Mac {
        Mac(self
            .derive(label)
            .iter()
            .map(|key| hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()))
            .collect())
    }

    /// Returns a keyed hash under the oldest loaded master key alone: for names that must stay the same while
    /// the key changes.
    #[must_use]
    pub fn oldest_mac(&self, label: &str) -> Mac {
        let oldest = self.derive(label).pop();
        Mac(oldest
            .iter()
            .map(|key| hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()))
            .collect())
    }

    /// Returns an encryption key for `label`.
    #[must_use]
    pub fn sealer(&self, label: &str) -> Sealer {
        Sealer(self.derive(label))
    }
}

struct Length;

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        32
    }
}

/// HKDF-SHA-256 without salt: `key` is uniform already (RFC 5869 §3.1).
fn expand(key: &[u8], label: &str) -> Zeroizing<[u8; 32]> {
    let mut out = Zeroizing::new([0; 32]);
    let info = [b"entree ".as_slice(), label.as_bytes()];
    let done = hkdf::Salt::new(hkdf::HKDF_SHA256, &[])
        .extract(key)
        .expand(&info, Length)
        .and_then(|okm| okm.fill(out.as_mut_slice()));
    // 32 bytes are always within HKDF's 255 blocks; zeroes must not pass for a key all the same.
    if done.is_err() {
        std::process::abort();
    }
    out
}

/// HMAC-SHA-256 under the derived keys: made with the first, verified with any.
#[derive(Clone)]
pub struct Mac(Vec<hmac::Key>);

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mac(…)")
    }
}

impl Mac {
    /// Returns the MAC of `parts`, each preceded by its length so that no two lists collide.
    #[must_use]
    pub fn tag(&self, parts: &[&[u8]]) -> Hash {
        // There is always a first key: `MasterKeys::new` takes one.
        self.0
            .first()
            .map_or_else(|| std::process::abort(), |key| tag(key, parts))
    }

    /// Returns a secret derived from the key, the same each time: for a response that is repeated.
    #[must_use]
    pub fn secret(&self, parts: &[&[u8]]) -> Plain {
        Plain(self.tag(parts).0)
    }

    /// Returns the MAC under every accepted key, for comparison with a stored one.
    pub fn tags<'a>(&'a self, parts: &'a [&'a [u8]]) -> impl Iterator<Item = Hash> + 'a {
        self.0.iter().map(move |key| tag(key, parts))
    }

    /// Whether `given` is the MAC of `parts` under any accepted key, in constant time for each.
    #[must_use]
    pub fn verify(&self, parts: &[&[u8]], given: &Hash) -> bool {
        self.0
            .iter()
            .fold(false, |ok, key| (tag(key, parts) == *given) | ok)
    }
}

fn tag(key: &hmac::Key, parts: &[&[u8]]) -> Hash {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.sign().as_ref());
    Hash(out)
}

/// AES-256-GCM under the derived keys: encrypts with the first, decrypts with any. Each call uses a fresh
/// random nonce.
pub struct Sealer(Vec<Zeroizing<[u8; 32]>>);

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(…)")
    }
}

impl Sealer {
    /// Returns a sealer under one given key.
    #[must_use]
    pub fn with_key(key: [u8; 32]) -> Self {
        Self(vec![Zeroizing::new(key)])
    }

    /// Returns nonce and ciphertext of `plain`, bound to `context`: it decrypts only with the same one.
    #[must_use]
    pub fn seal(&self, context: &[u8], plain: &[u8]) -> Vec<u8> {
        let nonce: [u8; 12] = random();
        let mut body = plain.to_vec();
        let sealed = self.0.first().and_then(aead_key).and_then(|key| {
            key.seal_in_place_append_tag(
                aead::Nonce::assume_unique_for_key(nonce),
                aead::Aad::from(context),
                &mut body,
            )
            .ok()
        });
        // Sealing fails only for plaintexts of 64 GiB; the plain text must not pass for a sealed one.
        if sealed.is_none() {
            std::process::abort();
        }
        let mut out = nonce.to_vec();
        out.append(&mut body);
        out
    }

    /// Decrypts what was encrypted for this `context`; `None` if it was altered, moved or encrypted under another
    /// key.
    #[must_use]
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, body) = sealed.split_at_checked(12)?;
        let nonce: [u8; 12] = nonce.try_into().ok()?;
        self.0.iter().filter_map(aead_key).find_map(|key| {
            let mut body = Zeroizing::new(body.to_vec());
            let nonce = aead::Nonce::assume_unique_for_key(nonce);
            let length = key
                .open_in_place(nonce, aead::Aad::from(context), &mut body)
                .ok()?
                .len();
            body.truncate(length);
            Some(body)
        })
    }
}

fn aead_key(key: &Zeroizing<[u8; 32]>) -> Option<aead::LessSafeKey> {
    aead::UnboundKey::new(&aead::AES_256_GCM, key.as_slice())
        .ok()
        .map(aead::LessSafeKey::new)
}

#[cfg(test)]
mod tests;
