//! The errors that client software receives: the codes of RFC 6749 and OpenID Connect.
//!
//! An [`OauthError`] travels as JSON or in a redirect. It has a registered code, a description for
//! the developer of the client, and a reason that is written to the log alone. [`EndpointError`] is
//! everything that can stop an endpoint where clients authenticate.

use std::{borrow::Cow, time::Duration};

use poem::{
    IntoResponse, Response,
    http::{HeaderValue, StatusCode, header},
};

use super::reason::Reason;
use crate::{
    audit::AuditReason,
    dpop::DpopError,
    error::InfraError,
    web::{
        caller::Caller,
        error::{RETRY_AFTER, UNAVAILABLE_TEXT},
        params::ParamError,
        reason::RefusalReason,
    },
};

/// What client software is shown for a proof that is wrong or was shown before.
pub(crate) const INVALID_PROOF: &str =
    "The DPoP proof is malformed, signed by another key, for another request, or was used before.";

/// What client software is shown for a proof that is not recent.
pub(crate) const USE_NONCE: &str =
    "The DPoP proof needs the nonce in the header DPoP-Nonce. Send a new proof with it.";

/// A registered error code (RFC 6749 §4.1.2.1, §5.2; OIDC Core §3.1.2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorCode {
    InvalidRequest,
    InvalidClient,
    InvalidGrant,
    UnauthorizedClient,
    InvalidScope,
    /// RFC 7009 §2.2.1.
    UnsupportedTokenType,
    UnsupportedGrantType,
    UnsupportedResponseType,
    LoginRequired,
    ConsentRequired,
    InteractionRequired,
    /// OpenID Connect Core Error Code unmet_authentication_requirements 1.0; RFC 9470 §5.
    UnmetAuthenticationRequirements,
    AccessDenied,
    /// RFC 8707 §2.
    InvalidTarget,
    RequestNotSupported,
    RequestUriNotSupported,
    /// RFC 9449 §5.
    InvalidDpopProof,
    /// RFC 9449 §8.
    UseDpopNonce,
    /// RFC 8628 §3.5.
    AuthorizationPending,
    SlowDown,
    ExpiredToken,
    TemporarilyUnavailable,
    ServerError,
}

impl ErrorCode {
    /// Returns whether the client is to ask again, which is no refusal (RFC 8628 §3.5).
    #[must_use]
    pub(crate) const fn is_pending(self) -> bool {
        matches!(self, Self::AuthorizationPending | Self::SlowDown)
    }

    /// Returns the registered name.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
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
            Self::InteractionRequired => "interaction_required",
            Self::UnmetAuthenticationRequirements => "unmet_authentication_requirements",
            Self::AccessDenied => "access_denied",
            Self::InvalidTarget => "invalid_target",
            Self::RequestNotSupported => "request_not_supported",
            Self::RequestUriNotSupported => "request_uri_not_supported",
            Self::InvalidDpopProof => "invalid_dpop_proof",
            Self::UseDpopNonce => "use_dpop_nonce",
            Self::AuthorizationPending => "authorization_pending",
            Self::SlowDown => "slow_down",
            Self::ExpiredToken => "expired_token",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::ServerError => "server_error",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::InvalidClient => StatusCode::UNAUTHORIZED,
            Self::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// An error for client software.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", code.name())]
pub(crate) struct OauthError {
    pub(crate) code: ErrorCode,
    /// The parameter at fault, always one of our own names and never a name that the client sent.
    parameter: Option<&'static str>,
    /// ASCII without quotes and backslashes (RFC 6749 §5.2).
    description: &'static str,
    /// Why, in one word for the log.
    reason: &'static str,
}

impl OauthError {
    /// An error whose reason says no more than its code.
    #[must_use]
    pub(crate) const fn new(code: ErrorCode, description: &'static str) -> Self {
        Self {
            code,
            parameter: None,
            description,
            reason: code.name(),
        }
    }

    /// The same error, about a parameter of ours. The description goes on after its name.
    #[must_use]
    pub(crate) const fn about(self, parameter: &'static str) -> Self {
        Self {
            parameter: Some(parameter),
            ..self
        }
    }

    /// The same error with a reason that another list has.
    #[must_use]
    pub(crate) fn with_reason_of(self, reason: impl AuditReason) -> Self {
        Self {
            reason: reason.word(),
            ..self
        }
    }

    /// The same error with another reason for the log.
    #[must_use]
    pub(crate) const fn with_reason(self, reason: Reason) -> Self {
        Self {
            reason: reason.as_str(),
            ..self
        }
    }

    /// An outage is never `invalid_grant`: clients would drop the grant (ER-3).
    #[must_use]
    pub(crate) fn from_infra(error: &InfraError) -> Self {
        if error.is_transient() {
            Self::new(ErrorCode::TemporarilyUnavailable, UNAVAILABLE_TEXT)
        } else {
            let description = "The service has an internal error.";
            Self::new(ErrorCode::ServerError, description)
        }
    }

    /// Returns the text for the developer of the client (RFC 6749 §5.2).
    #[must_use]
    pub(crate) fn description(&self) -> Cow<'static, str> {
        match self.parameter {
            Some(name) => format!("The parameter {name} {}", self.description).into(),
            None => self.description.into(),
        }
    }

    /// Returns the JSON response of an OAuth endpoint (RFC 6749 §5.2).
    #[must_use]
    pub(crate) fn into_response(self) -> Response {
        let body = serde_json::json!({
            "error": self.code.name(),
            "error_description": self.description(),
        });
        let mut response = json_response(self.code.status(), &body);
        if self.code == ErrorCode::TemporarilyUnavailable {
            set_retry_after(&mut response, Duration::from_secs(RETRY_AFTER.into()));
        }
        self.refusal_reason().attach_to(response)
    }

    /// Returns the reason for the log.
    #[must_use]
    pub(crate) fn refusal_reason(&self) -> RefusalReason {
        RefusalReason::new(self.reason).about(self.parameter)
    }
}

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
            ..Self::new(ErrorCode::InvalidRequest, description)
        }
    }
}

/// Why an endpoint where clients authenticate does not do what was requested.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndpointError {
    #[error(transparent)]
    Client(#[from] OauthError),
    /// The client used the Authorization header: the response names the scheme (RFC 6749 §5.2).
    #[error("{0}, with a challenge")]
    Challenge(OauthError),
    /// This network failed to authenticate too often; how long it must wait.
    #[error("too many failed attempts")]
    TooManyFailures(Duration),
    /// The client or its network sent too many requests; how long it must wait.
    #[error("too many requests")]
    TooManyRequests(Duration),
    /// The assertion cannot be verified now.
    #[error("the assertion cannot be verified now: {}", .reason.as_str())]
    RetryLater {
        /// Why, for the log.
        reason: Reason,
        /// After this time the client may send a new one.
        wait: Duration,
    },
    /// The proof needs this nonce (RFC 9449 §8).
    #[error("the proof needs a nonce")]
    UseDpopNonce(String),
    #[error(transparent)]
    Infra(#[from] InfraError),
}

impl From<ParamError> for EndpointError {
    fn from(error: ParamError) -> Self {
        Self::Client(error.into())
    }
}

impl From<DpopError> for EndpointError {
    fn from(error: DpopError) -> Self {
        match error {
            DpopError::Invalid(reason) => Self::Client(OauthError {
                reason,
                ..OauthError::new(ErrorCode::InvalidDpopProof, INVALID_PROOF)
            }),
            DpopError::UseNonce(nonce) => Self::UseDpopNonce(nonce),
            DpopError::TooMany(wait) => Self::TooManyRequests(wait),
            DpopError::Infra(error) => Self::Infra(error),
        }
    }
}

impl EndpointError {
    pub(crate) const fn retry_later(reason: Reason, wait: Duration) -> Self {
        Self::RetryLater { reason, wait }
    }

    /// Returns the code for the metrics, or none for what is not the client's fault.
    #[must_use]
    pub(crate) const fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Client(error) | Self::Challenge(error) => Some(error.code),
            Self::RetryLater { .. } => Some(ErrorCode::TemporarilyUnavailable),
            Self::UseDpopNonce(_) => Some(ErrorCode::UseDpopNonce),
            Self::TooManyFailures(_) | Self::TooManyRequests(_) | Self::Infra(_) => None,
        }
    }

    /// Returns the response, with its reason for the log. A failure of the infrastructure is logged.
    #[must_use]
    pub(crate) fn into_response(self, caller: &Caller) -> Response {
        match self {
            Self::Client(error) => error.into_response(),
            Self::Challenge(error) => {
                let mut response = error.into_response();
                let scheme = HeaderValue::from_static("Basic realm=\"entree\", charset=\"UTF-8\"");
                response
                    .headers_mut()
                    .insert(header::WWW_AUTHENTICATE, scheme);
                response
            }
            Self::TooManyFailures(wait) => {
                let description =
                    "Too many failed attempts from this network. Wait, then try again.";
                let reason = RefusalReason::new(Reason::TooManyFailures.as_str());
                reason.attach_to(too_many(description, wait))
            }
            Self::TooManyRequests(wait) => {
                let description = "Too many requests. Wait, then try again.";
                let reason = RefusalReason::new(Reason::TooManyRequests.as_str());
                reason.attach_to(too_many(description, wait))
            }
            Self::RetryLater { reason, wait } => {
                let description =
                    "The assertion cannot be verified now. Try again later, with a new assertion.";
                let error = OauthError::new(ErrorCode::TemporarilyUnavailable, description)
                    .with_reason(reason);
                let mut response = error.into_response();
                set_retry_after(&mut response, wait);
                response
            }
            Self::UseDpopNonce(nonce) => {
                let error = OauthError::new(ErrorCode::UseDpopNonce, USE_NONCE);
                with_dpop_nonce(error.into_response(), Some(&nonce))
            }
            Self::Infra(error) => {
                caller.log_line.always_write();
                error.log(&caller.request_id);
                OauthError::from_infra(&error).into_response()
            }
        }
    }
}

/// Adds the nonce that the client's next proof shows, if there is one (RFC 9449 §8).
#[must_use]
pub(crate) fn with_dpop_nonce(mut response: Response, nonce: Option<&str>) -> Response {
    // Characters of base64url, so it is always a header value.
    if let Some(Ok(value)) = nonce.map(HeaderValue::try_from) {
        response.headers_mut().insert("dpop-nonce", value);
    }
    response
}

/// Returns the 429 of an endpoint that client software calls.
#[must_use]
pub(crate) fn too_many(description: &'static str, wait: Duration) -> Response {
    let body = serde_json::json!({
        "error": ErrorCode::TemporarilyUnavailable.name(),
        "error_description": description,
    });
    let mut response = json_response(StatusCode::TOO_MANY_REQUESTS, &body);
    set_retry_after(&mut response, wait);
    response
}

fn set_retry_after(response: &mut Response, wait: Duration) {
    let seconds = HeaderValue::from(wait.as_secs().max(1));
    response.headers_mut().insert(header::RETRY_AFTER, seconds);
}

/// Returns a JSON response that is never cached (RFC 6749 §5.1).
#[must_use]
pub(crate) fn json_response(status: StatusCode, body: &serde_json::Value) -> Response {
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
        let unavailable = InfraError::Unavailable {
            dependency: "database",
            cause: "secret cause".into(),
        };
        let error = OauthError::from_infra(&unavailable);
        assert_eq!(error.code, ErrorCode::TemporarilyUnavailable);
        let response = error.into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key(header::RETRY_AFTER));
    }

    #[test]
    fn az_7_er_1_the_description_names_the_parameter_at_fault() {
        for (error, description) in [
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
            let error = OauthError::from(error);
            assert_eq!(
                (error.code, &*error.description()),
                (ErrorCode::InvalidRequest, description)
            );
        }
    }
}
