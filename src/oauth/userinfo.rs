//! `/oauth2/userinfo` (OIDC Core §5.3): the claims that the user lets the client receive, as they
//! are now.

use poem::{
    Body, Request, Response, handler,
    http::{Method, StatusCode},
    web::Data,
};
use serde::Serialize;

use super::{
    access_token::{ActiveGrant, UserParts},
    bearer::{self, ProtectedEndpoint, TokenRefusal},
    error::{json_response, with_dpop_nonce},
    scope,
    user_claims::{self, ClaimFilter, UserClaims},
};
use crate::{
    app::App,
    error::InfraError,
    web::{caller::Caller, cors},
};

#[derive(Debug, Serialize)]
struct UserInfo {
    /// As in the ID token.
    sub: String,
    #[serde(flatten)]
    claims: UserClaims,
}

/// Where access tokens come to here.
const ENDPOINT: ProtectedEndpoint = ProtectedEndpoint {
    path: "/oauth2/userinfo",
    parts: UserParts::UserAndAddress,
};

/// `GET`, `HEAD` and `POST /oauth2/userinfo`.
#[handler]
pub(crate) async fn userinfo(Data(app): Data<&App>, request: &Request, body: Body) -> Response {
    let mut response = match load(app, request, body).await {
        Ok((claims, nonce)) => {
            with_dpop_nonce(json_response(StatusCode::OK, &claims), nonce.as_deref())
        }
        Err(refusal) => refusal.into_response(&Caller::from_request(request)),
    };
    if *request.method() == Method::HEAD {
        response.set_body(());
    }
    response
}

/// Returns the claims, and the nonce that the client's next proof shows.
async fn load(
    app: &App,
    request: &Request,
    body: Body,
) -> Result<(serde_json::Value, Option<String>), TokenRefusal> {
    let config = app.config.get();
    let bearer = bearer::authenticate(app, &config, request, body, ENDPOINT).await?;
    let token = &bearer.token;
    Caller::from_request(request).log_line.always_write();
    cors::restrict_to_origins(request, &token.client.allowed_origins);
    // A scope that an operator has taken from the client since is gone here, too.
    let audience = Some(token.text("aud"));
    let scope = scope::grantable(&config, token.client, audience, token.text("scope"));
    let has_openid = scope::has(&scope, "openid");
    let Some(active) = token.grant.as_ref().filter(|_| has_openid) else {
        return Err(bearer.lacks_scope("openid"));
    };
    let ActiveGrant {
        grant,
        holder,
        address,
    } = active;
    let filter = ClaimFilter {
        grant,
        client: token.client,
        scope: &scope,
    };
    let claims = user_claims::for_userinfo(&holder.user, address.as_ref(), &filter);
    let sub = holder.user.public_id.to_string();
    let info = UserInfo { sub, claims };
    let claims = serde_json::to_value(info).map_err(InfraError::internal)?;
    Ok((claims, bearer.next_nonce))
}

#[cfg(test)]
mod tests;
