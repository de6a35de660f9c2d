//! The page behind the link in an email, in the browser that requested it and in any other.

use askama::Template;

use crate::web::{
    locale::Localizer,
    page::{PageContent, Script},
};

/// What the link page asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkMode<'a> {
    /// Continue.
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
}

/// `GET /login/link/{token}` in any other browser, and just the same for an unknown or expired
/// link: the page reveals nothing and consumes nothing.
#[derive(Template)]
#[template(path = "login/elsewhere.html", config = ".askama.toml")]
pub struct ElsewherePage<'a> {
    pub localizer: &'a Localizer,
    /// The waiting page of a flow that this browser has open.
    pub flow_href: Option<&'a str>,
    /// The link that starts a sign-in here.
    pub restart_href: &'a str,
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

impl PageContent for ElsewherePage<'_> {
    fn localizer(&self) -> &Localizer {
        self.localizer
    }
    fn title(&self) -> String {
        self.localizer.text("elsewhere-title")
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
