//! `GET /login/sent`: the page that waits for the link and accepts the code.

use poem::{
    IntoResponse as _, Request, Response, handler,
    http::header,
    web::{Data, Json},
};
use serde::Serialize;

use super::{
    entry::{Entry, Refusal},
    link::other_user,
};
use crate::{
    app::App,
    client,
    login::{
        client_home::with_client,
        context::{RequestContext, see_other},
        flow::{self, Flow, FlowState},
        flow_payload::pending_request_in,
        lookup::{flow_id, has_signed_in_since},
        page::SentPage,
        page_error::{self, PageError},
        pending::ResumedBy,
        resume::{continue_path, restart_path},
    },
    magic_link::{delivery, request::has_sends_left},
    mail::outbox::DeliveryProblem,
    secret::Plain,
    user,
    web::{locale::Localizer, page::render_page, params::Params},
};

#[handler]
pub(crate) async fn show(Data(app): Data<&App>, request: &Request) -> Response {
    page_error::respond(app, request, async {
        let mut context = RequestContext::load(app, request, "").await?;
        let id = flow_id(&Params::from_query(request)?)?;
        let flow = flow::find_held(app.db.read(), id, &context.holder())
            .await?
            .ok_or(PageError::SignInExpired)?;
        context.follow_flow(app, &flow);
        match flow.state {
            FlowState::Consumed if context.current.is_some() => {
                Ok(see_other(&continue_path(&flow)))
            }
            FlowState::Open if has_signed_in_since(app, &context, &flow).await? => {
                Ok(see_other(&continue_path(&flow)))
            }
            FlowState::Open if flow.expires_at > app.clock().now() => {
                render_sent(app, &context, &flow).await
            }
            FlowState::Open => Err(PageError::FlowExpired(restart_path(&flow))),
            _ => Err(PageError::SignInExpired),
        }
    })
    .await
}

/// The state of a flow, for the script of the waiting page.
#[derive(Serialize)]
struct FlowStatus {
    state: &'static str,
    #[serde(rename = "continue")]
    continue_path: String,
    /// What keeps the email from the user of a known device.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'static str>,
}

/// `GET /login/sent/state`: the waiting page polls it every two seconds.
#[handler]
pub(crate) async fn state(Data(app): Data<&App>, request: &Request) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        let id = flow_id(&Params::from_query(request)?)?;
        let flow = flow::find_held(app.db.read(), id, &context.holder())
            .await?
            .ok_or(PageError::NotFound)?;
        let problem = delivery_problem(app, &context, &flow).await?;
        let status = FlowStatus {
            email: problem.map(DeliveryProblem::name),
            state: match has_signed_in_since(app, &context, &flow).await? {
                true => "consumed",
                false => flow::state_name(&flow, app.clock().now()),
            },
            continue_path: context
                .page_options
                .base_path
                .link(&continue_path(&flow))
                .into_owned(),
        };
        let no_store = header::HeaderValue::from_static("no-store");
        Ok(Json(status)
            .with_header(header::CACHE_CONTROL, no_store)
            .into_response())
    })
    .await
}

/// Renders the waiting page of a flow.
async fn render_sent(
    app: &App,
    context: &RequestContext,
    flow: &Flow,
) -> Result<Response, PageError> {
    let id = flow.id.to_string();
    let switch_from = other_user(app, context, flow).await?;
    let localizer = app.texts.negotiate(&flow.locale, "");
    let problem = delivery_problem(app, context, flow).await?;
    let entry = Entry::of_flow(context, flow);
    let refusal = entry.as_ref().map(|entry| entry.refusal);
    // An app that waits in its own window has no page to return to.
    let has_cancel =
        pending_request_in(flow)?.is_some_and(|pending| pending.resumed_by == ResumedBy::Protocol);
    let cancel = has_cancel.then(|| context.form_token(app, "cancel", &id));
    let client_id = flow.client_id.as_deref();
    let client = client_id.and_then(|id| client::find(&context.config, id));
    let settings = &context.config.magic_link;
    let page = SentPage {
        localizer: &localizer,
        flow: &id,
        email: &user::shown_address(&flow.canonical),
        error: refusal.and_then(|refusal| error_text(&localizer, refusal, settings.code_digits)),
        entered: entry.as_ref().map_or("", |entry| &entry.entered),
        tries_left: tries_left(flow, context),
        minutes: settings.lifetime_seconds.div_ceil(60),
        withheld_for_seconds: withheld_for_seconds(app, flow),
        resend_after_seconds: resend_after_seconds(app, flow),
        can_resend: has_sends_left(flow, &context.config),
        form_token_code: &context.form_token(app, "code", &id),
        form_token_resend: &context.form_token(app, "resend", &id),
        form_token_cancel: cancel.as_deref(),
        client: client.map(|client| client.name.as_str()),
        continue_href: &continue_path(flow),
        restart_href: &restart_path(flow),
        has_providers: !context.config.providers.is_empty(),
        client_query: &with_client("", client_id),
        code_digits: settings.code_digits,
        switch_from: switch_from.as_deref(),
        email_problem: problem.map_or("", DeliveryProblem::name),
        switch_asked: refusal == Some(Refusal::SwitchNotConfirmed),
    };
    Ok(render_page(
        &page,
        context.page_options_for_client(client_id),
    ))
}

async fn delivery_problem(
    app: &App,
    context: &RequestContext,
    flow: &Flow,
) -> Result<Option<DeliveryProblem>, PageError> {
    let device = context.device.as_ref().map(Plain::hash);
    Ok(delivery::problem_of(&app.db, flow, device.as_ref()).await?)
}

fn error_text(localizer: &Localizer, refusal: Refusal, digits: u32) -> Option<String> {
    let key = refusal.text_key()?;
    Some(localizer.text_with(key, &[("digits", digits.to_string())]))
}

/// Returns the attempts that are left, once there was one.
fn tries_left(flow: &Flow, context: &RequestContext) -> Option<u32> {
    let tries = u32::try_from(flow.tries).unwrap_or(u32::MAX);
    let max = context.config.limits.tries_per_flow;
    (tries > 0).then(|| max.saturating_sub(tries))
}

fn withheld_for_seconds(app: &App, flow: &Flow) -> Option<u64> {
    let wait = flow.withheld_until?.since(app.clock().now());
    (!wait.is_zero()).then(|| wait.as_secs().max(1))
}

fn resend_after_seconds(app: &App, flow: &Flow) -> u64 {
    // A request while emails are withheld would be withheld as well.
    let next = flow
        .withheld_until
        .map_or(flow.next_send_at, |until| until.max(flow.next_send_at));
    let wait = next.since(app.clock().now());
    wait.as_millis().div_ceil(1000).try_into().unwrap_or(0)
}
