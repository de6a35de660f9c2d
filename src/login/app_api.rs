//! What the JSON APIs of the sign-in methods have in common: the token response, and CORS.

use poem::Request;
use poem_openapi::Object;

use super::first_party::IssuedTokens;
use crate::{app::App, client, web::cors};

/// Lets only pages of this client read the response.
pub fn allow_origins_of(app: &App, request: &Request, client_id: &str) {
    if let Some(client) = client::find(&app.config.get(), client_id) {
        cors::restrict_to_origins(request, &client.allowed_origins);
    }
}

/// Tokens (RFC 6749 §5.1).
#[derive(Debug, Object)]
pub struct Tokens {
    /// A JWT for the resource server (RFC 9068).
    pub access_token: String,
    /// Always `Bearer`.
    pub token_type: String,
    /// The lifetime of the access token in seconds.
    pub expires_in: u64,
    /// The ID token, if `openid` was granted.
    #[oai(skip_serializing_if_is_none)]
    pub id_token: Option<String>,
    /// For more access tokens (RFC 6749 §6), if the client may have one: with the scope
    /// `offline_access`, or always if it is registered so. It is valid once: the response to its
    /// use has the next one.
    #[oai(skip_serializing_if_is_none)]
    pub refresh_token: Option<String>,
    /// The granted scopes.
    pub scope: String,
    /// After a sign-in by email: the secret of this device. Keep it beside the tokens and after they
    /// have ended, and send it with each later login for this address: then no stranger's requests
    /// or wrong codes keep this device from its emails.
    #[oai(skip_serializing_if_is_none)]
    pub device_secret: Option<String>,
}

impl From<IssuedTokens> for Tokens {
    fn from(issued: IssuedTokens) -> Self {
        Self {
            access_token: issued.access_token,
            token_type: "Bearer".to_owned(),
            expires_in: issued.expires_in,
            id_token: issued.id_token,
            refresh_token: issued.refresh_token,
            scope: issued.scope,
            device_secret: None,
        }
    }
}
