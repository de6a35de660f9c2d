//! `POST /account/identities/{id}/disconnect`: an account at a provider no longer signs its user in (LK-07).

use poem::{
    Body, Request, Response, handler,
    web::{Data, Path},
};
use uuid::Uuid;

use super::confirm::told;
use crate::{
    app::App,
    audit::{Event, Kind},
    federation::{
        error::RefusalCode,
        refusal::{Next, Place, refuse},
    },
    login::{
        PageError, RequestContext, context::see_other, first_party::TokenIssuer, page_error,
        provider_buttons::disconnect_form,
    },
    mail::outbox::EmailKind,
    session::{self, CurrentSession},
    user::{
        self, Identity,
        identity::{self, UnlinkResult},
    },
    web::params::Params,
};

/// The endpoint.
#[handler]
pub(crate) async fn disconnect(
    Data(app): Data<&App>,
    Data(tokens): Data<&TokenIssuer>,
    Path(id): Path<String>,
    request: &Request,
    body: Body,
) -> Response {
    page_error::respond(app, request, async {
        let id = Uuid::try_parse(&id).map_err(|_| PageError::NotFound)?;
        let context = RequestContext::load(app, request, "").await?;
        let params = Params::read_form(request, body).await?;
        let current = context.check_session_form(app, request, &params, &disconnect_form(id))?;
        let mine = identity::list_for_user(app.db.read(), current.user.id)
            .await?
            .into_iter()
            .find(|mine| mine.id == id);
        let Some(mine) = mine else {
            return Ok(see_other("/account"));
        };
        match remove(app, tokens, &context, current, &mine).await? {
            Ok(from_it) if from_it => Ok(context.without_session_cookie(see_other("/logged-out"))),
            Ok(_) => Ok(see_other("/account")),
            Err(code) => {
                let place = Place {
                    provider: &mine.provider,
                    next: Next::Account,
                };
                refuse(app, &context, &code.into(), &place).await
            }
        }
    })
    .await
}

/// Whether this very session came from it and has ended with it; or why it stays.
async fn remove(
    app: &App,
    tokens: &TokenIssuer,
    context: &RequestContext,
    current: &CurrentSession,
    mine: &Identity,
) -> Result<Result<bool, RefusalCode>, PageError> {
    let tx = app.db.begin().await?;
    // Read again: it may have ended, or its user have been locked out, since the page was asked for.
    let read = session::find_live(
        tx.conn(),
        current.session.id,
        tx.now,
        &context.config.session,
    )
    .await?;
    if !read.is_some_and(|now| session::is_fresh(&now.session, tx.now)) {
        return Ok(Err(RefusalCode::LinkStaleAuth));
    }
    let by_mail = user::has_verified_address(tx.conn(), current.user.id).await?;
    match identity::unlink(&tx, current.user.id, mine.id, by_mail).await? {
        UnlinkResult::LastMethod => return Ok(Err(RefusalCode::LinkLastMethod)),
        UnlinkResult::NotLinked => return Ok(Ok(false)),
        UnlinkResult::Unlinked(_) => {}
    }
    let ended = session::end_from_identity(&tx, mine.id).await?;
    tokens
        .revoke_for_identity(&tx, current.user.id, mine.id, &ended)
        .await?;
    let event = Event::new(Kind::IdentityUnlinked)
        .user(current.user.id)
        .session(current.session.id);
    event
        .provider(&mine.provider)
        .caller(&context.caller.network, &context.caller.request_id)
        .record(&tx)
        .await?;
    told(
        &tx,
        current,
        &context.localizer.tag,
        &mine.provider,
        EmailKind::ProviderDisconnected,
    )
    .await?;
    tx.commit().await?;
    app.outbox.notify_one();
    Ok(Ok(current.session.identity_id == Some(mine.id)))
}
