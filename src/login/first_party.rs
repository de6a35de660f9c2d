//! Tokens for a first-party app that shows its own sign-in form, and their end.
//!
//! The sign-in methods call [`IssueTokens`], `oauth` implements it, and neither knows the other.

use std::{fmt, sync::Arc};

use uuid::Uuid;

use crate::{
    client,
    config::{Client, ClientAuth, GrantType, Reloadable},
    db::{Tx, TxFuture},
    session::Session,
    user::User,
    web::caller::Caller,
};

/// The implementation that the routes hand to the sign-in methods.
pub type TokenIssuer = Arc<dyn IssueTokens>;

/// What the API says of a client that [`find_app`] does not return.
pub const NOT_AN_APP: &str = "The client is unknown, or may not sign users in here. That takes app_sign_in = true and \
                              first_party = true in its registration, and no secret.";

/// Returns the client with this identifier, if it is an app that may show its own sign-in form: a
/// registered first-party client with `app_sign_in` (ST-09, OA-11) that may sign users in and has no
/// secret. Nothing here asks for a secret, and what a client must present elsewhere must not be
/// spared it here. Without the setting a stranger's program could begin a sign-in in the name of any
/// public client, and relay the code that it talks a user out of.
#[must_use]
pub fn find_app<'a>(config: &'a Reloadable, id: &str) -> Option<&'a Client> {
    client::find(config, id).filter(|client| {
        client.first_party
            && client.app_sign_in
            && client.grant_types.contains(&GrantType::AuthorizationCode)
            && client.token_endpoint_auth_method == ClientAuth::None
    })
}

/// What tokens are issued for.
#[derive(Clone, Copy, Debug)]
pub struct Issuance<'a> {
    pub client: &'a Client,
    /// The session that the sign-in started.
    pub session: &'a Session,
    pub user: &'a User,
    /// The requested scopes.
    pub scope: &'a str,
    /// The nonce for the ID token.
    pub nonce: Option<&'a str>,
    /// The thumbprint of the key to which the tokens are bound (RFC 9449).
    pub jkt: Option<&'a str>,
}

/// A token response (RFC 6749 §5.1).
#[derive(Debug)]
pub struct IssuedTokens {
    pub access_token: String,
    /// `Bearer`, or `DPoP` for tokens that are bound to a key.
    pub token_type: &'static str,
    /// The lifetime of the access token in seconds.
    pub expires_in: u64,
    /// The ID token, if `openid` was granted.
    pub id_token: Option<String>,
    /// The refresh token, if the app may have one.
    pub refresh_token: Option<String>,
    /// The granted scopes.
    pub scope: String,
}

/// Issues tokens for a sign-in, in its transaction, and revokes them.
pub trait IssueTokens: Send + Sync + fmt::Debug {
    /// Stores the grant and signs its tokens.
    fn issue<'a>(
        &'a self,
        tx: &'a Tx,
        issuance: Issuance<'a>,
        caller: &'a Caller,
    ) -> TxFuture<'a, IssuedTokens>;

    /// Revokes every grant that came from a sign-in by this linked account, and from these sessions
    /// of a user, also those with `offline_access`: the sign-in method behind them is gone. Signing
    /// out does not do this (BS-05). Returns how many.
    fn revoke_for_identity<'a>(
        &'a self,
        tx: &'a Tx,
        user: Uuid,
        identity: Uuid,
        sessions: &'a [Uuid],
    ) -> TxFuture<'a, u64>;
}
