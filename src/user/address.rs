//! Email addresses: one canonical form for identity, one folded form for counting.
//!
//! The canonical form (E4, LK-05) is compared and stored. It never turns a look-alike into another
//! user's address: a local part beyond ASCII is refused before it is normalised (NFC alone would
//! turn the Kelvin sign into a K). The folded form (E6, OA-10) is one for all spellings of a mailbox,
//! and serves the counters alone.

mod fold;

mod display;
mod entered;

use std::fmt;

use unicode_normalization::UnicodeNormalization as _;

use crate::{
    display_text,
    secret::{Hash, Mac},
};

pub use display::{shown_address, shown_domain};
pub use entered::EntryError;

/// The version of the canonical form, stored beside it.
pub const VERSION: i32 = 1;

/// The most octets of an address (RFC 5321 §4.5.3.1.3, less the angle brackets).
const MAX_OCTETS: usize = 254;

/// The most octets of a local part (RFC 5321 §4.5.3.1.1).
const MAX_LOCAL: usize = 64;

/// An address in canonical form.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address(String);

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address(…)")
    }
}

/// The reason why a text is not an address that we accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("empty")]
    Empty,
    /// The address has over 254 octets, or its local part over 64.
    #[error("too long")]
    TooLong,
    /// The text is not `local@domain`.
    #[error("not an address")]
    Malformed,
    /// The local part is beyond ASCII, and that is not allowed.
    #[error("unsupported characters")]
    NonAscii,
}

impl Address {
    /// Parses what a user entered.
    ///
    /// # Errors
    /// For anything that is not one plain address with a domain name: control, bidi and zero-width
    /// characters, quoted local parts, IP literals, domains without a dot, over-long parts.
    pub fn parse(typed: &str, allow_eai: bool) -> Result<Self, AddressError> {
        // Checked before normalising: a megabyte of combining marks must cost nothing.
        if typed.len() > 4 * MAX_OCTETS {
            return Err(AddressError::TooLong);
        }
        let typed = typed.trim_matches([' ', '\t', '\u{a0}', '\u{3000}']);
        if typed.is_empty() {
            return Err(AddressError::Empty);
        }
        let (local, domain) = typed.split_once('@').ok_or(AddressError::Malformed)?;
        let canonical = format!(
            "{}@{}",
            canonical_local(local, allow_eai)?,
            canonical_domain(domain)?
        );
        if canonical.len() > MAX_OCTETS {
            return Err(AddressError::TooLong);
        }
        Ok(Self(canonical))
    }

    /// Returns the address of a column that [`Address::canonical`] filled.
    #[must_use]
    pub fn from_column(canonical: &str) -> Self {
        Self(canonical.to_owned())
    }

    #[must_use]
    pub fn canonical(&self) -> &str {
        &self.0
    }

    /// Returns the keyed hash of the folded form, which stands for the address in counters and in
    /// the audit log.
    #[must_use]
    pub fn key(&self, mac: &Mac) -> Hash {
        mac.tag(&[self.folded().as_bytes()])
    }

    /// E6, OA-10: returns the form that the spellings of one mailbox share.
    #[must_use]
    pub fn folded(&self) -> String {
        let (local, domain) = self.0.split_once('@').unwrap_or((&self.0, ""));
        fold::fold(local, domain)
    }

    /// Returns the keyed hash of the domain, for its budget. A large provider has none: its users have
    /// nothing in common.
    #[must_use]
    pub fn domain_key(&self, mac: &Mac) -> Option<Hash> {
        let (_, domain) = self.0.split_once('@')?;
        let is_small = !fold::is_large_provider(domain);
        is_small.then(|| mac.tag(&[b"domain", domain.as_bytes()]))
    }
}

fn canonical_local(local: &str, allow_eai: bool) -> Result<String, AddressError> {
    if local.is_empty() {
        return Err(AddressError::Malformed);
    }
    if !local.is_ascii() {
        if local.chars().any(is_invisible) {
            return Err(AddressError::Malformed);
        }
        if !allow_eai {
            return Err(AddressError::NonAscii);
        }
    }
    let normal: String = if local.is_ascii() {
        local.to_owned()
    } else {
        local.nfc().collect()
    };
    // NFC of a look-alike may be plain ASCII (the Kelvin sign): that would be another user's
    // address.
    if !local.is_ascii() && normal.is_ascii() {
        return Err(AddressError::NonAscii);
    }
    let atoms = normal
        .split('.')
        .all(|atom| !atom.is_empty() && atom.chars().all(is_atext));
    if !atoms {
        return Err(AddressError::Malformed);
    }
    if normal.len() > MAX_LOCAL {
        return Err(AddressError::TooLong);
    }
    Ok(normal.to_ascii_lowercase())
}

/// Returns the domain in lower case and as A-labels (UTS-46): at least two labels, no trailing dot.
fn canonical_domain(domain: &str) -> Result<String, AddressError> {
    if domain.contains('@') || domain.chars().any(is_invisible) || domain.starts_with('[') {
        return Err(AddressError::Malformed);
    }
    let ascii = idna::domain_to_ascii_strict(domain).map_err(|_| AddressError::Malformed)?;
    let labels: Vec<&str> = ascii.split('.').collect();
    let plausible = labels.len() >= 2
        && labels
            .iter()
            .all(|label| !label.is_empty() && label.len() <= 63);
    // A last label of digits alone is an IP address in some spelling, never a domain that receives
    // email.
    let numeric = labels
        .last()
        .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    if !plausible || numeric || ascii.len() > 253 || ascii.starts_with("0x") && labels.len() < 2 {
        return Err(AddressError::Malformed);
    }
    Ok(ascii)
}

/// RFC 5322 §3.2.3: `atext`, less `%`, by which some servers relay to a further address (OA-10); beyond
/// ASCII RFC 6531 §3.3, less the invisible characters.
fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || "!#$&'*+-/=?^_`{|}~".contains(c)
        || (!c.is_ascii() && !is_invisible(c))
}

/// Returns whether a reader cannot see the character: control, bidi, zero-width, white space.
fn is_invisible(c: char) -> bool {
    c.is_whitespace() || display_text::is_hidden(c)
}

#[cfg(test)]
mod tests;
