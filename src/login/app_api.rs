//! What the JSON APIs of the sign-in methods have in common: the token response, proofs of
//! possession, and CORS.

use poem::{Request, http::StatusCode};
use poem_openapi::Object;

use super::first_party::IssuedTokens;
use crate::{
    app::App,
    client::{self, resource::demands_proof},
    config::Client,
    dpop::{self, CheckedProof, DpopError},
    error::InfraError,
    ticket::Payer,
    web::{
        caller::Caller,
        cors,
        problem::{Problem, ProblemJson},
    },
};

/// Lets only pages of this client read the response.
pub fn allow_origins_of(app: &App, request: &Request, client_id: &str) {
    if let Some(client) = client::find(&app.config.get(), client_id) {
        cors::restrict_to_origins(request, &client.allowed_origins);
    }
}

/// Why tokens are refused for want of a right proof of possession.
#[derive(Debug, thiserror::Error)]
pub enum PossessionError {
    #[error("Tokens for this client or its API are bound to a key. Send a DPoP proof.")]
    NoProof,
    #[error("The DPoP proof is malformed, for another request, or was used before.")]
    InvalidProof,
    #[error("The DPoP proof needs the nonce in the header DPoP-Nonce. Send a new proof with it.")]
    UseNonce(String),
    #[error("Too many requests from this network. Wait, then try again.")]
    TooMany(std::time::Duration),
    #[error(transparent)]
    Infra(#[from] InfraError),
}

impl From<DpopError> for PossessionError {
    fn from(error: DpopError) -> Self {
        match error {
            DpopError::Invalid(_) => Self::InvalidProof,
            DpopError::UseNonce(nonce) => Self::UseNonce(nonce),
            DpopError::TooMany(wait) => Self::TooMany(wait),
            DpopError::Infra(error) => Self::Infra(error),
        }
    }
}

impl PossessionError {
    /// Returns the problem for the caller; an infrastructure error is none of theirs.
    pub(crate) fn into_problem(self) -> Result<ProblemJson, InfraError> {
        let detail = self.to_string();
        let problem = |code| Problem::new(StatusCode::BAD_REQUEST, code, &detail);
        Ok(ProblemJson(match self {
            Self::NoProof => problem("invalid_request"),
            Self::InvalidProof => problem("invalid_dpop_proof"),
            Self::UseNonce(nonce) => problem("use_dpop_nonce").with_dpop_nonce(nonce),
            Self::TooMany(wait) => {
                let seconds = u32::try_from(wait.as_secs().max(1)).unwrap_or(u32::MAX);
                Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", &detail)
                    .with_retry_after(seconds)
            }
            Self::Infra(error) => return Err(error),
        }))
    }
}

/// Demands a proof where the client or its API is registered so, and makes sure that the one that was shown is
/// new. The caller holds the login of this client (PP-5, PP-7).
pub(crate) async fn claim_proof(
    app: &App,
    client: Option<&Client>,
    proof: Option<&CheckedProof>,
    caller: &Caller,
) -> Result<(), PossessionError> {
    let Some(proof) = proof else {
        let config = app.config.get();
        let demands = |client: &Client| demands_proof(&config, client, &client.audience);
        return if client.is_some_and(demands) {
            Err(PossessionError::NoProof)
        } else {
            Ok(())
        };
    };
    let client_id = client.map_or("", |client| &client.client_id);
    Ok(dpop::claim(app, proof, Payer::Network(caller.ip), client_id).await?)
}

/// Tokens (RFC 6749 §5.1).
#[derive(Debug, Object)]
pub struct Tokens {
    /// A JWT for the resource server (RFC 9068).
    pub access_token: String,
    /// `DPoP` if the request had a proof in the header `DPoP` (RFC 9449), and else `Bearer`.
    pub token_type: String,
    /// The lifetime of the access token in seconds.
    pub expires_in: u64,
    /// The ID token, if `openid` was granted.
    #[oai(skip_serializing_if_is_none)]
    pub id_token: Option<String>,
    /// For more access tokens (RFC 6749 §6), if the client may have one: with the scope
    /// `offline_access`, or always if it is registered so. It is valid once: the response to its
    /// use has the next one.
    #[oai(skip_serializing_if_is_none)]
    pub refresh_token: Option<String>,
    /// The granted scopes.
    pub scope: String,
    /// After a sign-in by email: the secret of this device. Keep it beside the tokens and after they
    /// have ended, and send it with each later login for this address: then no stranger's requests
    /// or wrong codes keep this device from its emails.
    #[oai(skip_serializing_if_is_none)]
    pub device_secret: Option<String>,
}

impl From<IssuedTokens> for Tokens {
    fn from(issued: IssuedTokens) -> Self {
        Self {
            access_token: issued.access_token,
            token_type: issued.token_type.to_owned(),
            expires_in: issued.expires_in,
            id_token: issued.id_token,
            refresh_token: issued.refresh_token,
            scope: issued.scope,
            device_secret: None,
        }
    }
}
