//! The end of a callback: settle who it is, and answer (CB-10).

use poem::Response;

use super::state::{Intent, State};
use crate::{
    app::App,
    federation::{
        app::code,
        linking::settle::{LinkContext, LinkOutcome, UpstreamLogin, settle},
        refusal::{Next, Place, own, refuse},
    },
    login::{
        PageError, RequestContext,
        context::see_other,
        finish::SignedIn,
        lookup::find_pending,
        page::ContinuePage,
        pending_link::{self, CONFIRM_PATH, LinkRequirement, PendingLink},
    },
    secret::Plain,
    web::page::render_page,
};

/// Settles who came back, and answers their browser.
///
/// # Errors
/// If the database or the ticket store is away.
pub async fn arrive(
    app: &App,
    context: &RequestContext,
    state: &State,
    came: &UpstreamLogin,
) -> Result<Response, PageError> {
    if let Intent::App(for_app) = &state.intent {
        return code::arrive(app, context, for_app, came).await;
    }
    let connecting = state.intent == Intent::Link;
    let at = LinkContext {
        browser_state: context.browser_state(),
        connecting,
        switch: false,
        remembered: false,
        locale: &context.localizer.tag,
        caller: &context.caller,
    };
    match settle(app, came, at).await? {
        LinkOutcome::SignedIn(done) => signed_in(app, context, &done, state.txn()).await,
        LinkOutcome::Own => Ok(own(context, &came.arrived.provider)),
        LinkOutcome::Waits(wants) => {
            let link = PendingLink {
                session: state.session.filter(|_| connecting),
                txn: state.txn().map(str::to_owned),
                ..came.waiting(wants, app, &context.config, &context.localizer)
            };
            wait(app, context, &link).await
        }
        LinkOutcome::Refused(refused) => {
            let next = if connecting {
                Next::Account
            } else {
                Next::SignIn(state.txn())
            };
            refuse(
                app,
                context,
                &refused,
                &Place {
                    provider: &came.arrived.provider,
                    next,
                },
            )
            .await
        }
    }
}

/// Parks an account that waits, and leads to the page that asks.
///
/// # Errors
/// If the ticket store is away.
pub async fn wait(
    app: &App,
    context: &RequestContext,
    link: &PendingLink,
) -> Result<Response, PageError> {
    let handle = pending_link::store(&app.tickets, context.pre.hash(), link).await?;
    let path = match (link.requirement, &link.txn) {
        (LinkRequirement::SwitchConsent | LinkRequirement::LinkConsent, _) => ask_path(&handle),
        (LinkRequirement::VerifiedEmail, Some(txn)) => {
            format!("/login?txn={txn}&link={}", handle.to_text())
        }
        (LinkRequirement::VerifiedEmail, None) => format!("/login?link={}", handle.to_text()),
    };
    Ok(context.with_pre_login_cookie(see_other(&path)))
}

/// The cookies of a sign-in, and on to the client's request or the account. A client's request goes on by a page: the
/// chain of redirects began at the provider, whose `form-action` would be held against the client (CW-02).
///
/// # Errors
/// If the ticket store is away.
pub async fn signed_in(
    app: &App,
    context: &RequestContext,
    done: &SignedIn,
    txn: Option<&str>,
) -> Result<Response, PageError> {
    Ok(context.with_sign_in_cookies(go_on(app, context, txn).await?, done))
}

/// On to the client's request or the account.
///
/// # Errors
/// If the ticket store is away.
pub async fn go_on(
    app: &App,
    context: &RequestContext,
    txn: Option<&str>,
) -> Result<Response, PageError> {
    let Some(txn) = txn else {
        return Ok(see_other("/account"));
    };
    let pending = find_pending(app, context, Some(txn)).await?;
    let room = pending
        .as_ref()
        .map(|pending| pending.resumed_by)
        .unwrap_or_default();
    let href = format!("{}?txn={txn}", room.resume_path());
    let site =
        context.page_options_for_client(pending.as_ref().map(|pending| pending.client_id.as_str()));
    Ok(render_page(
        &ContinuePage {
            localizer: &context.localizer,
            href: &href,
        },
        site,
    ))
}

/// Where a person is asked about a link that waits under this handle.
#[must_use]
pub fn ask_path(handle: &Plain) -> String {
    format!("{CONFIRM_PATH}?link={}", handle.to_text())
}
