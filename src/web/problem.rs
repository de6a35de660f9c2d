//! What `/api` answers when it does not do what was asked: `application/problem+json` (RFC 9457).
//!
//! `type` is always `about:blank` and `title` the words of the status (§4.2.1); programs look at `code`, people at
//! `detail`. No member ever holds a cause.

use poem::{
    IntoResponse, Response,
    error::ResponseError,
    http::{HeaderValue, StatusCode, header},
};
use poem_openapi::{
    ApiResponse, Object,
    payload::Payload,
    registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchemaRef, Registry},
    types::{ToJSON as _, Type as _},
};

use crate::error::InfraError;

/// A problem (RFC 9457 §3.1). As a response it sets its own status and, if asked, Retry-After.
#[derive(Clone, Debug, Object, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Problem {
    /// Always `about:blank`: `code` tells problems apart.
    #[oai(rename = "type")]
    pub kind: String,
    /// The words of the status.
    pub title: String,
    /// The status, again.
    pub status: u16,
    /// What is wrong and what helps, for a person.
    pub detail: String,
    /// Which problem it is, for a program: fixed lower-case words with underscores.
    pub code: String,
    /// What to name when asking for help: the id of the request in our log.
    #[oai(skip_serializing_if_is_none)]
    pub reference: Option<String>,
    /// Seconds for a Retry-After header (RFC 9110 §10.2.3).
    #[oai(skip)]
    pub retry_after: Option<u32>,
}

impl Problem {
    /// A problem. `detail` is shown as it is: fixed words, or words about what the caller itself sent.
    #[must_use]
    pub fn new(status: StatusCode, code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            code: code.into(),
            reference: None,
            retry_after: None,
        }
    }

    /// With the id of the request.
    #[must_use]
    pub fn with_reference(self, request_id: impl Into<String>) -> Self {
        Self {
            reference: Some(request_id.into()),
            ..self
        }
    }

    /// With Retry-After: `seconds`.
    #[must_use]
    pub fn with_retry_after(self, seconds: u32) -> Self {
        Self {
            retry_after: Some(seconds),
            ..self
        }
    }

    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::builder()
            .status(self.status_code())
            .content_type(Self::CONTENT_TYPE)
            .body(self.to_json_string());
        if let Some(seconds) = self.retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl ResponseError for Problem {
    fn status(&self) -> StatusCode {
        self.status_code()
    }

    fn as_response(&self) -> Response {
        self.clone().into_response()
    }
}

/// [`Problem`] as a payload, for variants of a response enum: `#[oai(status = 400)] Refused(ProblemJson)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProblemJson(pub Problem);

impl From<Problem> for ProblemJson {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl Problem {
    /// RFC 9457 §6.1.
    pub const CONTENT_TYPE: &'static str = "application/problem+json";
}

impl Payload for ProblemJson {
    const CONTENT_TYPE: &'static str = Problem::CONTENT_TYPE;

    fn schema_ref() -> MetaSchemaRef {
        Problem::schema_ref()
    }

    fn register(registry: &mut Registry) {
        Problem::register(registry);
    }
}

impl IntoResponse for ProblemJson {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

impl ApiResponse for ProblemJson {
    fn meta() -> MetaResponses {
        let content = MetaMediaType {
            content_type: Problem::CONTENT_TYPE,
            schema: Problem::schema_ref(),
        };
        let response = MetaResponse {
            description: "A problem (RFC 9457)",
            status: None,
            status_range: None,
            content: vec![content],
            headers: vec![],
        };
        MetaResponses {
            responses: vec![response],
        }
    }

    fn register(registry: &mut Registry) {
        Problem::register(registry);
    }
}

/// The body was not taken: 413, 415. For [`ApiError`].
pub const BODY_REJECTED: u8 = 1;

/// Something that we need is away: 503. For [`ApiError`].
pub const UNAVAILABLE: u8 = 2;

/// What an address answers before its own code has its say, or when that cannot be done: for the documentation. The
/// layers give it its words.
#[derive(Debug)]
pub struct ApiError<const WHAT: u8>(poem::Error);

impl<const WHAT: u8> From<InfraError> for ApiError<WHAT> {
    fn from(failure: InfraError) -> Self {
        Self(failure.into())
    }
}

impl<const WHAT: u8> From<ApiError<WHAT>> for poem::Error {
    fn from(otherwise: ApiError<WHAT>) -> Self {
        otherwise.0
    }
}

impl<const WHAT: u8> ApiResponse for ApiError<WHAT> {
    fn meta() -> MetaResponses {
        let all = [
            (BODY_REJECTED, 413, "`too_large`: a body may have 64 KiB."),
            (
                BODY_REJECTED,
                415,
                "`wrong_content_type`: the body must be `application/json`.",
            ),
            (
                UNAVAILABLE,
                503,
                "`temporarily_unavailable`: something that we need is away. Wait for what Retry-After says.",
            ),
        ];
        let told = all.into_iter().filter(|(what, ..)| WHAT & what != 0);
        let told = told.flat_map(|(_, status, description)| {
            let mut responses = ProblemJson::meta().responses;
            for response in &mut responses {
                (response.status, response.description) = (Some(status), description);
            }
            responses
        });
        MetaResponses {
            responses: told.collect(),
        }
    }

    fn register(registry: &mut Registry) {
        Problem::register(registry);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[derive(ApiResponse)]
    enum Answer {
        /// Refused.
        #[oai(status = 429)]
        Refused(ProblemJson),
    }

    #[tokio::test]
    async fn rfc_9457_a_problem_carries_its_members_and_status() {
        let problem = Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "slow_down",
            "Try again in a minute.",
        )
        .with_reference("r1")
        .with_retry_after(60);
        for response in [
            problem.clone().into_response(),
            poem::Error::from(problem.clone()).into_response(),
            Answer::Refused(problem.into()).into_response(),
        ] {
            assert_eq!(response.status(), 429);
            assert_eq!(response.content_type(), Some("application/problem+json"));
            assert_eq!(response.header("retry-after"), Some("60"));
            let body: serde_json::Value = response.into_body().into_json().await.unwrap();
            assert_eq!(
                body,
                serde_json::json!({"type": "about:blank", "title": "Too Many Requests", "status": 429,
                    "detail": "Try again in a minute.", "code": "slow_down", "reference": "r1"})
            );
        }
    }

    #[test]
    fn the_documentation_names_the_media_type() {
        let meta = Answer::meta();
        assert_eq!(
            meta.responses[0].content[0].content_type,
            "application/problem+json"
        );
    }

    #[test]
    fn the_documentation_names_what_any_address_may_answer() {
        let statuses = |meta: MetaResponses| {
            meta.responses
                .iter()
                .map(|one| one.status.unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            statuses(Result::<Answer, ApiError<{ BODY_REJECTED | UNAVAILABLE }>>::meta()),
            [429, 413, 415, 503]
        );
        assert_eq!(
            statuses(Result::<Answer, ApiError<UNAVAILABLE>>::meta()),
            [429, 503]
        );
    }
}
