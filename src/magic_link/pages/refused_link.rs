//! The pages for a link that signs in no user of this browser: it is dead, or another browser's.

use poem::Response;

use crate::{
    app::App,
    login::{
        client_home::home_of,
        context::RequestContext,
        flow::{self, Flow, FlowState},
        page::{DeadLinkPage, DeadLinkReason, ElsewherePage, ElsewhereReason},
        page_error::PageError,
        resume::{restart_path, sent_path},
    },
    web::page::render_page,
};

/// Renders the page for a live link of another browser: it reveals nothing of it (C4).
pub(super) async fn render_elsewhere(
    app: &App,
    context: &RequestContext,
) -> Result<Response, PageError> {
    let now = app.clock().now();
    let own = flow::latest_open(app.db.read(), context.pre.hash(), now).await?;
    let own = own.as_ref().map(sent_path);
    let page = ElsewherePage {
        localizer: &context.localizer,
        reason: ElsewhereReason::OtherBrowser,
        flow_href: own.as_deref(),
        restart_href: "/login",
    };
    Ok(render_page(&page, &context.page_options))
}

/// OD-12: renders the page for a dead link. It leads to a new email in the browser that started the
/// sign-in, and elsewhere to the client or to a new sign-in.
pub(super) fn render_dead(app: &App, context: &RequestContext, flow: Option<&Flow>) -> Response {
    let localizer = &context.localizer;
    let own = flow
        .filter(|flow| flow.state == FlowState::Open && flow::is_held_by(flow, &context.holder()));
    let home = home_of(
        &context.config,
        flow.and_then(|flow| flow.client_id.as_deref()),
    );
    let (next_href, next_label) = match (own, home) {
        (Some(flow), _) if flow.expires_at > app.clock().now() => {
            (sent_path(flow), localizer.text("dead-link-resend"))
        }
        (Some(flow), _) => (restart_path(flow), localizer.text("error-start-over")),
        (None, Some((home, client))) => (
            home.as_str().to_owned(),
            localizer.text_with("error-to-client", &[("client", client)]),
        ),
        (None, None) => ("/login".to_owned(), localizer.text("error-start-over")),
    };
    let page = DeadLinkPage {
        localizer,
        reason: match flow.map(|flow| flow.state) {
            None => DeadLinkReason::Unknown,
            Some(FlowState::Consumed) => DeadLinkReason::Used,
            Some(FlowState::Open | FlowState::Ended) => DeadLinkReason::Expired,
        },
        minutes: context.config.magic_link.lifetime_seconds.div_ceil(60),
        next_href: &next_href,
        next_label: &next_label,
    };
    render_page(&page, &context.page_options)
}
