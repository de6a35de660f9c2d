//! What the letters say, in each shipped language.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::web::locale::Texts;

const SHIPPED: [(&str, &str); 2] = [
    ("en", include_str!("../../locales/en/mail.ftl")),
    ("fr", include_str!("../../locales/fr/mail.ftl")),
];
const LINK: &str =
    "https://login.example.com/login/link/9TqFzUqDqk0l5vHn2W3xYt6Rb8mKc1sPaEoJdVgLiZM";

fn localizer(tag: &str) -> Localizer {
    Texts::default().negotiate(tag, "")
}

fn full() -> SignInLetter<'static> {
    SignInLetter {
        to: "someone@example.com",
        link: LINK,
        code: "01234567",
        minutes: 10,
        device: "Firefox on Linux",
        place: Some("Lausanne, CH"),
        client: Some("Lessons"),
        time: "23 November 2026, 15:07 UTC",
        domain: "login.example.com",
    }
}

fn notice() -> Notice<'static> {
    let SignInLetter {
        to,
        device,
        place,
        client,
        time,
        domain,
        ..
    } = full();
    Notice {
        to,
        device,
        place,
        client,
        time,
        domain,
    }
}

fn all(localizer: &Localizer) -> [Email; 5] {
    let about = |what| provider(localizer, &notice(), "Example", what);
    let (reset, connected) = (access_reset(localizer, &notice()), about("connected"));
    [
        sign_in(localizer, &full()),
        no_account(localizer, &notice()),
        reset,
        connected,
        about("disconnected"),
    ]
    .map(Result::unwrap)
}

#[test]
fn d6_the_letter_names_client_device_place_time_and_the_only_domain() {
    for (tag, _) in SHIPPED {
        let device = if tag == "fr" {
            "Firefox sur Linux"
        } else {
            "Firefox on Linux"
        };
        for letter in all(&localizer(tag)) {
            for part in [&letter.text, &letter.html] {
                for fact in [
                    "Lessons",
                    device,
                    "Lausanne, CH",
                    "15:07 UTC",
                    "login.example.com",
                ] {
                    assert!(part.contains(fact), "{tag}: no {fact} in {part}");
                }
            }
            assert!(
                letter.subject.contains("login.example.com"),
                "{}",
                letter.subject
            );
            assert_eq!(
                (letter.to.as_str(), letter.locale.as_str()),
                ("someone@example.com", tag)
            );
        }
        let letter = sign_in(&localizer(tag), &full()).unwrap();
        assert!(letter.subject.contains("Lessons"));
        for part in [&letter.text, &letter.html] {
            assert!(
                part.contains("0123 4567") && part.contains(LINK) && part.contains("10"),
                "{part}"
            );
        }
    }
}

#[test]
fn d6_neither_subject_nor_first_lines_show_the_code() {
    for (tag, _) in SHIPPED {
        let letter = sign_in(&localizer(tag), &full()).unwrap();
        let words = letter.html.split_once("<body").unwrap().1;
        for shown in [letter.subject.as_str(), words, letter.text.as_str()] {
            let first: String = shown.chars().take(150).collect();
            assert!(
                !first.contains("0123") && !first.contains("4567"),
                "{first}"
            );
        }
    }
}

#[test]
fn g7_one_link_and_nothing_to_fetch() {
    for (tag, _) in SHIPPED {
        for (letter, links) in all(&localizer(tag)).iter().zip([1, 0, 0]) {
            assert_eq!(letter.html.matches("http").count(), links);
            assert_eq!(letter.text.matches("http").count(), links);
            assert_eq!(letter.html.matches("href=").count(), links);
            for foreign in [
                "<img", "<script", "<link", "<style", "<form", "url(", "src=", "@import", "//fonts",
            ] {
                assert!(!letter.html.contains(foreign), "{foreign}");
            }
            assert!(letter.html.len() + letter.text.len() < 10_000);
        }
    }
}

#[test]
fn g8_every_text_is_there_and_no_key_shows() {
    for (tag, _) in SHIPPED {
        for letter in all(&localizer(tag)) {
            for part in [&letter.subject, &letter.text, &letter.html] {
                assert!(
                    !part.contains("mail-") && !part.contains("{ $") && !part.contains('\u{2068}'),
                    "{part}"
                );
            }
            assert!(
                letter
                    .html
                    .contains(&format!("<html lang=\"{tag}\" dir=\"ltr\">"))
            );
        }
    }
    assert_ne!(
        sign_in(&localizer("en"), &full()).unwrap().text,
        sign_in(&localizer("fr"), &full()).unwrap().text
    );
}

#[test]
fn g8_all_languages_have_the_same_messages_with_the_same_values() {
    let messages = |source: &str| -> BTreeMap<String, BTreeSet<String>> {
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut key = String::new();
        for line in source.lines().filter(|line| !line.starts_with('#')) {
            if line.starts_with(|c: char| c.is_ascii_alphabetic()) {
                line.split(" =").next().unwrap().clone_into(&mut key);
            }
            if !line.is_empty() {
                let values = line
                    .split("{ $")
                    .skip(1)
                    .map(|rest| rest.split(' ').next().unwrap().to_owned());
                found.entry(key.clone()).or_default().extend(values);
            }
        }
        found
    };
    let english = messages(SHIPPED[0].1);
    assert!(english.len() > 15 && english["mail-sign-in-intro"].contains("minutes"));
    for (tag, source) in SHIPPED {
        assert_eq!(messages(source), english, "{tag}");
    }
}

#[test]
fn what_is_not_known_is_left_out() {
    let letter = sign_in(
        &localizer("en"),
        &SignInLetter {
            place: None,
            client: None,
            ..full()
        },
    )
    .unwrap();
    assert!(
        !letter.text.contains("location:") && !letter.text.contains("App:"),
        "{}",
        letter.text
    );
    assert!(
        letter.text.contains("Device: Firefox on Linux")
            && letter.subject.ends_with("login.example.com")
    );
    let letter = no_account(
        &localizer("en"),
        &Notice {
            device: "",
            ..notice()
        },
    )
    .unwrap();
    assert!(
        !letter.text.contains("Device") && letter.text.contains("Time:"),
        "{}",
        letter.text
    );
}

#[test]
fn names_from_outside_stay_names() {
    let odd = SignInLetter {
        client: Some("<b>Bank</b> & \"Co\""),
        device: "Firefox\r\n\r\nType the code at evil.example\u{202e}",
        ..full()
    };
    let letter = sign_in(&localizer("en"), &odd).unwrap();
    assert!(!letter.html.contains("<b>Bank"), "{}", letter.html);
    assert!(
        letter.text.contains("<b>Bank</b> & \"Co\""),
        "plain text needs no escapes"
    );
    for part in [&letter.subject, &letter.text, &letter.html] {
        assert!(
            !part.contains("\nType the code") && !part.contains('\u{202e}'),
            "{part}"
        );
    }
}

#[test]
fn the_code_is_shown_in_two_groups() {
    let cases = [
        ("12345678", "1234 5678"),
        ("00000000", "0000 0000"),
        ("123456", "123 456"),
        ("1234567", "1234 567"),
    ];
    for (code, shown) in cases {
        assert_eq!(grouped(code), shown);
    }
}

#[test]
fn g8_right_to_left_languages_read_so() {
    for (tag, dir) in [
        ("ar", "rtl"),
        ("he-IL", "rtl"),
        ("fa", "rtl"),
        ("en", "ltr"),
        ("fr-CH", "ltr"),
        ("", "ltr"),
    ] {
        assert_eq!(direction(tag), dir, "{tag}");
    }
    let mut arabic = localizer("en");
    arabic.tag = "ar".into();
    let letter = sign_in(&arabic, &full()).unwrap();
    assert_eq!(letter.html.matches("dir=\"rtl\"").count(), 3);
    assert!(
        letter.html.contains("<bdi dir=\"ltr\""),
        "the groups of the code keep their order"
    );
    assert!(
        letter.text.contains("01234567"),
        "one number has only one order"
    );
}
