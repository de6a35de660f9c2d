//! The token endpoint (RFC 6749 §3.2): who asks, what for, and the answer that is never cached.

pub mod assertion;
pub mod authorization_code;
pub mod client_auth;
pub mod client_credentials;
pub mod refresh_token;

use poem::{Body, Request, Response, handler, http::StatusCode, web::Data};

use super::{
    error::{Code, OauthError, json},
    issue::TokenResponse,
    refused::Refused,
};
use crate::{
    app::App,
    config::{Client, GrantType},
    error::InfraError,
    telemetry::metrics,
    web::{caller::Caller, params::Params},
};

/// Every parameter that means something here.
const KNOWN: [&str; 10] = [
    "grant_type",
    "code",
    "redirect_uri",
    "code_verifier",
    "refresh_token",
    "scope",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
];

/// `POST /oauth2/token`.
#[handler]
pub(crate) async fn token(Data(app): Data<&App>, request: &Request, body: Body) -> Response {
    let caller = Caller::from_request(request);
    match answer(app, request, body, &caller).await {
        Ok(tokens) => json(StatusCode::OK, &tokens),
        Err(refused) => {
            if let Some(code) = refused.code() {
                metrics::tokens_refused(code.name());
            }
            refused.answer(&caller)
        }
    }
}

async fn answer(
    app: &App,
    request: &Request,
    body: Body,
    caller: &Caller,
) -> Result<serde_json::Value, Refused> {
    let params = Params::read_form(request, body).await?;
    params.check_all(&KNOWN)?;
    let config = app.config.get();
    let client = client_auth::authenticate(app, &config, request, &params, caller).await?;
    let (grant, tokens): (&'static str, TokenResponse) =
        match params.optional_within("grant_type", 64)? {
            Some("authorization_code") => {
                may(client, GrantType::AuthorizationCode)?;
                (
                    "authorization_code",
                    authorization_code::exchange(app, &config, client, &params, caller).await?,
                )
            }
            Some("refresh_token") => {
                // A refresh goes on with what codes began; the flows of `/api/v1` are for clients of this grant, too.
                may(client, GrantType::AuthorizationCode)?;
                (
                    "refresh_token",
                    refresh_token::refresh(app, &config, client, &params, caller).await?,
                )
            }
            Some("client_credentials") => {
                may(client, GrantType::ClientCredentials)?;
                (
                    "client_credentials",
                    client_credentials::tokens(app, &config, client, &params)?,
                )
            }
            Some(_) => {
                let words =
                    "Only authorization_code, refresh_token and client_credentials are supported.";
                return Err(OauthError::new(Code::UnsupportedGrantType, words).into());
            }
            None => {
                return Err(OauthError::new(
                    Code::InvalidRequest,
                    "The parameter grant_type is missing.",
                )
                .into());
            }
        };
    metrics::tokens(grant, &client.client_id);
    serde_json::to_value(tokens).map_err(|error| InfraError::internal(error).into())
}

/// RFC 6749 §5.2: `unauthorized_client` for a grant that the client is not registered for (TK-8).
fn may(client: &Client, grant: GrantType) -> Result<(), OauthError> {
    if client.grant_types.contains(&grant) {
        return Ok(());
    }
    Err(OauthError::new(
        Code::UnauthorizedClient,
        "The client is not registered for this grant.",
    ))
}

#[cfg(test)]
mod tests;
