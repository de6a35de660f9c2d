//! Email addresses: one canonical form for identity, one folded form for counting.
//!
//! The canonical form (E4, LK-05) is compared and stored. It never turns a look-alike into another
//! user's address: a local part beyond ASCII is refused before it is normalised (NFC alone would
//! turn the Kelvin sign into a K). The folded form (E6) drops plus tags and Gmail's dots, and
//! serves the counters alone.

use std::fmt;

use unicode_normalization::UnicodeNormalization as _;

use crate::secret::{Hash, Mac};

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

    /// E6: returns the address without plus tag, and without dots where the provider ignores them.
    #[must_use]
    pub fn folded(&self) -> String {
        let (local, domain) = self.0.split_once('@').unwrap_or((&self.0, ""));
        let bare = match local.split_once('+') {
            Some((bare, _)) if !bare.is_empty() => bare,
            _ => local,
        };
        match domain {
            "gmail.com" | "googlemail.com" => format!("{}@gmail.com", bare.replace('.', "")),
            _ => format!("{bare}@{domain}"),
        }
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

/// RFC 5322 §3.2.3: `atext`; beyond ASCII RFC 6531 §3.3, less the invisible characters.
fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || "!#$%&'*+-/=?^_`{|}~".contains(c)
        || (!c.is_ascii() && !is_invisible(c))
}

/// Returns whether a reader cannot see the character: control, bidi, zero-width, white space.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || c.is_whitespace()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests;
