//! LC-A: the user has agreed to leave the session of another user for the account at the provider.
//!
//! The form may come twice: at the same time with the cookies of before, or later with those that the
//! first response set. Either way the browser goes on as the first answer did (ST-04).

use super::{
    pending::{return_to, wait},
    second_answer::wait_for,
    settle::{LinkContext, LinkOutcome, UpstreamLogin, settle_in},
};
use crate::{
    app::App,
    error::InfraError,
    federation::step::{Continuation, RepeatedSignIn, Step, StepError},
    login::{
        PageError, RequestContext,
        client_home::with_client,
        finish::SignedIn,
        lookup::find_pending,
        pending::{self, Requester},
        pending_link::{self, LinkRequirement, PendingLink},
        repeated::RepeatableSecrets,
    },
    secret::Plain,
    session::{self, CurrentSession},
    ticket::Payer,
    user::identity,
};

/// Signs the user of the account in, by the answer to the question under this handle.
pub(super) async fn switch_user(
    app: &App,
    context: &RequestContext,
    handle: &Plain,
    link: PendingLink,
) -> Result<Step, StepError> {
    let secrets = context.secrets_after(app, handle);
    match settle(app, context, &link, secrets.as_ref()).await? {
        LinkOutcome::SignedIn(signed_in) => {
            take_request_along(app, context, handle, &link, &signed_in).await?;
            let requester = Requester {
                browser: Some(signed_in.pre.hash()),
                session: Some(&signed_in.session),
            };
            let continuation = continuation(app, requester, handle, &link).await?;
            Ok(Step::SignedIn(signed_in, continuation))
        }
        LinkOutcome::Waits(requirement) => {
            let renewed = link
                .renewed(app.clock().now())
                .ok_or(PageError::PendingLinkGone)?;
            let link = PendingLink {
                requirement,
                ..renewed
            };
            Ok(wait(app, context, &link).await?)
        }
        LinkOutcome::OwnAccount => Ok(Step::Continue(Continuation::Account)),
        LinkOutcome::Refused(error) => Err(StepError::refused(
            error,
            &link.account.provider,
            return_to(&link),
        )),
    }
}

/// Binds the client's request to the browser as it is now: it may be bound to the session that was left,
/// which the user began in another tab while the request waited. The request stays under a handle that
/// follows from that of the link, so that each answer leads there.
async fn take_request_along(
    app: &App,
    context: &RequestContext,
    handle: &Plain,
    link: &PendingLink,
    signed_in: &SignedIn,
) -> Result<(), StepError> {
    let Some(txn) = link.txn.as_deref() else {
        return Ok(());
    };
    let Some(mut pending) = find_pending(app, context, Some(txn)).await? else {
        return Ok(());
    };
    if let Some(first) = Plain::parse(txn) {
        pending.remember_origin(&first);
    }
    // Store first: a claim without a store would lose the request.
    let tickets = app.tickets.charged_to(Payer::User(signed_in.user.id));
    let (request, browser) = (request_handle(app, handle), signed_in.pre.hash());
    let mut kept = pending.clone();
    kept.origin = None;
    pending::store_under(&tickets, &request, browser, None, &kept).await?;
    // Claimed once, so that a tab that still shows its sign-in page does not continue it, too. If that tab
    // was first, what was stored is a copy, which leads nowhere.
    if !pending::claim_origin(&app.tickets, &pending).await? {
        pending::spend(&app.tickets, &request).await?;
    }
    Ok(())
}

/// Returns the handle of the client's request after the answer to a question.
fn request_handle(app: &App, question: &Plain) -> Plain {
    let question = question.hash();
    let parts: [&[u8]; 2] = [b"request after an answer", question.as_bytes()];
    app.macs.repeats.secret(&parts)
}

/// Returns where the browser continues: at the client's request, or at the account without one.
async fn continuation(
    app: &App,
    requester: Requester<'_>,
    handle: &Plain,
    link: &PendingLink,
) -> Result<Continuation, InfraError> {
    if link.txn.is_none() {
        return Ok(Continuation::Account);
    }
    let request = request_handle(app, handle);
    let pending = pending::peek(&app.tickets, &request, requester).await?;
    // The protocol module tells the client about a request that has expired.
    let resumed_by = pending
        .map(|pending| pending.resumed_by)
        .unwrap_or_default();
    let client_id = link.client_id.clone();
    let path = format!("{}?txn={}", resumed_by.resume_path(), request.to_text());
    Ok(Continuation::Page {
        url: with_client(&path, client_id.as_deref()),
        client_id,
    })
}

/// Settles the link as `settle::settle` does, and gives a sign-in secrets that can be repeated.
async fn settle(
    app: &App,
    context: &RequestContext,
    link: &PendingLink,
    secrets: Option<&RepeatableSecrets>,
) -> Result<LinkOutcome, InfraError> {
    let login = UpstreamLogin::from_pending(link);
    let link_context = LinkContext {
        switch: true,
        ..LinkContext::in_browser(context)
    };
    for _ in 0..2 {
        let tx = app.db.begin().await?;
        let Some(mut outcome) = settle_in(app, &tx, &login, link_context).await? else {
            continue;
        };
        if let (LinkOutcome::SignedIn(signed_in), Some(secrets)) = (&mut outcome, secrets) {
            secrets.give_to(&tx, signed_in).await?;
        }
        tx.commit().await?;
        return Ok(outcome);
    }
    Ok(LinkOutcome::Waits(LinkRequirement::VerifiedEmail))
}

/// Returns the step of an answer that came a second time with the cookies of before. Returns none if
/// the first one led to no session.
pub(super) async fn repeat(
    app: &App,
    context: &RequestContext,
    handle: &Plain,
    link: &PendingLink,
) -> Result<Option<Step>, StepError> {
    let Some(secrets) = context.secrets_after(app, handle) else {
        return Ok(None);
    };
    let Some(found) = wait_for_session(app, context, &secrets.sid).await? else {
        return Ok(None);
    };
    let requester = Requester {
        browser: Some(secrets.pre.hash()),
        session: Some(&found.session),
    };
    let continuation = continuation(app, requester, handle, link).await?;
    let again = RepeatedSignIn {
        secrets,
        remembered: found.session.remembered,
    };
    Ok(Some(Step::SignedInAgain(again, continuation)))
}

/// Finds the session with this secret, once the first answer is done.
async fn wait_for_session(
    app: &App,
    context: &RequestContext,
    sid: &Plain,
) -> Result<Option<CurrentSession>, InfraError> {
    let limits = &context.config.session;
    let sid = sid.hash();
    let look = || session::find_by_cookie(app.db.lookup(), &sid, app.clock().now(), limits);
    wait_for(context.payer(), look).await
}

/// Returns the step of an answer that came a second time with the cookies of the first response, to
/// which its form token does not belong: nothing in the form is used but its handle. Returns none if
/// this browser has not answered the question by this sign-in.
pub async fn continue_switched(
    app: &App,
    context: &RequestContext,
    handle: Option<&str>,
) -> Result<Option<Step>, StepError> {
    let (Some(handle), Some(current)) = (handle.and_then(Plain::parse), &context.current) else {
        return Ok(None);
    };
    let now = app.clock().now();
    let link = pending_link::find_claimed(&app.tickets, &handle, context.requester(), now).await?;
    let Some(link) = link.filter(|link| link.requirement == LinkRequirement::SwitchConsent) else {
        return Ok(None);
    };
    if !is_connected(app, current, &link).await? {
        return Ok(None);
    }
    let continuation = continuation(app, context.requester(), &handle, &link).await?;
    Ok(Some(Step::Continue(continuation)))
}

/// Returns whether the account of a link is connected to the user of a session.
pub(super) async fn is_connected(
    app: &App,
    current: &CurrentSession,
    link: &PendingLink,
) -> Result<bool, InfraError> {
    let (issuer, subject) = (&link.account.issuer, &link.account.subject);
    let found = identity::find_linked(app.db.read(), issuer, subject).await?;
    Ok(found.is_some_and(|identity| identity.user_id == current.user.id))
}
