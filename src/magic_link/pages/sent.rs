//! `GET /login/sent`: the page that waits for the link and accepts the code.

use poem::{
    IntoResponse as _, Request, Response, handler,
    http::{StatusCode, header},
    web::{Data, Json},
};
use serde::Serialize;

use super::shared::other_user;
use crate::{
    app::App,
    client,
    login::{
        context::{RequestContext, see_other},
        flow::{self, Flow, FlowState},
        flow_payload::pending_request_in,
        lookup::flow_id,
        page::SentPage,
        page_error::{self, PageError},
        pending::ResumedBy,
        resume::continue_path,
    },
    magic_link::request::has_sends_left,
    web::{page::render_page, params::Params},
};

/// Why the waiting page is shown again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Another email was requested too early.
    CoolingDown,
    /// The code is wrong, expired or used up: one text for all three (D4).
    WrongCode,
    /// The flow has had all its attempts at a code.
    NoTriesLeft,
    /// Another user is signed in in this browser, and has not agreed to leave that session.
    SwitchNotConfirmed,
}

impl Refusal {
    const fn status(self) -> StatusCode {
        match self {
            Self::CoolingDown => StatusCode::TOO_MANY_REQUESTS,
            Self::WrongCode | Self::NoTriesLeft => StatusCode::UNPROCESSABLE_ENTITY,
            Self::SwitchNotConfirmed => StatusCode::CONFLICT,
        }
    }

    /// The key of the text; the page has its own for a switch.
    const fn text_key(self) -> Option<&'static str> {
        match self {
            Self::CoolingDown => Some("sent-error-wait"),
            Self::WrongCode => Some("sent-error-code"),
            Self::NoTriesLeft => Some("sent-error-tries"),
            Self::SwitchNotConfirmed => None,
        }
    }
}

#[handler]
pub(crate) async fn show(Data(app): Data<&App>, request: &Request) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        let id = flow_id(&Params::from_query(request)?)?;
        let flow = flow::find_held(app.db.read(), id, &context.holder())
            .await?
            .ok_or(PageError::SignInExpired)?;
        match flow.state {
            FlowState::Consumed if context.current.is_some() => Ok(see_other(&continue_path(id))),
            FlowState::Open if flow.expires_at > app.clock().now() => {
                render_sent(app, &context, &flow, None).await
            }
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
        let status = FlowStatus {
            state: flow::state_name(&flow, app.clock().now()),
            continue_path: continue_path(id),
        };
        let no_store = header::HeaderValue::from_static("no-store");
        Ok(Json(status)
            .with_header(header::CACHE_CONTROL, no_store)
            .into_response())
    })
    .await
}

/// Renders the waiting page of a flow.
pub(super) async fn render_sent(
    app: &App,
    context: &RequestContext,
    flow: &Flow,
    refusal: Option<Refusal>,
) -> Result<Response, PageError> {
    let id = flow.id.to_string();
    let switch_from = other_user(app, context, flow).await?;
    let localizer = app.texts.negotiate(&flow.locale, "");
    // An app that waits in its own window has no page to return to.
    let has_cancel =
        pending_request_in(flow)?.is_some_and(|pending| pending.resumed_by == ResumedBy::Protocol);
    let cancel = has_cancel.then(|| context.form_token(app, "cancel", &id));
    let client_id = flow.client_id.as_deref();
    let client = client_id.and_then(|id| client::find(&context.config, id));
    let page = SentPage {
        localizer: &localizer,
        flow: &id,
        email: &flow.canonical,
        error: refusal
            .and_then(Refusal::text_key)
            .map(|key| context.localizer.text(key)),
        resend_after_seconds: resend_after_seconds(app, flow),
        can_resend: has_sends_left(flow, &context.config),
        form_token_code: &context.form_token(app, "code", &id),
        form_token_resend: &context.form_token(app, "resend", &id),
        form_token_cancel: cancel.as_deref(),
        client: client.map(|client| client.name.as_str()),
        restart_href: &format!("/login/restart?flow={id}"),
        code_digits: context.config.magic_link.code_digits,
        switch_from: switch_from.as_deref(),
        switch_asked: refusal == Some(Refusal::SwitchNotConfirmed),
    };
    let mut response = render_page(&page, context.page_options_for_client(client_id));
    if let Some(refusal) = refusal {
        response.set_status(refusal.status());
    }
    Ok(response)
}

fn resend_after_seconds(app: &App, flow: &Flow) -> u64 {
    let wait = flow.next_send_at.since(app.clock().now());
    wait.as_millis().div_ceil(1000).try_into().unwrap_or(0)
}
