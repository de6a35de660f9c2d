//! From an authorization response to an identity: the response's checks, the exchange of the code,
//! the ID token, userinfo (CB-06, CB-07, CB-09, CB-10).

use std::time::Duration;

use super::{
    apple,
    error::{ProviderError, ResponseError, TokenError},
    github,
    identity::{ProviderIdentity, identity_of},
    oidc::{
        client_auth,
        exchange::{CodeExchange, TokenResponse},
        id_token::{self, Expected, VerifiedToken},
        json::Object,
        upstream::Upstream,
        userinfo,
    },
    request::RequestRecord,
    response::{self, AuthorizationResponse},
};
use crate::config::providers::ProviderKind;

/// How long all calls for one response may take together.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Returns the identity of the user who came back. Nothing is sent to the provider unless the
/// response is from it and has a code. The record must have been claimed before.
pub(super) async fn identify(
    upstream: &Upstream,
    record: &RequestRecord,
    response: &AuthorizationResponse<'_>,
) -> Result<ProviderIdentity, ProviderError> {
    // A response to a request that began under other settings is worth nothing under these.
    if upstream.settings.issuer() != record.issuer {
        return Err(ProviderError::IssuerChanged);
    }
    response::check_issuer(record, response.iss)?;
    let code = response::code(response)?;
    tokio::time::timeout(TIMEOUT, async {
        let tokens = exchange(upstream, record, code).await?;
        if upstream.settings.kind == ProviderKind::Github {
            return github::identify(upstream, record, &tokens).await;
        }
        identify_by_id_token(upstream, record, response, &tokens).await
    })
    .await
    .unwrap_or(Err(ProviderError::Timeout))
}

/// Sends a code to the recorded token endpoint. A method that is set meanwhile wins over the
/// recorded one.
pub(super) async fn exchange(
    upstream: &Upstream,
    record: &RequestRecord,
    code: &str,
) -> Result<TokenResponse, ProviderError> {
    let (settings, now) = (&upstream.settings, upstream.now().seconds());
    let endpoint = record.token_endpoint.as_str();
    let auth = settings
        .fixed_auth()
        .or(record.token_auth)
        .unwrap_or_else(|| client_auth::choose(settings, None));
    let credential = if settings.kind == ProviderKind::Apple {
        apple::client_secret(settings, now)?
    } else {
        client_auth::credential(settings, auth, endpoint, now)?
    };
    let exchange = CodeExchange {
        token_endpoint: endpoint,
        redirect_uri: &record.redirect_uri,
        verifier: record.verifier.as_deref(),
        code,
        auth,
        credential: &credential,
    };
    exchange.send(upstream).await
}

async fn identify_by_id_token(
    upstream: &Upstream,
    record: &RequestRecord,
    response: &AuthorizationResponse<'_>,
    tokens: &TokenResponse,
) -> Result<ProviderIdentity, ProviderError> {
    let settings = &upstream.settings;
    let id_token = tokens.id_token.as_ref().ok_or(TokenError::NoIdToken)?;
    let expected = Expected {
        settings,
        issuer: &record.issuer,
        nonce: record.nonce.as_deref().unwrap_or_default(),
        pkce: record.verifier.is_some(),
        access_token: &tokens.access_token,
        now: upstream.now().seconds(),
    };
    let verified = id_token::verify(upstream, id_token, expected).await?;
    // With many tenants, the response's issuer could only be compared with their template before.
    if response.iss.is_some_and(|iss| iss != verified.issuer) {
        return Err(ResponseError::IssuerOfIdToken.into());
    }
    let userinfo = fetch_userinfo(upstream, record, tokens, &verified).await?;
    let user = response
        .user
        .filter(|_| settings.kind == ProviderKind::Apple);
    let name = user.and_then(apple::name_in_user_parameter);
    Ok(identity_of(settings, verified, userinfo.as_ref(), name))
}

async fn fetch_userinfo(
    upstream: &Upstream,
    record: &RequestRecord,
    tokens: &TokenResponse,
    verified: &VerifiedToken,
) -> Result<Option<Object>, ProviderError> {
    match &record.userinfo_endpoint {
        Some(endpoint) if userinfo::is_wanted(upstream, &verified.claims) => {
            let access_token = &tokens.access_token;
            userinfo::fetch(upstream, endpoint, access_token, verified)
                .await
                .map(Some)
        }
        _ => Ok(None),
    }
}
