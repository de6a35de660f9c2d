//! `/oauth2/revoke` (RFC 7009): a client gives up what it holds. Refresh token and access token both end their grant,
//! with everything that it gave, at once.

use poem::{Body, Request, Response, handler, http::StatusCode, web::Data};
use uuid::Uuid;

use super::{
    access,
    error::{Code, OauthError, json},
    grant_store,
    refresh::RefreshToken,
    refused::Refused,
    token::client_auth,
};
use crate::{
    app::App,
    audit::{Event, Kind},
    config::{Client, Reloadable},
    web::{caller::Caller, params::Params},
};

/// Every parameter that means something at revocation and introspection. The hint means nothing: the two kinds of
/// tokens cannot be taken for each other.
pub(super) const KNOWN: [&str; 6] = [
    "token",
    "token_type_hint",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
];

/// The longest token that is looked at.
pub(super) const MAX_TOKEN: usize = 8 * 1024;

const OTHERS: OauthError = OauthError::because(
    Code::InvalidGrant,
    "The token was issued to another client.",
    "other_client",
);

/// `POST /oauth2/revoke`.
#[handler]
pub(crate) async fn revoke(Data(app): Data<&App>, request: &Request, body: Body) -> Response {
    let caller = Caller::from_request(request);
    match answer(app, request, body, &caller).await {
        Ok(()) => json(StatusCode::OK, &serde_json::json!({})),
        Err(refused) => refused.answer(&caller),
    }
}

async fn answer(app: &App, request: &Request, body: Body, caller: &Caller) -> Result<(), Refused> {
    let params = Params::read_form(request, body).await?;
    params.check_all(&KNOWN)?;
    let config = app.config.get();
    let client = client_auth::authenticate(app, &config, request, &params, caller).await?;
    let text = params.required("token", MAX_TOKEN)?;
    match grant_behind(app, &config, client, text)? {
        Some(id) => end(app, client, id, caller).await,
        // RFC 7009 §2.2: unknown and dead tokens are as good as revoked.
        None => Ok(()),
    }
}

/// The grant that a token of this client belongs to; none if we know no such token.
fn grant_behind(
    app: &App,
    config: &Reloadable,
    client: &Client,
    text: &str,
) -> Result<Option<Uuid>, OauthError> {
    if let Some(token) = RefreshToken::parse(&app.macs.refresh, text) {
        return Ok(Some(token.family));
    }
    let Some(claims) = access::verify(app, config, text) else {
        return Ok(None);
    };
    if access::text(&claims, "client_id") != client.client_id {
        return Err(OTHERS);
    }
    match access::grant_id(app, &claims) {
        Some(id) => Ok(Some(id)),
        // A token for the client itself has no grant to end.
        None => Err(OauthError::new(
            Code::UnsupportedTokenType,
            "Tokens of client_credentials end by themselves.",
        )),
    }
}

/// RFC 7009 §2.1: only the client's own; another's is refused and lives on (RV-3).
async fn end(app: &App, client: &Client, id: Uuid, caller: &Caller) -> Result<(), Refused> {
    let tx = app.db.begin().await?;
    let Some(grant) = grant_store::lock(&tx, id).await? else {
        return Ok(());
    };
    if grant.client_id != client.client_id {
        return Err(OTHERS.into());
    }
    if grant_store::revoke(&tx, id).await? {
        Event::new(Kind::TokenRevoked)
            .user(grant.user_id)
            .client(Some(&client.client_id))
            .caller(&caller.network, &caller.request_id)
            .record(&tx)
            .await?;
    }
    Ok(tx.commit().await?)
}

#[cfg(test)]
mod tests;
