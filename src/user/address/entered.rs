//! Addresses as users type and paste them: mail programs add names and brackets, chats add punctuation,
//! phones add spaces, input methods write full-width characters (OC-7).
//!
//! What has one meaning is understood. Everything else is refused with a reason that the page can put
//! in words. The canonical form stays as strict as it is.

use super::{Address, AddressError, is_atext, is_invisible};

/// Longer texts are no address with something around it.
const MAX_BYTES: usize = 1024;

/// The reason why an entered text is not understood as an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    #[error("empty")]
    Empty,
    #[error("no @")]
    NoAt,
    #[error("several @")]
    SeveralAts,
    #[error("a space within")]
    Space,
    /// This character is in no address.
    #[error("a character that is not allowed")]
    Character(char),
    /// This character stands before the `@`, where only ASCII is supported.
    #[error("a letter that is not supported")]
    Letter(char),
    #[error(transparent)]
    Address(#[from] AddressError),
}

impl Address {
    /// Parses what a user entered, with what programs put around an address.
    ///
    /// # Errors
    /// For a text that has not one certain meaning as an address.
    pub fn parse_entered(entered: &str, allow_eai: bool) -> Result<Self, EntryError> {
        if entered.len() > MAX_BYTES {
            return Err(AddressError::TooLong.into());
        }
        let text = plain(entered);
        let text = unwrapped(&text);
        if text.is_empty() {
            return Err(EntryError::Empty);
        }
        let address = without_stray_spaces(text);
        check(&address, allow_eai)?;
        Ok(Self::parse(&address, allow_eai)?)
    }
}

/// Drops the characters that cannot be seen, and folds spaces and full-width forms to ASCII.
fn plain(entered: &str) -> String {
    let fold = |c: char| match c {
        '\u{ff01}'..='\u{ff5e}' => {
            char::from_u32(u32::from(c) - 0xff01 + u32::from('!')).unwrap_or(c)
        }
        '\u{3002}' | '\u{ff61}' => '.',
        '\u{fe6b}' => '@',
        c if c.is_whitespace() && !c.is_control() => ' ',
        c => c,
    };
    entered
        .chars()
        .map(fold)
        .filter(|c| *c == ' ' || c.is_control() || turns_direction(*c) || !is_invisible(*c))
        .collect()
}

/// Whether a character changes the order in which others are read: within an address, what the user saw
/// is not certain.
const fn turns_direction(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Takes the address out of `Jo <jo@x.example>`, `mailto:jo@x.example?subject=…`, `Email: jo@x.example`,
/// quotes, brackets and the punctuation of a sentence.
fn unwrapped(text: &str) -> &str {
    let text = text.trim_matches(|c: char| c.is_whitespace() || turns_direction(c));
    let inner = text
        .split_once('<')
        .and_then(|(_, rest)| rest.split_once('>'));
    let text = match inner {
        Some((inner, after)) if !inner.contains('<') && !after.contains(['<', '@']) => inner,
        _ => text,
    };
    let text = without_label(without_punctuation(text));
    let scheme = text.get(..7);
    match scheme.filter(|scheme| scheme.eq_ignore_ascii_case("mailto:")) {
        Some(scheme) => {
            let rest = &text[scheme.len()..];
            without_punctuation(rest.split_once('?').map_or(rest, |(address, _)| address))
        }
        None => without_punctuation(text),
    }
}

fn without_punctuation(text: &str) -> &str {
    // None of these ends a domain.
    let ends = |c: char| c.is_whitespace() || ".,;:!?)]}>\"'`*_”“»«›‹’‘、".contains(c);
    // None of these begins a local part.
    let begins = |c: char| c.is_whitespace() || "([<\"“”„«»‹›‘’‚•·".contains(c);
    let trimmed = text.trim_end_matches(ends).trim_start_matches(begins);
    // These may begin a local part, unless they close behind it, too.
    ['\'', '`', '{', '*', '_']
        .into_iter()
        .find_map(|open| {
            let close = if open == '{' { '}' } else { open };
            let is_pair = text.trim().ends_with(close);
            trimmed.strip_prefix(open).filter(|_| is_pair)
        })
        .unwrap_or(trimmed)
}

/// Drops words like `Email:` in front.
fn without_label(text: &str) -> &str {
    let is_label = |label: &str| {
        !label.is_empty() && label.chars().all(|c| c.is_alphabetic() || " -".contains(c))
    };
    match text.split_once(": ") {
        Some((label, rest)) if is_label(label) => rest,
        _ => text,
    }
}

/// Drops spaces where an address has none and words have no end: around `@`, and around the dots of the
/// domain, where phones put them.
fn without_stray_spaces(text: &str) -> String {
    let Some((local, domain)) = text.split_once('@') else {
        return text.to_owned();
    };
    let domain: Vec<&str> = domain
        .split('.')
        .map(|label| label.trim_matches(' '))
        .collect();
    format!("{}@{}", local.trim_matches(' '), domain.join("."))
}

/// Finds what no address has, so that the user learns what to change.
fn check(address: &str, allow_eai: bool) -> Result<(), EntryError> {
    let (local, domain) = address.split_once('@').ok_or(EntryError::NoAt)?;
    if domain.contains('@') {
        return Err(EntryError::SeveralAts);
    }
    if address.contains(' ') {
        return Err(EntryError::Space);
    }
    let is_letter = |c: char| !c.is_ascii() && !c.is_control() && !turns_direction(c);
    if let Some(c) = local.chars().find(|c| is_letter(*c) && !allow_eai) {
        return Err(EntryError::Letter(c));
    }
    let in_local = |c: char| c == '.' || is_atext(c);
    let in_domain = |c: char| c.is_ascii_alphanumeric() || ".-".contains(c) || is_letter(c);
    let wrong = local.chars().find(|c| !in_local(*c));
    match wrong.or_else(|| domain.chars().find(|c| !in_domain(*c))) {
        Some(c) => Err(EntryError::Character(c)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(entered: &str) -> Result<String, EntryError> {
        Address::parse_entered(entered, false).map(|address| address.canonical().to_owned())
    }

    #[test]
    fn oc_7_what_programs_put_around_an_address_is_understood() {
        for entered in [
            "jo@x.example",
            " \t jo@x.example\r\n",
            "\u{a0}jo@x.example\u{202f}",
            "\u{200b}jo@x.example\u{feff}",
            "jo\u{200b}@\u{2060}x.ex\u{ad}ample",
            "\u{202a}jo@x.example\u{202c}",
            "Jo <jo@x.example>",
            "\"Doe, Jo\" <jo@x.example>,",
            "<jo@x.example>",
            "<mailto:jo@x.example>",
            "mailto:jo@x.example",
            "MAILTO:jo@x.example?subject=hi@there",
            "\"jo@x.example\"",
            "'jo@x.example'",
            "`jo@x.example`",
            "“jo@x.example”",
            "« jo@x.example »",
            "(jo@x.example)",
            "[jo@x.example].",
            "jo@x.example.",
            "jo@x.example, ",
            "jo@x.example;",
            "Email: jo@x.example",
            "Email address: jo@x.example.",
            "*jo@x.example*",
            "ｊｏ＠ｘ．ｅｘａｍｐｌｅ",
            "jo@x。example",
            "jo @ x.example",
            "jo@x. example",
            "JO@X.EXAMPLE",
        ] {
            assert_eq!(parse(entered).as_deref(), Ok("jo@x.example"), "{entered:?}");
        }
    }

    #[test]
    fn oc_7_characters_of_a_local_part_stay() {
        for entered in [
            "'jo@x.example",
            "o'neill@x.example",
            "{jo@x.example",
            "jo+a_b@x.example",
        ] {
            assert_eq!(parse(entered).as_deref(), Ok(entered));
        }
    }

    #[test]
    fn oc_7_od_13_what_is_not_certain_is_named() {
        for (entered, error) in [
            ("", EntryError::Empty),
            (" \u{200b} ", EntryError::Empty),
            ("<>", EntryError::Empty),
            ("jo", EntryError::NoAt),
            ("jo.x.example", EntryError::NoAt),
            ("jo@x.example, al@x.example", EntryError::SeveralAts),
            ("jo@@x.example", EntryError::SeveralAts),
            ("jo doe@x.example", EntryError::Space),
            ("jo@x.example hello", EntryError::Space),
            ("jo@x,example", EntryError::Character(',')),
            ("jo@x_y.example", EntryError::Character('_')),
            ("jo(home)@x.example", EntryError::Character('(')),
            ("jo\u{202e}al@x.example", EntryError::Character('\u{202e}')),
            ("jo\n@x.example", EntryError::Character('\n')),
            ("jo\u{1}@x.example", EntryError::Character('\u{1}')),
            ("jo@[127.0.0.1]", EntryError::Character('[')),
            (
                "<script>alert(1)</script>@x.example",
                EntryError::Character('>'),
            ),
            ("jürgen@x.example", EntryError::Letter('ü')),
            ("иван@почта.рф", EntryError::Letter('и')),
            // Never a look-alike: the Kelvin sign is no K.
            ("\u{212a}@x.example", EntryError::Letter('\u{212a}')),
            ("jo@x", EntryError::Address(AddressError::Malformed)),
            (
                ".jo@x.example",
                EntryError::Address(AddressError::Malformed),
            ),
        ] {
            assert_eq!(parse(entered), Err(error), "{entered:?}");
        }
        let long = format!("{}@x.example", "a".repeat(100_000));
        assert_eq!(parse(&long), Err(AddressError::TooLong.into()));
    }
}
