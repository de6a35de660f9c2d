//! Making the tokens of a grant.

use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use super::{
    claims::{ACCESS_TYP, Access, ID_TYP, Id, at_hash},
    grant_store::{self, Grant},
    scope,
};
use crate::{
    app::App,
    audit::{Event, Kind},
    config::{Client, Config},
    db::Tx,
    login::first_party::{Issue, IssueTokens, Issued},
    mail::Work,
    secret::public_id,
    session::Session,
    user::{self, User},
    web::{caller::Caller, error::Failure},
};

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
    /// The session, for `sid`.
    pub session: Uuid,
    /// The client.
    pub client: &'a Client,
    /// The nonce of the request.
    pub nonce: Option<&'a str>,
}

/// Signs the tokens of a grant.
///
/// # Errors
/// If nothing can be signed now.
pub fn tokens(app: &App, config: &Config, subject: &Subject<'_>) -> Result<TokenResponse, Failure> {
    let Subject { grant, user, client, .. } = subject;
    let now = app.clock().now().seconds();
    let seconds = |life: u64| i64::try_from(life).unwrap_or(i64::MAX);
    let amr = || grant.amr.split(' ').filter(|method| !method.is_empty()).collect::<Vec<_>>();
    let access = Access {
        iss: &app.public_url,
        sub: user.public_id.to_string(),
        aud: &grant.audience,
        exp: now.saturating_add(seconds(config.token.access_seconds)),
        iat: now,
        jti: public_id().to_string(),
        client_id: &client.client_id,
        scope: &grant.scope,
        auth_time: grant.auth_time.seconds(),
        acr: &grant.acr,
        amr: amr(),
        sid: subject.session.to_string(),
        roles: user::roles(user),
    };
    let access_token = app.keys.sign(client.access_token_alg, ACCESS_TYP, &access)?;
    let id_token = if scope::has(&grant.scope, "openid") {
        let id = Id {
            iss: &app.public_url,
            sub: access.sub.clone(),
            aud: &client.client_id,
            exp: now.saturating_add(seconds(config.token.id_seconds)),
            iat: now,
            auth_time: access.auth_time,
            nonce: subject.nonce,
            acr: &grant.acr,
            amr: amr(),
            sid: access.sid.clone(),
            at_hash: at_hash(&access_token),
        };
        Some(app.keys.sign(client.id_token_signed_response_alg, ID_TYP, &id)?)
    } else {
        None
    };
    Ok(TokenResponse {
        access_token,
        token_type: "Bearer",
        expires_in: config.token.access_seconds,
        id_token,
        scope: grant.scope.clone(),
    })
}

/// A grant of a session to a client.
#[must_use]
pub fn grant(id: Uuid, session: &Session, client: &Client, scope: String, now: crate::clock::Time) -> Grant {
    Grant {
        id,
        user_id: session.user_id,
        client_id: client.client_id.clone(),
        session_id: Some(session.id),
        scope,
        audience: client.audience.clone(),
        auth_time: session.auth_time,
        acr: session.acr.clone(),
        amr: session.amr.clone(),
        created_at: now,
        // Without refresh tokens a grant lives as long as its access token may.
        expires_at: now + Duration::from_secs(3600),
        revoked_at: None,
    }
}

/// Gives the sign-in API its token response, so that the ways in need not know this room.
#[derive(Debug)]
pub struct Issuer {
    /// What it needs.
    pub app: App,
}

impl IssueTokens for Issuer {
    fn issue<'a>(&'a self, tx: &'a Tx, issue: Issue<'a>, caller: &'a Caller) -> Work<'a, Issued> {
        Box::pin(async move {
            let config = self.app.config.get();
            let granted = scope::granted(issue.client, issue.scope);
            let grant = grant(public_id(), issue.session, issue.client, granted, tx.now);
            grant_store::insert(tx, grant.clone()).await?;
            let subject = Subject {
                grant: &grant,
                user: issue.user,
                session: issue.session.id,
                client: issue.client,
                nonce: issue.nonce,
            };
            let response = tokens(&self.app, &config, &subject)?;
            Event::new(Kind::TokenIssued)
                .user(issue.user.id)
                .session(issue.session.id)
                .client(Some(&issue.client.client_id))
                .caller(&caller.network, &caller.request_id)
                .record(tx)
                .await?;
            Ok(Issued {
                access_token: response.access_token,
                expires_in: response.expires_in,
                id_token: response.id_token,
                scope: response.scope,
            })
        })
    }
}
