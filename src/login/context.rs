//! One request of a person's browser: who it is, in which language, with which cookies, under which configuration.

use std::{sync::Arc, time::Duration};

use poem::{
    Request, Response,
    http::{StatusCode, header},
};

use uuid::Uuid;

use super::{
    evidence::BrowserState, finish::SignedIn, flow::FlowHolder, page_error::PageError,
    pending::Requester,
};
use crate::{
    app::App,
    client,
    config::Reloadable,
    secret::{Hash, Plain},
    session::{self, CurrentSession},
    web::{
        caller::Caller,
        cookie::{CookieKind, Cookies},
        csrf,
        page::PageOptions,
        params::Params,
        text::Localizer,
    },
};

/// How long a browser keeps its pre-login cookie.
const PRE_KEPT: Duration = Duration::from_secs(86_400);

/// What a page endpoint knows of its request.
#[derive(Debug)]
pub struct RequestContext {
    /// Where from.
    pub caller: Caller,
    /// The configuration, one for the whole request.
    pub config: Arc<Reloadable>,
    /// The language.
    pub localizer: Localizer,
    /// For the page's headers.
    pub site: PageOptions,
    /// The pre-login cookie: the browser's, or a new one that [`RequestContext::with_pre_login_cookie`] sets.
    pub pre: Plain,
    /// The device cookie.
    pub device: Option<Plain>,
    /// Who is signed in.
    pub current: Option<CurrentSession>,
    cookies: Cookies,
    had_pre: bool,
    sid: Option<Hash>,
}

impl RequestContext {
    /// Reads cookies and finds the session.
    ///
    /// # Errors
    /// Two different values of a cookie (BS-06), or the database is away.
    pub async fn load(app: &App, request: &Request, ui_locales: &str) -> Result<Self, PageError> {
        let cookies = Cookies::new(&app.public_url);
        let pre = cookies.read(request, CookieKind::Pre)?;
        let sid = cookies
            .read(request, CookieKind::Sid)?
            .map(|sid| sid.hash());
        let device = cookies.read(request, CookieKind::Dev)?;
        let config = app.config.get();
        let caller = Caller::from_request(request);
        let current = match &sid {
            Some(sid) => {
                session::find_by_cookie(app.db.read(), sid, app.clock().now(), &config.session)
                    .await?
            }
            None => None,
        };
        Ok(Self {
            localizer: app.texts.negotiate(ui_locales, &caller.accept_language),
            site: PageOptions::for_url(&app.public_url),
            had_pre: pre.is_some(),
            pre: pre.unwrap_or_else(Plain::generate),
            caller,
            config,
            device,
            current,
            cookies,
            sid,
        })
    }

    /// A visit of which no cookie is read: a POST of another site (CF-04).
    #[must_use]
    pub fn without_cookies(app: &App, request: &Request) -> Self {
        let caller = Caller::from_request(request);
        Self {
            localizer: app.texts.negotiate("", &caller.accept_language),
            site: PageOptions::for_url(&app.public_url),
            had_pre: false,
            pre: Plain::generate(),
            caller,
            config: app.config.get(),
            device: None,
            current: None,
            cookies: Cookies::new(&app.public_url),
            sid: None,
        }
    }

    /// For the headers of a page that belongs to a client's request, if one is named: a window that it opened must not lose
    /// its opener on the way.
    #[must_use]
    pub fn site_for_client(&self, client_id: Option<&str>) -> PageOptions {
        let client = client_id.and_then(|id| client::find(&self.config, id));
        self.site
            .with_popups(client.is_some_and(|client| client.uses_popups))
    }

    /// The browser as the holder of its flows.
    #[must_use]
    pub fn holder(&self) -> FlowHolder {
        FlowHolder::Browser(self.pre.hash())
    }

    /// What the browser brings to the door.
    #[must_use]
    pub fn browser_state(&self) -> BrowserState<'_> {
        BrowserState {
            browser: Some(self.pre.hash()),
            device: self.device.as_ref(),
            current: self.current.as_ref(),
        }
    }

    /// The session of whoever is signed in.
    #[must_use]
    pub fn session_id(&self) -> Option<Uuid> {
        self.current.as_ref().map(|current| current.session.id)
    }

    /// Who asks for a pending request.
    #[must_use]
    pub fn requester(&self) -> Requester<'_> {
        Requester {
            browser: self.had_pre.then(|| self.pre.hash()),
            session: self.current.as_ref().map(|current| &current.session),
        }
    }

    /// The token of a form before sign-in.
    #[must_use]
    pub fn form_token(&self, app: &App, form: &str, context: &str) -> String {
        csrf::form_token(&app.macs.csrf, &self.pre.hash(), form, context)
    }

    /// Whether a form before sign-in came from our own page in this browser (CF-01, CF-02).
    ///
    /// # Errors
    /// [`PageError::UnusableCookie`] if the browser brought no cookie, [`PageError::InvalidForm`] if the form is not ours.
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
            return Err(PageError::UnusableCookie);
        }
        let given = form.params.optional("form_token")?.unwrap_or_default();
        let good = csrf::verify_form_token(
            &app.macs.csrf,
            &self.pre.hash(),
            form.name,
            form.context,
            given,
        );
        good.then_some(()).ok_or(PageError::InvalidForm)
    }

    /// The token of a form of somebody signed in.
    #[must_use]
    pub fn session_form_token(&self, app: &App, form: &str) -> String {
        self.sid
            .as_ref()
            .map(|sid| csrf::form_token(&app.macs.csrf, sid, form, ""))
            .unwrap_or_default()
    }

    /// Whether a form of somebody signed in is ours; gives who it is.
    ///
    /// # Errors
    /// [`PageError::InvalidForm`] if nobody is signed in or the form is not ours.
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
        let given = params.optional("form_token")?.unwrap_or_default();
        let ours = csrf::is_from_own_page(request, &app.public_url, false)
            && csrf::verify_form_token(&app.macs.csrf, sid, form, "", given);
        if ours {
            Ok(current)
        } else {
            Err(PageError::InvalidForm)
        }
    }

    /// The answer, with the pre-login cookie if the browser had none.
    #[must_use]
    pub fn with_pre_login_cookie(&self, mut response: Response) -> Response {
        if !self.had_pre {
            let cookie = self.cookies.set(CookieKind::Pre, &self.pre, Some(PRE_KEPT));
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        response
    }

    /// The answer, with the cookies of a sign-in.
    #[must_use]
    pub fn with_sign_in_cookies(&self, mut response: Response, done: &SignedIn) -> Response {
        let absolute = Duration::from_secs(self.config.session.absolute_seconds);
        let sid_kept = done.session.remembered.then_some(absolute);
        let headers = response.headers_mut();
        headers.append(
            header::SET_COOKIE,
            self.cookies.set(CookieKind::Sid, &done.sid, sid_kept),
        );
        headers.append(
            header::SET_COOKIE,
            self.cookies.set(CookieKind::Pre, &done.pre, Some(PRE_KEPT)),
        );
        headers.append(
            header::SET_COOKIE,
            self.cookies
                .set(CookieKind::Dev, &done.device, Some(super::device::KEPT)),
        );
        response
    }

    /// The answer, with a fresh secret for the session that this browser has.
    #[must_use]
    pub fn with_rotated_session(
        &self,
        mut response: Response,
        sid: &Plain,
        remembered: bool,
    ) -> Response {
        let kept = remembered.then_some(Duration::from_secs(self.config.session.absolute_seconds));
        response.headers_mut().append(
            header::SET_COOKIE,
            self.cookies.set(CookieKind::Sid, sid, kept),
        );
        response
    }

    /// The answer, without a session cookie.
    #[must_use]
    pub fn without_session_cookie(&self, mut response: Response) -> Response {
        response
            .headers_mut()
            .append(header::SET_COOKIE, self.cookies.delete(CookieKind::Sid));
        response
    }
}

/// A form that was posted.
#[derive(Clone, Copy)]
pub struct PostedForm<'a> {
    /// Its fields.
    pub params: &'a Params,
    /// Its fixed name.
    pub name: &'a str,
    /// What it is about.
    pub context: &'a str,
    /// It comes from the link page, whose `no-referrer` makes browsers send `Origin: null` (C2).
    pub allow_null_origin: bool,
}

impl std::fmt::Debug for PostedForm<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Form")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// 303 to a path of ours, or from a GET to a verified place (never 307 or 308: those repeat the body, CW-04).
#[must_use]
pub fn see_other(location: &str) -> Response {
    Response::builder()
        .status(StatusCode::SEE_OTHER)
        .header(header::LOCATION, location)
        .header(header::CACHE_CONTROL, "no-store")
        .finish()
}
