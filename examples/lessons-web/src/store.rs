//! A bounded map in memory whose entries expire. A client on several machines needs a shared one.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::rand::{SecureRandom as _, SystemRandom};

const MOST: usize = 10_000;

/// Returns 256 random bits as 43 characters, for a cookie, a `state` or a PKCE verifier.
pub(crate) fn secret() -> String {
    let mut bytes = [0_u8; 32];
    // Without randomness the process ends: a secret of zeroes would be worse.
    if SystemRandom::new().fill(&mut bytes).is_err() {
        std::process::abort();
    }
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Returns whether a text has the form of a [`secret`].
pub(crate) fn is_secret(text: &str) -> bool {
    text.len() == 43
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// Values under secrets.
pub(crate) struct Store<T>(Mutex<HashMap<String, (Instant, T)>>);

impl<T> Default for Store<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Store<T> {
    fn entries(&self) -> MutexGuard<'_, HashMap<String, (Instant, T)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a value for so long. Returns `false` if there is no space.
    pub(crate) fn put(&self, key: String, value: T, life: Duration) -> bool {
        let mut entries = self.entries();
        if entries.len() >= MOST {
            entries.retain(|_, (until, _)| Instant::now() < *until);
        }
        let room = entries.len() < MOST;
        if room {
            entries.insert(key, (Instant::now() + life, value));
        }
        room
    }

    /// Stores a value for so long, unless there is one already. Returns `false` if there is, or no space.
    pub(crate) fn put_new(&self, key: String, value: T, life: Duration) -> bool {
        let now = Instant::now();
        let mut entries = self.entries();
        if entries.len() >= MOST {
            entries.retain(|_, (until, _)| now < *until);
        }
        let is_known = entries.get(&key).is_some_and(|(until, _)| now < *until);
        if is_known || entries.len() >= MOST {
            return false;
        }
        entries.insert(key, (now + life, value));
        true
    }

    /// Removes all values that match and returns how many.
    pub(crate) fn remove_where(&self, matches: impl Fn(&T) -> bool) -> usize {
        let mut entries = self.entries();
        let before = entries.len();
        entries.retain(|_, (_, value)| !matches(value));
        before - entries.len()
    }

    /// Returns a value that has not expired.
    pub(crate) fn get(&self, key: &str) -> Option<T> {
        self.entries()
            .get(key)
            .filter(|(until, _)| Instant::now() < *until)
            .map(|(_, value)| value.clone())
    }

    /// Removes and returns a value that has not expired.
    pub(crate) fn take(&self, key: &str) -> Option<T> {
        self.entries()
            .remove(key)
            .filter(|(until, _)| Instant::now() < *until)
            .map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_taken_once_and_ends_by_itself() {
        let store = Store::default();
        assert!(store.put("a".to_owned(), 1, Duration::from_secs(60)));
        assert!(store.put("over".to_owned(), 2, Duration::ZERO));
        assert_eq!((store.get("a"), store.get("over")), (Some(1), None));
        assert_eq!(
            (store.take("a"), store.take("a"), store.take("over")),
            (Some(1), None, None)
        );
    }

    #[test]
    fn a_full_store_refuses_and_evicts_no_entry() {
        let store = Store::default();
        for number in 0..MOST {
            assert!(store.put(number.to_string(), number, Duration::from_secs(60)));
        }
        assert!(!store.put("more".to_owned(), 0, Duration::from_secs(60)));
        assert_eq!(store.get("0"), Some(0));
    }

    #[test]
    fn lo_11_a_name_is_new_once_and_a_full_store_takes_no_more() {
        let store = Store::default();
        let minute = Duration::from_secs(60);
        assert!(store.put_new("a".to_owned(), 1, minute));
        assert!(!store.put_new("a".to_owned(), 1, minute));
        assert!(store.put_new("over".to_owned(), 2, Duration::ZERO));
        assert!(
            store.put_new("over".to_owned(), 2, minute),
            "it had expired"
        );
        for number in 2..MOST {
            assert!(store.put_new(number.to_string(), 3, minute));
        }
        assert!(!store.put_new("more".to_owned(), 3, minute));
        assert_eq!(store.remove_where(|value| *value == 3), MOST - 2);
        assert_eq!((store.get("a"), store.get("over")), (Some(1), Some(2)));
    }

    #[test]
    fn secrets_differ_and_have_their_form() {
        assert_ne!(secret(), secret());
        assert!(is_secret(&secret()) && !is_secret("short") && !is_secret(&"=".repeat(43)));
    }
}
