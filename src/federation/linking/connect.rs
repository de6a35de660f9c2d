//! Connects an account to the user of a fresh session (LK-04).

use super::pending::return_to;
use crate::{
    app::App,
    db::Tx,
    error::InfraError,
    federation::{
        error::RefusalCode,
        step::{RotatedSession, StepError},
    },
    login::{
        PageError, RequestContext,
        authenticate::link_account,
        flow::{self, Flow},
        notify::notify,
        pending_link::PendingLink,
    },
    mail::outbox::EmailKind,
    secret::Plain,
    session::{self, CurrentSession},
    user::{self, identity},
};

/// The question about a pending link that the user has answered.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answered<'a> {
    /// The link is a ticket under this handle.
    Ticket(&'a Plain),
    /// The link is in this flow.
    InFlow(&'a Flow),
}

impl Answered<'_> {
    /// Returns the name of the question in secrets that are derived from it.
    pub(crate) fn question(self) -> Vec<u8> {
        match self {
            Self::Ticket(handle) => handle.hash().to_column(),
            Self::InFlow(flow) => flow.id.as_bytes().to_vec(),
        }
    }
}

/// Connects a pending link to the user of the current session. The cookie of the session gets a new
/// secret (BS-04), and the owner is notified by email.
pub(crate) async fn connect_to_session(
    app: &App,
    context: &RequestContext,
    current: &CurrentSession,
    link: &PendingLink,
    answered: Answered<'_>,
) -> Result<RotatedSession, StepError> {
    let provider = link.account.provider.as_str();
    let refused = |code| Err(StepError::refused(code, provider, return_to(link)));
    if identity::is_trusted_issuer(&app.config.get(), &link.account).is_none() {
        return refused(RefusalCode::ProviderDisabled);
    }
    let tx = app.db.begin().await?;
    // Read again: the session may have ended since the request began, or its account been
    // reclaimed.
    let limits = &context.config.session;
    let current = match session::find_live(tx.conn(), current.session.id, tx.now, limits).await? {
        Some(now) if session::is_fresh(&now.session, tx.now) => now,
        Some(_) => return refused(RefusalCode::LinkStaleAuth),
        None => return refused(RefusalCode::SessionChanged),
    };
    if let Answered::InFlow(flow) = answered
        && !flow::settle_link(&tx, flow.id).await?
    {
        // Committed, so that the caller reads what the request before has settled, and not what was
        // there before that one's commit (ADR 0022).
        tx.commit().await?;
        return Err(StepError::NoPendingLink);
    }
    let identity = link_account(&tx, &current.user, &link.account, &context.caller).await?;
    if identity.is_none() {
        // Committed, because the user has answered and the link is settled.
        tx.commit().await?;
        return refused(RefusalCode::LinkTaken);
    }
    let secret = context
        .next_session_secret(app, current.session.id, &answered.question())
        .ok_or(PageError::InvalidForm)?;
    if !session::rotate(&tx, current.session.id, &secret).await? {
        return Err(PageError::InvalidForm.into());
    }
    let kind = EmailKind::ProviderConnected;
    notify_owner(&tx, &current, &context.localizer.tag, provider, kind).await?;
    tx.commit().await?;
    app.outbox.notify_one();
    Ok(RotatedSession {
        secret,
        remembered: current.session.remembered,
    })
}

/// LK-07: notifies the owner by email of what happened to the account.
pub(crate) async fn notify_owner(
    tx: &Tx,
    current: &CurrentSession,
    locale: &str,
    provider: &str,
    kind: EmailKind,
) -> Result<(), InfraError> {
    let Some(address) = user::primary_address(tx.conn(), current.user.id).await? else {
        return Ok(());
    };
    notify(tx, kind, &address.canonical, locale, Some(provider)).await
}
