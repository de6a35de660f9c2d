//! Requests that another site posts to us: `POST /oauth2/authorize` and `POST /oauth2/logout`.
//!
//! A cross-site POST carries no Lax cookie, so it continues as a GET of our own (AZ-1). The form
//! waits in the ticket store meanwhile, not in that GET's URL, since a client may post in order to
//! keep it out of histories and logs. The handle is bound to no browser: like the query of a GET,
//! the form is something that any site could have sent.

use std::time::Duration;

use poem::{Body, Request};

use crate::{
    app::App,
    error::InfraError,
    limit,
    login::page_error::PageError,
    secret::Plain,
    ticket::TicketKind,
    web::{caller::Caller, params::Params},
};

/// The longest request that is stored, and the longest parameter that is read of one.
pub(crate) const MAX_BYTES: usize = 8192;

/// Long enough to reload the page, too short for a bookmark.
const TTL: Duration = Duration::from_secs(300);

/// Stores a posted form, within its network's budget for client requests, and returns the location
/// below `path` where it continues.
pub(crate) async fn store(
    app: &App,
    request: &Request,
    body: Body,
    path: &str,
) -> Result<String, PageError> {
    // Stored as it was sent: repeated or malformed parameters are refused as in the query of a GET.
    let form = Params::form_bytes(request, body).await?;
    if form.len() > MAX_BYTES {
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
        .issue(TicketKind::Posted, &handle.hash(), &form, TTL)
        .await?
    {
        return Err(InfraError::internal("a fresh 256-bit handle exists already").into());
    }
    Ok(format!("{path}?posted={}", handle.to_text()))
}

/// Returns the parameters of a GET: those of the posted form that it continues, or else its own.
///
/// # Errors
/// [`PageError::SignInExpired`] if no form is stored under the handle.
pub(crate) async fn load_params(app: &App, request: &Request) -> Result<Params, PageError> {
    let query = Params::from_query(request)?;
    // Beside other parameters, one of this name is an unknown parameter of the client's, which is
    // ignored (RFC 6749 §3.1).
    let Some(handle) = query.only_value("posted") else {
        return Ok(query);
    };
    let handle = Plain::parse(handle).ok_or(PageError::SignInExpired)?;
    let form = app
        .tickets
        .peek(TicketKind::Posted, &handle.hash())
        .await?
        .ok_or(PageError::SignInExpired)?;
    Ok(Params::from_form(
        &form,
        Some("application/x-www-form-urlencoded"),
    )?)
}
