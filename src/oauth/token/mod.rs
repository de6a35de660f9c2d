//! The token endpoint (RFC 6749 §3.2): who asks, what for, and the answer that is never cached.

pub mod authorization_code;
pub mod client_auth;

use poem::{
    Body, Request, Response, handler,
    http::{StatusCode, header},
    web::Data,
};

use super::error::{Code, OauthError, json};
use crate::{
    app::App,
    telemetry::metrics,
    web::{
        caller::Caller,
        error::Failure,
        params::{ParamError, Params},
    },
};

/// Every parameter that means something here.
const KNOWN: [&str; 7] =
    ["grant_type", "code", "redirect_uri", "code_verifier", "client_id", "client_secret", "client_assertion"];

/// Why tokens are not given.
#[derive(Debug)]
pub enum Refused {
    /// The client's fault.
    Client(OauthError),
    /// Ours.
    Ours(Failure),
}

impl From<OauthError> for Refused {
    fn from(error: OauthError) -> Self {
        Self::Client(error)
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Ours(failure)
    }
}

impl From<ParamError> for Refused {
    fn from(error: ParamError) -> Self {
        Self::Client(match error {
            ParamError::Repeated(_) => OauthError::new(Code::InvalidRequest, "A parameter is repeated."),
            ParamError::ContentType => {
                OauthError::new(Code::InvalidRequest, "The body must be application/x-www-form-urlencoded.")
            }
            _ => OauthError::new(Code::InvalidRequest, "A parameter is malformed or too long."),
        })
    }
}

/// `POST /oauth2/token`.
#[handler]
pub async fn token(Data(app): Data<&App>, request: &Request, body: Body) -> Response {
    let caller = Caller::of(request);
    match answer(app, request, body, &caller).await {
        Ok(tokens) => json(StatusCode::OK, &tokens),
        Err(Refused::Client(error)) => {
            tracing::debug!(
                request_id = caller.request_id,
                error = error.code.name(),
                reason = error.reason,
                "refused"
            );
            metrics::tokens_refused(error.code.name());
            let mut response = error.into_json();
            // RFC 6749 §5.2: who tried that header is told which scheme it is for.
            if error.code == Code::InvalidClient && request.headers().contains_key(header::AUTHORIZATION) {
                let scheme = header::HeaderValue::from_static("Basic realm=\"entree\"");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
            }
            response
        }
        Err(Refused::Ours(failure)) => {
            failure.log(&caller.request_id);
            OauthError::from_failure(&failure).into_json()
        }
    }
}

async fn answer(app: &App, request: &Request, body: Body, caller: &Caller) -> Result<serde_json::Value, Refused> {
    let params = Params::read_form(request, body).await?;
    params.known(&KNOWN)?;
    let config = app.config.get();
    let client = client_auth::authenticate(request, &params, &config)?;
    let tokens = match params.one_within("grant_type", 64)? {
        Some("authorization_code") => authorization_code::exchange(app, &config, client, &params, caller).await?,
        Some(_) => {
            return Err(OauthError::new(Code::UnsupportedGrantType, "Only authorization_code is supported.").into());
        }
        None => return Err(OauthError::new(Code::InvalidRequest, "The parameter grant_type is missing.").into()),
    };
    metrics::tokens("authorization_code", &client.client_id);
    serde_json::to_value(tokens).map_err(|error| Failure::internal(error).into())
}
