//! Form tokens: whether a posted form came from our own page in this browser (CF-01, CF-02).

use std::fmt;

use poem::Request;

use super::{context::RequestContext, page_error::PageError};
use crate::{
    app::App,
    session::CurrentSession,
    web::{csrf, params::Params},
};

/// A posted form of a page before sign-in.
#[derive(Clone, Copy)]
pub struct PostedForm<'a> {
    pub params: &'a Params,
    /// The fixed name of the form.
    pub name: &'a str,
    /// What its token is bound to.
    pub context: &'a str,
    /// The form is on the link page, whose `no-referrer` makes browsers send `Origin: null` (C2).
    pub allow_null_origin: bool,
}

impl fmt::Debug for PostedForm<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostedForm")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl RequestContext {
    /// Returns the token of a form before sign-in. `context` is what the token is bound to.
    #[must_use]
    pub fn form_token(&self, app: &App, form: &str, context: &str) -> String {
        csrf::form_token(&app.macs.csrf, &self.pre.hash(), form, context)
    }

    /// Checks that a form before sign-in came from our own page in this browser.
    ///
    /// # Errors
    /// [`PageError::MissingCookie`] if the browser sent no cookie, [`PageError::InvalidForm`] if
    /// the form is not ours.
    pub fn check_form(
        &self,
        app: &App,
        request: &Request,
        form: &PostedForm<'_>,
    ) -> Result<(), PageError> {
        if !csrf::is_from_own_page(request, &app.public_url, form.allow_null_origin) {
            return Err(PageError::InvalidForm);
        }
        if !self.had_pre {
            return Err(PageError::MissingCookie);
        }
        let token = form.params.optional("form_token")?.unwrap_or_default();
        let browser = self.pre.hash();
        if csrf::verify_form_token(&app.macs.csrf, &browser, form.name, form.context, token) {
            Ok(())
        } else {
            Err(PageError::InvalidForm)
        }
    }

    /// Returns the token of a form of a signed-in user.
    #[must_use]
    pub fn session_form_token(&self, app: &App, form: &str) -> String {
        self.sid
            .as_ref()
            .map(|sid| csrf::form_token(&app.macs.csrf, sid, form, ""))
            .unwrap_or_default()
    }

    /// Checks that a form of a signed-in user came from our own page, and returns the session.
    ///
    /// # Errors
    /// [`PageError::InvalidForm`] if no user is signed in or the form is not ours.
    pub fn check_session_form(
        &self,
        app: &App,
        request: &Request,
        params: &Params,
        form: &str,
    ) -> Result<&CurrentSession, PageError> {
        let (Some(sid), Some(current)) = (&self.sid, &self.current) else {
            return Err(PageError::InvalidForm);
        };
        let token = params.optional("form_token")?.unwrap_or_default();
        if csrf::is_from_own_page(request, &app.public_url, false)
            && csrf::verify_form_token(&app.macs.csrf, sid, form, "", token)
        {
            Ok(current)
        } else {
            Err(PageError::InvalidForm)
        }
    }
}
