//! User codes: what a device shows and its user enters (RFC 8628 §6.1).

use std::fmt;

use crate::secret::{Hash, Mac, random_below};

/// Consonants alone, so that no code is a word, and none that looks like another letter or a digit.
const ALPHABET: [char; 20] = [
    'B', 'C', 'D', 'F', 'G', 'H', 'J', 'K', 'L', 'M', 'N', 'P', 'Q', 'R', 'S', 'T', 'V', 'W', 'X',
    'Z',
];

/// 34 bits: too few for a plain hash to hide, and enough for a budget of tries (RFC 8628 §5.1).
const LETTERS: usize = 8;

/// A user code, without its hyphen.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct UserCode(String);

impl fmt::Debug for UserCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserCode(…)")
    }
}

impl UserCode {
    #[must_use]
    pub(super) fn generate() -> Self {
        let letter = |_| {
            let at = usize::try_from(random_below(20)).unwrap_or_default();
            ALPHABET.get(at).copied().unwrap_or('B')
        };
        Self((0..LETTERS).map(letter).collect())
    }

    /// Reads what a user entered. Case, blanks and hyphens do not matter.
    #[must_use]
    pub(super) fn parse(entered: &str) -> Option<Self> {
        let is_ignored = |c: &char| {
            c.is_whitespace() || "-_.\u{2010}\u{2011}\u{2012}\u{2013}\u{2014}\u{2212}".contains(*c)
        };
        let letters = entered.chars().filter(|c| !is_ignored(c));
        let code: String = letters.map(|c| c.to_ascii_uppercase()).collect();
        let is_code =
            code.chars().count() == LETTERS && code.chars().all(|c| ALPHABET.contains(&c));
        is_code.then_some(Self(code))
    }

    /// Returns the code as devices show it: `XXXX-XXXX`.
    #[must_use]
    pub(super) fn shown(&self) -> String {
        let (first, second) = self.0.split_at(LETTERS / 2);
        format!("{first}-{second}")
    }

    /// Returns the handle of the code's ticket: a keyed hash, so that the store cannot try all codes.
    #[must_use]
    pub(super) fn handle(&self, mac: &Mac) -> Hash {
        mac.tag(&[self.0.as_bytes()])
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::secret::MasterKeys;

    #[test]
    fn de_2_a_code_has_eight_letters_of_twenty_and_a_hyphen() {
        let codes: BTreeSet<String> = (0..200).map(|_| UserCode::generate().shown()).collect();
        assert_eq!(codes.len(), 200, "no two alike");
        let used: BTreeSet<char> = codes.iter().flat_map(|code| code.chars()).collect();
        let all: BTreeSet<char> = ALPHABET.into_iter().chain(['-']).collect();
        assert_eq!(used, all);
        for code in &codes {
            assert_eq!((code.len(), code.find('-')), (9, Some(4)), "{code}");
        }
        let secret = UserCode::generate();
        assert!(!format!("{secret:?}").contains(&secret.shown()));
    }

    #[test]
    fn de_3_case_blanks_and_hyphens_do_not_matter_and_all_else_does() {
        let code = UserCode::parse("WDJB-MJHT").unwrap();
        for entered in [
            "wdjbmjht",
            " WdJb mjht ",
            "WDJB\u{2013}MJHT",
            "w-d-j-b-m-j-h-t",
            "WDJB\u{a0}MJHT",
        ] {
            assert_eq!(UserCode::parse(entered), Some(code.clone()), "{entered}");
        }
        for entered in [
            "",
            "WDJB-MJH",
            "WDJB-MJHTT",
            "WDJB-MJH1",
            "ADJB-MJHT",
            "WDJB/MJHT",
            "\u{416}DJB-MJHT",
        ] {
            assert_eq!(UserCode::parse(entered), None, "{entered}");
        }
    }

    #[test]
    fn de_3_the_handle_needs_our_key() {
        let mac = |byte| MasterKeys::new([byte; 32], []).oldest_mac("device user code v1");
        let code = UserCode::parse("WDJB-MJHT").unwrap();
        let handle = code.handle(&mac(7));
        assert_eq!(
            handle,
            UserCode::parse("wdjb mjht").unwrap().handle(&mac(7))
        );
        assert_ne!(handle, code.handle(&mac(8)));
        assert_ne!(handle, Hash::of(b"WDJBMJHT"));
    }
}
