//! Taking a client's request up again: `GET /login/again` and `GET /login/restart`.

use poem::{Request, Response, handler, web::Data};

use super::{
    client_home::{client_in, with_client},
    context::{RequestContext, see_other},
    flow::{self, FlowState},
    flow_payload::{pending_link_in, pending_request_in},
    lookup::flow_id,
    page_error::{self, PageError},
    pending, pending_link,
    resume::{continue_path, store_request},
};
use crate::{app::App, secret::Plain, web::params::Params};

/// `GET /login/again`: takes up the client's request after the user has allowed cookies (OC-8). Nothing is
/// spent but the handle, and the request waits under another one for this browser.
#[handler]
pub(crate) async fn again(Data(app): Data<&App>, request: &Request) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        let params = Params::from_query(request)?;
        let handle = Plain::parse(params.required("txn", 43)?).ok_or(PageError::SignInExpired)?;
        context.check_store_budget(app).await?;
        let pending = pending::adopt(&app.tickets, &handle).await?;
        let mut pending = pending.ok_or(PageError::SignInExpired)?;
        pending.is_unbound = context.requester().browser.is_none();
        let txn = store_request(app, &context, &pending).await?;
        let path = with_client(&format!("/login?{txn}"), Some(&pending.client_id));
        Ok(context.with_pre_login_cookie(see_other(&path)))
    })
    .await
}

/// `GET /login/restart`: the sign-in page again, with the address to be changed and the same client
/// request, also for a flow whose time is over.
#[handler]
pub(crate) async fn restart(Data(app): Data<&App>, request: &Request) -> Response {
    page_error::respond(app, request, async {
        let mut context = RequestContext::load(app, request, "").await?;
        let id = flow_id(&Params::from_query(request)?)?;
        let Some(flow) = flow::find_held(app.db.read(), id, &context.holder()).await? else {
            return match client_in(request, &context.config) {
                Some(_) => Err(PageError::SignInExpired),
                None => Ok(see_other("/login")),
            };
        };
        context.follow_flow(app, &flow);
        match flow.state {
            FlowState::Open => {}
            FlowState::Consumed => return Ok(see_other(&continue_path(&flow))),
            FlowState::Ended => return Err(PageError::SignInExpired),
        }
        if flow.destination.is_some() || flow.link.is_some() {
            context.check_store_budget(app).await?;
        }
        let mut query = vec![format!("flow={}", flow.id)];
        if let Some(pending) = pending_request_in(&flow)? {
            query.push(store_request(app, &context, &pending).await?);
        }
        // A link that has waited for too long is dropped; the client's request continues without.
        if let Some(link) = pending_link_in(&flow)?.and_then(|link| link.renewed(app.clock().now()))
        {
            let tickets = app.tickets.charged_to(context.payer());
            let handle = pending_link::store(&tickets, context.pre.hash(), &link).await?;
            query.push(format!("link={}", handle.to_text()));
        }
        let location = format!("/login?{}", query.join("&"));
        let location = with_client(&location, flow.client_id.as_deref());
        Ok(context.with_pre_login_cookie(see_other(&location)))
    })
    .await
}
