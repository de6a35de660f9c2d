//! One request of a browser: caller, locale, cookies, session and configuration.

use std::{sync::Arc, time::Duration};

use poem::{
    Request, Response,
    http::{StatusCode, header},
};
use uuid::Uuid;

use super::{
    authenticate::BrowserState,
    device,
    finish::SignedIn,
    flow::{Flow, FlowHolder},
    page_error::PageError,
    pending::{PendingRequest, Requester},
};
use crate::{
    app::App,
    client,
    config::Reloadable,
    secret::{Hash, Plain},
    session::{self, CurrentSession},
    web::{
        again::TryAgain,
        caller::Caller,
        cookie::{CookieKind, Cookies},
        locale::Localizer,
        look::PageLook,
        page::PageOptions,
    },
};

/// How long a browser keeps its pre-login cookie.
pub(super) const PRE_LOGIN_TTL: Duration = Duration::from_secs(86_400);

/// How long a page shows what its form held.
const ENTRY_TTL: Duration = Duration::from_secs(600);

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
    /// The cookie that holds what a refused form held.
    pub entry: Option<String>,
    /// The cookie that says what was done a moment ago.
    pub(super) done: Option<String>,
    /// How the user sends this request again.
    pub again: Option<TryAgain>,
    /// The session that the browser is signed in with.
    pub current: Option<CurrentSession>,
    pub(super) had_pre: bool,
    /// The hash of the session cookie.
    pub(super) sid: Option<Hash>,
    pub(super) cookies: Cookies,
    look: PageLook,
}

impl RequestContext {
    /// Reads the cookies and finds the session.
    ///
    /// # Errors
    /// [`PageError::CookieConflict`] for two different values of a cookie (BS-06).
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
        let entry = cookies.read_text(request, CookieKind::Entry);
        context.entry = entry.ok().flatten().map(str::to_owned);
        let done = cookies.read_text(request, CookieKind::Done);
        context.done = done.ok().flatten().map(str::to_owned);
        if !ui_locales.is_empty() {
            context.follow_client(app, ui_locales, None);
        }
        if let Some(sid) = &context.sid {
            let (now, limits) = (app.clock().now(), &context.config.session);
            context.current = session::find_by_cookie(app.db.lookup(), sid, now, limits).await?;
            if context.current.is_some() {
                context.caller.log_line.always_write();
            }
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
            entry: None,
            done: None,
            again: TryAgain::of(request),
            current: None,
            had_pre: false,
            sid: None,
            cookies: Cookies::new(&app.public_url),
            look: PageLook::of(request),
        }
    }

    /// Gives the pages of this request the language and the options of a client's request. They
    /// hold on every page of its sign-in, error pages included (OC-3).
    pub fn follow(&mut self, app: &App, pending: &PendingRequest) {
        self.caller.log_line.always_write();
        self.follow_client(app, &pending.ui_locales, Some(&pending.client_id));
    }

    /// Does the same for the sign-in that a flow belongs to.
    pub fn follow_flow(&mut self, app: &App, flow: &Flow) {
        self.caller.log_line.always_write();
        self.follow_client(app, &flow.locale, flow.client_id.as_deref());
    }

    /// Does the same for a client that suggests these languages (`ui_locales`).
    pub fn follow_client(&mut self, app: &App, ui_locales: &str, client_id: Option<&str>) {
        let accepted = &self.caller.accept_language;
        self.localizer = app.texts.negotiate(ui_locales, accepted);
        self.page_options = self.page_options_for_client(client_id);
        self.look.set(&self.localizer, self.page_options.clone());
    }

    /// Returns the options of a page that belongs to a client's request, if one is named: a window
    /// that the client opened must not lose its opener on the way.
    #[must_use]
    pub fn page_options_for_client(&self, client_id: Option<&str>) -> PageOptions {
        let Some(id) = client_id else {
            return self.page_options.clone();
        };
        let client = client::find(&self.config, id);
        self.page_options
            .clone()
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

    /// Returns whether the browser sent a cookie that says who it is.
    #[must_use]
    pub const fn has_cookies(&self) -> bool {
        self.had_pre || self.sid.is_some() || self.device.is_some()
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
        self.without_entry(response)
    }

    /// Adds what a refused form held, for the page after the redirect.
    #[must_use]
    pub fn with_entry(&self, mut response: Response, entry: &str) -> Response {
        let cookie = (self.cookies).set_text(CookieKind::Entry, entry, ENTRY_TTL);
        response.headers_mut().append(header::SET_COOKIE, cookie);
        response
    }

    /// Deletes what a refused form held, if the browser has it.
    #[must_use]
    pub fn without_entry(&self, mut response: Response) -> Response {
        if self.entry.is_some() {
            let cookie = self.cookies.delete(CookieKind::Entry);
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
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
    pub(super) fn session_cookie_ttl(&self, remembered: bool) -> Option<Duration> {
        remembered.then_some(Duration::from_secs(self.config.session.absolute_seconds))
    }

    pub(super) fn set_cookie(
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
