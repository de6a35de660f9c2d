//! Texts for people, in their language.
//!
//! The shipped texts are part of the binary and complete in every shipped language. Ops may lay a directory of
//! `LANG/*.ftl` files over them: a message there replaces ours, and a further language may be added (what it lacks is
//! English). Everything is parsed when it is loaded, never while a request waits, and replaced atomically.

mod load;

use std::{borrow::Cow, fmt, path::Path, sync::Arc};

use arc_swap::ArcSwap;
use entity::Time;
use fluent_bundle::{FluentArgs, FluentValue};

use super::caller::UNKNOWN_DEVICE;
use load::{Bundle, FALLBACK, Language, Languages};

/// How much of a caller's language list is read at all. Browsers send well under 200 bytes.
const LONGEST_WISH: usize = 1024;

/// All texts, built in and overridden. Clones share them.
#[derive(Clone)]
pub struct Texts {
    current: Arc<ArcSwap<Languages>>,
}

/// The texts of one language, as they were when it was picked: one request never sees two states.
#[derive(Clone)]
pub struct Localizer {
    /// BCP 47 tag: `en`, `fr`.
    pub tag: Arc<str>,
    language: Arc<Language>,
    english: Arc<Language>,
}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.current.load().keys()).finish()
    }
}

impl fmt::Debug for Localizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tongue({})", self.tag)
    }
}

impl Default for Texts {
    /// The shipped texts alone.
    fn default() -> Self {
        // The shipped files are known to parse (test); a build where they do not speaks in keys rather than not at all.
        let languages = load::languages(&[]).unwrap_or_default();
        Self {
            current: Arc::new(ArcSwap::from_pointee(languages)),
        }
    }
}

impl Texts {
    /// The shipped texts, with the messages of `overrides` (a directory of `LANG/*.ftl`) laid over them.
    ///
    /// # Errors
    /// Every fault of the directory, one a line: files that cannot be read or parsed, messages that we do not have.
    pub fn load(overrides: Option<&Path>) -> Result<Self, String> {
        let texts = Self::default();
        texts.reload(overrides)?;
        Ok(texts)
    }

    /// Loads again and replaces what all clones see. What is in use stays as it was until its request ends.
    ///
    /// # Errors
    /// As [`Texts::load`]; then nothing is replaced.
    pub fn reload(&self, overrides: Option<&Path>) -> Result<(), String> {
        let sources = overrides.map_or_else(|| Ok(Vec::new()), load::read_directory)?;
        self.current.store(Arc::new(load::languages(&sources)?));
        Ok(())
    }

    /// The best language for `ui_locales` (OIDC Core §3.1.2.1: space separated, best first, may be empty) and an
    /// Accept-Language header (RFC 9110 §12.5.4). `fr-CA` is served by `fr`. Takes any garbage; English where nothing
    /// fits.
    #[must_use]
    pub fn negotiate(&self, ui_locales: &str, accept_language: &str) -> Localizer {
        let languages = self.current.load();
        let wanted = ui_locales_tags(ui_locales).chain(accepted_tags(accept_language));
        let language = wanted
            .filter_map(|tag| lookup(&languages, tag))
            .next()
            .cloned();
        localizer(&languages, language)
    }

    /// The language of that tag, as a row remembers it; English if it is no longer there.
    #[must_use]
    pub fn localizer(&self, tag: &str) -> Localizer {
        let languages = self.current.load();
        let language = lookup(&languages, tag).cloned();
        localizer(&languages, language)
    }

    /// The tags there are.
    #[must_use]
    pub fn tags(&self) -> Vec<Arc<str>> {
        self.current.load().keys().cloned().collect()
    }
}

impl Localizer {
    /// A message without arguments. An unknown key gives the English text, else the key.
    #[must_use]
    pub fn text(&self, key: &str) -> String {
        self.text_with(key, &[])
    }

    /// A message with arguments, as plain text without marks around them. A whole number may choose a plural.
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

    /// The same as HTML: text and arguments escaped, each argument inside `<bdi>`, so that a left-to-right address
    /// does not tear a right-to-left sentence apart.
    #[must_use]
    pub fn html(&self, key: &str, args: &[(&'static str, String)]) -> String {
        // Private-use marks stand for the tags until all else is escaped; a value cannot bring its own.
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

    /// `ltr` or `rtl`, for the `dir` attribute.
    #[must_use]
    pub fn direction(&self) -> &'static str {
        self.language.dir
    }

    /// The fixed words for a device ([`super::caller::Caller::device`]) in this language.
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

    /// A moment in UTC, spelled out.
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

/// Only what is written exactly as a number counts as one: a code with leading zeros must keep them.
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

/// What of a caller's list is read.
fn beginning(list: &str) -> &str {
    list.get(..list.floor_char_boundary(LONGEST_WISH))
        .unwrap_or_default()
}

/// Tags in the caller's order.
fn ui_locales_tags(list: &str) -> impl Iterator<Item = &str> {
    beginning(list).split_ascii_whitespace().take(20)
}

/// Tags of an Accept-Language header, best first; `q=0` means never (RFC 9110 §12.4.2).
fn accepted_tags(header: &str) -> impl Iterator<Item = &str> {
    let mut wishes: Vec<(u16, &str)> = beginning(header)
        .split(',')
        .take(40)
        .filter_map(wish)
        .collect();
    wishes.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    wishes.into_iter().map(|(_, tag)| tag)
}

fn wish(part: &str) -> Option<(u16, &str)> {
    let (tag, parameter) = part.split_once(';').unwrap_or((part, ""));
    let weight = match parameter.trim().strip_prefix("q=") {
        // 0 to 1 with at most three decimals; anything else asks for nothing.
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

/// RFC 4647 §3.4: cut subtags from the end until a language fits.
fn lookup<'a>(languages: &'a Languages, tag: &str) -> Option<&'a Arc<Language>> {
    let mut tag = tag.replace('_', "-").to_ascii_lowercase();
    loop {
        if let Some(found) = languages.get(tag.as_str()) {
            return Some(found);
        }
        tag.truncate(tag.rfind('-')?);
    }
}

fn localizer(languages: &Languages, language: Option<Arc<Language>>) -> Localizer {
    let english = languages
        .get(FALLBACK)
        .cloned()
        .unwrap_or_else(|| Arc::new(Language::empty()));
    let language = language.unwrap_or_else(|| Arc::clone(&english));
    Localizer {
        tag: Arc::clone(&language.tag),
        language,
        english,
    }
}

/// The keys of a shipped language, for tests that compare.
#[cfg(test)]
#[must_use]
pub fn shipped_keys(tag: &str) -> std::collections::BTreeSet<String> {
    load::shipped_keys(tag)
}

#[cfg(test)]
mod tests;
