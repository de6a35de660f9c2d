//! One document of a provider, cached for as long as the provider says: read once for all callers
//! that wait, and served after its lifetime while it cannot be read.
//!
//! This file knows neither what the document is nor how it is fetched: the caller passes in the
//! reader. The clock is the service's own.

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
    federation::provider::error::ProviderError,
    secret::random_below,
};

/// The lifetime of a document whose response states none (DJ-02).
const DEFAULT_LIFETIME: Duration = Duration::from_secs(3600);

/// How long past its lifetime a document serves while no newer one can be read (DJ-06).
const MAX_STALENESS: Duration = Duration::from_secs(24 * 3600);

/// How long a provider that failed is not called again while an old document serves, so that no
/// sign-in waits for it meanwhile.
const RETRY_PAUSE: Duration = Duration::from_secs(30);

/// How to ask whether a document has changed: its URL and its ETag (RFC 9110 §8.8.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Validator {
    pub(super) url: String,
    pub(super) etag: String,
}

/// What reading a document returned.
#[derive(Debug)]
pub(super) enum DocumentUpdate<T> {
    /// The cached document is still current (304).
    Unchanged { lifetime: Duration },
    New {
        value: T,
        validator: Option<Validator>,
        lifetime: Duration,
    },
}

#[derive(Debug)]
struct CachedDocument<T> {
    value: Arc<T>,
    validator: Option<Validator>,
    fresh_until: Time,
    /// When the background job reads it again.
    due: Time,
}

#[derive(Debug)]
pub(super) struct Document<T> {
    clock: Clock,
    cached: Mutex<Option<CachedDocument<T>>>,
    /// Lets one caller read at a time (DJ-03), and holds how the last read ended.
    last_read: tokio::sync::Mutex<LastRead>,
    /// How many reads have ended.
    reads: AtomicU64,
}

#[derive(Debug, Default)]
struct LastRead {
    error: Option<ProviderError>,
    failed_at: Option<Time>,
}

impl LastRead {
    fn is_pausing(&self, now: Time) -> bool {
        self.failed_at.is_some_and(|at| now < at + RETRY_PAUSE)
    }
}

impl<T> Document<T> {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            cached: Mutex::default(),
            last_read: tokio::sync::Mutex::default(),
            reads: AtomicU64::new(0),
        }
    }

    /// Returns the cached document if it is fresh, else what `read` returns, else an old document
    /// that may still serve.
    pub(super) async fn get<F>(
        &self,
        read: impl FnOnce(Option<Validator>) -> F,
    ) -> Result<Arc<T>, ProviderError>
    where
        F: Future<Output = Result<DocumentUpdate<T>, ProviderError>>,
    {
        let now = self.clock.now();
        let fresh =
            self.cached(|cached| (now < cached.fresh_until).then(|| Arc::clone(&cached.value)));
        match fresh {
            Some(fresh) => Ok(fresh),
            None => self.read_once(read, true).await,
        }
    }

    /// Reads the document although it may be fresh. A read that is under way serves this caller
    /// too.
    pub(super) async fn refresh<F>(
        &self,
        read: impl FnOnce(Option<Validator>) -> F,
    ) -> Result<Arc<T>, ProviderError>
    where
        F: Future<Output = Result<DocumentUpdate<T>, ProviderError>>,
    {
        self.read_once(read, false).await
    }

    /// Waits for a read that is under way, if there is one.
    pub(super) async fn wait_for_read(&self) {
        drop(self.last_read.lock().await);
    }

    async fn read_once<F>(
        &self,
        read: impl FnOnce(Option<Validator>) -> F,
        respect_pause: bool,
    ) -> Result<Arc<T>, ProviderError>
    where
        F: Future<Output = Result<DocumentUpdate<T>, ProviderError>>,
    {
        let reads_before = self.reads.load(Ordering::SeqCst);
        let mut last_read = self.last_read.lock().await;
        let now = self.clock.now();
        let was_read_meanwhile = self.reads.load(Ordering::SeqCst) != reads_before;
        let is_pausing = respect_pause && last_read.is_pausing(now) && self.servable(now).is_some();
        if !was_read_meanwhile && !is_pausing {
            let validator = self.cached(|cached| cached.validator.clone());
            let result = read(validator).await;
            let now = self.clock.now();
            *last_read = match result {
                Ok(update) => {
                    self.store(update, now);
                    LastRead::default()
                }
                Err(error) => LastRead {
                    error: Some(error),
                    failed_at: Some(now),
                },
            };
            self.reads.fetch_add(1, Ordering::SeqCst);
        }
        self.servable(now).ok_or_else(|| {
            last_read.error.clone().unwrap_or_else(|| {
                ProviderError::Unavailable("the cached documents are too old".to_owned())
            })
        })
    }

    fn store(&self, update: DocumentUpdate<T>, now: Time) {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        match update {
            DocumentUpdate::New {
                value,
                validator,
                lifetime,
            } => {
                *cached = Some(CachedDocument {
                    value: Arc::new(value),
                    validator,
                    fresh_until: now + lifetime,
                    due: due_at(now, lifetime),
                });
            }
            DocumentUpdate::Unchanged { lifetime } => {
                if let Some(cached) = cached.as_mut() {
                    cached.fresh_until = now + lifetime;
                    cached.due = due_at(now, lifetime);
                }
            }
        }
    }

    /// Returns the document that may serve at `now`, fresh or not (DJ-06).
    fn servable(&self, now: Time) -> Option<Arc<T>> {
        self.cached(|cached| {
            (now < cached.fresh_until + MAX_STALENESS).then(|| Arc::clone(&cached.value))
        })
    }

    fn cached<R>(&self, get: impl FnOnce(&CachedDocument<T>) -> Option<R>) -> Option<R> {
        self.cached
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .and_then(get)
    }

    /// Whether the background job should read the document: nothing is cached, or its lifetime is
    /// nearly over. Not right after a failure, and not while a read is under way.
    pub(super) fn is_due(&self) -> bool {
        let now = self.clock.now();
        let Ok(last_read) = self.last_read.try_lock() else {
            return false;
        };
        let is_due = self
            .cached(|cached| Some(now >= cached.due))
            .unwrap_or(true);
        is_due && !last_read.is_pausing(now)
    }

    /// Returns how long ago the lifetime of the cached document ended; zero if it is fresh or there
    /// is none.
    pub(super) fn staleness(&self) -> Duration {
        let now = self.clock.now();
        self.cached(|cached| Some(now.since(cached.fresh_until)))
            .unwrap_or_default()
    }
}

/// At 80 to 90 % of the lifetime, so that the instances do not all read at one moment (DJ-02).
fn due_at(now: Time, lifetime: Duration) -> Time {
    let millis = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX);
    now + Duration::from_millis(millis / 10 * 8 + random_below(millis / 10))
}

/// Returns how long a response may be cached (RFC 9111 §5.2.2.1, §5.1), within the bounds of the
/// provider's settings (DJ-02).
pub(super) fn lifetime_of(headers: &HeaderMap, provider: &Provider) -> Duration {
    let value = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let cache_control = value(header::CACHE_CONTROL)
        .unwrap_or_default()
        .to_ascii_lowercase();
    let directives = || cache_control.split(',').map(str::trim);
    let max_age = directives().find_map(|directive| {
        directive
            .strip_prefix("max-age=")?
            .trim_matches('"')
            .parse::<u64>()
            .ok()
    });
    let age = value(header::AGE)
        .and_then(|age| age.trim().parse().ok())
        .unwrap_or(0);
    let lifetime = if directives().any(|name| name == "no-store" || name == "no-cache") {
        Duration::ZERO
    } else {
        max_age.map_or(DEFAULT_LIFETIME, |seconds| {
            Duration::from_secs(seconds.saturating_sub(age))
        })
    };
    lifetime.clamp(
        Duration::from_secs(provider.fresh_min_seconds),
        Duration::from_secs(provider.fresh_max_seconds.max(provider.fresh_min_seconds)),
    )
}

#[cfg(test)]
mod tests;
