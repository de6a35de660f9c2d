//! Verifies the ID token, which says who signed in (OpenID Connect Core §3.1.3.7). The client is registered for ES256.

use jwt_compact::{AlgorithmExt as _, Claims, Empty, UntrustedToken, alg::Es256};
use lessons_api::{
    issuer::Issuer,
    keys::{Key, KeyError, Keys},
};
use serde::Deserialize;

/// How far clocks may differ, in seconds.
pub(crate) const LEEWAY: i64 = 30;

/// What the token must match.
pub(crate) struct Expected<'a> {
    /// The id of this client.
    pub(crate) client_id: &'a str,
    /// The nonce of the request; none after a refresh (OpenID Connect Core §12.2).
    pub(crate) nonce: Option<&'a str>,
    /// Seconds since 1970.
    pub(crate) now: i64,
}

/// Why an ID token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IdTokenError {
    /// The text is no token, is an access token, or is signed by another algorithm.
    #[error("not an ID token of ours")]
    Kind,
    /// The key is not available.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The signature is wrong, or a claim is malformed.
    #[error("wrong signature or malformed claims")]
    Signature,
    /// `iss` names another issuer.
    #[error("wrong issuer")]
    Issuer,
    /// `aud` names another client.
    #[error("wrong audience")]
    Audience,
    /// The token has expired, or was issued in the future.
    #[error("not valid now")]
    Time,
    /// The nonce is that of another sign-in.
    #[error("wrong nonce")]
    Nonce,
}

/// What a verified ID token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proof {
    /// The user.
    pub(crate) sub: String,
    /// When the user last signed in, in seconds since 1970.
    pub(crate) auth_time: Option<i64>,
    /// The session at Entree, by which logout tokens name it.
    pub(crate) sid: Option<String>,
}

#[derive(Deserialize)]
struct IdToken {
    iss: String,
    sub: String,
    aud: Audience,
    nonce: Option<String>,
    auth_time: Option<i64>,
    sid: Option<String>,
}

/// Who a token is for.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Audience {
    One(String),
    List(Vec<String>),
}

impl Audience {
    /// Whether the token is for this client alone.
    pub(crate) fn is_only(&self, client_id: &str) -> bool {
        match self {
            Self::One(one) => one == client_id,
            Self::List(list) => matches!(list.as_slice(), [one] if one == client_id),
        }
    }
}

/// Verifies an ID token and returns whose it is.
///
/// # Errors
/// [`IdTokenError`], with one variant for each rule.
pub(crate) async fn verify(
    issuer: &Issuer,
    keys: &Keys,
    token: &str,
    expected: &Expected<'_>,
) -> Result<Proof, IdTokenError> {
    let token = UntrustedToken::new(token).map_err(|_| IdTokenError::Kind)?;
    let kid = kid(&token)?;
    let key = keys.find(issuer, kid).await?;
    check(&token, &key, issuer.url(), expected)
}

/// An access token is no ID token, although the same key signed it.
fn kid<'a>(token: &'a UntrustedToken<'_>) -> Result<&'a str, IdTokenError> {
    let header = token.header();
    let kind = header.token_type.as_deref().unwrap_or("JWT");
    if token.algorithm() != "ES256" || !kind.eq_ignore_ascii_case("JWT") {
        return Err(IdTokenError::Kind);
    }
    Ok(header.key_id.as_deref().ok_or(KeyError::Unknown)?)
}

fn check(
    token: &UntrustedToken<'_, Empty>,
    key: &Key,
    issuer: &str,
    expected: &Expected<'_>,
) -> Result<Proof, IdTokenError> {
    let token = Es256
        .validator::<IdToken>(key)
        .validate(token)
        .map_err(|_| IdTokenError::Signature)?;
    let (_, claims): (_, Claims<IdToken>) = token.into_parts();
    let exp = claims.expiration.ok_or(IdTokenError::Time)?.timestamp();
    let iat = claims.issued_at.ok_or(IdTokenError::Time)?.timestamp();
    if expected.now >= exp.saturating_add(LEEWAY) || iat > expected.now.saturating_add(LEEWAY) {
        return Err(IdTokenError::Time);
    }
    let claims = claims.custom;
    if claims.iss != issuer {
        return Err(IdTokenError::Issuer);
    }
    if !claims.aud.is_only(expected.client_id) {
        return Err(IdTokenError::Audience);
    }
    if claims.nonce.as_deref() != expected.nonce {
        return Err(IdTokenError::Nonce);
    }
    Ok(Proof {
        sub: claims.sub,
        auth_time: claims.auth_time,
        sid: claims.sid,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use jwt_compact::{Algorithm, Header};
    use serde_json::{Value, json};

    use super::*;

    const NOW: i64 = 1_800_000_000;
    const ISSUER: &str = "http://127.0.0.1:8080";

    fn verify_with(kind: &str, name: &str, value: Value) -> Result<Proof, IdTokenError> {
        let key = <Es256 as Algorithm>::SigningKey::from_slice(&[7; 32]).unwrap();
        let mut claims = json!({"iss":ISSUER,"sub":"me","aud":"lessons-web","exp":NOW+600,"iat":NOW,"nonce":"n"});
        claims[name] = value;
        let header = Header::empty().with_key_id("one").with_token_type(kind);
        let token = Es256.token(&header, &Claims::new(claims), &key).unwrap();
        let token = UntrustedToken::new(&token).unwrap();
        kid(&token)?;
        let expected = Expected {
            client_id: "lessons-web",
            nonce: Some("n"),
            now: NOW,
        };
        check(&token, key.verifying_key(), ISSUER, &expected)
    }

    #[test]
    fn a_good_one_gives_the_person() {
        let me = |auth_time| {
            Ok(Proof {
                sub: "me".to_owned(),
                auth_time,
                sid: None,
            })
        };
        assert_eq!(verify_with("JWT", "nonce", json!("n")), me(None));
        assert_eq!(verify_with("JWT", "aud", json!(["lessons-web"])), me(None));
        assert_eq!(
            verify_with("JWT", "auth_time", json!(NOW - 7)),
            me(Some(NOW - 7))
        );
    }

    #[test]
    fn each_wrong_claim_is_refused() {
        for (name, value, why) in [
            ("iss", json!("http://127.0.0.1:9"), IdTokenError::Issuer),
            ("aud", json!("other"), IdTokenError::Audience),
            (
                "aud",
                json!(["lessons-web", "other"]),
                IdTokenError::Audience,
            ),
            ("nonce", json!("other"), IdTokenError::Nonce),
            ("nonce", json!(null), IdTokenError::Nonce),
            ("exp", json!(NOW - 31), IdTokenError::Time),
            ("iat", json!(NOW + 31), IdTokenError::Time),
            ("sub", json!(1), IdTokenError::Signature),
        ] {
            assert_eq!(verify_with("JWT", name, value), Err(why), "{name}");
        }
    }

    #[test]
    fn an_access_token_is_no_id_token() {
        assert_eq!(
            verify_with("at+jwt", "nonce", json!("n")),
            Err(IdTokenError::Kind)
        );
    }
}
