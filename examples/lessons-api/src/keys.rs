//! The provider's published keys, kept in memory.
//!
//! A key that is known needs no request. The set is read again when its `max-age` is over, which costs no more than a
//! 304 while it is the same. An unknown `kid` makes at most one request a minute, however many tokens carry one. While
//! the provider is away the keys that are there are used, for a day at most.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use jwt_compact::{Algorithm, alg::Es256, jwk::JsonWebKey};
use reqwest::{
    Response, StatusCode,
    header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH},
};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::issuer::Issuer;

/// A public key that verifies ES256.
pub type Key = <Es256 as Algorithm>::VerifyingKey;

/// The lifetime of a set if the provider names none.
const DEFAULT_AGE: Duration = Duration::from_secs(300);
/// The longest time between two requests for the set, whatever the provider says, because a withdrawn key must go.
const LONGEST_AGE: Duration = Duration::from_secs(3600);
/// The time for which a set is used while the provider is away. A thief of a key may also block the way to the
/// provider.
const BELIEVED: Duration = Duration::from_secs(24 * 3600);
/// The least time between two requests because of an unknown `kid`.
const UNKNOWN_KID: Duration = Duration::from_secs(60);
/// The least time between two requests while the provider is away.
const AWAY: Duration = Duration::from_secs(5);

/// Why there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The provider does not publish it.
    #[error("unknown key")]
    Unknown,
    /// No set was read, or none for a day. That is the fault of the provider or of this process, not of the caller.
    #[error("the keys are not there yet")]
    Unavailable,
}

#[derive(Default)]
struct Cached {
    keys: HashMap<String, Key>,
    etag: Option<String>,
    read_at: Option<Instant>,
    fresh_until: Option<Instant>,
}

/// The cache of the keys.
pub struct Keys {
    cached: RwLock<Cached>,
    /// The time of the last request. The holder of the lock makes the next one.
    asked: Mutex<Option<Instant>>,
    clock: Box<dyn Fn() -> Instant + Send + Sync>,
}

impl Default for Keys {
    fn default() -> Self {
        Self::with_clock(Instant::now)
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(…)")
    }
}

impl Keys {
    /// Returns a cache whose sets grow old by this clock, for tests that cannot wait.
    pub fn with_clock(clock: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        Self {
            cached: RwLock::default(),
            asked: Mutex::new(None),
            clock: Box::new(clock),
        }
    }

    /// Returns the key of that name.
    ///
    /// # Errors
    /// [`KeyError`] if there is none.
    pub async fn find(&self, issuer: &Issuer, kid: &str) -> Result<Key, KeyError> {
        let (key, fresh) = self.look(kid);
        match key {
            Some(key) if fresh => return Ok(key),
            // One caller reads the set anew, and the others use what is there.
            Some(_) => {
                if let Ok(mut asked) = self.asked.try_lock() {
                    self.refresh_if_due(issuer, kid, &mut asked).await;
                }
            }
            None => {
                self.refresh_if_due(issuer, kid, &mut *self.asked.lock().await)
                    .await
            }
        }
        self.look(kid).0.ok_or_else(|| self.missing())
    }

    /// Requests the set now, whatever its age. At start this spares the first request the wait.
    ///
    /// # Errors
    /// If the provider does not respond with a key set. The one that is there stays.
    pub async fn refresh(&self, issuer: &Issuer) -> anyhow::Result<()> {
        let url = &issuer.metadata().await?.jwks_uri;
        let known = self
            .cached
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .etag
            .clone();
        let request = issuer.get(url);
        let request = if let Some(etag) = &known {
            request.header(IF_NONE_MATCH, etag)
        } else {
            request
        };
        let answer = request.send().await.and_then(Response::error_for_status);
        let answer = answer.context("the provider does not answer")?;
        let (age, etag) = (max_age(&answer), etag(&answer));
        // RFC 9110 §15.4.5: the set has not changed.
        let same = known.is_some() && answer.status() == StatusCode::NOT_MODIFIED;
        let keys = if same {
            None
        } else {
            Some(parse(&answer.json().await.context("not a key set")?))
        };
        let now = (self.clock)();
        let mut cached = self.cached.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(keys) = keys {
            *cached = Cached {
                keys,
                etag,
                ..Cached::default()
            };
        }
        cached.read_at = Some(now);
        cached.fresh_until = Some(now + age);
        Ok(())
    }

    async fn refresh_if_due(&self, issuer: &Issuer, kid: &str, asked: &mut Option<Instant>) {
        let now = (self.clock)();
        let (key, fresh) = self.look(kid);
        if !due(now, *asked, key.is_some(), fresh) {
            return;
        }
        *asked = Some(now);
        if let Err(error) = self.refresh(issuer).await {
            tracing::warn!(%error, "key set not read; going on with the keys there are");
        }
    }

    fn look(&self, kid: &str) -> (Option<Key>, bool) {
        let now = (self.clock)();
        let cached = self.cached.read().unwrap_or_else(PoisonError::into_inner);
        let fresh = cached.fresh_until.is_some_and(|until| now < until);
        let believed = cached
            .read_at
            .is_some_and(|at| now.saturating_duration_since(at) < BELIEVED);
        (cached.keys.get(kid).copied().filter(|_| believed), fresh)
    }

    fn missing(&self) -> KeyError {
        let now = (self.clock)();
        let cached = self.cached.read().unwrap_or_else(PoisonError::into_inner);
        let believed = cached
            .read_at
            .is_some_and(|at| now.saturating_duration_since(at) < BELIEVED);
        if believed {
            KeyError::Unknown
        } else {
            KeyError::Unavailable
        }
    }
}

/// Returns whether to request the set now.
fn due(now: Instant, asked: Option<Instant>, known: bool, fresh: bool) -> bool {
    let pause = match (known, fresh) {
        (true, true) => return false,
        (false, true) => UNKNOWN_KID,
        (_, false) => AWAY,
    };
    asked.is_none_or(|asked| now.saturating_duration_since(asked) >= pause)
}

/// Returns the `max-age` of a response (RFC 9111 §5.2.2.1).
fn max_age(answer: &Response) -> Duration {
    let header = answer
        .headers()
        .get(CACHE_CONTROL)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let seconds = header
        .split(',')
        .find_map(|part| part.trim().strip_prefix("max-age=")?.parse().ok());
    seconds
        .map_or(DEFAULT_AGE, Duration::from_secs)
        .min(LONGEST_AGE)
}

fn etag(answer: &Response) -> Option<String> {
    answer
        .headers()
        .get(ETAG)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned)
}

/// Returns the ES256 signing keys of a set, by `kid`. What is not understood is ignored (RFC 7517 §5).
fn parse(set: &Value) -> HashMap<String, Key> {
    let keys = set
        .get("keys")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    keys.iter().filter_map(parse_key).collect()
}

fn parse_key(jwk: &Value) -> Option<(String, Key)> {
    let text = |name| jwk.get(name).and_then(Value::as_str);
    let ours = text("alg").is_none_or(|alg| alg == "ES256")
        && text("use").is_none_or(|using| using == "sig");
    let kid = text("kid").filter(|_| ours)?;
    let jwk: JsonWebKey<'_> = serde_json::from_value(jwk.clone()).ok()?;
    Some((kid.to_owned(), Key::try_from(&jwk).ok()?))
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
