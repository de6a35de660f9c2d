//! A visit of the authorization endpoint with a request that its client pushed (RFC 9126 §4).
//!
//! The query says who the client is and which push is meant. Nothing else in it counts or fails. A
//! visit spends nothing: it makes a copy of the request, which continues as any other (PU-4).

use poem::Request;

use super::{
    parse::{AuthorizationRequestError, find_client},
    request::{AuthorizationParams, AuthorizationRequest},
    step::{self, AuthorizationStep},
};
use crate::{
    app::App,
    login::{context::RequestContext, page_error::PageError},
    oauth::par::{answer, push},
    web::{named_client::NamedClient, params::Params},
};

const NO_REQUEST: PageError = PageError::InvalidClientRequest("request_uri");

/// Whether a request names a push. Any other request URI is refused as AZ-12 says.
pub(super) fn is_pushed(params: &Params) -> bool {
    let uri = params.first_readable("request_uri");
    uri.is_some_and(|uri| uri.starts_with(push::URN))
}

/// Carries out the next step of a pushed request.
///
/// # Errors
/// [`PageError::InvalidClientRequest`], a page that names the parameter, if the push is another
/// client's, unknown, older than a minute or spent. Its owner may go on with it.
pub(super) async fn visit(
    app: &App,
    context: &mut RequestContext,
    request: &Request,
    params: &Params,
) -> Result<AuthorizationStep, PageError> {
    let client_id = match find_client(params, &context.config) {
        Ok(client) => client.client_id.clone(),
        Err(AuthorizationRequestError::NoRedirect(name)) => {
            return Err(PageError::InvalidClientRequest(name));
        }
        Err(AuthorizationRequestError::Redirect(..)) => return Err(NO_REQUEST),
    };
    NamedClient::note(request, &client_id);
    let uri = params
        .required("request_uri", 128)
        .map_err(|_| NO_REQUEST)?;
    let secret = push::parse_request_uri(uri).ok_or(NO_REQUEST)?;
    let now = app.clock().now();
    let pushed = push::find(&app.tickets, &secret, now).await?;
    let is_own = |pushed: &AuthorizationParams| pushed.client_id == client_id;
    let mut pushed = pushed.filter(is_own).ok_or(NO_REQUEST)?;
    context.follow_client(app, &pushed.ui_locales, Some(&client_id));
    // A fresh sign-in is one since this visit: who signed in between push and visit did it for
    // another request.
    pushed.requested_at = now;
    // PU-8: the client may have lost since what it asked for.
    let restored = AuthorizationRequest::restore(pushed, &context.config);
    let copy = restored.ok_or(PageError::InvalidClientRequest("redirect_uri"))?;
    match answer::repeat(app, context, &copy).await? {
        Some(response) => Ok(AuthorizationStep::Respond(response)),
        None => step::proceed(app, context, copy).await,
    }
}
