//! Public keys that clients publish (`jwks_uri`, RFC 7591 §2): fetched when needed, cached, and
//! fetched again when an assertion names an unknown key (CA-10).
//!
//! An invented `kid` causes a fetch, so a document is fetched at most once a minute, by one request
//! at a time. Readers of cached keys do not wait, and few requests wait for one document: a server
//! that hangs must not hold the slots of all requests (SP-4).

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tokio::sync::Semaphore;
use url::Url;

use crate::{
    clock::Time,
    config::jwks::Jwks,
    web::fetch::{FetchRequest, FetchScope, Fetcher},
};

/// The shortest time between two fetches of a document.
const MIN_FETCH_INTERVAL: Duration = Duration::from_secs(60);

/// How long cached keys are used: a key that the client removed is trusted no longer.
const MAX_AGE: Duration = Duration::from_secs(600);

/// How long cached keys are used while the document cannot be read.
const MAX_STALE_AGE: Duration = Duration::from_secs(3600);

/// How many requests may wait for one document.
const MAX_WAITING: usize = 4;

/// When to try again while as many wait.
const BUSY: Duration = Duration::from_secs(2);

/// The published keys of all clients. Clones share them.
#[derive(Clone, Default)]
pub struct ClientKeys {
    slots: Arc<Mutex<HashMap<String, Arc<Slot>>>>,
}

impl fmt::Debug for ClientKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientKeys").finish_non_exhaustive()
    }
}

struct Slot {
    cached: ArcSwapOption<FetchedKeys>,
    /// Places for requests that wait for the document.
    waiting: Semaphore,
    /// When the document was last fetched. The lock is held while it is fetched.
    fetched_at: tokio::sync::Mutex<Option<Time>>,
}

/// There are no keys to trust now: the document cannot be read, or it is being fetched and as many
/// requests as may wait for it do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the keys of the client cannot be read now")]
pub struct KeysUnavailable {
    /// After this time another try may find them.
    pub retry_after: Duration,
}

struct FetchedKeys {
    keys: Arc<Jwks>,
    fetched_at: Time,
}

impl Default for Slot {
    fn default() -> Self {
        Self {
            cached: ArcSwapOption::default(),
            waiting: Semaphore::new(MAX_WAITING),
            fetched_at: tokio::sync::Mutex::default(),
        }
    }
}

impl Slot {
    fn no_older_than(&self, age: Duration, now: Time) -> Option<Arc<Jwks>> {
        let cached = self.cached.load();
        cached
            .as_ref()
            .filter(|keys| now.since(keys.fetched_at) <= age)
            .map(|cached| Arc::clone(&cached.keys))
    }
}

impl ClientKeys {
    /// Returns the keys at `uri`, which is fetched within `scope`: the cached ones if `suffices`
    /// accepts them, else those that are there now, if they may be fetched again already.
    ///
    /// # Errors
    /// [`KeysUnavailable`]: nothing is known about the client's keys, so no assertion is wrong.
    pub async fn get(
        &self,
        uri: &str,
        scope: FetchScope,
        suffices: impl Fn(&Jwks) -> bool,
        now: Time,
    ) -> Result<Arc<Jwks>, KeysUnavailable> {
        let slot = self.slot(uri);
        if let Some(keys) = slot
            .no_older_than(MAX_AGE, now)
            .filter(|keys| suffices(keys))
        {
            return Ok(keys);
        }
        let busy = KeysUnavailable { retry_after: BUSY };
        let _place = slot.waiting.try_acquire().map_err(|_| busy)?;
        // A task of its own: a caller that disconnects must not cancel the fetch, or there would be
        // no keys for a minute.
        let fetching = tokio::spawn(refresh(Arc::clone(&slot), uri.to_owned(), scope, now));
        if let Err(error) = fetching.await {
            tracing::error!(cause = %error, "fetching the keys of a client failed");
        }
        let unread = KeysUnavailable {
            retry_after: MIN_FETCH_INTERVAL,
        };
        slot.no_older_than(MAX_STALE_AGE, now).ok_or(unread)
    }

    fn slot(&self, uri: &str) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(uri.to_owned()).or_default())
    }
}

/// Fetches a document, unless it was fetched just now.
async fn refresh(slot: Arc<Slot>, uri: String, scope: FetchScope, now: Time) {
    let mut fetched_at = slot.fetched_at.lock().await;
    if fetched_at.is_some_and(|at| now.since(at) < MIN_FETCH_INTERVAL) {
        return;
    }
    *fetched_at = Some(now);
    if let Some(keys) = fetch(&uri, scope).await {
        slot.cached.store(Some(Arc::new(FetchedKeys {
            keys: Arc::new(keys),
            fetched_at: now,
        })));
    }
}

async fn fetch(uri: &str, scope: FetchScope) -> Option<Jwks> {
    let response = match Fetcher::new(scope) {
        Ok(fetcher) => fetcher
            .send(FetchRequest::get(uri))
            .await
            .map_err(|error| error.to_string()),
        Err(words) => Err(words),
    };
    let keys = response.and_then(|response| match response.status {
        200 => Jwks::published(&response.body).ok_or_else(|| "it has no usable key".to_owned()),
        status => Err(format!("it answered with status {status}")),
    });
    // A URL may hold a secret: the log gets the host alone.
    let host = Url::parse(uri)
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned))
        .unwrap_or_default();
    keys.inspect_err(|cause| tracing::warn!(host, cause, "the keys of a client cannot be read"))
        .ok()
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use futures_util::FutureExt as _;
    use serde_json::json;
    use tokio::time::timeout;

    use super::*;
    use crate::{
        clock::Clock,
        web::fetch::test_server::{TestServer, raw_response},
    };

    /// The scope of a client without settings of its own.
    fn scope(uri: &str) -> FetchScope {
        FetchScope {
            loopback_http: uri.starts_with("http://"),
            ..FetchScope::default()
        }
    }

    #[tokio::test]
    async fn ca_10_a_caller_that_disconnects_does_not_cancel_the_fetch() {
        let key = json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode([7; 32]) });
        let document = json!({ "keys": [key] }).to_string();
        let server = TestServer::start(move |_| raw_response(200, "", &document)).await;
        let (keys, uri) = (ClientKeys::default(), format!("{}/jwks", server.base));
        let now = Clock::default().now();
        let disconnected =
            timeout(Duration::ZERO, keys.get(&uri, scope(&uri), |_| true, now)).await;
        assert!(disconnected.is_err());
        assert!(
            keys.get(&uri, scope(&uri), |_| true, now).await.is_ok(),
            "the next caller gets it"
        );
    }

    #[tokio::test]
    async fn ca_10_ht_03_a_document_at_an_address_that_is_not_public_is_not_fetched() {
        let key = json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode([7; 32]) });
        let document = json!({ "keys": [key] }).to_string();
        let server = TestServer::start(move |_| raw_response(200, "", &document)).await;
        let port = server.base.rsplit(':').next().unwrap();
        let (keys, now) = (ClientKeys::default(), Clock::default().now());
        let has_keys = async |uri: String| {
            let found = keys.get(&uri, scope(&uri), |_| true, now).await;
            found.is_ok()
        };
        for host in [
            "127.0.0.1",
            "localhost",
            "LOCALHOST.",
            "0x7f.1",
            "2130706433",
            "[::ffff:127.0.0.1]",
            "me@127.1",
        ] {
            assert!(
                !has_keys(format!("https://{host}:{port}/jwks")).await,
                "{host}"
            );
        }
        assert_eq!(server.connections(), 0, "no connection was made");
        assert!(
            has_keys(format!("http://127.0.0.1:{port}/jwks")).await,
            "plain http to this machine, as configured"
        );
        assert_eq!(server.connections(), 1, "it listens");
    }

    /// SP-4: a server that hangs holds a few requests, and the others are asked to come again.
    #[tokio::test]
    async fn sp_4_few_requests_wait_for_one_document() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}/jwks", listener.local_addr().unwrap());
        let (keys, now) = (ClientKeys::default(), Clock::default().now());
        let ask = || Box::pin(keys.get(&uri, scope(&uri), |_| true, now));
        let mut waiting: Vec<_> = (0..MAX_WAITING).map(|_| ask()).collect();
        for one in &mut waiting {
            assert!(one.now_or_never().is_none());
        }
        let busy = KeysUnavailable { retry_after: BUSY };
        assert_eq!(ask().await.err(), Some(busy));
        waiting.pop();
        let mut next = ask();
        assert!(
            (&mut next).now_or_never().is_none(),
            "there is a place again"
        );
    }
}
