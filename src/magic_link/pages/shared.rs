//! What the pages share: the attempt that a request makes, and where its outcome leads.

use poem::Response;

use crate::{
    app::App,
    login::{
        context::RequestContext,
        flow::{Flow, FlowState},
        page::ContinuePage,
        page_error::PageError,
        resume::{continue_path, restart_path},
    },
    magic_link::consume::ConsumeAttempt,
    user,
    web::{page::render_page, params::Params},
};

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

/// Renders the page that leads on from a completed sign-in. It has status 200, because Chromium applies
/// `form-action` to redirects after a form (CW-03).
pub(super) fn render_continue(context: &RequestContext, flow: &Flow) -> Response {
    let page = ContinuePage {
        localizer: &context.localizer,
        href: &continue_path(flow),
    };
    render_page(
        &page,
        context.page_options_for_client(flow.client_id.as_deref()),
    )
}

/// Returns why a flow accepts nothing any more: it was used, perhaps by this user in another window, or
/// it has expired.
pub(super) fn closed_error(flow: Option<&Flow>) -> PageError {
    match flow {
        Some(flow) if flow.state == FlowState::Consumed => PageError::AlreadyUsed,
        Some(flow) if flow.state == FlowState::Open => PageError::FlowExpired(restart_path(flow)),
        _ => PageError::SignInExpired,
    }
}

/// Returns whether the sign-in of this browser's session used the flow: its link and code lead on then,
/// however late they are (OD-9).
pub(super) fn is_of_session(context: &RequestContext, flow: &Flow) -> bool {
    let session = context.session_id();
    flow.state == FlowState::Consumed && session.is_some() && flow.session_id == session
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
    Ok(address.map(|row| user::shown(&row.email)))
}
