//! Verifies access tokens that we issued: by their signature, and by whether their grant, user and
//! session are still live.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

use super::{
    grant_check::{GrantHolder, holder_if_live},
    grant_store::{self, Grant, StoredGrant},
    issue::grant_of_jti,
};
use crate::{
    app::App,
    client,
    config::{Client, GrantType, Reloadable},
    error::InfraError,
    key::{Claims, ExpectedToken},
    user::UserEmail,
};

/// A live access token.
#[derive(Debug)]
pub(crate) struct ActiveToken<'a> {
    pub(crate) claims: Claims,
    /// The client that it was issued to.
    pub(crate) client: &'a Client,
    /// None if the client acts for itself.
    pub(crate) grant: Option<ActiveGrant>,
}

/// The grant of a live access token.
#[derive(Debug)]
pub(crate) struct ActiveGrant {
    pub(crate) grant: Grant,
    pub(crate) holder: GrantHolder,
    /// The user's primary address, if it was requested.
    pub(crate) address: Option<UserEmail>,
}

/// What is read of the user of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UserParts {
    User,
    UserAndAddress,
}

impl ActiveToken<'_> {
    /// Returns a claim that is a text; empty if it is absent.
    #[must_use]
    pub(crate) fn text(&self, name: &str) -> &str {
        text_claim(&self.claims, name)
    }
}

/// Returns a claim that is a text; empty if it is absent.
#[must_use]
pub(crate) fn text_claim<'a>(claims: &'a Claims, name: &str) -> &'a str {
    claims
        .get(name)
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default()
}

/// Verifies the signature and the claims of an access token, for any audience that we issue for
/// (RFC 9068 §4). Its grant is not looked up.
#[must_use]
pub(crate) fn verify_signed(app: &App, config: &Reloadable, token: &str) -> Option<Claims> {
    // The one audience that the token names is checked, instead of all clients' audiences. It is
    // trusted only with the signature.
    let audience = unverified_audience(token)?;
    if audience != *app.public_url && !client::is_audience(config, &audience) {
        return None;
    }
    let verify = |typ: &&str| {
        let expect = ExpectedToken {
            typ,
            issuer: &app.public_url,
            audiences: &[&audience],
        };
        app.keys.verify(token, &expect).ok()
    };
    let types = config.access_token_typ(&audience).accepted();
    // Where `typ` does not tell the two apart, `client_id` does: no ID token has it.
    let is_access_token = |claims: &Claims| claims.contains_key("client_id");
    types.iter().find_map(verify).filter(is_access_token)
}

fn unverified_audience(token: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Payload {
        aud: String,
    }
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let payload: Payload = serde_json::from_slice(&payload).ok()?;
    Some(payload.aud)
}

/// Returns the grant that the claims lead to; none for a client's own token.
#[must_use]
pub(crate) fn grant_id(app: &App, claims: &Claims) -> Option<Uuid> {
    grant_of_jti(&app.macs.jti, text_claim(claims, "jti"))
}

/// Finds what a live token stands for: signed by us, its client registered for the grant type that
/// it came from, its grant not revoked, its user active, and its session live unless it has
/// `offline_access` (UI-5, IN-2). None for any other token, without telling why.
pub(crate) async fn find_active<'a>(
    app: &App,
    config: &'a Reloadable,
    token: &str,
    parts: UserParts,
) -> Result<Option<ActiveToken<'a>>, InfraError> {
    let Some(claims) = verify_signed(app, config, token) else {
        return Ok(None);
    };
    let Some(client) = client::find(config, text_claim(&claims, "client_id")) else {
        return Ok(None);
    };
    let may_use = |grant_type| client.grant_types.contains(&grant_type);
    let Some(id) = grant_id(app, &claims) else {
        let is_own = text_claim(&claims, "sub") == client.client_id;
        let is_active = is_own && may_use(GrantType::ClientCredentials);
        return Ok(is_active.then_some(ActiveToken {
            claims,
            client,
            grant: None,
        }));
    };
    if !may_use(GrantType::AuthorizationCode) {
        return Ok(None);
    }
    let Some((stored, address)) = find_grant(app, id, parts).await? else {
        return Ok(None);
    };
    let Some(holder) = holder_if_live(&stored, app.clock().now(), &config.session) else {
        return Ok(None);
    };
    let grant = stored.grant;
    let is_active = grant.client_id == client.client_id
        && holder.user.public_id.to_string() == text_claim(&claims, "sub");
    Ok(is_active.then_some(ActiveToken {
        claims,
        client,
        grant: Some(ActiveGrant {
            grant,
            holder,
            address,
        }),
    }))
}

async fn find_grant(
    app: &App,
    id: Uuid,
    parts: UserParts,
) -> Result<Option<(StoredGrant, Option<UserEmail>)>, InfraError> {
    let db = app.db.read();
    match parts {
        UserParts::User => Ok(grant_store::find(db, id).await?.map(|grant| (grant, None))),
        UserParts::UserAndAddress => grant_store::find_with_address(db, id).await,
    }
}
