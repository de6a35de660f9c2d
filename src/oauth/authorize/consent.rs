//! `/consent`: a third-party client asks, or any on the person's device; the person decides. `POST /oauth2/authorize/cancel`: they go back instead of
//! signing in (AZ-20).

use poem::{Body, Request, Response, handler, web::Data};
use uuid::Uuid;

use super::{
    next::{Next, next},
    request::AuthorizeRequest,
    respond::{self, Leave},
};
use crate::{
    app::App,
    audit::{Event, Kind},
    login::{
        context::{RequestContext, see_other},
        flow,
        flow_payload::pending_request_in,
        form::PostedForm,
        lookup::flow_id,
        page_error::{self, PageError},
        pending::{self, PendingRequest, RESUME_PATH},
    },
    oauth::{
        claims_request::wanted,
        consent_store,
        error::{Code, OauthError},
        page::Consent,
    },
    secret::Plain,
    session::CurrentSession,
    user,
    web::{page::render_page, params::Params},
};

/// Where the question is asked.
#[must_use]
pub fn path(handle: &Plain) -> String {
    format!("/consent?txn={}", handle.to_text())
}

fn handle(params: &Params) -> Result<Plain, PageError> {
    Plain::parse(params.required("txn", 43)?).ok_or(PageError::SignInExpired)
}

/// `GET /consent`.
#[handler]
pub(crate) async fn ask(Data(app): Data<&App>, request: &Request) -> Response {
    page_error::respond(app, request, async {
        let mut context = RequestContext::load(app, request, "").await?;
        let params = Params::from_query(request)?;
        let handle = handle(&params)?;
        let pending = pending::peek(&app.tickets, &handle, context.requester())
            .await?
            .ok_or(PageError::SignInExpired)?;
        context.localizer = app
            .texts
            .negotiate(&pending.ui_locales, &context.caller.accept_language);
        let asked = restore(&pending, &context)?;
        // Only a request that needs nothing but consent is decided here: one that waits for a sign-in, or for a fresher
        // proof, goes where it is looked at again.
        let current = context.current.as_ref();
        let consented = super::is_consented(app, &context, &asked).await?;
        let (Next::Consent, Some(current)) =
            (next(&asked, current, consented, app.clock().now()), current)
        else {
            return Ok(see_other(&format!(
                "{RESUME_PATH}?txn={}",
                handle.to_text()
            )));
        };
        let email = user::primary_address(app.db.read(), current.user.id)
            .await?
            .map(|row| row.email);
        let wanted = wanted(&asked.stored.scope, &asked.stored.claims);
        let scopes: Vec<&str> = wanted.split_ascii_whitespace().collect();
        let txn = handle.to_text();
        let page = Consent {
            localizer: &context.localizer,
            client: &asked.client.name,
            email: email.as_deref().unwrap_or_default(),
            first_party: asked.client.first_party,
            scopes: &scopes,
            txn: &txn,
            form_token: &context.form_token(app, "consent", &bound_to(&txn, current)),
        };
        Ok(context.with_pre_login_cookie(render_page(
            &page,
            context.page_options_for_client(Some(&asked.client.client_id)),
        )))
    })
    .await
}

/// The form is about this request and this user: whoever signs in as somebody else in between is asked again.
fn bound_to(txn: &str, current: &CurrentSession) -> String {
    format!("{txn} {}", current.user.id)
}

fn restore<'a>(
    pending: &PendingRequest,
    context: &'a RequestContext,
) -> Result<AuthorizeRequest<'a>, PageError> {
    // A handle of something else that waits is no request.
    let stored = serde_json::from_str(&pending.request).map_err(|_| PageError::SignInExpired)?;
    AuthorizeRequest::restore(stored, &context.config)
        .ok_or(PageError::InvalidClientRequest("redirect_uri"))
}

/// `POST /consent`.
#[handler]
pub(crate) async fn decide(Data(app): Data<&App>, request: &Request, body: Body) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        let params = Params::read_form(request, body).await?;
        params.check_all(&["txn", "decision", "form_token"])?;
        let handle = handle(&params)?;
        let current = context.current.as_ref().ok_or(PageError::InvalidForm)?;
        let form_context = bound_to(&handle.to_text(), current);
        let form = PostedForm {
            params: &params,
            name: "consent",
            context: &form_context,
            allow_null_origin: false,
        };
        context.check_form(app, request, &form)?;
        let allowed = params.optional("decision")? == Some("allow");
        let pending = pending::peek(&app.tickets, &handle, context.requester())
            .await?
            .ok_or(PageError::SignInExpired)?;
        let mut asked = restore(&pending, &context)?;
        let answer = if allowed {
            allow(app, &context, &mut asked, current).await?
        } else {
            refused(app, &context, &asked)
        };
        super::taken(app, &context, &handle, answer).await
    })
    .await
}

/// Consent is remembered, and the request answered: if consent was all that it needed.
async fn allow(
    app: &App,
    context: &RequestContext,
    asked: &mut AuthorizeRequest<'_>,
    current: &CurrentSession,
) -> Result<Response, PageError> {
    let tx = app.db.begin().await?;
    let wanted = wanted(&asked.stored.scope, &asked.stored.claims);
    consent_store::allow(&tx, &current.user, &asked.client.client_id, &wanted).await?;
    tx.commit().await?;
    asked.stored.prompt.consent = false;
    match next(asked, Some(current), true, app.clock().now()) {
        Next::Code(current) => respond::code(app, context, asked, current, Leave::ByPage).await,
        _ => super::proceed(app, context, asked.clone(), Leave::ByPage).await,
    }
}

fn refused(app: &App, context: &RequestContext, asked: &AuthorizeRequest<'_>) -> Response {
    let error = OauthError::new(Code::AccessDenied, "The person did not allow it.");
    respond::error(app, context, &asked.redirect, error, Leave::ByPage)
}

/// `POST /oauth2/authorize/cancel`, from the sign-in page or from the page that waits for a mail.
#[handler]
pub(crate) async fn cancel(Data(app): Data<&App>, request: &Request, body: Body) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        let params = Params::read_form(request, body).await?;
        params.check_all(&["txn", "flow", "form_token"])?;
        let form_context = params
            .optional("txn")?
            .or(params.optional("flow")?)
            .unwrap_or_default();
        let form = PostedForm {
            params: &params,
            name: "cancel",
            context: form_context,
            allow_null_origin: false,
        };
        context.check_form(app, request, &form)?;
        if params.contains("flow") {
            return turn_back(app, &context, flow_id(&params)?).await;
        }
        let handle = handle(&params)?;
        let pending = pending::peek(&app.tickets, &handle, context.requester())
            .await?
            .ok_or(PageError::SignInExpired)?;
        let answer = refused(app, &context, &restore(&pending, &context)?);
        // The handle may be a copy's: a sign-in that is under way with another one must not answer as well.
        if !pending::claim_origin(&app.tickets, &pending).await? {
            return Err(PageError::SignInExpired);
        }
        super::taken(app, &context, &handle, answer).await
    })
    .await
}

/// A mail is on its way, and the person would rather go back: its link is worth nothing any more, and the client hears of
/// it, unless another sign-in with the same request has answered already.
async fn turn_back(app: &App, context: &RequestContext, id: Uuid) -> Result<Response, PageError> {
    let flow = flow::find_held(app.db.read(), id, &context.holder())
        .await?
        .ok_or(PageError::SignInExpired)?;
    let pending = pending_request_in(&flow)?.ok_or(PageError::SignInExpired)?;
    let asked = restore(&pending, context)?;
    let tx = app.db.begin().await?;
    if !flow::abandon(&tx, flow.id).await? {
        return Err(PageError::SignInExpired);
    }
    let event = Event::new(Kind::MagicLinkRefused)
        .reason("turned_back")
        .flow(flow.id)
        .address(&flow.address_key);
    let event = event
        .client(flow.client_id.as_deref())
        .caller(&context.caller.network, &context.caller.request_id);
    event.record(&tx).await?;
    tx.commit().await?;
    // After it: a link that was quicker goes on with the request. With the store away nobody else can answer it.
    if pending::claim_origin(&app.tickets, &pending)
        .await
        .unwrap_or(true)
    {
        return Ok(refused(app, context, &asked));
    }
    Err(PageError::SignInExpired)
}
