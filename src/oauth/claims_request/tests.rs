#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;
use crate::oauth::user_claims::consent_scopes;

fn client(scopes: &str) -> Client {
    let json = format!(r#"{{"client_id":"c","name":"C","audience":"a","scopes":[{scopes}]}}"#);
    serde_json::from_str(&json).unwrap()
}

fn granted(text: &str) -> String {
    ClaimsRequest::parse(text).granted(&client(r#""openid","profile","email""#), "openid")
}

#[test]
fn di_12_the_acr_of_a_provider_is_listed_while_one_is_enabled() {
    let mut config = Reloadable::default();
    assert_eq!(acr_values(&config), ["urn:entree:acr:email"]);
    let provider =
        r#"{"id":"work","name":"Example","issuer":"https://up.invalid","client_id":"c"}"#;
    config
        .providers
        .push(serde_json::from_str(provider).unwrap());
    assert_eq!(
        acr_values(&config),
        ["urn:entree:acr:email", "urn:entree:acr:upstream"]
    );
    config.providers[0].enabled = false;
    assert_eq!(acr_values(&config), ["urn:entree:acr:email"]);
}

#[test]
fn cl_5_known_claims_are_kept_by_member_and_others_are_ignored() {
    for (request, kept) in [
        (
            json!({ "userinfo": { "name": { "essential": true } } }),
            "userinfo.name",
        ),
        (
            json!({ "id_token": { "email": null, "email_verified": null } }),
            "id_token.email id_token.email_verified",
        ),
        (
            json!({ "userinfo": { "roles": {}, "acr": null }, "id_token": { "roles": { "value": "x" } } }),
            "id_token.roles userinfo.roles userinfo.acr",
        ),
        // Claims that an ID token always has, and unknown ones.
        (
            json!({ "id_token": { "auth_time": { "essential": true }, "acr": null, "sub": null, "iss": null } }),
            "",
        ),
        (
            json!({ "userinfo": { "phone_number": { "essential": true }, "http://x/y": { "z": 1 } } }),
            "",
        ),
        (
            json!({ "access_token": { "name": null }, "userinfo": null, "more": 7 }),
            "",
        ),
        (json!({}), ""),
    ] {
        assert_eq!(granted(&request.to_string()), kept, "{request}");
    }
}

#[test]
fn cl_5_a_text_that_the_standard_does_not_describe_requests_nothing() {
    let long = json!({ "userinfo": { "name": null, "x": { "value": "y".repeat(MAX_BYTES) } } })
        .to_string();
    for text in [
        "",
        "{{{",
        "7",
        "[]",
        "null",
        r#"{"userinfo":["name"]}"#,
        r#"{"userinfo":{"name":true}}"#,
        r#"{"userinfo":{"name":null},"id_token":"email"}"#,
        &"[".repeat(MAX_BYTES),
        &long,
    ] {
        assert_eq!(
            ClaimsRequest::parse(text),
            ClaimsRequest::default(),
            "{text}"
        );
    }
}

#[test]
fn cl_5_tk_10_a_client_gets_no_more_than_its_scopes_stand_for() {
    let all = json!({ "userinfo": { "name": null, "email": null, "roles": null } }).to_string();
    let request = ClaimsRequest::parse(&all);
    assert_eq!(
        request.granted(&client(r#""openid","email""#), "openid"),
        "userinfo.email userinfo.roles"
    );
    assert_eq!(
        request.granted(&client(r#""openid""#), "openid"),
        "userinfo.roles"
    );
    assert_eq!(
        request.granted(&client(r#""openid","email""#), "email"),
        "",
        "without openid there is nothing to deliver them in"
    );
    let claims = "userinfo.email userinfo.roles id_token.name userinfo.name id_token.email";
    assert_eq!(consent_scopes("openid", claims), "openid email profile");
    assert_eq!(
        consent_scopes("email openid", claims),
        "email openid profile"
    );
    assert_eq!(consent_scopes("openid", ""), "openid");
}

#[test]
fn pm_8_only_an_essential_acr_is_demanded() {
    let acr = |claim: Value| {
        ClaimsRequest::parse(&json!({ "id_token": { "acr": claim } }).to_string()).acr
    };
    assert_eq!(acr(json!({ "essential": true, "value": "a" })), ["a"]);
    assert_eq!(
        acr(json!({ "essential": true, "values": ["a", "b", 7] })),
        ["a", "b"]
    );
    for voluntary in [
        json!(null),
        json!({ "values": ["a"] }),
        json!({ "essential": false, "value": "a" }),
    ] {
        assert!(acr(voluntary.clone()).is_empty(), "{voluntary}");
    }
    assert!(
        acr(json!({ "essential": true })).is_empty(),
        "any acr satisfies it"
    );
    let in_userinfo =
        json!({ "userinfo": { "acr": { "essential": true, "value": "a" } } }).to_string();
    assert!(ClaimsRequest::parse(&in_userinfo).acr.is_empty());
}

#[test]
fn pm_7_a_sub_with_a_value_names_the_user() {
    let sub = |text: Value| ClaimsRequest::parse(&text.to_string()).sub;
    assert_eq!(
        sub(json!({ "id_token": { "sub": { "value": "u" } } })).as_deref(),
        Some("u")
    );
    assert_eq!(sub(json!({ "id_token": { "sub": null } })), None);
    assert_eq!(
        sub(json!({ "userinfo": { "sub": { "value": "u" } } })),
        None
    );
}

#[test]
fn cl_5_di_6_every_claim_that_can_be_requested_is_advertised() {
    for (name, _) in CLAIMS {
        assert!(SUPPORTED.contains(&name), "{name}");
    }
}
