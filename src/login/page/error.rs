//! The error page.

use askama::Template;
use poem::http::StatusCode;

use crate::web::{again::TryAgain, filters, locale::Localizer, page::PageContent};

/// Something is wrong, in words for people.
#[derive(Template)]
#[template(path = "login/error.html", config = ".askama.toml")]
pub struct ErrorPage<'a> {
    pub localizer: &'a Localizer,
    pub status: StatusCode,
    pub title: String,
    /// What happened, and what to do.
    pub message: String,
    /// The name of the parameter at fault, for the developer of the client.
    pub parameter: Option<&'a str>,
    pub next_href: Option<&'a str>,
    /// The text of the link; the default leads to a new sign-in.
    pub next_label: Option<String>,
    /// How the user sends the request again. It takes the place of the link.
    pub again: Option<TryAgain>,
    /// The request id, which identifies the event in the log; none if it has no line there.
    pub reference: Option<&'a str>,
}

impl<'a> ErrorPage<'a> {
    /// Returns the page with the texts of `key` and `{key}-title`, and with no link.
    #[must_use]
    pub fn with_texts(
        localizer: &'a Localizer,
        status: StatusCode,
        key: &str,
        reference: impl Into<Option<&'a str>>,
    ) -> Self {
        let title = match key {
            "error-internal" => localizer.text("error-title"),
            _ => localizer.text(&format!("{key}-title")),
        };
        Self {
            localizer,
            status,
            title,
            message: localizer.text(key),
            parameter: None,
            next_href: None,
            next_label: None,
            again: None,
            reference: reference.into(),
        }
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
