//! Codes and refresh tokens as people and clients send them: no text that we did not make is one (RF-8, D5).
#![no_main]

use entree::{
    magic_link::code::normalise,
    oauth::refresh::RefreshToken,
    secret::{MasterKeys, Plain},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Some(code) = normalise(text, 8) {
        assert!(
            code.len() == 8 && code.bytes().all(|byte| byte.is_ascii_digit()),
            "{code:?}"
        );
        assert_eq!(normalise(&code, 8), Some(code));
    }
    if let Some(plain) = Plain::parse(text) {
        assert_eq!(plain.to_text(), text, "one way to write it");
    }
    let mac = MasterKeys::new([7; 32], []).mac("refresh v1");
    assert!(
        RefreshToken::parse(&mac, text).is_none(),
        "it cannot be made without the key"
    );
});
