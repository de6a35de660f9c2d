//! Signed userinfo (OpenID Connect Core §5.3.2): a JWS with the claims of the user, for a client
//! that registered for it. Its signature, header and audience pass the checks of an ID token.

use super::{
    claims::{check_audience, check_expiry, check_issuer_of_key, ensure},
    verify_signature,
};
use crate::federation::provider::{
    error::{IdTokenError, ProviderError},
    oidc::{
        json::{Object, string_member},
        upstream::Upstream,
    },
};

/// Verifies signed userinfo and returns its claims. `issuer` is that of the verified ID token. That
/// `sub` is the ID token's is checked as for userinfo that is not signed.
///
/// # Errors
/// The first check that failed.
pub(crate) async fn verify_userinfo(
    upstream: &Upstream,
    token: &str,
    issuer: &str,
) -> Result<Object, ProviderError> {
    let verified = verify_signature(upstream, token).await;
    let (token, key, _) = verified.map_err(|error| match error {
        ProviderError::IdToken(error) => ProviderError::SignedUserinfo(error),
        other => other,
    })?;
    let settings = &upstream.settings;
    check_claims(&token.claims, issuer, upstream.now().seconds())
        .and_then(|()| check_issuer_of_key(&key, issuer, &token.claims, settings))
        .and_then(|()| check_audience(&token.claims, settings))
        .map_err(ProviderError::SignedUserinfo)?;
    Ok(token.claims)
}

/// The issuer must be there; a lifetime need not be, and counts where it is.
fn check_claims(claims: &Object, issuer: &str, now: i64) -> Result<(), IdTokenError> {
    let found = string_member(claims, "iss");
    let iss = found.ok_or(IdTokenError::Issuer("is missing, or not a string"))?;
    ensure(iss == issuer, || IdTokenError::Issuer("is another issuer"))?;
    if claims.contains_key("exp") {
        check_expiry(claims, now)?;
    }
    Ok(())
}
