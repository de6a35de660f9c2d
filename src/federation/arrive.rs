//! The end of a callback: settle who it is, and answer (CB-10).

use poem::Response;

use super::{
    app_return,
    link::{Came, Settled, Where, settle},
    pages::{Next, Place, own, refuse},
    start::ask_path,
    state::{Intent, State},
};
use crate::{
    app::App,
    login::{
        Trouble, Visit,
        finish::SignedIn,
        page::Continue,
        pending::Pending,
        pending_link::{self, PendingLink, Wants},
        sign_in::pending_of,
        visit::see_other,
    },
    web::page::show,
};

/// Settles who came back, and answers their browser.
///
/// # Errors
/// If the database or the ticket store is away.
pub async fn arrive(
    app: &App,
    visit: &Visit,
    state: &State,
    came: &Came,
) -> Result<Response, Trouble> {
    if let Intent::App(for_app) = &state.intent {
        return app_return::arrive(app, visit, for_app, came).await;
    }
    let connecting = state.intent == Intent::Link;
    let at = Where {
        holds: visit.holds(),
        connecting,
        switch: false,
        remembered: false,
        locale: &visit.tongue.tag,
        caller: &visit.caller,
    };
    match settle(app, came, at).await? {
        Settled::SignedIn(done) => signed_in(app, visit, &done, state.txn()).await,
        Settled::Own => Ok(own(visit, &came.arrived.provider)),
        Settled::Waits(wants) => {
            let link = PendingLink {
                session: state.session.filter(|_| connecting),
                txn: state.txn().map(str::to_owned),
                ..came.waiting(wants, app, &visit.config, &visit.tongue)
            };
            wait(app, visit, &link).await
        }
        Settled::Refused(refused) => {
            let next = if connecting {
                Next::Account
            } else {
                Next::SignIn(state.txn())
            };
            refuse(
                app,
                visit,
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
pub async fn wait(app: &App, visit: &Visit, link: &PendingLink) -> Result<Response, Trouble> {
    let handle = pending_link::park(&app.tickets, visit.pre.hash(), link).await?;
    let path = match (link.wants, &link.txn) {
        (Wants::Switch | Wants::Yes, _) => ask_path(&handle),
        (Wants::Proof, Some(txn)) => format!("/login?txn={txn}&link={}", handle.to_text()),
        (Wants::Proof, None) => format!("/login?link={}", handle.to_text()),
    };
    Ok(visit.answer(see_other(&path)))
}

/// The cookies of a sign-in, and on to the client's request or the account. A client's request goes on by a page: the
/// chain of redirects began at the provider, whose `form-action` would be held against the client (CW-02).
///
/// # Errors
/// If the ticket store is away.
pub async fn signed_in(
    app: &App,
    visit: &Visit,
    done: &SignedIn,
    txn: Option<&str>,
) -> Result<Response, Trouble> {
    Ok(visit.answer_signed_in(go_on(app, visit, txn).await?, done))
}

/// On to the client's request or the account.
///
/// # Errors
/// If the ticket store is away.
pub async fn go_on(app: &App, visit: &Visit, txn: Option<&str>) -> Result<Response, Trouble> {
    let Some(txn) = txn else {
        return Ok(see_other("/account"));
    };
    let pending = request_of(app, visit, Some(txn)).await?;
    let room = pending
        .as_ref()
        .map(|pending| pending.room)
        .unwrap_or_default();
    let href = format!("{}?txn={txn}", room.resume_path());
    let site = visit.site_of(pending.as_ref().map(|pending| pending.client_id.as_str()));
    Ok(show(
        &Continue {
            tongue: &visit.tongue,
            href: &href,
        },
        site,
    ))
}

/// The client's request behind a handle. One that is over by now is told so by the protocol's room.
///
/// # Errors
/// If the ticket store is away.
pub async fn request_of(
    app: &App,
    visit: &Visit,
    txn: Option<&str>,
) -> Result<Option<Pending>, Trouble> {
    match pending_of(app, visit, txn).await {
        Err(Trouble::Expired) => Ok(None),
        found => found,
    }
}
