//! Issues the tokens of a grant: access tokens (RFC 9068) and ID tokens (OIDC Core §2).
//!
//! Both are signed JWTs and are stored nowhere. The access token's `jti` leads back to its grant.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::{
    grant_check::SignIn,
    grant_store::{Grant, gc_day},
    possession::{Confirmation, token_type},
    refresh_token::RefreshToken,
    resource, scope,
    user_claims::{self, ClaimFilter, UserClaims},
};
use crate::{
    app::App,
    client::resource::{AccessTokenTerms, access_token_terms},
    clock::Time,
    config::{Client, Reloadable},
    db::Tx,
    error::InfraError,
    secret::{Hash, Sealer},
    user::{self, User},
};

const ID_TYP: &str = "JWT";

/// A grant without refresh tokens lives as long as any client's access token may.
const GRANT_WITHOUT_REFRESH: Duration = Duration::from_secs(3600);

/// What the sealed `jti` of an access token is bound to.
const JTI: &[u8] = b"jti";

/// A token response (RFC 6749 §5.1, OIDC Core §3.1.3.3).
#[derive(Debug, Serialize)]
pub(crate) struct TokenResponse {
    pub(crate) access_token: String,
    /// `Bearer`, or `DPoP` for an access token that is bound to a key.
    pub(crate) token_type: &'static str,
    /// The lifetime of the access token in seconds.
    pub(crate) expires_in: u64,
    /// Present if `openid` was granted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id_token: Option<String>,
    /// Present if the client may refresh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) refresh_token: Option<String>,
    pub(crate) scope: String,
    /// The type of an exchanged token (RFC 8693 §2.2.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) issued_token_type: Option<&'static str>,
}

/// The claims of an access token (RFC 9068 §2.2). They hold no personal data.
#[derive(Debug, Serialize)]
pub(crate) struct AccessTokenClaims<'a> {
    pub(crate) iss: &'a str,
    pub(crate) sub: String,
    pub(crate) aud: &'a str,
    pub(crate) exp: i64,
    pub(crate) iat: i64,
    pub(crate) jti: String,
    pub(crate) client_id: &'a str,
    pub(crate) scope: &'a str,
    /// None for a bearer token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cnf: Option<Confirmation<'a>>,
    /// The clients that exchanged the token (RFC 8693 §4.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) act: Option<Value>,
    /// None if the client acts for itself.
    #[serde(flatten)]
    pub(crate) sign_in: Option<SignInClaims<'a>>,
}

/// The claims of an access token about the user's sign-in.
#[derive(Debug, Serialize)]
pub(crate) struct SignInClaims<'a> {
    auth_time: i64,
    acr: &'a str,
    /// Left out where a provider did not say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    amr: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<String>,
    roles: Vec<String>,
}

impl<'a> SignInClaims<'a> {
    /// Returns what a grant says, with the roles that its user has now.
    #[must_use]
    pub(crate) fn of(grant: &'a Grant, user: &User) -> Self {
        Self {
            auth_time: grant.auth_time.seconds(),
            acr: &grant.acr,
            amr: split_amr(&grant.amr),
            sid: grant.session_id.map(|id| id.to_string()),
            roles: user::roles(user),
        }
    }
}

/// The claims of an ID token (OIDC Core §2).
#[derive(Debug, Serialize)]
struct IdTokenClaims<'a> {
    iss: &'a str,
    sub: String,
    /// The client, as a string.
    aud: &'a str,
    exp: i64,
    iat: i64,
    auth_time: i64,
    /// As sent in the request; absent if it was absent there (AZ-9).
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
    acr: &'a str,
    /// Left out where a provider did not say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    amr: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<String>,
    at_hash: String,
    /// What the request named in the parameter `claims`.
    #[serde(flatten)]
    user: UserClaims,
}

/// A grant to be stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewGrant<'a> {
    pub(crate) id: Uuid,
    pub(crate) user: &'a User,
    pub(crate) sign_in: &'a SignIn,
    pub(crate) client: &'a Client,
    pub(crate) scope: &'a str,
    /// The resources of the request, separated by spaces; none for all of the client's.
    pub(crate) resources: Option<&'a str>,
    /// What the request named in the parameter `claims`.
    pub(crate) claims: &'a str,
    /// The thumbprint of the key that the request proves.
    pub(crate) jkt: Option<&'a str>,
}

/// Returns the row of a new grant, and its first refresh token where the client may refresh.
#[must_use]
pub(crate) fn new_grant(
    app: &App,
    config: &Reloadable,
    new: NewGrant<'_>,
    now: Time,
) -> (Grant, Option<String>) {
    let NewGrant {
        id,
        client,
        sign_in,
        scope,
        ..
    } = new;
    let lifetimes = client.token_lifetimes(&config.token);
    let refresh_token = scope::allows_refresh(client, scope).then(|| RefreshToken::generate(id, 0));
    let lifetime = match refresh_token {
        Some(_) => Duration::from_secs(lifetimes.refresh_absolute_seconds),
        None => GRANT_WITHOUT_REFRESH,
    };
    let expires_at = now + lifetime;
    let idle = Duration::from_secs(lifetimes.refresh_idle_seconds);
    let idle_until = refresh_token.as_ref().map(|_| now + idle);
    let resources = || resource::registered(config, client, &app.public_url).join(" ");
    let grant = Grant {
        id,
        user_id: new.user.id,
        client_id: client.client_id.clone(),
        session_id: Some(sign_in.session_id),
        identity_id: sign_in.identity_id,
        scope: scope.to_owned(),
        audience: new.resources.map_or_else(resources, str::to_owned),
        auth_time: sign_in.auth_time,
        acr: sign_in.acr.clone(),
        amr: sign_in.amr.clone(),
        created_at: now,
        expires_at,
        revoked_at: None,
        auth_epoch: new.user.auth_epoch,
        generation: 0,
        current_hash: refresh_token
            .as_ref()
            .map(|token| token.secret.hash().to_column()),
        previous_hash: None,
        successor: None,
        rotated_at: None,
        idle_until,
        claims: new.claims.to_owned(),
        dpop_jkt: new.jkt.map(str::to_owned),
        gc_day: gc_day(idle_until.map_or(expires_at, |idle| idle.min(expires_at))),
    };
    (
        grant,
        refresh_token.map(|token| token.to_text(&app.macs.refresh)),
    )
}

/// What the tokens of a response are about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenSubject<'a> {
    pub(crate) grant: &'a Grant,
    pub(crate) user: &'a User,
    pub(crate) client: &'a Client,
    /// The grant's scope or a part of it.
    pub(crate) scope: &'a str,
    /// One of the grant's resources.
    pub(crate) audience: &'a str,
    /// The nonce of the authorization request.
    pub(crate) nonce: Option<&'a str>,
    /// The thumbprint of the key that the request proves.
    pub(crate) jkt: Option<&'a str>,
}

/// Signs the access token and the ID token of a grant. The caller adds the refresh token.
///
/// # Errors
/// The keys cannot sign now, or the database is unavailable.
pub(crate) async fn issue_tokens(
    app: &App,
    config: &Reloadable,
    tx: &Tx,
    subject: &TokenSubject<'_>,
) -> Result<TokenResponse, InfraError> {
    // What an operator has taken from the client or from the resource since is gone at once (RS-6).
    let audience = Some(subject.audience);
    let carried = scope::grantable(config, subject.client, audience, subject.scope);
    let scope = scope::limit_to_roles(&carried, &user::roles(subject.user));
    let subject = TokenSubject {
        scope: &scope,
        ..*subject
    };
    let terms = access_token_terms(config, subject.client, subject.audience);
    let access_token = sign_access_token(app, terms, &subject)?;
    let id_token = if scope::has(&scope, "openid") {
        Some(sign_id_token(app, config, tx, &subject, &access_token).await?)
    } else {
        None
    };
    Ok(TokenResponse {
        access_token,
        token_type: token_type(subject.jkt.is_some()),
        expires_in: terms.seconds,
        id_token,
        refresh_token: None,
        scope,
        issued_token_type: None,
    })
}

fn sign_access_token(
    app: &App,
    terms: AccessTokenTerms,
    subject: &TokenSubject<'_>,
) -> Result<String, InfraError> {
    let grant = subject.grant;
    let now = app.clock().now().seconds();
    let claims = AccessTokenClaims {
        iss: &app.public_url,
        sub: subject.user.public_id.to_string(),
        aud: subject.audience,
        exp: expiry(now, terms.seconds),
        iat: now,
        jti: seal_jti(&app.macs.jti, grant.id),
        client_id: &subject.client.client_id,
        scope: subject.scope,
        cnf: Confirmation::of(subject.jkt),
        act: None,
        sign_in: Some(SignInClaims::of(grant, subject.user)),
    };
    app.keys.sign(terms.alg, terms.typ.as_str(), &claims)
}

async fn sign_id_token(
    app: &App,
    config: &Reloadable,
    tx: &Tx,
    subject: &TokenSubject<'_>,
    access_token: &str,
) -> Result<String, InfraError> {
    let TokenSubject {
        grant,
        user,
        client,
        scope,
        ..
    } = *subject;
    let filter = ClaimFilter {
        grant,
        client,
        scope,
    };
    let now = app.clock().now().seconds();
    let lifetime = client.token_lifetimes(&config.token).id_seconds;
    let claims = IdTokenClaims {
        iss: &app.public_url,
        sub: user.public_id.to_string(),
        aud: &client.client_id,
        exp: expiry(now, lifetime),
        iat: now,
        auth_time: grant.auth_time.seconds(),
        nonce: subject.nonce,
        acr: &grant.acr,
        amr: split_amr(&grant.amr),
        sid: grant.session_id.map(|id| id.to_string()),
        at_hash: at_hash(access_token),
        user: user_claims::load_for_id_token(tx.conn(), user, &filter).await?,
    };
    app.keys
        .sign(client.id_token_signed_response_alg, ID_TYP, &claims)
}

fn split_amr(amr: &str) -> Vec<&str> {
    amr.split(' ').filter(|method| !method.is_empty()).collect()
}

/// Returns the `exp` of a token with this lifetime, in seconds since 1970.
#[must_use]
pub(crate) fn expiry(now: i64, lifetime: u64) -> i64 {
    now.saturating_add(i64::try_from(lifetime).unwrap_or(i64::MAX))
}

/// OIDC Core §3.1.3.6: the left half of the SHA-256 of the access token, for ES256 and RS256 alike.
fn at_hash(access_token: &str) -> String {
    let hash = Hash::of(access_token.as_bytes());
    BASE64.encode(hash.as_bytes().split_at(16).0)
}

/// The `jti` of an access token: unique, and opaque to all but us. It leads back to the grant
/// without a claim of our own that resource servers might come to depend on, and without a row for
/// each token (RFC 9068 §2.2).
#[must_use]
pub(crate) fn seal_jti(sealer: &Sealer, grant: Uuid) -> String {
    BASE64.encode(sealer.seal(JTI, grant.as_bytes()))
}

/// The grant behind a `jti`; none for a client's own token, which has no grant.
#[must_use]
pub(crate) fn grant_of_jti(sealer: &Sealer, jti: &str) -> Option<Uuid> {
    let sealed = BASE64.decode(jti).ok()?;
    Uuid::from_slice(&sealer.open(JTI, &sealed)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::{MasterKeys, public_id};

    #[test]
    fn tk_12_a_jti_is_unique_and_leads_only_us_to_the_grant() {
        let sealer = MasterKeys::new([7; 32], []).sealer("access token jti v1");
        let grant = public_id();
        let (first, second) = (seal_jti(&sealer, grant), seal_jti(&sealer, grant));
        assert_ne!(first, second);
        assert_eq!(grant_of_jti(&sealer, &first), Some(grant));
        assert_eq!(grant_of_jti(&sealer, &second), Some(grant));
        assert_eq!(grant_of_jti(&sealer, &public_id().to_string()), None);
        let other = MasterKeys::new([8; 32], []).sealer("access token jti v1");
        assert_eq!(grant_of_jti(&other, &first), None);
    }
}
