//! The logout token (Back-Channel Logout 1.0 §2.4).

use serde::Serialize;

use super::queue::Row;
use crate::{app::App, config::Client, error::InfraError, oauth::issue::expiry, secret};

/// RFC 8725 §3.11: no other token of ours has this type, so that none passes for another.
pub(super) const LOGOUT_TYP: &str = "logout+jwt";

/// The lifetime of a logout token in seconds: one is signed for each attempt.
const LIFETIME: u64 = 120;

/// The claims of a logout token. There is no nonce, so that it never passes for an ID token.
#[derive(Debug, Serialize)]
struct LogoutTokenClaims<'a> {
    iss: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
    jti: String,
    /// As in the ID tokens of this client.
    sub: String,
    /// As in the ID tokens of this session.
    sid: String,
    events: Events,
}

#[derive(Debug, Default, Serialize)]
struct Events {
    #[serde(rename = "http://schemas.openid.net/event/backchannel-logout")]
    backchannel_logout: NoMembers,
}

/// An empty JSON object.
#[derive(Debug, Default, Serialize)]
struct NoMembers {}

/// Signs a logout token with the algorithm of the client's ID tokens.
///
/// # Errors
/// The keys cannot sign now.
pub(super) fn sign(app: &App, client: &Client, row: &Row) -> Result<String, InfraError> {
    let now = app.clock().now().seconds();
    let claims = LogoutTokenClaims {
        iss: &app.public_url,
        aud: &client.client_id,
        iat: now,
        exp: expiry(now, LIFETIME),
        jti: secret::public_id().to_string(),
        sub: row.sub.to_string(),
        sid: row.session_id.to_string(),
        events: Events::default(),
    };
    app.keys
        .sign(client.id_token_signed_response_alg, LOGOUT_TYP, &claims)
}
