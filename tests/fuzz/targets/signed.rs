//! What strangers sign, and their keys (RFC 7515, RFC 7517): read without a panic, and never believed by a key of ours.
#![no_main]

use entree::{config::jwks::Jwks, key::ForeignToken};
use libfuzzer_sys::fuzz_target;

const KEYS: &str = r#"{"keys":[
    {"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"},
    {"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

fuzz_target!(|input: (&str, &[u8])| {
    let (token, document) = input;
    let keys = Jwks::published(KEYS.as_bytes()).expect("keys");
    if let Ok(foreign) = ForeignToken::parse(token, &["JWT"]) {
        assert!(!foreign.is_signed_by(&keys), "none of these keys has signed it");
    }
    if let Some(set) = Jwks::published(document) {
        let text = String::from(set.clone());
        assert_eq!(
            Jwks::try_from(serde_json::Value::String(text)).as_ref(),
            Ok(&set),
            "kept and read again"
        );
    }
});
