//! `POST /login/email`: requests an email, or another one within a flow.

use std::time::Duration;

use poem::{
    Body, Request, Response, handler,
    http::{StatusCode, header},
    web::Data,
};

use super::entry::{self, Refusal};
use crate::{
    app::App,
    error::InfraError,
    login::{
        client_home::with_client,
        context::{RequestContext, see_other},
        form::PostedForm,
        lookup::{find_pending, flow_id, follow_sign_in, require_pending, require_pending_link},
        page::ContinuePage,
        page_error::{self, PageError},
        pending::PendingRequest,
        pending_link::PendingLink,
        resume::{self, sent_path},
        sign_in::{self, SignInView},
    },
    magic_link::request::{self, ResendOutcome, ResendRequest, SignInRequest, StartOutcome},
    secret::Plain,
    user::{Address, EntryError},
    web::{csrf, locale::Localizer, page::render_page, params::Params},
};

#[handler]
pub(crate) async fn request_email(
    Data(app): Data<&App>,
    request: &Request,
    body: Body,
) -> Response {
    page_error::respond(app, request, async {
        let mut context = RequestContext::load(app, request, "").await?;
        let params = Params::read_form(request, body).await?;
        params.check_all(&["email", "remember", "txn", "link", "flow", "form_token"])?;
        if params.contains("flow") && !params.contains("email") {
            follow_sign_in(app, &mut context, &params).await;
            return resend(app, request, &context, &params).await;
        }
        start(app, request, &mut context, &params).await
    })
    .await
}

async fn start(
    app: &App,
    request: &Request,
    context: &mut RequestContext,
    params: &Params,
) -> Result<Response, PageError> {
    let txn = params.optional_within("txn", 43)?;
    let form = PostedForm {
        params,
        name: "sign-in",
        context: txn.unwrap_or_default(),
        allow_null_origin: false,
    };
    if let Err(error) = context.check_form(app, request, &form) {
        return recover_stale_form(app, context, request, txn, error).await;
    }
    let pending = pending_of_form(app, context, txn).await?;
    if let Some(pending) = &pending {
        context.follow(app, pending);
    }
    let context = &*context;
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
    let address = match Address::parse_entered(entered, context.config.magic_link.allow_eai) {
        Ok(address) => address,
        Err(error) => {
            let text = entry_error_text(&context.localizer, error);
            return render_refused(app, context, view, text).await;
        }
    };
    let request = SignInRequest {
        holder: context.holder(),
        address: &address,
        client_id: pending.as_ref().and_then(PendingRequest::client),
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
        StartOutcome::RateLimited(wait) => render_busy(app, context, view, wait).await,
    }
}

/// Renders the page for a network that sent too many requests.
async fn render_busy(
    app: &App,
    context: &RequestContext,
    view: SignInView<'_>,
    wait: Duration,
) -> Result<Response, PageError> {
    let text = context.localizer.text("sign-in-error-busy");
    let mut page = render_refused(app, context, view, text).await?;
    page.set_status(StatusCode::TOO_MANY_REQUESTS);
    let seconds = wait.as_secs().max(1);
    page.headers_mut()
        .insert(header::RETRY_AFTER, seconds.into());
    Ok(page)
}

/// Returns the client's request of a form, which remembers the handle that it had there.
async fn pending_of_form(
    app: &App,
    context: &RequestContext,
    txn: Option<&str>,
) -> Result<Option<PendingRequest>, PageError> {
    let mut pending = require_pending(app, context, txn).await?;
    if let (Some(pending), Some(handle)) = (&mut pending, txn.and_then(Plain::parse)) {
        pending.remember_origin(&handle);
    }
    Ok(pending)
}

/// ST-04: a form that another tab left behind, in a browser that has signed in meanwhile, goes on to its
/// client with the session that is there. Nothing in the form is used.
async fn recover_stale_form(
    app: &App,
    context: &RequestContext,
    request: &Request,
    txn: Option<&str>,
    error: PageError,
) -> Result<Response, PageError> {
    let is_stale = matches!(error, PageError::InvalidForm)
        && context.current.is_some()
        && csrf::is_from_own_page(request, &app.public_url, false);
    if !is_stale {
        return Err(error);
    }
    let path = match (txn, find_pending(app, context, txn).await?) {
        (Some(txn), Some(pending)) => {
            let path = format!("{}?txn={txn}", pending.resumed_by.resume_path());
            with_client(&path, Some(&pending.client_id))
        }
        (Some(_), None) => return resume::lead_on_without_request(context, request),
        (None, _) => "/account".to_owned(),
    };
    let page = ContinuePage {
        localizer: &context.localizer,
        href: &path,
    };
    Ok(render_page(&page, &context.page_options))
}

/// Renders the sign-in page again, with what the user entered and the text of an error.
async fn render_refused(
    app: &App,
    context: &RequestContext,
    view: SignInView<'_>,
    text: String,
) -> Result<Response, PageError> {
    let error = Some(text);
    sign_in::render(app, context, SignInView { error, ..view }).await
}

/// OC-7, OD-13: says what is wrong with an address, and which character.
fn entry_error_text(localizer: &Localizer, error: EntryError) -> String {
    let with_character = |key: &str, c: char| {
        let is_visible = c.is_ascii_graphic() || c.is_alphanumeric();
        let shown = match is_visible {
            true => c.to_string(),
            false => format!("U+{:04X}", u32::from(c)),
        };
        localizer.text_with(key, &[("character", shown)])
    };
    match error {
        EntryError::Empty => localizer.text("sign-in-error-empty"),
        EntryError::NoAt => localizer.text("sign-in-error-at"),
        EntryError::SeveralAts => localizer.text("sign-in-error-several"),
        EntryError::Space => localizer.text("sign-in-error-space"),
        EntryError::Character(c) => with_character("sign-in-error-character", c),
        EntryError::Letter(c) => with_character("sign-in-error-letter", c),
        EntryError::Address(_) => localizer.text("sign-in-error-email"),
    }
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
        ResendOutcome::Accepted(flow) => Ok(context.without_entry(see_other(&sent_path(&flow)))),
        ResendOutcome::CoolingDown(flow) => {
            Ok(entry::refuse(context, &flow, Refusal::CoolingDown, ""))
        }
        ResendOutcome::RateLimited(wait) => Err(PageError::TooManyRequests(wait)),
        ResendOutcome::UnknownFlow => Err(PageError::SignInExpired),
    }
}
