//! Going on after a sign-in: `GET /login/continue` and `GET /login/restart`.

use poem::{Request, Response, handler, web::Data};
use uuid::Uuid;

use super::{
    context::{RequestContext, see_other},
    flow::{self, Flow, State},
    page,
    page_error::{self, PageError},
    pending::{self, Pending},
    pending_link::{self, ASK_PATH, PendingLink},
    provider,
};
use crate::{
    app::App,
    limit,
    web::{page::show, params::Params},
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
/// [`PageError::Expired`] if it is no identifier.
pub fn flow_id(params: &Params) -> Result<Uuid, PageError> {
    let text = params.needed("flow", 36)?;
    Uuid::try_parse(text).map_err(|_| PageError::Expired)
}

/// After success: on to the client, once, or to the account.
#[handler]
pub async fn go_on(Data(app): Data<&App>, request: &Request) -> Response {
    page_error::page(app, request, async {
        let context = RequestContext::of(app, request, "").await?;
        let id = flow_id(&Params::from_query(request)?)?;
        let Some(flow) = flow::by_id(app.db.read(), id).await? else {
            return Err(PageError::Expired);
        };
        let session = context.current.as_ref().map(|current| current.session.id);
        if flow.state == State::Consumed && session.is_some() && flow.session_id == session {
            return take_up(app, &context, &flow).await;
        }
        match flow.state {
            State::Open if flow::is_held(&flow, &context.holder()) => {
                Ok(see_other(&format!("/login/sent?flow={}", flow.id)))
            }
            _ => Err(PageError::Expired),
        }
    })
    .await
}

/// Whichever tab comes first takes the client's request; the other is told that it may be closed. An account at a
/// provider that waits for a yes comes before it, while that provider may speak for it.
async fn take_up(app: &App, context: &RequestContext, flow: &Flow) -> Result<Response, PageError> {
    if let Some(link) = link_of(flow)? {
        if flow.link_settled_at.is_none()
            && provider::is_trusted_issuer(&context.config, &link.arrived).is_some()
        {
            return Ok(see_other(&format!("{ASK_PATH}?flow={}", flow.id)));
        }
        pending_link::spend(&app.tickets, &link).await?;
    }
    if flow.destination.is_none() {
        return Ok(see_other("/account"));
    }
    let site = context.site_of(flow.client_id.as_deref());
    let closed = || {
        Ok(show(
            &page::SignedIn {
                localizer: &context.localizer,
            },
            site,
        ))
    };
    if flow.destination_claimed_at.is_some() {
        return closed();
    }
    let pending = request_of(flow)?.ok_or(PageError::Expired)?;
    has_room(app, context).await?;
    // Parked first: a handle that is not sent is worth nothing, but a claim whose store is away would lose the request.
    let handle = pending::park(
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
        return Ok(context.answer(see_other(&format!(
            "{}?txn={}",
            pending.room.resume_path(),
            handle.to_text()
        ))));
    }
    closed()
}

/// Parking again is counted as a client's request is: each takes room in the ticket store, and nothing here is spent.
async fn has_room(app: &App, context: &RequestContext) -> Result<(), PageError> {
    match limit::authorize(&app.tickets, context.caller.ip, &context.config.limits).await? {
        Some(wait) => Err(PageError::Busy(wait)),
        None => Ok(()),
    }
}

/// The account at a provider that a flow carries.
///
/// # Errors
/// If its row is damaged.
pub fn link_of(flow: &Flow) -> Result<Option<PendingLink>, crate::error::InfraError> {
    let read =
        |text: &String| serde_json::from_str(text).map_err(crate::error::InfraError::internal);
    flow.link.as_ref().map(read).transpose()
}

/// The client's request that a flow carries.
///
/// # Errors
/// If its row is damaged.
pub fn request_of(flow: &Flow) -> Result<Option<Pending>, crate::error::InfraError> {
    let read =
        |text: &String| serde_json::from_str(text).map_err(crate::error::InfraError::internal);
    flow.destination.as_ref().map(read).transpose()
}

/// Another address for the same client request: back to the first page with it.
#[handler]
pub async fn restart(Data(app): Data<&App>, request: &Request) -> Response {
    page_error::page(app, request, async {
        let context = RequestContext::of(app, request, "").await?;
        let id = flow_id(&Params::from_query(request)?)?;
        let flow = flow::held(app.db.read(), id, &context.holder()).await?;
        let Some(flow) = flow.filter(|flow| flow.state == State::Open) else {
            return Ok(see_other("/login"));
        };
        let mut query = Vec::new();
        if flow.destination.is_some() || flow.link.is_some() {
            has_room(app, &context).await?;
        }
        if let Some(pending) = request_of(&flow)? {
            let handle = pending::park(
                &app.tickets,
                context.pre.hash(),
                context.session_id(),
                &pending,
            )
            .await?;
            query.push(format!("txn={}", handle.to_text()));
        }
        // One that has waited for too long is left behind; the client's request goes on without.
        if let Some(link) = link_of(&flow)?.and_then(|link| link.anew(app.clock().now())) {
            let handle = pending_link::park(&app.tickets, context.pre.hash(), &link).await?;
            query.push(format!("link={}", handle.to_text()));
        }
        let joint = if query.is_empty() { "" } else { "?" };
        Ok(context.answer(see_other(&format!("/login{joint}{}", query.join("&")))))
    })
    .await
}
