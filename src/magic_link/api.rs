//! `/api/v1/auth/magic-link`: sign-in by email for a first-party app that draws its own form.

use poem::{Request, web::Data};
use poem_openapi::{ApiResponse, OpenApi, payload::Json};

use super::app_login::{
    FinishError, LoginFinisher, LoginProof, NewLogin, StartError, StartedLogin, start_login,
};
use crate::{
    app::App,
    error::InfraError,
    login::{
        app_api::{self, PossessionError, Tokens},
        first_party::TokenIssuer,
    },
    web::{
        caller::Caller,
        error::{ApiError, BODY_REJECTED, UNAVAILABLE},
        problem::ProblemJson,
    },
};

/// The sign-in API, first version.
#[derive(Clone, Copy, Debug)]
pub struct MagicLinkApi;

/// The response to a request for an email.
#[derive(Debug, ApiResponse)]
pub enum StartResponse {
    /// Accepted, for known and unknown addresses alike. An email may be on its way.
    #[oai(status = 202)]
    Accepted(Json<StartedLogin>),
    /// The request is wrong. `code` and `detail` say what.
    #[oai(status = 400)]
    Refused(ProblemJson),
    /// Too many requests from this network.
    #[oai(status = 429)]
    TooMany(ProblemJson),
}

/// The response to the use of a code or link.
#[derive(Debug, ApiResponse)]
pub enum FinishResponse {
    /// Signed in.
    #[oai(status = 200)]
    SignedIn(
        Json<Tokens>,
        /// Tokens are never cached.
        #[oai(header = "Cache-Control")]
        String,
        /// The nonce for the next DPoP proof (RFC 9449), if there is a new one.
        #[oai(header = "DPoP-Nonce")]
        Option<String>,
    ),
    /// `invalid_request`: something is missing or malformed. `invalid_code`: the code is wrong, expired,
    /// used or unknown; the response does not tell which. `code_locked`: the code is right, but too many
    /// wrong ones were entered for this address; the code of another email will work.
    /// `invalid_dpop_proof`: the proof is wrong or was used before. `use_dpop_nonce`: send a new proof with
    /// the nonce in the header `DPoP-Nonce`. Neither uses the code up.
    #[oai(status = 400)]
    Refused(ProblemJson),
    /// Too many requests from this network.
    #[oai(status = 429)]
    TooMany(ProblemJson),
}

impl FinishResponse {
    pub(super) fn from_result(
        result: Result<(Tokens, Option<String>), FinishError>,
    ) -> Result<Self, InfraError> {
        match result {
            Ok((tokens, nonce)) => Ok(Self::SignedIn(Json(tokens), "no-store".to_owned(), nonce)),
            Err(error @ FinishError::Possession(PossessionError::TooMany(_))) => {
                Ok(Self::TooMany(error.into_problem()?))
            }
            Err(error) => Ok(Self::Refused(error.into_problem()?)),
        }
    }
}

/// Sign-in by email for first-party apps.
#[OpenApi(
    prefix_path = "/api/v1/auth/magic-link",
    tag = "crate::web::docs::ApiTag::SignIn"
)]
impl MagicLinkApi {
    /// Request an email with a link and a code
    ///
    /// The response is the same for every address. Keep the PKCE verifier: the login belongs to the
    /// caller who has it.
    #[oai(path = "/request", method = "post", operation_id = "requestMagicLink")]
    async fn request(
        &self,
        app: Data<&App>,
        request: &Request,
        body: Json<NewLogin>,
    ) -> Result<StartResponse, ApiError<{ BODY_REJECTED | UNAVAILABLE }>> {
        app_api::allow_origins_of(&app, request, &body.0.client_id);
        let caller = Caller::from_request(request);
        Ok(match start_login(&app, &body.0, &caller).await {
            Ok(started) => StartResponse::Accepted(Json(started)),
            Err(error @ StartError::RateLimited(_)) => {
                StartResponse::TooMany(error.into_problem()?)
            }
            Err(error) => StartResponse::Refused(error.into_problem()?),
        })
    }

    /// Use a code or a link
    ///
    /// A login allows five attempts. On success the response has the tokens. With a proof in the header
    /// `DPoP` (RFC 9449) they are bound to its key.
    #[oai(path = "/consume", method = "post", operation_id = "consumeMagicLink")]
    async fn consume(
        &self,
        app: Data<&App>,
        issuer: Data<&TokenIssuer>,
        request: &Request,
        body: Json<LoginProof>,
    ) -> Result<FinishResponse, ApiError<{ BODY_REJECTED | UNAVAILABLE }>> {
        let path = "/api/v1/auth/magic-link/consume";
        let result = LoginFinisher::new(&app, &issuer, request, path)
            .finish(&body.0)
            .await;
        Ok(FinishResponse::from_result(result)?)
    }
}
