//! The authorization endpoint (RFC 6749 §4.1.1, OIDC Core §3.1.2): `/oauth2/authorize`, and where a
//! request continues after the user has signed in.
//!
//! `parse` reads a request, `next` decides, `step` carries the decision out and returns a value,
//! and the endpoints here and in `consent` render it.

mod answer;
pub(crate) mod consent;
pub(crate) mod name;
pub(crate) mod next;
pub(crate) mod parse;
mod pushed;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod step;
mod target;

use poem::{Body, Request, Response, handler, web::Data};

use self::{
    parse::{AuthorizationRequestError, Channel, HintVerifier, RequestEnvironment, parse},
    response::{AuthorizationResponse, Delivery},
    step::AuthorizationStep,
};
use crate::{
    app::App,
    login::{
        context::{RequestContext, see_other},
        page_error::{self, PageError},
        resume::lead_on_without_request,
    },
    oauth::{
        error::{ErrorCode, OauthError},
        posted_request::{self, OverBudget},
    },
    secret::Plain,
    web::{named_client::NamedClient, params::Params},
};

/// `GET /oauth2/authorize`.
#[handler]
pub(crate) async fn authorize(Data(app): Data<&App>, request: &Request) -> Response {
    page_error::respond(app, request, async {
        let mut context = RequestContext::load(app, request, "").await?;
        let params = posted_request::load_params(app, request).await?;
        let step = if pushed::is_pushed(&params) {
            context.follow_client(app, "", params.first_readable("client_id"));
            pushed::visit(app, &mut context, request, &params).await?
        } else {
            let languages = params.first_readable("ui_locales").unwrap_or_default();
            context.follow_client(app, languages, params.first_readable("client_id"));
            take_up(app, &context, request, &params).await?
        };
        Ok(step::render(&context, &step, Delivery::Redirect))
    })
    .await
}

/// Carries out the next step of a request whose parameters the browser brought.
async fn take_up(
    app: &App,
    context: &RequestContext,
    request: &Request,
    params: &Params,
) -> Result<AuthorizationStep, PageError> {
    let environment = RequestEnvironment {
        config: &context.config,
        hints: app,
        now: app.clock().now(),
        channel: Channel::Browser,
    };
    match parse(params, &environment) {
        Ok(parsed) => {
            NamedClient::note(request, &parsed.client.client_id);
            step::proceed(app, context, parsed).await
        }
        Err(AuthorizationRequestError::Redirect(target, error)) => {
            NamedClient::note(request, &target.client_id);
            let response = AuthorizationResponse::error(*target, &error, &app.public_url);
            Ok(AuthorizationStep::Respond(response))
        }
        Err(AuthorizationRequestError::NoRedirect(parameter)) => {
            Err(PageError::InvalidClientRequest(parameter))
        }
    }
}

/// `POST /oauth2/authorize`: a cross-site POST carries no Lax cookie, so the request continues as a
/// GET of our own (AZ-1).
#[handler]
pub(crate) async fn authorize_post(
    Data(app): Data<&App>,
    request: &Request,
    body: Body,
) -> Response {
    page_error::respond(app, request, async {
        let (path, over_budget) = ("/oauth2/authorize", OverBudget::UseQuery);
        let location = posted_request::store(app, request, body, path, over_budget).await?;
        Ok(see_other(&location))
    })
    .await
}

/// `GET /oauth2/authorize/resume`: the user has signed in, and the pending request continues, once.
#[handler]
pub(crate) async fn resume(Data(app): Data<&App>, request: &Request) -> Response {
    page_error::respond(app, request, async {
        let mut context = RequestContext::load(app, request, "").await?;
        let params = Params::from_query(request)?;
        let handle = Plain::parse(params.required("txn", 43)?).ok_or(PageError::SignInExpired)?;
        let pending = match step::find_pending(app, &context, &handle).await {
            Err(PageError::SignInExpired) => return lead_on_without_request(&context, request),
            pending => pending?,
        };
        context.follow(app, &pending);
        let request = step::restore(&pending, &context)?;
        let step = step::proceed(app, &context, request).await?;
        step::claim_pending(app, &context, &handle).await?;
        Ok(step::render(&context, &step, Delivery::Redirect))
    })
    .await
}

impl HintVerifier for App {
    fn issuer(&self) -> &str {
        &self.public_url
    }

    fn subject_of_hint(&self, hint: &str) -> Result<String, OauthError> {
        let not_ours = OauthError::new(
            ErrorCode::InvalidRequest,
            "The parameter id_token_hint is not an ID token that we issued.",
        );
        let claims = self
            .keys
            .verify_hint(hint, &self.public_url)
            .map_err(|_| not_ours)?;
        let sub = claims.get("sub").and_then(|sub| sub.as_str());
        sub.map(str::to_owned).ok_or(not_ours)
    }
}
