//! What client software hears: the error codes of RFC 6749 and OpenID Connect, as JSON or in a redirect.

use poem::{
    IntoResponse, Response,
    http::{StatusCode, header},
};

use crate::web::error::Failure;

/// An error code (RFC 6749 §4.1.2.1, §5.2; OIDC Core §3.1.2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// A parameter is missing, repeated or malformed.
    InvalidRequest,
    /// Unknown client, or it did not authenticate.
    InvalidClient,
    /// The code is bad, spent, expired or another client's.
    InvalidGrant,
    /// The client may not do this.
    UnauthorizedClient,
    /// We do not do this grant.
    UnsupportedGrantType,
    /// We do not do this response type.
    UnsupportedResponseType,
    /// Somebody must sign in, and no page may be shown.
    LoginRequired,
    /// The person must allow it, and no page may be shown.
    ConsentRequired,
    /// The person did not want to.
    AccessDenied,
    /// The resource is not one of the client's (RFC 8707 §2).
    InvalidTarget,
    /// Request objects are not supported.
    RequestNotSupported,
    /// Request URIs are not supported.
    RequestUriNotSupported,
    /// Something that we need is away.
    TemporarilyUnavailable,
    /// A fault of ours.
    ServerError,
}

impl Code {
    /// The registered name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::LoginRequired => "login_required",
            Self::ConsentRequired => "consent_required",
            Self::AccessDenied => "access_denied",
            Self::InvalidTarget => "invalid_target",
            Self::RequestNotSupported => "request_not_supported",
            Self::RequestUriNotSupported => "request_uri_not_supported",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::ServerError => "server_error",
        }
    }
}

/// An error for client software. The description is ours, ASCII without quotes or backslashes (RFC 6749 §5.2); the
/// reason is for the trail alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OauthError {
    /// The code.
    pub code: Code,
    /// Words that help the developer of the client.
    pub description: &'static str,
    /// Why, in one word, for the trail.
    pub reason: &'static str,
}

impl OauthError {
    /// An error whose reason says no more than its code.
    #[must_use]
    pub const fn new(code: Code, description: &'static str) -> Self {
        Self { code, description, reason: code.name() }
    }

    /// With a word for the trail.
    #[must_use]
    pub const fn because(code: Code, description: &'static str, reason: &'static str) -> Self {
        Self { code, description, reason }
    }

    /// The JSON answer of an OAuth endpoint (RFC 6749 §5.2).
    #[must_use]
    pub fn into_json(self) -> Response {
        let status = match self.code {
            Code::InvalidClient => StatusCode::UNAUTHORIZED,
            Code::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Code::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        };
        let body = serde_json::json!({ "error": self.code.name(), "error_description": self.description });
        let mut response = json(status, &body);
        if self.code == Code::TemporarilyUnavailable {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("5"));
        }
        response
    }

    /// What a failure of ours is to a client. An outage is never `invalid_grant`: clients would drop the grant (ER-3).
    #[must_use]
    pub fn from_failure(failure: &Failure) -> Self {
        if failure.is_passing() {
            Self::new(Code::TemporarilyUnavailable, "Try again in a few seconds.")
        } else {
            Self::new(Code::ServerError, "Something went wrong on our side.")
        }
    }
}

/// A JSON answer that is never cached (RFC 6749 §5.1).
#[must_use]
pub fn json(status: StatusCode, body: &serde_json::Value) -> Response {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CACHE_CONTROL, "no-store")
        .header(header::PRAGMA, "no-cache")
        .body(body.to_string())
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn er_3_an_outage_is_never_invalid_grant() {
        let away = Failure::Away { what: "database", cause: "secret cause".into() };
        let error = OauthError::from_failure(&away);
        assert_eq!(error.code, Code::TemporarilyUnavailable);
        let response = error.into_json();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key(header::RETRY_AFTER));
    }
}
