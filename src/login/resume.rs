//! Going on after a sign-in: `GET /login/continue` and `GET /login/restart`.

use poem::{Request, Response, handler, web::Data};
use uuid::Uuid;

use super::{
    context::{RequestContext, see_other},
    flow::{self, Flow, FlowState},
    page,
    page_error::{self, PageError},
    pending::{self, PendingRequest},
    pending_link::{self, CONFIRM_PATH, PendingLink},
    provider,
};
use crate::{
    app::App,
    limit,
    web::{page::render_page, params::Params},
};

/// Where the protocol room takes a pending request up again.
pub const RESUME_PATH: &str = "/oauth2/authorize/resume";

/// The path that goes on with a flow.
#[must_use]
pub fn continue_path(flow: Uuid) -> String {
    format!("/login/continue?flow={flow}")
}

/// The flow that a query names.
///
/// # Errors
/// [`PageError::SignInExpired`] if it is no identifier.
pub fn flow_id(params: &Params) -> Result<Uuid, PageError> {
    let text = params.required("flow", 36)?;
    Uuid::try_parse(text).map_err(|_| PageError::SignInExpired)
}

/// After success: on to the client, once, or to the account.
#[handler]
pub async fn go_on(Data(app): Data<&App>, request: &Request) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        let id = flow_id(&Params::from_query(request)?)?;
        let Some(flow) = flow::find(app.db.read(), id).await? else {
            return Err(PageError::SignInExpired);
        };
        let session = context.current.as_ref().map(|current| current.session.id);
        if flow.state == FlowState::Consumed && session.is_some() && flow.session_id == session {
            return take_up(app, &context, &flow).await;
        }
        match flow.state {
            FlowState::Open if flow::is_held_by(&flow, &context.holder()) => {
                Ok(see_other(&format!("/login/sent?flow={}", flow.id)))
            }
            _ => Err(PageError::SignInExpired),
        }
    })
    .await
}

/// Whichever tab comes first takes the client's request; the other is told that it may be closed. An account at a
/// provider that waits for a yes comes before it, while that provider may speak for it.
async fn take_up(app: &App, context: &RequestContext, flow: &Flow) -> Result<Response, PageError> {
    if let Some(link) = pending_link_in(flow)? {
        if flow.link_settled_at.is_none()
            && provider::is_trusted_issuer(&context.config, &link.arrived).is_some()
        {
            return Ok(see_other(&format!("{CONFIRM_PATH}?flow={}", flow.id)));
        }
        pending_link::spend(&app.tickets, &link).await?;
    }
    if flow.destination.is_none() {
        return Ok(see_other("/account"));
    }
    let site = context.site_for_client(flow.client_id.as_deref());
    let closed = || {
        Ok(render_page(
            &page::SignedInPage {
                localizer: &context.localizer,
            },
            site,
        ))
    };
    if flow.destination_claimed_at.is_some() {
        return closed();
    }
    let pending = pending_request_in(flow)?.ok_or(PageError::SignInExpired)?;
    has_room(app, context).await?;
    // Parked first: a handle that is not sent is worth nothing, but a claim whose store is away would lose the request.
    let handle = pending::store(
        &app.tickets,
        context.pre.hash(),
        context.session_id(),
        &pending,
    )
    .await?;
    let tx = app.db.begin().await?;
    let first = flow::claim_outcome(&tx, flow.id).await?;
    tx.commit().await?;
    if first && pending::claim_origin(&app.tickets, &pending).await? {
        return Ok(context.with_pre_login_cookie(see_other(&format!(
            "{}?txn={}",
            pending.resumed_by.resume_path(),
            handle.to_text()
        ))));
    }
    closed()
}

/// Parking again is counted as a client's request is: each takes room in the ticket store, and nothing here is spent.
async fn has_room(app: &App, context: &RequestContext) -> Result<(), PageError> {
    match limit::authorize(&app.tickets, context.caller.ip, &context.config.limits).await? {
        Some(wait) => Err(PageError::TooManyRequests(wait)),
        None => Ok(()),
    }
}

/// The account at a provider that a flow carries.
///
/// # Errors
/// If its row is damaged.
pub fn pending_link_in(flow: &Flow) -> Result<Option<PendingLink>, crate::error::InfraError> {
    let read =
        |text: &String| serde_json::from_str(text).map_err(crate::error::InfraError::internal);
    flow.link.as_ref().map(read).transpose()
}

/// The client's request that a flow carries.
///
/// # Errors
/// If its row is damaged.
pub fn pending_request_in(flow: &Flow) -> Result<Option<PendingRequest>, crate::error::InfraError> {
    let read =
        |text: &String| serde_json::from_str(text).map_err(crate::error::InfraError::internal);
    flow.destination.as_ref().map(read).transpose()
}

/// Another address for the same client request: back to the first page with it.
#[handler]
pub async fn restart(Data(app): Data<&App>, request: &Request) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        let id = flow_id(&Params::from_query(request)?)?;
        let flow = flow::find_held(app.db.read(), id, &context.holder()).await?;
        let Some(flow) = flow.filter(|flow| flow.state == FlowState::Open) else {
            return Ok(see_other("/login"));
        };
        let mut query = Vec::new();
        if flow.destination.is_some() || flow.link.is_some() {
            has_room(app, &context).await?;
        }
        if let Some(pending) = pending_request_in(&flow)? {
            let handle = pending::store(
                &app.tickets,
                context.pre.hash(),
                context.session_id(),
                &pending,
            )
            .await?;
            query.push(format!("txn={}", handle.to_text()));
        }
        // One that has waited for too long is left behind; the client's request goes on without.
        if let Some(link) = pending_link_in(&flow)?.and_then(|link| link.anew(app.clock().now())) {
            let handle = pending_link::store(&app.tickets, context.pre.hash(), &link).await?;
            query.push(format!("link={}", handle.to_text()));
        }
        let joint = if query.is_empty() { "" } else { "?" };
        Ok(context.with_pre_login_cookie(see_other(&format!("/login{joint}{}", query.join("&")))))
    })
    .await
}
