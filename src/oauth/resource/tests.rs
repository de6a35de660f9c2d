#![allow(clippy::unwrap_used)]

use super::*;

const ISSUER: &str = "https://id.example";

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
    let config = Reloadable::default();
    let requested = |names: &[&str]| requested(&resource_params(names), &config, &client, ISSUER);
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
        let config = Reloadable::default();
        choose_audience(
            &resource_params(names),
            Some(granted),
            &config,
            &client,
            ISSUER,
        )
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
    let config = Reloadable::default();
    let names = |more: &str| {
        let client = client_with_resource(more);
        registered(&config, &client, ISSUER).join(" ")
    };
    let own = "https://a.example https://b.example/v1";
    assert_eq!(names(""), own);
    for more in [
        r#","first_party":true"#,
        r#","scopes":["openid","entree:admin"]"#,
    ] {
        assert_eq!(names(more), format!("{own} {ISSUER}"));
    }
}

/// An API that lists the client, and the client's own `https://b.example/v1`, otherwise spelled.
fn with_resources() -> Reloadable {
    let resources = serde_json::json!([
        { "identifier": "https://listed.example", "clients": ["c"] },
        { "identifier": "https://B.example/v1", "clients": ["c"] },
        { "identifier": "https://open.example", "open": true },
    ]);
    Reloadable {
        resources: serde_json::from_value(resources).unwrap(),
        ..Reloadable::default()
    }
}

#[test]
fn rs_2_a_resource_that_lists_the_client_may_be_named_and_an_open_one_may_not() {
    let (config, client) = (with_resources(), client_with_resource(""));
    assert_eq!(
        registered(&config, &client, ISSUER).join(" "),
        "https://a.example https://B.example/v1 https://listed.example"
    );
    let requested = |name: &str| requested(&resource_params(&[name]), &config, &client, ISSUER);
    assert_eq!(
        requested("https://listed.example").unwrap().as_deref(),
        Some("https://listed.example")
    );
    let refused = requested("https://open.example").unwrap_err();
    assert_eq!(refused.code, ErrorCode::InvalidTarget);
}

#[test]
fn rs_4_a_resource_is_found_in_other_spellings_and_spelled_as_registered() {
    let (config, client) = (with_resources(), client_with_resource(""));
    let params = |names: &[&str]| resource_params(names);
    let names = [
        "HTTPS://b.Example/v1",
        "https://LISTED.example/",
        "https://listed.example",
    ];
    let found = requested(&params(&names), &config, &client, ISSUER).unwrap();
    assert_eq!(
        found.as_deref(),
        Some("https://B.example/v1 https://listed.example")
    );
    let choose = |names: &[&str], granted: &str| {
        choose_audience(&params(names), Some(granted), &config, &client, ISSUER)
    };
    // A grant of before the API was registered in this spelling.
    let old = "https://b.example/v1";
    assert_eq!(choose(&[], old).unwrap(), "https://B.example/v1");
    assert_eq!(
        choose(&["https://B.EXAMPLE/v1", "https://b.example/v1"], old).unwrap(),
        "https://B.example/v1",
        "one resource, named twice"
    );
    // An audience without a block counts letter by letter.
    for bad in [
        "https://A.example",
        "https://a.example/",
        "https://b.example/V",
    ] {
        let refused = requested(&params(&[bad]), &config, &client, ISSUER).unwrap_err();
        assert_eq!(refused.code, ErrorCode::InvalidTarget, "{bad}");
    }
}

#[test]
fn rs_6_a_resource_that_is_taken_away_cannot_be_named_any_more() {
    let client = client_with_resource("");
    let granted = Some("https://listed.example");
    let named = resource_params(&["https://listed.example"]);
    let choose = |params: &Params, config: &Reloadable| {
        choose_audience(params, granted, config, &client, ISSUER)
    };
    let config = with_resources();
    assert_eq!(choose(&named, &config).unwrap(), "https://listed.example");
    let empty = Reloadable::default();
    let refused = choose(&named, &empty).unwrap_err();
    assert_eq!(refused.code, ErrorCode::InvalidTarget);
    let refused = requested(&named, &empty, &client, ISSUER).unwrap_err();
    assert_eq!(refused.code, ErrorCode::InvalidTarget);
    assert_eq!(
        choose(&resource_params(&[]), &empty).unwrap(),
        "https://a.example",
        "the client's own audience"
    );
}
