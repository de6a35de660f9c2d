#![allow(clippy::unwrap_used)]

use super::*;
use crate::config::RESERVED_SCOPES;

fn client_with(more: &str) -> Client {
    let scopes = r#"["openid","email","offline_access","lessons:read","lessons:write"]"#;
    let text = format!(r#"{{"client_id":"c","name":"C","audience":"a","scopes":{scopes}{more}}}"#);
    serde_json::from_str(&text).unwrap()
}

fn client_with_scopes(scopes: &str) -> Client {
    let json = format!(r#"{{"client_id":"c","name":"C","audience":"a","scopes":[{scopes}]}}"#);
    serde_json::from_str(&json).unwrap()
}

#[test]
fn rf_1_offline_access_is_for_clients_that_list_it() {
    let requested = "openid offline_access profile lessons:read openid";
    let client = client_with("");
    assert_eq!(
        grantable(&Reloadable::default(), &client, None, requested),
        "openid offline_access lessons:read"
    );
    assert!(allows_refresh(&client, "openid offline_access") && !allows_refresh(&client, "openid"));
    let always = client_with(r#","first_party":true,"refresh_tokens":"always""#);
    assert!(allows_refresh(&always, "openid"));
    let mut withdrawn = client;
    withdrawn.scopes.retain(|scope| scope != OFFLINE);
    assert!(!allows_refresh(&withdrawn, "openid offline_access"));
}

#[test]
fn rf_3_a_refresh_may_narrow_and_never_widen() {
    let granted = "openid email offline_access";
    for (requested, expected) in [
        (None, Some(granted)),
        (Some("email"), Some("email")),
        (Some("email  openid"), Some("openid email")),
        (Some(granted), Some(granted)),
        (Some("openid profile"), None),
        (Some("Email"), None),
    ] {
        assert_eq!(
            narrow(granted, requested).ok().as_deref(),
            expected,
            "{requested:?}"
        );
    }
}

#[test]
fn tk_15_a_client_has_its_own_scopes_and_none_about_users() {
    let client = client_with("");
    for (requested, expected) in [
        (None, Some("lessons:read lessons:write")),
        (Some("lessons:write"), Some("lessons:write")),
        (Some("openid"), None),
        (Some("lessons:read offline_access"), None),
        (Some("lessons:delete"), None),
    ] {
        let scope = of_client_itself(&Reloadable::default(), &client, "a", requested);
        assert_eq!(scope.ok().as_deref(), expected, "{requested:?}");
    }
}

#[test]
fn az_6_unknown_and_foreign_scopes_are_left_out() {
    let all = client_with_scopes(r#""openid","profile","email""#);
    let few = client_with_scopes(r#""openid""#);
    for (client, requested, expected) in [
        (&all, "openid email", "openid email"),
        (&all, "email openid", "email openid"),
        (&all, "openid openid  email", "openid email"),
        (
            &all,
            "openid offline_access address phone nonsense",
            "openid",
        ),
        (&all, "OPENID Email", ""),
        (&all, "openid,email", ""),
        (&all, "", ""),
        (&few, "openid profile email", "openid"),
        (&few, "profile", ""),
    ] {
        let granted = grantable(&Reloadable::default(), client, None, requested);
        assert_eq!(granted, expected, "{requested}");
    }
}

#[test]
fn az_6_scopes_of_apis_are_given_to_clients_that_list_them() {
    let client = client_with_scopes(r#""openid","lessons:read""#);
    let requested = "lessons:read lessons:write openid";
    let config = Reloadable::default();
    assert_eq!(
        grantable(&config, &client, None, requested),
        "lessons:read openid"
    );
    let few = client_with_scopes(r#""openid""#);
    assert_eq!(
        grantable(&config, &few, None, "entree:admin openid"),
        "openid"
    );
}

#[test]
fn the_admin_scope_needs_the_role() {
    let granted = "openid entree:admin lessons:read";
    let coach = ["coach".to_owned(), "admins".to_owned()];
    assert_eq!(limit_to_roles(granted, &coach), "openid lessons:read");
    assert_eq!(limit_to_roles(granted, &["admin".to_owned()]), granted);
    assert_eq!(limit_to_roles("openid", &[]), "openid");
}

#[test]
fn has_compares_whole_names() {
    assert!(has("email openid", "openid"));
    assert!(!has("openid2 xopenid", "openid"));
    assert!(!has("", "openid"));
}

#[test]
fn rs_1_every_scope_of_ours_is_reserved() {
    for scope in SUPPORTED.into_iter().chain([ADMIN_SCOPE]) {
        assert!(RESERVED_SCOPES.contains(&scope), "{scope}");
    }
}

const LESSONS: &str = "https://lessons.example";
const MUSIC: &str = "https://music.example";
const BARE: &str = "https://bare.example";
const FREE: &str = "https://free.example";

/// Two APIs with scopes, of which `c` may request the first, and one without.
fn with_resources() -> Reloadable {
    let resources = serde_json::json!([
        {
            "identifier": LESSONS, "clients": ["c"],
            "scopes": { "lessons:read": {}, "lessons:write": {} },
        },
        { "identifier": MUSIC, "scopes": { "music:play": {} }, "open": true },
        { "identifier": BARE, "access_token_typ": "JWT" },
    ]);
    Reloadable {
        resources: serde_json::from_value(resources).unwrap(),
        ..Reloadable::default()
    }
}

/// RS-2: the scopes of an API need no entry in the client, and an entry does not replace the right
/// to request the API.
#[test]
fn rs_2_rs_3_a_token_carries_the_scopes_of_its_api_and_those_about_the_user() {
    let config = with_resources();
    let client = client_with_scopes(r#""openid","email","own:use","music:play""#);
    let all = "openid email profile own:use lessons:read lessons:write music:play other:use";
    let both = format!("{LESSONS} {FREE}");
    for (audiences, expected) in [
        (None, "openid email own:use lessons:read lessons:write"),
        (Some(LESSONS), "openid email lessons:read lessons:write"),
        (
            Some("HTTPS://Lessons.EXAMPLE/"),
            "openid email lessons:read lessons:write",
        ),
        (Some(MUSIC), "openid email"),
        (Some(BARE), "openid email own:use"),
        (Some(FREE), "openid email own:use"),
        (
            Some(both.as_str()),
            "openid email own:use lessons:read lessons:write",
        ),
    ] {
        let granted = grantable(&config, &client, audiences, all);
        assert_eq!(granted, expected, "{audiences:?}");
    }
    let mut musician = client;
    musician.resources = vec![MUSIC.to_owned()];
    assert_eq!(
        grantable(&config, &musician, Some(MUSIC), all),
        "openid email music:play"
    );
}

/// RS-2: describing an API widens no client that lists what it may have there.
#[test]
fn rs_2_a_client_that_lists_scopes_of_an_api_has_these_alone() {
    let config = with_resources();
    let listed = client_with_scopes(r#""openid","lessons:read""#);
    let all = "openid lessons:read lessons:write";
    for audiences in [None, Some(LESSONS)] {
        let granted = grantable(&config, &listed, audiences, all);
        assert_eq!(granted, "openid lessons:read");
    }
}

#[test]
fn rs_6_what_is_taken_away_is_in_no_further_token() {
    let client = client_with_scopes(r#""openid""#);
    let granted = "openid lessons:read lessons:write";
    let carried = |resources: serde_json::Value| {
        let config = Reloadable {
            resources: serde_json::from_value(resources).unwrap(),
            ..Reloadable::default()
        };
        grantable(&config, &client, Some(LESSONS), granted)
    };
    let block = |scopes: serde_json::Value, clients: &[&str]| {
        let block = serde_json::json!({
            "identifier": LESSONS, "clients": clients, "scopes": scopes,
        });
        serde_json::json!([block])
    };
    let (one, two) = (
        serde_json::json!({ "lessons:read": {} }),
        serde_json::json!({ "lessons:read": {}, "lessons:write": {} }),
    );
    assert_eq!(carried(block(two.clone(), &["c"])), granted);
    assert_eq!(carried(block(one, &["c"])), "openid lessons:read", "scope");
    assert_eq!(carried(block(two, &["other"])), "openid", "client");
    assert_eq!(carried(serde_json::json!([])), "openid", "API");
}

#[test]
fn rs_8_a_client_itself_gets_no_scope_of_another_api() {
    let config = with_resources();
    let client = client_with_scopes(r#""openid","own:use","lessons:read""#);
    for (audience, requested, expected) in [
        (LESSONS, None, Some("lessons:read")),
        (LESSONS, Some("lessons:write"), None),
        (LESSONS, Some("own:use"), None),
        (LESSONS, Some("lessons:read openid"), None),
        (FREE, None, Some("own:use")),
        (FREE, Some("lessons:read"), None),
        (MUSIC, Some("music:play"), None),
    ] {
        let scope = of_client_itself(&config, &client, audience, requested);
        assert_eq!(scope.ok().as_deref(), expected, "{audience} {requested:?}");
    }
}

#[test]
fn rs_8_a_scope_of_another_resource_than_the_named_one_is_refused() {
    let config = with_resources();
    for (audience, requested, is_refused) in [
        (LESSONS, "openid lessons:read", false),
        (LESSONS, "openid music:play", true),
        ("https://LESSONS.example/", "lessons:read", false),
        (FREE, "lessons:read", true),
        (FREE, "own:use", false),
        (LESSONS, "", false),
    ] {
        let checked = check_belongs(&config, audience, requested);
        let code = checked.err().map(|error| error.code);
        let expected = is_refused.then_some(ErrorCode::InvalidScope);
        assert_eq!(code, expected, "{audience} {requested}");
    }
}
