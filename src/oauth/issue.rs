//! Making the tokens of a grant.

use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use super::{
    claims::{ACCESS_TYP, Access, ID_TYP, Id, Person, at_hash, jti},
    claims_request::{self, Reach},
    grant_store::{self, Grant, gc_day},
    refresh::RefreshToken,
    resource, scope,
};
use crate::{
    app::App,
    audit::{Event, Kind},
    clock::Time,
    config::{Client, Reloadable},
    db::Tx,
    error::InfraError,
    login::first_party::{Issuance, IssueTokens, IssuedTokens},
    mail::Work,
    secret::public_id,
    session::Session,
    user::{self, User},
    web::caller::Caller,
};

/// Without refresh tokens a grant lives as long as any client's access token may.
const SHORT: Duration = Duration::from_secs(3600);

/// RFC 6749 §5.1 and OIDC Core §3.1.3.3.
#[derive(Debug, Serialize)]
pub struct TokenResponse {
    /// The access token.
    pub access_token: String,
    /// Always `Bearer`.
    pub token_type: &'static str,
    /// Its life in seconds.
    pub expires_in: u64,
    /// The ID token, if `openid` was granted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_token: Option<String>,
    /// The refresh token, where the client may have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// What was granted.
    pub scope: String,
}

/// What the tokens say.
#[derive(Debug)]
pub struct Subject<'a> {
    /// The grant.
    pub grant: &'a Grant,
    /// Its user.
    pub user: &'a User,
    /// The client.
    pub client: &'a Client,
    /// The grant's scope, or less.
    pub scope: &'a str,
    /// One of the grant's audiences.
    pub audience: &'a str,
    /// The nonce of the request.
    pub nonce: Option<&'a str>,
}

/// Signs the tokens of a grant. The refresh token is the caller's to add.
///
/// # Errors
/// If nothing can be signed now; the database's own.
pub async fn tokens(
    app: &App,
    config: &Reloadable,
    tx: &Tx,
    subject: &Subject<'_>,
) -> Result<TokenResponse, InfraError> {
    let Subject {
        grant,
        user,
        client,
        ..
    } = subject;
    let lives = client.token_lifetimes(&config.token);
    let now = app.clock().now().seconds();
    let (sub, sid) = (
        user.public_id.to_string(),
        grant.session_id.map(|id| id.to_string()),
    );
    let (roles, audience) = (user::roles(user), subject.audience);
    // What ops have taken from the client since is gone at once, as with audiences.
    let scope = scope::of_person(&scope::granted(client, subject.scope), &roles);
    let amr = || {
        grant
            .amr
            .split(' ')
            .filter(|method| !method.is_empty())
            .collect::<Vec<_>>()
    };
    let access = Access {
        iss: &app.public_url,
        sub: sub.clone(),
        aud: audience,
        exp: after(now, lives.access_seconds),
        iat: now,
        jti: jti(&app.macs.jti, grant.id),
        client_id: &client.client_id,
        scope: &scope,
        person: Some(Person {
            auth_time: grant.auth_time.seconds(),
            acr: &grant.acr,
            amr: amr(),
            sid: sid.clone(),
            roles,
        }),
    };
    let access_token = app
        .keys
        .sign(client.access_token_alg, ACCESS_TYP, &access)?;
    let id_token = if scope::has(&scope, "openid") {
        let id = Id {
            iss: &app.public_url,
            sub,
            aud: &client.client_id,
            exp: after(now, lives.id_seconds),
            iat: now,
            auth_time: grant.auth_time.seconds(),
            nonce: subject.nonce,
            acr: &grant.acr,
            amr: amr(),
            sid,
            at_hash: at_hash(&access_token),
            asked: claims_request::in_id_token(
                tx.conn(),
                user,
                &Reach {
                    grant,
                    client,
                    scope: &scope,
                },
            )
            .await?,
        };
        Some(
            app.keys
                .sign(client.id_token_signed_response_alg, ID_TYP, &id)?,
        )
    } else {
        None
    };
    Ok(TokenResponse {
        access_token,
        token_type: "Bearer",
        expires_in: lives.access_seconds,
        id_token,
        refresh_token: None,
        scope,
    })
}

/// The second, counted from 1970, that lies `life` seconds after `now`.
#[must_use]
pub fn after(now: i64, life: u64) -> i64 {
    now.saturating_add(i64::try_from(life).unwrap_or(i64::MAX))
}

/// What a grant is made of.
#[derive(Clone, Copy, Debug)]
pub struct New<'a> {
    /// Its id.
    pub id: Uuid,
    /// The session that grants.
    pub session: &'a Session,
    /// To whom.
    pub client: &'a Client,
    /// What.
    pub scope: &'a str,
    /// For which audiences, separated by spaces; none: for all of the client's.
    pub resource: Option<&'a str>,
    /// What the request asked for by `claims`.
    pub claims: &'a str,
}

/// A grant, and its first refresh token where the client may have one.
#[must_use]
pub fn grant(app: &App, config: &Reloadable, new: New<'_>, now: Time) -> (Grant, Option<String>) {
    let New {
        id,
        session,
        client,
        scope,
        claims,
        resource,
    } = new;
    let first = scope::refreshes(client, scope).then(|| RefreshToken::generate(id, 0));
    let (seconds, lives) = (Duration::from_secs, client.token_lifetimes(&config.token));
    let expires_at = now
        + if first.is_some() {
            seconds(lives.refresh_absolute_seconds)
        } else {
            SHORT
        };
    let idle_until = first
        .as_ref()
        .map(|_| now + seconds(lives.refresh_idle_seconds));
    let grant = Grant {
        id,
        user_id: session.user_id,
        client_id: client.client_id.clone(),
        session_id: Some(session.id),
        identity_id: session.identity_id,
        scope: scope.to_owned(),
        audience: resource.map_or_else(|| resource::all(client, &app.public_url), str::to_owned),
        auth_time: session.auth_time,
        acr: session.acr.clone(),
        amr: session.amr.clone(),
        created_at: now,
        expires_at,
        revoked_at: None,
        auth_epoch: session.auth_epoch,
        generation: 0,
        current_hash: first.as_ref().map(|token| token.secret.hash().to_column()),
        previous_hash: None,
        successor: None,
        rotated_at: None,
        idle_until,
        claims: claims.to_owned(),
        gc_day: gc_day(idle_until.map_or(expires_at, |idle| idle.min(expires_at))),
    };
    (grant, first.map(|token| token.to_text(&app.macs.refresh)))
}

/// Gives the sign-in API its token response, so that the ways in need not know this room.
#[derive(Debug)]
pub struct Issuer {
    /// What it needs.
    pub app: App,
}

impl IssueTokens for Issuer {
    fn issue<'a>(
        &'a self,
        tx: &'a Tx,
        issue: Issuance<'a>,
        caller: &'a Caller,
    ) -> Work<'a, IssuedTokens> {
        Box::pin(async move {
            let config = self.app.config.get();
            let scope = scope::granted(issue.client, issue.scope);
            let (session, client) = (issue.session, issue.client);
            let new = New {
                id: public_id(),
                session,
                client,
                scope: &scope,
                claims: "",
                resource: None,
            };
            let (grant, refresh_token) = grant(&self.app, &config, new, tx.now);
            grant_store::insert(tx, grant.clone()).await?;
            let (user, client, nonce) = (issue.user, issue.client, issue.nonce);
            let subject = Subject {
                grant: &grant,
                user,
                client,
                scope: &scope,
                audience: &client.audience,
                nonce,
            };
            let response = tokens(&self.app, &config, tx, &subject).await?;
            Event::new(Kind::TokenIssued)
                .user(issue.user.id)
                .session(issue.session.id)
                .client(Some(&issue.client.client_id))
                .caller(&caller.network, &caller.request_id)
                .record(tx)
                .await?;
            Ok(IssuedTokens {
                access_token: response.access_token,
                expires_in: response.expires_in,
                id_token: response.id_token,
                refresh_token,
                scope: response.scope,
            })
        })
    }

    fn revoke_for_identity<'a>(
        &'a self,
        tx: &'a Tx,
        user: Uuid,
        identity: Uuid,
        sessions: &'a [Uuid],
    ) -> Work<'a, u64> {
        Box::pin(grant_store::revoke_of_identity(
            tx, user, identity, sessions,
        ))
    }
}
