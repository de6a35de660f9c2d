//! The rules of an access token (RFC 9068 §4, RFC 8725). Each has an error of its own.
//!
//! Nothing in the token chooses how it is verified: the algorithm is fixed here, the key comes from the published set
//! by its `kid` alone, and `jku`, `jwk`, `x5u` and `x5c` are never read.

use std::collections::BTreeMap;

use jwt_compact::{AlgorithmExt as _, Claims, UntrustedToken, alg::Es256};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    issuer::Issuer,
    keys::{Key, KeyError, Keys},
};

/// The longest token that is read.
const LONGEST: usize = 8192;
/// How far clocks may differ, in seconds.
const LEEWAY: i64 = 30;
/// The longest lifetime of a token, in seconds. It is the provider's own upper bound.
const LONGEST_LIFE: i64 = 3600;

/// The caller of a request with a good token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The identifier of the user, which never changes, or of a client that acts for itself.
    pub sub: String,
    /// The roles that operators have set, for instance `coach`.
    pub roles: Vec<String>,
    /// The scopes that the client was granted.
    pub scopes: Vec<String>,
    /// The time at which the user last signed in, in seconds since 1970. None if it is not known or there is no user.
    pub auth_time: Option<i64>,
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is too long, or not three parts of base64url with JSON in them.
    #[error("not a token")]
    Malformed,
    /// `typ` is not that of an access token (RFC 9068 §4). It may be an ID token.
    #[error("not an access token")]
    Type,
    /// `alg` is not ES256 (RFC 8725 §3.1).
    #[error("wrong algorithm")]
    Algorithm,
    /// It has `crit`, and no extension is understood here (RFC 7515 §4.1.11).
    #[error("unknown critical header")]
    Critical,
    /// The key is not published, or not known yet.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The signature is not that of the key.
    #[error("wrong signature")]
    Signature,
    /// A claim is missing or of another type.
    #[error("a claim is missing or malformed")]
    Claims,
    /// It is a token of another issuer.
    #[error("wrong issuer")]
    Issuer,
    /// It is meant for another API (RFC 8725 §3.9).
    #[error("wrong audience")]
    Audience,
    /// Its lifetime is over.
    #[error("expired")]
    Expired,
    /// `nbf` or `iat` lies ahead.
    #[error("not valid yet")]
    NotYet,
    /// Its lifetime is longer than that of any token of the provider.
    #[error("lives too long")]
    TooLong,
    /// It is bound to a key of the client (RFC 9449). As a bearer token it may be stolen.
    #[error("needs a proof of possession")]
    Bound,
    /// It is bound to no key, and was sent with the scheme of a bound one.
    #[error("is bound to no key")]
    Unbound,
}

#[derive(Deserialize)]
struct AccessToken {
    iss: String,
    sub: String,
    aud: Audience,
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    scope: String,
    auth_time: Option<i64>,
    cnf: Option<Confirmation>,
}

/// The key to which a token is bound (RFC 9449 §6.1). One that is bound in another way is refused.
#[derive(Deserialize)]
struct Confirmation {
    jkt: String,
}

/// A good token. Whether its sender may use it is another question.
#[derive(Debug)]
struct Checked {
    caller: Caller,
    /// The thumbprint of the key to which it is bound.
    jkt: Option<String>,
}

impl Checked {
    /// Returns the caller of a bearer token, which its sender may use.
    fn into_bearer(self) -> Result<Caller, TokenError> {
        match self.jkt {
            None => Ok(self.caller),
            Some(_) => Err(TokenError::Bound),
        }
    }
}

/// The claim `aud`, which is a text or a list (RFC 7519 §4.1.3).
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    List(Vec<String>),
}

impl Audience {
    /// Returns whether this audience is the only one.
    fn is(&self, ours: &str) -> bool {
        match self {
            Self::One(one) => one == ours,
            Self::List(list) => matches!(list.as_slice(), [one] if one == ours),
        }
    }
}

/// Verifies access tokens for one API.
#[derive(Debug)]
pub struct Verifier {
    issuer: Issuer,
    audience: String,
    keys: Keys,
}

impl Verifier {
    /// Returns the verifier for tokens of that issuer with that audience.
    #[must_use]
    pub fn new(issuer: Issuer, audience: String) -> Self {
        Self::with_keys(issuer, audience, Keys::default())
    }

    /// Does the same with this cache of keys.
    #[must_use]
    pub const fn with_keys(issuer: Issuer, audience: String, keys: Keys) -> Self {
        Self {
            issuer,
            audience,
            keys,
        }
    }

    /// Reads the keys at start, so that the first request does not wait.
    ///
    /// # Errors
    /// If the provider is away. The first request tries again.
    pub async fn warm_up(&self) -> anyhow::Result<()> {
        self.keys.refresh(&self.issuer).await
    }

    /// Returns the caller whose token this is, at `now` (seconds since 1970).
    ///
    /// # Errors
    /// [`TokenError`], which has a variant for each rule.
    pub async fn verify(&self, token: &str, now: i64) -> Result<Caller, TokenError> {
        self.check(token, now).await?.into_bearer()
    }

    /// Returns the caller whose token this is, and the key of which its sender must show a proof ([`crate::proof`]).
    ///
    /// # Errors
    /// [`TokenError`], which has a variant for each rule.
    pub async fn verify_bound(
        &self,
        token: &str,
        now: i64,
    ) -> Result<(Caller, String), TokenError> {
        let checked = self.check(token, now).await?;
        let jkt = checked.jkt.ok_or(TokenError::Unbound)?;
        Ok((checked.caller, jkt))
    }

    async fn check(&self, token: &str, now: i64) -> Result<Checked, TokenError> {
        let (token, kid) = read(token)?;
        let key = self.keys.find(&self.issuer, &kid).await?;
        check(&token, &key, (self.issuer.url(), &self.audience), now)
    }
}

type Headers = BTreeMap<String, Value>;

/// Checks what needs no key. No request is made for a token that fails here.
fn read(token: &str) -> Result<(UntrustedToken<'_, Headers>, String), TokenError> {
    if token.len() > LONGEST {
        return Err(TokenError::Malformed);
    }
    let token: UntrustedToken<'_, Headers> = token.try_into().map_err(|_| TokenError::Malformed)?;
    let header = token.header();
    let kind = header
        .token_type
        .as_deref()
        .unwrap_or_default()
        .to_ascii_lowercase();
    if !matches!(kind.as_str(), "at+jwt" | "application/at+jwt") {
        return Err(TokenError::Type);
    }
    if token.algorithm() != "ES256" {
        return Err(TokenError::Algorithm);
    }
    if header.other_fields.contains_key("crit") {
        return Err(TokenError::Critical);
    }
    let kid = header.key_id.clone().ok_or(KeyError::Unknown)?;
    Ok((token, kid))
}

/// Checks the signature, and then the claims.
fn check(
    token: &UntrustedToken<'_, Headers>,
    key: &Key,
    (issuer, audience): (&str, &str),
    now: i64,
) -> Result<Checked, TokenError> {
    use jwt_compact::ValidationError::MalformedClaims;
    let token = Es256.validator::<AccessToken>(key).validate(token);
    let token = token.map_err(|error| {
        if matches!(error, MalformedClaims(_)) {
            TokenError::Claims
        } else {
            TokenError::Signature
        }
    })?;
    let (_, claims) = token.into_parts();
    check_times(&claims, now)?;
    let claims = claims.custom;
    if claims.iss != issuer {
        return Err(TokenError::Issuer);
    }
    if !claims.aud.is(audience) {
        return Err(TokenError::Audience);
    }
    if claims.sub.is_empty() {
        return Err(TokenError::Claims);
    }
    let scopes = claims
        .scope
        .split_ascii_whitespace()
        .map(str::to_owned)
        .collect();
    let caller = Caller {
        sub: claims.sub,
        roles: claims.roles,
        scopes,
        auth_time: claims.auth_time,
    };
    Ok(Checked {
        caller,
        jkt: claims.cnf.map(|confirmation| confirmation.jkt),
    })
}

/// Checks the times: `exp` and `iat` must be there, `nbf` may be (RFC 7519 §4.1.4 to §4.1.6; RFC 9068 §2.2).
fn check_times<T>(claims: &Claims<T>, now: i64) -> Result<(), TokenError> {
    let exp = claims.expiration.ok_or(TokenError::Claims)?.timestamp();
    let iat = claims.issued_at.ok_or(TokenError::Claims)?.timestamp();
    let nbf = claims.not_before.map_or(iat, |nbf| nbf.timestamp());
    if now >= exp.saturating_add(LEEWAY) {
        return Err(TokenError::Expired);
    }
    if iat.max(nbf) > now.saturating_add(LEEWAY) {
        return Err(TokenError::NotYet);
    }
    if exp.saturating_sub(iat) > LONGEST_LIFE {
        return Err(TokenError::TooLong);
    }
    Ok(())
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
