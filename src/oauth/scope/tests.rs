#![allow(clippy::unwrap_used)]

use super::*;

const ISSUER: &str = "https://id.example";

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
        grantable(&client, requested),
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
        let scope = of_client_itself(&client, requested);
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
        assert_eq!(grantable(client, requested), expected, "{requested}");
    }
}

#[test]
fn az_6_scopes_of_apis_are_given_to_clients_that_list_them() {
    let client = client_with_scopes(r#""openid","lessons:read""#);
    let requested = "lessons:read lessons:write openid";
    assert_eq!(grantable(&client, requested), "lessons:read openid");
    assert_eq!(
        grantable(&client_with_scopes(r#""openid""#), "entree:admin openid"),
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

fn client_with_resource(more: &str) -> Client {
    let least = r#""client_id":"c","name":"C","audience":"https://a.example""#;
    serde_json::from_str(&format!(
        "{{{least},\"resources\":[\"https://b.example/v1\"]{more}}}"
    ))
    .unwrap()
}

fn resource_params(names: &[&str]) -> Params {
    let pairs = names.iter().map(|name| ("resource", *name));
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish();
    Params::from_form(body.as_bytes(), Some("application/x-www-form-urlencoded")).unwrap()
}

#[test]
fn az_23_a_requested_resource_must_be_the_clients() {
    let client = client_with_resource("");
    let requested = |names: &[&str]| requested_resources(&resource_params(names), &client, ISSUER);
    assert_eq!(requested(&[]).unwrap(), None);
    assert_eq!(
        requested(&["https://b.example/v1"]).unwrap().as_deref(),
        Some("https://b.example/v1")
    );
    let both = [
        "https://b.example/v1",
        "https://a.example",
        "https://b.example/v1",
    ];
    assert_eq!(
        requested(&both).unwrap().as_deref(),
        Some("https://b.example/v1 https://a.example")
    );
    for bad in [
        "https://c.example",
        "https://a.example/",
        "https://A.example",
        "https://a.example#x",
        ISSUER,
        " ",
    ] {
        assert_eq!(
            requested(&["https://a.example", bad]).unwrap_err().code,
            ErrorCode::InvalidTarget,
            "{bad:?}"
        );
    }
    let long = format!("https://a.example/{}", "x".repeat(MAX_RESOURCE));
    assert!(requested(&[&long]).is_err());
}

#[test]
fn a_token_has_one_audience_of_those_granted() {
    let client = client_with_resource("");
    let granted = "https://b.example/v1 https://a.example";
    let choose = |granted: &str, names: &[&str]| {
        choose_audience(&resource_params(names), granted, &client, ISSUER)
    };
    assert_eq!(choose(granted, &[]).unwrap(), "https://b.example/v1");
    assert_eq!(
        choose(granted, &["https://a.example"]).unwrap(),
        "https://a.example"
    );
    for (granted, bad) in [
        ("https://a.example", &["https://b.example/v1"][..]),
        (granted, &["https://a.example", "https://b.example/v1"]),
        (granted, &[ISSUER]),
        ("https://gone.example", &["https://gone.example"]),
    ] {
        assert_eq!(
            choose(granted, bad).unwrap_err().code,
            ErrorCode::InvalidTarget,
            "{bad:?}"
        );
    }
    assert_eq!(
        choose("https://gone.example", &[]).unwrap(),
        "https://a.example",
        "the client's current audience"
    );
}

#[test]
fn our_own_api_is_for_our_own_clients_and_admins() {
    assert!(!registered_resources(&client_with_resource(""), ISSUER).contains(&ISSUER));
    for more in [
        r#","first_party":true"#,
        r#","scopes":["openid","entree:admin"]"#,
    ] {
        assert_eq!(
            registered_resources(&client_with_resource(more), ISSUER).join(" "),
            format!("https://a.example https://b.example/v1 {ISSUER}")
        );
    }
}
