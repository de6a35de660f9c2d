//! Texts for people, in their language.
//!
//! The shipped texts are part of the binary and complete in every shipped language. An operator may
//! add a directory of `LANG/*.ftl` files: a message there replaces ours, and a further language may
//! be added, whose missing messages are English. Texts are parsed when they are loaded, never while
//! a request waits, and replaced atomically.

mod load;
mod negotiate;

use std::{borrow::Cow, fmt, path::Path, sync::Arc};

use arc_swap::ArcSwap;
use entity::Time;
use fluent_bundle::{FluentArgs, FluentValue};

use load::{Bundle, Language, Languages};

use crate::web::caller::UNKNOWN_DEVICE;

/// All texts, shipped and overridden. Clones share them.
#[derive(Clone)]
pub struct Texts {
    current: Arc<ArcSwap<Languages>>,
}

/// The texts of one language as they were when it was chosen: a reload does not change them while a
/// request is served.
#[derive(Clone)]
pub struct Localizer {
    /// BCP 47 tag: `en`, `fr`.
    pub tag: Arc<str>,
    language: Arc<Language>,
    english: Arc<Language>,
}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.tags()).finish()
    }
}

impl fmt::Debug for Localizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Localizer({})", self.tag)
    }
}

impl Default for Texts {
    fn default() -> Self {
        // The shipped files parse, as a test shows. A build where they did not would show keys.
        let languages = load::languages(&[]).unwrap_or_default();
        Self {
            current: Arc::new(ArcSwap::from_pointee(languages)),
        }
    }
}

impl Texts {
    /// Loads the shipped texts and the directory of `LANG/*.ftl` files that override them.
    ///
    /// # Errors
    /// Every problem of the directory, one a line: files that cannot be read or parsed, messages
    /// that are not ours.
    pub fn load(overrides: Option<&Path>) -> Result<Self, String> {
        let texts = Self::default();
        texts.reload(overrides)?;
        Ok(texts)
    }

    /// Loads the texts again and replaces what all clones see. A [`Localizer`] keeps what it has.
    ///
    /// # Errors
    /// As [`Texts::load`]; nothing is replaced then.
    pub fn reload(&self, overrides: Option<&Path>) -> Result<(), String> {
        let sources = overrides.map_or_else(|| Ok(Vec::new()), load::read_directory)?;
        self.current.store(Arc::new(load::languages(&sources)?));
        Ok(())
    }

    /// Returns the best language for `ui_locales` and an Accept-Language header, else English.
    #[must_use]
    pub fn negotiate(&self, ui_locales: &str, accept_language: &str) -> Localizer {
        let languages = self.current.load();
        let available: Vec<_> = languages.by_id.keys().collect();
        let language = negotiate::negotiate(&available, ui_locales, accept_language)
            .and_then(|id| languages.by_id.get(id))
            .unwrap_or(&languages.english);
        Localizer {
            tag: Arc::clone(&language.tag),
            language: Arc::clone(language),
            english: Arc::clone(&languages.english),
        }
    }

    /// Returns the language of a stored tag, else English.
    #[must_use]
    pub fn localizer(&self, tag: &str) -> Localizer {
        self.negotiate(tag, "")
    }

    /// Returns the tag of every language.
    #[must_use]
    pub fn tags(&self) -> Vec<Arc<str>> {
        let languages = self.current.load();
        let tags = languages.by_id.values().map(|language| &language.tag);
        tags.cloned().collect()
    }
}

impl Localizer {
    /// Returns a message without arguments: in this language, else in English, else the key.
    #[must_use]
    pub fn text(&self, key: &str) -> String {
        self.text_with(key, &[])
    }

    /// Returns a message with arguments, as plain text. A whole number may choose a plural.
    #[must_use]
    pub fn text_with(&self, key: &str, args: &[(&'static str, String)]) -> String {
        let values: FluentArgs<'_> = args
            .iter()
            .map(|(name, value)| (*name, fluent_value(value)))
            .collect();
        let (own, english) = (&self.language, &self.english);
        let bundles = [&own.texts, &own.shipped, &english.texts, &english.shipped];
        bundles
            .into_iter()
            .find_map(|bundle| format(bundle, key, &values))
            .unwrap_or_else(|| key.to_owned())
    }

    /// Returns a message as HTML: text and arguments are escaped, and each argument is inside
    /// `<bdi>`, so that a left-to-right address does not break a right-to-left sentence.
    #[must_use]
    pub fn html(&self, key: &str, args: &[(&'static str, String)]) -> String {
        // Private-use characters stand for the tags until the rest is escaped. They are removed
        // from values.
        const OPEN: char = '\u{E000}';
        const CLOSE: char = '\u{E001}';
        let marked: Vec<_> = args
            .iter()
            .map(|(name, value)| {
                (
                    *name,
                    format!("{OPEN}{}{CLOSE}", value.replace([OPEN, CLOSE], "")),
                )
            })
            .collect();
        escape(&self.text_with(key, &marked))
            .replace(OPEN, "<bdi>")
            .replace(CLOSE, "</bdi>")
    }

    /// Returns `ltr` or `rtl`, for the `dir` attribute.
    #[must_use]
    pub fn direction(&self) -> &'static str {
        self.language.direction
    }

    /// Translates the words for a device ([`crate::web::caller::Caller::device`]).
    #[must_use]
    pub fn device(&self, words: &str) -> String {
        match words.split_once(" on ") {
            Some((browser, system)) => self.text_with(
                "account-device",
                &[
                    ("browser", browser.to_owned()),
                    ("system", system.to_owned()),
                ],
            ),
            None if words == UNKNOWN_DEVICE => self.text("account-device-unknown"),
            None => words.to_owned(),
        }
    }

    /// Spells out a moment in UTC.
    #[must_use]
    pub fn date_time(&self, at: Time) -> String {
        let Ok(at) = time::OffsetDateTime::from_unix_timestamp(at.seconds()) else {
            return String::new();
        };
        let month = self.text(&format!("month-{}", u8::from(at.month())));
        self.text_with(
            "date-time",
            &[
                ("day", at.day().to_string()),
                ("month", month),
                ("year", at.year().to_string()),
                ("time", format!("{:02}:{:02}", at.hour(), at.minute())),
            ],
        )
    }
}

/// Escapes for HTML text and quoted attributes.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// Only what is written exactly as a number is one: a code keeps its leading zeros.
fn fluent_value(value: &str) -> FluentValue<'_> {
    match value.parse::<u32>() {
        Ok(number) if number.to_string() == value => FluentValue::from(number),
        _ => FluentValue::String(Cow::Borrowed(value)),
    }
}

fn format(bundle: &Bundle, key: &str, args: &FluentArgs<'_>) -> Option<String> {
    let pattern = bundle.get_message(key)?.value()?;
    let mut errors = Vec::new();
    let text = bundle.format_pattern(pattern, Some(args), &mut errors);
    errors.is_empty().then(|| text.into_owned())
}

#[cfg(test)]
#[must_use]
pub fn shipped_keys(tag: &str) -> std::collections::BTreeSet<String> {
    load::shipped_keys(tag)
}

#[cfg(test)]
mod tests;
