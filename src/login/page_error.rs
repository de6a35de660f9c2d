//! The errors of page endpoints, and the page that each becomes: what happened, and what to do
//! next. The page never shows a cause.

use std::{future::Future, time::Duration};

use poem::{
    Request, Response,
    http::{StatusCode, header},
};

use super::page::ErrorPage;
use crate::{
    app::App,
    error::InfraError,
    web::{
        caller::Caller,
        cookie::CookieError,
        page::{PageOptions, render_page},
        params::ParamError,
    },
};

/// How many seconds a browser waits before it tries again after a transient failure.
const TRANSIENT_RETRY_SECONDS: u64 = 5;

/// The reason why a page cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    #[error(transparent)]
    Infra(#[from] InfraError),
    /// The browser sent no cookie, or two of one name.
    #[error("unusable cookie")]
    UnusableCookie,
    /// The form is not from our own page in this browser, or too old.
    #[error("invalid form")]
    InvalidForm,
    #[error("not found")]
    NotFound,
    /// The sign-in is over, or it is another browser's.
    #[error("sign-in expired")]
    SignInExpired,
    /// A pending link is another browser's, spent or expired.
    #[error("pending link gone")]
    PendingLinkGone,
    /// The emailed link or code was used already.
    #[error("already used")]
    AlreadyUsed,
    /// The caller's network sent too many requests.
    #[error("too many requests: try again in {0:?}")]
    TooManyRequests(Duration),
    #[error("invalid parameter: {name}")]
    InvalidParameter { name: String, status: StatusCode },
    /// The client's request cannot be answered because of this parameter.
    #[error("invalid client request: {0}")]
    InvalidClientRequest(&'static str),
}

impl From<CookieError> for PageError {
    fn from(_: CookieError) -> Self {
        Self::UnusableCookie
    }
}

impl From<ParamError> for PageError {
    fn from(error: ParamError) -> Self {
        Self::InvalidParameter {
            name: error.to_string(),
            status: error.status(),
        }
    }
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
        if let Self::Infra(error) = &self {
            error.log(&caller.request_id);
        }
        let (status, key) = self.status_and_text();
        let localizer = app.texts.negotiate("", &caller.accept_language);
        // A user whom a client sent here with a bad request gains nothing from signing in here.
        let can_sign_in = !matches!(self, Self::InvalidClientRequest(_));
        let page = ErrorPage {
            parameter: self.parameter(),
            next_href: can_sign_in.then_some("/login"),
            ..ErrorPage::with_texts(&localizer, status, key, &caller.request_id)
        };
        let mut response = render_page(&page, PageOptions::for_url(&app.public_url));
        if let Some(seconds) = self.retry_after_seconds() {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }

    /// Returns the status, and the key of the text.
    const fn status_and_text(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Infra(error) if error.is_transient() => {
                (StatusCode::SERVICE_UNAVAILABLE, "error-away")
            }
            Self::Infra(_) => (StatusCode::INTERNAL_SERVER_ERROR, "error-internal"),
            Self::UnusableCookie => (StatusCode::BAD_REQUEST, "error-cookies"),
            Self::InvalidForm => (StatusCode::FORBIDDEN, "error-stale"),
            Self::NotFound => (StatusCode::NOT_FOUND, "error-not-found"),
            Self::SignInExpired => (StatusCode::GONE, "error-expired"),
            Self::PendingLinkGone => (StatusCode::BAD_REQUEST, "error-link"),
            Self::AlreadyUsed => (StatusCode::GONE, "error-used"),
            Self::TooManyRequests(_) => (StatusCode::TOO_MANY_REQUESTS, "error-busy"),
            Self::InvalidParameter { status, .. } => (*status, "error-request"),
            Self::InvalidClientRequest(_) => (StatusCode::BAD_REQUEST, "error-request"),
        }
    }

    const fn parameter(&self) -> Option<&str> {
        match self {
            Self::InvalidParameter { name, .. } => Some(name.as_str()),
            Self::InvalidClientRequest(name) => Some(name),
            _ => None,
        }
    }

    fn retry_after_seconds(&self) -> Option<u64> {
        match self {
            Self::TooManyRequests(wait) => Some(wait.as_secs().max(1)),
            Self::Infra(error) if error.is_transient() => Some(TRANSIENT_RETRY_SECONDS),
            _ => None,
        }
    }
}
