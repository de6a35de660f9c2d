//! Carries out the next step of an authorization request and returns what the browser gets.

use std::time::Duration;

use poem::Response;

use super::{
    next::{self, NextStep, next_step},
    request::AuthorizationRequest,
    response::{self, AuthorizationResponse, Delivery},
};
use crate::{
    app::App,
    config::{ClientAuth, is_loopback},
    error::InfraError,
    limit,
    login::{
        context::{RequestContext, see_other},
        page_error::PageError,
        pending::{self, PendingRequest, ResumedBy},
    },
    oauth::{
        consent_store,
        grant_check::SignIn,
        token::authorization_code::{self, AuthorizationCode, CodeBinding},
        user_claims::consent_scopes,
    },
    secret::{Plain, public_id},
    session::{self, CurrentSession},
};

/// What the browser gets for an authorization request.
#[derive(Debug)]
pub(crate) enum AuthorizationStep {
    Respond(AuthorizationResponse),
    /// The consent page for the pending request with this handle.
    AskConsent(Plain),
    /// The sign-in page for the pending request with this handle.
    SignIn(Plain),
}

/// Decides and carries out the next step of a request.
pub(crate) async fn proceed(
    app: &App,
    context: &RequestContext,
    mut request: AuthorizationRequest<'_>,
) -> Result<AuthorizationStep, PageError> {
    let now = app.clock().now();
    let has_consent = has_consent(app, context, &request).await?;
    match next_step(&request, context.current.as_ref(), has_consent, now) {
        NextStep::IssueCode(current) => {
            session::record_use(app.db.pool(), &current.session, now).await?;
            let response = issue_code(app, context, &request, current).await?;
            Ok(AuthorizationStep::Respond(response))
        }
        NextStep::Refuse(error) => {
            let response = AuthorizationResponse::error(request.target, &error, &app.public_url);
            Ok(AuthorizationStep::Respond(response))
        }
        NextStep::AskConsent => {
            let handle = store_pending(app, context, &request, false).await?;
            Ok(AuthorizationStep::AskConsent(handle))
        }
        NextStep::SignIn { fresh } => {
            let current = context.current.as_ref();
            request.params.stale_auth_time = current.map(|current| current.session.auth_time);
            let handle = store_pending(app, context, &request, fresh).await?;
            Ok(AuthorizationStep::SignIn(handle))
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
    let path = match step {
        AuthorizationStep::Respond(response) => {
            return response::render(context, response, delivery);
        }
        AuthorizationStep::AskConsent(handle) => format!("/consent?txn={}", handle.to_text()),
        AuthorizationStep::SignIn(handle) => format!("/login?txn={}", handle.to_text()),
    };
    context.with_pre_login_cookie(see_other(&path))
}

/// Issues a code for the request.
pub(crate) async fn issue_code(
    app: &App,
    context: &RequestContext,
    request: &AuthorizationRequest<'_>,
    current: &CurrentSession,
) -> Result<AuthorizationResponse, InfraError> {
    let params = &request.params;
    let code = AuthorizationCode {
        grant_id: public_id(),
        binding: CodeBinding {
            client_id: request.client.client_id.clone(),
            redirect_uri: request.target.uri.as_str().to_owned(),
            code_challenge: params.code_challenge.clone(),
        },
        nonce: params.nonce.clone(),
        scope: params.scope.clone(),
        claims: params.claims.clone(),
        resources: params.resources.clone(),
        sign_in: SignIn::from(&current.session),
    };
    let lifetimes = request.client.token_lifetimes(&context.config.token);
    let lifetime = Duration::from_secs(lifetimes.code_seconds);
    let code = authorization_code::issue_code(app, &code, lifetime).await?;
    Ok(AuthorizationResponse::code(request, code, &app.public_url))
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

/// Stores a request that waits for the user, within its network's budget: each takes room in the
/// ticket store, and any caller may send one.
async fn store_pending(
    app: &App,
    context: &RequestContext,
    request: &AuthorizationRequest<'_>,
    fresh: bool,
) -> Result<Plain, PageError> {
    let limits = &context.config.limits;
    if let Some(wait) = limit::authorize(&app.tickets, context.caller.ip, limits).await? {
        return Err(PageError::TooManyRequests(wait));
    }
    let pending = PendingRequest {
        client_id: request.client.client_id.clone(),
        client_name: request.client.name.clone(),
        fresh,
        email_only: next::needs_email(request),
        login_hint: request.params.login_hint.clone(),
        ui_locales: request.params.ui_locales.clone(),
        request: serde_json::to_string(&request.params).map_err(InfraError::internal)?,
        origin: None,
        resumed_by: ResumedBy::Protocol,
    };
    let (browser, session) = (context.pre.hash(), context.session_id());
    Ok(pending::store(&app.tickets, browser, session, &pending).await?)
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
    let params = serde_json::from_str(&pending.request).map_err(|_| PageError::SignInExpired)?;
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
