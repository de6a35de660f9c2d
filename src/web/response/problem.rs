//! The errors of `/api` as `application/problem+json` (RFC 9457).
//!
//! `type` is always `about:blank` and `title` the words of the status (§4.2.1). Programs read
//! `code`, people read `detail`. No member holds a cause.

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

use super::reason::RefusalReason;

/// A problem (RFC 9457 §3.1).
#[derive(Clone, Debug, Object, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Problem {
    /// Always `about:blank`: `code` distinguishes problems.
    #[oai(rename = "type")]
    pub kind: String,
    /// The standard phrase of the status.
    pub title: String,
    /// The status of the response.
    pub status: u16,
    /// What is wrong and what helps, for people.
    pub detail: String,
    /// The name of the problem, for programs: fixed lower-case words with underscores.
    pub code: String,
    /// The id of the request in the log. Name it when you ask for help.
    #[oai(skip_serializing_if_is_none)]
    pub reference: Option<String>,
    /// Seconds for the Retry-After header (RFC 9110 §10.2.3).
    #[oai(skip)]
    pub retry_after: Option<u32>,
    /// The nonce for the DPoP-Nonce header (RFC 9449 §8).
    #[oai(skip)]
    pub dpop_nonce: Option<String>,
}

impl Problem {
    /// RFC 9457 §6.1.
    pub const CONTENT_TYPE: &'static str = "application/problem+json";

    /// `detail` is sent as it is: it holds fixed words, or words about what the caller sent.
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
            dpop_nonce: None,
        }
    }

    #[must_use]
    pub fn with_reference(self, request_id: impl Into<String>) -> Self {
        Self {
            reference: Some(request_id.into()),
            ..self
        }
    }

    #[must_use]
    pub fn with_retry_after(self, seconds: u32) -> Self {
        Self {
            retry_after: Some(seconds),
            ..self
        }
    }

    #[must_use]
    pub fn with_dpop_nonce(self, nonce: String) -> Self {
        Self {
            dpop_nonce: Some(nonce),
            ..self
        }
    }

    /// Returns the problem as the body of a response.
    #[must_use]
    pub fn to_body(&self) -> String {
        self.to_json_string()
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
            .body(self.to_body());
        if let Some(seconds) = self.retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        // Characters of base64url, so it is always a header value.
        if let Some(Ok(nonce)) = self.dpop_nonce.as_deref().map(HeaderValue::try_from) {
            response.headers_mut().insert("dpop-nonce", nonce);
        }
        // The layers add the reference, which endpoints do not know.
        response.extensions_mut().insert(self.clone());
        RefusalReason::new(self.code).attach_to(response)
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

/// A [`Problem`] as the payload of a response enum's variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProblemJson(pub Problem);

impl From<Problem> for ProblemJson {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(ApiResponse)]
    enum TestResponse {
        /// Too many requests.
        #[oai(status = 429)]
        TooMany(ProblemJson),
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
            TestResponse::TooMany(problem.into()).into_response(),
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
        let meta = TestResponse::meta();
        assert_eq!(
            meta.responses[0].content[0].content_type,
            "application/problem+json"
        );
    }
}
