//! Tokens for a first-party app that draws its own sign-in form, and the end of what a way in has
//! given: the ways in ask here, the protocol room does it, and neither knows the other.

use std::sync::Arc;

use poem::Request;
use poem_openapi::Object;
use uuid::Uuid;

use crate::{
    app::App,
    client,
    config::{Client, ClientAuth, GrantType, Reloadable},
    db::{Tx, TxFuture},
    session::Session,
    user::User,
    web::{caller::Caller, cors},
};

/// The protocol room's maker of tokens, as the routes hand it in.
pub type TokenIssuer = Arc<dyn IssueTokens>;

/// Only registered first-party clients may draw our form (ST-09), and of those the ones that
/// may sign people in and have no secret: nothing here asks for it, and what a client has to show
/// elsewhere must not be spared it here.
#[must_use]
pub fn find_app<'a>(config: &'a Reloadable, id: &str) -> Option<&'a Client> {
    let is_app = |client: &&Client| {
        let signs_in = client.grant_types.contains(&GrantType::AuthorizationCode);
        client.first_party && signs_in && client.token_endpoint_auth_method == ClientAuth::None
    };
    client::find(config, id).filter(is_app)
}

/// Only pages of the app that speaks read the answer.
pub fn allow_origins_of(app: &App, request: &Request, client_id: &str) {
    if let Some(client) = client::find(&app.config.get(), client_id) {
        cors::restrict_to_origins(request, &client.allowed_origins);
    }
}

/// For whom tokens are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Issuance<'a> {
    /// The app.
    pub client: &'a Client,
    /// The session that the sign-in made.
    pub session: &'a Session,
    /// Its user.
    pub user: &'a User,
    /// Scopes asked for.
    pub scope: &'a str,
    /// For the ID token.
    pub nonce: Option<&'a str>,
}

/// A token response (RFC 6749 §5.1).
#[derive(Debug)]
pub struct IssuedTokens {
    /// The access token.
    pub access_token: String,
    /// Its life in seconds.
    pub expires_in: u64,
    /// The ID token, if `openid` was granted.
    pub id_token: Option<String>,
    /// The refresh token, where the app may have one.
    pub refresh_token: Option<String>,
    /// What was granted.
    pub scope: String,
}

/// Makes tokens for a sign-in, in its unit of work, and ends them.
pub trait IssueTokens: Send + Sync + std::fmt::Debug {
    /// Stores the grant and signs its tokens.
    fn issue<'a>(
        &'a self,
        tx: &'a Tx,
        issue: Issuance<'a>,
        caller: &'a Caller,
    ) -> TxFuture<'a, IssuedTokens>;

    /// Ends every grant that came from a sign-in by this account at a provider, and from these
    /// sessions of a user, also those with `offline_access`: the way in that began them counts no
    /// more. Signing out does not do this (BS-05).
    fn revoke_for_identity<'a>(
        &'a self,
        tx: &'a Tx,
        user: Uuid,
        identity: Uuid,
        sessions: &'a [Uuid],
    ) -> TxFuture<'a, u64>;
}

/// Tokens (RFC 6749 §5.1).
#[derive(Debug, Object)]
pub struct Tokens {
    /// A JWT for the resource server (RFC 9068).
    pub access_token: String,
    /// Always `Bearer`.
    pub token_type: String,
    /// Seconds.
    pub expires_in: u64,
    /// If `openid` was granted.
    #[oai(skip_serializing_if_is_none)]
    pub id_token: Option<String>,
    /// For more access tokens (RFC 6749 §6), where the client may have one: with the scope
    /// `offline_access`, or always if it is registered so. Good once: the answer to its use has the
    /// next one.
    #[oai(skip_serializing_if_is_none)]
    pub refresh_token: Option<String>,
    /// What was granted.
    pub scope: String,
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
        }
    }
}
