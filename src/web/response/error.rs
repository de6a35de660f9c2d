//! Errors in the form of their audience: RFC JSON for client software, `application/problem+json`
//! for callers of `/api`, a page with a reference for people. None of them shows a cause.
//!
//! What a caller did wrong is an error type of the rule that refuses it. This file renders the
//! errors of the infrastructure and of HTTP itself.

use poem::{
    Response,
    error::ResponseError,
    http::{HeaderValue, StatusCode, header},
};
use poem_openapi::{
    ApiResponse,
    registry::{MetaResponses, Registry},
};

use super::problem::{Problem, ProblemJson};
use crate::error::InfraError;

/// Seconds in Retry-After while a dependency of ours is unavailable. [`UNAVAILABLE_TEXT`] and the text
/// `error-away` of the pages say the same in words.
pub const RETRY_AFTER: u32 = 5;

/// What client software is shown while a dependency of ours is unavailable.
pub const UNAVAILABLE_TEXT: &str =
    "The service is temporarily unavailable. Try again in a few seconds.";

/// Renders fixed words. The layers give the error the form of its audience, add the reference, and
/// write the cause to the log.
impl ResponseError for InfraError {
    fn status(&self) -> StatusCode {
        if self.is_transient() {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }

    fn as_response(&self) -> Response {
        ErrorResponse::new(self.status(), "").render(Audience::Api)
    }
}

/// The readers of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Callers of `/api`: `application/problem+json`.
    Api,
    /// Client software at OAuth endpoints: JSON as RFC 6749 §5.2 has it.
    Client,
    /// People: a page, or plain text on a listener without pages.
    People,
}

impl Audience {
    /// Returns the audience of a path. `/oauth2/authorize`, `/oauth2/logout` and every path that is
    /// not listed are for people.
    #[must_use]
    pub fn of_path(path: &str) -> Self {
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

/// An error before it has the form of its audience.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorResponse {
    /// 4xx or 5xx.
    pub status: StatusCode,
    /// What is wrong and what helps: fixed words, or for a 4xx words about what the caller sent.
    pub detail: String,
    /// The id of the request in the log; none if it has no line there (OA-19).
    pub reference: Option<String>,
}

impl ErrorResponse {
    /// Returns the error with the fixed words of `status`.
    #[must_use]
    pub fn new(status: StatusCode, reference: &str) -> Self {
        Self {
            status,
            detail: code_and_detail(status).1.to_owned(),
            reference: Some(reference.to_owned()),
        }
    }

    /// Replaces the fixed words by `detail`, cut to 300 characters. A 5xx keeps the fixed words,
    /// and so does an error without a detail.
    #[must_use]
    pub fn with_detail(self, detail: &str) -> Self {
        if self.status.is_server_error() || detail.is_empty() {
            return self;
        }
        let detail = detail.chars().filter(|c| !c.is_control()).take(300);
        Self {
            detail: detail.collect(),
            ..self
        }
    }

    /// Renders the error. People get plain text: listeners with pages render their own.
    #[must_use]
    pub fn render(&self, audience: Audience) -> Response {
        let mut response = match audience {
            Audience::Api => self.to_problem(),
            Audience::Client => self.to_oauth_json(),
            Audience::People => self.to_text(),
        };
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER));
        }
        response
    }

    fn to_problem(&self) -> Response {
        let problem = Problem::new(self.status, code_and_detail(self.status).0, &self.detail);
        let problem = match &self.reference {
            Some(reference) => problem.with_reference(reference),
            None => problem,
        };
        poem::IntoResponse::into_response(problem)
    }

    /// RFC 6749 §5.2, with the codes of §4.1.2.1 for errors of the service.
    fn to_oauth_json(&self) -> Response {
        let error = match self.status {
            StatusCode::SERVICE_UNAVAILABLE => "temporarily_unavailable",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request",
        };
        // RFC 6749 §5.2: no quote, no backslash, ASCII alone.
        let is_allowed = |c| matches!(c, ' '..='~') && !matches!(c, '"' | '\\');
        let detail = self.detail.chars();
        let detail: String = detail
            .map(|c| if is_allowed(c) { c } else { '.' })
            .collect();
        let body = serde_json::json!({"error": error, "error_description": detail});
        Response::builder()
            .status(self.status)
            .content_type("application/json")
            .body(body.to_string())
    }

    fn to_text(&self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let reference = self.reference.as_deref();
        let reference = reference.map(|reference| format!("Reference: {reference}\n"));
        let text = format!(
            "{title}\n{}\n{}",
            self.detail,
            reference.unwrap_or_default()
        );
        Response::builder()
            .status(self.status)
            .content_type("text/plain; charset=utf-8")
            .body(text)
    }
}

fn code_and_detail(status: StatusCode) -> (&'static str, &'static str) {
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
        503 => ("temporarily_unavailable", UNAVAILABLE_TEXT),
        _ => (
            "internal",
            "Something went wrong on our side. The reference helps us to find it.",
        ),
    }
}

/// Documents the responses to a body that the layers or the framework refuse: 413, 415.
pub const BODY_REJECTED: u8 = 1;

/// Documents the response while a dependency is unavailable: 503.
pub const UNAVAILABLE: u8 = 2;

/// The errors of an API endpoint that are not its own. `RESPONSES` says which of them the generated
/// document lists; the layers render them.
#[derive(Debug)]
pub struct ApiError<const RESPONSES: u8>(poem::Error);

impl<const RESPONSES: u8> From<InfraError> for ApiError<RESPONSES> {
    fn from(error: InfraError) -> Self {
        Self(error.into())
    }
}

impl<const RESPONSES: u8> From<ApiError<RESPONSES>> for poem::Error {
    fn from(error: ApiError<RESPONSES>) -> Self {
        error.0
    }
}

impl<const RESPONSES: u8> ApiResponse for ApiError<RESPONSES> {
    fn meta() -> MetaResponses {
        let mut responses = Vec::new();
        let mut document = |status, description| {
            responses.extend(
                ProblemJson::meta()
                    .responses
                    .into_iter()
                    .map(|mut response| {
                        (response.status, response.description) = (Some(status), description);
                        response
                    }),
            );
        };
        if RESPONSES & BODY_REJECTED != 0 {
            document(413, "`too_large`: a body may have 64 KiB.");
            document(
                415,
                "`wrong_content_type`: the body must be `application/json`.",
            );
        }
        if RESPONSES & UNAVAILABLE != 0 {
            document(
                503,
                "`temporarily_unavailable`: a dependency is unavailable. Try again after the \
                 seconds in Retry-After.",
            );
        }
        MetaResponses { responses }
    }

    fn register(registry: &mut Registry) {
        ProblemJson::register(registry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_infrastructure_error_is_rendered_without_its_cause() {
        let unavailable = InfraError::Unavailable {
            dependency: "database",
            cause: "host db-7 port 5432".into(),
        };
        for (error, status, retry_after) in [
            (unavailable, 503, Some("5")),
            (InfraError::Conflict("row 7".into()), 503, Some("5")),
            (InfraError::internal("row 7 is damaged"), 500, None),
        ] {
            let response = poem::Error::from(error).into_response();
            assert_eq!(response.status(), status);
            assert_eq!(response.header("retry-after"), retry_after);
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
            assert_eq!(Audience::of_path(path), audience, "{path}");
        }
    }

    #[tokio::test]
    async fn rfc_6749_5_2_descriptions_hold_no_quote_and_no_control() {
        let error = ErrorResponse::new(StatusCode::BAD_REQUEST, "r").with_detail("a \"b\" \\ é\n");
        let response = error.render(Audience::Client);
        let body: serde_json::Value = response.into_body().into_json().await.unwrap();
        assert_eq!(
            body,
            serde_json::json!({"error": "invalid_request", "error_description": "a .b. . ."})
        );
    }

    #[test]
    fn a_500_keeps_its_fixed_words() {
        let error = ErrorResponse::new(StatusCode::INTERNAL_SERVER_ERROR, "r");
        assert_eq!(error.clone().with_detail("secret cause"), error);
    }

    #[derive(ApiResponse)]
    #[expect(dead_code, reason = "only its documentation is read")]
    enum TestResponse {
        /// Too many requests.
        #[oai(status = 429)]
        TooMany(ProblemJson),
    }

    #[test]
    fn the_documentation_lists_the_responses_of_the_layers() {
        let statuses = |meta: MetaResponses| {
            meta.responses
                .iter()
                .map(|response| response.status.unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            statuses(Result::<
                TestResponse,
                ApiError<{ BODY_REJECTED | UNAVAILABLE }>,
            >::meta()),
            [429, 413, 415, 503]
        );
        assert_eq!(
            statuses(Result::<TestResponse, ApiError<UNAVAILABLE>>::meta()),
            [429, 503]
        );
    }
}
