//! Redirect URIs: what is taken is what was registered, but for the port of a loopback address (RFC 9700 §2.1, RFC 8252
//! §7.3).
#![no_main]

use entree::{client::VerifiedRedirect, config::Client};
use libfuzzer_sys::fuzz_target;

const REGISTERED: [&str; 4] = [
    "https://app.example/cb",
    "https://app.example/cb?a=b",
    "http://127.0.0.1/cb",
    "http://[::1]:9/cb",
];

fuzz_target!(|given: &str| {
    let text = serde_json::json!({"client_id": "c", "name": "C", "audience": "a", "redirect_uris": REGISTERED});
    let client: Client = serde_json::from_value(text).expect("a client");
    // As it came, and behind each beginning that a look-alike would have.
    for head in [
        "",
        "https://app.example",
        "https://app.example/cb",
        "http://127.0.0.1",
        "http://[::1]",
        "http://127.0.0.1:",
    ] {
        let uri = format!("{head}{given}");
        let Some(verified) = VerifiedRedirect::check(&client, &uri) else {
            continue;
        };
        assert_eq!(verified.as_str(), uri);
        let loopback = |host: &str| {
            let port = uri
                .strip_prefix(host)
                .and_then(|rest| rest.strip_suffix("/cb"));
            port.is_some_and(|port| {
                port.is_empty()
                    || port
                        .strip_prefix(':')
                        .is_some_and(|port| port.parse::<u16>().is_ok())
            })
        };
        assert!(
            REGISTERED.contains(&uri.as_str())
                || loopback("http://127.0.0.1")
                || loopback("http://[::1]"),
            "{uri:?}"
        );
        let answer = verified.with(&[("code", "c"), ("state", given)]);
        assert!(
            answer.starts_with(&uri) && !answer.contains(['\r', '\n', ' ']),
            "{answer:?}"
        );
    }
});
