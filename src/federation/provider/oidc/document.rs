//! One document of a provider, kept for as long as it says: read once for all who wait, used while it cannot be read.
//!
//! It knows neither what the document is nor how it is fetched: the reader is handed in. The clock is the service's own.

use std::{
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use poem::http::{HeaderMap, header};

use crate::{
    clock::{Clock, Time},
    config::Provider,
    federation::error::FederationError,
    secret::random_below,
};

/// What says nothing of its life lives so long (DJ-02).
const UNSAID: Duration = Duration::from_secs(3600);

/// So long past its life a document is used while no newer one can be read (DJ-06).
pub(crate) const STALE: Duration = Duration::from_secs(24 * 3600);

/// While an old document serves, a failing provider is asked again only after so long: nobody waits for it meanwhile.
const PAUSE: Duration = Duration::from_secs(30);

/// How to ask whether a document has changed: the URL that it came from, and its ETag (RFC 9110 §8.8.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Validator {
    pub(crate) url: String,
    pub(crate) etag: String,
}

/// What a reading brought.
#[derive(Debug)]
pub(crate) enum Read<T> {
    /// The document that we have is still the one (304).
    Unchanged { life: Duration },
    /// A document.
    New {
        value: T,
        validator: Option<Validator>,
        life: Duration,
    },
}

#[derive(Debug)]
struct Kept<T> {
    value: Arc<T>,
    validator: Option<Validator>,
    fresh_until: Time,
    /// When the background job reads it again.
    due: Time,
}

/// A document.
#[derive(Debug)]
pub(crate) struct Document<T> {
    clock: Clock,
    kept: Mutex<Option<Kept<T>>>,
    /// One reading at a time (DJ-03); it holds how the last one ended.
    gate: tokio::sync::Mutex<Last>,
    /// Readings that have ended.
    readings: AtomicU64,
}

#[derive(Debug, Default)]
struct Last {
    refused: Option<FederationError>,
    failed_at: Option<Time>,
}

impl<T> Document<T> {
    /// Nothing is known yet.
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            kept: Mutex::default(),
            gate: tokio::sync::Mutex::default(),
            readings: AtomicU64::new(0),
        }
    }

    /// The document: the one that is kept if it is fresh, else as `read` brings it.
    ///
    /// # Errors
    /// What reading came to, if nothing is kept that may still serve.
    pub(crate) async fn get<F>(
        &self,
        read: impl FnOnce(Option<Validator>) -> F,
    ) -> Result<Arc<T>, FederationError>
    where
        F: Future<Output = Result<Read<T>, FederationError>>,
    {
        let now = self.clock.now();
        if let Some(fresh) =
            self.look(|kept| (now < kept.fresh_until).then(|| Arc::clone(&kept.value)))
        {
            return Ok(fresh);
        }
        self.read_again(read, true).await
    }

    /// Reads it again although it may be fresh; whoever is reading already reads for this caller too.
    ///
    /// # Errors
    /// What reading came to, if nothing is kept that may still serve.
    pub(crate) async fn force<F>(
        &self,
        read: impl FnOnce(Option<Validator>) -> F,
    ) -> Result<Arc<T>, FederationError>
    where
        F: Future<Output = Result<Read<T>, FederationError>>,
    {
        self.read_again(read, false).await
    }

    /// Waits for a reading that is under way, if there is one.
    pub(crate) async fn settled(&self) {
        drop(self.gate.lock().await);
    }

    async fn read_again<F>(
        &self,
        read: impl FnOnce(Option<Validator>) -> F,
        patient: bool,
    ) -> Result<Arc<T>, FederationError>
    where
        F: Future<Output = Result<Read<T>, FederationError>>,
    {
        let seen = self.readings.load(Ordering::SeqCst);
        let mut last = self.gate.lock().await;
        let now = self.clock.now();
        // Another caller read while this one waited; or it failed a moment ago, and there is something to go on with.
        let pausing = patient
            && last.failed_at.is_some_and(|at| now < at + PAUSE)
            && self.usable(now).is_some();
        if self.readings.load(Ordering::SeqCst) == seen && !pausing {
            let validator = self.look(|kept| kept.validator.clone());
            let outcome = read(validator).await;
            let now = self.clock.now();
            *last = match outcome {
                Ok(read) => {
                    self.keep(read, now);
                    Last::default()
                }
                Err(refused) => Last {
                    refused: Some(refused),
                    failed_at: Some(now),
                },
            };
            self.readings.fetch_add(1, Ordering::SeqCst);
        }
        match (self.usable(now), &last.refused) {
            (Some(value), _) => Ok(value),
            (None, Some(refused)) => Err(refused.clone()),
            (None, None) => Err(FederationError::new(
                crate::federation::error::RefusalCode::ProviderDown,
                "what is known of it is too old",
            )),
        }
    }

    fn keep(&self, read: Read<T>, now: Time) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match read {
            Read::New {
                value,
                validator,
                life,
            } => {
                let (value, fresh_until, due) = (Arc::new(value), now + life, due(now, life));
                *kept = Some(Kept {
                    value,
                    validator,
                    fresh_until,
                    due,
                });
            }
            Read::Unchanged { life } => {
                if let Some(kept) = kept.as_mut() {
                    (kept.fresh_until, kept.due) = (now + life, due(now, life));
                }
            }
        }
    }

    /// What may serve at `now`, fresh or not (DJ-06).
    fn usable(&self, now: Time) -> Option<Arc<T>> {
        self.look(|kept| (now < kept.fresh_until + STALE).then(|| Arc::clone(&kept.value)))
    }

    fn look<R>(&self, f: impl FnOnce(&Kept<T>) -> Option<R>) -> Option<R> {
        self.kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .and_then(f)
    }

    /// Whether the background job should read it: nothing is kept, or its time is nearly over; not right after a failure.
    pub(crate) fn is_due(&self) -> bool {
        let now = self.clock.now();
        // A reading that is under way is as good as done.
        let Ok(last) = self.gate.try_lock() else {
            return false;
        };
        let paused = last.failed_at.is_some_and(|at| now < at + PAUSE);
        !paused && self.look(|kept| Some(now >= kept.due)).unwrap_or(true)
    }

    /// For how long an old document has been serving; zero if it is fresh or there is none.
    pub(crate) fn stale(&self) -> Duration {
        let now = self.clock.now();
        self.look(|kept| Some(now.since(kept.fresh_until)))
            .unwrap_or_default()
    }
}

/// At 80 to 90 % of its life, so that copies do not all ask at one moment (DJ-02).
fn due(now: Time, life: Duration) -> Time {
    let millis = u64::try_from(life.as_millis()).unwrap_or(u64::MAX);
    now + Duration::from_millis(millis / 10 * 8 + random_below(millis / 10))
}

/// For how long an answer may be kept (RFC 9111 §5.2.2.1, §5.1), within the provider's bounds (DJ-02).
pub(crate) fn life(headers: &HeaderMap, provider: &Provider) -> Duration {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let directives = text(header::CACHE_CONTROL)
        .unwrap_or_default()
        .to_ascii_lowercase();
    let mut directives = directives.split(',').map(str::trim);
    let seconds = |directive: &str| {
        directive
            .strip_prefix("max-age=")?
            .trim_matches('"')
            .parse::<u64>()
            .ok()
    };
    let age: u64 = text(header::AGE)
        .and_then(|age| age.trim().parse().ok())
        .unwrap_or(0);
    let said = directives
        .clone()
        .find_map(seconds)
        .map(|seconds| Duration::from_secs(seconds.saturating_sub(age)));
    let never = directives.any(|directive| directive == "no-store" || directive == "no-cache");
    let wanted = if never {
        Duration::ZERO
    } else {
        said.unwrap_or(UNSAID)
    };
    let bound = Duration::from_secs;
    wanted.clamp(
        bound(provider.fresh_min_seconds),
        bound(provider.fresh_max_seconds.max(provider.fresh_min_seconds)),
    )
}

#[cfg(test)]
mod tests;
