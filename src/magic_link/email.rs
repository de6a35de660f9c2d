//! The emails of sign-in and of account changes: pure functions from plain values to an [`Email`].
//!
//! Neither the subject nor the first lines hold the code: both show on lock screens (D6). Each email
//! names who requested it, from where and when, and the only domain at which to enter the code. The HTML
//! has one link, nothing to fetch, inline styles only, and no colours but those of the button and the
//! frame, so that light and dark follow the mail client.

use askama::Template;

use crate::{error::InfraError, mail::Email, web::locale::Localizer};

/// The facts that every email states. All are plain words in the email's language.
#[derive(Clone, Copy)]
pub(super) struct EmailFacts<'a> {
    /// The stored address of the recipient.
    pub to: &'a str,
    /// The browser and system of the request; empty if unknown.
    pub device: &'a str,
    /// The approximate location of the request, if known.
    pub place: Option<&'a str>,
    /// The display name of the client that asks for the sign-in, if any.
    pub client: Option<&'a str>,
    /// When the email was requested.
    pub time: &'a str,
    /// Our host.
    pub domain: &'a str,
}

/// The secrets of a sign-in email.
#[derive(Clone, Copy)]
pub(super) struct SignInSecrets<'a> {
    /// The whole URL of the link, on our own host.
    pub link: &'a str,
    /// The digits of the code, without spaces.
    pub code: &'a str,
    /// How long both are valid.
    pub minutes: u64,
}

/// What happened to an account at a provider.
#[derive(Clone, Copy, Debug)]
pub(super) enum ProviderChange {
    Connected,
    Disconnected,
}

/// The sign-in email, with link and code.
pub(super) fn sign_in(
    localizer: &Localizer,
    facts: &EmailFacts<'_>,
    secrets: &SignInSecrets<'_>,
) -> Result<Email, InfraError> {
    let domain = ("domain", one_line(facts.domain));
    let minutes = ("minutes", secrets.minutes.to_string());
    let is_rtl = localizer.direction() == "rtl";
    EmailBody {
        before: vec![localizer.text_with("mail-sign-in-intro", &[minutes])],
        button: Some(Button {
            link: secrets.link,
            label: localizer.text("mail-sign-in-button"),
        }),
        code: Some(CodeSection {
            intro: localizer.text_with("mail-sign-in-code", std::slice::from_ref(&domain)),
            digits: grouped(secrets.code),
            plain: if is_rtl {
                secrets.code.to_owned()
            } else {
                grouped(secrets.code)
            },
            warning: localizer.text_with("mail-sign-in-code-only", &[domain]),
        }),
        facts_intro: localizer.text("mail-sign-in-facts"),
        after: vec![localizer.text("mail-sign-in-ignore")],
        ..EmailBody::new(
            localizer,
            heading(localizer, "mail-sign-in-heading", facts),
            facts,
        )
    }
    .render(facts.to)
}

/// The email to an address that no user has, while sign-up is closed.
pub(super) fn no_account(
    localizer: &Localizer,
    facts: &EmailFacts<'_>,
) -> Result<Email, InfraError> {
    let domain = ("domain", one_line(facts.domain));
    EmailBody {
        before: vec![localizer.text_with("mail-no-account-intro", &[domain])],
        facts_intro: localizer.text("mail-no-account-facts"),
        after: vec![localizer.text("mail-no-account-ignore")],
        ..EmailBody::new(
            localizer,
            heading(localizer, "mail-no-account-heading", facts),
            facts,
        )
    }
    .render(facts.to)
}

/// The email that says that the first verification of an address ended all earlier access (E2).
pub(super) fn access_reset(
    localizer: &Localizer,
    facts: &EmailFacts<'_>,
) -> Result<Email, InfraError> {
    let domain = ("domain", one_line(facts.domain));
    let heading = localizer.text_with("mail-access-reset-heading", std::slice::from_ref(&domain));
    EmailBody {
        before: vec![
            localizer.text_with("mail-access-reset-intro", &[domain]),
            localizer.text("mail-access-reset-again"),
        ],
        facts_intro: localizer.text("mail-access-reset-facts"),
        after: vec![localizer.text("mail-access-reset-ignore")],
        ..EmailBody::new(localizer, heading, facts)
    }
    .render(facts.to)
}

/// The email that says that a provider was connected or disconnected (LK-07).
pub(super) fn provider_changed(
    localizer: &Localizer,
    facts: &EmailFacts<'_>,
    provider: &str,
    change: ProviderChange,
) -> Result<Email, InfraError> {
    let values = [
        ("provider", one_line(provider)),
        ("domain", one_line(facts.domain)),
    ];
    let (heading, intro, ignore) = match change {
        ProviderChange::Connected => (
            "mail-provider-connected-heading",
            "mail-provider-connected-intro",
            "mail-provider-connected-ignore",
        ),
        ProviderChange::Disconnected => (
            "mail-provider-disconnected-heading",
            "mail-provider-disconnected-intro",
            "mail-provider-disconnected-ignore",
        ),
    };
    EmailBody {
        before: vec![localizer.text_with(intro, &values)],
        facts_intro: localizer.text("mail-provider-facts"),
        after: vec![localizer.text_with(ignore, &values)],
        ..EmailBody::new(localizer, localizer.text_with(heading, &values), facts)
    }
    .render(facts.to)
}

/// What both parts of an email are rendered from.
struct EmailBody<'a> {
    lang: &'a str,
    dir: &'static str,
    heading: String,
    before: Vec<String>,
    button: Option<Button<'a>>,
    code: Option<CodeSection>,
    facts_intro: String,
    facts: Vec<Fact>,
    after: Vec<String>,
}

/// One fact about the request: apart for a table, and as a line.
struct Fact {
    label: String,
    value: String,
    line: String,
}

struct Button<'a> {
    link: &'a str,
    label: String,
}

struct CodeSection {
    intro: String,
    digits: String,
    /// The code for the text part, where nothing keeps two groups in their order within right-to-left text.
    plain: String,
    warning: String,
}

#[derive(Template)]
#[template(path = "magic_link/email.html", config = ".askama.toml")]
struct HtmlPart<'a> {
    email: &'a EmailBody<'a>,
}

#[derive(Template)]
#[template(path = "magic_link/email.txt", config = ".askama.toml")]
struct TextPart<'a> {
    email: &'a EmailBody<'a>,
}

impl<'a> EmailBody<'a> {
    fn new(localizer: &'a Localizer, heading: String, facts: &EmailFacts<'_>) -> Self {
        Self {
            lang: &localizer.tag,
            dir: localizer.direction(),
            heading,
            before: Vec::new(),
            button: None,
            code: None,
            facts_intro: String::new(),
            facts: fact_lines(localizer, facts),
            after: Vec::new(),
        }
    }

    fn render(&self, to: &str) -> Result<Email, InfraError> {
        let text = TextPart { email: self }.render();
        let html = HtmlPart { email: self }.render();
        Ok(Email {
            to: to.to_owned(),
            subject: self.heading.clone(),
            text: text.map_err(InfraError::internal)?,
            html: html.map_err(InfraError::internal)?,
            locale: self.lang.to_owned(),
        })
    }
}

/// `Sign in to Lessons (login.example.com)`: the domain is always there.
fn heading(localizer: &Localizer, key: &str, facts: &EmailFacts<'_>) -> String {
    let domain = one_line(facts.domain);
    let what = match facts.client {
        Some(client) => format!("{} ({domain})", one_line(client)),
        None => domain,
    };
    localizer.text_with(key, &[("what", what)])
}

/// Returns who requested the email, from where and when, without what is unknown.
fn fact_lines(localizer: &Localizer, facts: &EmailFacts<'_>) -> Vec<Fact> {
    let device = localizer.device(facts.device);
    let values = [
        ("mail-fact-client", facts.client),
        ("mail-fact-device", Some(device.as_str())),
        ("mail-fact-place", facts.place),
        ("mail-fact-time", Some(facts.time)),
        ("mail-fact-domain", Some(facts.domain)),
    ];
    let fact = |(key, value): (&str, Option<&str>)| {
        let value = one_line(value.filter(|value| !value.is_empty())?);
        let label = localizer.text(key);
        let line = localizer.text_with(
            "mail-fact",
            &[("label", label.clone()), ("value", value.clone())],
        );
        Some(Fact { label, value, line })
    };
    values.into_iter().filter_map(fact).collect()
}

/// `1234 5678`: two groups are easier to carry from one screen to another. Spaces are ignored on entry (D5).
fn grouped(code: &str) -> String {
    let digits: Vec<char> = code.chars().collect();
    let (first, second) = digits.split_at(digits.len().div_ceil(2));
    format!(
        "{} {}",
        first.iter().collect::<String>(),
        second.iter().collect::<String>()
    )
}

/// Returns a name on one line. Names come from outside: they may neither start a new line nor turn the
/// reading direction of what follows.
fn one_line(text: &str) -> String {
    let turns_direction = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let ends_line = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    text.chars()
        .filter(|&c| !turns_direction(c))
        .map(|c| if ends_line(c) { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests;
