//! What an address is worth with each kind of provider, and where each part of an identity comes
//! from.
#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;

const ASSERTED: &str = "trust = \"asserted\"";
const GOOGLE: &str = "kind = \"google\"";
const ENTRA: &str = "kind = \"entra\"\ntenant = \"common\"";

fn identity(settings: &str, claims: Value, userinfo: Option<Value>) -> ProviderIdentity {
    let settings = toml::from_str(&format!("id = \"a\"\nclient_id = \"c\"\n{settings}")).unwrap();
    let object = |value: Value| value.as_object().unwrap().clone();
    let token = VerifiedToken {
        issuer: "i".into(),
        subject: "s".into(),
        claims: object(claims),
    };
    identity_of(&settings, token, userinfo.map(object).as_ref(), None)
}

fn assert_trust(settings: &str, claims: Value, expected: Trust) {
    let message = format!("{settings} {claims}");
    assert_eq!(
        identity(settings, claims, None).trust,
        expected,
        "{message}"
    );
}

fn verified(email: &str) -> Value {
    json!({"email": email, "email_verified": true})
}

#[test]
fn pr_01_what_an_address_is_worth_by_provider() {
    let address = || verified("a@example.com");
    assert_trust("", address(), Trust::None);
    assert_trust(
        "kind = \"keycloak\"\nissuer = \"https://k\"",
        address(),
        Trust::None,
    );
    assert_trust(ASSERTED, address(), Trust::Asserted);
    assert_trust(ASSERTED, json!({"email": "a@example.com"}), Trust::None);
    let unverified = json!({"email": "a@example.com", "email_verified": false});
    assert_trust(ASSERTED, unverified, Trust::None);
    assert_trust(ASSERTED, json!({"email_verified": true}), Trust::None);
    let as_string = json!({"email": "a@privaterelay.appleid.com", "email_verified": "true"});
    assert_trust("kind = \"apple\"", as_string, Trust::Asserted);
}

#[test]
fn pr_01_a_listed_domain_is_compared_whole_and_in_canonical_form() {
    let listed =
        "trust = \"authoritative\"\nmail_domains = [\"example.com\", \"xn--exmple-cua.com\"]";
    for (email, expected) in [
        ("a@example.com", Trust::Authoritative),
        ("A@Example.COM", Trust::Authoritative),
        ("a@xn--exmple-cua.com", Trust::Authoritative),
        ("a@ex\u{e4}mple.com", Trust::Authoritative),
        ("a@gmail.com", Trust::Asserted),
        ("a@sub.example.com", Trust::Asserted),
        ("a@notexample.com", Trust::Asserted),
        ("a@example.com@gmail.com", Trust::Asserted),
    ] {
        assert_trust(listed, verified(email), expected);
    }
    assert_trust(listed, json!({"email": "a@example.com"}), Trust::None);
    assert_trust(
        "trust = \"authoritative\"",
        verified("a@example.com"),
        Trust::Asserted,
    );
}

#[test]
fn pr_01_google_is_authoritative_for_gmail_and_workspace_domains() {
    assert_trust(GOOGLE, verified("A@Gmail.com"), Trust::Authoritative);
    assert_trust(GOOGLE, verified("a@notgmail.com"), Trust::Asserted);
    let workspace = json!({"email": "a@example.com", "email_verified": true, "hd": "example.com"});
    assert_trust(GOOGLE, workspace, Trust::Authoritative);
    let unverified = json!({"email": "a@gmail.com", "email_verified": false});
    assert_trust(GOOGLE, unverified, Trust::None);
    let without_trust = "kind = \"google\"\ntrust = \"none\"";
    assert_trust(without_trust, verified("a@gmail.com"), Trust::None);
}

#[test]
fn oa_14_google_is_authoritative_for_the_domain_of_hd_and_no_other() {
    for (email, hd, expected) in [
        ("a@example.com", "Example.COM", Trust::Authoritative),
        ("a@EXAMPLE.com", "example.com", Trust::Authoritative),
        ("a@googlemail.com", "example.com", Trust::Authoritative),
        ("a@other.example", "example.com", Trust::Asserted),
        ("a@sub.example.com", "example.com", Trust::Asserted),
        ("a@example.com", "sub.example.com", Trust::Asserted),
        ("a@example.com", "", Trust::Asserted),
        ("a@gmail.com.example", "", Trust::Asserted),
        ("no address", "example.com", Trust::Asserted),
    ] {
        let claims = json!({"email": email, "email_verified": true, "hd": hd});
        assert_trust(GOOGLE, claims, expected);
    }
}

#[test]
fn pr_01_entra_verifies_the_owner_of_a_domain_and_not_an_address() {
    assert_trust(ENTRA, verified("a@example.com"), Trust::None);
    for (xms_edov, expected) in [
        (json!(true), Trust::Asserted),
        (json!(1), Trust::Asserted),
        (json!("1"), Trust::Asserted),
        (json!(0), Trust::None),
    ] {
        assert_trust(
            ENTRA,
            json!({"email": "a@example.com", "xms_edov": xms_edov}),
            expected,
        );
    }
}

#[test]
fn it_11_an_address_and_the_claims_about_it_come_from_one_document() {
    let userinfo = json!({
        "email": "info@example.com", "email_verified": true, "name": "Info", "locale": "fr",
    });
    let claims = json!({"email": "token@example.com"});
    let from_token = identity(ASSERTED, claims, Some(userinfo.clone()));
    assert_eq!(from_token.email.as_deref(), Some("token@example.com"));
    assert_eq!(from_token.trust, Trust::None);
    assert_eq!(from_token.name.as_deref(), Some("Info"));
    assert_eq!(from_token.locale.as_deref(), Some("fr"));
    let claims = json!({"email_verified": false, "amr": ["pwd", "mfa"]});
    let from_userinfo = identity(ASSERTED, claims, Some(userinfo));
    assert_eq!(from_userinfo.email.as_deref(), Some("info@example.com"));
    assert_eq!(from_userinfo.trust, Trust::Asserted);
    assert_eq!(from_userinfo.amr, ["pwd", "mfa"]);
}
