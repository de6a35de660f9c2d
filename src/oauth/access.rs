//! What an access token of ours is worth now: beyond its signature, whether its grant, person and session still count.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

use super::{
    claims::{ACCESS_TYP, grant_of},
    grant_store::{self, Grant, Holder},
};
use crate::{
    app::App,
    client,
    config::{GrantType, Reloadable},
    error::InfraError,
    key::{Claims, Expect},
};

/// An access token that counts.
#[derive(Debug)]
pub struct Live {
    /// What it says.
    pub claims: Claims,
    /// Whom it is about; none if the client acts for itself.
    pub person: Option<(Grant, Holder)>,
}

impl Live {
    /// A claim that is a text; empty if it is not there.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        text(&self.claims, name)
    }
}

/// A claim that is a text; empty if it is not there.
#[must_use]
pub fn text<'a>(claims: &'a Claims, name: &str) -> &'a str {
    claims
        .get(name)
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default()
}

/// The claims of an access token of ours for any audience that we issue for (RFC 9068 §4). Its grant is not looked at.
#[must_use]
pub fn verify(app: &App, config: &Reloadable, token: &str) -> Option<Claims> {
    // Of many clients' audiences one is compared. What the token claims is believed only with its signature.
    let audience = claimed_audience(token)?;
    if audience != *app.public_url && !client::is_audience(config, &audience) {
        return None;
    }
    let expect = Expect {
        typ: ACCESS_TYP,
        issuer: &app.public_url,
        audiences: &[&audience],
    };
    app.keys.verify(token, &expect).ok()
}

/// `aud` of a payload that nobody has verified.
fn claimed_audience(token: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Claimed {
        aud: String,
    }
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&payload)
        .ok()
        .map(|claimed: Claimed| claimed.aud)
}

/// The grant behind the claims; none for a client's own token.
#[must_use]
pub fn grant_id(app: &App, claims: &Claims) -> Option<Uuid> {
    grant_of(&app.macs.jti, text(claims, "jti"))
}

/// A token that still counts: signed by us, its client registered for the way in which it got it, its grant not revoked,
/// its person active, and its session live unless it has `offline_access` (UI-5, IN-2). None otherwise; nothing tells why.
///
/// # Errors
/// The database's own.
pub async fn live(app: &App, config: &Reloadable, token: &str) -> Result<Option<Live>, InfraError> {
    let Some(claims) = verify(app, config, token) else {
        return Ok(None);
    };
    let Some(client) = client::find(config, text(&claims, "client_id")) else {
        return Ok(None);
    };
    let may = |grant| client.grant_types.contains(&grant);
    let Some(id) = grant_id(app, &claims) else {
        let own = text(&claims, "sub") == client.client_id && may(GrantType::ClientCredentials);
        return Ok(own.then_some(Live {
            claims,
            person: None,
        }));
    };
    if !may(GrantType::AuthorizationCode) {
        return Ok(None);
    }
    let (db, now) = (app.db.read(), app.clock().now());
    let Some(grant) = grant_store::by_id(db, id).await? else {
        return Ok(None);
    };
    let Some(holder) = grant_store::holder(db, &grant, now, &config.session).await? else {
        return Ok(None);
    };
    let fits = grant.client_id == client.client_id
        && holder.user.public_id.to_string() == text(&claims, "sub");
    Ok(fits.then_some(Live {
        claims,
        person: Some((grant, holder)),
    }))
}
