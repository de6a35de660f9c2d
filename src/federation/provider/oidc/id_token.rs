//! The ID token: every check that it must pass before any of it is used (OpenID Connect Core
//! §3.1.3.7).
//!
//! Each check is a function of its own on the raw JSON, with its own [`IdTokenError`]. The library
//! comes last: it parses every optional claim by its type, and checks signature, issuer and
//! audience once more.

mod claims;
mod header;
mod library;
mod parsed;
mod userinfo_token;

pub(crate) use claims::{Expected, has_boolean_email_verified};

pub(crate) use self::userinfo_token::verify_userinfo;
use self::{
    claims::check_claims,
    header::{CheckedHeader, check_header},
    parsed::ParsedToken,
};
use super::{json::Object, keys::Key, upstream::Upstream};
use crate::{
    config::providers::UpstreamAlg,
    federation::provider::error::{IdTokenError, ProviderError},
};

/// An ID token that passed every check.
pub(crate) struct VerifiedToken {
    /// The issuer; with many Entra tenants, that of the account's own tenant.
    pub(crate) issuer: String,
    pub(crate) subject: String,
    /// All claims.
    pub(crate) claims: Object,
}

/// Verifies an ID token.
///
/// # Errors
/// The first check that failed.
pub(crate) async fn verify(
    upstream: &Upstream,
    token: &str,
    expected: Expected<'_>,
) -> Result<VerifiedToken, ProviderError> {
    let (token, key, alg) = verify_signature(upstream, token).await?;
    Ok(check_signed(token, &key, alg, &expected)?)
}

/// Parses a token and verifies its signature by the provider's keys.
async fn verify_signature<'a>(
    upstream: &Upstream,
    token: &'a str,
) -> Result<(ParsedToken<'a>, Key, UpstreamAlg), ProviderError> {
    let token = ParsedToken::parse(token)?;
    let CheckedHeader { alg, kid } = check_header(&token.header, &upstream.settings)?;
    let (mut key, keys) = upstream.key(kid, alg).await?;
    if !token.is_signed_by(&key, alg) {
        // The key may have been replaced under its name (DJ-04).
        let newer = upstream
            .newer_keys(&keys)
            .await?
            .ok_or(IdTokenError::Signature)?;
        key = newer
            .select(kid, alg)
            .ok()
            .filter(|key| token.is_signed_by(key, alg))
            .cloned()
            .ok_or(IdTokenError::Signature)?;
    }
    Ok((token, key, alg))
}

/// The checks of a token whose signature is verified.
fn check_signed(
    token: ParsedToken<'_>,
    key: &Key,
    alg: UpstreamAlg,
    expected: &Expected<'_>,
) -> Result<VerifiedToken, IdTokenError> {
    let checked = check_claims(&token.claims, key, alg, expected)?;
    library::check(&token, key, alg, &checked.issuer, expected)?;
    Ok(VerifiedToken {
        issuer: checked.issuer,
        subject: checked.subject,
        claims: token.claims,
    })
}

#[cfg(test)]
mod tests;
