//! The pages of signing in: plain values in, HTML out. What they show is decided elsewhere.
//!
//! Names of fields, forms and ids are a contract with the endpoints and the browser tests. Every page works without
//! scripts; the waiting page and the link page spare a click with one.

use askama::Template;
use poem::http::StatusCode;

use crate::{
    login::provider_buttons::ProviderButton,
    web::{
        page::{PageContent, Script},
        text::Localizer,
    },
};

/// `GET /login`, and the refusal of `POST /login/email` before a flow exists.
#[derive(Template)]
#[template(path = "login/sign_in.html", config = ".askama.toml")]
pub struct SignInPage<'a> {
    /// Its language.
    pub localizer: &'a Localizer,
    /// What stands in the field: what was typed, or a hint.
    pub email: &'a str,
    /// Why it did not go on.
    pub error: Option<String>,
    /// Name of the application that asked.
    pub client: Option<&'a str>,
    /// The pending client request.
    pub txn: Option<&'a str>,
    /// Whether the box is ticked.
    pub remember_checked: bool,
    /// Form token.
    pub form_token: &'a str,
    /// The address signed in at the moment.
    pub signed_in_as: Option<&'a str>,
    /// The client asks for fresh proof, which only mail gives (`prompt=login`, `max_age`).
    pub requires_fresh_sign_in: bool,
    /// For the form that goes back to the client without signing in; none where no client's page waits.
    pub form_token_cancel: Option<&'a str>,
    /// What happened before, where nothing is wrong.
    pub notice: Option<String>,
    /// The handle of an account at a provider that waits for the address.
    pub link: Option<&'a str>,
    /// That account.
    pub linking: Option<LinkingAccount<'a>>,
    /// The providers to sign in with instead.
    pub providers: &'a [ProviderButton],
}

/// An account at a provider that waits for an address.
#[derive(Clone, Copy, Debug)]
pub struct LinkingAccount<'a> {
    /// What people call the provider.
    pub provider: &'a str,
    /// How the person recognises the account; empty if nothing is known of it.
    pub account: &'a str,
}

/// `GET /login/sent`: waits for the link, takes the code.
#[derive(Template)]
#[template(path = "login/sent.html", config = ".askama.toml")]
pub struct SentPage<'a> {
    /// Its language.
    pub localizer: &'a Localizer,
    /// The flow's id.
    pub flow: &'a str,
    /// The address as it was typed.
    pub email: &'a str,
    /// Why the code or the resend was refused.
    pub error: Option<String>,
    /// Seconds until another mail may be asked for; 0: now.
    pub resend_after_seconds: u64,
    /// Whether the flow may send again at all.
    pub can_resend: bool,
    /// Form token of the code.
    pub form_token_code: &'a str,
    /// Form token of the resend.
    pub form_token_resend: &'a str,
    /// For the form that goes back to the client without signing in; none where no client's page waits.
    pub form_token_cancel: Option<&'a str>,
    /// Name of the application that asked.
    pub client: Option<&'a str>,
    /// Where to begin again with another address.
    pub restart_href: &'a str,
    /// Digits of a code.
    pub code_digits: u32,
    /// Somebody else is signed in in this browser: their address (magic-link C7).
    pub switch_from: Option<&'a str>,
    /// The code was sent without agreeing to leave that session: ask once more, plainly.
    pub switch_asked: bool,
}

/// What the link page asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkMode<'a> {
    /// Go on. With `auto` it does so by itself; left out where `Sec-Purpose` says that nobody looks.
    Confirm {
        /// Posts by itself.
        auto: bool,
    },
    /// Someone else is signed in here: ask first.
    SwitchUser {
        /// Their address.
        current: &'a str,
    },
}

/// `GET /login/link/{token}` in the browser that asked.
#[derive(Template)]
#[template(path = "login/link.html", config = ".askama.toml")]
pub struct LinkPage<'a> {
    /// Its language.
    pub localizer: &'a Localizer,
    /// What it asks.
    pub mode: LinkMode<'a>,
    /// The path with the token.
    pub action_path: &'a str,
    /// Form token.
    pub form_token: &'a str,
    /// The address, partly hidden.
    pub email_masked: &'a str,
}

/// A link opened where it was not asked for, and just the same an unknown or dead one: nothing is told apart, nothing
/// can be consumed.
#[derive(Template)]
#[template(path = "login/elsewhere.html", config = ".askama.toml")]
pub struct ElsewherePage<'a> {
    /// Its language.
    pub localizer: &'a Localizer,
    /// The waiting page of a flow that this browser itself has open.
    pub flow_href: Option<&'a str>,
    /// Where to begin here.
    pub restart_href: &'a str,
}

/// Leads on with status 200, because Chromium holds `form-action` against every redirect after a form.
#[derive(Template)]
#[template(path = "login/continue.html", config = ".askama.toml")]
pub struct ContinuePage<'a> {
    /// Its language.
    pub localizer: &'a Localizer,
    /// Where to: a path of ours or a verified redirect.
    pub href: &'a str,
}

/// Signed in, and nothing further to do in this window.
#[derive(Template)]
#[template(path = "login/signed_in.html", config = ".askama.toml")]
pub struct SignedInPage<'a> {
    /// Its language.
    pub localizer: &'a Localizer,
}

/// Something is wrong, in words for people.
#[derive(Template)]
#[template(path = "login/error.html", config = ".askama.toml")]
pub struct ErrorPage<'a> {
    /// Its language.
    pub localizer: &'a Localizer,
    /// Status of the answer.
    pub status: StatusCode,
    /// What it is, in a few words.
    pub title: String,
    /// What happened and what to do.
    pub message: String,
    /// The name of a parameter that is wrong, for the one who wrote the client.
    pub parameter: Option<&'a str>,
    /// Where to go on.
    pub next_href: Option<&'a str>,
    /// How that is called; without it, "Sign in".
    pub next_label: Option<String>,
    /// Names this event in our log.
    pub reference: Option<&'a str>,
}

/// `GET /logged-out`.
#[derive(Template)]
#[template(path = "login/signed_out.html", config = ".askama.toml")]
pub struct SignedOutPage<'a> {
    /// Its language.
    pub localizer: &'a Localizer,
    /// Back to the application, if one asked.
    pub next_href: Option<&'a str>,
}

impl<'a> ErrorPage<'a> {
    /// The page for a status alone, with words that say no cause. `reference` names the event in our log.
    #[must_use]
    pub fn of(localizer: &'a Localizer, status: StatusCode, reference: Option<&'a str>) -> Self {
        let (title, message) = match status {
            StatusCode::NOT_FOUND => (
                localizer.text("error-not-found-title"),
                localizer.text("error-not-found"),
            ),
            StatusCode::FORBIDDEN => (
                localizer.text("error-stale-title"),
                localizer.text("error-stale"),
            ),
            StatusCode::GONE => (
                localizer.text("error-expired-title"),
                localizer.text("error-expired"),
            ),
            StatusCode::TOO_MANY_REQUESTS => (
                localizer.text("error-busy-title"),
                localizer.text("error-busy"),
            ),
            StatusCode::SERVICE_UNAVAILABLE => (
                localizer.text("error-away-title"),
                localizer.text("error-away"),
            ),
            status if status.is_client_error() => (
                localizer.text("error-request-title"),
                localizer.text("error-request"),
            ),
            _ => (
                localizer.text("error-title"),
                localizer.text("error-internal"),
            ),
        };
        let next_href = status.is_client_error().then_some("/login");
        Self {
            localizer,
            status,
            title,
            message,
            parameter: None,
            next_href,
            next_label: None,
            reference,
        }
    }

    /// The browser sent back no cookie of ours.
    #[must_use]
    pub fn without_cookies(localizer: &'a Localizer) -> Self {
        let (title, message) = (
            localizer.text("error-cookies-title"),
            localizer.text("error-cookies"),
        );
        Self {
            title,
            message,
            ..Self::of(localizer, StatusCode::FORBIDDEN, None)
        }
    }
}

fn cancel(localizer: &Localizer, client: Option<&str>) -> String {
    match client {
        Some(client) => {
            localizer.text_with("sign-in-cancel-client", &[("client", client.to_owned())])
        }
        None => localizer.text("sign-in-cancel"),
    }
}

impl SignInPage<'_> {
    fn heading(&self) -> String {
        match self.client {
            Some(client) => self
                .localizer
                .html("sign-in-title-client", &[("client", client.to_owned())]),
            None => self.localizer.html("sign-in-title", &[]),
        }
    }

    fn cancel(&self) -> String {
        cancel(self.localizer, self.client)
    }

    fn signed_in_html(&self, email: &str) -> String {
        self.localizer
            .html("sign-in-signed-in", &[("email", email.to_owned())])
    }
}

impl LinkingAccount<'_> {
    fn lede(&self, localizer: &Localizer) -> String {
        let (provider, account) = (
            ("provider", self.provider.to_owned()),
            ("account", self.account.to_owned()),
        );
        match self.account {
            "" => localizer.html("sign-in-linking-nameless", &[provider]),
            _ => localizer.html("sign-in-linking", &[provider, account]),
        }
    }
}

impl SentPage<'_> {
    fn lede(&self) -> String {
        self.localizer
            .html("sent-lede", &[("email", self.email.to_owned())])
    }

    fn digits(&self) -> String {
        self.localizer.text_with(
            "sent-code-hint",
            &[("digits", self.code_digits.to_string())],
        )
    }

    fn cancel(&self) -> String {
        cancel(self.localizer, self.client)
    }

    fn pause(&self) -> String {
        self.localizer.text_with(
            "sent-resend-pause",
            &[("seconds", self.resend_after_seconds.to_string())],
        )
    }
}

impl LinkPage<'_> {
    fn lede(&self) -> String {
        let email = ("email", self.email_masked.to_owned());
        match self.mode {
            LinkMode::Confirm { .. } => self.localizer.html("link-lede", &[email]),
            LinkMode::SwitchUser { current } => self.localizer.html(
                "link-switch-lede",
                &[email, ("current", current.to_owned())],
            ),
        }
    }

    const fn is_auto(&self) -> bool {
        matches!(self.mode, LinkMode::Confirm { auto: true })
    }

    const fn switches(&self) -> bool {
        matches!(self.mode, LinkMode::SwitchUser { .. })
    }
}

impl PageContent for SignInPage<'_> {
    fn localizer(&self) -> &Localizer {
        self.localizer
    }
    fn title(&self) -> String {
        self.localizer.text("sign-in-title")
    }
    fn status(&self) -> StatusCode {
        if self.error.is_some() {
            StatusCode::UNPROCESSABLE_ENTITY
        } else {
            StatusCode::OK
        }
    }
}

impl PageContent for SentPage<'_> {
    fn localizer(&self) -> &Localizer {
        self.localizer
    }
    fn title(&self) -> String {
        self.localizer.text("sent-title")
    }
    fn status(&self) -> StatusCode {
        if self.error.is_some() {
            StatusCode::UNPROCESSABLE_ENTITY
        } else {
            StatusCode::OK
        }
    }
    fn script(&self) -> Option<Script> {
        Some(Script {
            source: include_str!("waiting.js"),
            connects: true,
        })
    }
}

impl PageContent for LinkPage<'_> {
    fn localizer(&self) -> &Localizer {
        self.localizer
    }
    fn title(&self) -> String {
        self.localizer.text("link-title")
    }
    fn script(&self) -> Option<Script> {
        Some(Script {
            source: include_str!("link.js"),
            connects: false,
        })
    }
    fn referrer(&self) -> &'static str {
        "no-referrer"
    }
}

impl PageContent for ElsewherePage<'_> {
    fn localizer(&self) -> &Localizer {
        self.localizer
    }
    fn title(&self) -> String {
        self.localizer.text("elsewhere-title")
    }
    // Its address holds the secret too, and it is scrubbed as on the link page.
    fn script(&self) -> Option<Script> {
        Some(Script {
            source: include_str!("link.js"),
            connects: false,
        })
    }
    fn referrer(&self) -> &'static str {
        "no-referrer"
    }
}

impl PageContent for ContinuePage<'_> {
    fn localizer(&self) -> &Localizer {
        self.localizer
    }
    fn title(&self) -> String {
        self.localizer.text("continue-title")
    }
    fn refresh(&self) -> Option<&str> {
        Some(self.href)
    }
    fn referrer(&self) -> &'static str {
        "no-referrer"
    }
}

impl PageContent for SignedInPage<'_> {
    fn localizer(&self) -> &Localizer {
        self.localizer
    }
    fn title(&self) -> String {
        self.localizer.text("signed-in-title")
    }
}

impl PageContent for ErrorPage<'_> {
    fn localizer(&self) -> &Localizer {
        self.localizer
    }
    fn title(&self) -> String {
        self.title.clone()
    }
    fn status(&self) -> StatusCode {
        self.status
    }
}

impl PageContent for SignedOutPage<'_> {
    fn localizer(&self) -> &Localizer {
        self.localizer
    }
    fn title(&self) -> String {
        self.localizer.text("signed-out-title")
    }
}

#[cfg(test)]
mod tests;
