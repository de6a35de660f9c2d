//! Verifies access tokens that we issued: by their signature, and by whether their grant, user and
//! session are still live.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

use super::{
    actor, exchange_rules,
    grant_check::{GrantEnd, GrantHolder, holder_if_live},
    grant_store::{self, Grant, StoredGrant},
    issue::grant_of_jti,
};
use crate::{
    app::App,
    audit::AuditReason,
    client,
    config::{Client, GrantType, Reloadable},
    error::InfraError,
    key::{Claims, ExpectedToken, TokenError},
    user::UserEmail,
};

/// A live access token.
#[derive(Debug)]
pub(crate) struct ActiveToken<'a> {
    pub(crate) claims: Claims,
    /// The client that it was issued to. Of an exchanged token it is not the client of the grant.
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

/// Why a token stands for nothing now. The log has the word; the response is the same for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InactiveToken {
    /// It is none that we could have issued to anyone.
    Malformed,
    /// It is for no audience that we issue for.
    OtherAudience,
    /// We did not issue it as an access token, or do not accept it now.
    Refused(TokenError),
    /// It is an ID token.
    NoAccessToken,
    ClientRemoved,
    /// Its client may not use the grant type that it came from any more.
    GrantTypeRemoved,
    GrantUnknown,
    /// Its grant is another client's or user's.
    OtherGrant,
    /// It came from an exchange that is not allowed any more.
    ExchangeNotAllowed,
    GrantEnded(GrantEnd),
    /// It is bound to a key, and came as a bearer token.
    Bound,
    /// It is bound to no key, and came with the scheme that demands one.
    Unbound,
}

impl InactiveToken {
    /// Returns the reason code.
    #[must_use]
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Refused(TokenError::Expired) => "token_expired",
            Self::Refused(TokenError::NotYet | TokenError::IssuedAt) => "token_not_yet_valid",
            Self::Refused(TokenError::Key) => "token_key_unknown",
            Self::Refused(TokenError::Signature) => "token_signature",
            Self::Refused(TokenError::Issuer) => "token_issuer",
            Self::Refused(TokenError::Type) | Self::NoAccessToken => "token_type",
            Self::Malformed | Self::Refused(_) => "token_malformed",
            Self::OtherAudience => "token_audience",
            Self::ClientRemoved => "client_removed",
            Self::GrantTypeRemoved => "grant_type_removed",
            Self::GrantUnknown => "grant_unknown",
            Self::OtherGrant => "other_grant",
            Self::ExchangeNotAllowed => "exchange_not_allowed",
            Self::GrantEnded(end) => end.as_str(),
            Self::Bound => "token_bound",
            Self::Unbound => "token_unbound",
        }
    }
}

impl AuditReason for InactiveToken {
    fn word(self) -> &'static str {
        self.as_str()
    }
}

/// Why the check of a token found none that is live.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenCheckError {
    #[error("{0:?}")]
    Inactive(InactiveToken),
    #[error(transparent)]
    Infra(#[from] InfraError),
}

impl From<InactiveToken> for TokenCheckError {
    fn from(why: InactiveToken) -> Self {
        Self::Inactive(why)
    }
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
///
/// # Errors
/// Why it is no access token of ours.
pub(crate) fn verify_signed(
    app: &App,
    config: &Reloadable,
    token: &str,
) -> Result<Claims, InactiveToken> {
    // The one audience that the token names is checked, instead of all clients' audiences. It is
    // trusted only with the signature.
    let audience = unverified_audience(token).ok_or(InactiveToken::Malformed)?;
    if audience != *app.public_url && !client::is_audience(config, &audience) {
        return Err(InactiveToken::OtherAudience);
    }
    let verify = |typ: &&str| {
        let expect = ExpectedToken {
            typ,
            issuer: &app.public_url,
            audiences: &[&audience],
        };
        app.keys.verify(token, &expect)
    };
    let mut why = TokenError::Type;
    for typ in config.access_token_typ(&audience).accepted() {
        match verify(typ) {
            // Where `typ` does not tell the two apart, `client_id` does: no ID token has it.
            Ok(claims) if claims.contains_key("client_id") => return Ok(claims),
            Ok(_) => return Err(InactiveToken::NoAccessToken),
            Err(TokenError::Type) => {}
            Err(error) => why = error,
        }
    }
    Err(InactiveToken::Refused(why))
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
/// `offline_access` (UI-5, IN-2).
///
/// # Errors
/// Why it stands for nothing, for the log alone.
pub(crate) async fn find_active<'a>(
    app: &App,
    config: &'a Reloadable,
    token: &str,
    parts: UserParts,
) -> Result<ActiveToken<'a>, TokenCheckError> {
    let claims = verify_signed(app, config, token)?;
    let client = client::find(config, text_claim(&claims, "client_id"))
        .ok_or(InactiveToken::ClientRemoved)?;
    let Some(id) = grant_id(app, &claims) else {
        return Ok(own_token(claims, client)?);
    };
    let is_exchanged = actor::is_exchanged(&claims);
    if !is_exchanged && !client::acts_for_users(client) {
        return Err(InactiveToken::GrantTypeRemoved.into());
    }
    let (stored, address) = find_grant(app, id, parts)
        .await?
        .ok_or(InactiveToken::GrantUnknown)?;
    let holder = holder_if_live(&stored, app.clock().now(), &config.session)
        .map_err(InactiveToken::GrantEnded)?;
    let grant = stored.grant;
    let is_own = (is_exchanged || grant.client_id == client.client_id)
        && holder.user.public_id.to_string() == text_claim(&claims, "sub");
    if !is_own {
        return Err(InactiveToken::OtherGrant.into());
    }
    if is_exchanged {
        check_exchange(config, &claims, &grant)?;
    }
    Ok(ActiveToken {
        claims,
        client,
        grant: Some(ActiveGrant {
            grant,
            holder,
            address,
        }),
    })
}

/// A token that a client got for itself.
fn own_token(claims: Claims, client: &Client) -> Result<ActiveToken<'_>, InactiveToken> {
    if text_claim(&claims, "sub") != client.client_id {
        return Err(InactiveToken::OtherGrant);
    }
    if !client.grant_types.contains(&GrantType::ClientCredentials) {
        return Err(InactiveToken::GrantTypeRemoved);
    }
    Ok(ActiveToken {
        claims,
        client,
        grant: None,
    })
}

/// EX-5: the client of the grant may still act for users, and each exchange that led to the token is
/// still allowed.
fn check_exchange(
    config: &Reloadable,
    claims: &Claims,
    grant: &Grant,
) -> Result<(), InactiveToken> {
    let owner = client::find(config, &grant.client_id).ok_or(InactiveToken::ClientRemoved)?;
    if !client::acts_for_users(owner) {
        return Err(InactiveToken::GrantTypeRemoved);
    }
    let is_actor = actor::actors(claims).first() == Some(&text_claim(claims, "client_id"));
    if !is_actor || exchange_rules::allowed_now(config, claims, grant).is_none() {
        return Err(InactiveToken::ExchangeNotAllowed);
    }
    Ok(())
}

async fn find_grant(
    app: &App,
    id: Uuid,
    parts: UserParts,
) -> Result<Option<(StoredGrant, Option<UserEmail>)>, InfraError> {
    let db = app.db.lookup();
    match parts {
        UserParts::User => Ok(grant_store::find(db, id).await?.map(|grant| (grant, None))),
        UserParts::UserAndAddress => grant_store::find_with_address(db, id).await,
    }
}
