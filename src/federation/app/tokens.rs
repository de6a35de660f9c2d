//! The tokens for a redeemed code: the user is signed in, and the tokens are issued, in one unit of
//! work.

use super::code::{CodeSubject, RedeemError, Redeemable};
use crate::{
    app::App,
    config::Client,
    db::Tx,
    federation::linking::settle::{LinkContext, LinkOutcome, settle_in},
    login::first_party::{self, Issuance, IssuedTokens, TokenIssuer},
    session::{self, Session},
    telemetry::metrics,
    user::User,
    web::caller::Caller,
};

/// What an app requests with its code.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AppTokenRequest<'a> {
    pub scope: &'a str,
    /// The `nonce` of the ID token.
    pub nonce: Option<&'a str>,
    /// The thumbprint of the key to which the tokens are bound (RFC 9449).
    pub jkt: Option<&'a str>,
    pub caller: &'a Caller,
}

/// Signs the user in and issues tokens.
pub(crate) async fn issue(
    app: &App,
    tokens: &TokenIssuer,
    redeemable: &Redeemable,
    request: AppTokenRequest<'_>,
) -> Result<IssuedTokens, RedeemError> {
    let config = app.config.get();
    let client = first_party::find_app(&config, &redeemable.request.client_id)
        .ok_or_else(|| RedeemError::refused("its client is no app any more"))?;
    // LK-09: the second attempt sees the link that a concurrent first sign-in of this user created.
    for _ in 0..2 {
        let tx = app.db.begin().await?;
        let Some((session, user)) = sign_in(app, &tx, &redeemable.subject, request.caller).await?
        else {
            continue;
        };
        let issuance = Issuance {
            client,
            session: &session,
            user: &user,
            scope: request.scope,
            nonce: request.nonce,
            jkt: request.jkt,
        };
        let issued = tokens.issue(&tx, issuance, request.caller).await?;
        count_on_commit(&tx, client);
        tx.commit().await?;
        return Ok(issued);
    }
    Err(RedeemError::refused(
        "the account has changed since the callback",
    ))
}

fn count_on_commit(tx: &Tx, client: &Client) {
    let client_id = client.client_id.clone();
    tx.on_commit(move || metrics::tokens("upstream", &client_id));
}

/// Returns the session and its user, or `None` if a concurrent request has changed the account and
/// another attempt may succeed.
async fn sign_in(
    app: &App,
    tx: &Tx,
    subject: &CodeSubject,
    caller: &Caller,
) -> Result<Option<(Session, User)>, RedeemError> {
    match subject {
        CodeSubject::Session(id) => {
            let limits = &app.config.get().session;
            let current = session::find_live(tx.conn(), *id, tx.now, limits)
                .await?
                .ok_or_else(|| RedeemError::refused("the session has ended"))?;
            Ok(Some((current.session, current.user)))
        }
        CodeSubject::UpstreamLogin(login) => {
            let localizer = app.texts.negotiate("", &caller.accept_language);
            let context = LinkContext::for_app(&localizer.tag, caller);
            match settle_in(app, tx, login, context).await? {
                Some(LinkOutcome::SignedIn(signed_in)) => {
                    Ok(Some((signed_in.session, signed_in.user)))
                }
                Some(LinkOutcome::Refused(error)) => Err(error.into()),
                _ => Ok(None),
            }
        }
    }
}
