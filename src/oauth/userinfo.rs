//! `/oauth2/userinfo` (OIDC Core §5.3): the claims that the user lets the client receive, as they
//! are now.
//!
//! The request carries a bearer token (RFC 6750), and the responses to refused ones are here, too.

use poem::{
    Body, Request, Response, handler,
    http::{HeaderValue, Method, StatusCode, header},
    web::Data,
};
use serde::Serialize;

use super::{
    access_token::{self, ActiveGrant, InactiveToken, TokenCheckError, UserParts},
    error::{OauthError, json_response},
    scope,
    user_claims::{self, ClaimFilter, UserClaims},
};
use crate::{
    app::App,
    error::InfraError,
    web::{
        caller::Caller,
        cors,
        params::{ParamError, Params},
        reason::RefusalReason,
    },
};

#[derive(Debug, Serialize)]
struct UserInfo {
    /// As in the ID token.
    sub: String,
    #[serde(flatten)]
    claims: UserClaims,
}

/// Why a request with a bearer token is refused (RFC 6750 §3.1).
#[derive(Debug, thiserror::Error)]
pub(crate) enum BearerError {
    /// The response then only names the scheme.
    #[error("the request has no token")]
    NoToken,
    #[error("{0}")]
    InvalidRequest(&'static str),
    #[error("the token is not live: {0:?}")]
    InvalidToken(InactiveToken),
    #[error("the token lacks the scope {0}")]
    InsufficientScope(&'static str),
    #[error(transparent)]
    Infra(#[from] InfraError),
}

impl From<ParamError> for BearerError {
    fn from(_: ParamError) -> Self {
        Self::InvalidRequest("A parameter is repeated or malformed.")
    }
}

impl From<TokenCheckError> for BearerError {
    fn from(error: TokenCheckError) -> Self {
        match error {
            TokenCheckError::Inactive(why) => Self::InvalidToken(why),
            TokenCheckError::Infra(error) => Self::Infra(error),
        }
    }
}

/// `GET` and `POST /oauth2/userinfo`.
#[handler]
pub(crate) async fn userinfo(Data(app): Data<&App>, request: &Request, body: Body) -> Response {
    match load(app, request, body).await {
        Ok(claims) => json_response(StatusCode::OK, &claims),
        Err(error) => error.into_response(&Caller::from_request(request)),
    }
}

async fn load(app: &App, request: &Request, body: Body) -> Result<serde_json::Value, BearerError> {
    let token = read_token(request, body).await?;
    let config = app.config.get();
    let token = access_token::find_active(app, &config, &token, UserParts::UserAndAddress).await?;
    Caller::from_request(request).log_line.always_write();
    cors::restrict_to_origins(request, &token.client.allowed_origins);
    // A scope that an operator has taken from the client since is gone here, too.
    let audience = Some(token.text("aud"));
    let scope = scope::grantable(&config, token.client, audience, token.text("scope"));
    let has_openid = scope::has(&scope, "openid");
    let Some(active) = token.grant.as_ref().filter(|_| has_openid) else {
        return Err(BearerError::InsufficientScope("openid"));
    };
    let ActiveGrant {
        grant,
        holder,
        address,
    } = active;
    let filter = ClaimFilter {
        grant,
        client: token.client,
        scope: &scope,
    };
    let claims = user_claims::for_userinfo(&holder.user, address.as_ref(), &filter);
    let sub = holder.user.public_id.to_string();
    let info = UserInfo { sub, claims };
    serde_json::to_value(info).map_err(|error| InfraError::internal(error).into())
}

/// Reads the token: from the Authorization header or, with POST, from the form (RFC 6750 §2.1,
/// §2.2), never from the query (RFC 9700 §4.3.2).
async fn read_token(request: &Request, body: Body) -> Result<String, BearerError> {
    if Params::from_query(request)?.contains("access_token") {
        return Err(BearerError::InvalidRequest(
            "A token in the query is not accepted.",
        ));
    }
    let mut tokens = Vec::new();
    for value in request.headers().get_all(header::AUTHORIZATION) {
        let parts = value.to_str().ok().and_then(|value| value.split_once(' '));
        if let Some((scheme, token)) = parts
            && scheme.eq_ignore_ascii_case("bearer")
        {
            tokens.push(token.trim().to_owned());
        }
    }
    if *request.method() == Method::POST && has_form(request) {
        let form = Params::read_form(request, body).await?;
        tokens.extend(
            form.optional_within("access_token", 16 * 1024)?
                .map(str::to_owned),
        );
    }
    if tokens.len() > 1 {
        return Err(BearerError::InvalidRequest(
            "The request has more than one token.",
        ));
    }
    tokens.pop().ok_or(BearerError::NoToken)
}

fn has_form(request: &Request) -> bool {
    request
        .content_type()
        .is_some_and(|value| value.starts_with("application/x-www-form-urlencoded"))
}

impl BearerError {
    /// Logs the error and returns the response (RFC 6750 §3): a challenge, with an error only if
    /// the request has a token. Why a token is not live is for the log alone.
    fn into_response(self, caller: &Caller) -> Response {
        let (status, error) = match &self {
            Self::NoToken => {
                let response = Response::builder()
                    .status(StatusCode::UNAUTHORIZED)
                    .finish();
                return with_challenge(response, "");
            }
            Self::Infra(error) => {
                caller.log_line.always_write();
                error.log(&caller.request_id);
                return OauthError::from_infra(error).into_response();
            }
            Self::InvalidRequest(_) => (StatusCode::BAD_REQUEST, "invalid_request"),
            Self::InvalidToken(_) => (StatusCode::UNAUTHORIZED, "invalid_token"),
            Self::InsufficientScope(_) => (StatusCode::FORBIDDEN, "insufficient_scope"),
        };
        let reason = match &self {
            Self::InvalidToken(why) => why.as_str(),
            _ => error,
        };
        let (description, scope) = match self {
            Self::InvalidRequest(description) => (description, String::new()),
            Self::InsufficientScope(scope) => (
                "The token lacks the scope that this endpoint needs.",
                format!(", scope=\"{scope}\""),
            ),
            _ => (
                "The token is expired, revoked or not valid here.",
                String::new(),
            ),
        };
        let body = serde_json::json!({ "error": error, "error_description": description });
        let parameters = format!(", error=\"{error}\", error_description=\"{description}\"{scope}");
        let response = RefusalReason::new(reason).attach_to(json_response(status, &body));
        with_challenge(response, &parameters)
    }
}

fn with_challenge(mut response: Response, parameters: &str) -> Response {
    let headers = response.headers_mut();
    // Only fixed texts, so it is always a header value.
    if let Ok(value) = HeaderValue::try_from(format!("Bearer realm=\"entree\"{parameters}")) {
        headers.insert(header::WWW_AUTHENTICATE, value);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
