//! An email as an Internet message (RFC 5322, RFC 2045): text and HTML, nothing to fetch, nothing to inject.

use std::time::{Duration, UNIX_EPOCH};

use lettre::{
    Address, Message,
    message::{
        Mailbox, MultiPart,
        header::{HeaderName, HeaderValue},
    },
};

use crate::{clock::Time, mail::Email, secret};

/// The largest message. No email of ours comes near it, so a larger one is a bug (G7).
const MAX_BYTES: usize = 30 * 1024;

/// Builds the message.
///
/// # Errors
/// A fixed word for why the email can never be sent.
pub(super) fn build(from: &Mailbox, email: &Email, now: Time) -> Result<Message, &'static str> {
    let to = parse_recipient(&email.to).ok_or("address")?;
    let millis = u64::try_from(now.0).unwrap_or_default();
    let message = Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, to))
        .subject(one_line(&email.subject))
        .date(UNIX_EPOCH + Duration::from_millis(millis))
        // A new id for each attempt: a server that drops duplicates by it must not drop the email with the
        // newer secret.
        .message_id(Some(format!(
            "<{}@{}>",
            secret::public_id(),
            from.email.domain()
        )))
        // RFC 3834 §5: keeps vacation notices from replying.
        .raw_header(header(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated",
        ))
        .raw_header(header(
            HeaderName::new_from_ascii_str("Content-Language"),
            &one_line(&email.locale),
        ))
        .multipart(MultiPart::alternative_plain_html(
            email.text.clone(),
            email.html.clone(),
        ))
        .map_err(|_| "message")?;
    if message.formatted().len() > MAX_BYTES {
        return Err("too large");
    }
    Ok(message)
}

/// Returns the header fields, unfolded, for the mailbox page.
pub(super) fn header_fields(message: &Message) -> Vec<(String, String)> {
    let block = message
        .headers()
        .to_string()
        .replace("\r\n ", " ")
        .replace("\r\n\t", " ");
    block
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}

/// Parses the recipient. The address was canonicalised long before; this is the last check before header
/// and SMTP command, and refuses whatever could end either (RFC 5321 §4.1.2: no address that we accept
/// needs a quoted local part).
fn parse_recipient(text: &str) -> Option<Address> {
    let is_forbidden = |c: char| {
        c.is_control() || c.is_whitespace() || matches!(c, '<' | '>' | '"' | ',' | ';' | ':' | '\\')
    };
    if text.len() > 254 || text.contains(is_forbidden) {
        return None;
    }
    text.parse().ok()
}

fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn header(name: HeaderName, value: &str) -> HeaderValue {
    HeaderValue::new(name, value.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn email(to: &str, subject: &str) -> Email {
        Email {
            to: to.to_owned(),
            subject: subject.to_owned(),
            text: "Ça va ?\r\n.\r\nstill the same email".to_owned(),
            html: "<p>Ça va ?</p>".to_owned(),
            locale: "fr".to_owned(),
        }
    }

    fn from() -> Mailbox {
        "Entree <login@id.example.com>".parse().unwrap()
    }

    #[test]
    fn g7_the_message_has_two_parts_and_the_fields_of_an_automatic_email() {
        let message = build(
            &from(),
            &email("someone@example.com", "Connexion à la leçon"),
            Time(1_000),
        )
        .unwrap();
        let raw = String::from_utf8(message.formatted()).unwrap();
        assert!(raw.is_ascii());
        let fields = header_fields(&message);
        let value = |name: &str| {
            fields
                .iter()
                .find(|(n, _)| n == name)
                .map(|(_, v)| v.clone())
                .unwrap_or_default()
        };
        assert_eq!(value("Auto-Submitted"), "auto-generated");
        assert_eq!(value("Content-Language"), "fr");
        assert_eq!(value("Date"), "Thu, 01 Jan 1970 00:00:01 +0000");
        assert_eq!(value("To"), "someone@example.com");
        assert!(
            value("From").contains("<login@id.example.com>"),
            "{}",
            value("From")
        );
        assert!(
            value("Message-ID").ends_with("@id.example.com>"),
            "{}",
            value("Message-ID")
        );
        assert!(raw.contains("multipart/alternative"));
        assert!(
            raw.contains("text/plain; charset=utf-8") && raw.contains("text/html; charset=utf-8")
        );
    }

    #[test]
    fn g7_no_email_above_30_kb_is_sent() {
        let mut long = email("someone@example.com", "s");
        long.html = "x".repeat(MAX_BYTES);
        assert_eq!(build(&from(), &long, Time(0)).unwrap_err(), "too large");
    }

    #[test]
    fn e4_a_recipient_cannot_inject_a_field_or_a_command() {
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
                build(&from(), &email(to, "s"), Time(0)).unwrap_err(),
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
            let message = build(&from(), &email("a@example.com", subject), Time(0)).unwrap();
            let fields = header_fields(&message);
            assert!(!fields.iter().any(|(name, _)| name == "Bcc"), "{fields:?}");
            assert_eq!(
                fields.iter().filter(|(name, _)| name == "Subject").count(),
                1
            );
            assert_eq!(message.envelope().to().len(), 1);
        }
    }
}
