//! `/oauth2/userinfo` (OIDC Core §5.3): what a person let the client know, as it is now.

use poem::{Body, Request, Response, handler, http::StatusCode, web::Data};
use serde::Serialize;

use super::{
    access, bearer,
    bearer::Denied,
    claims_request::{self, Reach, Told},
    error::json,
    scope,
};
use crate::{
    app::App,
    client,
    error::InfraError,
    web::{caller::Caller, cors},
};

/// The answer.
#[derive(Debug, Serialize)]
pub struct UserInfo {
    /// The user, as in the ID token.
    pub sub: String,
    /// What is told of them.
    #[serde(flatten)]
    pub told: Told,
}

/// `GET` and `POST /oauth2/userinfo`.
#[handler]
pub(crate) async fn userinfo(Data(app): Data<&App>, request: &Request, body: Body) -> Response {
    let caller = Caller::from_request(request);
    match answer(app, request, body).await {
        Ok(info) => json(StatusCode::OK, &info),
        Err(denied) => denied.answer(&caller),
    }
}

async fn answer(app: &App, request: &Request, body: Body) -> Result<serde_json::Value, Denied> {
    let token = bearer::token(request, body).await?;
    let config = app.config.get();
    let live = access::live(app, &config, &token)
        .await?
        .ok_or(Denied::Token)?;
    let client = client::find(&config, live.text("client_id")).ok_or(Denied::Token)?;
    cors::restrict_to_origins(request, &client.allowed_origins);
    // What ops have taken from the client since is gone here, too.
    let scope = &scope::granted(client, live.text("scope"));
    let Some((grant, holder)) = live.person.as_ref().filter(|_| scope::has(scope, "openid")) else {
        return Err(Denied::Scope("openid"));
    };
    let told = claims_request::at_userinfo(
        app.db.read(),
        &holder.user,
        &Reach {
            grant,
            client,
            scope,
        },
    )
    .await?;
    let info = UserInfo {
        sub: holder.user.public_id.to_string(),
        told,
    };
    serde_json::to_value(info).map_err(|error| InfraError::internal(error).into())
}

#[cfg(test)]
mod tests;
