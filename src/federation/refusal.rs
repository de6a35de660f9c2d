//! A refusal at the edge: its record in log, metrics and audit log, and its page.
//!
//! Only `respond` and `app::api` use this module, once for each refusal.

use poem::{
    Response,
    http::{StatusCode, header},
};

use super::{
    error::{FederationError, RefusalCode},
    step::{RefusedStep, ReturnTo},
};
use crate::{
    app::App,
    audit::{Event, Kind},
    error::InfraError,
    limit,
    login::{
        PageError, RequestContext,
        client_home::{home_of, with_client},
        lookup::find_pending,
        page::ErrorPage,
        provider_buttons::display_name,
        sign_in::{self, SignInView},
    },
    session::CurrentSession,
    telemetry::metrics,
    web::{caller::Caller, page::render_page, reason::RefusalReason},
};

/// A refusal, and what it belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal<'a> {
    pub(crate) error: &'a FederationError,
    /// The provider's id, as the path has it.
    pub(crate) provider: &'a str,
    pub(crate) current: Option<&'a CurrentSession>,
    /// Whether the refused request belongs to a flow of ours.
    pub(crate) has_flow: bool,
}

/// Records a refusal: the log has the code and the detail, and the audit log has the code of what
/// belongs to a flow or to a user who is signed in (ST-17).
///
/// Past a budget of its network, a caller that provokes many refusals writes to the log alone, so
/// that it cannot fill the audit log (OA-8). The budget is small for callers who are not signed in.
pub(crate) async fn record(
    app: &App,
    caller: &Caller,
    refusal: Refusal<'_>,
) -> Result<(), InfraError> {
    let config = app.config.get();
    // The id comes from the path, so that an unknown one may be any text.
    let is_known = config.provider_name(refusal.provider).is_some();
    let provider = if is_known {
        refusal.provider
    } else {
        "unknown"
    };
    if refusal.has_flow || refusal.current.is_some() {
        caller.log_line.always_write();
    }
    log(caller, refusal.error, provider);
    metrics::upstream_refused(refusal.error.code.label(), provider);
    if !refusal.has_flow && refusal.current.is_none() {
        return Ok(());
    }
    // Without the ticket store there is no count, and refusals are few.
    let over = match refusal.current {
        Some(_) => limit::upstream_refusal(&app.tickets, caller.ip, &config.limits).await,
        None => limit::strangers_refusal(&app.tickets, caller.ip).await,
    };
    if matches!(over, Ok(Some(_))) {
        return Ok(());
    }
    let mut event = Event::new(Kind::UpstreamRefused)
        .reason(refusal.error.code)
        .caller(&caller.network, &caller.request_id);
    if is_known {
        event = event.provider(provider);
    }
    if let Some(current) = refusal.current {
        event = event.user(current.user.id).session(current.session.id);
    }
    let tx = app.db.begin().await?;
    event.record(&tx).await?;
    tx.commit().await
}

fn log(caller: &Caller, error: &FederationError, provider: &str) {
    let Some(request_id) = caller.reference(status_of(error.code)) else {
        return;
    };
    let (reason, detail) = (error.code.as_str(), error.detail.as_str());
    if error.code.alerts() {
        tracing::error!(
            request_id,
            provider,
            reason,
            detail,
            "upstream sign-in refused: the operator must act"
        );
    } else {
        tracing::warn!(
            request_id,
            provider,
            reason,
            detail,
            "upstream sign-in refused"
        );
    }
}

fn status_of(code: RefusalCode) -> StatusCode {
    StatusCode::from_u16(code.status()).unwrap_or(StatusCode::BAD_GATEWAY)
}

/// Renders the page of a refusal. It sets and changes no cookie.
pub(crate) async fn render(
    app: &App,
    context: &RequestContext,
    refused: &RefusedStep,
) -> Result<Response, PageError> {
    let (code, localizer) = (refused.error.code, &context.localizer);
    let provider_name = display_name(&context.config, &refused.provider, localizer);
    let arguments = [("provider", provider_name)];
    let stem = match &refused.return_to {
        ReturnTo::Account | ReturnTo::Continue(_) => code.stem_connecting(),
        ReturnTo::SignIn { .. } | ReturnTo::App(_) => code.stem(),
    };
    let message = localizer.text_with(stem, &arguments);
    if let (200, ReturnTo::SignIn { txn, .. }) = (code.status(), &refused.return_to) {
        return render_sign_in(app, context, txn.as_deref(), message).await;
    }
    let (href, label) = way_on(context, code, &refused.return_to);
    // Without the ticket store nothing of the request was spent.
    let again = context.again.clone();
    let again = again.filter(|_| code == RefusalCode::StoreDown);
    let page = ErrorPage {
        localizer,
        status: status_of(code),
        title: localizer.text_with(&format!("{stem}-title"), &arguments),
        message,
        parameter: None,
        again,
        next_href: Some(&href),
        next_label: Some(label),
        reference: context.caller.reference(status_of(code)),
    };
    let client_id = client_of(app, context, &refused.return_to).await;
    let mut response = render_page(&page, context.page_options_for_client(client_id.as_deref()));
    if let Some(seconds) = code.retry_after() {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, seconds.into());
    }
    Ok(RefusalReason::new(code.as_str()).attach_to(response))
}

/// UE-01: the user declined, or the provider reports a failure of its own: the sign-in page, with a
/// neutral notice.
async fn render_sign_in(
    app: &App,
    context: &RequestContext,
    txn: Option<&str>,
    notice: String,
) -> Result<Response, PageError> {
    // A client's request that has expired meanwhile is no reason for another page.
    let pending = find_pending(app, context, txn).await?;
    let view = SignInView {
        txn: txn.filter(|_| pending.is_some()),
        pending: pending.as_ref(),
        notice: Some(notice),
        ..SignInView::default()
    };
    sign_in::render(app, context, view).await
}

/// Returns where the page leads, and the text of the link.
fn way_on(context: &RequestContext, code: RefusalCode, return_to: &ReturnTo) -> (String, String) {
    let localizer = &context.localizer;
    if code == RefusalCode::LinkStaleAuth {
        let path = sign_in::SIGN_IN_BY_EMAIL_PATH.to_owned();
        return (path, localizer.text("upstream-fresh-next"));
    }
    // The page of a provider that is away says to try again, and the sign-in page has its button.
    let back = match code.retry_after() {
        Some(_) => "error-again",
        None => "upstream-back",
    };
    let (path, label) = match return_to {
        ReturnTo::SignIn { txn, client_id } => {
            let (path, client) = way_to_sign_in(context, txn.as_deref(), client_id.as_deref());
            return (path, client.unwrap_or_else(|| localizer.text(back)));
        }
        ReturnTo::Account => ("/account".to_owned(), "upstream-back-account"),
        ReturnTo::Continue(path) => (path.clone(), "continue-link"),
        ReturnTo::App(url) => (url.clone(), "upstream-back-app"),
    };
    (path, localizer.text(label))
}

/// Leads to the sign-in page with the client's request, or to the client if the request is lost. Then
/// the text of the link names the client.
fn way_to_sign_in(
    context: &RequestContext,
    txn: Option<&str>,
    client_id: Option<&str>,
) -> (String, Option<String>) {
    if let Some(txn) = txn {
        return (with_client(&format!("/login?txn={txn}"), client_id), None);
    }
    match home_of(&context.config, client_id) {
        Some((home, client)) => {
            let localizer = &context.localizer;
            let label = localizer.text_with("error-to-client", &[("client", client)]);
            (home.as_str().to_owned(), Some(label))
        }
        None => ("/login".to_owned(), None),
    }
}

/// Returns the client whose request waits. It decides a header alone, so that the page is shown
/// without it if the ticket store is unavailable.
async fn client_of(app: &App, context: &RequestContext, return_to: &ReturnTo) -> Option<String> {
    let ReturnTo::SignIn { txn, .. } = return_to else {
        return None;
    };
    let pending = find_pending(app, context, txn.as_deref()).await.ok()?;
    pending.and_then(|pending| pending.client().map(str::to_owned))
}
