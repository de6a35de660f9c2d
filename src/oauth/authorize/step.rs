//! Carries out the next step of an authorization request and returns what the browser gets.

use std::time::Duration;

use poem::Response;

use super::{
    next::{self, NextStep, next_step},
    request::{AuthorizationParams, AuthorizationRequest},
    response::{self, AuthorizationResponse, Delivery},
};
use crate::{
    app::App,
    config::{ClientAuth, is_loopback},
    error::InfraError,
    login::{
        client_home::with_client,
        context::{RequestContext, see_other},
        page_error::PageError,
        pending::{self, PendingRequest, ResumedBy},
    },
    oauth::{
        consent_store,
        error::{ErrorCode, OauthError},
        grant_check::SignIn,
        par,
        token::{
            code_secret::{CodeBinding, CodeSecret},
            code_store::{self, AuthorizationCode, CodeTerms},
        },
        user_claims::consent_scopes,
    },
    secret::Plain,
    session::{self, CurrentSession},
};

/// What the browser gets for an authorization request.
#[derive(Debug)]
pub(crate) enum AuthorizationStep {
    Respond(AuthorizationResponse),
    /// The consent page for this request.
    AskConsent(WaitingRequest),
    /// The page that asks for a name, for this request.
    AskName(WaitingRequest),
    /// The sign-in page for this request.
    SignIn(WaitingRequest),
    /// The page at this path of ours.
    Page(String),
}

impl AuthorizationStep {
    /// Returns the path of the page that the user sees next; none if the client gets a response.
    pub(super) fn page_path(&self) -> Option<String> {
        match self {
            Self::Respond(_) => None,
            Self::AskConsent(request) => Some(request.path("/consent")),
            Self::SignIn(request) => Some(request.path("/login")),
            Self::AskName(request) => Some(request.path("/login/name")),
            Self::Page(path) => Some(path.clone()),
        }
    }
}

/// A client's request that waits for its user.
#[derive(Debug)]
pub(crate) struct WaitingRequest {
    handle: Plain,
    client_id: String,
}

impl WaitingRequest {
    /// Returns the path of the page that the user sees next.
    fn path(&self, page: &str) -> String {
        let path = format!("{page}?txn={}", self.handle.to_text());
        with_client(&path, Some(&self.client_id))
    }
}

/// Decides and carries out the next step of a request.
pub(crate) async fn proceed(
    app: &App,
    context: &RequestContext,
    mut request: AuthorizationRequest<'_>,
) -> Result<AuthorizationStep, PageError> {
    let now = app.clock().now();
    par::answer::check_time(app, &request)?;
    let has_consent = has_consent(app, context, &request).await?;
    match next_step(&request, context.current.as_ref(), has_consent, now) {
        NextStep::IssueCode(current) => {
            session::record_use(app.db.write(), &current.session, now).await?;
            respond_with_code(app, context, &request, current).await
        }
        NextStep::Refuse(error) => respond_with_error(app, context, &request, &error).await,
        NextStep::AskConsent => {
            let waiting = store_pending(app, context, &request, false).await?;
            Ok(AuthorizationStep::AskConsent(waiting))
        }
        NextStep::AskName => {
            let handle = store_pending(app, context, &request, false).await?;
            Ok(AuthorizationStep::AskName(handle))
        }
        NextStep::SignIn { fresh } => {
            let current = context.current.as_ref();
            request.params.stale_auth_time = current.map(|current| current.session.auth_time);
            let waiting = store_pending(app, context, &request, fresh).await?;
            Ok(AuthorizationStep::SignIn(waiting))
        }
    }
}

/// Renders a step.
#[must_use]
pub(crate) fn render(
    context: &RequestContext,
    step: &AuthorizationStep,
    delivery: Delivery,
) -> Response {
    if let AuthorizationStep::Respond(response) = step {
        return response::render(context, response, delivery);
    }
    let path = step.page_path().unwrap_or_default();
    context.with_pre_login_cookie(see_other(&path))
}

const TOO_MANY_CODES: OauthError = OauthError::new(
    ErrorCode::TemporarilyUnavailable,
    "This session has requested too many codes. Try again in a minute.",
);

/// Answers a request by a code.
pub(super) async fn respond_with_code(
    app: &App,
    context: &RequestContext,
    request: &AuthorizationRequest<'_>,
    current: &CurrentSession,
) -> Result<AuthorizationStep, PageError> {
    let response = issue_code(app, context, request, current).await?;
    // PU-5: after the code is stored, so that the answer to a push never names one that is not.
    let response = par::answer::settle(app, context, request, response).await?;
    Ok(AuthorizationStep::Respond(response))
}

/// Answers a request by an error.
pub(super) async fn respond_with_error(
    app: &App,
    context: &RequestContext,
    request: &AuthorizationRequest<'_>,
    error: &OauthError,
) -> Result<AuthorizationStep, PageError> {
    let response = AuthorizationResponse::error(request.target.clone(), error, &app.public_url);
    let response = par::answer::settle(app, context, request, response).await?;
    Ok(AuthorizationStep::Respond(response))
}

/// Issues a code for the request, within the budget of the session (OA-8).
async fn issue_code(
    app: &App,
    context: &RequestContext,
    request: &AuthorizationRequest<'_>,
    current: &CurrentSession,
) -> Result<AuthorizationResponse, InfraError> {
    let params = &request.params;
    let binding = CodeBinding {
        client_id: request.client.client_id.clone(),
        redirect_uri: request.target.uri.as_str().to_owned(),
        code_challenge: params.code_challenge.clone(),
        dpop_jkt: params.dpop_jkt.clone(),
    };
    let secret = CodeSecret::generate(&app.macs.authorization_code, &binding);
    let lifetimes = request.client.token_lifetimes(&context.config.token);
    let lifetime = Duration::from_secs(lifetimes.code_seconds);
    let code = AuthorizationCode {
        grant_id: secret.grant_id(),
        binding,
        nonce: params.nonce.clone(),
        scope: params.scope.clone(),
        claims: params.claims.clone(),
        resources: params.resources.clone(),
        expires_at: Some(app.clock().now() + lifetime),
        sign_in: SignIn::from(&current.session),
    };
    let terms = CodeTerms {
        user_id: current.user.id,
        lifetime,
        budgets: &context.config.limits.session_codes,
    };
    if !code_store::issue_code(app, &secret, &code, terms).await? {
        let target = request.target.clone();
        let refusal = AuthorizationResponse::error(target, &TOO_MANY_CODES, &app.public_url);
        return Ok(refusal);
    }
    let text = secret.to_text();
    Ok(AuthorizationResponse::code(request, text, &app.public_url))
}

/// Whether the user has allowed the client all that it requests, or need not be asked. First-party
/// clients need no consent, but where the response would go to the user's own device, the user must
/// have seen a page.
pub(crate) async fn has_consent(
    app: &App,
    context: &RequestContext,
    request: &AuthorizationRequest<'_>,
) -> Result<bool, InfraError> {
    let Some(current) = &context.current else {
        return Ok(false);
    };
    if responds_to_device(app, request) && !next::is_for_request(request, current) {
        return Ok(false);
    }
    if request.client.first_party {
        return Ok(true);
    }
    let scopes = consent_scopes(&request.params.scope, &request.params.claims);
    let client_id = &request.client.client_id;
    consent_store::covers(app.db.read(), &current.user, client_id, &scopes).await
}

/// RFC 8252 §8.6: any program on the device may listen at a port or have registered an app's
/// scheme, and begin a request in the app's name with a challenge of its own. A response without a
/// page would give it tokens that the user does not know of. Where we run on that device ourselves,
/// for development, all of it is one user's anyway.
fn responds_to_device(app: &App, request: &AuthorizationRequest<'_>) -> bool {
    let is_public = request.client.token_endpoint_auth_method == ClientAuth::None;
    let is_https = request.target.uri.as_str().starts_with("https://");
    let runs_on_device = || url::Url::parse(&app.public_url).is_ok_and(|url| is_loopback(&url));
    is_public && !is_https && !runs_on_device()
}

/// Stores a request that waits for the user, within its budget: each takes space in the ticket store,
/// and any caller may send one.
async fn store_pending(
    app: &App,
    context: &RequestContext,
    request: &AuthorizationRequest<'_>,
    fresh: bool,
) -> Result<WaitingRequest, PageError> {
    context.check_store_budget(app).await?;
    let pending = PendingRequest {
        client_id: request.client.client_id.clone(),
        client_name: request.client.name.clone(),
        fresh,
        email_only: next::needs_email(request),
        login_hint: request.params.login_hint.clone(),
        ui_locales: request.params.ui_locales.clone(),
        request: to_json(&request.params)?,
        origin: None,
        is_unbound: context.requester().browser.is_none(),
        resumed_by: ResumedBy::Protocol,
        signed_in_since: false,
    };
    let session = context.current.as_ref().map(|current| &current.session);
    let tickets = app.tickets.charged_to(context.payer());
    let handle = pending::store(&tickets, context.pre.hash(), session, &pending).await?;
    Ok(WaitingRequest {
        handle,
        client_id: pending.client_id,
    })
}

/// Returns the parameters as JSON, without those that the pending request has already.
fn to_json(params: &AuthorizationParams) -> Result<String, InfraError> {
    let params = AuthorizationParams {
        login_hint: String::new(),
        ui_locales: String::new(),
        ..params.clone()
    };
    serde_json::to_string(&params).map_err(InfraError::internal)
}

/// Finds the pending request of this browser under a handle.
pub(crate) async fn find_pending(
    app: &App,
    context: &RequestContext,
    handle: &Plain,
) -> Result<PendingRequest, PageError> {
    pending::peek(&app.tickets, handle, context.requester())
        .await?
        .ok_or(PageError::SignInExpired)
}

/// Reads the authorization request in a pending request. The configuration may have changed since:
/// what is no longer registered gets no response.
pub(crate) fn restore<'a>(
    pending: &PendingRequest,
    context: &'a RequestContext,
) -> Result<AuthorizationRequest<'a>, PageError> {
    // Other kinds of pending requests are no authorization requests.
    let mut params: AuthorizationParams =
        serde_json::from_str(&pending.request).map_err(|_| PageError::SignInExpired)?;
    params.login_hint.clone_from(&pending.login_hint);
    params.ui_locales.clone_from(&pending.ui_locales);
    AuthorizationRequest::restore(params, &context.config)
        .ok_or(PageError::InvalidClientRequest("redirect_uri"))
}

/// Claims a pending request whose response is ready. It is claimed last: what fails before leaves
/// it pending, and a code that is not sent is worth nothing.
pub(crate) async fn claim_pending(
    app: &App,
    context: &RequestContext,
    handle: &Plain,
) -> Result<(), PageError> {
    pending::claim(&app.tickets, handle, context.requester())
        .await?
        .map(drop)
        .ok_or(PageError::SignInExpired)
}
