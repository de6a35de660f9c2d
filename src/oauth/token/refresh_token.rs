//! Refreshing (RFC 6749 §6, RFC 9700 §4.14.2): each use gives a new token, and an old one that comes back ends all.
//!
//! The row is locked, so that of a hundred uses at once one rotates. The others repeat a token that was just used: for
//! a minute, and until its successor is used, they get that same successor, because a client that lost the answer, or
//! asks from several places, is no thief (DESIGN §8). Later, or with any older token, somebody has a copy.

use std::time::Duration;

use crate::{
    app::App,
    audit::{Event, Kind},
    clock::Time,
    config::{self, Client, Reloadable},
    db::Tx,
    error::InfraError,
    oauth::{
        claims_request::wanted,
        consent_store,
        error::{Code, OauthError},
        grant_store::{self, Grant, Rotation},
        issue::{self, Subject, TokenResponse},
        refresh::RefreshToken,
        refused::Refused,
        resource, scope,
    },
    secret::Hash,
    session,
    web::{caller::Caller, params::Params},
};

/// How long the token before the current one is answered with the current one (RF-7).
const GRACE: Duration = Duration::from_secs(60);

/// Where a token stands in its family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The one to use.
    Current,
    /// The one before, used a moment ago: it gives the current one.
    Repeated,
    /// Used up: somebody has a copy.
    Reused,
    /// None of this family's.
    Foreign,
}

/// Where `token` stands in `grant` now. A secret that is not the stored one is foreign and ends nothing; of older
/// generations no hash is kept, and the MAC says that the token was ours.
#[must_use]
pub fn place(grant: &Grant, token: &RefreshToken, now: Time) -> Place {
    let given = token.secret.hash();
    let is = |column: Option<&[u8]>| {
        column
            .and_then(Hash::from_column)
            .is_some_and(|hash| hash == given)
    };
    match grant.generation.saturating_sub(token.generation) {
        0 if is(grant.current_hash.as_deref()) => Place::Current,
        1 if !is(grant.previous_hash.as_deref()) => Place::Foreign,
        1 if grant.rotated_at.is_some_and(|at| now.since(at) <= GRACE) => Place::Repeated,
        1.. => Place::Reused,
        _ => Place::Foreign,
    }
}

const fn invalid_grant(reason: &'static str) -> OauthError {
    OauthError::because(
        Code::InvalidGrant,
        "The refresh token is wrong, expired, used or another client's.",
        reason,
    )
}

/// Tokens for a refresh token.
///
/// # Errors
/// `invalid_grant` for a token that is none of ours, another client's, used up, idle for too long, or whose grant has
/// ended; `invalid_scope` or `invalid_target` if more is asked for than was granted. A token of another client, or with another secret,
/// changes nothing.
pub async fn refresh(
    app: &App,
    config: &Reloadable,
    client: &Client,
    params: &Params,
    caller: &Caller,
) -> Result<TokenResponse, Refused> {
    let text = params.optional_within("refresh_token", 1024)?;
    let text = text.ok_or(OauthError::new(
        Code::InvalidRequest,
        "The parameter refresh_token is missing.",
    ))?;
    let asked = params.optional_within("scope", 1024)?;
    let token = RefreshToken::parse(&app.macs.refresh, text).ok_or(invalid_grant("malformed"))?;
    let tx = app.db.begin().await?;
    let grant = grant_store::lock(&tx, token.family)
        .await?
        .ok_or(invalid_grant("unknown"))?;
    if grant.client_id != client.client_id {
        return Err(invalid_grant("other_client").into());
    }
    if grant.revoked_at.is_some() {
        return Err(invalid_grant("revoked").into());
    }
    let place = place(&grant, &token, tx.now);
    if place == Place::Reused {
        return Err(end_family(tx, &grant, client, caller).await?.into());
    }
    let holder = alive(&tx, &grant, client, config).await?;
    let scope = scope::narrowed(&grant.scope, asked);
    let scope = scope.ok_or(OauthError::new(
        Code::InvalidScope,
        "The scope is wider than what was granted.",
    ))?;
    let audience = resource::chosen(params, &grant.audience, client, &app.public_url)?;
    let next = match place {
        Place::Current => rotate(app, &client.token_lifetimes(&config.token), &tx, &grant).await?,
        Place::Repeated => repeated(app, &grant).ok_or(invalid_grant("successor_unreadable"))?,
        Place::Reused | Place::Foreign => return Err(invalid_grant("foreign").into()),
    };
    // OIDC Core §12.2: the ID token of a refresh has no nonce, and the auth_time of the sign-in.
    let subject = Subject {
        grant: &grant,
        user: &holder.user,
        client,
        scope: &scope,
        audience: &audience,
        nonce: None,
    };
    let mut tokens = issue::tokens(app, config, &tx, &subject).await?;
    tokens.refresh_token = Some(next.to_text(&app.macs.refresh));
    tx.commit().await?;
    Ok(tokens)
}

/// RF-9: the grant, its person and its session still count, the client may still refresh, and the family was not idle.
async fn alive(
    tx: &Tx,
    grant: &Grant,
    client: &Client,
    config: &Reloadable,
) -> Result<grant_store::Holder, Refused> {
    if !scope::refreshes(client, &grant.scope) {
        return Err(invalid_grant("not_allowed").into());
    }
    if grant.idle_until.is_none_or(|until| until <= tx.now) {
        return Err(invalid_grant("idle").into());
    }
    let holder = grant_store::holder(tx.conn(), grant, tx.now, &config.session).await?;
    let holder = holder.ok_or(invalid_grant("ended"))?;
    let wanted = wanted(&grant.scope, &grant.claims);
    if !client.first_party
        && !consent_store::covers(tx.conn(), &holder.user, &client.client_id, &wanted).await?
    {
        // Also one that was first-party, and whose people nobody has asked.
        return Err(invalid_grant("no_consent").into());
    }
    if let Some(session) = holder
        .session
        .as_ref()
        .filter(|session| session.browser_hash.is_none())
    {
        // An app's session has no browser that could use it: a refresh is its use.
        session::record_use(tx.conn(), session, tx.now).await?;
    }
    Ok(holder)
}

async fn rotate(
    app: &App,
    lives: &config::Token,
    tx: &Tx,
    grant: &Grant,
) -> Result<RefreshToken, InfraError> {
    let next = RefreshToken::generate(grant.id, grant.generation.saturating_add(1));
    let rotation = Rotation {
        hash: next.secret.hash().to_column(),
        successor: next.seal(&app.macs.successor),
        idle_until: tx.now + Duration::from_secs(lives.refresh_idle_seconds),
    };
    if grant_store::rotate(tx, grant, rotation).await? {
        return Ok(next);
    }
    Err(InfraError::Conflict(
        "a refresh family changed under its lock".to_owned(),
    ))
}

fn repeated(app: &App, grant: &Grant) -> Option<RefreshToken> {
    let sealed = grant.successor.as_deref()?;
    RefreshToken::open(&app.macs.successor, grant.id, grant.generation, sealed)
}

/// RFC 9700 §4.14.2: a used token came back. Nobody can tell thief from owner, so that the whole grant ends.
async fn end_family(
    tx: Tx,
    grant: &Grant,
    client: &Client,
    caller: &Caller,
) -> Result<OauthError, InfraError> {
    grant_store::revoke(&tx, grant.id).await?;
    Event::new(Kind::TokenRefused)
        .reason("refresh_token_reused")
        .user(grant.user_id)
        .client(Some(&client.client_id))
        .caller(&caller.network, &caller.request_id)
        .record(&tx)
        .await?;
    tx.commit().await?;
    Ok(invalid_grant("reused"))
}
