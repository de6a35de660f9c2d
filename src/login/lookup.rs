//! What the parameters of a page or form name: a flow, a client's pending request, a pending link.

use uuid::Uuid;

use super::{
    context::RequestContext,
    flow::{self, Flow, FlowState},
    page_error::PageError,
    pending::{self, PendingRequest},
    pending_link::{self, LinkRequirement, PendingLink},
};
use crate::{
    app::App,
    audit::{AuditReason, Event, Kind},
    error::InfraError,
    limit,
    secret::Plain,
    user::{self, identity::is_trusted_issuer},
    web::params::Params,
};

/// Parses the flow's id in the parameters.
pub fn flow_id(params: &Params) -> Result<Uuid, PageError> {
    let text = params.required("flow", 36)?;
    Uuid::try_parse(text).map_err(|_| PageError::SignInExpired)
}

/// Lets the pages of this request look as those of the client's request or the flow that its
/// parameters name, if this browser holds it (OC-3). An outage is no reason to fail here: the
/// endpoint meets it where it matters.
pub async fn follow_sign_in(app: &App, context: &mut RequestContext, params: &Params) {
    let handle = params.first_readable("txn").and_then(Plain::parse);
    let flow = params
        .first_readable("flow")
        .and_then(|id| Uuid::try_parse(id).ok());
    if let Some(handle) = handle {
        let found = pending::peek(&app.tickets, &handle, context.requester()).await;
        if let Ok(Some(pending)) = found {
            context.follow(app, &pending);
        }
    } else if let Some(id) = flow
        && let Ok(Some(flow)) = flow::find(app.db.read(), id).await
        && is_own_flow(context, &flow)
    {
        context.follow_flow(app, &flow);
    }
}

/// Whether this browser began the flow, or is signed in by it.
#[must_use]
pub fn is_own_flow(context: &RequestContext, flow: &Flow) -> bool {
    let session = context.session_id();
    flow::is_held_by(flow, &context.holder()) || session.is_some() && flow.session_id == session
}

/// Returns whether the sign-in of this browser's session used the flow: its link and code lead on then,
/// however late they are (OD-9).
#[must_use]
pub fn is_of_session(context: &RequestContext, flow: &Flow) -> bool {
    let session = context.session_id();
    flow.state == FlowState::Consumed && session.is_some() && flow.session_id == session
}

/// ST-04: whether the user of an open flow has signed in in this browser since it began, in another
/// tab. Then the flow has nothing left to verify, unless an account waits to be linked by it.
pub async fn has_signed_in_since(
    app: &App,
    context: &RequestContext,
    flow: &Flow,
) -> Result<bool, InfraError> {
    let Some(current) = &context.current else {
        return Ok(false);
    };
    let is_later = current.session.auth_time > flow.created_at;
    if flow.state != FlowState::Open || flow.link.is_some() || !is_later {
        return Ok(false);
    }
    user::has_verified(app.db.read(), current.user.id, &flow.canonical).await
}

/// Returns the pending request behind a handle, or none if no handle is named.
///
/// # Errors
/// [`PageError::SignInExpired`] if the request is expired, spent or another browser's;
/// [`PageError::MissingCookie`] if the browser kept no cookie.
pub async fn require_pending(
    app: &App,
    context: &RequestContext,
    txn: Option<&str>,
) -> Result<Option<PendingRequest>, PageError> {
    let Some(txn) = txn else { return Ok(None) };
    let handle = Plain::parse(txn).ok_or(PageError::SignInExpired)?;
    let found = pending::peek(&app.tickets, &handle, context.requester()).await?;
    match found {
        Some(pending) => {
            context.caller.log_line.always_write();
            Ok(Some(pending))
        }
        // OC-8: the page that stored the request set the cookie.
        None if !context.had_pre && context.current.is_none() => Err(PageError::MissingCookie),
        None => Err(PageError::SignInExpired),
    }
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

/// The reason of a pending link that belongs to another browser, was used, or has expired. A provider's
/// callback gives the same word.
#[derive(Clone, Copy, Debug)]
struct PendingLinkRefused;

impl AuditReason for PendingLinkRefused {
    fn word(self) -> &'static str {
        "lk_browser"
    }
}

/// Records that a pending link is not available to this browser, and returns the error for it.
///
/// Anyone may name links that do not exist: only a user who is signed in has a row in the audit log,
/// within the budget of refusals; the rest is a log line (ST-17).
pub async fn refuse_pending_link(
    app: &App,
    context: &RequestContext,
) -> Result<PageError, InfraError> {
    if let Some(request_id) = context.caller.reference_if_refused() {
        tracing::warn!(
            request_id,
            reason = PendingLinkRefused.word(),
            "upstream link refused"
        );
    }
    let Some(current) = &context.current else {
        return Ok(PageError::PendingLinkGone);
    };
    // Without the ticket store there is no count, and refusals are few.
    let over_budget =
        limit::upstream_refusal(&app.tickets, context.caller.ip, &context.config.limits).await;
    if matches!(over_budget, Ok(Some(_))) {
        return Ok(PageError::PendingLinkGone);
    }
    let tx = app.db.begin().await?;
    Event::new(Kind::UpstreamRefused)
        .reason(PendingLinkRefused)
        .user(current.user.id)
        .session(current.session.id)
        .caller(&context.caller.network, &context.caller.request_id)
        .record(&tx)
        .await?;
    tx.commit().await?;
    Ok(PageError::PendingLinkGone)
}
