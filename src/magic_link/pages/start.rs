//! `POST /login/email`: requests an email, or another one within a flow.

use poem::{
    Body, Request, Response, handler,
    http::{StatusCode, header},
    web::Data,
};

use super::{
    sent::{Refusal, render_sent},
    shared::sent_path,
};
use crate::{
    app::App,
    error::InfraError,
    login::{
        context::{RequestContext, see_other},
        form::PostedForm,
        lookup::{flow_id, require_pending, require_pending_link},
        page_error::{self, PageError},
        pending::PendingRequest,
        pending_link::PendingLink,
        sign_in::{self, SignInView},
    },
    magic_link::request::{self, ResendOutcome, ResendRequest, SignInRequest, StartOutcome},
    secret::Plain,
    user::Address,
    web::params::Params,
};

#[handler]
pub(crate) async fn request_email(
    Data(app): Data<&App>,
    request: &Request,
    body: Body,
) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        let params = Params::read_form(request, body).await?;
        params.check_all(&["email", "remember", "txn", "link", "flow", "form_token"])?;
        if params.contains("flow") && !params.contains("email") {
            return resend(app, request, &context, &params).await;
        }
        start(app, request, &context, &params).await
    })
    .await
}

async fn start(
    app: &App,
    request: &Request,
    context: &RequestContext,
    params: &Params,
) -> Result<Response, PageError> {
    let txn = params.optional_within("txn", 43)?;
    let form = PostedForm {
        params,
        name: "sign-in",
        context: txn.unwrap_or_default(),
        allow_null_origin: false,
    };
    context.check_form(app, request, &form)?;
    let mut pending = require_pending(app, context, txn).await?;
    if let (Some(pending), Some(handle)) = (&mut pending, txn.and_then(Plain::parse)) {
        pending.remember_origin(&handle);
    }
    let link = params.optional_within("link", 43)?;
    let linking = require_pending_link(app, context, link).await?;
    let entered = params.optional("email")?.unwrap_or_default();
    let remembered = params.optional("remember")?.is_some();
    let view = SignInView {
        txn,
        pending: pending.as_ref(),
        email: entered,
        remembered,
        link,
        linking: linking.as_ref(),
        ..SignInView::default()
    };
    let Ok(address) = Address::parse(entered, context.config.magic_link.allow_eai) else {
        return render_refused(app, context, view, "sign-in-error-email").await;
    };
    let request = SignInRequest {
        holder: context.holder(),
        address: &address,
        client_id: pending.as_ref().map(|pending| pending.client_id.as_str()),
        locale: &context.localizer.tag,
        device: context.device.as_ref().map(Plain::hash),
        remembered,
        destination: destination_json(pending.as_ref())?,
        link: link_json(linking.as_ref())?,
        caller: &context.caller,
    };
    match request::start(app, &context.config, request).await? {
        StartOutcome::Accepted(flow) => {
            Ok(context.with_pre_login_cookie(see_other(&sent_path(&flow))))
        }
        StartOutcome::RateLimited(wait) => {
            let mut page = render_refused(app, context, view, "sign-in-error-busy").await?;
            page.set_status(StatusCode::TOO_MANY_REQUESTS);
            let seconds = wait.as_secs().max(1);
            page.headers_mut()
                .insert(header::RETRY_AFTER, seconds.into());
            Ok(page)
        }
    }
}

/// Renders the sign-in page again, with what the user entered and the text of an error.
async fn render_refused(
    app: &App,
    context: &RequestContext,
    view: SignInView<'_>,
    key: &str,
) -> Result<Response, PageError> {
    let error = Some(context.localizer.text(key));
    sign_in::render(app, context, SignInView { error, ..view }).await
}

fn destination_json(pending: Option<&PendingRequest>) -> Result<Option<String>, InfraError> {
    pending
        .map(serde_json::to_string)
        .transpose()
        .map_err(InfraError::internal)
}

/// The handle of the client's request stays out of the flow's row, which has the request itself.
fn link_json(linking: Option<&PendingLink>) -> Result<Option<String>, InfraError> {
    linking
        .map(|link| {
            serde_json::to_string(&PendingLink {
                txn: None,
                ..link.clone()
            })
        })
        .transpose()
        .map_err(InfraError::internal)
}

async fn resend(
    app: &App,
    request: &Request,
    context: &RequestContext,
    params: &Params,
) -> Result<Response, PageError> {
    let flow_id = flow_id(params)?;
    let form = PostedForm {
        params,
        name: "resend",
        context: &flow_id.to_string(),
        allow_null_origin: false,
    };
    context.check_form(app, request, &form)?;
    let request = ResendRequest {
        flow_id,
        holder: context.holder(),
        device: context.device.as_ref().map(Plain::hash),
        caller: &context.caller,
    };
    match request::resend(app, &context.config, request).await? {
        ResendOutcome::Accepted(flow) => Ok(see_other(&sent_path(&flow))),
        ResendOutcome::CoolingDown(flow) => {
            render_sent(app, context, &flow, Some(Refusal::CoolingDown)).await
        }
        ResendOutcome::RateLimited(wait) => Err(PageError::TooManyRequests(wait)),
        ResendOutcome::UnknownFlow => Err(PageError::SignInExpired),
    }
}
