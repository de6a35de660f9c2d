//! The errors of page endpoints, and the page that each becomes: what happened, and what to do
//! next. The page never shows a cause.

use std::{future::Future, time::Duration};

use poem::{
    Request, Response,
    http::{StatusCode, header},
};

use super::{
    client_home::{again_path, client_in, home_of},
    page::ErrorPage,
};
use crate::{
    app::App,
    error::InfraError,
    web::{
        again::TryAgain,
        caller::Caller,
        cookie::CookieError,
        csrf, deployment,
        locale::Localizer,
        look::PageLook,
        page::{PageOptions, render_page},
        params::{ParamError, Params},
        reason::RefusalReason,
    },
};

/// How many seconds a browser waits before it tries again after a transient failure.
const TRANSIENT_RETRY_SECONDS: u64 = 5;

/// The reason why a page cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    #[error(transparent)]
    Infra(#[from] InfraError),
    /// A dependency failed after the request had spent what it came with, so that it works only once.
    /// The work begins anew at this path of ours.
    #[error("{0}")]
    Interrupted(InfraError, String),
    /// The browser sent no cookie.
    #[error("no cookie")]
    MissingCookie,
    /// The browser sent two cookies of one name (BS-06).
    #[error("two cookies of one name")]
    CookieConflict,
    /// The form is not from our own page in this browser, or too old.
    #[error("invalid form")]
    InvalidForm,
    #[error("not found")]
    NotFound,
    /// The sign-in is over, or it is another browser's.
    #[error("sign-in expired")]
    SignInExpired,
    /// The flow's time is over, and this path starts it over with the same address and request.
    #[error("flow expired")]
    FlowExpired(String),
    /// A pending link is another browser's, spent or expired.
    #[error("pending link gone")]
    PendingLinkGone,
    /// The emailed link or code was used already.
    #[error("already used")]
    AlreadyUsed,
    /// The secret was right, and its user may not sign in.
    #[error("sign-in refused")]
    SignInRefused,
    /// The caller's network sent too many requests.
    #[error("too many requests: try again in {0:?}")]
    TooManyRequests(Duration),
    /// A parameter is missing, repeated, too long or wrong. The name is empty if no one parameter is
    /// at fault.
    #[error("invalid parameter: {name}")]
    InvalidParameter { name: String, status: StatusCode },
    /// The client's request cannot be answered because of this parameter. The name is empty if no
    /// one parameter is at fault.
    #[error("invalid client request: {0}")]
    InvalidClientRequest(&'static str),
}

impl From<CookieError> for PageError {
    fn from(_: CookieError) -> Self {
        Self::CookieConflict
    }
}

impl From<ParamError> for PageError {
    fn from(error: ParamError) -> Self {
        Self::InvalidParameter {
            name: error.parameter().unwrap_or_default().to_owned(),
            status: error.status(),
        }
    }
}

/// The link of an error page.
struct NextStep {
    href: String,
    label: String,
}

/// Returns the path that takes up the client's request once cookies are allowed.
fn again(request: &Request) -> Option<String> {
    let params = Params::from_query(request).ok()?;
    let txn = params.optional_within("txn", 43).ok()??;
    let client_id = params.optional_within("client", 255).ok()?;
    Some(again_path(txn, client_id))
}

/// Runs a page endpoint, and renders its error if it fails.
pub async fn respond(
    app: &App,
    request: &Request,
    work: impl Future<Output = Result<Response, PageError>>,
) -> Response {
    match work.await {
        Ok(response) => response,
        Err(error) => error.render(app, request),
    }
}

impl PageError {
    /// Renders the page for the error. Infrastructure errors are logged here, once.
    #[must_use]
    pub fn render(self, app: &App, request: &Request) -> Response {
        let caller = Caller::from_request(request);
        if let Self::Infra(error) | Self::Interrupted(error, _) = &self {
            caller.log_line.always_write();
            error.log(&caller.request_id);
        }
        let (status, mut key) = self.status_and_text();
        let reference = caller.reference(status);
        if matches!(self, Self::InvalidForm | Self::MissingCookie)
            && let Some(mismatch) = deployment::mismatch(request, &app.public_url)
        {
            if let Some(reference) = reference {
                mismatch.log(reference);
            }
            key = "error-deployment";
        }
        let (localizer, options) = PageLook::of(request).get().unwrap_or_else(|| {
            let localizer = app.texts.negotiate("", &caller.accept_language);
            (localizer, PageOptions::for_url(&app.public_url))
        });
        let next = self.next_step(app, request, &localizer);
        let page = ErrorPage {
            parameter: self.parameter(),
            next_href: next.as_ref().map(|next| next.href.as_str()),
            next_label: next.as_ref().map(|next| next.label.clone()),
            again: TryAgain::of(request).filter(|_| matches!(self, Self::Infra(_))),
            ..ErrorPage::with_texts(&localizer, status, key, reference)
        };
        let mut response = render_page(&page, options);
        if let Some(seconds) = self.retry_after_seconds() {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        self.reason().attach_to(response)
    }

    /// Returns the reason for the log.
    fn reason(&self) -> RefusalReason {
        let code = match self {
            Self::Infra(error) | Self::Interrupted(error, _) if error.is_transient() => {
                "unavailable"
            }
            Self::Infra(_) | Self::Interrupted(..) => "internal",
            Self::MissingCookie => "cookie_missing",
            Self::CookieConflict => "cookie_repeated",
            Self::InvalidForm => "form_not_ours",
            Self::NotFound => "not_found",
            Self::SignInExpired => "sign_in_unknown_or_over",
            Self::FlowExpired(_) => "flow_expired",
            Self::PendingLinkGone => "lk_browser",
            Self::AlreadyUsed => "already_used",
            Self::SignInRefused => "sign_in_refused",
            Self::TooManyRequests(_) => "too_many_requests",
            Self::InvalidParameter { status, .. }
                if *status == StatusCode::UNSUPPORTED_MEDIA_TYPE =>
            {
                return RefusalReason::of_status(*status);
            }
            Self::InvalidParameter { .. } => "invalid_parameter",
            Self::InvalidClientRequest("client_id") => "client_unknown",
            Self::InvalidClientRequest("redirect_uri") => "redirect_uri_not_registered",
            Self::InvalidClientRequest("request_uri") => "push_unknown_or_over",
            Self::InvalidClientRequest(_) => "client_request_invalid",
        };
        RefusalReason::new(code).about(self.parameter())
    }

    /// Returns where the page leads: on with what the user was about, or back to the client.
    fn next_step(&self, app: &App, request: &Request, localizer: &Localizer) -> Option<NextStep> {
        let own = |href: String, key: &str| NextStep {
            href,
            label: localizer.text(key),
        };
        let came_from = || csrf::page_of(request, &app.public_url);
        match self {
            Self::Infra(_) => {
                if let Some(href) = came_from() {
                    return Some(own(href, "error-again"));
                }
            }
            Self::Interrupted(_, path) => return Some(own(path.clone(), "error-again")),
            // OC-8: the same request again, once the pause is over.
            Self::InvalidForm | Self::TooManyRequests(_) => {
                if let Some(href) = came_from() {
                    return Some(own(href, "error-again"));
                }
            }
            Self::MissingCookie => {
                if let Some(href) = again(request).or_else(came_from) {
                    return Some(own(href, "error-again"));
                }
            }
            Self::FlowExpired(restart) => return Some(own(restart.clone(), "error-start-over")),
            // A user whom a client sent here with a bad request gains nothing from signing in here.
            Self::InvalidClientRequest(_) => return None,
            _ => {}
        }
        let config = app.config.get();
        let client = client_in(request, &config).map(|client| client.client_id.as_str());
        Some(match home_of(&config, client) {
            Some((home, name)) => NextStep {
                href: home.as_str().to_owned(),
                label: localizer.text_with("error-to-client", &[("client", name)]),
            },
            None => own("/login".to_owned(), "error-next"),
        })
    }

    /// Returns the status, and the key of the text.
    const fn status_and_text(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Infra(error) | Self::Interrupted(error, _) if error.is_transient() => {
                (StatusCode::SERVICE_UNAVAILABLE, "error-away")
            }
            Self::Infra(_) | Self::Interrupted(..) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "error-internal")
            }
            Self::MissingCookie => (StatusCode::BAD_REQUEST, "error-cookies"),
            Self::CookieConflict => (StatusCode::BAD_REQUEST, "error-cookies-two"),
            Self::InvalidForm => (StatusCode::FORBIDDEN, "error-stale"),
            Self::NotFound => (StatusCode::NOT_FOUND, "error-not-found"),
            Self::SignInExpired | Self::FlowExpired(_) => (StatusCode::GONE, "error-expired"),
            Self::PendingLinkGone => (StatusCode::BAD_REQUEST, "error-link"),
            Self::AlreadyUsed => (StatusCode::GONE, "error-used"),
            // The words of a refused sign-in with a provider name none.
            Self::SignInRefused => (StatusCode::FORBIDDEN, "upstream-closed"),
            Self::TooManyRequests(_) => (StatusCode::TOO_MANY_REQUESTS, "error-busy"),
            Self::InvalidParameter { status, .. } => (*status, "error-request"),
            Self::InvalidClientRequest(_) => (StatusCode::BAD_REQUEST, "error-request"),
        }
    }

    const fn parameter(&self) -> Option<&str> {
        let name = match self {
            Self::InvalidParameter { name, .. } => name.as_str(),
            Self::InvalidClientRequest(name) => name,
            _ => return None,
        };
        if name.is_empty() { None } else { Some(name) }
    }

    fn retry_after_seconds(&self) -> Option<u64> {
        match self {
            Self::TooManyRequests(wait) => Some(wait.as_secs().max(1)),
            Self::Infra(error) | Self::Interrupted(error, _) if error.is_transient() => {
                Some(TRANSIENT_RETRY_SECONDS)
            }
            _ => None,
        }
    }
}
