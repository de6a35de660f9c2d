//! The token endpoint (RFC 6749 §3.2).
//!
//! It authenticates the client, which gives a `TokenRequest`, and passes that to the grant that
//! the parameter `grant_type` names. A grant returns tokens or an error. Only the endpoint makes a
//! response, and the response is never cached.

pub(crate) mod authorization_code;
pub(crate) mod client_credentials;
mod code_check;
pub(crate) mod code_secret;
pub(crate) mod code_store;
pub(crate) mod device;
pub(crate) mod exchange;
mod first_tokens;
mod kept;
pub(crate) mod refresh;

use poem::{Body, Request, Response, handler, http::StatusCode, web::Data};

use super::{
    client_auth::{TokenRequest, authenticate_client},
    error::{EndpointError, ErrorCode, OauthError, json_response, with_dpop_nonce},
};
use crate::{
    app::App,
    dpop::{self, CheckedProof, ProofTarget},
    error::InfraError,
    telemetry::metrics,
    web::{caller::Caller, params::Params},
};

/// The parameters that must not be repeated or malformed. All others are ignored, or read by one
/// grant.
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

/// What a proof of possession must be for here.
const PROOF_TARGET: ProofTarget<'_> = ProofTarget {
    path: "/oauth2/token",
    token: None,
};

/// `POST /oauth2/token`.
#[handler]
pub(crate) async fn token(Data(app): Data<&App>, request: &Request, body: Body) -> Response {
    let caller = Caller::from_request(request);
    match grant_tokens(app, request, body, &caller).await {
        Ok((tokens, nonce)) => {
            with_dpop_nonce(json_response(StatusCode::OK, &tokens), nonce.as_deref())
        }
        Err(error) => {
            if let Some(code) = error.code().filter(|code| !code.is_pending()) {
                metrics::tokens_refused(code.name());
            }
            error.into_response(&caller)
        }
    }
}

/// Returns the tokens, and the nonce that the client's next proof shows.
async fn grant_tokens(
    app: &App,
    request: &Request,
    body: Body,
    caller: &Caller,
) -> Result<(serde_json::Value, Option<String>), EndpointError> {
    let params = Params::read_form(request, body).await?;
    params.check_all(&KNOWN)?;
    app.keys.until_complete().await;
    let config = app.config.get();
    let authenticated = authenticate_client(app, &config, request, &params, caller).await?;
    let client = authenticated.client;
    let proof = dpop::read_of_client(app, &config, request, PROOF_TARGET, client)?;
    let request = TokenRequest {
        proof: proof.as_ref(),
        ..authenticated
    };
    request.check_proof_is_shown()?;
    let (grant_type, tokens) = match params.required("grant_type", 64)? {
        "authorization_code" => (
            "authorization_code",
            authorization_code::exchange(&request).await?,
        ),
        "refresh_token" => ("refresh_token", refresh::refresh(&request).await?),
        "client_credentials" => (
            "client_credentials",
            client_credentials::issue(&request).await?,
        ),
        device::GRANT_TYPE => ("device_code", device::poll(&request).await?),
        exchange::GRANT_TYPE => ("token_exchange", exchange::exchange(&request).await?),
        _ => {
            let description = "The grant type is not one of grant_types_supported.";
            return Err(OauthError::new(ErrorCode::UnsupportedGrantType, description).into());
        }
    };
    metrics::tokens(grant_type, &request.client.client_id);
    let tokens = serde_json::to_value(tokens).map_err(InfraError::internal)?;
    let nonce = proof.as_ref().and_then(CheckedProof::next_nonce);
    Ok((tokens, nonce.map(str::to_owned)))
}

#[cfg(test)]
mod tests;
