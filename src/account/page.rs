//! The template of the account page, and the values that it shows.

use askama::Template;

use crate::{
    login::page::ProviderButton,
    web::{filters, locale::Localizer, page::PageContent},
};

/// `GET /account`.
#[derive(Template)]
#[template(path = "account/account.html", config = ".askama.toml")]
pub struct AccountPage<'a> {
    pub localizer: &'a Localizer,
    /// What was done a moment ago.
    pub notice: Option<String>,
    pub name: Option<&'a str>,
    pub email: &'a str,
    pub roles: &'a [String],
    /// Linked accounts at providers, the oldest first.
    pub identities: &'a [IdentityRow],
    /// The providers that the user may connect.
    pub providers: &'a [ProviderButton],
    /// Live sessions, the latest use first.
    pub sessions: &'a [SessionRow],
    pub form_token_sign_out: &'a str,
    pub form_token_everywhere: &'a str,
}

/// One linked account in the list.
#[derive(Clone, Debug)]
pub struct IdentityRow {
    pub id: String,
    /// The display name of the provider.
    pub provider: String,
    /// The address or name by which the user recognises the account; empty if neither is known.
    pub account: String,
    /// The localized time of linking.
    pub linked: String,
    /// The localized time of last use.
    pub used: String,
    pub form_token: String,
}

/// One session in the list.
#[derive(Clone, Debug)]
pub struct SessionRow {
    pub id: String,
    /// Browser and system; empty if unknown.
    pub device: String,
    /// This session shows the page.
    pub current: bool,
    /// The localized time of last use.
    pub last_seen: String,
    /// The localized time of sign-in.
    pub created: String,
    pub form_token: String,
}

impl AccountPage<'_> {
    fn used(&self, row: &IdentityRow) -> String {
        self.localizer.text_with(
            "account-identity-when",
            &[("linked", row.linked.clone()), ("used", row.used.clone())],
        )
    }

    fn disconnect_label(&self, row: &IdentityRow) -> String {
        let arguments = [
            ("provider", row.provider.clone()),
            ("account", row.account.clone()),
        ];
        self.localizer
            .text_with("account-identity-disconnect-label", &arguments)
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

impl PageContent for AccountPage<'_> {
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
