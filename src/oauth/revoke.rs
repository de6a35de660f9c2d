//! `/oauth2/revoke` (RFC 7009): a client gives up a token. A refresh token and an access token both
//! end their grant at once, with every token that it gave.

use poem::{Body, Request, Response, handler, http::StatusCode, web::Data};
use uuid::Uuid;

use super::{
    access_token::{self, TokenCheckError, UserParts},
    actor,
    client_auth::{TokenRequest, authenticate_client},
    error::{EndpointError, ErrorCode, OauthError, json_response},
    grant_store,
    reason::Reason,
    refresh_token::RefreshToken,
};
use crate::{
    app::App,
    audit::Kind,
    web::{caller::Caller, params::Params},
};

/// The parameters of revocation and introspection. The hint is read by neither: a refresh token and
/// an access token cannot be mistaken for each other.
pub(super) const KNOWN: [&str; 6] = [
    "token",
    "token_type_hint",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
];

pub(super) const MAX_TOKEN: usize = 8 * 1024;

const OTHER_CLIENT: OauthError = OauthError::new(
    ErrorCode::InvalidGrant,
    "The token was issued to another client.",
)
.with_reason(Reason::OtherClient);

/// `POST /oauth2/revoke`.
#[handler]
pub(crate) async fn revoke(Data(app): Data<&App>, request: &Request, body: Body) -> Response {
    let caller = Caller::from_request(request);
    match revoke_token(app, request, body, &caller).await {
        Ok(()) => json_response(StatusCode::OK, &serde_json::json!({})),
        Err(error) => error.into_response(&caller),
    }
}

async fn revoke_token(
    app: &App,
    request: &Request,
    body: Body,
    caller: &Caller,
) -> Result<(), EndpointError> {
    let params = Params::read_form(request, body).await?;
    params.check_all(&KNOWN)?;
    let config = app.config.get();
    let request = authenticate_client(app, &config, request, &params, caller).await?;
    let token = params.required("token", MAX_TOKEN)?;
    match find_grant_id(&request, token).await? {
        Some(id) => revoke_grant(&request, id).await,
        // RFC 7009 §2.2: an unknown or dead token is as good as revoked.
        None => Ok(()),
    }
}

/// Finds the grant of a token; none if we know no such token.
async fn find_grant_id(
    request: &TokenRequest<'_>,
    token: &str,
) -> Result<Option<Uuid>, EndpointError> {
    let TokenRequest {
        app,
        config,
        client,
        ..
    } = *request;
    if let Some(token) = RefreshToken::parse(&app.macs.refresh, token) {
        return Ok(Some(token.family));
    }
    let Ok(claims) = access_token::verify_signed(app, config, token) else {
        return Ok(None);
    };
    if access_token::text_claim(&claims, "client_id") != client.client_id {
        return Err(OTHER_CLIENT.into());
    }
    if actor::is_exchanged(&claims) {
        return refuse_exchanged(request, token).await;
    }
    let description =
        "Tokens from client_credentials cannot be revoked. They end when they expire.";
    let id = access_token::grant_id(app, &claims).ok_or(OauthError::new(
        ErrorCode::UnsupportedTokenType,
        description,
    ))?;
    Ok(Some(id))
}

/// EX-5: the grant behind an exchanged token is another client's, and nothing of its own could end. A dead
/// one is as good as revoked.
async fn refuse_exchanged(
    request: &TokenRequest<'_>,
    token: &str,
) -> Result<Option<Uuid>, EndpointError> {
    let (app, config) = (request.app, request.config);
    match access_token::find_active(app, config, token, UserParts::User).await {
        Ok(_) => {
            let description =
                "An exchanged token cannot be revoked. It ends with the grant of its user.";
            Err(OauthError::new(ErrorCode::UnsupportedTokenType, description).into())
        }
        Err(TokenCheckError::Inactive(_)) => Ok(None),
        Err(TokenCheckError::Infra(error)) => Err(error.into()),
    }
}

/// RFC 7009 §2.1: a client revokes its own tokens alone; another client's stays valid (RV-3).
async fn revoke_grant(request: &TokenRequest<'_>, id: Uuid) -> Result<(), EndpointError> {
    let tx = request.app.db.begin().await?;
    let Some(grant) = grant_store::lock(&tx, id).await? else {
        return Ok(());
    };
    if grant.client_id != request.client.client_id {
        return Err(OTHER_CLIENT.into());
    }
    if grant_store::revoke(&tx, id).await? {
        request
            .event(Kind::TokenRevoked)
            .user(grant.user_id)
            .record(&tx)
            .await?;
    }
    Ok(tx.commit().await?)
}

#[cfg(test)]
mod tests;
