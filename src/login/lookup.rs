//! What the parameters of a page or form name: a flow, a client's pending request, a pending link.

use uuid::Uuid;

use super::{
    context::RequestContext,
    page_error::PageError,
    pending::{self, PendingRequest},
    pending_link::{self, LinkRequirement, PendingLink},
};
use crate::{
    app::App,
    audit::{Event, Kind},
    error::InfraError,
    limit,
    secret::Plain,
    user::identity::is_trusted_issuer,
    web::params::Params,
};

/// Parses the flow's id in the parameters.
pub fn flow_id(params: &Params) -> Result<Uuid, PageError> {
    let text = params.required("flow", 36)?;
    Uuid::try_parse(text).map_err(|_| PageError::SignInExpired)
}

/// Returns the pending request behind a handle, or none if no handle is named.
///
/// # Errors
/// [`PageError::SignInExpired`] if the request is expired, spent or another browser's.
pub async fn require_pending(
    app: &App,
    context: &RequestContext,
    txn: Option<&str>,
) -> Result<Option<PendingRequest>, PageError> {
    let Some(txn) = txn else { return Ok(None) };
    let handle = Plain::parse(txn).ok_or(PageError::SignInExpired)?;
    let found = pending::peek(&app.tickets, &handle, context.requester()).await?;
    found.map(Some).ok_or(PageError::SignInExpired)
}

/// Returns the pending request behind a handle, or none if it has expired: the module that resumes
/// it tells the user.
pub async fn find_pending(
    app: &App,
    context: &RequestContext,
    txn: Option<&str>,
) -> Result<Option<PendingRequest>, PageError> {
    match require_pending(app, context, txn).await {
        Err(PageError::SignInExpired) => Ok(None),
        found => found,
    }
}

/// Returns the pending link behind a handle. Returns none if no handle is named, or if the provider
/// is no longer trusted with the account: then the sign-in continues without the link.
///
/// # Errors
/// [`PageError::PendingLinkGone`] if the link is another browser's, spent or expired. The refusal
/// is recorded.
pub async fn require_pending_link(
    app: &App,
    context: &RequestContext,
    handle: Option<&str>,
) -> Result<Option<PendingLink>, PageError> {
    let Some(handle) = handle else {
        return Ok(None);
    };
    let now = app.clock().now();
    let found = match Plain::parse(handle) {
        Some(handle) => pending_link::peek(&app.tickets, &handle, context.requester(), now).await?,
        None => None,
    };
    match found.filter(|link| link.requirement == LinkRequirement::VerifiedEmail) {
        Some(link) => {
            let trusted = is_trusted_issuer(&context.config, &link.account).is_some();
            Ok(trusted.then_some(link))
        }
        None => Err(refuse_pending_link(app, context).await?),
    }
}

/// Records that a pending link is not available to this browser, and returns the error for it.
///
/// Anyone may name links that do not exist: over the budget of refusals there is only a log line
/// and no row in the audit log.
pub async fn refuse_pending_link(
    app: &App,
    context: &RequestContext,
) -> Result<PageError, InfraError> {
    tracing::warn!(
        request_id = context.caller.request_id,
        code = "lk_browser",
        "upstream link refused"
    );
    // Without the ticket store there is no count, and refusals are few.
    let over_budget =
        limit::upstream_refusal(&app.tickets, context.caller.ip, &context.config.limits).await;
    if matches!(over_budget, Ok(Some(_))) {
        return Ok(PageError::PendingLinkGone);
    }
    let tx = app.db.begin().await?;
    Event::new(Kind::UpstreamRefused)
        .reason("lk_browser")
        .caller(&context.caller.network, &context.caller.request_id)
        .record(&tx)
        .await?;
    tx.commit().await?;
    Ok(PageError::PendingLinkGone)
}
