//! The rules of an access token (RFC 9068 §4, RFC 8725), each refused by its own name.
//!
//! Nothing in the token chooses how it is verified: the algorithm is fixed here, the key comes from the published set
//! by its `kid` alone, and `jku`, `jwk`, `x5u` and `x5c` are never read.

use std::collections::BTreeMap;

use jwt_compact::{AlgorithmExt as _, Claims, UntrustedToken, alg::Es256};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    issuer::Issuer,
    keys::{Key, Keys, NoKey},
};

/// Longest token that is looked at.
const LONGEST: usize = 8192;
/// How far clocks may differ, in seconds.
const LEEWAY: i64 = 30;
/// Longest life of a token, in seconds: the provider's own upper bound.
const LONGEST_LIFE: i64 = 3600;

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The person: never changes, tells nothing.
    pub sub: String,
    /// Roles set by operators, for instance `coach`.
    pub roles: Vec<String>,
    /// What the client was granted, name by name.
    pub scopes: Vec<String>,
    /// When the person last proved who they are, in seconds since 1970. None: no person, or not known.
    pub auth_time: Option<i64>,
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Too long, or not three parts of base64url with JSON in them.
    #[error("not a token")]
    Malformed,
    /// `typ` is not that of an access token (RFC 9068 §4): an ID token, perhaps.
    #[error("not an access token")]
    Type,
    /// `alg` is not ES256 (RFC 8725 §3.1).
    #[error("wrong algorithm")]
    Algorithm,
    /// Has `crit`: we understand no extension (RFC 7515 §4.1.11).
    #[error("unknown critical header")]
    Critical,
    /// The key is not published, or not known to us yet.
    #[error(transparent)]
    Key(#[from] NoKey),
    /// The signature is not that of the key.
    #[error("wrong signature")]
    Signature,
    /// A claim is missing or of another type.
    #[error("a claim is missing or malformed")]
    Claims,
    /// A token of another issuer.
    #[error("wrong issuer")]
    Issuer,
    /// Meant for another API (RFC 8725 §3.9).
    #[error("wrong audience")]
    Audience,
    /// Over.
    #[error("expired")]
    Expired,
    /// `nbf` or `iat` lies ahead.
    #[error("not valid yet")]
    NotYet,
    /// Lives longer than any token of the provider.
    #[error("lives too long")]
    TooLong,
    /// Bound to a key of the client (RFC 9449): as a bearer token it is stolen.
    #[error("needs a proof of possession")]
    Bound,
    /// Bound to no key, and sent as if it were.
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

/// What a token is bound to (RFC 9449 §6.1). One that is bound in another way is refused.
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
    /// The caller of a bearer token: its sender may use it.
    fn into_bearer(self) -> Result<Caller, Refused> {
        match self.jkt {
            None => Ok(self.caller),
            Some(_) => Err(Refused::Bound),
        }
    }
}

/// `aud`: one text, or a list (RFC 7519 §4.1.3).
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    List(Vec<String>),
}

impl Audience {
    /// Whether this audience is the only one.
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
    /// For tokens of that issuer with that audience.
    #[must_use]
    pub fn new(issuer: Issuer, audience: String) -> Self {
        Self::with_keys(issuer, audience, Keys::default())
    }

    /// The same with a cache of one's own.
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
    /// If the provider is away; the first request tries again.
    pub async fn warm_up(&self) -> anyhow::Result<()> {
        self.keys.refresh(&self.issuer).await
    }

    /// Whose token this is, at `now` (seconds since 1970).
    ///
    /// # Errors
    /// [`Refused`]: one name a rule.
    pub async fn verify(&self, token: &str, now: i64) -> Result<Caller, Refused> {
        self.check(token, now).await?.into_bearer()
    }

    /// Whose token this is, and the key of which its sender must show a proof ([`crate::proof`]).
    ///
    /// # Errors
    /// [`Refused`]: one name a rule.
    pub async fn verify_bound(&self, token: &str, now: i64) -> Result<(Caller, String), Refused> {
        let checked = self.check(token, now).await?;
        let jkt = checked.jkt.ok_or(Refused::Unbound)?;
        Ok((checked.caller, jkt))
    }

    async fn check(&self, token: &str, now: i64) -> Result<Checked, Refused> {
        let (token, kid) = read(token)?;
        let key = self.keys.find(&self.issuer, &kid).await?;
        check(&token, &key, (self.issuer.url(), &self.audience), now)
    }
}

type Headers = BTreeMap<String, Value>;

/// What can be said before the key is known. No request is made for a token that fails here.
fn read(token: &str) -> Result<(UntrustedToken<'_, Headers>, String), Refused> {
    if token.len() > LONGEST {
        return Err(Refused::Malformed);
    }
    let token: UntrustedToken<'_, Headers> = token.try_into().map_err(|_| Refused::Malformed)?;
    let header = token.header();
    let kind = header
        .token_type
        .as_deref()
        .unwrap_or_default()
        .to_ascii_lowercase();
    if !matches!(kind.as_str(), "at+jwt" | "application/at+jwt") {
        return Err(Refused::Type);
    }
    if token.algorithm() != "ES256" {
        return Err(Refused::Algorithm);
    }
    if header.other_fields.contains_key("crit") {
        return Err(Refused::Critical);
    }
    let kid = header.key_id.clone().ok_or(NoKey::Unknown)?;
    Ok((token, kid))
}

/// Signature, then claims.
fn check(
    token: &UntrustedToken<'_, Headers>,
    key: &Key,
    (issuer, audience): (&str, &str),
    now: i64,
) -> Result<Checked, Refused> {
    use jwt_compact::ValidationError::MalformedClaims;
    let token = Es256.validator::<AccessToken>(key).validate(token);
    let token = token.map_err(|error| {
        if matches!(error, MalformedClaims(_)) {
            Refused::Claims
        } else {
            Refused::Signature
        }
    })?;
    let (_, claims) = token.into_parts();
    check_times(&claims, now)?;
    let claims = claims.custom;
    if claims.iss != issuer {
        return Err(Refused::Issuer);
    }
    if !claims.aud.is(audience) {
        return Err(Refused::Audience);
    }
    if claims.sub.is_empty() {
        return Err(Refused::Claims);
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

/// `exp` and `iat` must be there, `nbf` may (RFC 7519 §4.1.4 to §4.1.6; RFC 9068 §2.2).
fn check_times<T>(claims: &Claims<T>, now: i64) -> Result<(), Refused> {
    let exp = claims.expiration.ok_or(Refused::Claims)?.timestamp();
    let iat = claims.issued_at.ok_or(Refused::Claims)?.timestamp();
    let nbf = claims.not_before.map_or(iat, |nbf| nbf.timestamp());
    if now >= exp.saturating_add(LEEWAY) {
        return Err(Refused::Expired);
    }
    if iat.max(nbf) > now.saturating_add(LEEWAY) {
        return Err(Refused::NotYet);
    }
    if exp.saturating_sub(iat) > LONGEST_LIFE {
        return Err(Refused::TooLong);
    }
    Ok(())
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
