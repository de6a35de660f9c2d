//! The pages of sign-in by mail: `/login/email`, `/login/sent`, `/login/code`, `/login/link/{token}`.

use poem::{
    Body, Request, Response, handler,
    http::{StatusCode, header},
    web::{Data, Json, Path},
};
use serde::Serialize;
use uuid::Uuid;

use super::{
    code,
    consume::{self, Attempt, Consumed},
    request::{self, Ask, Asked},
    token,
};
use crate::{
    app::App,
    client,
    error::InfraError,
    login::{
        context::{RequestContext, see_other},
        flow::{self, Flow, FlowState},
        flow_payload::pending_request_in,
        form::PostedForm,
        lookup::{self, flow_id},
        page::{ContinuePage, ElsewherePage, LinkMode, LinkPage, SentPage},
        page_error::{self, PageError},
        pending::ResumedBy,
        pending_link::PendingLink,
        resume::continue_path,
        sign_in::{self, SignInView},
    },
    secret::Plain,
    telemetry::metrics,
    user::{self, Address},
    web::{csrf, page::render_page, params::Params},
};

/// `POST /login/email`: asks for a mail, or for another one within a flow.
#[handler]
pub(crate) async fn email(Data(app): Data<&App>, request: &Request, body: Body) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        let params = Params::read_form(request, body).await?;
        params.check_all(&["email", "remember", "txn", "link", "flow", "form_token"])?;
        if params.contains("flow") && !params.contains("email") {
            return resend(app, request, &context, &params).await;
        }
        first(app, request, &context, &params).await
    })
    .await
}

async fn first(
    app: &App,
    request: &Request,
    context: &RequestContext,
    params: &Params,
) -> Result<Response, PageError> {
    let txn = params.optional_within("txn", 43)?;
    context.check_form(
        app,
        request,
        &PostedForm {
            params,
            name: "sign-in",
            context: txn.unwrap_or_default(),
            allow_null_origin: false,
        },
    )?;
    let mut pending = lookup::require_pending(app, context, txn).await?;
    if let (Some(pending), Some(handle)) = (&mut pending, txn.and_then(Plain::parse)) {
        pending.remember_origin(&handle);
    }
    let link = params.optional_within("link", 43)?;
    let linking = lookup::require_pending_link(app, context, link).await?;
    let typed = params.optional("email")?.unwrap_or_default();
    let remembered = params.optional("remember")?.is_some();
    let again = |error: String| SignInView {
        txn,
        pending: pending.as_ref(),
        email: typed,
        error: Some(error),
        remembered,
        link,
        linking: linking.as_ref(),
        ..SignInView::default()
    };
    let Ok(address) = Address::parse(typed, context.config.magic_link.allow_eai) else {
        return sign_in::render(
            app,
            context,
            again(context.localizer.text("sign-in-error-email")),
        )
        .await;
    };
    let destination = pending.as_ref().map(serde_json::to_string).transpose();
    // The handle of the client's request stays out of the row, which has the request itself.
    let waits = linking
        .clone()
        .map(|link| PendingLink { txn: None, ..link });
    let waits = waits.as_ref().map(serde_json::to_string).transpose();
    let ask = Ask {
        holder: context.holder(),
        address: &address,
        client_id: pending.as_ref().map(|pending| pending.client_id.as_str()),
        locale: &context.localizer.tag,
        device: context.device.as_ref().map(Plain::hash),
        remembered,
        destination: destination.map_err(InfraError::internal)?,
        link: waits.map_err(InfraError::internal)?,
        caller: &context.caller,
    };
    match request::request(app, &context.config, ask).await? {
        Asked::Accepted(flow) | Asked::Wait(flow) => {
            Ok(context.with_pre_login_cookie(see_other(&sent_path(&flow))))
        }
        Asked::NoFlow => Err(PageError::SignInExpired),
        Asked::TooMany(wait) => {
            let mut page = sign_in::render(
                app,
                context,
                again(context.localizer.text("sign-in-error-busy")),
            )
            .await?;
            page.set_status(StatusCode::TOO_MANY_REQUESTS);
            page.headers_mut()
                .insert(header::RETRY_AFTER, wait.as_secs().max(1).into());
            Ok(page)
        }
    }
}

async fn resend(
    app: &App,
    request: &Request,
    context: &RequestContext,
    params: &Params,
) -> Result<Response, PageError> {
    let id = flow_id(params)?;
    context.check_form(
        app,
        request,
        &PostedForm {
            params,
            name: "resend",
            context: &id.to_string(),
            allow_null_origin: false,
        },
    )?;
    let device = context.device.as_ref().map(Plain::hash);
    match request::resend(
        app,
        &context.config,
        id,
        &context.holder(),
        device,
        &context.caller,
    )
    .await?
    {
        Asked::Accepted(flow) => Ok(see_other(&sent_path(&flow))),
        Asked::Wait(flow) => waiting(app, context, &flow, Some(Answer::too_early(context))).await,
        Asked::TooMany(wait) => Err(PageError::TooManyRequests(wait)),
        Asked::NoFlow => Err(PageError::SignInExpired),
    }
}

fn sent_path(flow: &Flow) -> String {
    format!("/login/sent?flow={}", flow.id)
}

/// What the waiting page says beside the usual.
struct Answer {
    status: StatusCode,
    error: Option<String>,
    switch: bool,
}

impl Answer {
    fn too_early(context: &RequestContext) -> Self {
        let error = Some(context.localizer.text("sent-error-wait"));
        Self {
            status: StatusCode::TOO_MANY_REQUESTS,
            error,
            switch: false,
        }
    }
}

/// `GET /login/sent`: the page that waits for the link and takes the code.
#[handler]
pub(crate) async fn sent(Data(app): Data<&App>, request: &Request) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        let id = flow_id(&Params::from_query(request)?)?;
        let flow = flow::find_held(app.db.read(), id, &context.holder())
            .await?
            .ok_or(PageError::SignInExpired)?;
        match flow.state {
            FlowState::Consumed if context.current.is_some() => Ok(see_other(&continue_path(id))),
            FlowState::Open if flow.expires_at > app.clock().now() => {
                waiting(app, &context, &flow, None).await
            }
            _ => Err(PageError::SignInExpired),
        }
    })
    .await
}

async fn waiting(
    app: &App,
    context: &RequestContext,
    flow: &Flow,
    answer: Option<Answer>,
) -> Result<Response, PageError> {
    let now = app.clock().now();
    let id = flow.id.to_string();
    let can_resend = request::has_sends_left(flow, &context.config);
    let current = other_user(app, context, flow).await?;
    let localizer = app.texts.negotiate(&flow.locale, "");
    // An app that waits in its own window has no page to go back to.
    let waits =
        pending_request_in(flow)?.is_some_and(|pending| pending.resumed_by == ResumedBy::Protocol);
    let cancel = waits.then(|| context.form_token(app, "cancel", &id));
    let page = SentPage {
        localizer: &localizer,
        flow: &id,
        email: &flow.canonical,
        error: answer.as_ref().and_then(|answer| answer.error.clone()),
        resend_after_seconds: flow
            .next_send_at
            .since(now)
            .as_millis()
            .div_ceil(1000)
            .try_into()
            .unwrap_or(0),
        can_resend,
        form_token_code: &context.form_token(app, "code", &id),
        form_token_resend: &context.form_token(app, "resend", &id),
        form_token_cancel: cancel.as_deref(),
        client: flow
            .client_id
            .as_deref()
            .and_then(|id| client::find(&context.config, id))
            .map(|c| c.name.as_str()),
        restart_href: &format!("/login/restart?flow={id}"),
        code_digits: context.config.magic_link.code_digits,
        switch_from: current.as_deref(),
        switch_asked: answer.as_ref().is_some_and(|answer| answer.switch),
    };
    let mut response = render_page(
        &page,
        context.page_options_for_client(flow.client_id.as_deref()),
    );
    if let Some(answer) = answer {
        response.set_status(answer.status);
    }
    Ok(response)
}

/// The address of whoever is signed in here, if it is not the flow's (C7).
async fn other_user(
    app: &App,
    context: &RequestContext,
    flow: &Flow,
) -> Result<Option<String>, PageError> {
    let Some(current) = &context.current else {
        return Ok(None);
    };
    if user::has_verified(app.db.read(), current.user.id, &flow.canonical).await? {
        return Ok(None);
    }
    Ok(user::primary_address(app.db.read(), current.user.id)
        .await?
        .map(|row| row.email))
}

#[derive(Serialize)]
struct StateAnswer {
    state: &'static str,
    #[serde(rename = "continue")]
    go_on: String,
}

/// `GET /login/sent/state`: what the waiting page asks every two seconds.
#[handler]
pub(crate) async fn state(Data(app): Data<&App>, request: &Request) -> Response {
    use poem::IntoResponse as _;
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        let id = flow_id(&Params::from_query(request)?)?;
        let flow = flow::find_held(app.db.read(), id, &context.holder())
            .await?
            .ok_or(PageError::NotFound)?;
        let state = flow::state_name(&flow, app.clock().now());
        let mut answer = Json(StateAnswer {
            state,
            go_on: continue_path(id),
        })
        .into_response();
        answer.headers_mut().insert(
            header::CACHE_CONTROL,
            header::HeaderValue::from_static("no-store"),
        );
        Ok(answer)
    })
    .await
}

fn attempt<'a>(
    app: &'a App,
    context: &'a RequestContext,
    params: &Params,
) -> Result<Attempt<'a>, PageError> {
    Ok(Attempt {
        holder: context.holder(),
        browser_state: context.browser_state(),
        switch: params.optional("switch")?.is_some(),
        caller: &context.caller,
        config: &context.config,
        pepper: &app.macs.code,
        repeats: &app.macs.repeats,
    })
}

/// `POST /login/code`: the code, typed where the sign-in began.
#[handler]
pub(crate) async fn type_code(Data(app): Data<&App>, request: &Request, body: Body) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        let params = Params::read_form(request, body).await?;
        params.check_all(&["flow", "code", "switch", "form_token"])?;
        let id = flow_id(&params)?;
        let form_context = id.to_string();
        let form = PostedForm {
            params: &params,
            name: "code",
            context: &form_context,
            allow_null_origin: false,
        };
        if let Err(page_error) = context.check_form(app, request, &form) {
            return from_another_tab(app, &context, request, id, page_error).await;
        }
        let typed = params.optional("code")?.unwrap_or_default();
        let tx = app.db.begin().await?;
        let outcome = code::consume(&tx, id, typed, &attempt(app, &context, &params)?).await?;
        tx.commit().await?;
        match outcome {
            Consumed::SignedIn(done, flow) => {
                Ok(context.with_sign_in_cookies(go_on(&context, &flow), &done))
            }
            Consumed::AskFirst(flow) => {
                let answer = Answer {
                    status: StatusCode::CONFLICT,
                    error: None,
                    switch: true,
                };
                waiting(app, &context, &flow, Some(answer)).await
            }
            Consumed::Refused(Some(flow), reason) if flow.state == FlowState::Open => {
                // One text for wrong, expired and used-up alike (D4); only the person's own tries end it.
                let key = if reason == "no_tries_left" {
                    "sent-error-tries"
                } else {
                    "sent-error-code"
                };
                let error = Some(context.localizer.text(key));
                let answer = Answer {
                    status: StatusCode::UNPROCESSABLE_ENTITY,
                    error,
                    switch: false,
                };
                waiting(app, &context, &flow, Some(answer)).await
            }
            Consumed::Refused(flow, _) => Err(over(flow.as_deref())),
            Consumed::Elsewhere => Err(PageError::SignInExpired),
        }
    })
    .await
}

/// A code form that lay open in another tab while its browser signed in: the sign-in replaced the cookie that its token
/// is bound to (BS-04). Nothing is taken from it. Who is signed in by that sign-in goes on; who still waits for it gets
/// a fresh form.
async fn from_another_tab(
    app: &App,
    context: &RequestContext,
    request: &Request,
    id: Uuid,
    page_error: PageError,
) -> Result<Response, PageError> {
    let (PageError::InvalidForm, Some(session)) = (&page_error, context.session_id()) else {
        return Err(page_error);
    };
    if !csrf::is_from_own_page(request, &app.public_url, false) {
        return Err(page_error);
    }
    match flow::find(app.db.read(), id).await? {
        Some(flow) if flow.session_id == Some(session) => Ok(see_other(&continue_path(id))),
        Some(flow) if flow::is_held_by(&flow, &context.holder()) => {
            Ok(see_other(&sent_path(&flow)))
        }
        _ => Err(page_error),
    }
}

/// Why a sign-in takes no more: it was used, perhaps by this very person in another window, or its time is over.
fn over(flow: Option<&Flow>) -> PageError {
    if flow.is_some_and(|flow| flow.state == FlowState::Consumed) {
        PageError::AlreadyUsed
    } else {
        PageError::SignInExpired
    }
}

fn go_on(context: &RequestContext, flow: &Flow) -> Response {
    let site = context.page_options_for_client(flow.client_id.as_deref());
    render_page(
        &ContinuePage {
            localizer: &context.localizer,
            href: &continue_path(flow.id),
        },
        site,
    )
}

/// `GET /login/link/{token}`: shows what the link would do; changes nothing (C1).
#[handler]
pub(crate) async fn show_link(
    Data(app): Data<&App>,
    Path(text): Path<String>,
    request: &Request,
) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        let flow = held_by_link(app, &context, &text).await?;
        metrics::opened(flow.is_some());
        let Some(flow) = flow else {
            return Ok(elsewhere(&context));
        };
        let now = app.clock().now();
        if !flow::is_repeatable(&flow, now) && !is_usable(app, &flow, &text).await? {
            return Err(over(Some(&flow)));
        }
        let prefetch =
            request.header("sec-purpose").is_some() || request.header("purpose").is_some();
        draw_link(app, &context, &flow, &text, !prefetch).await
    })
    .await
}

/// `GET /login/link`: where the link's script leaves the address bar; a reload lands here.
#[handler]
pub(crate) async fn scrubbed(Data(app): Data<&App>, request: &Request) -> Response {
    page_error::respond(app, request, async {
        Ok(elsewhere(&RequestContext::load(app, request, "").await?))
    })
    .await
}

async fn draw_link(
    app: &App,
    context: &RequestContext,
    flow: &Flow,
    text: &str,
    auto: bool,
) -> Result<Response, PageError> {
    let current = if flow.state == FlowState::Open {
        other_user(app, context, flow).await?
    } else {
        None
    };
    let page = LinkPage {
        localizer: &context.localizer,
        mode: match &current {
            Some(current) => LinkMode::SwitchUser { current },
            None => LinkMode::Confirm { auto },
        },
        action_path: &format!("/login/link/{text}"),
        form_token: &context.form_token(app, "link", text),
        email_masked: &masked(&flow.canonical),
    };
    Ok(render_page(
        &page,
        context.page_options_for_client(flow.client_id.as_deref()),
    ))
}

/// The flow of a link, if this browser began it.
async fn held_by_link(
    app: &App,
    context: &RequestContext,
    text: &str,
) -> Result<Option<Flow>, PageError> {
    let Some(link) = Plain::parse(text) else {
        return Ok(None);
    };
    let Some(token) = token::by_link(app.db.read(), &link.hash()).await? else {
        return Ok(None);
    };
    Ok(flow::find_held(app.db.read(), token.flow_id, &context.holder()).await?)
}

async fn is_usable(app: &App, flow: &Flow, text: &str) -> Result<bool, PageError> {
    let now = app.clock().now();
    let Some(hash) = Plain::parse(text).map(|link| link.hash().to_column()) else {
        return Ok(false);
    };
    let live = token::live(app.db.read(), flow.id, now).await?;
    Ok(flow.state == FlowState::Open
        && flow.expires_at > now
        && live.iter().any(|token| token.link_hash == hash))
}

/// One page for "not here", unknown and malformed links: nobody learns which (C4).
fn elsewhere(context: &RequestContext) -> Response {
    render_page(
        &ElsewherePage {
            localizer: &context.localizer,
            flow_href: None,
            restart_href: "/login",
        },
        context.page_options,
    )
}

/// `a…@example.com`: enough for its owner, little for whoever looks over a shoulder.
fn masked(canonical: &str) -> String {
    let (local, domain) = canonical.split_once('@').unwrap_or((canonical, ""));
    format!("{}…@{domain}", local.chars().take(1).collect::<String>())
}

/// `POST /login/link/{token}`: uses the link, in the browser that asked for it.
#[handler]
pub(crate) async fn use_link(
    Data(app): Data<&App>,
    Path(text): Path<String>,
    request: &Request,
    body: Body,
) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        let params = Params::read_form(request, body).await?;
        params.check_all(&["switch", "form_token"])?;
        let form = PostedForm {
            params: &params,
            name: "link",
            context: &text,
            allow_null_origin: true,
        };
        context.check_form(app, request, &form)?;
        let Some(link) = Plain::parse(&text) else {
            return Ok(elsewhere(&context));
        };
        let tx = app.db.begin().await?;
        let outcome =
            consume::by_link(&tx, &link.hash(), None, &attempt(app, &context, &params)?).await?;
        tx.commit().await?;
        match outcome {
            Consumed::SignedIn(done, flow) => {
                Ok(context.with_sign_in_cookies(go_on(&context, &flow), &done))
            }
            Consumed::AskFirst(flow) => {
                let mut page = draw_link(app, &context, &flow, &text, false).await?;
                page.set_status(StatusCode::CONFLICT);
                Ok(page)
            }
            Consumed::Elsewhere => Ok(elsewhere(&context)),
            Consumed::Refused(flow, _) => Err(over(flow.as_deref())),
        }
    })
    .await
}
