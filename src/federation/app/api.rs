//! `/api/v1/auth/oidc/{provider}`: the JSON API of apps that sign users in at a provider.
//!
//! `start` returns the authorization URL, and `callback` returns tokens for the code. Limits and
//! refusals are those of the pages.

use std::time::Duration;

use poem::{Request, http::StatusCode, web::Data};
use poem_openapi::{OpenApi, param::Path, payload::Json};

use super::{
    code::{self, RedeemError, Redemption},
    messages::{
        CallbackResponse, NewUpstreamLogin, StartResponse, UpstreamBegun, UpstreamCallback,
    },
    tokens::{self, AppTokenRequest},
};
use crate::{
    app::App,
    client::VerifiedRedirect,
    config::Reloadable,
    dpop::{self, CheckedProof, ProofTarget},
    error::InfraError,
    federation::{
        error::RefusalCode,
        flow::{
            start::{NewFlow, begin},
            state::{AppRequest, Intent, STATE_TTL},
        },
        provider::Providers,
        refusal::{self, Refusal},
    },
    limit,
    login::{
        app_api::{self, PossessionError, Tokens},
        first_party::{self, TokenIssuer},
    },
    pkce::is_challenge,
    ticket::Payer,
    web::{
        caller::Caller,
        error::{ApiError, BODY_REJECTED, UNAVAILABLE},
        problem::{Problem, ProblemJson},
    },
};

/// The operations of sign-in at a provider.
#[derive(Clone, Copy, Debug)]
pub struct UpstreamApi;

/// Sign-in with an upstream provider for first-party apps.
#[OpenApi(
    prefix_path = "/api/v1/auth/oidc",
    tag = "crate::web::docs::ApiTag::SignIn"
)]
impl UpstreamApi {
    /// Start a sign-in at a provider
    ///
    /// Open the URL of the response in the system's browser. When the user returns, the redirect
    /// URI receives `code`, `state` and `iss`, or `error`. If an address must be verified first,
    /// the user does so in the browser.
    #[oai(
        path = "/:provider/start",
        method = "post",
        operation_id = "startUpstream"
    )]
    #[expect(
        clippy::too_many_arguments,
        reason = "poem-openapi reads one part of the request from each argument"
    )]
    async fn start(
        &self,
        app: Data<&App>,
        providers: Data<&Providers>,
        request: &Request,
        /// The provider's name in our configuration.
        #[oai(validator(max_length = 64))]
        provider: Path<String>,
        body: Json<NewUpstreamLogin>,
    ) -> Result<StartResponse, ApiError<BODY_REJECTED>> {
        app_api::allow_origins_of(&app, request, &body.0.client_id);
        Ok(start(
            &app,
            &providers,
            &provider.0,
            &body.0,
            &Caller::from_request(request),
        )
        .await?)
    }

    /// Redeem the code of a sign-in at a provider
    ///
    /// The code works once, for a minute, and only with the verifier. The response is the token
    /// response. With a proof in the header `DPoP` (RFC 9449) the tokens are bound to its key.
    #[oai(
        path = "/:provider/callback",
        method = "post",
        operation_id = "finishUpstream"
    )]
    #[expect(
        clippy::too_many_arguments,
        reason = "poem-openapi reads one part of the request from each argument"
    )]
    async fn callback(
        &self,
        app: Data<&App>,
        tokens: Data<&TokenIssuer>,
        request: &Request,
        /// The provider's name in our configuration.
        #[oai(validator(max_length = 64))]
        provider: Path<String>,
        body: Json<UpstreamCallback>,
    ) -> Result<CallbackResponse, ApiError<{ BODY_REJECTED | UNAVAILABLE }>> {
        match redeem(&app, &tokens, request, &provider.0, &body.0).await {
            Ok((tokens, nonce)) => Ok(CallbackResponse::SignedIn(Json(tokens), no_store(), nonce)),
            Err(RedeemError::Refused(error)) => {
                let caller = Caller::from_request(request);
                let refusal = Refusal {
                    error: &error,
                    provider: &provider.0,
                    current: None,
                    // Any other code was redeemed, and its user was refused.
                    has_flow: error.code != RefusalCode::AppCode
                        && error.code != RefusalCode::ProviderDisabled,
                };
                refusal::record(&app, &caller, refusal).await?;
                let detail = "The code is wrong, expired or used. Start the sign-in again.";
                Ok(CallbackResponse::Invalid(bad_request(
                    "invalid_code",
                    detail,
                )))
            }
            Err(RedeemError::Possession(error @ PossessionError::TooMany(_))) => {
                Ok(CallbackResponse::TooManyRequests(error.into_problem()?))
            }
            Err(RedeemError::Possession(error)) => {
                Ok(CallbackResponse::Invalid(error.into_problem()?))
            }
            Err(RedeemError::Infra(error)) => Err(error.into()),
        }
    }
}

async fn start(
    app: &App,
    providers: &Providers,
    provider: &str,
    new: &NewUpstreamLogin,
    caller: &Caller,
) -> Result<StartResponse, InfraError> {
    let config = app.config.get();
    let request = match app_request(&config, provider, new) {
        Ok(request) => request,
        Err(error) => return Ok(StartResponse::Invalid(error.to_problem())),
    };
    let sender = limit::Sender::unknown(caller.ip);
    if let Some(wait) = limit::upstream(&app.tickets, sender, &config.limits).await? {
        return Ok(StartResponse::TooManyRequests(too_many_requests(wait)));
    }
    let localizer = app
        .texts
        .negotiate(&new.ui_locales, &caller.accept_language);
    let flow = NewFlow {
        provider,
        intent: Intent::App(request),
        client_id: None,
        browser: None,
        current: None,
        login_hint: None,
        ui_locales: &localizer.tag,
        payer: Payer::Network(caller.ip),
    };
    match begin(app, providers, flow).await {
        Ok(authorization_url) => {
            let begun = UpstreamBegun {
                authorization_url,
                expires_in: STATE_TTL.as_secs(),
            };
            Ok(StartResponse::Started(Json(begun), no_store()))
        }
        Err(error) => {
            let refusal = Refusal {
                error: &error,
                provider,
                current: None,
                has_flow: false,
            };
            refusal::record(app, caller, refusal).await?;
            Ok(refused_start(error.code))
        }
    }
}

/// Returns the request with which the app begins, if the client may begin and the code may go to
/// its redirect URI.
fn app_request(
    config: &Reloadable,
    provider: &str,
    new: &NewUpstreamLogin,
) -> Result<AppRequest, StartRequestError> {
    let client =
        first_party::find_app(config, &new.client_id).ok_or(StartRequestError::UnknownClient)?;
    VerifiedRedirect::check(client, &new.redirect_uri)
        .ok_or(StartRequestError::UnregisteredRedirectUri)?;
    if new.code_challenge_method != "S256" || !is_challenge(&new.code_challenge) {
        return Err(StartRequestError::InvalidChallenge);
    }
    Ok(AppRequest {
        client_id: new.client_id.clone(),
        provider: provider.to_owned(),
        redirect_uri: new.redirect_uri.clone(),
        challenge: new.code_challenge.clone(),
        state: new.state.clone(),
    })
}

/// Why an app may not start with this request.
#[derive(Clone, Copy, Debug)]
enum StartRequestError {
    UnknownClient,
    UnregisteredRedirectUri,
    InvalidChallenge,
}

impl StartRequestError {
    fn to_problem(self) -> ProblemJson {
        match self {
            Self::UnknownClient => bad_request("invalid_client", first_party::NOT_AN_APP),
            Self::UnregisteredRedirectUri => bad_request(
                "invalid_request",
                "The redirect_uri is not registered for this client.",
            ),
            Self::InvalidChallenge => bad_request(
                "invalid_request",
                "Send an S256 code_challenge: 43 characters of base64url.",
            ),
        }
    }
}

fn refused_start(code: RefusalCode) -> StartResponse {
    if code == RefusalCode::ProviderDisabled {
        let detail = "There is no such provider, or it is switched off.";
        return StartResponse::UnknownProvider(problem(
            StatusCode::NOT_FOUND,
            "unknown_provider",
            detail,
        ));
    }
    let detail = match code {
        RefusalCode::StoreDown => "The service is temporarily unavailable. Try again.",
        _ if code.alerts() => "The provider is not set up correctly here. Sign in by email.",
        _ => "The provider cannot be reached at the moment. Try again, or sign in by email.",
    };
    let unavailable = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "provider_away", detail);
    StartResponse::Unavailable(ProblemJson(match code.retry_after() {
        Some(seconds) => unavailable.with_retry_after(seconds),
        None => unavailable,
    }))
}

/// Returns the tokens, and the nonce that the app's next proof of possession shows.
async fn redeem(
    app: &App,
    issuer: &TokenIssuer,
    request: &Request,
    provider: &str,
    body: &UpstreamCallback,
) -> Result<(Tokens, Option<String>), RedeemError> {
    let caller = &Caller::from_request(request);
    let target = ProofTarget {
        path: &format!("/api/v1/auth/oidc/{provider}/callback"),
        token: None,
    };
    let read = dpop::read(app, &app.config.get(), request, target);
    let proof = read.map_err(PossessionError::from)?;
    // Before the code is used: tokens may need the first RS256 key.
    app.keys.until_complete().await;
    let redemption = Redemption {
        provider_id: provider,
        code: &body.code,
        verifier: &body.code_verifier,
        proof: proof.as_ref(),
        caller,
    };
    let redeemable = code::redeem(app, redemption).await?;
    app_api::allow_origins_of(app, request, &redeemable.request.client_id);
    let token_request = AppTokenRequest {
        scope: &body.scope,
        nonce: body.nonce.as_deref(),
        jkt: proof.as_ref().map(CheckedProof::jkt),
        caller,
    };
    let issued = tokens::issue(app, issuer, &redeemable, token_request).await?;
    let next_nonce = proof.as_ref().and_then(CheckedProof::next_nonce);
    Ok((issued.into(), next_nonce.map(str::to_owned)))
}

fn no_store() -> String {
    "no-store".to_owned()
}

fn problem(status: StatusCode, code: &str, detail: &str) -> ProblemJson {
    ProblemJson(Problem::new(status, code, detail))
}

fn bad_request(code: &str, detail: &str) -> ProblemJson {
    problem(StatusCode::BAD_REQUEST, code, detail)
}

fn too_many_requests(wait: Duration) -> ProblemJson {
    let seconds = u32::try_from(wait.as_secs().max(1)).unwrap_or(u32::MAX);
    let detail = "Too many requests from this network. Wait, then try again.";
    ProblemJson(
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail)
            .with_retry_after(seconds),
    )
}
