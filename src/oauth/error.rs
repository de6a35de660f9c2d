//! What client software hears: the error codes of RFC 6749 and OpenID Connect, as JSON or in a redirect.

use std::borrow::Cow;

use poem::{
    IntoResponse, Response,
    http::{StatusCode, header},
};

use crate::error::InfraError;
use crate::web::params::ParamError;

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
    /// More is asked for than may be given.
    InvalidScope,
    /// Tokens of this kind cannot be revoked (RFC 7009 §2.2.1).
    UnsupportedTokenType,
    /// We do not do this grant.
    UnsupportedGrantType,
    /// We do not do this response type.
    UnsupportedResponseType,
    /// Somebody must sign in, and no page may be shown.
    LoginRequired,
    /// The person must allow it, and no page may be shown.
    ConsentRequired,
    /// A strength of sign-in is demanded that cannot be reached (OpenID Connect Core Error Code
    /// unmet_authentication_requirements 1.0, RFC 9470 §5).
    UnmetAuthenticationRequirements,
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
            Self::InvalidScope => "invalid_scope",
            Self::UnsupportedTokenType => "unsupported_token_type",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::LoginRequired => "login_required",
            Self::ConsentRequired => "consent_required",
            Self::UnmetAuthenticationRequirements => "unmet_authentication_requirements",
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
    /// The parameter that is at fault, one of ours by name; none if it is another thing.
    pub parameter: Option<&'static str>,
    description: &'static str,
    /// Why, in one word, for the trail.
    pub reason: &'static str,
}

impl OauthError {
    /// An error whose reason says no more than its code.
    #[must_use]
    pub const fn new(code: Code, description: &'static str) -> Self {
        Self {
            code,
            parameter: None,
            description,
            reason: code.name(),
        }
    }

    /// With a word for the trail.
    #[must_use]
    pub const fn because(code: Code, description: &'static str, reason: &'static str) -> Self {
        Self {
            code,
            parameter: None,
            description,
            reason,
        }
    }

    /// The same, with another word for the trail.
    #[must_use]
    pub const fn for_trail(self, reason: &'static str) -> Self {
        Self { reason, ..self }
    }

    /// Words that help the developer of the client (RFC 6749 §5.2).
    #[must_use]
    pub fn description(&self) -> Cow<'static, str> {
        match self.parameter {
            Some(name) => format!("The parameter {name} {}", self.description).into(),
            None => self.description.into(),
        }
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
        let body = serde_json::json!({ "error": self.code.name(), "error_description": self.description() });
        let mut response = json(status, &body);
        if self.code == Code::TemporarilyUnavailable {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, header::HeaderValue::from_static("5"));
        }
        response
    }

    /// What a failure of ours is to a client. An outage is never `invalid_grant`: clients would drop the grant (ER-3).
    #[must_use]
    pub fn from_failure(failure: &InfraError) -> Self {
        if failure.is_transient() {
            Self::new(Code::TemporarilyUnavailable, "Try again in a few seconds.")
        } else {
            Self::new(Code::ServerError, "Something went wrong on our side.")
        }
    }
}

/// What is wrong with a parameter, by its name: names are those that we asked for, and never what was sent.
impl From<ParamError> for OauthError {
    fn from(error: ParamError) -> Self {
        let (parameter, description) = match error {
            ParamError::Repeated(name) => (Some(name), "is repeated."),
            ParamError::Missing(name) => (Some(name), "is missing."),
            ParamError::Encoding(name) => (Some(name), "is not percent-encoded UTF-8."),
            ParamError::Character(name) => (Some(name), "has a character that is not allowed."),
            ParamError::TooLong { name, .. } => (Some(name), "is too long."),
            ParamError::ContentType => {
                (None, "The body must be application/x-www-form-urlencoded.")
            }
            ParamError::TooMany | ParamError::TooLarge | ParamError::Unreadable => (
                None,
                "The parameters are too many or too long, or cannot be read.",
            ),
        };
        Self {
            parameter,
            ..Self::new(Code::InvalidRequest, description)
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
        let away = InfraError::Unavailable {
            dependency: "database",
            cause: "secret cause".into(),
        };
        let error = OauthError::from_failure(&away);
        assert_eq!(error.code, Code::TemporarilyUnavailable);
        let response = error.into_json();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key(header::RETRY_AFTER));
    }

    #[test]
    fn az_7_er_1_what_is_wrong_with_a_parameter_is_told_by_its_name() {
        for (fault, words) in [
            (
                ParamError::Repeated("state"),
                "The parameter state is repeated.",
            ),
            (
                ParamError::Missing("token"),
                "The parameter token is missing.",
            ),
            (
                ParamError::TooLong {
                    name: "scope",
                    max: 3,
                },
                "The parameter scope is too long.",
            ),
        ] {
            let error = OauthError::from(fault);
            assert_eq!(
                (error.code, &*error.description()),
                (Code::InvalidRequest, words)
            );
        }
    }
}
