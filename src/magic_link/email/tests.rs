//! What the emails say, in each shipped language.
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

fn facts() -> EmailFacts<'static> {
    EmailFacts {
        to: "someone@example.com",
        device: "Firefox on Linux",
        place: Some("Lausanne, CH"),
        client: Some("Lessons"),
        time: "23 November 2026, 15:07 UTC",
        domain: "login.example.com",
    }
}

fn secrets() -> SignInSecrets<'static> {
    SignInSecrets {
        link: LINK,
        code: "01234567",
        minutes: 10,
    }
}

fn sign_in_email(localizer: &Localizer) -> Email {
    sign_in(localizer, &facts(), &secrets()).unwrap()
}

fn all_emails(localizer: &Localizer) -> [Email; 5] {
    let provider = |change| provider_changed(localizer, &facts(), "Example", change).unwrap();
    [
        sign_in_email(localizer),
        no_account(localizer, &facts()).unwrap(),
        access_reset(localizer, &facts()).unwrap(),
        provider(ProviderChange::Connected),
        provider(ProviderChange::Disconnected),
    ]
}

#[test]
fn d6_every_email_names_client_device_place_time_and_the_only_domain() {
    for (tag, _) in SHIPPED {
        let device = if tag == "fr" {
            "Firefox sur Linux"
        } else {
            "Firefox on Linux"
        };
        for email in all_emails(&localizer(tag)) {
            for part in [&email.text, &email.html] {
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
                email.subject.contains("login.example.com"),
                "{}",
                email.subject
            );
            assert_eq!(
                (email.to.as_str(), email.locale.as_str()),
                ("someone@example.com", tag)
            );
        }
        let email = sign_in_email(&localizer(tag));
        assert!(email.subject.contains("Lessons"));
        for part in [&email.text, &email.html] {
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
        let email = sign_in_email(&localizer(tag));
        let words = email.html.split_once("<body").unwrap().1;
        for shown in [email.subject.as_str(), words, email.text.as_str()] {
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
        for (email, links) in all_emails(&localizer(tag)).iter().zip([1, 0, 0]) {
            assert_eq!(email.html.matches("http").count(), links);
            assert_eq!(email.text.matches("http").count(), links);
            assert_eq!(email.html.matches("href=").count(), links);
            for foreign in [
                "<img", "<script", "<link", "<style", "<form", "url(", "src=", "@import", "//fonts",
            ] {
                assert!(!email.html.contains(foreign), "{foreign}");
            }
            assert!(email.html.len() + email.text.len() < 10_000);
        }
    }
}

#[test]
fn g8_every_text_is_there_and_no_key_shows() {
    for (tag, _) in SHIPPED {
        for email in all_emails(&localizer(tag)) {
            for part in [&email.subject, &email.text, &email.html] {
                assert!(
                    !part.contains("mail-") && !part.contains("{ $") && !part.contains('\u{2068}'),
                    "{part}"
                );
            }
            assert!(
                email
                    .html
                    .contains(&format!("<html lang=\"{tag}\" dir=\"ltr\">"))
            );
        }
    }
    assert_ne!(
        sign_in_email(&localizer("en")).text,
        sign_in_email(&localizer("fr")).text
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
    let bare = EmailFacts {
        place: None,
        client: None,
        ..facts()
    };
    let email = sign_in(&localizer("en"), &bare, &secrets()).unwrap();
    assert!(
        !email.text.contains("location:") && !email.text.contains("App:"),
        "{}",
        email.text
    );
    assert!(
        email.text.contains("Device: Firefox on Linux")
            && email.subject.ends_with("login.example.com")
    );
    let without_device = EmailFacts {
        device: "",
        ..facts()
    };
    let email = no_account(&localizer("en"), &without_device).unwrap();
    assert!(
        !email.text.contains("Device") && email.text.contains("Time:"),
        "{}",
        email.text
    );
}

#[test]
fn names_from_outside_stay_names() {
    let odd = EmailFacts {
        client: Some("<b>Bank</b> & \"Co\""),
        device: "Firefox\r\n\r\nEnter the code at evil.example\u{202e}",
        ..facts()
    };
    let email = sign_in(&localizer("en"), &odd, &secrets()).unwrap();
    assert!(!email.html.contains("<b>Bank"), "{}", email.html);
    assert!(
        email.text.contains("<b>Bank</b> & \"Co\""),
        "plain text needs no escapes"
    );
    for part in [&email.subject, &email.text, &email.html] {
        assert!(
            !part.contains("\nEnter the code at evil") && !part.contains('\u{202e}'),
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
    let texts = std::env::temp_dir().join(format!("entree-emails-{}", crate::secret::public_id()));
    std::fs::create_dir_all(texts.join("ar")).unwrap();
    std::fs::write(texts.join("ar/own.ftl"), "service = مدرسة\n").unwrap();
    let arabic = Texts::load(Some(&texts)).unwrap().negotiate("ar", "");
    std::fs::remove_dir_all(&texts).unwrap();
    let email = sign_in_email(&arabic);
    assert_eq!(email.html.matches("dir=\"rtl\"").count(), 3);
    assert!(
        email.html.contains("<bdi dir=\"ltr\""),
        "the groups of the code keep their order"
    );
    assert!(
        email.text.contains("01234567"),
        "one number has only one order"
    );
}
