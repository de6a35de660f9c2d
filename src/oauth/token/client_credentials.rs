//! Tokens for a client that acts for itself (RFC 6749 §4.4): no user, no session and no row. They
//! cannot be revoked and end when they expire.

use crate::{
    client::resource::access_token_terms,
    config::{ClientAuth, GrantType},
    oauth::{
        client_auth::TokenRequest,
        error::{EndpointError, ErrorCode, OauthError},
        issue::{AccessTokenClaims, TokenResponse, expiry},
        possession::{Confirmation, token_type},
        resource, scope,
    },
    secret::public_id,
    ticket::Payer,
};

/// Issues an access token whose `sub` is the client (RFC 9068 §2.2; the configuration keeps client
/// identifiers apart from those of users, §5). There is no refresh token (RFC 6749 §4.4.3), and no
/// ID token since no user signed in.
///
/// # Errors
/// `unauthorized_client` for a public client (RFC 6749 §4.4), `invalid_scope` or `invalid_target`
/// for a scope or resource that is not the client's own.
pub(crate) async fn issue(request: &TokenRequest<'_>) -> Result<TokenResponse, EndpointError> {
    request.check_grant_type(GrantType::ClientCredentials)?;
    let TokenRequest {
        app,
        config,
        client,
        params,
        ..
    } = *request;
    if client.token_endpoint_auth_method == ClientAuth::None {
        let description = "A public client cannot use client_credentials.";
        return Err(OauthError::new(ErrorCode::UnauthorizedClient, description).into());
    }
    let requested = params.optional_within("scope", 1024)?;
    let audience = resource::choose_audience(params, None, config, client, &app.public_url)?;
    request.check_proof_for(&audience)?;
    let scope = scope::of_client_itself(config, client, &audience, requested)?;
    let terms = access_token_terms(config, client, &audience);
    request
        .claim_proof(Payer::Network(request.caller.ip))
        .await?;
    let now = app.clock().now().seconds();
    let claims = AccessTokenClaims {
        iss: &app.public_url,
        sub: client.client_id.clone(),
        aud: &audience,
        exp: expiry(now, terms.seconds),
        iat: now,
        jti: public_id().to_string(),
        client_id: &client.client_id,
        scope: &scope,
        cnf: Confirmation::of(request.jkt()),
        act: None,
        sign_in: None,
    };
    Ok(TokenResponse {
        access_token: app.keys.sign(terms.alg, terms.typ.as_str(), &claims)?,
        token_type: token_type(request.jkt().is_some()),
        expires_in: terms.seconds,
        id_token: None,
        refresh_token: None,
        scope,
        issued_token_type: None,
    })
}

#[cfg(test)]
mod tests;
