#![allow(clippy::unwrap_used)]

use super::*;
use crate::secret::{MasterKeys, public_id};

#[test]
fn rf_5_db_01_a_token_is_long_printable_and_only_ours_is_read() {
    let mac = MasterKeys::new([7; 32], []).mac("refresh token v1");
    let token = RefreshToken::generate(public_id(), 3);
    let text = token.to_text(&mac);
    assert!(
        text.len() == 113 && text.chars().all(|c| c.is_ascii_graphic()),
        "{text}"
    );
    let parsed = RefreshToken::parse(&mac, &text).unwrap();
    assert_eq!((parsed.family, parsed.generation), (token.family, 3));
    assert!(parsed.secret.hash() == token.secret.hash());
    for at in 0..text.len() {
        let mut altered = text.clone().into_bytes();
        altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
        assert!(
            RefreshToken::parse(&mac, std::str::from_utf8(&altered).unwrap()).is_none(),
            "{at}"
        );
    }
    for bad in ["", "é", &text[1..], &format!("{text}A")] {
        assert!(RefreshToken::parse(&mac, bad).is_none());
    }
    assert!(
        RefreshToken::parse(&MasterKeys::new([8; 32], []).mac("refresh token v1"), &text).is_none()
    );
    let rotated = MasterKeys::new([8; 32], [[7; 32]]).mac("refresh token v1");
    assert!(
        RefreshToken::parse(&rotated, &text).is_some(),
        "an older master key still counts"
    );
    assert!(!format!("{token:?}").contains(&token.secret.to_text()));
}

#[test]
fn db_01_a_sealed_successor_opens_only_for_its_family_and_generation() {
    let sealer = MasterKeys::new([7; 32], []).sealer("x");
    let token = RefreshToken::generate(public_id(), 1);
    let sealed = token.seal(&sealer);
    let opened = RefreshToken::open(&sealer, token.family, 1, &sealed).unwrap();
    assert!(opened.secret.hash() == token.secret.hash());
    assert!(RefreshToken::open(&sealer, token.family, 2, &sealed).is_none());
    assert!(RefreshToken::open(&sealer, public_id(), 1, &sealed).is_none());
}
