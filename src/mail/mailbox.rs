//! The mailbox of `entree dev`: emails are kept in memory and shown instead of sent.
//!
//! It is bounded: with [`CAPACITY`] emails in it, the oldest gives way to the newest. It exists in
//! `entree dev` only, because it holds valid links and codes in clear.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use uuid::Uuid;

use crate::clock::Time;

/// How many emails the mailbox keeps.
pub const CAPACITY: usize = 200;

/// An email as its recipient would have received it.
#[derive(Clone, serde::Serialize)]
pub struct ReceivedEmail {
    /// A random id.
    pub id: Uuid,
    pub to: String,
    /// The sender, with its display name.
    pub from: String,
    /// The subject, decoded.
    pub subject: String,
    /// The plain text part, decoded.
    pub text: String,
    /// The HTML part, decoded.
    pub html: String,
    pub received_at: Time,
    /// All header fields of the message, unfolded.
    pub headers: Vec<(String, String)>,
}

impl fmt::Debug for ReceivedEmail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReceivedEmail({})", self.id)
    }
}

/// The store. Clones share it.
#[derive(Clone, Default)]
pub struct Mailbox(Arc<Mutex<VecDeque<ReceivedEmail>>>);

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mailbox({})", self.emails().len())
    }
}

impl Mailbox {
    /// Stores an email and drops the oldest if the mailbox is full.
    pub fn put(&self, email: ReceivedEmail) {
        let mut emails = self.emails();
        emails.truncate(CAPACITY - 1);
        emails.push_front(email);
    }

    /// Returns the emails, newest first: all, or those to one address in any case.
    #[must_use]
    pub fn list(&self, to: Option<&str>) -> Vec<ReceivedEmail> {
        let is_wanted =
            |email: &&ReceivedEmail| to.is_none_or(|to| email.to.eq_ignore_ascii_case(to));
        self.emails().iter().filter(is_wanted).cloned().collect()
    }

    #[must_use]
    pub fn get(&self, id: Uuid) -> Option<ReceivedEmail> {
        self.emails().iter().find(|email| email.id == id).cloned()
    }

    fn emails(&self) -> MutexGuard<'_, VecDeque<ReceivedEmail>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn email(to: &str, at: i64) -> ReceivedEmail {
        ReceivedEmail {
            id: crate::secret::public_id(),
            to: to.to_owned(),
            from: "Entree <login@example.com>".to_owned(),
            subject: "a subject".to_owned(),
            text: "12345678".to_owned(),
            html: String::new(),
            received_at: Time(at),
            headers: Vec::new(),
        }
    }

    #[test]
    fn the_newest_comes_first_and_the_oldest_is_dropped() {
        let mailbox = Mailbox::default();
        for at in 0..=CAPACITY {
            let name = if at % 2 == 0 { "even" } else { "odd" };
            mailbox.put(email(&format!("{name}@example.com"), at as i64));
        }
        let all = mailbox.clone().list(None);
        assert_eq!(all.len(), CAPACITY);
        assert_eq!(
            (all[0].received_at, all[CAPACITY - 1].received_at),
            (Time(200), Time(1))
        );
        let odd = mailbox.list(Some("ODD@example.com"));
        assert_eq!(odd.len(), CAPACITY / 2);
        assert_eq!(mailbox.get(odd[0].id).unwrap().received_at, Time(199));
        assert!(mailbox.get(Uuid::nil()).is_none());
    }

    #[test]
    fn f3_debug_shows_neither_email_nor_address() {
        let mailbox = Mailbox::default();
        mailbox.put(email("someone@example.com", 0));
        let shown = format!("{mailbox:?} {:?}", mailbox.list(None));
        assert!(
            !shown.contains("someone") && !shown.contains("12345678"),
            "{shown}"
        );
    }
}
