//! Requests that another site posts to us: `POST /oauth2/authorize` and `POST /oauth2/logout`.
//!
//! A cross-site POST carries no Lax cookie, so it continues as a GET of our own (AZ-1). The form
//! waits in the ticket store meanwhile, not in that GET's URL, since a client may post in order to
//! keep it out of histories and logs. The handle is bound to no browser: like the query of a GET,
//! the form is something that any site could have sent.
//!
//! The POST shows no cookie, so its network pays for it. Once a neighbour has spent what the network may
//! store, a client request that fits a URL goes there instead, so that the GET reaches users whose
//! device is known or who are signed in (OA-3).

use std::time::Duration;

use poem::{Body, Request};

use crate::{
    app::App,
    error::InfraError,
    limit,
    login::page_error::PageError,
    secret::Plain,
    ticket::{Payer, TicketKind},
    web::{caller::Caller, params::Params},
};

/// The longest form that is stored, as it was sent: the same as the longest header that a GET fits
/// in. Percent-encoding makes it longer than the 8 KiB that a request may have (ST-15).
const MAX_BYTES: usize = 16 * 1024;

/// The longest form that goes into the URL of a GET.
const MAX_QUERY_BYTES: usize = 4 * 1024;

/// Long enough to reload the page, too short for a bookmark.
const TTL: Duration = Duration::from_secs(300);

/// What becomes of a form once a neighbour has spent what the network may store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OverBudget {
    /// It goes on in the URL of the GET, if it fits there.
    UseQuery,
    /// It is refused.
    Refuse,
}

/// Stores a posted form, within its network's budget, and returns the location below `path` where it
/// continues.
pub(crate) async fn store(
    app: &App,
    request: &Request,
    body: Body,
    path: &str,
    over_budget: OverBudget,
) -> Result<String, PageError> {
    // Stored as it was sent: repeated or malformed parameters are refused as in the query of a GET.
    let form = Params::form_bytes(request, body).await?;
    if form.len() > MAX_BYTES {
        // Too long as a whole.
        return Err(PageError::InvalidClientRequest(""));
    }
    let limits = &app.config.get().limits;
    let caller = Caller::from_request(request).ip;
    if let Some(wait) = limit::client_post(&app.tickets, caller, limits).await? {
        let query = as_query(&form).filter(|_| over_budget == OverBudget::UseQuery);
        return match query {
            Some(query) => Ok(format!("{path}?{query}")),
            None => Err(PageError::TooManyRequests(wait)),
        };
    }
    let handle = Plain::generate();
    if !app
        .tickets
        .charged_to(Payer::Network(caller))
        .issue(TicketKind::Posted, &handle.hash(), &form, TTL)
        .await?
    {
        return Err(InfraError::internal("a fresh 256-bit handle exists already").into());
    }
    Ok(format!("{path}?posted={}", handle.to_text()))
}

/// Returns a form as the query of a URL, if it is short enough and has only characters that may stand
/// there.
fn as_query(form: &[u8]) -> Option<&str> {
    let is_allowed =
        |byte: &u8| byte.is_ascii_alphanumeric() || b"%&=+-._~*!'(),;:@/?".contains(byte);
    let fits = form.len() <= MAX_QUERY_BYTES && form.iter().all(is_allowed);
    std::str::from_utf8(form).ok().filter(|_| fits)
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
