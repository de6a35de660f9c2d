//! `/oauth2/introspect` (RFC 7662): what a token is worth now, told to its own client and to whoever may ask for its
//! audience. For all others, and for whatever does not count, the answer is `{"active":false}` and nothing more.

use poem::{Body, Request, Response, handler, http::StatusCode, web::Data};
use serde_json::{Map, Value, json};

use super::{
    access,
    error::json as answer_json,
    grant_store,
    refresh::RefreshToken,
    refused::Refused,
    revoke::{KNOWN, MAX_TOKEN},
    scope,
    token::{
        client_auth,
        refresh_token::{Place, place},
    },
};
use crate::{
    app::App,
    client,
    config::{Client, GrantType, Reloadable},
    error::InfraError,
    user,
    web::{caller::Caller, params::Params},
};

/// `POST /oauth2/introspect`.
#[handler]
pub(crate) async fn introspect(Data(app): Data<&App>, request: &Request, body: Body) -> Response {
    let caller = Caller::from_request(request);
    match answer(app, request, body, &caller).await {
        Ok(told) => answer_json(
            StatusCode::OK,
            &told.unwrap_or_else(|| json!({ "active": false })),
        ),
        Err(refused) => refused.answer(&caller),
    }
}

async fn answer(
    app: &App,
    request: &Request,
    body: Body,
    caller: &Caller,
) -> Result<Option<Value>, Refused> {
    let params = Params::read_form(request, body).await?;
    params.check_all(&KNOWN)?;
    let config = app.config.get();
    let client = client_auth::confidential(app, &config, request, &params, caller).await?;
    let text = params.required("token", MAX_TOKEN)?;
    Ok(match RefreshToken::parse(&app.macs.refresh, text) {
        Some(token) => refresh(app, &config, client, &token).await?,
        None => access(app, &config, client, text).await?,
    })
}

/// RFC 7662 §2.2: what the token itself says, since it counts; but scope and roles as they are now. Who asks does not want
/// to wait until the token runs out.
async fn access(
    app: &App,
    config: &Reloadable,
    client: &Client,
    text: &str,
) -> Result<Option<Value>, InfraError> {
    let Some(live) = access::live(app, config, text).await? else {
        return Ok(None);
    };
    let own = live.text("client_id") == client.client_id;
    if !own
        && !client
            .introspects
            .iter()
            .any(|audience| audience == live.text("aud"))
    {
        return Ok(None);
    }
    let Some(holder) = client::find(config, live.text("client_id")) else {
        return Ok(None);
    };
    let mut scope = scope::granted(holder, live.text("scope"));
    let mut told = live.claims;
    if let Some((_, person)) = &live.person {
        let roles = user::roles(&person.user);
        scope = scope::of_person(&scope, &roles);
        told.insert("roles".to_owned(), roles.into());
    }
    told.insert("active".to_owned(), true.into());
    told.insert("token_type".to_owned(), "Bearer".into());
    Ok(Some(with_scope(told, scope)))
}

/// RFC 6749 §3.3: a scope names something; where nothing is left it is not told.
fn with_scope(mut told: Map<String, Value>, scope: String) -> Value {
    told.remove("scope");
    if !scope.is_empty() {
        told.insert("scope".to_owned(), scope.into());
    }
    Value::Object(told)
}

/// A refresh token is its client's alone.
async fn refresh(
    app: &App,
    config: &Reloadable,
    client: &Client,
    token: &RefreshToken,
) -> Result<Option<Value>, InfraError> {
    let (db, now) = (app.db.read(), app.clock().now());
    let Some(grant) = grant_store::by_id(db, token.family).await? else {
        return Ok(None);
    };
    let counts = matches!(place(&grant, token, now), Place::Current | Place::Repeated);
    let Some(idle) = grant.idle_until.filter(|until| *until > now) else {
        return Ok(None);
    };
    let may = client.grant_types.contains(&GrantType::AuthorizationCode)
        && scope::refreshes(client, &grant.scope);
    if !counts || !may || grant.client_id != client.client_id {
        return Ok(None);
    }
    let Some(holder) = grant_store::holder(db, &grant, now, &config.session).await? else {
        return Ok(None);
    };
    let scope = scope::of_person(
        &scope::granted(client, &grant.scope),
        &user::roles(&holder.user),
    );
    let told = [
        ("active", json!(true)),
        ("iss", json!(&*app.public_url)),
        ("sub", json!(holder.user.public_id.to_string())),
        ("client_id", json!(grant.client_id)),
        ("exp", json!(idle.min(grant.expires_at).seconds())),
        (
            "iat",
            json!(grant.rotated_at.unwrap_or(grant.created_at).seconds()),
        ),
        ("auth_time", json!(grant.auth_time.seconds())),
        ("acr", json!(grant.acr)),
    ];
    Ok(Some(with_scope(
        told.map(|(name, value)| (name.to_owned(), value))
            .into_iter()
            .collect(),
        scope,
    )))
}

#[cfg(test)]
mod tests;
