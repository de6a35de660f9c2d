//! What can go wrong below the rules, and how each audience hears of it.
//!
//! A [`InfraError`] is never the caller's fault: something that we need is away, or we have a bug. What the caller did
//! wrong is a value of the rule that refused it. Three audiences, three forms: RFC JSON at OAuth endpoints,
//! `application/problem+json` at `/api`, a page with a reference for people. None of them ever shows a cause.

use super::problem::Problem;
use crate::error::InfraError;
use poem::{
    Response,
    error::ResponseError,
    http::{HeaderValue, StatusCode, header},
};

/// Seconds in Retry-After when something that we need is away.
pub const RETRY_AFTER: u32 = 5;

/// As a [`poem::Error`] a failure is a problem of fixed words; the layers give it the form of its audience, the
/// reference, and the line in the log.
impl ResponseError for InfraError {
    fn status(&self) -> StatusCode {
        if self.is_transient() {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }

    fn as_response(&self) -> Response {
        ErrorResponse::new(self.status(), "").answer(Audience::Api)
    }
}

/// Who hears of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Callers of `/api`: `application/problem+json`.
    Api,
    /// Client software at OAuth endpoints: JSON as RFC 6749 §5.2 has it.
    Client,
    /// People: a page, or plain words where there are no pages.
    People,
}

impl Audience {
    /// By path. `/oauth2/authorize`, `/oauth2/logout` and all that is not listed is for people.
    #[must_use]
    pub fn of(path: &str) -> Self {
        match path.split('/').nth(1) {
            Some("api") => Self::Api,
            Some(".well-known") => Self::Client,
            Some("oauth2")
                if !(path.starts_with("/oauth2/authorize")
                    || path.starts_with("/oauth2/logout")) =>
            {
                Self::Client
            }
            _ => Self::People,
        }
    }
}

/// An error answer before it has the form of its audience.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorResponse {
    /// 4xx or 5xx.
    pub status: StatusCode,
    /// What is wrong and what helps. Fixed words, or for a 4xx words about what the caller itself sent.
    pub detail: String,
    /// The id of the request in the log.
    pub reference: String,
}

impl ErrorResponse {
    /// With the fixed words for `status`.
    #[must_use]
    pub fn new(status: StatusCode, reference: &str) -> Self {
        Self {
            status,
            detail: words(status).1.to_owned(),
            reference: reference.to_owned(),
        }
    }

    /// With words of its own, cut to 300 bytes. Not for a 5xx: those keep the fixed words.
    #[must_use]
    pub fn with_detail(self, detail: &str) -> Self {
        if self.status.is_server_error() || detail.is_empty() {
            return self;
        }
        Self {
            detail: detail
                .chars()
                .filter(|c| !c.is_control())
                .take(300)
                .collect(),
            ..self
        }
    }

    /// The answer for `audience`; for people in plain words, for where there are no pages.
    #[must_use]
    pub fn answer(&self, audience: Audience) -> Response {
        let mut response = match audience {
            Audience::Api => poem::IntoResponse::into_response(
                Problem::new(self.status, words(self.status).0, &self.detail)
                    .with_reference(&self.reference),
            ),
            Audience::Client => self.json(),
            Audience::People => {
                let title = self.status.canonical_reason().unwrap_or("Error");
                let text = format!("{title}\n{}\nReference: {}\n", self.detail, self.reference);
                Response::builder()
                    .status(self.status)
                    .content_type("text/plain; charset=utf-8")
                    .body(text)
            }
        };
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER));
        }
        response
    }

    /// RFC 6749 §5.2, with the codes of §4.1.2.1 for our own faults.
    fn json(&self) -> Response {
        let error = match self.status {
            StatusCode::SERVICE_UNAVAILABLE => "temporarily_unavailable",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request",
        };
        // §5.2: no quote, no backslash, ASCII alone.
        let detail: String = self
            .detail
            .chars()
            .map(|c| if is_description(c) { c } else { '.' })
            .collect();
        let body = serde_json::json!({"error": error, "error_description": detail});
        Response::builder()
            .status(self.status)
            .content_type("application/json")
            .body(body.to_string())
    }
}

const fn is_description(c: char) -> bool {
    matches!(c, ' '..='~') && !matches!(c, '"' | '\\')
}

/// Code and words of a status.
fn words(status: StatusCode) -> (&'static str, &'static str) {
    match status.as_u16() {
        404 => ("not_found", "There is nothing at this address."),
        405 => (
            "method_not_allowed",
            "This address does not take this method.",
        ),
        408 => ("timed_out", "The request took too long to arrive."),
        413 => ("too_large", "The request is too large."),
        415 => (
            "wrong_content_type",
            "The content type of the request is not one that this address takes.",
        ),
        421 => (
            "misdirected",
            "This server does not answer for that host name.",
        ),
        400..=499 => ("bad_request", "The request could not be understood."),
        503 => (
            "temporarily_unavailable",
            "Something that we need is away for the moment. Please try again shortly.",
        ),
        _ => (
            "internal",
            "Something went wrong on our side. The reference helps us to find it.",
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_failure_leaves_without_its_cause() {
        let away = InfraError::Unavailable {
            dependency: "database",
            cause: "host db-7 port 5432".into(),
        };
        for (failure, status, after) in [
            (away, 503, Some("5")),
            (InfraError::Conflict("row 7".into()), 503, Some("5")),
            (InfraError::internal("row 7 is damaged"), 500, None),
        ] {
            let response = poem::Error::from(failure).into_response();
            assert_eq!(response.status(), status);
            assert_eq!(response.header("retry-after"), after);
            assert_eq!(response.content_type(), Some(Problem::CONTENT_TYPE));
            let body = response.into_body().into_string().await.unwrap();
            assert!(
                !body.contains('7') && !body.contains("row") && !body.contains("database"),
                "{body}"
            );
        }
    }

    #[test]
    fn three_audiences_by_path() {
        for (path, audience) in [
            ("/api/v1/me", Audience::Api),
            ("/api", Audience::Api),
            ("/apis", Audience::People),
            ("/oauth2/token", Audience::Client),
            ("/oauth2/authorize", Audience::People),
            ("/oauth2/logout", Audience::People),
            ("/.well-known/jwks.json", Audience::Client),
            ("/login", Audience::People),
            ("", Audience::People),
        ] {
            assert_eq!(Audience::of(path), audience, "{path}");
        }
    }

    #[tokio::test]
    async fn rfc_6749_5_2_descriptions_hold_no_quote_and_no_control() {
        let fault = ErrorResponse::new(StatusCode::BAD_REQUEST, "r").with_detail("a \"b\" \\ é\n");
        let response = fault.answer(Audience::Client);
        let body: serde_json::Value = response.into_body().into_json().await.unwrap();
        assert_eq!(
            body,
            serde_json::json!({"error": "invalid_request", "error_description": "a .b. . ."})
        );
    }

    #[test]
    fn a_500_keeps_its_fixed_words() {
        let fault = ErrorResponse::new(StatusCode::INTERNAL_SERVER_ERROR, "r");
        assert_eq!(fault.clone().with_detail("secret cause"), fault);
    }
}
