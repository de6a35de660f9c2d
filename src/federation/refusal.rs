//! The pages of this room: the way to a provider, the question whether to connect an account, and what people hear when
//! something does not work: what happened, and what to do next.

use poem::{
    Response,
    http::{StatusCode, header},
};

use super::error::{FederationError, RefusalCode};
use crate::{
    app::App,
    audit::{Event, Kind},
    error::InfraError,
    limit,
    login::{
        PageError, RequestContext,
        lookup::find_pending,
        page::ErrorPage,
        provider_buttons,
        sign_in::{self, SignInView},
    },
    session::CurrentSession,
    telemetry::metrics,
    web::{caller::Caller, page::render_page},
};

/// Where a refusal happened, and where the person goes from it.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    /// The provider's id, as the path has it.
    pub provider: &'a str,
    /// Where to go on.
    pub next: Next<'a>,
}

/// Where a person goes from a refusal.
#[derive(Clone, Debug)]
pub enum Next<'a> {
    /// Back to the sign-in page, with the client's request that still waits (UE-02).
    SignIn(Option<&'a str>),
    /// Back to the account page.
    Account,
    /// On with a sign-in by mail that is done, at this path: perhaps a client's request waits behind it.
    On(String),
    /// Back to the app, with an error for it.
    App(String),
}

impl Next<'_> {
    fn href(&self) -> String {
        match self {
            Self::SignIn(Some(txn)) => format!("/login?txn={txn}"),
            Self::SignIn(None) => "/login".to_owned(),
            Self::Account => "/account".to_owned(),
            Self::On(to) | Self::App(to) => to.clone(),
        }
    }

    const fn label(&self) -> &'static str {
        match self {
            Self::SignIn(_) => "upstream-back",
            Self::Account => "upstream-back-account",
            Self::On(_) => "continue-link",
            Self::App(_) => "upstream-back-app",
        }
    }
}

/// A refusal: its line in the log, its row in the trail, its count, its page. No cookie is set or changed by it.
///
/// # Errors
/// If the database is away.
pub async fn refuse(
    app: &App,
    context: &RequestContext,
    refused: &FederationError,
    place: &Place<'_>,
) -> Result<Response, PageError> {
    note(
        app,
        &context.caller,
        context.current.as_ref(),
        refused,
        place.provider,
    )
    .await?;
    let code = refused.code;
    let known = [(
        "provider",
        provider_buttons::display_name(&context.config, place.provider, &context.localizer),
    )];
    let stem = match &place.next {
        Next::Account | Next::On(_) => code.stem_connecting(),
        Next::SignIn(_) | Next::App(_) => code.stem(),
    };
    let message = context.localizer.text_with(stem, &known);
    if let (200, Next::SignIn(txn)) = (code.status(), &place.next) {
        return back_to_sign_in(app, context, *txn, message).await;
    }
    let fresh = code == RefusalCode::LinkStaleAuth;
    let href = if fresh {
        sign_in::SIGN_IN_BY_EMAIL_PATH.to_owned()
    } else {
        place.next.href()
    };
    let label = if fresh {
        "upstream-fresh-next"
    } else {
        place.next.label()
    };
    let page = ErrorPage {
        localizer: &context.localizer,
        status: StatusCode::from_u16(code.status()).unwrap_or(StatusCode::BAD_GATEWAY),
        title: context
            .localizer
            .text_with(&format!("{stem}-title"), &known),
        message,
        parameter: None,
        next_href: Some(&href),
        next_label: Some(context.localizer.text(label)),
        reference: Some(&context.caller.request_id),
    };
    let asked = match place.next {
        // For a header alone: with the store away the page is drawn without.
        Next::SignIn(txn) => find_pending(app, context, txn).await.ok().flatten(),
        _ => None,
    };
    let mut response = render_page(
        &page,
        context.page_options_for_client(asked.as_ref().map(|asked| asked.client_id.as_str())),
    );
    if let Some(seconds) = code.retry_after() {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, seconds.into());
    }
    Ok(response)
}

/// Says that an account is the person's own already: nothing has changed.
#[must_use]
pub fn own(context: &RequestContext, id: &str) -> Response {
    let known = [(
        "provider",
        provider_buttons::display_name(&context.config, id, &context.localizer),
    )];
    let page = ErrorPage {
        localizer: &context.localizer,
        status: StatusCode::OK,
        title: context.localizer.text_with("upstream-own-title", &known),
        message: context.localizer.text_with("upstream-own", &known),
        parameter: None,
        next_href: Some("/account"),
        next_label: Some(context.localizer.text("upstream-back-account")),
        reference: None,
    };
    render_page(&page, context.page_options)
}

/// UE-01: the person declined, or the provider has trouble of its own: the sign-in page, with a neutral word.
async fn back_to_sign_in(
    app: &App,
    context: &RequestContext,
    txn: Option<&str>,
    notice: String,
) -> Result<Response, PageError> {
    // A request whose time is over meanwhile is no reason to show something else.
    let pending = find_pending(app, context, txn).await?;
    let txn = txn.filter(|_| pending.is_some());
    sign_in::render(
        app,
        context,
        SignInView {
            txn,
            pending: pending.as_ref(),
            notice: Some(notice),
            ..SignInView::default()
        },
    )
    .await
}

/// The trail has the code; what the refusal knows besides is for the log. Whoever brings about very many of them for
/// nothing has lines in the log alone, or they could fill the trail.
///
/// # Errors
/// If the database is away.
pub async fn note(
    app: &App,
    caller: &Caller,
    current: Option<&CurrentSession>,
    refused: &FederationError,
    id: &str,
) -> Result<(), InfraError> {
    let (code, detail) = (refused.code.as_str(), refused.detail.as_str());
    let (request_id, config) = (caller.request_id.as_str(), app.config.get());
    let known = config.provider_name(id).is_some();
    let provider = if known { id } else { "unknown" };
    if refused.code.alerts() {
        tracing::error!(
            request_id,
            provider,
            code,
            detail,
            "upstream sign-in refused: ops must look"
        );
    } else {
        tracing::warn!(
            request_id,
            provider,
            code,
            detail,
            "upstream sign-in refused"
        );
    }
    metrics::upstream_refused(refused.code.label(), provider);
    // With the store away there is no count, and refusals are few.
    let over = limit::upstream_refusal(&app.tickets, caller.ip, &config.limits).await;
    if matches!(over, Ok(Some(_))) {
        return Ok(());
    }
    let tx = app.db.begin().await?;
    let event = Event::new(Kind::UpstreamRefused)
        .reason(code)
        .caller(&caller.network, request_id);
    let event = if known { event.provider(id) } else { event };
    let event = match current {
        Some(current) => event.user(current.user.id).session(current.session.id),
        None => event,
    };
    event.record(&tx).await?;
    tx.commit().await
}
