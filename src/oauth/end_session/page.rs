//! The page that asks whether to sign out, and names what is wrong with the client's request.

use askama::Template;
use poem::http::StatusCode;

use super::request::LogoutRequestError;
use crate::web::{filters, locale::Localizer, page::PageContent};

/// Asks whether to sign out, where the client did not show whose session it means. With a fault it
/// says what is wrong and that the browser is not sent back (OC-2).
#[derive(Template)]
#[template(path = "oauth/logout.html", config = ".askama.toml")]
pub(super) struct LogoutPage<'a> {
    pub(super) localizer: &'a Localizer,
    pub(super) fault: Option<LogoutRequestError>,
    /// None for a visitor who is not signed in.
    pub(super) question: Option<Question<'a>>,
}

/// What a signed-in user is asked.
pub(super) struct Question<'a> {
    /// The address of the signed-in user.
    pub(super) email: &'a str,
    /// The destination, which the form token covers.
    pub(super) after: Option<&'a str>,
    pub(super) form_token: &'a str,
}

impl LogoutPage<'_> {
    fn lede(&self, email: &str) -> String {
        self.localizer
            .html("logout-lede", &[("email", email.to_owned())])
    }

    fn fault_label(fault: &LogoutRequestError) -> &'static str {
        if fault.is_missing {
            "logout-fault-missing"
        } else {
            "error-parameter"
        }
    }
}

impl PageContent for LogoutPage<'_> {
    fn localizer(&self) -> &Localizer {
        self.localizer
    }
    fn title(&self) -> String {
        self.localizer.text(match self.question {
            Some(_) => "logout-title",
            None => "logout-none-title",
        })
    }
    fn status(&self) -> StatusCode {
        match self.fault {
            Some(_) => StatusCode::BAD_REQUEST,
            None => StatusCode::OK,
        }
    }
}
