#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use serde_json::json;

use super::*;
use crate::key::pair::{SigningPair, generate};

const NOW: i64 = 1_800_000_000;
const EXPECT: ExpectedToken<'_> = ExpectedToken {
    typ: "at+jwt",
    issuer: "https://id.example",
    audiences: &["https://lessons.example", "other"],
};

/// One key of ours, which signs whatever a test wants.
struct Ours {
    pair: SigningPair,
    public: VerifyingKey,
}

impl Ours {
    fn new(alg: Alg) -> Self {
        let pair = SigningPair::parse(alg, &generate(alg).unwrap()).unwrap();
        Self {
            public: pair.verifying_key().unwrap(),
            pair,
        }
    }

    fn header(&self) -> Value {
        json!({"typ": "at+jwt", "alg": super::super::public::alg_name(self.public.alg()), "kid": self.public.thumbprint()})
    }

    fn token(&self, header: &Value, claims: &Value) -> String {
        self.raw(&header.to_string(), &claims.to_string())
    }

    fn raw(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
        let signature = BASE64.encode(self.pair.sign(message.as_bytes()).unwrap());
        format!("{message}.{signature}")
    }

    fn verify(&self, token: &str, expect: &ExpectedToken<'_>) -> Result<Claims, TokenError> {
        let find = |kid: &str| (kid == self.public.thumbprint()).then_some(&self.public);
        verify(
            token,
            &VerifiedTokens::default(),
            find,
            expect,
            Time::from_seconds(NOW),
        )
    }

    /// The verdict on a good token with these members changed; null takes one away.
    fn header_with(&self, change: Value) -> Result<(), TokenError> {
        let token = self.token(&merged(self.header(), change), &claims());
        self.verify(&token, &EXPECT).map(drop)
    }

    fn claims_with(&self, change: Value) -> Result<(), TokenError> {
        self.verify(
            &self.token(&self.header(), &merged(claims(), change)),
            &EXPECT,
        )
        .map(drop)
    }
}

fn claims() -> Value {
    json!({"iss": "https://id.example", "aud": "https://lessons.example", "sub": "u", "iat": NOW, "exp": NOW + 600})
}

fn merged(mut into: Value, change: Value) -> Value {
    for (name, value) in change.as_object().unwrap() {
        if value.is_null() {
            into.as_object_mut().unwrap().remove(name);
        } else {
            into[name] = value.clone();
        }
    }
    into
}

fn es256() -> Ours {
    Ours::new(Alg::ES256)
}

#[track_caller]
fn each(
    change: impl Fn(Value) -> Result<(), TokenError>,
    cases: &[(Value, Result<(), TokenError>)],
) {
    for (case, expected) in cases {
        assert_eq!(change(case.clone()), *expected, "{case}");
    }
}

#[test]
fn jt_04_a_good_token_of_either_kind_is_taken() {
    for alg in [Alg::ES256, Alg::RS256] {
        assert_eq!(Ours::new(alg).claims_with(json!({})), Ok(()));
    }
}

#[test]
fn jt_04_size() {
    let ours = es256();
    let token = |fill| {
        ours.token(
            &ours.header(),
            &merged(claims(), json!({"x": "x".repeat(fill)})),
        )
    };
    let short = MAX_BYTES - token(0).len();
    let fits = (0..short)
        .rev()
        .map(token)
        .find(|token| token.len() <= MAX_BYTES)
        .unwrap();
    assert!(ours.verify(&fits, &EXPECT).is_ok());
    assert_eq!(
        ours.verify(&token(short), &EXPECT),
        Err(TokenError::TooLong)
    );
}

#[test]
fn jt_04_shape() {
    let ours = es256();
    let good = ours.token(&ours.header(), &claims());
    let parts: Vec<&str> = good.split('.').collect();
    let cases = [
        String::new(),
        "a.b".to_owned(),
        format!("{good}.x"),
        format!("{good}="),
        format!(" {good}"),
        parts[..2].join("."),
        ours.raw(&ours.header().to_string(), "[]"),
        ours.raw(&ours.header().to_string(), "{"),
        ours.raw("[]", "{}"),
        ours.token(&merged(ours.header(), json!({"alg": "none"})), &claims()),
    ];
    for case in cases {
        assert_eq!(
            ours.verify(&case, &EXPECT),
            Err(TokenError::Malformed),
            "{case}"
        );
    }
}

#[test]
fn jt_04_crit() {
    let ours = es256();
    each(
        |change| ours.header_with(change),
        &[
            (
                json!({"crit": ["b64"], "b64": true}),
                Err(TokenError::Critical),
            ),
            (json!({"crit": ["exp"]}), Err(TokenError::Critical)),
            (json!({"crit": []}), Err(TokenError::Critical)),
        ],
    );
}

#[test]
fn jt_04_typ() {
    let ours = es256();
    each(
        |change| ours.header_with(change),
        &[
            (json!({"typ": "AT+JWT"}), Ok(())),
            (json!({"typ": "application/at+jwt"}), Ok(())),
            (json!({"typ": "Application/AT+jwt"}), Ok(())),
            (json!({"typ": "JWT"}), Err(TokenError::Type)),
            (json!({"typ": "at+jwt "}), Err(TokenError::Type)),
            (
                json!({"typ": "application/application/at+jwt"}),
                Err(TokenError::Type),
            ),
            (json!({"typ": null}), Err(TokenError::Type)),
        ],
    );
}

#[test]
fn jt_04_kid_from_our_cache_only() {
    let (ours, theirs) = (es256(), es256());
    assert_eq!(
        ours.header_with(json!({"kid": "another"})),
        Err(TokenError::Key)
    );
    assert_eq!(ours.header_with(json!({"kid": null})), Err(TokenError::Key));
    assert_eq!(
        ours.verify(&theirs.token(&theirs.header(), &claims()), &EXPECT),
        Err(TokenError::Key)
    );
}

#[test]
fn ky_06_keys_in_the_header_are_ignored() {
    let (ours, theirs) = (es256(), es256());
    let jwk: Value = serde_json::from_str(&theirs.public.jwk()).unwrap();
    let named =
        json!({"jwk": jwk, "jku": "https://evil.example/jwks", "x5u": "https://evil.example/x5u"});
    let header = merged(ours.header(), named);
    assert_eq!(
        ours.verify(&theirs.token(&header, &claims()), &EXPECT),
        Err(TokenError::Signature)
    );
    assert!(
        ours.verify(&ours.token(&header, &claims()), &EXPECT)
            .is_ok()
    );
}

#[test]
fn jt_04_alg_of_the_key_record() {
    let ours = es256();
    for alg in ["RS256", "HS256", "ES384", "PS256", "EdDSA"] {
        assert_eq!(
            ours.header_with(json!({"alg": alg})),
            Err(TokenError::Algorithm),
            "{alg}"
        );
    }
    assert_eq!(
        Ours::new(Alg::RS256).header_with(json!({"alg": "PS256"})),
        Err(TokenError::Algorithm)
    );
}

#[test]
fn jt_04_signature() {
    let ours = es256();
    let good = ours.token(&ours.header(), &claims());
    let other = ours.token(&ours.header(), &merged(claims(), json!({"sub": "another"})));
    let (message, _) = good.rsplit_once('.').unwrap();
    let (_, signature) = other.rsplit_once('.').unwrap();
    for signature in [signature, "", "AAAA"] {
        assert_eq!(
            ours.verify(&format!("{message}.{signature}"), &EXPECT),
            Err(TokenError::Signature)
        );
    }
}

#[test]
fn jt_04_iss() {
    let ours = es256();
    each(
        |change| ours.claims_with(change),
        &[
            (json!({"iss": null}), Err(TokenError::Issuer)),
            (
                json!({"iss": "https://id.example/"}),
                Err(TokenError::Issuer),
            ),
            (
                json!({"iss": ["https://id.example"]}),
                Err(TokenError::Issuer),
            ),
            (json!({"iss": 7}), Err(TokenError::Issuer)),
        ],
    );
}

#[test]
fn jt_04_aud() {
    let ours = es256();
    each(
        |change| ours.claims_with(change),
        &[
            (json!({"aud": "other"}), Ok(())),
            (json!({"aud": ["other"]}), Ok(())),
            (json!({"aud": null}), Err(TokenError::Audience)),
            (json!({"aud": 7}), Err(TokenError::Audience)),
            (json!({"aud": []}), Err(TokenError::Audience)),
            (
                json!({"aud": ["other", "third"]}),
                Err(TokenError::Audience),
            ),
            (
                json!({"aud": "https://lessons.example/"}),
                Err(TokenError::Audience),
            ),
            (
                json!({"aud": "HTTPS://lessons.example"}),
                Err(TokenError::Audience),
            ),
        ],
    );
}

#[test]
fn jt_04_sub() {
    let ours = es256();
    each(
        |change| ours.claims_with(change),
        &[
            (json!({"sub": null}), Err(TokenError::Subject)),
            (json!({"sub": ""}), Err(TokenError::Subject)),
            (json!({"sub": 7}), Err(TokenError::Subject)),
        ],
    );
}

#[test]
fn jt_04_exp() {
    let ours = es256();
    let ending = |exp| json!({"iat": NOW - 600, "exp": exp});
    each(
        |change| ours.claims_with(change),
        &[
            (json!({"exp": null}), Err(TokenError::Expiry)),
            (json!({"exp": "1800000600"}), Err(TokenError::Expiry)),
            (json!({"exp": 1e30}), Err(TokenError::Expiry)),
            (ending(NOW - 29), Ok(())),
            (ending(NOW - 30), Err(TokenError::Expired)),
            (ending(NOW - 31), Err(TokenError::Expired)),
        ],
    );
}

#[test]
fn jt_04_nbf() {
    let ours = es256();
    each(
        |change| ours.claims_with(change),
        &[
            (json!({"nbf": NOW + 30}), Ok(())),
            (json!({"nbf": NOW + 31}), Err(TokenError::NotYet)),
            (json!({"nbf": "soon"}), Err(TokenError::NotYet)),
        ],
    );
}

#[test]
fn jt_04_iat() {
    let ours = es256();
    each(
        |change| ours.claims_with(change),
        &[
            (json!({"iat": NOW + 30}), Ok(())),
            (json!({"iat": NOW + 31}), Err(TokenError::IssuedAt)),
            (json!({"iat": null}), Err(TokenError::IssuedAt)),
            (json!({"iat": "now"}), Err(TokenError::IssuedAt)),
        ],
    );
}

#[test]
fn jt_04_life() {
    let ours = es256();
    each(
        |change| ours.claims_with(change),
        &[
            (json!({"exp": NOW + 3600}), Ok(())),
            (json!({"exp": NOW + 3601}), Err(TokenError::Lifetime)),
            (json!({"exp": i64::MAX}), Err(TokenError::Lifetime)),
            (json!({"exp": NOW}), Err(TokenError::Lifetime)),
        ],
    );
}

#[test]
fn jt_03_what_the_default_validation_of_jsonwebtoken_lets_through_is_refused() {
    let ours = es256();
    for change in [
        json!({"aud": null}),
        json!({"iss": null}),
        json!({"aud": 1}),
        json!({"iss": 1}),
        json!({"iss": ["https://id.example", "https://evil.example"]}),
        json!({"nbf": NOW + 600}),
        json!({"iat": NOW + 500}),
        json!({"iat": NOW - 600, "exp": NOW - 59}),
    ] {
        assert!(ours.claims_with(change.clone()).is_err(), "{change}");
    }
    for change in [json!({"typ": "anything"}), json!({"crit": ["anything"]})] {
        assert!(ours.header_with(change.clone()).is_err(), "{change}");
    }
}

#[test]
fn jt_04_cnf() {
    let ours = es256();
    let key_of = |change: Value| {
        let token = ours.token(&ours.header(), &merged(claims(), change));
        let claims = ours.verify(&token, &EXPECT)?;
        Ok(bound_key(&claims).map(str::to_owned))
    };
    assert_eq!(
        key_of(json!({"cnf": {"jkt": "thumbprint"}})),
        Ok(Some("thumbprint".to_owned())),
        "the caller demands the proof"
    );
    assert_eq!(key_of(json!({})), Ok(None));
    for unknown in [
        json!({}),
        json!("thumbprint"),
        json!({"jkt": 7}),
        json!({"x5t#S256": "thumbprint"}),
    ] {
        let found = key_of(json!({ "cnf": unknown.clone() }));
        assert_eq!(found, Err(TokenError::Confirmation), "{unknown}");
    }
}

/// Each kind of token in the place of each other, all signed by our own key, which is more than an
/// attacker has.
#[test]
fn jt_04_no_kind_of_token_passes_for_another() {
    let ours = es256();
    let (us, app) = ("https://id.example", "app");
    let life = json!({"iat": NOW, "exp": NOW + 60, "jti": "j"});
    // name, typ, claims, and what a place that wants this kind expects
    let kinds = [
        (
            "ID token",
            "JWT",
            json!({"iss": us, "aud": app, "sub": "u", "nonce": "n"}),
            ("JWT", us, app),
        ),
        (
            "access token",
            "at+jwt",
            json!({"iss": us, "aud": "lessons", "sub": "u", "client_id": app}),
            ("at+jwt", us, "lessons"),
        ),
        (
            "logout token",
            "logout+jwt",
            json!({"iss": us, "aud": app, "sub": "u", "events": {}}),
            ("logout+jwt", us, app),
        ),
        // RFC 9449 §4.2: no issuer, audience or subject.
        (
            "DPoP proof",
            "dpop+jwt",
            json!({"htm": "POST", "htu": us}),
            ("dpop+jwt", us, app),
        ),
        // RFC 7523 §3: issuer and subject are the client, the audience is us.
        (
            "client assertion",
            "JWT",
            json!({"iss": app, "aud": us, "sub": app}),
            ("JWT", app, us),
        ),
    ];
    for (given, typ, claims, _) in &kinds {
        let header = merged(ours.header(), json!({"typ": typ}));
        let token = ours.token(&header, &merged(claims.clone(), life.clone()));
        for (wanted, _, _, (typ, issuer, audience)) in &kinds {
            let expect = ExpectedToken {
                typ,
                issuer,
                audiences: &[audience],
            };
            // A proof is never taken here: it has a verifier of its own.
            let right = given == wanted && *given != "DPoP proof";
            assert_eq!(
                ours.verify(&token, &expect).is_ok(),
                right,
                "{given} in the place of {wanted}"
            );
        }
    }
}
