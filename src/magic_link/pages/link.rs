//! `/login/link/{token}`: GET shows what the link would do and changes nothing (C1); POST uses it.

use poem::{
    Body, Request, Response, handler,
    http::StatusCode,
    web::{Data, Path},
};

use super::refused_link::{render_dead, render_elsewhere};
use crate::{
    app::App,
    login::{
        context::{RequestContext, see_other},
        flow::{self, Flow, FlowState},
        form::PostedForm,
        lookup::is_of_session,
        page::{ElsewherePage, ElsewhereReason, LinkMode, LinkPage},
        page_error::{self, PageError},
        resume::{continue_path, render_continue, restart_path, sent_path, stay_path},
    },
    magic_link::{
        consume::{
            ConsumeAttempt, ConsumeOutcome, LinkState, LookUpError, consume_link, find_link_state,
            look_up_link,
        },
        refusal::ConsumeRefusal,
    },
    secret::Plain,
    telemetry::metrics,
    user,
    web::{csrf, page::render_page, params::Params},
};

/// `GET /login/link/{token}`.
#[handler]
pub(crate) async fn show(
    Data(app): Data<&App>,
    Path(token): Path<String>,
    request: &Request,
) -> Response {
    page_error::respond(app, request, async {
        let mut context = RequestContext::load(app, request, "").await?;
        let state = find_state(app, &context, &token).await?;
        let flow = match state {
            LinkState::Live(flow) => flow,
            LinkState::Dead(flow) if is_of_session(&context, &flow) => {
                return Ok(see_other(&continue_path(&flow)));
            }
            LinkState::Dead(flow) => {
                if flow::is_held_by(&flow, &context.holder()) {
                    context.follow_flow(app, &flow);
                }
                return Ok(render_dead(app, &context, Some(&flow)));
            }
            LinkState::Unknown => return Ok(render_dead(app, &context, None)),
        };
        let is_own = flow::is_held_by(&flow, &context.holder());
        metrics::opened(is_own);
        if !is_own {
            return render_elsewhere(app, &context).await;
        }
        context.follow_flow(app, &flow);
        let is_prefetch =
            request.header("sec-purpose").is_some() || request.header("purpose").is_some();
        render_link(app, &context, &flow, &token, !is_prefetch).await
    })
    .await
}

/// `GET /login/link`: the script of the link page moves the browser here, so a reload arrives here too.
#[handler]
pub(crate) async fn show_without_token(Data(app): Data<&App>, request: &Request) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        // A browser that waits for an email gets on in its waiting page, whatever the link was.
        let now = app.clock().now();
        let own = flow::latest_open(app.db.read(), context.pre.hash(), now).await?;
        match own.filter(|_| context.requester().browser.is_some()) {
            Some(flow) => Ok(see_other(&sent_path(&flow))),
            None => render_elsewhere(app, &context).await,
        }
    })
    .await
}

/// `POST /login/link/{token}`: uses the link, in the browser that requested it.
#[handler]
pub(crate) async fn submit(
    Data(app): Data<&App>,
    Path(token): Path<String>,
    request: &Request,
    body: Body,
) -> Response {
    page_error::respond(app, request, async {
        let mut context = RequestContext::load(app, request, "").await?;
        let params = Params::read_form(request, body).await?;
        params.check_all(&["switch", "form_token"])?;
        let form = PostedForm {
            params: &params,
            name: "link",
            context: &token,
            allow_null_origin: true,
        };
        if let Err(error) = context.check_form(app, request, &form) {
            return recover_link_form(app, &context, request, &token, error).await;
        }
        let Some(link) = Plain::parse(&token) else {
            return Ok(render_dead(app, &context, None));
        };
        let attempt = attempt_of(app, &context, &params)?;
        let (link, now) = (link.hash(), app.clock().now());
        let outcome = match look_up_link(app.db.read(), now, &link, None, &attempt).await {
            Ok(found) => {
                let tx = app.db.begin().await?;
                let outcome = consume_link(&tx, found, &attempt).await?;
                tx.commit().await?;
                outcome
            }
            Err(LookUpError::Refused(outcome)) => *outcome,
            Err(LookUpError::Infra(error)) => return Err(error.into()),
        };
        if let Some(flow) = outcome.flow() {
            context.follow_flow(app, flow);
        }
        match outcome {
            ConsumeOutcome::SignedIn(signed_in, flow) => {
                Ok(context.with_sign_in_cookies(render_continue(&context, &flow), &signed_in))
            }
            ConsumeOutcome::ConfirmSwitch(flow) => {
                let mut page = render_link(app, &context, &flow, &token, false).await?;
                page.set_status(StatusCode::CONFLICT);
                Ok(page)
            }
            ConsumeOutcome::OtherHolder => render_elsewhere(app, &context).await,
            ConsumeOutcome::Refused {
                reason: ConsumeRefusal::SignIn(_),
                ..
            } => Err(PageError::SignInRefused),
            ConsumeOutcome::Refused {
                flow: Some(flow), ..
            } if is_of_session(&context, &flow) => Ok(render_continue(&context, &flow)),
            ConsumeOutcome::Refused { flow, .. } => Ok(render_dead(app, &context, flow.as_deref())),
        }
    })
    .await
}

/// Returns the attempt that this browser makes by a form.
pub(super) fn attempt_of<'a>(
    app: &'a App,
    context: &'a RequestContext,
    params: &Params,
) -> Result<ConsumeAttempt<'a>, PageError> {
    Ok(ConsumeAttempt {
        holder: context.holder(),
        browser_state: context.browser_state(),
        switch_confirmed: params.optional("switch")?.is_some(),
        caller: &context.caller,
        config: &context.config,
        code_pepper: &app.macs.code,
        repeat_mac: &app.macs.repeats,
    })
}

async fn render_link(
    app: &App,
    context: &RequestContext,
    flow: &Flow,
    token: &str,
    auto: bool,
) -> Result<Response, PageError> {
    let current = match flow.state {
        FlowState::Open => other_user(app, context, flow).await?,
        _ => None,
    };
    let page = LinkPage {
        localizer: &context.localizer,
        mode: match &current {
            Some(current) => LinkMode::SwitchUser { current },
            None => LinkMode::Confirm { auto },
        },
        action_path: &format!("/login/link/{token}"),
        form_token: &context.form_token(app, "link", token),
        email_masked: &mask_address(&flow.canonical),
        stay_href: &stay_path(flow),
    };
    let options = context.page_options_for_client(flow.client_id.as_deref());
    Ok(render_page(&page, options))
}

/// Returns the address of the user who is signed in in this browser, if it is not the flow's user (C7).
pub(super) async fn other_user(
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
    let address = user::primary_address(app.db.read(), current.user.id).await?;
    Ok(address.map(|row| user::shown_address(&row.email)))
}

async fn find_state(
    app: &App,
    context: &RequestContext,
    token: &str,
) -> Result<LinkState, PageError> {
    match Plain::parse(token) {
        Some(link) => Ok(find_link_state(&app.db, &link, &context.holder()).await?),
        None => Ok(LinkState::Unknown),
    }
}

/// Handles the form of a link page that another tab left behind (ST-04), and that of a browser which does
/// not say which page sent it (ST-06). Nothing in the form is used.
async fn recover_link_form(
    app: &App,
    context: &RequestContext,
    request: &Request,
    token: &str,
    error: PageError,
) -> Result<Response, PageError> {
    let PageError::InvalidForm = error else {
        return Err(error);
    };
    let (LinkState::Live(flow) | LinkState::Dead(flow)) = find_state(app, context, token).await?
    else {
        return Err(error);
    };
    let is_own = flow::is_held_by(&flow, &context.holder());
    if csrf::is_from_own_page(request, &app.public_url, true) {
        if is_of_session(context, &flow) {
            return Ok(render_continue(context, &flow));
        }
        if is_own && context.current.is_some() {
            return Ok(see_other(&format!("/login/link/{token}")));
        }
    } else if is_own && csrf::names_no_page(request) {
        let page = ElsewherePage {
            localizer: &context.localizer,
            reason: ElsewhereReason::OldBrowser,
            flow_href: Some(&sent_path(&flow)),
            restart_href: &restart_path(&flow),
        };
        return Ok(render_page(&page, &context.page_options));
    }
    Err(error)
}

/// `a…@example.com`: enough for the owner to recognise, and little for a bystander to read.
fn mask_address(canonical: &str) -> String {
    let shown = user::shown_address(canonical);
    let (local, domain) = shown.split_once('@').unwrap_or((&shown, ""));
    format!("{}…@{domain}", local.chars().take(1).collect::<String>())
}
