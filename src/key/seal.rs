//! The sealed form of a private key in its row: PKCS#8 under a data key of its own, and the data
//! key under the master key.
//!
//! Both are AES-256-GCM and bound to version, kid, algorithm and use, so that nothing opens in
//! another row. A change of the master key changes only the wrapped data key.

use zeroize::Zeroizing;

use super::public::alg_name;
use crate::{
    config::Alg,
    secret::{self, Sealer},
};

/// The label of the key that wraps data keys (`MasterKeys::sealer`).
pub(super) const WRAP: &str = "signing key wrap v1";

/// A private key in its sealed form.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Sealed {
    /// PKCS#8 under the data key.
    pub(super) private: Vec<u8>,
    /// The data key under the master key.
    pub(super) data_key: Vec<u8>,
}

/// Returns what both layers are bound to. No part can hold the separator.
fn context(kid: &str, alg: Alg) -> Vec<u8> {
    ["entree signing key", "v1", kid, alg_name(alg), "sig"]
        .join("\n")
        .into_bytes()
}

/// Seals `pkcs8` for the row of `kid`, under a fresh data key.
pub(super) fn seal(master: &Sealer, kid: &str, alg: Alg, pkcs8: &[u8]) -> Sealed {
    let context = context(kid, alg);
    let data_key = Zeroizing::new(secret::random::<32>());
    Sealed {
        private: Sealer::with_key(*data_key).seal(&context, pkcs8),
        data_key: master.seal(&context, data_key.as_slice()),
    }
}

/// Opens the PKCS#8 in the row of `kid`. Returns nothing if the row was altered or moved, or was
/// sealed under another master key.
pub(super) fn open(
    master: &Sealer,
    kid: &str,
    alg: Alg,
    sealed: &Sealed,
) -> Option<Zeroizing<Vec<u8>>> {
    let context = context(kid, alg);
    let data_key = Zeroizing::new(
        <[u8; 32]>::try_from(master.open(&context, &sealed.data_key)?.as_slice()).ok()?,
    );
    Sealer::with_key(*data_key).open(&context, &sealed.private)
}

/// Returns the data key, wrapped anew under the current master key.
pub(super) fn rewrap(master: &Sealer, kid: &str, alg: Alg, data_key: &[u8]) -> Option<Vec<u8>> {
    let context = context(kid, alg);
    Some(master.seal(&context, &master.open(&context, data_key)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::MasterKeys;

    fn master() -> Sealer {
        MasterKeys::new([1; 32], []).sealer(WRAP)
    }

    #[test]
    fn sk_07_a_row_opens_only_in_its_place() {
        let sealed = seal(&master(), "kid", Alg::ES256, b"private");
        let opened = |kid, alg, sealed: &Sealed| {
            open(&master(), kid, alg, sealed).map(|pkcs8| pkcs8.to_vec())
        };
        assert_eq!(
            opened("kid", Alg::ES256, &sealed),
            Some(b"private".to_vec())
        );
        assert_eq!(opened("other", Alg::ES256, &sealed), None);
        assert_eq!(opened("kid", Alg::RS256, &sealed), None);
        let other = seal(&master(), "kid", Alg::ES256, b"private");
        assert_eq!(
            opened(
                "kid",
                Alg::ES256,
                &Sealed {
                    private: sealed.private,
                    data_key: other.data_key
                }
            ),
            None
        );
    }

    #[test]
    fn sk_07_data_keys_differ_and_the_private_part_is_hidden() {
        let [one, two] = [0, 1].map(|_| seal(&master(), "kid", Alg::ES256, b"private"));
        assert!(one.private != two.private && one.data_key != two.data_key);
        assert!(!one.private.windows(7).any(|window| window == b"private"));
    }

    #[test]
    fn sk_07_rewrap_changes_only_the_wrapped_key() {
        let sealed = seal(&master(), "kid", Alg::ES256, b"private");
        let both = MasterKeys::new([2; 32], [[1; 32]]).sealer(WRAP);
        let data_key = rewrap(&both, "kid", Alg::ES256, &sealed.data_key).unwrap();
        let new = MasterKeys::new([2; 32], []).sealer(WRAP);
        assert!(open(&new, "kid", Alg::ES256, &sealed).is_none());
        let rewrapped = Sealed {
            private: sealed.private,
            data_key,
        };
        assert_eq!(
            open(&new, "kid", Alg::ES256, &rewrapped)
                .unwrap()
                .as_slice(),
            b"private"
        );
    }
}
