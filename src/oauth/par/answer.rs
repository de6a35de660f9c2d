//! The answer to a pushed request: the first one spends the push (RFC 9126 §7.3).
//!
//! Every visit of a request URI makes a copy of the request, and each copy continues by itself:
//! sign-in, consent, cancel. This module alone decides which copy is answered. A session whose
//! response got lost gets the same code again until it is redeemed (PU-5).

use super::push::{self, ANSWER_TTL, Outcome, PushAnswer, PushState};
use crate::{
    app::App,
    error::InfraError,
    login::{RequestContext, page_error::PageError},
    oauth::{
        authorize::{
            request::{AuthorizationRequest, PushReference},
            response::AuthorizationResponse,
        },
        token::code_store,
    },
    secret::Hash,
};

/// The page for a push that is over: it names the parameter, and nothing goes to the client.
const OVER: PageError = PageError::InvalidClientRequest("request_uri");

/// Checks that a push may still be answered, as far as its time tells.
///
/// # Errors
/// [`PageError::InvalidClientRequest`] an hour after the push.
pub(crate) fn check_time(app: &App, request: &AuthorizationRequest<'_>) -> Result<(), PageError> {
    let is_over = |push: &PushReference| app.clock().now().since(push.at) >= ANSWER_TTL;
    match &request.params.push {
        Some(push) if is_over(push) => Err(OVER),
        _ => Ok(()),
    }
}

/// Returns the response that a visit gets at once, because the push was answered before: the same
/// code for the same session. None for a push that has no answer yet.
///
/// # Errors
/// [`PageError::InvalidClientRequest`] if the push is over for this browser.
pub(crate) async fn repeat(
    app: &App,
    context: &RequestContext,
    request: &AuthorizationRequest<'_>,
) -> Result<Option<AuthorizationResponse>, PageError> {
    let Some(push) = &request.params.push else {
        return Ok(None);
    };
    match push::find_state(&app.tickets, push).await? {
        PushState::Open => Ok(None),
        PushState::Answered(first) => {
            let code = repeated_code(app, context, &first).await?.ok_or(OVER)?;
            let response = AuthorizationResponse::code(request, code, &app.public_url);
            Ok(Some(response))
        }
        PushState::Gone => Err(OVER),
    }
}

/// Returns the response that leaves for a request: the one given if the request was not pushed, or
/// if this is the first answer to its push.
///
/// # Errors
/// [`PageError::InvalidClientRequest`] if another copy of the request was answered before, or the
/// time of the push is over.
pub(crate) async fn settle(
    app: &App,
    context: &RequestContext,
    request: &AuthorizationRequest<'_>,
    response: AuthorizationResponse,
) -> Result<AuthorizationResponse, PageError> {
    let Some(push) = &request.params.push else {
        return Ok(response);
    };
    check_time(app, request)?;
    let outcome = outcome_of(&response).ok_or(OVER)?;
    if outcome.is_transient() {
        return Ok(repeat(app, context, request).await?.unwrap_or(response));
    }
    let answer = PushAnswer {
        session: context.session_id(),
        browser: context.pre.hash().to_column(),
        outcome,
    };
    match push::claim(&app.tickets, push, &answer).await? {
        PushState::Open => Ok(response),
        PushState::Answered(first) => match answer.outcome {
            Outcome::Code(_) => {
                let code = repeated_code(app, context, &first).await?.ok_or(OVER)?;
                Ok(AuthorizationResponse::code(request, code, &app.public_url))
            }
            // A button that was pressed twice (ST-04).
            Outcome::Error(_) if is_repeated_error(&answer, &first) => Ok(response),
            Outcome::Error(_) => Err(OVER),
        },
        PushState::Gone => Err(OVER),
    }
}

fn outcome_of(response: &AuthorizationResponse) -> Option<Outcome> {
    let value_of = |wanted: &str| {
        let mut fields = response.fields().iter();
        fields
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.clone())
    };
    let code = value_of("code").map(Outcome::Code);
    code.or_else(|| value_of("error").map(Outcome::Error))
}

/// Returns the code of the first answer, if this session got it and no client has redeemed it.
async fn repeated_code(
    app: &App,
    context: &RequestContext,
    first: &PushAnswer,
) -> Result<Option<String>, InfraError> {
    let Outcome::Code(code) = &first.outcome else {
        return Ok(None);
    };
    let is_same_session = first.session.is_some() && first.session == context.session_id();
    if !is_same_session || !code_store::is_live(app, code).await? {
        return Ok(None);
    }
    Ok(Some(code.clone()))
}

/// Whether the browser that got the first answer gets the same error again.
fn is_repeated_error(answer: &PushAnswer, first: &PushAnswer) -> bool {
    let is_same_session = first.session.is_some() && first.session == answer.session;
    // Hashes compare in constant time.
    let [one, other] = [&answer.browser, &first.browser].map(|hash| Hash::from_column(hash));
    let is_same_browser = one.is_some() && one == other;
    first.outcome == answer.outcome && (is_same_session || is_same_browser)
}
