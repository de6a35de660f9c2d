//! `/login/link/{token}`: GET shows what the link would do and changes nothing (C1); POST uses it.

use poem::{
    Body, Request, Response, handler,
    http::StatusCode,
    web::{Data, Path},
};

use super::shared::{attempt_of, closed_error, other_user, render_continue};
use crate::{
    app::App,
    login::{
        context::RequestContext,
        flow::{Flow, FlowState},
        form::PostedForm,
        page::{ElsewherePage, LinkMode, LinkPage},
        page_error::{self, PageError},
    },
    magic_link::{
        consume::ConsumeOutcome,
        link::{self, find_held_flow, is_usable},
    },
    secret::Plain,
    telemetry::metrics,
    web::{page::render_page, params::Params},
};

/// `GET /login/link/{token}`.
#[handler]
pub(crate) async fn show(
    Data(app): Data<&App>,
    Path(token): Path<String>,
    request: &Request,
) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        let link = Plain::parse(&token);
        let flow = match &link {
            Some(link) => find_held_flow(&app.db, link, &context.holder()).await?,
            None => None,
        };
        metrics::opened(flow.is_some());
        let (Some(link), Some(flow)) = (link, flow) else {
            return Ok(render_elsewhere(&context));
        };
        if !is_usable(&app.db, &flow, &link).await? {
            return Err(closed_error(Some(&flow)));
        }
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
        Ok(render_elsewhere(&context))
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
        let context = RequestContext::load(app, request, "").await?;
        let params = Params::read_form(request, body).await?;
        params.check_all(&["switch", "form_token"])?;
        let form = PostedForm {
            params: &params,
            name: "link",
            context: &token,
            allow_null_origin: true,
        };
        context.check_form(app, request, &form)?;
        let Some(link) = Plain::parse(&token) else {
            return Ok(render_elsewhere(&context));
        };
        let attempt = attempt_of(app, &context, &params)?;
        let tx = app.db.begin().await?;
        let outcome = link::consume(&tx, &link.hash(), None, &attempt).await?;
        tx.commit().await?;
        match outcome {
            ConsumeOutcome::SignedIn(signed_in, flow) => {
                Ok(context.with_sign_in_cookies(render_continue(&context, &flow), &signed_in))
            }
            ConsumeOutcome::ConfirmSwitch(flow) => {
                let mut page = render_link(app, &context, &flow, &token, false).await?;
                page.set_status(StatusCode::CONFLICT);
                Ok(page)
            }
            ConsumeOutcome::OtherHolder => Ok(render_elsewhere(&context)),
            ConsumeOutcome::Refused { flow, .. } => Err(closed_error(flow.as_deref())),
        }
    })
    .await
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
    };
    let options = context.page_options_for_client(flow.client_id.as_deref());
    Ok(render_page(&page, options))
}

/// Renders the same page for a link of another browser, an unknown one and a malformed one: it does not
/// reveal which it is (C4).
fn render_elsewhere(context: &RequestContext) -> Response {
    let page = ElsewherePage {
        localizer: &context.localizer,
        flow_href: None,
        restart_href: "/login",
    };
    render_page(&page, context.page_options)
}

/// `a…@example.com`: enough for the owner to recognise, and little for a bystander to read.
fn mask_address(canonical: &str) -> String {
    let (local, domain) = canonical.split_once('@').unwrap_or((canonical, ""));
    format!("{}…@{domain}", local.chars().take(1).collect::<String>())
}
