//! What was done, said once on the page after the redirect (OD-12).
//!
//! A cookie carries it, so that no link of a stranger can make a page say it. A MAC binds it to the
//! browser's `pre` cookie, which every sign-in replaces, and the page deletes it.

use std::time::Duration;

use poem::{Response, http::header};

use super::context::{RequestContext, see_other};
use crate::{
    app::App,
    web::{cookie::CookieKind, csrf, locale::Localizer},
};

/// How long a page may take to say what was done.
const DONE_TTL: Duration = Duration::from_secs(60);

/// A change that the next page confirms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    SessionEnded,
    SignedOutEverywhere,
    Disconnected,
    AccessRemoved,
}

impl Done {
    const ALL: [Self; 4] = [
        Self::SessionEnded,
        Self::SignedOutEverywhere,
        Self::Disconnected,
        Self::AccessRemoved,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::SessionEnded => "session-ended",
            Self::SignedOutEverywhere => "everywhere",
            Self::Disconnected => "disconnected",
            Self::AccessRemoved => "access-removed",
        }
    }

    /// Returns the page that confirms the change.
    const fn page(self) -> &'static str {
        match self {
            Self::SessionEnded | Self::Disconnected => "/account",
            Self::SignedOutEverywhere => "/logged-out",
            Self::AccessRemoved => "/account/access",
        }
    }

    /// Leads to the page that confirms the change.
    #[must_use]
    pub fn redirect(self, app: &App, context: &RequestContext) -> Response {
        let token = context.form_token(app, self.name(), self.page());
        let text = format!("{}.{token}", self.name());
        let response = context.with_pre_login_cookie(see_other(self.page()));
        context.with_done(response, &text)
    }

    /// Returns the change that the page at `page` confirms to this browser.
    /// [`RequestContext::without_done`] ends it.
    #[must_use]
    pub fn of_page(page: &str, app: &App, context: &RequestContext) -> Option<Self> {
        let (name, token) = context.done.as_deref()?.split_once('.')?;
        let done = Self::ALL.into_iter().find(|done| done.name() == name)?;
        let (mac, browser) = (&app.macs.csrf, context.pre.hash());
        let is_ours = csrf::verify_form_token(mac, &browser, name, done.page(), token);
        (is_ours && done.page() == page).then_some(done)
    }

    /// Returns the sentence that confirms the change.
    #[must_use]
    pub fn text(self, localizer: &Localizer) -> String {
        localizer.text(&format!("done-{}", self.name()))
    }
}

impl RequestContext {
    /// Adds what was done, for the page after the redirect.
    #[must_use]
    fn with_done(&self, mut response: Response, done: &str) -> Response {
        let cookie = self.cookies.set_text(CookieKind::Done, done, DONE_TTL);
        response.headers_mut().append(header::SET_COOKIE, cookie);
        response
    }

    /// Deletes what was done, if the browser has it: it is said once.
    #[must_use]
    pub fn without_done(&self, mut response: Response) -> Response {
        if self.done.is_some() {
            let cookie = self.cookies.delete(CookieKind::Done);
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::locale::Texts;

    #[test]
    fn od_12_every_change_has_its_sentence() {
        let localizer = Texts::default().localizer("en");
        for done in Done::ALL {
            assert!(done.text(&localizer).ends_with('.'), "{done:?}");
        }
    }
}
