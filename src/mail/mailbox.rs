//! The mailbox of `entree dev`: letters are kept in memory and shown instead of sent.
//!
//! Bounded: the oldest letter goes when there are [`CAPACITY`]. It is never made outside `entree dev`, since it holds
//! live links and codes in clear.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use uuid::Uuid;

use crate::clock::Time;

/// How many letters it keeps.
pub const CAPACITY: usize = 200;

/// A letter as it would have arrived.
#[derive(Clone, serde::Serialize)]
pub struct Received {
    /// Random.
    pub id: Uuid,
    /// The addressee.
    pub to: String,
    /// The sender, with its name.
    pub from: String,
    /// Subject line, decoded.
    pub subject: String,
    /// Plain text part, decoded.
    pub text: String,
    /// HTML part, decoded.
    pub html: String,
    /// When it was handed over.
    pub received_at: Time,
    /// All header fields as they would have been sent, unfolded.
    pub headers: Vec<(String, String)>,
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Received({})", self.id)
    }
}

/// The store. Clones share it.
#[derive(Clone, Default)]
pub struct Mailbox(Arc<Mutex<VecDeque<Received>>>);

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mailbox({})", self.letters().len())
    }
}

impl Mailbox {
    /// Keeps a letter; the oldest goes when it is full.
    pub fn put(&self, letter: Received) {
        let mut letters = self.letters();
        letters.truncate(CAPACITY - 1);
        letters.push_front(letter);
    }

    /// Newest first; those to one address (in any case) if asked.
    #[must_use]
    pub fn list(&self, to: Option<&str>) -> Vec<Received> {
        let wanted = |letter: &&Received| to.is_none_or(|to| letter.to.eq_ignore_ascii_case(to));
        self.letters().iter().filter(wanted).cloned().collect()
    }

    /// One letter, if it is still kept.
    #[must_use]
    pub fn get(&self, id: Uuid) -> Option<Received> {
        self.letters()
            .iter()
            .find(|letter| letter.id == id)
            .cloned()
    }

    fn letters(&self) -> MutexGuard<'_, VecDeque<Received>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn letter(to: &str, at: i64) -> Received {
        Received {
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
    fn the_newest_comes_first_and_the_oldest_goes() {
        let mailbox = Mailbox::default();
        for at in 0..=CAPACITY {
            mailbox.put(letter(
                if at % 2 == 0 {
                    "even@example.com"
                } else {
                    "odd@example.com"
                },
                at as i64,
            ));
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
    fn f3_debug_shows_neither_letter_nor_address() {
        let mailbox = Mailbox::default();
        mailbox.put(letter("someone@example.com", 0));
        let shown = format!("{mailbox:?} {:?}", mailbox.list(None));
        assert!(
            !shown.contains("someone") && !shown.contains("12345678"),
            "{shown}"
        );
    }
}
