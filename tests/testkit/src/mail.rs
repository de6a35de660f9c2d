//! Emails, and where they arrive.

use std::time::Duration;

use mail_parser::{HeaderValue, MessageParser};

use crate::Boxed;

/// One email as it arrived.
#[derive(Clone, Debug)]
pub struct Mail {
    /// The address of the envelope.
    pub to: String,
    /// Its subject.
    pub subject: String,
    /// The text part.
    pub text: String,
    /// The HTML part.
    pub html: String,
    /// Every header, in order, decoded where that makes sense.
    pub headers: Vec<(String, String)>,
    /// Size of the whole email in bytes.
    pub size: usize,
}

impl Mail {
    /// Reads an email in the form of RFC 5322.
    ///
    /// # Panics
    /// It is not an email.
    #[must_use]
    pub fn parse(to: &str, raw: &[u8]) -> Self {
        let message = MessageParser::default()
            .parse(raw)
            .expect("an email as RFC 5322 has it");
        let headers = message
            .headers_raw()
            .map(|(name, value)| (name.to_owned(), unfold(value)))
            .collect();
        Self {
            to: to.to_owned(),
            subject: message.subject().unwrap_or_default().to_owned(),
            text: message.body_text(0).unwrap_or_default().into_owned(),
            html: message.html_part(0).map_or_else(String::new, |part| {
                // Without an HTML part the parser would make one out of the text.
                if matches!(part.headers.iter().find(|h| h.name.as_str() == "Content-Type").map(|h| &h.value),
                    Some(HeaderValue::ContentType(kind)) if kind.subtype() == Some("html"))
                {
                    message.body_html(0).unwrap_or_default().into_owned()
                } else {
                    String::new()
                }
            }),
            headers,
            size: raw.len(),
        }
    }

    /// The value of a header, by its name in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Every web address in text and HTML, each once, in the order of the text.
    #[must_use]
    pub fn links(&self) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for body in [&self.text, &self.html] {
            for (at, _) in body.match_indices("http") {
                let rest = &body[at..];
                if !rest.starts_with("http://") && !rest.starts_with("https://") {
                    continue;
                }
                let end = rest
                    .find(|c: char| c.is_whitespace() || "\"'<>)]".contains(c))
                    .unwrap_or(rest.len());
                let link = rest[..end]
                    .trim_end_matches(['.', ','])
                    .replace("&amp;", "&");
                if !found.contains(&link) {
                    found.push(link);
                }
            }
        }
        found
    }

    /// The link that signs in.
    ///
    /// # Panics
    /// There is none, or more than one.
    #[must_use]
    pub fn link(&self) -> String {
        let links: Vec<_> = self
            .links()
            .into_iter()
            .filter(|link| link.contains("/login/link/"))
            .collect();
        assert_eq!(links.len(), 1, "one link that signs in, in {:?}", self.text);
        links[0].clone()
    }

    /// The code, digits only.
    ///
    /// # Panics
    /// The text holds none.
    #[must_use]
    pub fn code(&self) -> String {
        self.find_code()
            .unwrap_or_else(|| panic!("no code in {:?}", self.text))
    }

    /// The code, if there is one: the first line that has nothing but 6 to 10 digits, spaces and dashes; else the first
    /// such group of digits that is not part of an address.
    #[must_use]
    pub fn find_code(&self) -> Option<String> {
        let digits = |line: &str| {
            line.chars()
                .filter(char::is_ascii_digit)
                .collect::<String>()
        };
        let alone = |line: &&str| {
            (6..=10).contains(&digits(line).len())
                && line
                    .chars()
                    .all(|c| c.is_ascii_digit() || " -\u{a0}".contains(c))
        };
        if let Some(line) = self.text.lines().map(str::trim).find(alone) {
            return Some(digits(line));
        }
        let words = self.text.lines().filter(|line| !line.contains("http"));
        words
            .flat_map(|line| line.split(|c: char| !(c.is_ascii_digit() || "- \u{a0}".contains(c))))
            .find(alone)
            .map(digits)
    }
}

fn unfold(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What a mail server may do to the emails for one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `550`: refused for good.
    Refuse,
    /// `421`: closing, try later.
    Closing,
    /// `451`: not now.
    Later,
    /// Says nothing more once the email begins.
    Stall,
    /// Says nothing more once it knows the recipient.
    StallAtRecipient,
    /// The connection ends in the middle of the email.
    DropInData,
    /// The connection ends after the email was kept, before its receipt.
    DropAfterData,
}

/// A place where emails arrive.
pub trait Mailbox: Send + Sync {
    /// All emails for one address, oldest first.
    fn all<'a>(&'a self, address: &'a str) -> Boxed<'a, Vec<Mail>>;

    /// Sets or (with `None`) lifts a fault for one address.
    ///
    /// # Errors
    /// This place cannot do it for one address alone.
    fn fault(&self, address: &str, fault: Option<Fault>) -> Result<(), String>;

    /// How often the server was asked to take an email for this address, kept or not.
    fn attempts(&self, address: &str) -> usize;

    /// Waits until there are at least `count`, and gives all, oldest first.
    ///
    /// # Errors
    /// `limit` passed; says how many there were.
    fn wait<'a>(
        &'a self,
        address: &'a str,
        count: usize,
        limit: Duration,
    ) -> Boxed<'a, Result<Vec<Mail>, String>> {
        Box::pin(async move {
            let enough = || async move {
                Some(self.all(address).await).filter(|mails| mails.len() >= count)
            };
            match crate::until("mail", limit, enough).await {
                Ok(mails) => Ok(mails),
                Err(_) => Err(format!(
                    "{} of {count} emails for {address} within {} s",
                    self.all(address).await.len(),
                    limit.as_secs()
                )),
            }
        })
    }

    /// That nothing came for `address`, once an email to `canary`, asked for *after* it, has come: then the outbox has
    /// passed it by.
    ///
    /// # Errors
    /// Something came, or the canary did not.
    fn none_after_idle<'a>(
        &'a self,
        address: &'a str,
        canary: &'a str,
    ) -> Boxed<'a, Result<(), String>> {
        Box::pin(async move {
            self.wait(canary, 1, Duration::from_secs(20)).await?;
            match self.all(address).await.len() {
                0 => Ok(()),
                n => Err(format!("{n} emails for {address}, none was due")),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMAIL: &[u8] = b"From: a@x.test\r\nTo: b@x.test\r\nSubject: =?utf-8?q?Se_connecter_=C3=A0_X?=\r\n\
Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\
Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nOpen\r\n\
http://127.0.0.1:8080/login/link/abc=3Ddef=20\r\nor type\r\n\r\n    1234 5678\r\n\r\nfrom 10.20.30.40\r\n--b\r\n\
Content-Type: text/html\r\n\r\n<a href=\"http://127.0.0.1:8080/login/link/abc=def\">x</a>\r\n--b--\r\n";

    #[test]
    fn a_letter_gives_its_link_and_code() {
        let mail = Mail::parse("b@x.test", EMAIL);
        assert_eq!(mail.subject, "Se connecter \u{e0} X");
        assert_eq!(mail.link(), "http://127.0.0.1:8080/login/link/abc=def");
        assert_eq!(mail.code(), "12345678");
        assert_eq!(mail.header("auto-submitted"), Some("auto-generated"));
        assert!(mail.html.starts_with("<a "));
    }

    #[test]
    fn a_letter_without_html_has_none() {
        let mail = Mail::parse(
            "b@x.test",
            b"Subject: x\r\nContent-Type: text/plain\r\n\r\ncode 123456 now\r\n",
        );
        assert_eq!(mail.html, "");
        assert_eq!(mail.code(), "123456");
    }
}
