//! The one page of this client, in its few states. It has no script.

use std::fmt::Display;

use askama::Template;
use poem::{
    IntoResponse, Response, handler,
    http::{
        HeaderName, StatusCode,
        header::{self, HeaderValue},
    },
};
use serde::Deserialize;

/// A response of the lessons API.
#[derive(Debug, Deserialize)]
pub(crate) struct Lessons {
    lessons: Vec<Lesson>,
}

#[derive(Debug, Deserialize)]
struct Lesson {
    time: String,
    title: String,
    studio: String,
}

/// A response of the lessons API to coaches.
#[derive(Debug, Deserialize)]
pub(crate) struct Register {
    register: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    pupil: String,
    call: String,
}

/// The notice for a user whose session has ended.
pub(crate) const OVER: &str = "Your session has ended. Sign in again.";

/// What the page shows.
enum Show<'a> {
    SignIn,
    Lessons(&'a [Lesson]),
    Register(&'a [Entry]),
    NotForYou,
}

#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    show: Show<'a>,
    sub: &'a str,
    notice: Option<&'a str>,
    error: Option<&'a str>,
}

const EMPTY: Page<'_> = Page {
    show: Show::SignIn,
    sub: "",
    notice: None,
    error: None,
};

/// The page for a browser that is not signed in.
pub(crate) fn sign_in(notice: Option<&str>) -> Response {
    render(StatusCode::OK, &Page { notice, ..EMPTY })
}

/// The page for a user who is signed in.
pub(crate) fn lessons(sub: &str, lessons: &Lessons) -> Response {
    render(
        StatusCode::OK,
        &Page {
            show: Show::Lessons(&lessons.lessons),
            sub,
            ..EMPTY
        },
    )
}

/// The user is a coach.
pub(crate) fn register(sub: &str, register: &Register) -> Response {
    render(
        StatusCode::OK,
        &Page {
            show: Show::Register(&register.register),
            sub,
            ..EMPTY
        },
    )
}

/// The page for a user who requests what only coaches may see.
pub(crate) fn not_for_you(sub: &str) -> Response {
    render(
        StatusCode::FORBIDDEN,
        &Page {
            show: Show::NotForYou,
            sub,
            ..EMPTY
        },
    )
}

/// The page for a failure. The user reads the text.
pub(crate) fn failed(status: StatusCode, error: &str) -> Response {
    render(
        status,
        &Page {
            error: Some(error),
            ..EMPTY
        },
    )
}

/// The page for an outage of Entree or the API. The cause goes to the log.
pub(crate) fn away(cause: &dyn Display) -> Response {
    tracing::warn!(%cause, "away");
    let mut answer = failed(
        StatusCode::SERVICE_UNAVAILABLE,
        "We can't reach the school right now. Please try again in a minute.",
    );
    add_header(&mut answer, header::RETRY_AFTER, "5");
    answer
}

fn render(status: StatusCode, page: &Page<'_>) -> Response {
    match page.render() {
        Ok(html) => Response::builder()
            .status(status)
            .content_type("text/html; charset=utf-8")
            .body(html),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into(),
    }
}

#[handler]
pub(crate) fn style() -> Response {
    Response::builder()
        .content_type("text/css; charset=utf-8")
        .body(include_str!("../templates/style.css"))
}

/// Adds a header, unless its value cannot be sent.
pub(crate) fn add_header(answer: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().append(name, value);
    }
}

/// Returns the content security policy: forms may lead to this client and to the issuer.
pub(crate) fn policy(issuer: &str) -> String {
    format!(
        "default-src 'none'; style-src 'self'; form-action 'self' {issuer}; frame-ancestors 'none'; base-uri 'none'"
    )
}

/// Adds the headers that every response has.
pub(crate) fn with_headers(answer: impl IntoResponse, policy: &str) -> Response {
    let mut answer = answer.into_response();
    add_header(&mut answer, header::CONTENT_SECURITY_POLICY, policy);
    add_header(&mut answer, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    add_header(&mut answer, header::REFERRER_POLICY, "same-origin");
    add_header(&mut answer, header::CACHE_CONTROL, "no-store");
    answer
}
