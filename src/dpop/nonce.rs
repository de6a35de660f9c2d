//! Nonces for DPoP proofs (RFC 9449 §8): the time at which one was made, and a MAC over it.
//!
//! No instance stores them, and each accepts those of all others and of all master keys. So a nonce
//! may be used more than once; a proof may not.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};

use crate::{
    clock::Time,
    secret::{Hash, Mac},
};

/// How long a nonce is accepted.
pub(super) const TTL: Duration = Duration::from_secs(300);

/// A response to a request with an older nonce brings a new one (§8.2).
pub(super) const RENEWED_AFTER: Duration = Duration::from_secs(150);

/// How far the clock of the instance that made a nonce may be ahead of ours.
pub(super) const MAX_AHEAD: Duration = Duration::from_secs(30);

/// Returns a nonce that is made now.
pub(super) fn make(mac: &Mac, now: Time) -> String {
    let at = now.0.to_be_bytes();
    let tag = mac.tag(&[&at]);
    BASE64.encode([at.as_slice(), tag.as_bytes()].concat())
}

/// Returns when a nonce was made; none if it is not ours, too old or from the future.
pub(super) fn made_at(mac: &Mac, nonce: &str, now: Time) -> Option<Time> {
    let bytes = BASE64.decode(nonce).ok()?;
    let (at, tag) = bytes.split_first_chunk::<8>()?;
    if !mac.verify(&[at], &Hash::from_column(tag)?) {
        return None;
    }
    let at = Time(i64::from_be_bytes(*at));
    let is_live = at <= now + MAX_AHEAD && now < at + TTL;
    is_live.then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::MasterKeys;

    const NOW: Time = Time(1_800_000_000_000);

    fn mac(current: u8, previous: &[u8]) -> Mac {
        MasterKeys::new([current; 32], previous.iter().map(|key| [*key; 32])).mac("nonce")
    }

    #[test]
    fn pp_4_a_nonce_is_accepted_for_five_minutes_by_every_instance() {
        let nonce = make(&mac(1, &[]), NOW);
        let accepted = |after_millis: i64| {
            let now = Time(NOW.0 + after_millis);
            made_at(&mac(1, &[]), &nonce, now) == Some(NOW)
        };
        for (after_millis, expected) in [
            (0, true),
            (299_999, true),
            (300_000, false),
            (i64::MAX / 2, false),
            // The clock of the instance that made it is ahead.
            (-30_000, true),
            (-30_001, false),
        ] {
            assert_eq!(accepted(after_millis), expected, "{after_millis} ms");
        }
    }

    #[test]
    fn pp_4_the_master_key_may_change_and_a_stranger_makes_none() {
        let nonce = make(&mac(1, &[]), NOW);
        assert_eq!(made_at(&mac(2, &[1]), &nonce, NOW), Some(NOW));
        assert_eq!(made_at(&mac(2, &[]), &nonce, NOW), None);
        let bytes = BASE64.decode(&nonce).unwrap();
        for at in 0..bytes.len() {
            let mut forged = bytes.clone();
            forged[at] ^= 1;
            let forged = BASE64.encode(forged);
            assert_eq!(made_at(&mac(1, &[]), &forged, NOW), None, "byte {at}");
        }
        for text in [
            "",
            "AA",
            "%",
            &nonce[..53],
            &format!("{nonce}A"),
            &format!("{nonce}AA"),
        ] {
            assert_eq!(made_at(&mac(1, &[]), text, NOW), None, "{text}");
        }
    }
}
