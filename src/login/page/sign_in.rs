//! The sign-in page.

use askama::Template;
use poem::http::StatusCode;

use crate::web::{filters, locale::Localizer, page::PageContent};

/// `GET /login`, and the refusal of `POST /login/email` before a flow exists.
#[derive(Template)]
#[template(path = "login/sign_in.html", config = ".askama.toml")]
pub struct SignInPage<'a> {
    pub localizer: &'a Localizer,
    /// The value of the address field.
    pub email: &'a str,
    /// The reason why the address was refused.
    pub error: Option<String>,
    /// The display name of the client that asks for the sign-in.
    pub client: Option<&'a str>,
    /// The handle of the client's pending request.
    pub txn: Option<&'a str>,
    /// The query that names the client to the endpoints of the forms; empty without one.
    pub client_query: &'a str,
    pub remember_checked: bool,
    pub form_token: &'a str,
    /// The address of the signed-in user.
    pub signed_in_as: Option<&'a str>,
    /// The client asks for a fresh sign-in, which only an email gives (`prompt=login`, `max_age`).
    pub requires_fresh_sign_in: bool,
    /// OD-10: the address that confirms a fresh sign-in by one press.
    pub confirm_as: Option<&'a str>,
    /// The token of the form that returns to the client; none if no client's page waits.
    pub form_token_cancel: Option<&'a str>,
    /// What happened before, if nothing is wrong.
    pub notice: Option<String>,
    /// The handle of a pending link.
    pub link: Option<&'a str>,
    pub linking: Option<LinkingAccount<'a>>,
    pub providers: &'a [ProviderButton],
}

/// An account at a provider that waits for an address.
#[derive(Clone, Copy, Debug)]
pub struct LinkingAccount<'a> {
    /// The display name of the provider.
    pub provider: &'a str,
    /// The address or name by which the user recognises the account; empty if neither is known.
    pub account: &'a str,
}

/// A button that leads to an upstream provider.
#[derive(Clone, Debug)]
pub struct ProviderButton {
    /// The id of the provider.
    pub id: String,
    pub text: String,
    /// Trusted markup.
    pub icon: &'static str,
    pub form_token: String,
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
        cancel_text(self.localizer, self.client)
    }

    fn confirm_html(&self, email: &str) -> String {
        self.localizer
            .html("sign-in-confirm", &[("email", email.to_owned())])
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

/// Returns the text of the button that returns to the client.
pub(super) fn cancel_text(localizer: &Localizer, client: Option<&str>) -> String {
    match client {
        Some(client) => {
            localizer.text_with("sign-in-cancel-client", &[("client", client.to_owned())])
        }
        None => localizer.text("sign-in-cancel"),
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
