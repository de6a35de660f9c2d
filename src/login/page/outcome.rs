//! The pages after a sign-in and after signing out.

use askama::Template;

use crate::web::{filters, locale::Localizer, page::PageContent};

/// Leads on with status 200, because Chromium applies `form-action` to every redirect after a form.
#[derive(Template)]
#[template(path = "login/continue.html", config = ".askama.toml")]
pub struct ContinuePage<'a> {
    pub localizer: &'a Localizer,
    /// A path of ours or a verified redirect.
    pub href: &'a str,
}

/// The user is signed in, and another tab has continued to the client: this one leads there, too.
#[derive(Template)]
#[template(path = "login/signed_in.html", config = ".askama.toml")]
pub struct SignedInPage<'a> {
    pub localizer: &'a Localizer,
    /// The display name of the client.
    pub client: Option<&'a str>,
    /// The home page of the client, if it has one.
    pub client_href: Option<&'a str>,
}

/// The user is signed out.
#[derive(Template)]
#[template(path = "login/signed_out.html", config = ".askama.toml")]
pub struct SignedOutPage<'a> {
    pub localizer: &'a Localizer,
    /// The verified redirect back to the application, if it asked for one.
    pub next_href: Option<&'a str>,
    /// All sessions of the user have ended.
    pub is_everywhere: bool,
}

impl SignedInPage<'_> {
    fn lede(&self) -> String {
        match self.client {
            Some(client) => self
                .localizer
                .html("signed-in-lede", &[("client", client.to_owned())]),
            None => self.localizer.html("signed-in-lede-account", &[]),
        }
    }

    fn open(&self) -> String {
        let client = self.client.unwrap_or_default().to_owned();
        self.localizer
            .text_with("signed-in-open", &[("client", client)])
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

impl PageContent for SignedOutPage<'_> {
    fn localizer(&self) -> &Localizer {
        self.localizer
    }
    fn title(&self) -> String {
        self.localizer.text("signed-out-title")
    }
}
