//! Secrets that show what they belong to.

use super::{Hash, Mac, Plain, random};

/// How many bytes of such a secret are random.
const RANDOM: usize = 24;

impl Mac {
    /// Generates a secret of 24 random bytes and 8 bytes of a MAC over them and `parts`. To its owner it is
    /// as opaque as any other; [`Mac::is_bound`] finds out whether it belongs to given parts.
    #[must_use]
    pub fn bound_secret(&self, parts: &[&[u8]]) -> Plain {
        let mut bytes = [0; 32];
        let (head, tail) = bytes.split_at_mut(RANDOM);
        head.copy_from_slice(&random::<RANDOM>());
        let tag = self.tag(&with_head(head, parts));
        for (byte, of_tag) in tail.iter_mut().zip(tag.as_bytes()) {
            *byte = *of_tag;
        }
        Plain(bytes)
    }

    /// Whether a secret was generated for these parts, under any accepted key.
    #[must_use]
    pub fn is_bound(&self, secret: &Plain, parts: &[&[u8]]) -> bool {
        let (head, tail) = secret.0.split_at(RANDOM);
        let padded = |bytes: &[u8]| {
            let mut all = [0; 32];
            for (byte, given) in all.iter_mut().zip(bytes) {
                *byte = *given;
            }
            // Hashes compare in constant time.
            Hash(all)
        };
        let given = padded(tail);
        let is_tail = |tag: Hash| {
            let shown = tag.as_bytes().get(..tail.len()).unwrap_or_default();
            padded(shown) == given
        };
        self.tags(&with_head(head, parts))
            .fold(false, |found, tag| is_tail(tag) | found)
    }
}

fn with_head<'a>(head: &'a [u8], parts: &[&'a [u8]]) -> Vec<&'a [u8]> {
    let mut all = vec![head];
    all.extend(parts);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::MasterKeys;

    #[test]
    fn az_17_a_bound_secret_belongs_to_its_parts_alone() {
        let mac = MasterKeys::new([1; 32], []).mac("bound");
        let (one, two) = (
            mac.bound_secret(&[b"a", b"b"]),
            mac.bound_secret(&[b"a", b"b"]),
        );
        assert_ne!(one.to_text(), two.to_text(), "each is random");
        assert_eq!(one.to_text().len(), 43);
        assert!(mac.is_bound(&one, &[b"a", b"b"]) && mac.is_bound(&two, &[b"a", b"b"]));
        let others: [[&[u8]; 2]; 3] = [[b"a", b"c"], [b"ab", b""], [b"", b"ab"]];
        for others in others {
            assert!(!mac.is_bound(&one, &others));
        }
        assert!(
            !mac.is_bound(&Plain::generate(), &[b"a", b"b"]),
            "a forged one"
        );
        let later = MasterKeys::new([2; 32], [[1; 32]]).mac("bound");
        assert!(later.is_bound(&one, &[b"a", b"b"]), "under the key before");
        let other = MasterKeys::new([2; 32], []).mac("bound");
        assert!(!other.is_bound(&one, &[b"a", b"b"]));
    }
}
