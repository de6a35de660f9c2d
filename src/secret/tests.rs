//! What is made is never guessed, altered or moved unnoticed.
use super::*;

#[test]
fn plain_round_trip_and_refusals() {
    let plain = Plain::generate();
    let text = plain.to_text();
    assert_eq!(
        Plain::parse(&text).map(|again| again.hash()),
        Some(plain.hash())
    );
    for bad in [
        "",
        &text[1..],
        &format!("{text}A"),
        &format!("{}=", &text[..42]),
        &format!("{}+", &text[..42]),
    ] {
        assert!(Plain::parse(bad).is_none(), "{bad:?} must be refused");
    }
    assert_eq!(format!("{plain:?}"), "Plain(…)");
}

#[test]
fn sealed_values_open_only_unaltered_in_their_place() {
    let keys = MasterKeys::new([7; 32], []);
    let sealer = keys.sealer("test v1");
    let sealed = sealer.seal(b"here", b"value");
    assert_eq!(
        sealer.open(b"here", &sealed).map(|v| v.to_vec()),
        Some(b"value".to_vec())
    );
    assert!(sealer.open(b"there", &sealed).is_none());
    let mut altered = sealed.clone();
    altered[13] ^= 1;
    assert!(sealer.open(b"here", &altered).is_none());
    let rotated = MasterKeys::new([8; 32], [[7; 32]]).sealer("test v1");
    assert!(rotated.open(b"here", &sealed).is_some());
    assert!(
        MasterKeys::new([8; 32], [])
            .sealer("test v1")
            .open(b"here", &sealed)
            .is_none()
    );
}

#[test]
fn mac_parts_do_not_run_together() {
    let mac = MasterKeys::new([7; 32], []).mac("test v1");
    assert!(mac.tag(&[b"ab", b"c"]) != mac.tag(&[b"a", b"bc"]));
    let old = mac.tag(&[b"x"]);
    assert!(
        MasterKeys::new([8; 32], [[7; 32]])
            .mac("test v1")
            .verify(&[b"x"], &old)
    );
}

#[test]
fn names_made_with_the_oldest_key_stay_while_the_key_is_changed() {
    let name = |keys: MasterKeys| keys.oldest_mac("test v1").tag(&[b"x"]);
    let before = name(MasterKeys::new([7; 32], []));
    assert_eq!(
        before,
        MasterKeys::new([7; 32], []).mac("test v1").tag(&[b"x"]),
        "as it always was"
    );
    assert_eq!(name(MasterKeys::new([8; 32], [[7; 32]])), before);
    assert_eq!(name(MasterKeys::new([9; 32], [[8; 32], [7; 32]])), before);
    assert!(name(MasterKeys::new([9; 32], [[8; 32]])) != before);
}

#[test]
fn a_hash_in_hexadecimal_digits() {
    let hash = Hash::of(b"x");
    let hex = hash.to_hex();
    assert_eq!(Hash::from_hex(&hex), Some(hash));
    assert_eq!(Hash::from_hex(&hex.to_uppercase()), Some(hash));
    for bad in [
        &hex[1..],
        &format!("{hex}0"),
        &format!("+{}", &hex[1..]),
        &format!("{}é", &hex[2..]),
    ] {
        assert_eq!(Hash::from_hex(bad), None, "{bad}");
    }
}

#[test]
fn random_below_reaches_both_ends() {
    let drawn: std::collections::BTreeSet<u64> = (0..500).map(|_| random_below(4)).collect();
    assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
}
