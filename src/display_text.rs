//! Text from outside that other people are shown, such as names of users and clients.
//!
//! It stands within sentences and lists of ours. So characters that cannot be seen are left out, and
//! with them those that turn the direction of the text around them. A text of which nothing can be
//! seen is none.

/// Returns whether a character has no shape of its own: a control character, one that Unicode calls
/// default ignorable (UAX #44), or a blank that is no white space.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Returns whether a hidden character shapes the ones beside it, as names of some scripts need:
/// joiners, fillers of old Hangul, variation selectors.
const fn shapes_others(c: char) -> bool {
    matches!(c,
        '\u{34f}' | '\u{115f}'..='\u{1160}' | '\u{180b}'..='\u{180d}' | '\u{180f}'
        | '\u{200c}'..='\u{200d}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

/// Returns whether a character changes the order in which others are read.
#[must_use]
pub const fn turns_direction(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns whether a character ends a line.
#[must_use]
pub fn ends_line(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Returns whether a character may stand in a text that other people are shown.
#[must_use]
pub fn may_stand(c: char) -> bool {
    !ends_line(c) && (!is_hidden(c) || shapes_others(c))
}

/// Returns whether a reader sees anything of a text.
#[must_use]
pub fn is_visible(text: &str) -> bool {
    text.chars().any(|c| !c.is_whitespace() && !is_hidden(c))
}

/// Returns a text without what may not stand in it, cut to so many characters. Returns `None` if
/// nothing can be seen of it.
#[must_use]
pub fn cleaned(text: &str, most: usize) -> Option<String> {
    let kept: String = text.chars().filter(|c| may_stand(*c)).take(most).collect();
    let kept = kept.trim();
    is_visible(kept).then(|| kept.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oc_6_nothing_is_seen_of_hidden_characters_and_blanks() {
        for hidden in [
            "\u{200b}",
            "\u{200c}\u{200d}",
            "\u{202e}",
            "\u{2066}\u{2069}",
            "\u{115f}",
            "\u{1160}",
            "\u{3164}",
            "\u{ffa0}",
            "\u{2800}\u{2800}",
            "\u{e0041}\u{e007f}",
            "\u{fe0f}",
            "\u{e0100}",
            "\u{ad}",
            "\u{feff} \u{3000}",
            "\u{2028}",
            "\u{180e}",
            "\n",
            "",
        ] {
            assert!(!is_visible(hidden), "{hidden:?}");
            assert_eq!(cleaned(hidden, 9), None, "{hidden:?}");
        }
        for seen in ["a", "\u{200b}.", "\u{5d0}", "\u{1f469}\u{200d}\u{1f52c}"] {
            assert!(is_visible(seen), "{seen:?}");
        }
    }

    #[test]
    fn oc_6_what_hides_or_turns_text_is_left_out_and_what_shapes_names_stays() {
        for (text, kept) in [
            (" A\u{202e}da\u{2069} ", "Ada"),
            ("A\u{200b}d\u{e0041}a\n\u{2028}", "Ada"),
            ("\u{feff} Ada \u{2800}", "Ada"),
            ("A\u{2028}d\u{2029}a", "Ada"),
            // Persian joins with ZWNJ, Han varies with selectors, emoji join with ZWJ.
            (
                "\u{639}\u{644}\u{6cc}\u{200c}\u{631}\u{636}\u{627}",
                "\u{639}\u{644}\u{6cc}\u{200c}\u{631}\u{636}\u{627}",
            ),
            ("\u{845b}\u{e0100}", "\u{845b}\u{e0100}"),
            ("\u{1f469}\u{200d}\u{1f52c}", "\u{1f469}\u{200d}\u{1f52c}"),
        ] {
            assert_eq!(cleaned(text, 20).as_deref(), Some(kept), "{text:?}");
        }
        assert_eq!(cleaned("abcdef", 3).as_deref(), Some("abc"));
    }
}
