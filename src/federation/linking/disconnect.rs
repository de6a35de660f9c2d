//! Disconnects an account at a provider, which then no longer signs its user in (LK-07).

use uuid::Uuid;

use super::connect::notify_owner;
use crate::{
    app::App,
    audit::{Event, Kind},
    db::Tx,
    error::InfraError,
    federation::{
        error::RefusalCode,
        step::{Continuation, ReturnTo, Step, StepError},
    },
    login::{RequestContext, first_party::TokenIssuer},
    mail::outbox::EmailKind,
    session::{self, CurrentSession},
    user::{
        self, Identity,
        identity::{self, UnlinkResult},
    },
};

/// Disconnects the account with this id from the user of the current session.
pub async fn disconnect(
    app: &App,
    tokens: &TokenIssuer,
    context: &RequestContext,
    current: &CurrentSession,
    id: Uuid,
) -> Result<Step, StepError> {
    let linked = identity::list_for_user(app.db.read(), current.user.id).await?;
    let Some(identity) = linked.into_iter().find(|identity| identity.id == id) else {
        return Ok(Step::Continue(Continuation::Account));
    };
    let refused = |code| {
        Err(StepError::refused(
            code,
            &identity.provider,
            ReturnTo::Account,
        ))
    };
    let tx = app.db.begin().await?;
    // Read again: the session may have ended since the request began, or its user been locked.
    let limits = &context.config.session;
    let live = session::find_live(tx.conn(), current.session.id, tx.now, limits).await?;
    if !live.is_some_and(|live| session::is_fresh(&live.session, tx.now)) {
        return refused(RefusalCode::LinkStaleAuth);
    }
    let by_email = user::has_verified_address(tx.conn(), current.user.id).await?;
    match identity::unlink(&tx, current.user.id, id, by_email).await? {
        UnlinkResult::LastMethod => return refused(RefusalCode::LinkLastMethod),
        UnlinkResult::NotLinked => return Ok(Step::Continue(Continuation::Account)),
        UnlinkResult::Unlinked(_) => {}
    }
    revoke_access(&tx, tokens, current, &identity).await?;
    record_unlink(&tx, context, current, &identity).await?;
    let kind = EmailKind::ProviderDisconnected;
    notify_owner(
        &tx,
        current,
        &context.localizer.tag,
        &identity.provider,
        kind,
    )
    .await?;
    tx.commit().await?;
    app.outbox.notify_one();
    if current.session.identity_id == Some(id) {
        Ok(Step::SignedOut)
    } else {
        Ok(Step::Disconnected)
    }
}

/// Ends the sessions that came from the account, and the grants of these sessions.
async fn revoke_access(
    tx: &Tx,
    tokens: &TokenIssuer,
    current: &CurrentSession,
    identity: &Identity,
) -> Result<(), InfraError> {
    let ended = session::end_from_identity(tx, identity.id).await?;
    tokens
        .revoke_for_identity(tx, current.user.id, identity.id, &ended)
        .await?;
    Ok(())
}

async fn record_unlink(
    tx: &Tx,
    context: &RequestContext,
    current: &CurrentSession,
    identity: &Identity,
) -> Result<(), InfraError> {
    Event::new(Kind::IdentityUnlinked)
        .user(current.user.id)
        .session(current.session.id)
        .provider(&identity.provider)
        .caller(&context.caller.network, &context.caller.request_id)
        .record(tx)
        .await
}
