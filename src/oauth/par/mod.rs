//! `/oauth2/par` (RFC 9126): a client sends its authorization request itself, and the browser brings
//! a reference to it.
//!
//! The endpoint authenticates the client as the token endpoint does, and refuses what the
//! authorization endpoint would refuse before it knows the user, by the same function. `push` keeps
//! the request, `authorize::pushed` visits it, and `answer` decides which visit is answered.

pub(crate) mod answer;
pub(crate) mod push;

use poem::{Body, Request, Response, handler, http::StatusCode, web::Data};
use serde_json::{Value, json};

use super::{
    authorize::{
        parse::{AuthorizationRequestError, Channel, RequestEnvironment, parse_of_client},
        request::AuthorizationParams,
    },
    client_auth::{TokenRequest, authenticate_client},
    error::{EndpointError, ErrorCode, OauthError, json_response, with_dpop_nonce},
};
use crate::{
    app::App,
    config::ClientAuth,
    dpop::{self, CheckedProof, ProofTarget},
    telemetry::metrics,
    ticket::Payer,
    web::{caller::Caller, params::Params},
};

/// The parameters that authenticate the client. They are no part of the request: they do not count
/// among its bytes, and nothing keeps them.
const CREDENTIALS: [&str; 3] = ["client_secret", "client_assertion", "client_assertion_type"];

/// What a proof of possession must be for here.
const PROOF_TARGET: ProofTarget<'_> = ProofTarget {
    path: "/oauth2/par",
    token: None,
};

/// `POST /oauth2/par`.
#[handler]
pub(crate) async fn push_request(Data(app): Data<&App>, request: &Request, body: Body) -> Response {
    let caller = Caller::from_request(request);
    match accept(app, request, body, &caller).await {
        Ok((pushed, nonce)) => with_dpop_nonce(
            json_response(StatusCode::CREATED, &pushed),
            nonce.as_deref(),
        ),
        Err(error) => {
            if let Some(code) = error.code() {
                metrics::push_refused(code.name());
            }
            error.into_response(&caller)
        }
    }
}

/// Returns the reference, and the nonce that the client's next proof shows.
async fn accept(
    app: &App,
    request: &Request,
    body: Body,
    caller: &Caller,
) -> Result<(Value, Option<String>), EndpointError> {
    let params = Params::read_form(request, body).await?;
    params.check_all(&["client_id"])?;
    params.check_all(&CREDENTIALS)?;
    let config = app.config.get();
    let authenticated = authenticate_client(app, &config, request, &params, caller).await?;
    let client = authenticated.client;
    let proof = dpop::read_of_client(app, &config, request, PROOF_TARGET, client)?;
    let request = TokenRequest {
        proof: proof.as_ref(),
        ..authenticated
    };
    let mut pushed = read_request(&request)?;
    request.bind_push(&mut pushed)?;
    // Anyone may push in the name of a public client, and a repeated push binds its code to the same key.
    if request.client.token_endpoint_auth_method != ClientAuth::None {
        request.claim_proof(Payer::Network(caller.ip)).await?;
    }
    let request_uri = push::store(&request, pushed).await?;
    metrics::pushed(&request.client.client_id);
    let reference = json!({
        "request_uri": request_uri,
        "expires_in": push::VISIT_TTL.as_secs(),
    });
    let nonce = proof.as_ref().and_then(CheckedProof::next_nonce);
    Ok((reference, nonce.map(str::to_owned)))
}

/// RFC 9126 §2.1: the request is checked as at the authorization endpoint. There is no browser, so
/// that every error is a response to the client (§2.3).
fn read_request(request: &TokenRequest<'_>) -> Result<AuthorizationParams, OauthError> {
    let environment = RequestEnvironment {
        config: request.config,
        hints: request.app,
        now: request.app.clock().now(),
        channel: Channel::Pushed,
    };
    let params = request.params.without(&CREDENTIALS);
    match parse_of_client(request.client, &params, &environment) {
        Ok(parsed) => Ok(parsed.params),
        Err(AuthorizationRequestError::Redirect(_, error)) => Err(error),
        Err(AuthorizationRequestError::NoRedirect(parameter)) => {
            let description = match parameter {
                "redirect_uri" => "must be sent once and be registered for the client.",
                _ => "is not percent-encoded UTF-8.",
            };
            Err(OauthError::new(ErrorCode::InvalidRequest, description).about(parameter))
        }
    }
}

#[cfg(test)]
mod tests;
