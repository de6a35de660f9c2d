//! Tokens whose signature was verified a short while ago (SP-12).
//!
//! A client sends the same access token many times. The verification of its signature costs more than all other
//! checks together, and its result never changes: the token says by `kid` which key made it, and `kid` is the
//! thumbprint of that key. So the SHA-256 of the whole token is remembered, and nothing else of it. All other checks
//! are made each time: whether the key is still published, the times, the issuer and the audience.
//!
//! Only tokens with a good signature take space, so that only our own clients can displace another.

use std::{
    collections::HashSet,
    mem,
    sync::{Mutex, PoisonError},
};

use crate::secret::Hash;

/// How many parts there are, each with a lock of its own.
const PARTS: usize = 16;

/// The most tokens of one generation of one part. All together hold 16,384 tokens in about a mebibyte.
const GENERATION: usize = 512;

/// A bounded set of tokens. When it is full, those that were not seen for longest go.
#[derive(Default)]
pub(super) struct VerifiedTokens {
    parts: [Mutex<Part>; PARTS],
}

#[derive(Default)]
struct Part {
    current: HashSet<[u8; 32]>,
    /// Those of before; a token that is seen again comes back to `current`.
    previous: HashSet<[u8; 32]>,
}

impl VerifiedTokens {
    /// Returns whether the signature of this token was verified before; if not, verifies it by `verify` and
    /// remembers it if it is good.
    pub(super) fn check(&self, token: &str, verify: impl FnOnce() -> bool) -> bool {
        let hash = *Hash::of(token.as_bytes()).as_bytes();
        let Some(part) = self.parts.get(usize::from(hash[0]) % PARTS) else {
            return verify();
        };
        let part = || part.lock().unwrap_or_else(PoisonError::into_inner);
        if part().recall(&hash) {
            return true;
        }
        let is_good = verify();
        if is_good {
            part().insert(hash);
        }
        is_good
    }
}

impl Part {
    /// Returns whether a token was seen, and keeps it for longer then.
    fn recall(&mut self, hash: &[u8; 32]) -> bool {
        if self.current.contains(hash) {
            return true;
        }
        let was_seen = self.previous.contains(hash);
        if was_seen {
            self.insert(*hash);
        }
        was_seen
    }

    fn insert(&mut self, hash: [u8; 32]) {
        if self.current.len() >= GENERATION {
            self.previous = mem::take(&mut self.current);
        }
        self.current.insert(hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sp_12_a_good_signature_is_verified_once_and_a_bad_one_each_time() {
        let tokens = VerifiedTokens::default();
        let never = || panic!("verified again");
        assert!(!tokens.check("a.b.bad", || false));
        assert!(!tokens.check("a.b.bad", || false));
        assert!(tokens.check("a.b.good", || true));
        assert!(tokens.check("a.b.good", never));
        assert!(!tokens.check("a.b.gooD", || false));
    }

    #[test]
    fn sp_12_the_number_is_bounded_and_what_is_used_stays() {
        let tokens = VerifiedTokens::default();
        for number in 0..100_000 {
            assert!(tokens.check(&number.to_string(), || true));
            assert!(tokens.check("used", || number == 0), "{number}");
        }
        let held = |part: &Mutex<Part>| {
            let part = part.lock().unwrap();
            part.current.len() + part.previous.len()
        };
        let total: usize = tokens.parts.iter().map(held).sum();
        assert!(total <= 2 * PARTS * GENERATION, "{total}");
    }
}
