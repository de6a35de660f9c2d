//! A letter as an Internet message (RFC 5322, RFC 2045): text and HTML, nothing to fetch, nothing to inject.

use std::time::{Duration, UNIX_EPOCH};

use lettre::{
    Address, Message,
    message::{
        Mailbox, MultiPart,
        header::{HeaderName, HeaderValue},
    },
};

use super::super::Letter;
use crate::{clock::Time, secret};

/// Nothing we write comes near it; what does is a fault (G7).
const LARGEST: usize = 30 * 1024;

/// Builds the message, or says by a fixed word why it can never be sent.
pub(super) fn build(from: &Mailbox, letter: &Letter, now: Time) -> Result<Message, &'static str> {
    let to = address(&letter.to).ok_or("address")?;
    let millis = u64::try_from(now.0).unwrap_or_default();
    let message = Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, to))
        .subject(one_line(&letter.subject))
        .date(UNIX_EPOCH + Duration::from_millis(millis))
        // A new one for each try: a server that drops doubles by it must not drop the letter with the newer secret.
        .message_id(Some(format!(
            "<{}@{}>",
            secret::public_id(),
            from.email.domain()
        )))
        // RFC 3834 §5: keeps vacation notices from answering.
        .raw_header(field(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated",
        ))
        .raw_header(field(
            HeaderName::new_from_ascii_str("Content-Language"),
            &one_line(&letter.locale),
        ))
        .multipart(MultiPart::alternative_plain_html(
            letter.text.clone(),
            letter.html.clone(),
        ))
        .map_err(|_| "message")?;
    if message.formatted().len() > LARGEST {
        return Err("too large");
    }
    Ok(message)
}

/// The header fields, unfolded, for the mailbox page.
pub(super) fn fields(message: &Message) -> Vec<(String, String)> {
    let block = message
        .headers()
        .to_string()
        .replace("\r\n ", " ")
        .replace("\r\n\t", " ");
    block
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(n, v)| (n.to_owned(), v.trim().to_owned()))
        .collect()
}

/// An address was canonicalised long before it comes here; this is the last gate before header and SMTP command, and
/// refuses whatever could end either (RFC 5321 §4.1.2: no quoted local part is needed for any address we accept).
fn address(text: &str) -> Option<Address> {
    let foul = |c: char| {
        c.is_control() || c.is_whitespace() || matches!(c, '<' | '>' | '"' | ',' | ';' | ':' | '\\')
    };
    if text.len() > 254 || text.contains(foul) {
        return None;
    }
    text.parse().ok()
}

fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn field(name: HeaderName, value: &str) -> HeaderValue {
    HeaderValue::new(name, value.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn letter(to: &str, subject: &str) -> Letter {
        Letter {
            to: to.to_owned(),
            subject: subject.to_owned(),
            text: "Ça va ?\r\n.\r\nstill the same letter".to_owned(),
            html: "<p>Ça va ?</p>".to_owned(),
            locale: "fr".to_owned(),
        }
    }

    fn from() -> Mailbox {
        "Entree <login@id.example.com>".parse().unwrap()
    }

    #[test]
    fn g7_the_message_has_two_parts_and_the_fields_of_an_automatic_letter() {
        let message = build(
            &from(),
            &letter("someone@example.com", "Connexion à la leçon"),
            Time(1_000),
        )
        .unwrap();
        let raw = String::from_utf8(message.formatted()).unwrap();
        assert!(raw.is_ascii());
        let fields = fields(&message);
        let of = |name: &str| {
            fields
                .iter()
                .find(|(n, _)| n == name)
                .map(|(_, v)| v.clone())
                .unwrap_or_default()
        };
        assert_eq!(of("Auto-Submitted"), "auto-generated");
        assert_eq!(of("Content-Language"), "fr");
        assert_eq!(of("Date"), "Thu, 01 Jan 1970 00:00:01 +0000");
        assert_eq!(of("To"), "someone@example.com");
        assert!(
            of("From").contains("<login@id.example.com>"),
            "{}",
            of("From")
        );
        assert!(
            of("Message-ID").ends_with("@id.example.com>"),
            "{}",
            of("Message-ID")
        );
        assert!(raw.contains("multipart/alternative"));
        assert!(
            raw.contains("text/plain; charset=utf-8") && raw.contains("text/html; charset=utf-8")
        );
    }

    #[test]
    fn g7_no_letter_above_30_kb_leaves() {
        let mut long = letter("someone@example.com", "s");
        long.html = "x".repeat(LARGEST);
        assert_eq!(build(&from(), &long, Time(0)).unwrap_err(), "too large");
    }

    #[test]
    fn e4_an_addressee_cannot_inject_a_field_or_a_command() {
        for to in [
            "a@example.com\r\nBcc: b@example.com",
            "a@example.com\nRCPT TO:<b@example.com>",
            "a\r@example.com",
            "a@example.com, b@example.com",
            "<a@example.com>",
            "x <a@example.com>",
            "a@example.com>",
            "\"a\r\n\"@example.com",
            "\"a b\"@example.com",
            "a@example.com ",
            "a@exam\u{0}ple.com",
            "a@example.com\u{2028}Bcc: b@example.com",
            "",
            "a",
            "@example.com",
            &format!("{}@example.com", "a".repeat(250)),
        ] {
            assert_eq!(
                build(&from(), &letter(to, "s"), Time(0)).unwrap_err(),
                "address",
                "{to:?}"
            );
        }
    }

    #[test]
    fn e4_a_subject_cannot_inject_a_field() {
        for subject in [
            "Hi\r\nBcc: b@example.com",
            "Hi\nBcc: b@example.com",
            "Hé\r\n\r\n<p>body</p>",
        ] {
            let message = build(&from(), &letter("a@example.com", subject), Time(0)).unwrap();
            let fields = fields(&message);
            assert!(!fields.iter().any(|(name, _)| name == "Bcc"), "{fields:?}");
            assert_eq!(
                fields.iter().filter(|(name, _)| name == "Subject").count(),
                1
            );
            assert_eq!(message.envelope().to().len(), 1);
        }
    }
}
