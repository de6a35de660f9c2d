//! The vectors of E4 and LK-05, and the folded form (E6).
#![allow(clippy::unwrap_used)]

use serde::Deserialize;

use super::*;
use crate::secret::MasterKeys;

/// One line of the vector file: the text, and either its canonical form or the error.
#[derive(Deserialize)]
struct Vector {
    typed: String,
    #[serde(default)]
    eai: bool,
    is: Option<String>,
    refused: Option<String>,
}

fn vectors() -> Vec<Vector> {
    include_str!("../../../tests/it/vectors/addresses.jsonl")
        .lines()
        .filter(|line| !line.starts_with("{\"about\""))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn parse(typed: &str) -> Address {
    Address::parse(typed, false).unwrap()
}

#[test]
fn e_4_lk_05_every_vector_has_its_one_canonical_form_or_is_refused() {
    let vectors = vectors();
    assert!(vectors.len() >= 200, "{}", vectors.len());
    let mut wrong = Vec::new();
    for vector in &vectors {
        let got = Address::parse(&vector.typed, vector.eai);
        let matches = match &got {
            Ok(address) => vector.is.as_deref() == Some(address.canonical()),
            Err(error) => vector.refused.as_deref() == Some(format!("{error:?}").as_str()),
        };
        if !matches {
            let got = got.map(|address| address.canonical().to_owned());
            wrong.push(format!(
                "{:.80?}: {got:?}, not {:?} {:?}",
                vector.typed, vector.is, vector.refused
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn e_4_lk_05_a_canonical_form_is_its_own_canonical_form() {
    for vector in vectors() {
        let Some(canonical) = vector.is else { continue };
        assert_eq!(
            Address::parse(&canonical, vector.eai).unwrap().canonical(),
            canonical
        );
        assert!(
            canonical.len() <= 254 && canonical.matches('@').count() == 1,
            "{canonical}"
        );
        assert!(
            canonical.split_once('@').unwrap().1.is_ascii(),
            "{canonical}"
        );
    }
}

#[test]
fn e_4_an_address_that_needs_eai_is_refused_without_it() {
    for vector in vectors().iter().filter(|vector| vector.eai) {
        let Some(canonical) = &vector.is else {
            continue;
        };
        let without = Address::parse(&vector.typed, false);
        assert_eq!(without.is_ok(), canonical.is_ascii(), "{canonical}");
    }
}

#[test]
fn e_4_a_look_alike_never_becomes_another_address() {
    // The look-alikes of "ada@example.com" in the local part: none may become her address, with or
    // without EAI.
    for local in [
        "\u{212a}ate",
        "ad\u{131}",
        "\u{ff41}da",
        "\u{430}da",
        "ada\u{301}",
        "\u{17f}am",
    ] {
        for eai in [false, true] {
            if let Ok(address) = Address::parse(&format!("{local}@example.com"), eai) {
                assert!(
                    !address.canonical().is_ascii(),
                    "{local:?} became {}",
                    address.canonical()
                );
            }
        }
    }
}

#[test]
fn e_4_an_over_long_text_costs_nothing() {
    for text in [
        "a".repeat(10_000_000),
        "\u{301}".repeat(5_000_000),
        "@".repeat(10_000_000),
    ] {
        assert_eq!(
            Address::parse(&text, true).err(),
            Some(AddressError::TooLong)
        );
    }
}

#[test]
fn e_6_the_key_folds_the_spellings_of_one_mailbox() {
    for (typed, folded) in [
        ("ada+news@example.com", "ada@example.com"),
        ("ADA+a+b@example.com", "ada@example.com"),
        ("ada@example.com", "ada@example.com"),
        ("+tag@example.com", "+tag@example.com"),
        ("a.d.a@example.com", "a.d.a@example.com"),
        ("a.d.a@gmail.com", "ada@gmail.com"),
        ("A.d.A+x@GMAIL.com", "ada@gmail.com"),
        ("a.da+x.y@googlemail.com", "ada@gmail.com"),
        ("a.da@gmail.com.example", "a.da@gmail.com.example"),
        ("a.da@mail.gmail.com", "a.da@mail.gmail.com"),
    ] {
        assert_eq!(parse(typed).folded(), folded, "{typed}");
    }
}

#[test]
fn e_6_the_key_distinguishes_mailboxes_and_needs_the_master_key() {
    let mac = MasterKeys::new([1; 32], []).mac("address key v1");
    let key = |typed: &str| parse(typed).key(&mac);
    assert!(key("a.da+x@gmail.com") == key("ada@googlemail.com"));
    assert!(key("ada@example.com") != key("ada@example.org"));
    assert!(key("a.da@example.com") != key("ada@example.com"));
    let other = MasterKeys::new([2; 32], []).mac("address key v1");
    assert!(parse("ada@example.com").key(&other) != key("ada@example.com"));
}

#[test]
fn e_6_the_plus_tag_is_kept_for_identity() {
    assert_ne!(parse("ada+a@example.com"), parse("ada+b@example.com"));
    assert_ne!(parse("a.da@gmail.com"), parse("ada@gmail.com"));
}

#[test]
fn f_3_an_address_is_never_printed() {
    assert_eq!(format!("{:?}", parse("ada@example.com")), "Address(…)");
}
