//! Receives logout tokens, by which Entree says that a session has ended (OpenID Connect Back-Channel Logout 1.0 §2.5
//! to §2.8). No browser comes along: what counts is the token alone, and it ends the sessions here that began from the
//! one that it names.

use std::{sync::Arc, time::Duration};

use jwt_compact::{AlgorithmExt as _, Claims, Empty, UntrustedToken, alg::Es256};
use lessons_api::keys::{Key, KeyError};
use poem::{
    Body, Request, handler,
    http::{StatusCode, header},
    web::Data,
};
use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::{Map, Value};
use url::form_urlencoded;

use crate::{
    App,
    id_token::{Audience, LEEWAY},
};

/// The member of `events` that makes a token a logout token.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// How old a token may be, in seconds. Entree's expire after two minutes.
const MAX_AGE: i64 = 180;

/// How long a `jti` is remembered: longer than its token is accepted.
const REMEMBERED: Duration = Duration::from_secs(300);

/// The most bytes of a request.
const MAX_BODY: usize = 16 * 1024;

/// Why a logout token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LogoutTokenError {
    /// The request is not a form with one logout token.
    #[error("not a logout request")]
    Request,
    /// The text is no token, is another kind of token, or is signed by another algorithm.
    #[error("not a logout token")]
    Kind,
    /// The key is not available.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The signature is wrong, or a claim is missing or malformed.
    #[error("wrong signature or malformed claims")]
    Signature,
    /// `iss` names another issuer.
    #[error("wrong issuer")]
    Issuer,
    /// `aud` names another client.
    #[error("wrong audience")]
    Audience,
    /// The token has expired, is old, or was issued in the future.
    #[error("not valid now")]
    Time,
    /// Neither `sub` nor `sid` is there.
    #[error("no subject")]
    Subject,
    /// It does not say that a session has ended.
    #[error("no logout event")]
    Event,
    /// A nonce makes it an ID token.
    #[error("has a nonce")]
    Nonce,
    /// The token was taken before, or there are too many to remember.
    #[error("taken before")]
    Again,
}

#[derive(Deserialize)]
struct LogoutToken {
    iss: String,
    aud: Audience,
    jti: String,
    sub: Option<String>,
    sid: Option<String>,
    events: Map<String, Value>,
    #[serde(default, rename = "nonce", deserialize_with = "is_there")]
    has_nonce: bool,
}

/// Returns `true` for a member with any value, null included.
fn is_there<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(value).map(|_| true)
}

/// Which sessions a token ends.
#[derive(Clone, Debug, PartialEq, Eq)]
struct EndedSession {
    sub: Option<String>,
    sid: Option<String>,
    jti: String,
}

/// What a token must match.
struct Expected<'a> {
    issuer: &'a str,
    client_id: &'a str,
    /// Seconds since 1970.
    now: i64,
}

/// Ends the sessions that the token names: 200, also if there is none, or 400 (§2.8).
#[handler]
pub(crate) async fn receive(
    request: &Request,
    Data(app): Data<&Arc<App>>,
    body: Body,
) -> StatusCode {
    match end_named(app, request, body).await {
        Ok(ended) => {
            tracing::info!(ended, "Entree has ended a session");
            StatusCode::OK
        }
        Err(why) => {
            tracing::info!(%why, "logout token refused");
            StatusCode::BAD_REQUEST
        }
    }
}

async fn end_named(app: &App, request: &Request, body: Body) -> Result<usize, LogoutTokenError> {
    let token = read_token(request, body).await?;
    let token = UntrustedToken::new(&token).map_err(|_| LogoutTokenError::Kind)?;
    let key = app.keys.find(&app.issuer, kid(&token)?).await?;
    let expected = Expected {
        issuer: app.issuer.url(),
        client_id: &app.client_id,
        now: lessons_api::now(),
    };
    let named = check(&token, &key, &expected)?;
    // Last, so that only Entree can use up the space.
    if !app.logout_ids.put_new(named.jti, (), REMEMBERED) {
        return Err(LogoutTokenError::Again);
    }
    let (sub, sid) = (named.sub, named.sid);
    Ok(app.sessions.remove_where(|session| {
        let is_sub = sub.as_ref().is_none_or(|sub| *sub == session.sub);
        is_sub && (sid.is_none() || sid == session.sid)
    }))
}

/// Returns the one field `logout_token` of the form (§2.5).
async fn read_token(request: &Request, body: Body) -> Result<String, LogoutTokenError> {
    let kind = request.header(header::CONTENT_TYPE).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(LogoutTokenError::Request);
    }
    let body = body.into_bytes_limit(MAX_BODY).await;
    let body = body.map_err(|_| LogoutTokenError::Request)?;
    let mut tokens = form_urlencoded::parse(&body).filter(|(name, _)| name == "logout_token");
    match (tokens.next(), tokens.next()) {
        (Some((_, token)), None) => Ok(token.into_owned()),
        _ => Err(LogoutTokenError::Request),
    }
}

/// An ID token and an access token have other types, although the same keys sign them.
fn kid<'a>(token: &'a UntrustedToken<'_>) -> Result<&'a str, LogoutTokenError> {
    let header = token.header();
    let kind = header.token_type.as_deref().unwrap_or_default();
    if token.algorithm() != "ES256" || !kind.eq_ignore_ascii_case("logout+jwt") {
        return Err(LogoutTokenError::Kind);
    }
    Ok(header.key_id.as_deref().ok_or(KeyError::Unknown)?)
}

/// §2.6.
fn check(
    token: &UntrustedToken<'_, Empty>,
    key: &Key,
    expected: &Expected<'_>,
) -> Result<EndedSession, LogoutTokenError> {
    let token = Es256
        .validator::<LogoutToken>(key)
        .validate(token)
        .map_err(|_| LogoutTokenError::Signature)?;
    let (_, claims): (_, Claims<LogoutToken>) = token.into_parts();
    let now = expected.now;
    let exp = claims.expiration.ok_or(LogoutTokenError::Time)?.timestamp();
    let iat = claims.issued_at.ok_or(LogoutTokenError::Time)?.timestamp();
    let is_old = now >= exp.saturating_add(LEEWAY) || now.saturating_sub(iat) > MAX_AGE;
    if is_old || iat > now.saturating_add(LEEWAY) {
        return Err(LogoutTokenError::Time);
    }
    let claims = claims.custom;
    if claims.iss != expected.issuer {
        return Err(LogoutTokenError::Issuer);
    }
    if !claims.aud.is_only(expected.client_id) {
        return Err(LogoutTokenError::Audience);
    }
    if claims.sub.is_none() && claims.sid.is_none() {
        return Err(LogoutTokenError::Subject);
    }
    if !claims.events.get(EVENT).is_some_and(Value::is_object) {
        return Err(LogoutTokenError::Event);
    }
    if claims.has_nonce {
        return Err(LogoutTokenError::Nonce);
    }
    Ok(EndedSession {
        sub: claims.sub,
        sid: claims.sid,
        jti: claims.jti,
    })
}

#[cfg(test)]
#[path = "logout_tests.rs"]
mod tests;
