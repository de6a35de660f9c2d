//! The page that waits for the link and accepts the code.

use askama::Template;
use poem::http::StatusCode;

use super::sign_in::cancel_text;
use crate::web::{
    locale::Localizer,
    page::{PageContent, Script},
};

/// `GET /login/sent`.
#[derive(Template)]
#[template(path = "login/sent.html", config = ".askama.toml")]
pub struct SentPage<'a> {
    pub localizer: &'a Localizer,
    /// The id of the flow.
    pub flow: &'a str,
    /// The address as the user entered it.
    pub email: &'a str,
    /// The reason why the code or the resend was refused.
    pub error: Option<String>,
    /// Seconds until the next email may be requested; 0 means now.
    pub resend_after_seconds: u64,
    /// Whether the flow may send another email at all.
    pub can_resend: bool,
    pub form_token_code: &'a str,
    pub form_token_resend: &'a str,
    /// The token of the form that returns to the client; none if no client's page waits.
    pub form_token_cancel: Option<&'a str>,
    /// The display name of the client that asks for the sign-in.
    pub client: Option<&'a str>,
    /// The link that starts over with another address.
    pub restart_href: &'a str,
    /// The number of digits of a code.
    pub code_digits: u32,
    /// The address of another user who is signed in in this browser (C7).
    pub switch_from: Option<&'a str>,
    /// The code was sent without the consent to leave that session: ask again, plainly.
    pub switch_asked: bool,
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
        cancel_text(self.localizer, self.client)
    }

    fn pause(&self) -> String {
        self.localizer.text_with(
            "sent-resend-pause",
            &[("seconds", self.resend_after_seconds.to_string())],
        )
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
            source: include_str!("../waiting.js"),
            connects: true,
        })
    }
}
