//! `POST /account/identities/{id}/disconnect`: an account at a provider no longer signs its user in (LK-07).

use poem::{
    Body, Request, Response, handler,
    web::{Data, Path},
};
use uuid::Uuid;

use super::{
    ask::told,
    pages::{Next, Place, refuse},
    refused::Code,
};
use crate::{
    app::App,
    audit::{Event, Kind},
    login::{
        Trouble, Visit, account::disconnect_form, first_party::Issuer, trouble, visit::see_other,
    },
    mail::outbox::LetterKind,
    session::{self, Current},
    user::{
        self, Identity,
        identity::{self, Removed},
    },
    web::params::Params,
};

/// The endpoint.
#[handler]
pub async fn disconnect(
    Data(app): Data<&App>,
    Data(tokens): Data<&Issuer>,
    Path(id): Path<String>,
    request: &Request,
    body: Body,
) -> Response {
    trouble::page(app, request, async {
        let id = Uuid::try_parse(&id).map_err(|_| Trouble::NotFound)?;
        let visit = Visit::of(app, request, "").await?;
        let params = Params::read_form(request, body).await?;
        let current = visit.check_session_form(app, request, &params, &disconnect_form(id))?;
        let mine = identity::of_user(app.db.read(), current.user.id)
            .await?
            .into_iter()
            .find(|mine| mine.id == id);
        let Some(mine) = mine else {
            return Ok(see_other("/account"));
        };
        match remove(app, tokens, &visit, current, &mine).await? {
            Ok(from_it) if from_it => Ok(visit.answer_signed_out(see_other("/logged-out"))),
            Ok(_) => Ok(see_other("/account")),
            Err(code) => {
                let place = Place {
                    provider: &mine.provider,
                    next: Next::Account,
                };
                refuse(app, &visit, &code.into(), &place).await
            }
        }
    })
    .await
}

/// Whether this very session came from it and has ended with it; or why it stays.
async fn remove(
    app: &App,
    tokens: &Issuer,
    visit: &Visit,
    current: &Current,
    mine: &Identity,
) -> Result<Result<bool, Code>, Trouble> {
    let tx = app.db.begin().await?;
    // Read again: it may have ended, or its user have been locked out, since the page was asked for.
    let read = session::by_id(tx.conn(), current.session.id, tx.now, &visit.config.session).await?;
    if !read.is_some_and(|now| session::is_fresh(&now.session, tx.now)) {
        return Ok(Err(Code::LinkStaleAuth));
    }
    let by_mail = user::has_mail(tx.conn(), current.user.id).await?;
    match identity::remove(&tx, current.user.id, mine.id, by_mail).await? {
        Removed::LastWay => return Ok(Err(Code::LinkLastMethod)),
        Removed::Gone => return Ok(Ok(false)),
        Removed::Done(_) => {}
    }
    let ended = session::end_of_identity(&tx, mine.id).await?;
    tokens.end(&tx, current.user.id, mine.id, &ended).await?;
    let event = Event::new(Kind::IdentityUnlinked)
        .user(current.user.id)
        .session(current.session.id);
    event
        .provider(&mine.provider)
        .caller(&visit.caller.network, &visit.caller.request_id)
        .record(&tx)
        .await?;
    told(
        &tx,
        current,
        &visit.tongue.tag,
        &mine.provider,
        LetterKind::ProviderDisconnected,
    )
    .await?;
    tx.commit().await?;
    app.outbox.notify_one();
    Ok(Ok(current.session.identity_id == Some(mine.id)))
}
