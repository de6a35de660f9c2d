#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;
use crate::{
    config::{ClientAuth, Profile, jwks::Jwks},
    key::test_keys::ProofKey,
    oauth::test_app::{self, TestApp},
    secret::public_id,
};

const ISSUER: &str = "https://id.example/auth";

fn client(own: Option<AssertionAudience>, profile: Profile) -> Client {
    let mut client: Client =
        toml::from_str("client_id = \"c\"\nname = \"C\"\naudience = \"https://api.example\"")
            .unwrap();
    (client.assertion_audience, client.profile) = (own, profile);
    client
}

#[test]
fn ot_1_the_profile_wins_then_the_client_then_the_default() {
    use AssertionAudience::{Any, Issuer};

    for (default, own, profile, expected) in [
        (Any, None, Profile::Standard, AudienceRule::Any),
        (Issuer, None, Profile::Standard, AudienceRule::Issuer),
        (Any, Some(Issuer), Profile::Standard, AudienceRule::Issuer),
        (Issuer, Some(Any), Profile::Standard, AudienceRule::Any),
        (
            Any,
            Some(Issuer),
            Profile::Fapi2,
            AudienceRule::IssuerAsString,
        ),
        (Any, None, Profile::Fapi2, AudienceRule::IssuerAsString),
    ] {
        let token = Token {
            assertion_audience: default,
            ..Token::default()
        };
        let found = AudienceRule::of(&client(own, profile), &token);
        assert_eq!(found, expected, "{default:?} {own:?} {profile:?}");
    }
}

#[test]
fn ot_1_the_issuer_is_right_in_any_case_and_the_pushed_endpoint_in_none() {
    use AudienceRule::{Any, Issuer, IssuerAsString};

    let endpoint = format!("{ISSUER}/oauth2/token");
    let push = format!("{ISSUER}/oauth2/par");
    for (audience, accepted_by) in [
        (json!(ISSUER), &[Any, Issuer, IssuerAsString][..]),
        (json!([ISSUER]), &[Any, Issuer]),
        (json!(endpoint), &[Any]),
        (json!([endpoint]), &[Any]),
        (json!(push), &[]),
        (json!([push]), &[]),
        (json!([ISSUER, endpoint]), &[]),
        (json!([ISSUER, ISSUER]), &[]),
        (json!([[ISSUER]]), &[]),
        (json!([]), &[]),
        (json!(format!("{ISSUER}/")), &[]),
        (json!("https://id.example"), &[]),
        (json!(""), &[]),
        (json!({ "aud": ISSUER }), &[]),
        (Value::Null, &[]),
    ] {
        for rule in [Any, Issuer, IssuerAsString] {
            let found = rule.accept(Some(&audience), ISSUER).is_some();
            assert_eq!(found, accepted_by.contains(&rule), "{rule:?} {audience}");
        }
    }
    assert_eq!(Any.accept(None, ISSUER), None);
    let named = |audience: &str| Any.accept(Some(&json!(audience)), ISSUER).unwrap();
    assert_eq!(named(ISSUER), NamedAudience::Issuer);
    assert_eq!(named(&endpoint), NamedAudience::TokenEndpoint);
}

#[test]
fn ot_1_the_log_names_a_client_once_a_day() {
    let named = Mutex::new(BTreeMap::new());
    let start = Time(1_800_000_000_000);
    let after = |seconds| start + Duration::from_secs(seconds);
    for (seconds, client, expected) in [
        (0, "a", true),
        (0, "b", true),
        (1, "a", false),
        (86_399, "a", false),
        (86_400, "a", true),
        (86_401, "a", false),
        (86_401, "b", true),
    ] {
        let found = is_due(&named, client, after(seconds));
        assert_eq!(found, expected, "{client} after {seconds} s");
    }
}

#[test]
fn ot_1_a_bounded_number_of_clients_is_remembered() {
    let named = Mutex::new(BTreeMap::new());
    let start = Time(1_800_000_000_000);
    for number in 0..=MOST_NAMED {
        let is_named = is_due(&named, &number.to_string(), start);
        assert_eq!(is_named, number < MOST_NAMED, "{number}");
    }
    assert!(is_due(&named, "a day later", start + BETWEEN_WARNINGS));
    assert_eq!(named.lock().unwrap().len(), 1);
}

/// No other test of this process lets the client `elsewhere` sign.
#[tokio::test]
async fn ot_1_the_log_names_a_client_whose_assertion_passed_for_the_token_endpoint() {
    let test_app = TestApp::new().await;
    test_app.advance(61);
    let (key, id) = (ProofKey::es256(), "elsewhere");
    let jwks = Jwks::try_from(json!({ "keys": [key.jwk] })).unwrap();
    test_app.configure(id, |client| {
        client.token_endpoint_auth_method = ClientAuth::PrivateKeyJwt;
        client.jwks = Some(jwks);
    });
    let status = async |audience: String, exp: i64| {
        let now = test_app.app.clock().now().seconds();
        let claims = json!({
            "iss": id, "sub": id, "aud": audience, "iat": now, "exp": now + exp,
            "jti": public_id().to_string(),
        });
        let assertion = key.sign(r#"{"alg":"ES256"}"#, &claims.to_string());
        let form = [
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ),
            ("client_assertion", &*assertion),
            ("token", "unknown"),
        ];
        let response = test_app.post("/oauth2/introspect", None, &form).await;
        response.status.as_u16()
    };
    let is_named = || NAMED.lock().unwrap().contains_key(id);
    let endpoint = || format!("{}/oauth2/token", test_app::ISSUER);
    assert_eq!(status(test_app::ISSUER.to_owned(), 60).await, 200);
    assert_eq!(status(endpoint(), -60).await, 401);
    assert!(!is_named());
    assert_eq!(status(endpoint(), 60).await, 200);
    assert!(is_named());
}
