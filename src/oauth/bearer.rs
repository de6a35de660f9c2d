//! Bearer tokens in requests (RFC 6750): where one may stand, and how one is refused.

use poem::{
    Body, Request, Response,
    http::{HeaderValue, Method, StatusCode, header},
};

use super::error::{OauthError, json};
use crate::error::InfraError;
use crate::web::{caller::Caller, params::Params};

/// Why a request with a bearer token is refused (RFC 6750 §3.1).
#[derive(Debug)]
pub enum Denied {
    /// There is no token: only the scheme is named.
    NoToken,
    /// Two tokens, one in the query, or a form that cannot be read.
    Request(&'static str),
    /// The token does not count.
    Token,
    /// It counts, and not for this.
    Scope(&'static str),
    /// Our own fault.
    Ours(InfraError),
}

impl From<InfraError> for Denied {
    fn from(failure: InfraError) -> Self {
        Self::Ours(failure)
    }
}

/// The token of a request: in the Authorization header or, with POST, in the form (RFC 6750 §2.1, §2.2). Never in the
/// query (RFC 9700 §4.3.2).
///
/// # Errors
/// [`Denied::NoToken`], [`Denied::Request`].
pub async fn token(request: &Request, body: Body) -> Result<String, Denied> {
    let malformed = |_| Denied::Request("A parameter is repeated or malformed.");
    if Params::from_query(request)
        .map_err(malformed)?
        .contains("access_token")
    {
        return Err(Denied::Request("A token in the query is not accepted."));
    }
    let mut found = Vec::new();
    for value in request.headers().get_all(header::AUTHORIZATION) {
        let parts = value.to_str().ok().and_then(|value| value.split_once(' '));
        if let Some((scheme, token)) = parts
            && scheme.eq_ignore_ascii_case("bearer")
        {
            found.push(token.trim().to_owned());
        }
    }
    if *request.method() == Method::POST && has_form(request) {
        let form = Params::read_form(request, body).await.map_err(malformed)?;
        found.extend(
            form.optional_within("access_token", 16 * 1024)
                .map_err(malformed)?
                .map(str::to_owned),
        );
    }
    match found.len() {
        0 => Err(Denied::NoToken),
        1 => found.pop().ok_or(Denied::NoToken),
        _ => Err(Denied::Request("There is more than one token.")),
    }
}

fn has_form(request: &Request) -> bool {
    request
        .content_type()
        .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"))
}

impl Denied {
    /// The answer (RFC 6750 §3): a challenge, with an error only if a token came.
    #[must_use]
    pub fn answer(self, caller: &Caller) -> Response {
        let (status, error, words, scope) = match self {
            Self::NoToken => {
                return challenge(
                    Response::builder()
                        .status(StatusCode::UNAUTHORIZED)
                        .finish(),
                    "",
                );
            }
            Self::Ours(failure) => {
                failure.log(&caller.request_id);
                return OauthError::from_failure(&failure).into_json();
            }
            Self::Request(words) => (StatusCode::BAD_REQUEST, "invalid_request", words, None),
            Self::Token => (
                StatusCode::UNAUTHORIZED,
                "invalid_token",
                "The token is expired, revoked or wrong.",
                None,
            ),
            Self::Scope(scope) => (
                StatusCode::FORBIDDEN,
                "insufficient_scope",
                "The token does not reach this far.",
                Some(scope),
            ),
        };
        tracing::debug!(request_id = caller.request_id, error, "refused");
        let body = serde_json::json!({ "error": error, "error_description": words });
        let scope = scope
            .map(|scope| format!(", scope=\"{scope}\""))
            .unwrap_or_default();
        challenge(
            json(status, &body),
            &format!(", error=\"{error}\", error_description=\"{words}\"{scope}"),
        )
    }
}

fn challenge(mut response: Response, more: &str) -> Response {
    // Fixed words only: always a header value.
    if let Ok(value) = HeaderValue::try_from(format!("Bearer realm=\"entree\"{more}")) {
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, value);
    }
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
