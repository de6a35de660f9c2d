//! Requests that another site posts to us: `POST /oauth2/authorize` and `POST /oauth2/logout`.
//!
//! Such a POST brings no Lax cookie, so the answer must be a GET of ours (AZ-1). What was posted waits in the ticket store
//! meanwhile and not in that GET's URL: whoever posts may do so to keep it out of histories and logs. The handle is bound to
//! nothing; it stands for what anybody could have asked, like the query of a GET, and works as long as that is likely.

use std::time::Duration;

use poem::{Body, Request, Response};

use crate::{
    app::App,
    error::InfraError,
    limit,
    login::{context::see_other, page_error::PageError},
    oauth::authorize::request::MAX_QUERY,
    secret::Plain,
    ticket::Kind,
    web::{caller::Caller, params::Params},
};

/// How long a posted request can be come back for: a reload works, a bookmark does not.
const KEPT: Duration = Duration::from_secs(300);

/// Keeps a posted request, under the budget for client requests of its network, and sends the browser to `path` for it.
///
/// # Errors
/// A form that cannot be read or is too long; too many of one network; the ticket store's own.
pub async fn keep(
    app: &App,
    request: &Request,
    body: Body,
    path: &str,
) -> Result<Response, PageError> {
    // As it was sent: what is repeated or broken in it is refused as in the query of a GET.
    let query = Params::form_bytes(request, body).await?;
    if query.len() > MAX_QUERY {
        return Err(PageError::InvalidClientRequest("the request is too long"));
    }
    let limits = &app.config.get().limits;
    if let Some(wait) =
        limit::authorize(&app.tickets, Caller::from_request(request).ip, limits).await?
    {
        return Err(PageError::TooManyRequests(wait));
    }
    let handle = Plain::generate();
    if !app
        .tickets
        .issue(Kind::Posted, &handle.hash(), &query, KEPT)
        .await?
    {
        return Err(InfraError::internal("a fresh 256-bit handle was taken").into());
    }
    Ok(see_other(&format!("{path}?posted={}", handle.to_text())))
}

/// The parameters of a GET: those that were posted, if it comes for them; else its own.
///
/// # Errors
/// [`PageError::SignInExpired`] if nothing waits under the handle; the ticket store's own.
pub async fn params(app: &App, request: &Request) -> Result<Params, PageError> {
    let own = Params::from_query(request)?;
    // A client may have a parameter of that name, which we ignore as any other (RFC 6749 §3.1).
    let Some(handle) = own.only_value("posted") else {
        return Ok(own);
    };
    let handle = Plain::parse(handle).ok_or(PageError::SignInExpired)?;
    let query = app
        .tickets
        .peek(Kind::Posted, &handle.hash())
        .await?
        .ok_or(PageError::SignInExpired)?;
    Ok(Params::from_form(
        &query,
        Some("application/x-www-form-urlencoded"),
    )?)
}
