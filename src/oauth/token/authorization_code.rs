//! Exchanging a code (RFC 6749 §4.1.3, RFC 7636 §4.5): look, check, claim, then one transaction (RD-06).

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    app::App,
    audit::{Event, Kind as AuditKind},
    client::VerifiedRedirect,
    clock::Time,
    config::{Client, Reloadable},
    error::InfraError,
    oauth::{
        authorize::respond::CodeGrant,
        claims_request::wanted,
        consent_store,
        error::{Code, OauthError},
        grant_store,
        issue::{self, New, Subject, TokenResponse},
        refused::Refused,
        resource, scope,
    },
    pkce,
    secret::{Hash, Plain},
    session::{self, CurrentSession, Session},
    ticket::{Claim, Kind},
    user::identity,
    web::{caller::Caller, params::Params},
};

/// How long a spent code is remembered (RD-04).
const TOMBSTONE: Duration = Duration::from_secs(600);

/// A replay this soon after the first use is a race, not a theft (TK-6).
const RACE: Duration = Duration::from_secs(10);

/// What a spent code leaves behind.
#[derive(Serialize, Deserialize)]
struct Spent {
    grant: Uuid,
    client_id: String,
    redirect_uri: String,
    code_challenge: Option<String>,
    at: Time,
}

const fn invalid_grant(reason: &'static str) -> OauthError {
    OauthError::because(
        Code::InvalidGrant,
        "The code is wrong, expired, used or another client's.",
        reason,
    )
}

/// Tokens for a code.
///
/// # Errors
/// `invalid_grant` for a code that is bad, spent or another's, `invalid_target` for a resource that it does not cover;
/// nothing is consumed or revoked by a failed check (TK-3).
pub async fn exchange(
    app: &App,
    config: &Reloadable,
    client: &Client,
    params: &Params,
    caller: &Caller,
) -> Result<TokenResponse, Refused> {
    let text = params.optional_within("code", 4096)?;
    let text = text.ok_or(OauthError::new(
        Code::InvalidRequest,
        "The parameter code is missing.",
    ))?;
    let Some(code) = Plain::parse(text).map(|code| code.hash()) else {
        return Err(invalid_grant("malformed").into());
    };
    let Some(value) = app.tickets.peek(Kind::Code, &code).await? else {
        return replayed(app, client, params, &code, caller).await;
    };
    // Of a copy of another version, while copies are replaced one after the other.
    let Ok(grant) = serde_json::from_slice::<CodeGrant>(&value) else {
        return Err(invalid_grant("unreadable").into());
    };
    fits(
        client,
        params,
        (
            &grant.client_id,
            &grant.redirect_uri,
            grant.code_challenge.as_deref(),
        ),
    )?;
    // Ops may have taken the place from the client because the code went to somebody else. A replay is a theft all the same.
    if VerifiedRedirect::check(client, &grant.redirect_uri).is_none() {
        return Err(invalid_grant("redirect_uri_gone").into());
    }
    let all = resource::all(client, &app.public_url);
    let audience = resource::chosen(
        params,
        grant.resource.as_deref().unwrap_or(&all),
        client,
        &app.public_url,
    )?;
    let spent = Spent {
        grant: grant.grant,
        client_id: grant.client_id.clone(),
        redirect_uri: grant.redirect_uri.clone(),
        code_challenge: grant.code_challenge.clone(),
        at: app.clock().now(),
    };
    let tombstone = serde_json::to_vec(&spent).map_err(InfraError::internal)?;
    match app
        .tickets
        .claim(Kind::Code, &code, &tombstone, TOMBSTONE)
        .await?
    {
        Claim::Fresh(_) => redeem(app, config, (client, &audience), &grant, caller).await,
        Claim::Replayed(_) | Claim::Gone => Err(invalid_grant("raced").into()),
    }
}

/// Client, redirect URI and verifier must all be those of the request (RFC 6749 §4.1.3; RFC 7636 §4.6).
fn fits(
    client: &Client,
    params: &Params,
    (client_id, redirect_uri, challenge): (&str, &str, Option<&str>),
) -> Result<(), Refused> {
    if client.client_id != client_id {
        return Err(invalid_grant("other_client").into());
    }
    if params.optional_within("redirect_uri", 2048)? != Some(redirect_uri) {
        return Err(invalid_grant("redirect_uri").into());
    }
    let verifier = params.optional_within("code_verifier", 256)?;
    let proven = match (challenge, verifier) {
        (Some(challenge), Some(verifier)) => pkce::verify(challenge, verifier),
        // RFC 9700 §4.8.2: a verifier for a code without a challenge means that somebody cut the challenge off (TK-7).
        (None, None) => true,
        _ => false,
    };
    if proven {
        Ok(())
    } else {
        Err(invalid_grant("code_verifier").into())
    }
}

/// A code that is not live: if it was spent over ten seconds ago and everything else fits, somebody has stolen it, and
/// what it gave is revoked (RFC 6749 §4.1.2, TK-6). In any case it is refused.
async fn replayed(
    app: &App,
    client: &Client,
    params: &Params,
    code: &Hash,
    caller: &Caller,
) -> Result<TokenResponse, Refused> {
    let Claim::Replayed(tombstone) = app
        .tickets
        .claim(Kind::Code, code, b"{}", TOMBSTONE)
        .await?
    else {
        return Err(invalid_grant("unknown").into());
    };
    let Ok(spent) = serde_json::from_slice::<Spent>(&tombstone) else {
        return Err(invalid_grant("used").into());
    };
    fits(
        client,
        params,
        (
            &spent.client_id,
            &spent.redirect_uri,
            spent.code_challenge.as_deref(),
        ),
    )?;
    if app.clock().now().since(spent.at) > RACE {
        let tx = app.db.begin().await?;
        if grant_store::revoke(&tx, spent.grant).await? {
            event(AuditKind::TokenRefused, client, caller)
                .reason("code_replayed")
                .record(&tx)
                .await?;
        }
        tx.commit().await?;
    }
    Err(invalid_grant("used").into())
}

async fn redeem(
    app: &App,
    config: &Reloadable,
    (client, audience): (&Client, &str),
    code: &CodeGrant,
    caller: &Caller,
) -> Result<TokenResponse, Refused> {
    let tx = app.db.begin().await?;
    // TK-14: the session may have ended, or its user been locked, since the code was issued.
    let Some(CurrentSession { session, user }) =
        session::find_live(tx.conn(), code.session, tx.now, &config.session).await?
    else {
        return Err(invalid_grant("session_ended").into());
    };
    // What outlives its session must not slip past whoever ends it for good just now (LK-07).
    if scope::has(&code.scope, scope::OFFLINE) && !session::lock_for_share(&tx, session.id).await? {
        return Err(invalid_grant("session_ended").into());
    }
    // The same where the session is another way in's by now (LK-07).
    if let Some(id) = code.identity.filter(|id| session.identity_id != Some(*id))
        && !identity::list_for_user(tx.conn(), user.id)
            .await?
            .iter()
            .any(|linked| linked.id == id)
    {
        return Err(invalid_grant("identity_unlinked").into());
    }
    let wanted = wanted(&code.scope, &code.claims);
    if !client.first_party && !consent_store::lock(&tx, &user, &client.client_id, &wanted).await? {
        // RF-9: withdrawn since the code was issued, or allowed anew to a part alone.
        return Err(invalid_grant("consent_withdrawn").into());
    }
    let resource = code.resource.as_deref();
    // AZ-17: the sign-in that answered the request, not a later proof in the same session.
    let (acr, amr) = (code.acr.clone(), code.amr.clone());
    let session = Session {
        auth_time: code.auth_time,
        acr,
        amr,
        identity_id: code.identity,
        ..session
    };
    let new = New {
        id: code.grant,
        session: &session,
        client,
        scope: &code.scope,
        claims: &code.claims,
        resource,
    };
    let (grant, refresh_token) = issue::grant(app, config, new, tx.now);
    if !grant_store::insert(&tx, grant.clone()).await? {
        return Err(invalid_grant("came_back").into());
    }
    event(AuditKind::TokenIssued, client, caller)
        .user(user.id)
        .session(session.id)
        .record(&tx)
        .await?;
    let (scope, nonce) = (grant.scope.as_str(), code.nonce.as_deref());
    let subject = Subject {
        grant: &grant,
        user: &user,
        client,
        scope,
        audience,
        nonce,
    };
    let mut tokens = issue::tokens(app, config, &tx, &subject).await?;
    tokens.refresh_token = refresh_token;
    tx.commit().await?;
    Ok(tokens)
}

fn event(kind: AuditKind, client: &Client, caller: &Caller) -> Event {
    Event::new(kind)
        .client(Some(&client.client_id))
        .caller(&caller.network, &caller.request_id)
}
