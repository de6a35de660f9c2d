//! The page that waits for the link and accepts the code.

use askama::Template;

use super::sign_in::cancel_text;
use crate::web::{
    filters,
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
    /// Seconds until an email may go to this address again, if the last one was withheld.
    pub withheld_for_seconds: Option<u64>,
    /// What was entered then.
    pub entered: &'a str,
    /// The attempts that are left after a wrong code; none before one.
    pub tries_left: Option<u32>,
    /// How long the link and the code of an email work.
    pub minutes: u64,
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
    /// The link that goes on after the link of the email was opened.
    pub continue_href: &'a str,
    /// The link that starts over, with the address to be changed.
    pub restart_href: &'a str,
    /// Whether the page there offers other ways to sign in.
    pub has_providers: bool,
    /// The query that names the client to the endpoints of the forms; empty without one.
    pub client_query: &'a str,
    /// The number of digits of a code.
    pub code_digits: u32,
    /// The id of the text that says why the email does not arrive; empty if it is not known.
    pub email_problem: &'a str,
    /// The address of another user who is signed in in this browser (C7).
    pub switch_from: Option<&'a str>,
    /// The code was sent without the consent to leave that session: ask again, plainly.
    pub switch_asked: bool,
}

impl SentPage<'_> {
    fn heading(&self) -> String {
        self.localizer.text(match self.withheld_for_seconds {
            Some(_) => "sent-withheld-title",
            None => "sent-title",
        })
    }

    fn lede(&self) -> String {
        self.localizer
            .html("sent-lede", &[("email", self.email.to_owned())])
    }

    /// OA-1: says when an email may go to the address again, in minutes or hours.
    fn withheld(&self) -> Option<String> {
        let minutes = self.withheld_for_seconds?.div_ceil(60).max(1);
        Some(if minutes > 120 {
            let hours = ("hours", minutes.div_ceil(60).to_string());
            self.localizer.text_with("sent-withheld-hours", &[hours])
        } else {
            let minutes = ("minutes", minutes.to_string());
            self.localizer
                .text_with("sent-withheld-minutes", &[minutes])
        })
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

    /// The script of the page counts the time down.
    fn pause(&self) -> String {
        let (minutes, seconds) = (
            self.resend_after_seconds / 60,
            self.resend_after_seconds % 60,
        );
        let time = format!("{minutes}:{seconds:02}");
        self.localizer.html("sent-resend-pause", &[("time", time)])
    }

    fn lifetime(&self) -> String {
        self.localizer
            .text_with("sent-lifetime", &[("minutes", self.minutes.to_string())])
    }

    fn has_tries(&self) -> bool {
        self.tries_left != Some(0)
    }

    /// Returns how many attempts are left, once one was wrong.
    fn attempts(&self) -> Option<String> {
        let count = self.tries_left.filter(|count| *count > 0)?;
        let text = self
            .localizer
            .text_with("sent-tries-left", &[("count", count.to_string())]);
        Some(text)
    }

    fn restart_way(&self) -> String {
        self.localizer.text(if self.has_providers {
            "sent-way-restart-providers"
        } else {
            "sent-way-restart"
        })
    }
}

impl PageContent for SentPage<'_> {
    fn localizer(&self) -> &Localizer {
        self.localizer
    }
    fn title(&self) -> String {
        let title = self.heading();
        match self.error.is_some() || !self.has_tries() {
            true => (self.localizer).text_with("error-window-title", &[("title", title)]),
            false => title,
        }
    }
    fn script(&self) -> Option<Script> {
        Some(Script {
            source: include_str!("../waiting.js"),
            connects: true,
        })
    }
}
