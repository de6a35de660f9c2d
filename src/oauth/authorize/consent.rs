//! `/consent`: the user decides what a client may do. A third-party client asks for it, and so does
//! any client whose response goes to the user's own device. `/oauth2/authorize/cancel`: the user
//! returns to the client instead of signing in (AZ-20).

use askama::Template;
use poem::{Body, Request, Response, handler, web::Data};
use uuid::Uuid;

use super::{
    answer::{self, Decision},
    next::{NextStep, next_step},
    request::AuthorizationRequest,
    response::Delivery,
    step::{self, AuthorizationStep},
};
use crate::{
    app::App,
    audit::{Event, Kind},
    login::{
        client_home::with_client,
        context::{RequestContext, see_other},
        flow::{self, Flow},
        flow_payload::pending_request_in,
        form::PostedForm,
        lookup::{flow_id, follow_sign_in},
        page_error::{self, PageError},
        pending::{self, PendingRequest, RESUME_PATH},
        resume::lead_on_without_request,
    },
    oauth::{
        consent_store,
        error::{ErrorCode, OauthError},
        reason::Reason,
        scope,
        scope_words::ScopeWords,
        user_claims::consent_scopes,
    },
    secret::Plain,
    session::CurrentSession,
    user,
    web::{
        filters,
        locale::Localizer,
        page::{PageContent, render_page},
        params::Params,
    },
};

const ACCESS_DENIED: OauthError = OauthError::new(
    ErrorCode::AccessDenied,
    "The user canceled or denied the request.",
);

/// The scopes of a request, and those of its claims.
const MAX_SHOWN: usize = 2048;

/// `GET /consent`.
#[handler]
pub(crate) async fn show_consent(Data(app): Data<&App>, request: &Request) -> Response {
    page_error::respond(app, request, async {
        let mut context = RequestContext::load(app, request, "").await?;
        let params = Params::from_query(request)?;
        let handle = read_handle(&params)?;
        let pending = match step::find_pending(app, &context, &handle).await {
            Err(PageError::SignInExpired) => return lead_on_without_request(&context, request),
            pending => pending?,
        };
        context.follow(app, &pending);
        let request = step::restore(&pending, &context)?;
        // Only a request that needs nothing but consent is decided here. Any other continues where
        // its next step is decided anew.
        let current = context.current.as_ref();
        let has_consent = step::has_consent(app, &context, &request).await?;
        let next = next_step(&request, current, has_consent, app.clock().now());
        let (NextStep::AskConsent, Some(current)) = (next, current) else {
            let path = format!("{RESUME_PATH}?txn={}", handle.to_text());
            return Ok(see_other(&with_client(&path, Some(&pending.client_id))));
        };
        let address = user::primary_address(app.db.read(), current.user.id).await?;
        let shown = scopes_of(&request);
        let scopes = shown.split_ascii_whitespace();
        let txn = handle.to_text();
        let bound_to = consent_context(&txn, current, &shown);
        let page = ConsentPage {
            localizer: &context.localizer,
            client: &request.client.name,
            email: &address.map_or_else(String::new, |address| user::shown_address(&address.email)),
            first_party: request.client.first_party,
            words: &ScopeWords::load(&context.config, &context.localizer, scopes),
            txn: &txn,
            shown: &shown,
            client_query: &with_client("", Some(&request.client.client_id)),
            form_token: &context.form_token(app, "consent", &bound_to),
        };
        let site = context.page_options_for_client(Some(&request.client.client_id));
        Ok(context.with_pre_login_cookie(render_page(&page, site)))
    })
    .await
}

pub(super) fn read_handle(params: &Params) -> Result<Plain, PageError> {
    Plain::parse(params.required("txn", 43)?).ok_or(PageError::SignInExpired)
}

/// The form is valid for this request and this user alone: another user who signs in meanwhile is
/// asked again.
pub(super) fn form_context(txn: &str, current: &CurrentSession) -> String {
    format!("{txn} {}", current.user.id)
}

/// The same for the scopes that the page shows: the user allows these and no others (RS-5). A page of an
/// older version names none.
fn consent_context(txn: &str, current: &CurrentSession, shown: &str) -> String {
    let context = form_context(txn, current);
    if shown.is_empty() {
        context
    } else {
        format!("{context} {shown}")
    }
}

/// What the user posts from the consent page.
struct PostedDecision<'a> {
    handle: Plain,
    decision: Decision,
    /// The scopes that the page showed.
    shown: &'a str,
}

/// `POST /consent`.
#[handler]
pub(crate) async fn decide(Data(app): Data<&App>, request: &Request, body: Body) -> Response {
    page_error::respond(app, request, async {
        let mut context = RequestContext::load(app, request, "").await?;
        let params = Params::read_form(request, body).await?;
        params.check_all(&["txn", "shown", "decision", "form_token"])?;
        follow_sign_in(app, &mut context, &params).await;
        let handle = read_handle(&params)?;
        let current = context.current.as_ref().ok_or(PageError::InvalidForm)?;
        let shown = params.optional_within("shown", MAX_SHOWN)?;
        let shown = shown.unwrap_or_default();
        let form = PostedForm {
            params: &params,
            name: "consent",
            context: &consent_context(&handle.to_text(), current, shown),
            allow_null_origin: false,
        };
        context.check_form(app, request, &form)?;
        let decision = match params.optional("decision")? {
            Some("allow") => Decision::Allow,
            _ => Decision::Deny,
        };
        let posted = PostedDecision {
            handle,
            decision,
            shown,
        };
        let step = match carry_out(app, &context, &posted, current).await? {
            Some(step) => Some(step),
            None => answer::repeat(app, &context, &posted.handle, decision).await?,
        };
        respond(&context, request, step)
    })
    .await
}

/// Carries out a decision and claims the request. Returns none if the request is over.
async fn carry_out(
    app: &App,
    context: &RequestContext,
    posted: &PostedDecision<'_>,
    current: &CurrentSession,
) -> Result<Option<AuthorizationStep>, PageError> {
    let PostedDecision {
        ref handle,
        decision,
        shown,
    } = *posted;
    let Some(pending) = find_open(app, context, handle).await? else {
        return Ok(None);
    };
    let request = step::restore(&pending, context)?;
    let step = match decision {
        // An operator has given the client more since the page was shown: it is shown anew.
        Decision::Allow if !covers(shown, &scopes_of(&request)) => {
            let path = format!("/consent?txn={}", handle.to_text());
            let path = with_client(&path, Some(&pending.client_id));
            return Ok(Some(AuthorizationStep::Page(path)));
        }
        Decision::Allow => allow(app, context, request, current).await?,
        Decision::Deny | Decision::Cancel => deny(app, context, &request).await?,
    };
    answer::claim(app, context, handle, decision, step).await
}

/// Returns the pending request behind a handle, or none if it is over.
async fn find_open(
    app: &App,
    context: &RequestContext,
    handle: &Plain,
) -> Result<Option<PendingRequest>, PageError> {
    match step::find_pending(app, context, handle).await {
        Err(PageError::SignInExpired) => Ok(None),
        found => found.map(Some),
    }
}

/// Renders a step. A form that came too late leads to its client, which the form names (OC-8).
fn respond(
    context: &RequestContext,
    request: &Request,
    step: Option<AuthorizationStep>,
) -> Result<Response, PageError> {
    match step {
        Some(step) => Ok(step::render(context, &step, Delivery::Page)),
        None => lead_on_without_request(context, request),
    }
}

/// Returns whether all these scopes were shown.
fn covers(shown: &str, scopes: &str) -> bool {
    let mut names = scopes.split_ascii_whitespace();
    names.all(|name| scope::has(shown, name))
}

/// Returns the scopes that the page shows.
fn scopes_of(request: &AuthorizationRequest<'_>) -> String {
    consent_scopes(&request.params.scope, &request.params.claims)
}

/// Stores the consent, then issues a code if the request needs nothing else.
async fn allow(
    app: &App,
    context: &RequestContext,
    mut request: AuthorizationRequest<'_>,
    current: &CurrentSession,
) -> Result<AuthorizationStep, PageError> {
    let tx = app.db.begin().await?;
    let scopes = scopes_of(&request);
    consent_store::allow(&tx, &current.user, &request.client.client_id, &scopes).await?;
    tx.commit().await?;
    request.params.prompt.consent = false;
    match next_step(&request, Some(current), true, app.clock().now()) {
        NextStep::IssueCode(current) => {
            step::respond_with_code(app, context, &request, current).await
        }
        _ => step::proceed(app, context, request).await,
    }
}

async fn deny(
    app: &App,
    context: &RequestContext,
    request: &AuthorizationRequest<'_>,
) -> Result<AuthorizationStep, PageError> {
    step::respond_with_error(app, context, request, &ACCESS_DENIED).await
}

/// `POST /oauth2/authorize/cancel`, from the sign-in page or from the page that waits for an email.
#[handler]
pub(crate) async fn cancel(Data(app): Data<&App>, request: &Request, body: Body) -> Response {
    page_error::respond(app, request, async {
        let mut context = RequestContext::load(app, request, "").await?;
        let params = Params::read_form(request, body).await?;
        params.check_all(&["txn", "flow", "form_token"])?;
        follow_sign_in(app, &mut context, &params).await;
        let form = PostedForm {
            params: &params,
            name: "cancel",
            context: params
                .optional("txn")?
                .or(params.optional("flow")?)
                .unwrap_or_default(),
            allow_null_origin: false,
        };
        context.check_form(app, request, &form)?;
        let step = if params.contains("flow") {
            cancel_flow(app, &context, flow_id(&params)?).await?
        } else {
            cancel_pending(app, &context, &read_handle(&params)?).await?
        };
        respond(&context, request, step)
    })
    .await
}

async fn cancel_pending(
    app: &App,
    context: &RequestContext,
    handle: &Plain,
) -> Result<Option<AuthorizationStep>, PageError> {
    let Some(pending) = find_open(app, context, handle).await? else {
        return answer::repeat(app, context, handle, Decision::Cancel).await;
    };
    let request = step::restore(&pending, context)?;
    // The handle may name a copy of the request: a sign-in with another copy must not respond, too.
    if !pending::cancel_origin(&app.tickets, &pending).await? {
        return Ok(None);
    }
    let step = deny(app, context, &request).await?;
    match answer::claim(app, context, handle, Decision::Cancel, step).await? {
        Some(step) => Ok(Some(step)),
        None => answer::repeat(app, context, handle, Decision::Cancel).await,
    }
}

/// An email is on its way, and the user cancels: its link stops working and the client gets an
/// error, unless another sign-in with the same request has responded already. To cancel once more
/// gets the same response (ST-04).
async fn cancel_flow(
    app: &App,
    context: &RequestContext,
    id: Uuid,
) -> Result<Option<AuthorizationStep>, PageError> {
    let Some(flow) = flow::find_held(app.db.read(), id, &context.holder()).await? else {
        return Ok(None);
    };
    let Some(pending) = pending_request_in(&flow)? else {
        return Ok(None);
    };
    let request = step::restore(&pending, context)?;
    if !abandon(app, context, &flow).await? {
        return Ok(None);
    }
    // Claimed after the commit: a link that was used before continues with the request. While the
    // ticket store is unavailable no other sign-in can respond.
    let is_cancelled = pending::cancel_origin(&app.tickets, &pending)
        .await
        .unwrap_or(true);
    if !is_cancelled {
        return Ok(None);
    }
    deny(app, context, &request).await.map(Some)
}

/// Ends a flow whose user returns to the client. Returns `false` if it ended otherwise.
async fn abandon(app: &App, context: &RequestContext, flow: &Flow) -> Result<bool, PageError> {
    let tx = app.db.begin().await?;
    let now = tx.now;
    if !flow::abandon(&tx, flow.id).await? {
        let flow = flow::find(tx.conn(), flow.id).await?;
        // Committed, because the caller acts on what another request has done (ADR 0022).
        tx.commit().await?;
        return Ok(flow.is_some_and(|flow| flow::is_abandoned(&flow, now)));
    }
    Event::new(Kind::MagicLinkRefused)
        .reason(Reason::TurnedBack)
        .flow(flow.id)
        .address(&flow.address_key)
        .client(flow.client_id.as_deref())
        .caller(&context.caller.network, &context.caller.request_id)
        .record(&tx)
        .await?;
    tx.commit().await?;
    Ok(true)
}

/// Asks whether a client may do what it requests.
#[derive(Template)]
#[template(path = "oauth/authorize/consent.html", config = ".askama.toml")]
pub(crate) struct ConsentPage<'a> {
    pub(crate) localizer: &'a Localizer,
    /// The name of the client.
    pub(crate) client: &'a str,
    /// The address of the signed-in user.
    pub(crate) email: &'a str,
    /// A first-party client asks only for a response to the user's own device.
    pub(crate) first_party: bool,
    pub(crate) words: &'a ScopeWords,
    /// The handle of the pending request.
    pub(crate) txn: &'a str,
    /// The scopes that `words` are about.
    pub(crate) shown: &'a str,
    /// The query that names the client to the endpoint of the form.
    pub(crate) client_query: &'a str,
    pub(crate) form_token: &'a str,
}

impl ConsentPage<'_> {
    fn heading(&self) -> String {
        self.localizer
            .html("consent-title", &[("client", self.client.to_owned())])
    }

    fn lede(&self) -> String {
        let key = if self.first_party {
            "consent-lede-device"
        } else {
            "consent-lede"
        };
        let arguments = [
            ("client", self.client.to_owned()),
            ("email", self.email.to_owned()),
        ];
        self.localizer.html(key, &arguments)
    }
}

impl PageContent for ConsentPage<'_> {
    fn localizer(&self) -> &Localizer {
        self.localizer
    }
    fn title(&self) -> String {
        self.localizer
            .text_with("consent-title", &[("client", self.client.to_owned())])
    }
}
