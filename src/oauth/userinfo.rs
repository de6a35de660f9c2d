//! `/oauth2/userinfo` (OIDC Core §5.3): what a person let the client know, as it is now.

use poem::{Body, Request, Response, handler, http::StatusCode, web::Data};
use serde::Serialize;

use super::{access, bearer, bearer::Denied, error::json, scope};
use crate::{
    app::App,
    client, user,
    web::{caller::Caller, cors, error::Failure},
};

/// The claims (OIDC Core §5.1). What is not known is left out, never null or blank (CL-2).
#[derive(Debug, Default, Serialize)]
pub struct UserInfo {
    /// The user, as in the ID token.
    pub sub: String,
    /// Display name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// BCP 47 tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// Last change of the profile, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<i64>,
    /// The address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Whether it was proven, to us or by a provider that runs it (CL-4).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email_verified: Option<bool>,
}

/// `GET` and `POST /oauth2/userinfo`.
#[handler]
pub async fn userinfo(Data(app): Data<&App>, request: &Request, body: Body) -> Response {
    let caller = Caller::of(request);
    match answer(app, request, body).await {
        Ok(info) => json(StatusCode::OK, &info),
        Err(denied) => denied.answer(&caller),
    }
}

async fn answer(app: &App, request: &Request, body: Body) -> Result<serde_json::Value, Denied> {
    let token = bearer::token(request, body).await?;
    let config = app.config.get();
    let live = access::live(app, &config, &token).await?.ok_or(Denied::Token)?;
    if let Some(client) = client::find(&config, live.text("client_id")) {
        cors::spoken_by(request, &client.allowed_origins);
    }
    let scope = live.text("scope");
    let Some((_, holder)) = live.person.as_ref().filter(|_| scope::has(scope, "openid")) else {
        return Err(Denied::Scope("openid"));
    };
    let info = claims(app, &holder.user, scope).await?;
    serde_json::to_value(info).map_err(|error| Failure::internal(error).into())
}

/// Only what the granted scopes stand for (OIDC Core §5.4, CL-3).
async fn claims(app: &App, user: &user::User, granted: &str) -> Result<UserInfo, Failure> {
    let known = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
    let mut info = UserInfo { sub: user.public_id.to_string(), ..UserInfo::default() };
    if scope::has(granted, "profile") {
        info.name = known(&user.name);
        info.locale = known(&user.locale);
        info.updated_at = Some(user.updated_at.seconds());
    }
    if scope::has(granted, "email")
        && let Some(row) = user::address_of(app.db.read(), user.id).await?
    {
        info.email = Some(row.email);
        info.email_verified = Some(row.verified_at.is_some());
    }
    Ok(info)
}

#[cfg(test)]
mod tests;
