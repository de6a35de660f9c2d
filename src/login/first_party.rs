//! Tokens for a first-party app that draws its own sign-in form: the ways in ask for them here, the protocol room
//! makes them, and neither knows the other.

use crate::{config::Client, db::Tx, mail::Work, session::Session, user::User, web::caller::Caller};

/// For whom tokens are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Issue<'a> {
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
pub struct Issued {
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

/// Makes tokens for a sign-in, in its unit of work.
pub trait IssueTokens: Send + Sync + std::fmt::Debug {
    /// Stores the grant and signs its tokens.
    fn issue<'a>(&'a self, tx: &'a Tx, issue: Issue<'a>, caller: &'a Caller) -> Work<'a, Issued>;
}
