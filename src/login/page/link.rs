//! The page behind the link in an email, in the browser that requested it and in any other.

use askama::Template;
use poem::http::StatusCode;

use crate::web::{
    filters,
    locale::Localizer,
    page::{PageContent, Script},
};

/// What the link page asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkMode<'a> {
    /// The user may continue.
    Confirm {
        /// The form submits itself. Left out where `Sec-Purpose` says that no user looks at the
        /// page.
        auto: bool,
    },
    /// Leave the session of another user who is signed in here.
    SwitchUser {
        /// The address of that user.
        current: &'a str,
    },
}

/// `GET /login/link/{token}` in the browser that requested the email.
#[derive(Template)]
#[template(path = "login/link.html", config = ".askama.toml")]
pub struct LinkPage<'a> {
    pub localizer: &'a Localizer,
    pub mode: LinkMode<'a>,
    /// The path with the token.
    pub action_path: &'a str,
    pub form_token: &'a str,
    /// The address, partly hidden.
    pub email_masked: &'a str,
    /// Where a user goes who stays signed in as another one.
    pub stay_href: &'a str,
}

/// Why a live link is not used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElsewhereReason {
    OtherBrowser,
    /// This browser started the sign-in, and is too old to say which page sent the form (ST-06).
    OldBrowser,
}

/// `GET /login/link/{token}` in any other browser: the page consumes nothing.
#[derive(Template)]
#[template(path = "login/elsewhere.html", config = ".askama.toml")]
pub struct ElsewherePage<'a> {
    pub localizer: &'a Localizer,
    pub reason: ElsewhereReason,
    /// The waiting page of a flow that this browser has open.
    pub flow_href: Option<&'a str>,
    /// The link that starts a sign-in here.
    pub restart_href: &'a str,
}

/// A link that signs no browser in any more, wherever it is opened (OD-12).
#[derive(Template)]
#[template(path = "login/dead_link.html", config = ".askama.toml")]
pub struct DeadLinkPage<'a> {
    pub localizer: &'a Localizer,
    pub reason: DeadLinkReason,
    /// How long a link works.
    pub minutes: u64,
    pub next_href: &'a str,
    pub next_label: &'a str,
}

/// Why a link is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadLinkReason {
    Used,
    /// Its time is over, or later emails have replaced it, or the sign-in was cancelled.
    Expired,
    /// No email had it, or it was long ago.
    Unknown,
}

impl DeadLinkPage<'_> {
    const fn key(&self) -> &'static str {
        match self.reason {
            DeadLinkReason::Used => "dead-link-used",
            DeadLinkReason::Expired => "dead-link-expired",
            DeadLinkReason::Unknown => "dead-link-unknown",
        }
    }

    fn heading(&self) -> String {
        self.localizer.text(&format!("{}-title", self.key()))
    }

    fn lede(&self) -> String {
        let minutes = ("minutes", self.minutes.to_string());
        self.localizer.text_with(self.key(), &[minutes])
    }
}

impl ElsewherePage<'_> {
    const fn is_old_browser(&self) -> bool {
        matches!(self.reason, ElsewhereReason::OldBrowser)
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

impl PageContent for LinkPage<'_> {
    fn localizer(&self) -> &Localizer {
        self.localizer
    }
    fn title(&self) -> String {
        self.localizer.text("link-title")
    }
    fn script(&self) -> Option<Script> {
        Some(Script {
            source: include_str!("../link.js"),
            connects: false,
        })
    }
    fn referrer(&self) -> &'static str {
        "no-referrer"
    }
}

impl PageContent for DeadLinkPage<'_> {
    fn localizer(&self) -> &Localizer {
        self.localizer
    }
    fn title(&self) -> String {
        self.heading()
    }
    fn status(&self) -> StatusCode {
        StatusCode::GONE
    }
    // A link that was cut off is a part of a secret.
    fn referrer(&self) -> &'static str {
        "no-referrer"
    }
}

impl PageContent for ElsewherePage<'_> {
    fn localizer(&self) -> &Localizer {
        self.localizer
    }
    fn title(&self) -> String {
        let key = match self.reason {
            ElsewhereReason::OtherBrowser => "elsewhere-title",
            ElsewhereReason::OldBrowser => "elsewhere-old-title",
        };
        self.localizer.text(key)
    }
    fn status(&self) -> StatusCode {
        match self.reason {
            ElsewhereReason::OtherBrowser => StatusCode::OK,
            ElsewhereReason::OldBrowser => StatusCode::FORBIDDEN,
        }
    }
    // The URL holds the secret too, and the script removes it as on the link page.
    fn script(&self) -> Option<Script> {
        Some(Script {
            source: include_str!("../link.js"),
            connects: false,
        })
    }
    fn referrer(&self) -> &'static str {
        "no-referrer"
    }
}
