//! The form of a master key.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::secret::Text;

/// Reads the 32 bytes of a master key from 64 hexadecimal digits or 43 characters of base64url. One
/// byte repeated is no key.
#[must_use]
pub fn parse_master_key(text: &Text) -> Option<[u8; 32]> {
    let text = text.expose().trim();
    let bytes = if text.len() == 64 {
        let pairs = text.as_bytes().chunks_exact(2);
        pairs
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect::<Option<Vec<u8>>>()?
    } else {
        URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()?
    };
    let distinct: BTreeSet<&u8> = bytes.iter().collect();
    (distinct.len() > 1).then(|| bytes.try_into().ok())?
}
