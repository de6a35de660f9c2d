//! `/oauth2/introspect` (RFC 7662): what a token is worth now. Its own client and the clients that
//! may introspect its audience receive its claims. In any other case, and for a token that is not
//! live, the response is `{"active":false}` and nothing more.

use poem::{Body, Request, Response, handler, http::StatusCode, web::Data};
use serde_json::{Map, Value, json};

use super::{
    access_token::{self, TokenCheckError, UserParts},
    client_auth::{TokenRequest, authenticate_client},
    error::{EndpointError, json_response},
    exchange_rules,
    grant_check::holder_if_live,
    grant_store,
    possession::token_type,
    refresh_token::{FamilyPosition, RefreshToken},
    revoke::{KNOWN, MAX_TOKEN},
    scope,
};
use crate::{
    app::App,
    client,
    error::InfraError,
    key, user,
    web::{caller::Caller, params::Params},
};

/// `POST /oauth2/introspect`.
#[handler]
pub(crate) async fn introspect(Data(app): Data<&App>, request: &Request, body: Body) -> Response {
    let caller = Caller::from_request(request);
    match introspect_token(app, request, body, &caller).await {
        Ok(members) => {
            let inactive = || json!({ "active": false });
            json_response(StatusCode::OK, &members.unwrap_or_else(inactive))
        }
        Err(error) => error.into_response(&caller),
    }
}

async fn introspect_token(
    app: &App,
    request: &Request,
    body: Body,
    caller: &Caller,
) -> Result<Option<Value>, EndpointError> {
    let params = Params::read_form(request, body).await?;
    params.check_all(&KNOWN)?;
    let config = app.config.get();
    let request = authenticate_client(app, &config, request, &params, caller).await?;
    request.check_client_is_confidential()?;
    let token = params.required("token", MAX_TOKEN)?;
    Ok(match RefreshToken::parse(&app.macs.refresh, token) {
        Some(token) => introspect_refresh_token(&request, &token).await?,
        None => introspect_access_token(&request, token).await?,
    })
}

/// RFC 7662 §2.2: the token's own claims, but scope and roles as they are now, since the caller
/// does not want to wait until the token expires.
async fn introspect_access_token(
    request: &TokenRequest<'_>,
    token: &str,
) -> Result<Option<Value>, InfraError> {
    let TokenRequest {
        app,
        config,
        client,
        ..
    } = *request;
    let token = match access_token::find_active(app, config, token, UserParts::User).await {
        Ok(token) => token,
        Err(TokenCheckError::Inactive(_)) => return Ok(None),
        Err(TokenCheckError::Infra(error)) => return Err(error),
    };
    let is_own = token.client.client_id == client.client_id;
    let audience = config.resources.spelled(token.text("aud"));
    let mut introspects = client.introspects.iter();
    let introspects_audience = introspects.any(|name| config.resources.spelled(name) == audience);
    if !is_own && !introspects_audience {
        return Ok(None);
    }
    let grant = token.grant.as_ref().map(|active| &active.grant);
    let mut scope = exchange_rules::carried_now(config, token.client, &token.claims, grant);
    let mut members = token.claims;
    if let Some(active) = &token.grant {
        let roles = user::roles(&active.holder.user);
        scope = scope::limit_to_roles(&scope, &roles);
        members.insert("roles".to_owned(), roles.into());
    }
    members.insert("active".to_owned(), true.into());
    let is_bound = key::bound_key(&members).is_some();
    members.insert("token_type".to_owned(), token_type(is_bound).into());
    Ok(Some(with_scope(members, scope)))
}

/// A refresh token is active for its own client alone.
async fn introspect_refresh_token(
    request: &TokenRequest<'_>,
    token: &RefreshToken,
) -> Result<Option<Value>, InfraError> {
    let TokenRequest {
        app,
        config,
        client,
        ..
    } = *request;
    let (db, now) = (app.db.lookup(), app.clock().now());
    let Some(stored) = grant_store::find(db, token.family).await? else {
        return Ok(None);
    };
    let grant = &stored.grant;
    let position = token.position_in(grant, now);
    let is_live = matches!(position, FamilyPosition::Current | FamilyPosition::Repeated);
    let may_refresh = client::acts_for_users(client) && scope::allows_refresh(client, &grant.scope);
    if !is_live || !may_refresh || grant.client_id != client.client_id {
        return Ok(None);
    }
    let Some(idle_until) = grant.idle_until.filter(|until| *until > now) else {
        return Ok(None);
    };
    let Ok(holder) = holder_if_live(&stored, now, &config.session) else {
        return Ok(None);
    };
    let roles = user::roles(&holder.user);
    let granted = Some(grant.audience.as_str());
    let scope = exchange_rules::requestable(config, client, granted, &grant.scope);
    let scope = scope::limit_to_roles(&scope, &roles);
    // A first token that stays the same is as old as its grant, however often it was used (FS-3).
    let rotated_at = grant.rotated_at.filter(|_| grant.generation > 0);
    let issued_at = rotated_at.unwrap_or(grant.created_at);
    let members = [
        ("active", json!(true)),
        ("iss", json!(&*app.public_url)),
        ("sub", json!(holder.user.public_id.to_string())),
        ("client_id", json!(grant.client_id)),
        ("exp", json!(idle_until.min(grant.expires_at).seconds())),
        ("iat", json!(issued_at.seconds())),
        ("auth_time", json!(grant.auth_time.seconds())),
        ("acr", json!(grant.acr)),
    ];
    let members = members.map(|(name, value)| (name.to_owned(), value));
    Ok(Some(with_scope(members.into_iter().collect(), scope)))
}

/// RFC 6749 §3.3: a scope has at least one name. An empty one is left out.
fn with_scope(mut members: Map<String, Value>, scope: String) -> Value {
    members.remove("scope");
    if !scope.is_empty() {
        members.insert("scope".to_owned(), scope.into());
    }
    Value::Object(members)
}

#[cfg(test)]
mod tests;
