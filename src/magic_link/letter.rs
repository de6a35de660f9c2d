//! What the mails of this room say: pure functions from plain values to a [`Email`].
//!
//! Neither the subject nor the first lines hold the code: both show on lock screens (D6). Each letter names
//! who asked, from where, when, and the only domain at which to type the code. The HTML has one link, nothing to fetch,
//! inline styles only, and no colours but the button's and the frame's, so that light and dark are the mail client's.

use askama::Template;

use crate::{error::InfraError, mail::Email, web::locale::Localizer};

/// What the sign-in letter tells. `place`, `client` and `time` are words for people, in the letter's language.
#[derive(Clone, Copy)]
pub struct SignInLetter<'a> {
    /// The stored address.
    pub to: &'a str,
    /// The whole link, on our own host.
    pub link: &'a str,
    /// The digits of the code, without spaces.
    pub code: &'a str,
    /// How long both live.
    pub minutes: u64,
    /// Browser and system that asked.
    pub device: &'a str,
    /// Roughly where that was, if known.
    pub place: Option<&'a str>,
    /// The name of the application, if one asked.
    pub client: Option<&'a str>,
    /// When it was asked.
    pub time: &'a str,
    /// The host at which to type the code.
    pub domain: &'a str,
}

/// What the letters without secrets tell.
#[derive(Clone, Copy)]
pub struct Notice<'a> {
    /// The stored address.
    pub to: &'a str,
    /// Browser and system that asked; empty if not known.
    pub device: &'a str,
    /// Roughly where that was, if known.
    pub place: Option<&'a str>,
    /// The name of the application, if one asked.
    pub client: Option<&'a str>,
    /// When it was asked.
    pub time: &'a str,
    /// Our host.
    pub domain: &'a str,
}

/// Link and code.
///
/// # Errors
/// Only by a fault of ours in the template.
pub fn sign_in(localizer: &Localizer, of: &SignInLetter<'_>) -> Result<Email, InfraError> {
    let domain = ("domain", one_line(of.domain));
    let minutes = ("minutes", of.minutes.to_string());
    let heading = heading(localizer, "mail-sign-in-heading", of.client, of.domain);
    let notice = Notice {
        to: of.to,
        device: of.device,
        place: of.place,
        client: of.client,
        time: of.time,
        domain: of.domain,
    };
    Body {
        before: vec![localizer.text_with("mail-sign-in-intro", &[minutes])],
        button: Some(Button {
            link: of.link,
            label: localizer.text("mail-sign-in-button"),
        }),
        code: Some(Code {
            intro: localizer.text_with("mail-sign-in-code", std::slice::from_ref(&domain)),
            digits: grouped(of.code),
            plain: if direction(&localizer.tag) == "rtl" {
                of.code.to_owned()
            } else {
                grouped(of.code)
            },
            warning: localizer.text_with("mail-sign-in-code-only", &[domain]),
        }),
        facts_intro: localizer.text("mail-sign-in-facts"),
        after: vec![localizer.text("mail-sign-in-ignore")],
        ..Body::new(localizer, heading, facts(localizer, &notice))
    }
    .letter(of.to)
}

/// Sign-up is closed and nobody has this address here.
///
/// # Errors
/// Only by a fault of ours in the template.
pub fn no_account(localizer: &Localizer, of: &Notice<'_>) -> Result<Email, InfraError> {
    let heading = heading(localizer, "mail-no-account-heading", of.client, of.domain);
    Body {
        before: vec![
            localizer.text_with("mail-no-account-intro", &[("domain", one_line(of.domain))]),
        ],
        facts_intro: localizer.text("mail-no-account-facts"),
        after: vec![localizer.text("mail-no-account-ignore")],
        ..Body::new(localizer, heading, facts(localizer, of))
    }
    .letter(of.to)
}

/// The first proof of this address ended all older access (E2).
///
/// # Errors
/// Only by a fault of ours in the template.
pub fn access_reset(localizer: &Localizer, of: &Notice<'_>) -> Result<Email, InfraError> {
    let domain = ("domain", one_line(of.domain));
    let heading = localizer.text_with("mail-access-reset-heading", std::slice::from_ref(&domain));
    Body {
        before: vec![
            localizer.text_with("mail-access-reset-intro", &[domain]),
            localizer.text("mail-access-reset-again"),
        ],
        facts_intro: localizer.text("mail-access-reset-facts"),
        after: vec![localizer.text("mail-access-reset-ignore")],
        ..Body::new(localizer, heading, facts(localizer, of))
    }
    .letter(of.to)
}

/// A provider was `connected` to the account, or `disconnected` from it (LK-07).
///
/// # Errors
/// Only by a fault of ours in the template.
pub fn provider(
    localizer: &Localizer,
    of: &Notice<'_>,
    provider: &str,
    what: &str,
) -> Result<Email, InfraError> {
    let known = [
        ("provider", one_line(provider)),
        ("domain", one_line(of.domain)),
    ];
    let text = |part: &str| localizer.text_with(&format!("mail-provider-{what}-{part}"), &known);
    Body {
        before: vec![text("intro")],
        facts_intro: localizer.text("mail-provider-facts"),
        after: vec![text("ignore")],
        ..Body::new(localizer, text("heading"), facts(localizer, of))
    }
    .letter(of.to)
}

/// What both forms of a letter are drawn from.
struct Body<'a> {
    lang: &'a str,
    dir: &'static str,
    heading: String,
    before: Vec<String>,
    button: Option<Button<'a>>,
    code: Option<Code>,
    facts_intro: String,
    facts: Vec<Fact>,
    after: Vec<String>,
}

/// Something that is known about who asked: apart for a table, and as a line.
struct Fact {
    label: String,
    value: String,
    line: String,
}

struct Button<'a> {
    link: &'a str,
    label: String,
}

struct Code {
    intro: String,
    digits: String,
    /// For plain text, where nothing keeps two groups in their order within right-to-left text.
    plain: String,
    warning: String,
}

#[derive(Template)]
#[template(path = "magic_link/letter.html", config = ".askama.toml")]
struct Html<'a>(&'a Body<'a>);

#[derive(Template)]
#[template(path = "magic_link/letter.txt", config = ".askama.toml")]
struct Plain<'a>(&'a Body<'a>);

impl<'a> Body<'a> {
    fn new(localizer: &'a Localizer, heading: String, facts: Vec<Fact>) -> Self {
        Self {
            lang: &localizer.tag,
            dir: direction(&localizer.tag),
            heading,
            before: Vec::new(),
            button: None,
            code: None,
            facts_intro: String::new(),
            facts,
            after: Vec::new(),
        }
    }

    fn letter(&self, to: &str) -> Result<Email, InfraError> {
        Ok(Email {
            to: to.to_owned(),
            subject: self.heading.clone(),
            text: Plain(self).render().map_err(InfraError::internal)?,
            html: Html(self).render().map_err(InfraError::internal)?,
            locale: self.lang.to_owned(),
        })
    }
}

/// `Sign in to Lessons (login.example.com)`: the domain is there in any case.
fn heading(localizer: &Localizer, key: &str, client: Option<&str>, domain: &str) -> String {
    let domain = one_line(domain);
    let place = client.map_or_else(
        || domain.clone(),
        |client| format!("{} ({domain})", one_line(client)),
    );
    localizer.text_with(key, &[("what", place)])
}

/// Who asked, from where, when; what is not known is left out.
fn facts(localizer: &Localizer, of: &Notice<'_>) -> Vec<Fact> {
    let device = localizer.device(of.device);
    let known = [
        ("mail-fact-client", of.client),
        ("mail-fact-device", Some(device.as_str())),
        ("mail-fact-place", of.place),
        ("mail-fact-time", Some(of.time)),
        ("mail-fact-domain", Some(of.domain)),
    ];
    let fact = |(key, value): (&str, Option<&str>)| {
        let (label, value) = (
            localizer.text(key),
            one_line(value.filter(|value| !value.is_empty())?),
        );
        let line = localizer.text_with(
            "mail-fact",
            &[("label", label.clone()), ("value", value.clone())],
        );
        Some(Fact { label, value, line })
    };
    known.into_iter().filter_map(fact).collect()
}

/// `1234 5678`: two groups are easier to carry from one screen to another; spaces are ignored when it is typed (D5).
fn grouped(code: &str) -> String {
    let digits: Vec<char> = code.chars().collect();
    let (first, second) = digits.split_at(digits.len().div_ceil(2));
    format!(
        "{} {}",
        first.iter().collect::<String>(),
        second.iter().collect::<String>()
    )
}

/// Names come from outside: they may neither begin a new line nor turn the reading direction of what follows.
fn one_line(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars()
        .filter(|&c| !turns(c))
        .map(|c| {
            if c.is_control() || is_line_end(c) {
                ' '
            } else {
                c
            }
        })
        .collect()
}

const fn is_line_end(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

fn direction(tag: &str) -> &'static str {
    match tag.split('-').next().unwrap_or_default() {
        "ar" | "dv" | "fa" | "he" | "ps" | "sd" | "ug" | "ur" | "yi" => "rtl",
        _ => "ltr",
    }
}

#[cfg(test)]
mod tests;
