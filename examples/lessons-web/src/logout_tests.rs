#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use jwt_compact::{Algorithm, Header};
use serde_json::json;

use super::*;

type SigningKey = <Es256 as Algorithm>::SigningKey;

const NOW: i64 = 1_800_000_000;
const ISSUER: &str = "http://127.0.0.1:8080";

fn good() -> Value {
    json!({
        "iss": ISSUER, "aud": "lessons-web", "iat": NOW, "exp": NOW + 120, "jti": "1", "sub": "me",
        "sid": "s", "events": { EVENT: {} },
    })
}

fn sign(kind: &str, claims: Value) -> String {
    let key = SigningKey::from_slice(&[7; 32]).unwrap();
    let header = Header::empty().with_key_id("one").with_token_type(kind);
    Es256.token(&header, &Claims::new(claims), &key).unwrap()
}

fn judge(token: &str) -> Result<EndedSession, LogoutTokenError> {
    let token = UntrustedToken::new(token).map_err(|_| LogoutTokenError::Kind)?;
    kid(&token)?;
    let expected = Expected {
        issuer: ISSUER,
        client_id: "lessons-web",
        now: NOW,
    };
    let key = SigningKey::from_slice(&[7; 32]).unwrap();
    check(&token, key.verifying_key(), &expected)
}

/// The good claims with some of another value; null removes one.
fn with(changes: &[(&str, Value)]) -> Value {
    let mut claims = good();
    for (name, value) in changes {
        match value {
            Value::Null => {
                claims.as_object_mut().unwrap().remove(*name);
            }
            value => claims[*name] = value.clone(),
        }
    }
    claims
}

#[test]
fn lo_11_a_good_token_names_the_session() {
    let named = |sub: Option<&str>, sid: Option<&str>| {
        Ok(EndedSession {
            sub: sub.map(str::to_owned),
            sid: sid.map(str::to_owned),
            jti: "1".to_owned(),
        })
    };
    assert_eq!(
        judge(&sign("logout+jwt", good())),
        named(Some("me"), Some("s"))
    );
    let list = with(&[("aud", json!(["lessons-web"]))]);
    assert_eq!(
        judge(&sign("LOGOUT+JWT", list)),
        named(Some("me"), Some("s"))
    );
    let one = with(&[("sid", Value::Null)]);
    assert_eq!(judge(&sign("logout+jwt", one)), named(Some("me"), None));
    let other = with(&[("sub", Value::Null)]);
    assert_eq!(judge(&sign("logout+jwt", other)), named(None, Some("s")));
}

#[test]
fn lo_11_each_wrong_claim_is_refused() {
    use LogoutTokenError as E;

    for (changes, why) in [
        (vec![("iss", json!("http://127.0.0.1:9"))], E::Issuer),
        (vec![("aud", json!("other"))], E::Audience),
        (vec![("aud", json!(["lessons-web", "other"]))], E::Audience),
        (vec![("exp", json!(NOW - 30))], E::Time),
        (vec![("exp", Value::Null)], E::Time),
        (
            vec![("iat", json!(NOW - 181)), ("exp", json!(NOW + 600))],
            E::Time,
        ),
        (vec![("iat", json!(NOW + 31))], E::Time),
        (vec![("iat", Value::Null)], E::Time),
        (vec![("jti", Value::Null)], E::Signature),
        (vec![("sub", Value::Null), ("sid", Value::Null)], E::Subject),
        (vec![("events", Value::Null)], E::Signature),
        (vec![("events", json!({}))], E::Event),
        (vec![("events", json!({ EVENT: true }))], E::Event),
        (
            vec![(
                "events",
                json!({ "http://schemas.openid.net/event/other": {} }),
            )],
            E::Event,
        ),
        (vec![("nonce", json!("n"))], E::Nonce),
        (vec![("nonce", json!(7))], E::Nonce),
    ] {
        let judged = judge(&sign("logout+jwt", with(&changes)));
        assert_eq!(judged, Err(why), "{changes:?}");
    }
    let mut null = good();
    null["nonce"] = Value::Null;
    assert_eq!(
        judge(&sign("logout+jwt", null)),
        Err(E::Nonce),
        "null is one, too"
    );
}

#[test]
fn lo_11_no_other_token_is_a_logout_token() {
    for kind in ["JWT", "at+jwt", "secevent+jwt", ""] {
        assert_eq!(
            judge(&sign(kind, good())),
            Err(LogoutTokenError::Kind),
            "{kind}"
        );
    }
    let token = sign("logout+jwt", good());
    let (message, _) = token.rsplit_once('.').unwrap();
    for text in ["", "x", message, &format!("{message}.")] {
        assert!(judge(text).is_err(), "{text}");
    }
    let forged = format!("{message}.{}", "A".repeat(86));
    assert_eq!(judge(&forged), Err(LogoutTokenError::Signature));
    // {"alg":"none","typ":"logout+jwt","kid":"one"}
    let none = "eyJhbGciOiJub25lIiwidHlwIjoibG9nb3V0K2p3dCIsImtpZCI6Im9uZSJ9";
    let payload = message.split_once('.').unwrap().1;
    assert_eq!(
        judge(&format!("{none}.{payload}.")),
        Err(LogoutTokenError::Kind)
    );
}
