//! The `claims` parameter never fails, and grants nothing that the client does not list (OIDC Core §5.5, CL-5).
#![no_main]

use entree::{
    config::Client,
    oauth::claims_request::{ClaimsRequest, scopes_behind},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let one = serde_json::json!({"client_id": "c", "name": "C", "audience": "a", "scopes": ["openid", "email"]});
    let client: Client = serde_json::from_value(one).expect("a client");
    let asked = ClaimsRequest::read(text);
    let granted = asked.granted(&client, "openid");
    assert!(
        scopes_behind(&granted)
            .iter()
            .all(|scope| *scope == "email"),
        "{granted:?}"
    );
    assert_eq!(
        asked.granted(&client, "email"),
        "",
        "nothing without openid"
    );
    assert!(asked.sub.is_none_or(|sub| sub.chars().count() <= 255) && asked.acr.len() <= 16);
});
