//! Properties of single values that several sections need.

use std::path::Path;

use url::Url;

use crate::display_text;

/// A day, in seconds.
pub(super) const DAY: u64 = 86_400;

/// Whether a text is an http or https URL.
pub(super) fn is_web_address(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "https" | "http") && url.has_host())
}

/// RFC 6749 §3.3: a scope is printable ASCII without spaces, quotes and backslashes.
pub(super) fn is_scope(text: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_graphic() && !"\"\\".contains(c);
    !text.is_empty() && text.chars().all(is_allowed)
}

/// Whether a text can be shown to users: visible, not long, without characters that hide or turn text.
pub(super) fn is_display_text(text: &str) -> bool {
    display_text::is_visible(text) && text.len() <= 100 && text.chars().all(display_text::may_stand)
}

/// Whether a file has certificates in PEM and can be read.
pub(super) fn has_certificates(file: &Path) -> bool {
    std::fs::read(file)
        .is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains("-----BEGIN CERTIFICATE-----"))
}
