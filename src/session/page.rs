//! The account page: who one is here, and where one is signed in.

use askama::Template;

use crate::web::{page::PageContent, text::Localizer};

/// `GET /account`.
#[derive(Template)]
#[template(path = "session/account.html", config = ".askama.toml")]
pub struct Account<'a> {
    /// Its language.
    pub localizer: &'a Localizer,
    /// Name, if one is known.
    pub name: Option<&'a str>,
    /// Address.
    pub email: &'a str,
    /// Roles.
    pub roles: &'a [String],
    /// Connected accounts at providers, the oldest first.
    pub identities: &'a [IdentityRow],
    /// Providers that may be connected, with form token, text and picture of each.
    pub providers: &'a [ProviderButton],
    /// Live sessions, this one first.
    pub sessions: &'a [SessionRow],
    /// Form token of `sign-out`.
    pub form_token_sign_out: &'a str,
    /// Form token of `sign-out-everywhere`.
    pub form_token_everywhere: &'a str,
}

/// A button that leads to an upstream provider, on the account page and on the sign-in page.
#[derive(Clone, Debug)]
pub struct ProviderButton {
    /// The provider.
    pub id: String,
    /// What stands on it.
    pub text: String,
    /// Its picture, as trusted markup.
    pub icon: &'static str,
    /// Form token.
    pub form_token: String,
}

/// One connected account in the list.
#[derive(Clone, Debug)]
pub struct IdentityRow {
    /// The row's id.
    pub id: String,
    /// What people call the provider.
    pub provider: String,
    /// How the person recognises the account; empty if nothing is known of it.
    pub account: String,
    /// When it was connected, spelled out.
    pub linked: String,
    /// When it was last used, spelled out.
    pub used: String,
    /// Form token of its `disconnect` form.
    pub form_token: String,
}

/// One session in the list.
#[derive(Clone, Debug)]
pub struct SessionRow {
    /// The row's id.
    pub id: String,
    /// What it runs on, in words; empty if unknown.
    pub device: String,
    /// The one that shows this page.
    pub current: bool,
    /// When it was last used, spelled out.
    pub last_seen: String,
    /// When it began, spelled out.
    pub created: String,
    /// Form token of its `end-session` form.
    pub form_token: String,
}

impl Account<'_> {
    fn used(&self, row: &IdentityRow) -> String {
        self.localizer.text_with(
            "account-identity-when",
            &[("linked", row.linked.clone()), ("used", row.used.clone())],
        )
    }

    fn disconnect_label(&self, row: &IdentityRow) -> String {
        let known = [
            ("provider", row.provider.clone()),
            ("account", row.account.clone()),
        ];
        self.localizer
            .text_with("account-identity-disconnect-label", &known)
    }

    fn when(&self, row: &SessionRow) -> String {
        self.localizer.text_with(
            "account-session-when",
            &[
                ("created", row.created.clone()),
                ("seen", row.last_seen.clone()),
            ],
        )
    }

    fn device(&self, row: &SessionRow) -> String {
        if row.device.is_empty() {
            self.localizer.text("account-device-unknown")
        } else {
            self.localizer.device(&row.device)
        }
    }

    fn end_label(&self, row: &SessionRow) -> String {
        self.localizer
            .text_with("account-end-label", &[("device", self.device(row))])
    }
}

impl PageContent for Account<'_> {
    fn localizer(&self) -> &Localizer {
        self.localizer
    }
    fn title(&self) -> String {
        self.localizer.text("account-title")
    }
    fn is_wide(&self) -> bool {
        true
    }
}
