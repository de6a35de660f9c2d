//! What people hear when something does not work: what happened, and what to do next. Never a cause.

use std::{future::Future, time::Duration};

use poem::{
    Request, Response,
    http::{StatusCode, header},
};

use super::page;
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

/// Why a page cannot be shown.
#[derive(Debug)]
pub enum PageError {
    /// Something of ours is away or broken.
    Infra(InfraError),
    /// The browser brought no cookie, or two of one name.
    UnusableCookie,
    /// A form that is not ours, or too old.
    InvalidForm,
    /// Nothing is there.
    NotFound,
    /// The sign-in is over.
    SignInExpired,
    /// An account at a provider that waited is another browser's, used, or too old.
    PendingLinkGone,
    /// The link or code was used.
    AlreadyUsed,
    /// Too many requests from this network.
    TooManyRequests(Duration),
    /// A parameter is wrong; its name.
    InvalidParameter(String, StatusCode),
    /// The client's request cannot be answered; the parameter at fault.
    InvalidClientRequest(&'static str),
}

impl From<InfraError> for PageError {
    fn from(failure: InfraError) -> Self {
        Self::Infra(failure)
    }
}

impl From<CookieError> for PageError {
    fn from(_: CookieError) -> Self {
        Self::UnusableCookie
    }
}

impl From<ParamError> for PageError {
    fn from(error: ParamError) -> Self {
        Self::InvalidParameter(error.to_string(), error.status())
    }
}

/// Runs a page endpoint: its answer, or the page that tells of the trouble.
pub async fn respond(
    app: &App,
    request: &Request,
    work: impl Future<Output = Result<Response, PageError>>,
) -> Response {
    match work.await {
        Ok(response) => response,
        Err(page_error) => page_error.show(app, request),
    }
}

impl PageError {
    /// Status, and the stem of its texts.
    const fn parts(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Infra(failure) if failure.is_transient() => {
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
            Self::InvalidParameter(_, status) => (*status, "error-request"),
            Self::InvalidClientRequest(_) => (StatusCode::BAD_REQUEST, "error-request"),
        }
    }

    /// The page. Logs our own faults, once, here where the answer leaves.
    #[must_use]
    pub fn show(self, app: &App, request: &Request) -> Response {
        let caller = Caller::from_request(request);
        if let Self::Infra(failure) = &self {
            failure.log(&caller.request_id);
        }
        let (status, stem) = self.parts();
        let localizer = app.texts.negotiate("", &caller.accept_language);
        let title = if stem == "error-internal" {
            "error-title".to_owned()
        } else {
            format!("{stem}-title")
        };
        let parameter = match &self {
            Self::InvalidParameter(name, _) => Some(name.as_str()),
            Self::InvalidClientRequest(name) => Some(*name),
            _ => None,
        };
        // Somebody whom an application sent here with a bad request gains nothing from signing in here.
        let leads_on = !matches!(self, Self::InvalidClientRequest(_));
        let error = page::ErrorPage {
            localizer: &localizer,
            status,
            title: localizer.text(&title),
            message: localizer.text(stem),
            parameter,
            next_href: leads_on.then_some("/login"),
            next_label: None,
            reference: Some(&caller.request_id),
        };
        let mut response = render_page(&error, PageOptions::for_url(&app.public_url));
        let wait = match self {
            Self::TooManyRequests(wait) => Some(wait.as_secs().max(1)),
            Self::Infra(failure) if failure.is_transient() => Some(5),
            _ => None,
        };
        if let Some(seconds) = wait {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}
