//! The account page: who one is here, and where one is signed in.

use askama::Template;

use crate::web::{page::Content, text::Tongue};

/// `GET /account`.
#[derive(Template)]
#[template(path = "session/account.html", config = ".askama.toml")]
pub struct Account<'a> {
    /// Its language.
    pub tongue: &'a Tongue,
    /// Name, if one is known.
    pub name: Option<&'a str>,
    /// Address.
    pub email: &'a str,
    /// Roles.
    pub roles: &'a [String],
    /// Live sessions, this one first.
    pub sessions: &'a [SessionRow],
    /// Form token of `sign-out`.
    pub form_token_sign_out: &'a str,
    /// Form token of `sign-out-everywhere`.
    pub form_token_everywhere: &'a str,
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
    fn when(&self, row: &SessionRow) -> String {
        self.tongue.ta("account-session-when", &[("created", row.created.clone()), ("seen", row.last_seen.clone())])
    }

    fn device(&self, row: &SessionRow) -> String {
        if row.device.is_empty() { self.tongue.t("account-device-unknown") } else { row.device.clone() }
    }

    fn end_label(&self, row: &SessionRow) -> String {
        self.tongue.ta("account-end-label", &[("device", self.device(row))])
    }
}

impl Content for Account<'_> {
    fn tongue(&self) -> &Tongue {
        self.tongue
    }
    fn title(&self) -> String {
        self.tongue.t("account-title")
    }
    fn is_wide(&self) -> bool {
        true
    }
}
