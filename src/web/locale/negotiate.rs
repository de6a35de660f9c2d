//! The choice of a language from what a browser or a client prefers.

use fluent_langneg::{NegotiationStrategy, negotiate_languages};
use unic_langid::LanguageIdentifier;

/// Longer lists are cut, in bytes. Browsers send well under 200.
const MAX_LIST_BYTES: usize = 1024;
const MAX_UI_LOCALES: usize = 20;
const MAX_ACCEPTED: usize = 40;

/// Returns the best of the available languages for `ui_locales` (OIDC Core §3.1.2.1: separated by
/// spaces, the best first) and, after it, an Accept-Language header (RFC 9110 §12.5.4). `fr-CA` is
/// served by `fr` (RFC 4647 §3.4). Whatever is malformed is ignored.
pub(super) fn negotiate<'a>(
    available: &[&'a LanguageIdentifier],
    ui_locales: &str,
    accept_language: &str,
) -> Option<&'a LanguageIdentifier> {
    let tags = ui_locales_tags(ui_locales).chain(accepted_tags(accept_language));
    let requested: Vec<LanguageIdentifier> = tags.filter_map(|tag| tag.parse().ok()).collect();
    negotiate_languages(&requested, available, None, NegotiationStrategy::Lookup)
        .first()
        .map(|language| **language)
}

fn cut(list: &str) -> &str {
    list.get(..list.floor_char_boundary(MAX_LIST_BYTES))
        .unwrap_or_default()
}

fn ui_locales_tags(list: &str) -> impl Iterator<Item = &str> {
    cut(list).split_ascii_whitespace().take(MAX_UI_LOCALES)
}

/// Yields the tags of an Accept-Language header, the best first. `q=0` means never (RFC 9110
/// §12.4.2). The parser of `fluent-langneg` ignores weights.
fn accepted_tags(header: &str) -> impl Iterator<Item = &str> {
    let mut ranges: Vec<(u16, &str)> = cut(header)
        .split(',')
        .take(MAX_ACCEPTED)
        .filter_map(weighted_range)
        .collect();
    ranges.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    ranges.into_iter().map(|(_, tag)| tag)
}

fn weighted_range(range: &str) -> Option<(u16, &str)> {
    let (tag, parameter) = range.split_once(';').unwrap_or((range, ""));
    let weight = match parameter.trim().strip_prefix("q=") {
        // 0 to 1 with at most three decimals; a range with any other weight is ignored.
        Some(q) => q
            .parse::<f32>()
            .ok()
            .filter(|q| (0.0..=1.0).contains(q))
            .map(|q| q * 1000.0)?,
        None => 1000.0,
    };
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 1000"
    )]
    let weight = weight as u16;
    (weight > 0).then(|| (weight, tag.trim()))
}
