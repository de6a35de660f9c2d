//! Why a response refuses its request. The reason is for the log: the layers write it beside the
//! reference that the response shows (OD-4). It never leaves the service.

use std::borrow::Cow;

use poem::{Response, http::StatusCode};

/// A reason code, and the parameter that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusalReason {
    /// A stable word of ours, never input. `docs/operations.md` lists them.
    pub code: Cow<'static, str>,
    /// The name of a parameter, as the response names it.
    pub parameter: Option<String>,
}

impl RefusalReason {
    #[must_use]
    pub fn new(code: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code: code.into(),
            parameter: None,
        }
    }

    /// Names the parameter at fault.
    #[must_use]
    pub fn about(self, parameter: Option<&str>) -> Self {
        Self {
            parameter: parameter.map(str::to_owned),
            ..self
        }
    }

    /// Returns the reason for a response that HTTP itself explains.
    #[must_use]
    pub fn of_status(status: StatusCode) -> Self {
        Self::new(match status.as_u16() {
            400 => "malformed",
            404 => "not_found",
            405 => "method_not_allowed",
            408 => "body_timeout",
            413 => "too_large",
            415 => "wrong_content_type",
            421 => "other_host",
            429 => "too_many_requests",
            503 => "unavailable",
            500..=599 => "internal",
            _ => "refused",
        })
    }

    /// Attaches the reason to a response.
    #[must_use]
    pub fn attach_to(self, mut response: Response) -> Response {
        response.extensions_mut().insert(self);
        response
    }
}
