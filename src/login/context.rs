//! One request of a browser: caller, locale, cookies, session and configuration.

use std::{sync::Arc, time::Duration};

use poem::{
    Request, Response,
    http::{StatusCode, header},
};
use uuid::Uuid;

use super::{
    device, evidence::BrowserState, finish::SignedIn, flow::FlowHolder, page_error::PageError,
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
        locale::Localizer,
        page::PageOptions,
    },
};

/// How long a browser keeps its pre-login cookie.
const PRE_LOGIN_TTL: Duration = Duration::from_secs(86_400);

/// What a page endpoint knows of its request.
#[derive(Debug)]
pub struct RequestContext {
    pub caller: Caller,
    /// The configuration, one for the whole request.
    pub config: Arc<Reloadable>,
    pub localizer: Localizer,
    pub page_options: PageOptions,
    /// The pre-login cookie: the browser's, or a new one that
    /// [`RequestContext::with_pre_login_cookie`] sets.
    pub pre: Plain,
    /// The device cookie.
    pub device: Option<Plain>,
    /// The session that the browser is signed in with.
    pub current: Option<CurrentSession>,
    pub(super) had_pre: bool,
    /// The hash of the session cookie.
    pub(super) sid: Option<Hash>,
    cookies: Cookies,
}

impl RequestContext {
    /// Reads the cookies and finds the session.
    ///
    /// # Errors
    /// [`PageError::UnusableCookie`] for two different values of a cookie (BS-06).
    pub async fn load(app: &App, request: &Request, ui_locales: &str) -> Result<Self, PageError> {
        let cookies = Cookies::new(&app.public_url);
        let pre = cookies.read(request, CookieKind::Pre)?;
        let sid = cookies.read(request, CookieKind::Sid)?;
        let device = cookies.read(request, CookieKind::Dev)?;
        let mut context = Self::without_cookies(app, request);
        context.had_pre = pre.is_some();
        context.pre = pre.unwrap_or(context.pre);
        context.sid = sid.map(|sid| sid.hash());
        context.device = device;
        if !ui_locales.is_empty() {
            let accepted = &context.caller.accept_language;
            context.localizer = app.texts.negotiate(ui_locales, accepted);
        }
        if let Some(sid) = &context.sid {
            let (now, limits) = (app.clock().now(), &context.config.session);
            context.current = session::find_by_cookie(app.db.read(), sid, now, limits).await?;
        }
        Ok(context)
    }

    /// The context of a request whose cookies are not read: a POST of another site (CF-04).
    #[must_use]
    pub fn without_cookies(app: &App, request: &Request) -> Self {
        let caller = Caller::from_request(request);
        Self {
            localizer: app.texts.negotiate("", &caller.accept_language),
            page_options: PageOptions::for_url(&app.public_url),
            pre: Plain::generate(),
            caller,
            config: app.config.get(),
            device: None,
            current: None,
            had_pre: false,
            sid: None,
            cookies: Cookies::new(&app.public_url),
        }
    }

    /// Returns the options of a page that belongs to a client's request, if one is named: a window
    /// that the client opened must not lose its opener on the way.
    #[must_use]
    pub fn page_options_for_client(&self, client_id: Option<&str>) -> PageOptions {
        let client = client_id.and_then(|id| client::find(&self.config, id));
        self.page_options
            .with_popups(client.is_some_and(|client| client.uses_popups))
    }

    /// Returns the browser as the holder of its flows.
    #[must_use]
    pub fn holder(&self) -> FlowHolder {
        FlowHolder::Browser(self.pre.hash())
    }

    #[must_use]
    pub fn browser_state(&self) -> BrowserState<'_> {
        BrowserState {
            browser: Some(self.pre.hash()),
            device: self.device.as_ref(),
            current: self.current.as_ref(),
        }
    }

    #[must_use]
    pub fn session_id(&self) -> Option<Uuid> {
        self.current.as_ref().map(|current| current.session.id)
    }

    /// Returns the browser as the requester of what is bound to it.
    #[must_use]
    pub fn requester(&self) -> Requester<'_> {
        Requester {
            browser: self.had_pre.then(|| self.pre.hash()),
            session: self.current.as_ref().map(|current| &current.session),
        }
    }

    /// Adds the pre-login cookie, if the browser had none.
    #[must_use]
    pub fn with_pre_login_cookie(&self, mut response: Response) -> Response {
        if !self.had_pre {
            self.set_cookie(
                &mut response,
                CookieKind::Pre,
                &self.pre,
                Some(PRE_LOGIN_TTL),
            );
        }
        response
    }

    /// Adds the cookies of a sign-in.
    #[must_use]
    pub fn with_sign_in_cookies(&self, mut response: Response, signed_in: &SignedIn) -> Response {
        let session_ttl = self.session_cookie_ttl(signed_in.session.remembered);
        for (kind, value, ttl) in [
            (CookieKind::Sid, &signed_in.sid, session_ttl),
            (CookieKind::Pre, &signed_in.pre, Some(PRE_LOGIN_TTL)),
            (CookieKind::Dev, &signed_in.device, Some(device::RETENTION)),
        ] {
            self.set_cookie(&mut response, kind, value, ttl);
        }
        response
    }

    /// Adds the fresh session cookie of a session that the browser already has.
    #[must_use]
    pub fn with_rotated_session(
        &self,
        mut response: Response,
        sid: &Plain,
        remembered: bool,
    ) -> Response {
        let ttl = self.session_cookie_ttl(remembered);
        self.set_cookie(&mut response, CookieKind::Sid, sid, ttl);
        response
    }

    /// Deletes the session cookie.
    #[must_use]
    pub fn without_session_cookie(&self, mut response: Response) -> Response {
        let cookie = self.cookies.delete(CookieKind::Sid);
        response.headers_mut().append(header::SET_COOKIE, cookie);
        response
    }

    /// Returns the TTL of the session cookie; without one it ends with the browser.
    fn session_cookie_ttl(&self, remembered: bool) -> Option<Duration> {
        remembered.then_some(Duration::from_secs(self.config.session.absolute_seconds))
    }

    fn set_cookie(
        &self,
        response: &mut Response,
        kind: CookieKind,
        value: &Plain,
        ttl: Option<Duration>,
    ) {
        let cookie = self.cookies.set(kind, value, ttl);
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}

/// Returns a 303 to a path of ours or, from a GET, to a verified redirect. Never 307 or 308: those
/// repeat the body (CW-04).
#[must_use]
pub fn see_other(location: &str) -> Response {
    Response::builder()
        .status(StatusCode::SEE_OTHER)
        .header(header::LOCATION, location)
        .header(header::CACHE_CONTROL, "no-store")
        .finish()
}
