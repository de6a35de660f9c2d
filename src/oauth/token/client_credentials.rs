//! Tokens for a client that acts for itself (RFC 6749 §4.4): no person, no session, no row; they end by themselves.

use crate::{
    app::App,
    config::{Client, ClientAuth, Reloadable},
    oauth::{
        claims::{ACCESS_TYP, Access},
        error::{Code, OauthError},
        issue::{TokenResponse, after},
        refused::Refused,
        resource, scope,
    },
    secret::public_id,
    web::params::Params,
};

/// An access token whose `sub` is the client (RFC 9068 §2.2; the configuration keeps such identifiers apart from those
/// of users, §5). No refresh token (RFC 6749 §4.4.3), no ID token: nobody signed in.
///
/// # Errors
/// `unauthorized_client` for a public client (RFC 6749 §4.4), `invalid_scope` for a scope that is not its own,
/// `invalid_target` for a resource that is not.
pub fn tokens(
    app: &App,
    config: &Reloadable,
    client: &Client,
    params: &Params,
) -> Result<TokenResponse, Refused> {
    if client.token_endpoint_auth_method == ClientAuth::None {
        let words = "A public client cannot act for itself.";
        return Err(OauthError::new(Code::UnauthorizedClient, words).into());
    }
    let Some(scope) = scope::of_client(client, params.optional_within("scope", 1024)?) else {
        return Err(OauthError::new(
            Code::InvalidScope,
            "The client is not registered for this scope.",
        )
        .into());
    };
    let audience = resource::of_client(params, client, &app.public_url)?;
    let now = app.clock().now().seconds();
    let life = client.token_lifetimes(&config.token).access_seconds;
    let access = Access {
        iss: &app.public_url,
        sub: client.client_id.clone(),
        aud: &audience,
        exp: after(now, life),
        iat: now,
        jti: public_id().to_string(),
        client_id: &client.client_id,
        scope: &scope,
        person: None,
    };
    Ok(TokenResponse {
        access_token: app
            .keys
            .sign(client.access_token_alg, ACCESS_TYP, &access)?,
        token_type: "Bearer",
        expires_in: life,
        id_token: None,
        refresh_token: None,
        scope,
    })
}
