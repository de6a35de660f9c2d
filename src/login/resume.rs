//! Continuing after a sign-in, and starting over: `GET /login/continue` and `GET /login/restart`.

use poem::{Request, Response, handler, web::Data};
use uuid::Uuid;

use super::{
    context::{RequestContext, see_other},
    flow::{self, Flow, FlowState},
    flow_payload::{pending_link_in, pending_request_in},
    lookup::flow_id,
    page::SignedInPage,
    page_error::{self, PageError},
    pending::{self, PendingRequest},
    pending_link::{self, CONFIRM_PATH},
};
use crate::{
    app::App,
    limit,
    user::identity::is_trusted_issuer,
    web::{page::render_page, params::Params},
};

/// Returns the path that continues a flow.
#[must_use]
pub fn continue_path(flow: Uuid) -> String {
    format!("/login/continue?flow={flow}")
}

/// `GET /login/continue`: after a sign-in, to the client once, or to the account page.
#[handler]
pub(crate) async fn continue_sign_in(Data(app): Data<&App>, request: &Request) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        let id = flow_id(&Params::from_query(request)?)?;
        let Some(flow) = flow::find(app.db.read(), id).await? else {
            return Err(PageError::SignInExpired);
        };
        let session = context.session_id();
        if flow.state == FlowState::Consumed && session.is_some() && flow.session_id == session {
            return go_to_destination(app, &context, &flow).await;
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

/// Hands the client's request to the tab that continues first; the other tabs show that they may be
/// closed. A pending link that needs the user's consent comes before it, while its provider is
/// trusted with the account.
async fn go_to_destination(
    app: &App,
    context: &RequestContext,
    flow: &Flow,
) -> Result<Response, PageError> {
    if let Some(link) = pending_link_in(flow)? {
        if flow.link_settled_at.is_none()
            && is_trusted_issuer(&context.config, &link.account).is_some()
        {
            return Ok(see_other(&format!("{CONFIRM_PATH}?flow={}", flow.id)));
        }
        pending_link::spend(&app.tickets, &link).await?;
    }
    if flow.destination.is_none() {
        return Ok(see_other("/account"));
    }
    match claim_request(app, context, flow).await? {
        Some(resume_path) => Ok(context.with_pre_login_cookie(see_other(&resume_path))),
        None => {
            let page = SignedInPage {
                localizer: &context.localizer,
            };
            let site = context.page_options_for_client(flow.client_id.as_deref());
            Ok(render_page(&page, site))
        }
    }
}

/// Claims the client's request that a flow carries, and returns the path that resumes it. Returns
/// none if another tab or another sign-in has claimed it.
async fn claim_request(
    app: &App,
    context: &RequestContext,
    flow: &Flow,
) -> Result<Option<String>, PageError> {
    if flow.destination_claimed_at.is_some() {
        return Ok(None);
    }
    let pending = pending_request_in(flow)?.ok_or(PageError::SignInExpired)?;
    check_store_budget(app, context).await?;
    // Store first: an unused handle is worth nothing, but a claim without a store would lose the
    // request.
    let resume_path = pending.resumed_by.resume_path();
    let txn = store_request(app, context, &pending).await?;
    let tx = app.db.begin().await?;
    let claimed = flow::claim_outcome(&tx, flow.id).await?;
    tx.commit().await?;
    let claimed = claimed && pending::claim_origin(&app.tickets, &pending).await?;
    Ok(claimed.then(|| format!("{resume_path}?{txn}")))
}

/// Stores a request for this browser, and returns the query parameter that names it.
async fn store_request(
    app: &App,
    context: &RequestContext,
    pending: &PendingRequest,
) -> Result<String, PageError> {
    let (browser, session) = (context.pre.hash(), context.session_id());
    let handle = pending::store(&app.tickets, browser, session, pending).await?;
    Ok(format!("txn={}", handle.to_text()))
}

/// Storing a request again counts as a new one does: each takes space in the ticket store, and
/// nothing is spent here.
async fn check_store_budget(app: &App, context: &RequestContext) -> Result<(), PageError> {
    match limit::authorize(&app.tickets, context.caller.ip, &context.config.limits).await? {
        Some(wait) => Err(PageError::TooManyRequests(wait)),
        None => Ok(()),
    }
}

/// `GET /login/restart`: the sign-in page again, for another address and the same client request.
#[handler]
pub(crate) async fn restart(Data(app): Data<&App>, request: &Request) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        let id = flow_id(&Params::from_query(request)?)?;
        let flow = flow::find_held(app.db.read(), id, &context.holder()).await?;
        let Some(flow) = flow.filter(|flow| flow.state == FlowState::Open) else {
            return Ok(see_other("/login"));
        };
        if flow.destination.is_some() || flow.link.is_some() {
            check_store_budget(app, &context).await?;
        }
        let mut query = Vec::new();
        if let Some(pending) = pending_request_in(&flow)? {
            query.push(store_request(app, &context, &pending).await?);
        }
        // A link that has waited for too long is dropped; the client's request continues without.
        if let Some(link) = pending_link_in(&flow)?.and_then(|link| link.renewed(app.clock().now()))
        {
            let handle = pending_link::store(&app.tickets, context.pre.hash(), &link).await?;
            query.push(format!("link={}", handle.to_text()));
        }
        let separator = if query.is_empty() { "" } else { "?" };
        let location = format!("/login{separator}{}", query.join("&"));
        Ok(context.with_pre_login_cookie(see_other(&location)))
    })
    .await
}
