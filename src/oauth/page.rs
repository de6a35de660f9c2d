//! The pages of this room: consent, the form_post answer, signing out at a client's wish.

use askama::Template;

use super::scope;
use crate::web::{
    page::{PageContent, Script},
    text::Localizer,
};

/// Asks whether a client may have what it asks for: a third-party one, or any on the person's device.
#[derive(Template)]
#[template(path = "oauth/authorize/consent.html", config = ".askama.toml")]
pub struct Consent<'a> {
    /// The language.
    pub localizer: &'a Localizer,
    /// What people call the client.
    pub client: &'a str,
    /// Whose account.
    pub email: &'a str,
    /// Whether it is one of our own, on the person's device.
    pub first_party: bool,
    /// What it asks for.
    pub scopes: &'a [&'a str],
    /// The handle of the pending request.
    pub txn: &'a str,
    /// Binds the form.
    pub form_token: &'a str,
}

impl Consent<'_> {
    fn heading(&self) -> String {
        self.localizer
            .html("consent-title", &[("client", self.client.to_owned())])
    }

    fn lede(&self) -> String {
        let email = ("email", self.email.to_owned());
        let key = if self.first_party {
            "consent-lede-device"
        } else {
            "consent-lede"
        };
        self.localizer
            .html(key, &[("client", self.client.to_owned()), email])
    }

    /// What we know of by its own words; a name of an API's as the API calls it.
    fn scope(&self, name: &str) -> String {
        if scope::SUPPORTED.contains(&name) {
            return self.localizer.text(&format!("consent-scope-{name}"));
        }
        self.localizer
            .text_with("consent-scope-of-api", &[("scope", name.to_owned())])
    }
}

impl PageContent for Consent<'_> {
    fn localizer(&self) -> &Localizer {
        self.localizer
    }
    fn title(&self) -> String {
        self.localizer
            .text_with("consent-title", &[("client", self.client.to_owned())])
    }
}

/// Carries an authorization response to the client by a form (OAuth 2.0 Form Post Response Mode §2).
#[derive(Template)]
#[template(path = "oauth/authorize/form_post.html", config = ".askama.toml")]
pub struct FormPost<'a> {
    /// The language.
    pub localizer: &'a Localizer,
    /// The verified redirect URI.
    pub action: &'a str,
    /// The response.
    pub fields: &'a [(&'a str, &'a str)],
}

impl PageContent for FormPost<'_> {
    fn localizer(&self) -> &Localizer {
        self.localizer
    }
    fn title(&self) -> String {
        self.localizer.text("form-post-title")
    }
    fn script(&self) -> Option<Script> {
        Some(Script {
            source: include_str!("authorize/form_post.js"),
            connects: false,
        })
    }
    fn referrer(&self) -> &'static str {
        "no-referrer"
    }
    fn posts_to_other_origin(&self) -> bool {
        true
    }
}

/// Asks whether to sign out, when the client could not show whose session it means.
#[derive(Template)]
#[template(path = "oauth/logout.html", config = ".askama.toml")]
pub struct Logout<'a> {
    /// The language.
    pub localizer: &'a Localizer,
    /// Who is signed in.
    pub email: &'a str,
    /// Where to go afterwards.
    pub after: Option<&'a str>,
    /// Binds the form, and that.
    pub form_token: &'a str,
}

impl Logout<'_> {
    fn lede(&self) -> String {
        self.localizer
            .html("logout-lede", &[("email", self.email.to_owned())])
    }
}

impl PageContent for Logout<'_> {
    fn localizer(&self) -> &Localizer {
        self.localizer
    }
    fn title(&self) -> String {
        self.localizer.text("logout-title")
    }
}
