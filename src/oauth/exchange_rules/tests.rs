#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;
use crate::{clock::Time, oauth::scope::grantable, secret::public_id};

const CHAT: &str = "https://chat.example";
const LESSONS: &str = "https://lessons.example";
const GRADES: &str = "https://grades.example";

/// The client `web` of the chat, which calls lessons, which calls grades.
fn config() -> Reloadable {
    let client = |id: &str, scopes: serde_json::Value, rules: serde_json::Value| {
        json!({
            "client_id": id, "name": id, "audience": CHAT, "scopes": scopes, "token_exchange": rules,
            "token_endpoint_auth_method": "client_secret_basic",
        })
    };
    let rule =
        |from: &str, to: &str, scopes: &[&str]| json!({ "from": from, "to": to, "scopes": scopes });
    let clients = json!([
        client(
            "web",
            json!([
                "openid",
                "offline_access",
                "chat:use",
                "lessons:read",
                "grades:read"
            ]),
            json!([])
        ),
        client(
            "chat",
            json!(["openid"]),
            json!([rule(
                "https://CHAT.example/",
                LESSONS,
                &["lessons:read", "lessons:write"]
            )])
        ),
        client(
            "lessons",
            json!(["openid"]),
            json!([rule(LESSONS, GRADES, &["grades:read", "lessons:read"])])
        ),
    ]);
    let resources = json!([
        { "identifier": CHAT, "scopes": { "chat:use": {} } },
        { "identifier": LESSONS, "scopes": { "lessons:read": {}, "lessons:write": {} } },
        { "identifier": GRADES, "scopes": { "grades:read": {} } },
    ]);
    Reloadable {
        clients: serde_json::from_value(clients).unwrap(),
        resources: serde_json::from_value(resources).unwrap(),
        ..Reloadable::default()
    }
}

fn change(id: &str, change: impl FnOnce(&mut Client)) -> Reloadable {
    let mut config = config();
    let mut clients = config.clients.iter_mut();
    change(clients.find(|client| client.client_id == id).unwrap());
    config
}

fn grant(scope: &str) -> Grant {
    let at = Time(0);
    Grant {
        id: public_id(),
        user_id: public_id(),
        client_id: "web".to_owned(),
        session_id: None,
        identity_id: None,
        scope: scope.to_owned(),
        audience: CHAT.to_owned(),
        auth_time: at,
        acr: String::new(),
        amr: String::new(),
        created_at: at,
        expires_at: at,
        revoked_at: None,
        auth_epoch: 0,
        generation: 0,
        current_hash: None,
        previous_hash: None,
        successor: None,
        rotated_at: None,
        idle_until: None,
        claims: String::new(),
        dpop_jkt: None,
        gc_day: 0,
    }
}

fn requested(config: &Reloadable, resources: Option<&str>) -> String {
    let web = client::find(config, "web").unwrap();
    let all = "openid chat:use lessons:read lessons:write grades:read music:play";
    requestable(config, web, resources, all)
}

#[test]
fn ex_3_a_user_grants_what_the_client_lists_and_a_rule_passes_on() {
    let all = "openid chat:use lessons:read grades:read";
    for resources in [None, Some(CHAT), Some("HTTPS://chat.example")] {
        assert_eq!(requested(&config(), resources), all, "{resources:?}");
    }
    let elsewhere = Some("https://other.example");
    assert_eq!(requested(&config(), elsewhere), "openid");
    let without = change("lessons", |client| client.token_exchange.clear());
    assert_eq!(
        requested(&without, None),
        "openid chat:use lessons:read",
        "no rule"
    );
    let unlisted = change("web", |client| {
        client.scopes.retain(|name| name != "lessons:read")
    });
    assert_eq!(
        requested(&unlisted, None),
        "openid chat:use grades:read",
        "not listed"
    );
}

#[test]
fn ex_3_the_tokens_of_the_first_client_do_not_carry_what_it_passes_on() {
    let config = config();
    let web = client::find(&config, "web").unwrap();
    let granted = requested(&config, None);
    assert_eq!(
        grantable(&config, web, Some(CHAT), &granted),
        "openid chat:use"
    );
}

fn exchanged(config: &Reloadable, client: &str, from: &str, to: &str, granted: &str) -> String {
    let client = client::find(config, client).unwrap();
    let rules = leading_to(config, rules_from(config, client, from), to);
    exchangeable(config, &grant(granted), &rules)
}

#[test]
fn ex_3_an_exchange_gives_what_grant_and_rule_have_and_the_target_owns() {
    let all = "openid offline_access chat:use lessons:read grades:read";
    let of_config =
        |client: &str, from: &str, to: &str| exchanged(&config(), client, from, to, all);
    assert_eq!(of_config("chat", CHAT, LESSONS), "lessons:read");
    assert_eq!(of_config("lessons", LESSONS, GRADES), "grades:read");
    assert_eq!(of_config("chat", CHAT, GRADES), "", "no rule");
    assert_eq!(of_config("chat", LESSONS, GRADES), "", "another audience");
    let few = exchanged(&config(), "chat", CHAT, LESSONS, "openid chat:use");
    assert_eq!(few, "", "the user granted no more");
    let unlisted = change("web", |client| {
        client.scopes.retain(|name| name != "lessons:read")
    });
    assert_eq!(exchanged(&unlisted, "chat", CHAT, LESSONS, all), "");
    // What a check of the configuration refuses gives nothing either.
    let reserved = change("chat", |client| {
        for rule in &mut client.token_exchange {
            rule.scopes = vec!["openid".to_owned(), "offline_access".to_owned()];
        }
    });
    assert_eq!(exchanged(&reserved, "chat", CHAT, LESSONS, all), "");
}

fn claims(audience: &str, act: serde_json::Value) -> Claims {
    let claims = json!({ "aud": audience, "act": act });
    claims.as_object().unwrap().clone()
}

#[test]
fn ex_5_a_token_is_allowed_while_each_exchange_behind_it_is() {
    let grant = grant("chat:use lessons:read grades:read");
    let one = claims(LESSONS, json!({ "sub": "chat" }));
    let two = claims(
        GRADES,
        json!({ "sub": "lessons", "act": { "sub": "chat" } }),
    );
    let now = |config: &Reloadable, claims: &Claims| allowed_now(config, claims, &grant);
    assert_eq!(now(&config(), &one).as_deref(), Some("lessons:read"));
    assert_eq!(now(&config(), &two).as_deref(), Some("grades:read"));
    let without = |id: &str| change(id, |client| client.token_exchange.clear());
    assert_eq!(now(&without("chat"), &one), None);
    assert_eq!(now(&without("chat"), &two), None, "an earlier exchange");
    assert_eq!(now(&without("lessons"), &two), None);
    assert!(now(&without("lessons"), &one).is_some());
    let renamed = |id: &str| change(id, |client| client.client_id = "other".to_owned());
    assert_eq!(now(&renamed("chat"), &one), None, "the actor is gone");
    assert_eq!(
        now(&renamed("web"), &one).as_deref(),
        Some(""),
        "the client of the grant is gone"
    );
    let fewer = change("chat", |client| {
        for rule in &mut client.token_exchange {
            rule.scopes.retain(|name| name != "lessons:read");
        }
    });
    assert_eq!(now(&fewer, &one).as_deref(), Some(""));
    for (audience, act) in [
        (CHAT, json!({ "sub": "chat" })),
        (GRADES, json!({ "sub": "lessons" })),
        (
            GRADES,
            json!({ "sub": "chat", "act": { "sub": "lessons" } }),
        ),
        (LESSONS, json!({ "sub": "web" })),
        (LESSONS, json!({})),
    ] {
        let claims = claims(audience, act);
        assert_eq!(now(&config(), &claims), None, "{claims:?}");
    }
    let unexchanged = json!({ "aud": CHAT });
    assert_eq!(now(&config(), unexchanged.as_object().unwrap()), None);
}
