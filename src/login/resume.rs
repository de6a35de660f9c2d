//! Continuing after a sign-in: `GET /login/continue`, and the paths that lead there and to the other
//! pages of a flow.

use poem::{Request, Response, handler, http::StatusCode, web::Data};

use super::{
    client_home::{client_in, home_of, with_client},
    context::{RequestContext, see_other},
    flow::{self, Flow, FlowState},
    flow_payload::{pending_link_in, pending_request_in},
    lookup::{flow_id, has_signed_in_since, is_of_session, is_own_flow},
    page::{ContinuePage, SignedInPage},
    page_error::{self, PageError},
    pending::{self, PendingRequest},
    pending_link::{self, CONFIRM_PATH},
};
use crate::{
    app::App,
    client,
    user::identity::is_trusted_issuer,
    web::{page::render_page, params::Params},
};

/// Returns the path that continues a flow.
#[must_use]
pub fn continue_path(flow: &Flow) -> String {
    let path = format!("/login/continue?flow={}", flow.id);
    with_client(&path, flow.client_id.as_deref())
}

/// Returns the path that continues what a flow was for with the session that is there, which is
/// another user's.
#[must_use]
pub fn stay_path(flow: &Flow) -> String {
    let path = format!("/login/continue?flow={}&stay=1", flow.id);
    with_client(&path, flow.client_id.as_deref())
}

/// Returns the path of the waiting page of a flow.
#[must_use]
pub fn sent_path(flow: &Flow) -> String {
    let path = format!("/login/sent?flow={}", flow.id);
    with_client(&path, flow.client_id.as_deref())
}

/// Returns the path that starts a flow over with its address and its client's request.
#[must_use]
pub fn restart_path(flow: &Flow) -> String {
    let path = format!("/login/restart?flow={}", flow.id);
    with_client(&path, flow.client_id.as_deref())
}

/// Renders the page that leads on from a completed sign-in. It has status 200, because Chromium applies
/// `form-action` to redirects after a form (CW-03).
#[must_use]
pub fn render_continue(context: &RequestContext, flow: &Flow) -> Response {
    let page = ContinuePage {
        localizer: &context.localizer,
        href: &continue_path(flow),
    };
    render_page(
        &page,
        context.page_options_for_client(flow.client_id.as_deref()),
    )
}

/// `GET /login/continue`: after a sign-in, to the client once, or to the account page.
#[handler]
pub(crate) async fn continue_sign_in(Data(app): Data<&App>, request: &Request) -> Response {
    page_error::respond(app, request, async {
        let mut context = RequestContext::load(app, request, "").await?;
        let params = Params::from_query(request)?;
        let Some(flow) = flow::find(app.db.read(), flow_id(&params)?).await? else {
            return Err(PageError::SignInExpired);
        };
        if is_own_flow(&context, &flow) {
            context.follow_flow(app, &flow);
        }
        if is_of_session(&context, &flow) {
            return go_to_destination(app, &context, &flow).await;
        }
        let is_signed_in = context.current.is_some();
        match flow.state {
            FlowState::Consumed if is_signed_in => {
                Ok(lead_to_client(&context, flow.client_id.as_deref()))
            }
            FlowState::Open if flow::is_held_by(&flow, &context.holder()) => {
                let stays = is_signed_in && params.contains("stay");
                if stays || has_signed_in_since(app, &context, &flow).await? {
                    return continue_with_session(app, &context, &flow).await;
                }
                Ok(see_other(&sent_path(&flow)))
            }
            _ => Err(PageError::SignInExpired),
        }
    })
    .await
}

/// Hands the client's request to the tab that continues first; the other tabs go to the client, where
/// the user is signed in by then. A pending link that needs the user's consent comes before it, while its provider is
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
        Some(resume_path) => {
            let path = with_client(&resume_path, flow.client_id.as_deref());
            Ok(context.with_pre_login_cookie(see_other(&path)))
        }
        None => Ok(lead_to_client(context, flow.client_id.as_deref())),
    }
}

/// Continues what an open flow was for with the session that is there. The flow stays as it is.
async fn continue_with_session(
    app: &App,
    context: &RequestContext,
    flow: &Flow,
) -> Result<Response, PageError> {
    let Some(pending) = pending_request_in(flow)? else {
        return Ok(see_other("/account"));
    };
    context.check_store_budget(app).await?;
    let resume_path = pending.resumed_by.resume_path();
    let txn = store_request(app, context, &pending).await?;
    if !pending::claim_origin(&app.tickets, &pending).await? {
        return Ok(lead_to_client(context, flow.client_id.as_deref()));
    }
    let path = with_client(&format!("{resume_path}?{txn}"), flow.client_id.as_deref());
    Ok(context.with_pre_login_cookie(see_other(&path)))
}

/// OD-9: leads to the home page of the client whose request another tab has taken up: at once if the
/// client registered the page, and by a button if its address is derived.
fn lead_to_client(context: &RequestContext, client_id: Option<&str>) -> Response {
    let client = client_id.and_then(|id| client::find(&context.config, id));
    let home = home_of(&context.config, client_id);
    if let (Some((home, _)), Some(client)) = (&home, client)
        && !client.client_uri.is_empty()
    {
        return see_other(home.as_str());
    }
    let page = SignedInPage {
        localizer: &context.localizer,
        client: client.map(|client| client.name.as_str()),
        client_href: home.as_ref().map(|(home, _)| home.as_str()),
    };
    render_page(&page, context.page_options_for_client(client_id))
}

/// OD-9: what a signed-in user gets in place of a client's request that was spent or has expired: the
/// way to the client that the address names.
///
/// # Errors
/// [`PageError::SignInExpired`] if no user is signed in or no client is named.
pub fn lead_on_without_request(
    context: &RequestContext,
    request: &Request,
) -> Result<Response, PageError> {
    let client = client_in(request, &context.config).filter(|_| context.current.is_some());
    let client = client.ok_or(PageError::SignInExpired)?;
    let mut page = lead_to_client(context, Some(&client.client_id));
    if page.status() == StatusCode::OK {
        page.set_status(StatusCode::GONE);
    }
    Ok(page)
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
    context.check_store_budget(app).await?;
    // Store first: an unused handle is worth nothing, but a claim without a store would lose the
    // request. The claim of the flow comes last: if a step before it fails, the same address works again.
    let resume_path = pending.resumed_by.resume_path();
    let txn = store_request(app, context, &pending).await?;
    let is_own = pending::claim_origin_for(&app.tickets, &pending, flow.id).await?;
    // Also where another sign-in was first, so that the next visit stores nothing.
    let tx = app.db.begin().await?;
    let claimed = flow::claim_outcome(&tx, flow.id).await?;
    tx.commit().await?;
    Ok((claimed && is_own).then(|| format!("{resume_path}?{txn}")))
}

/// Stores a request for this browser, and returns the query parameter that names it.
pub(super) async fn store_request(
    app: &App,
    context: &RequestContext,
    pending: &PendingRequest,
) -> Result<String, PageError> {
    let session = context.current.as_ref().map(|current| &current.session);
    let tickets = app.tickets.charged_to(context.payer());
    let handle = pending::store(&tickets, context.pre.hash(), session, pending).await?;
    Ok(format!("txn={}", handle.to_text()))
}
