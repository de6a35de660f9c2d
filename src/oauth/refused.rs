//! Why an endpoint for client software does not do what it was asked, and how it says so (RFC 6749 §5.2).

use std::time::Duration;

use poem::{
    Response,
    http::{HeaderValue, StatusCode, header},
};

use super::error::{Code, OauthError, json};
use crate::error::InfraError;
use crate::web::{caller::Caller, params::ParamError};

/// Why not.
#[derive(Debug)]
pub enum Refused {
    /// The client's fault.
    Client(OauthError),
    /// The client's fault, and it used the Authorization header: the answer names the scheme (RFC 6749 §5.2).
    Challenge(OauthError),
    /// Too many failures from this network; none is looked at for so long.
    TooMany(Duration),
    /// Nobody can tell now; in so long, with something new, the client may come again.
    Later(Duration),
    /// Ours.
    Ours(InfraError),
}

impl From<OauthError> for Refused {
    fn from(error: OauthError) -> Self {
        Self::Client(error)
    }
}

impl From<InfraError> for Refused {
    fn from(failure: InfraError) -> Self {
        Self::Ours(failure)
    }
}

impl From<ParamError> for Refused {
    fn from(error: ParamError) -> Self {
        Self::Client(error.into())
    }
}

impl Refused {
    /// What the client did wrong.
    #[must_use]
    pub const fn code(&self) -> Option<Code> {
        match self {
            Self::Client(error) | Self::Challenge(error) => Some(error.code),
            Self::Later(_) => Some(Code::TemporarilyUnavailable),
            Self::TooMany(_) | Self::Ours(_) => None,
        }
    }

    /// The answer, and the line in the log.
    #[must_use]
    pub fn answer(self, caller: &Caller) -> Response {
        match self {
            Self::Client(error) => told(error, caller),
            Self::Challenge(error) => {
                let mut response = told(error, caller);
                let scheme = HeaderValue::from_static("Basic realm=\"entree\", charset=\"UTF-8\"");
                response
                    .headers_mut()
                    .insert(header::WWW_AUTHENTICATE, scheme);
                response
            }
            Self::TooMany(wait) => {
                let words = "Too many failed attempts from this network. Wait, then try again.";
                let body = serde_json::json!({ "error": "temporarily_unavailable", "error_description": words });
                let mut response = json(StatusCode::TOO_MANY_REQUESTS, &body);
                response.headers_mut().insert(
                    header::RETRY_AFTER,
                    HeaderValue::from(wait.as_secs().max(1)),
                );
                response
            }
            Self::Later(wait) => {
                let words = "Try again later, with a new assertion.";
                let mut response =
                    told(OauthError::new(Code::TemporarilyUnavailable, words), caller);
                response.headers_mut().insert(
                    header::RETRY_AFTER,
                    HeaderValue::from(wait.as_secs().max(1)),
                );
                response
            }
            Self::Ours(failure) => {
                failure.log(&caller.request_id);
                OauthError::from_failure(&failure).into_json()
            }
        }
    }
}

fn told(error: OauthError, caller: &Caller) -> Response {
    let (code, reason) = (error.code.name(), error.reason);
    tracing::debug!(
        request_id = caller.request_id,
        error = code,
        reason,
        "refused"
    );
    error.into_json()
}
