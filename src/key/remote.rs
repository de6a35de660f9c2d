//! Public keys that clients publish (`jwks_uri`, RFC 7591 §2): fetched when needed, kept for a while, and asked for again
//! when a key appears that nobody knows (CA-10).
//!
//! Whoever sends us a made-up `kid` makes us ask, so that a document is asked for at most once a minute, by one at a
//! time. Readers of what is there wait for nobody.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use url::Url;

use crate::{
    clock::Time,
    config::jwks::Jwks,
    web::fetch::{FetchRequest, FetchScope, Fetcher},
};

/// A document is asked for again at the earliest after this.
const PAUSE: Duration = Duration::from_secs(60);

/// A key that the client has withdrawn is trusted no longer than this.
const FRESH: Duration = Duration::from_secs(600);

/// While the document cannot be read, keys are trusted for as long as this.
const STALE: Duration = Duration::from_secs(3600);

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

#[derive(Default)]
struct Slot {
    held: ArcSwapOption<Held>,
    /// When it was last asked for; locked by who is asking.
    asked: tokio::sync::Mutex<Option<Time>>,
}

struct Held {
    keys: Arc<Jwks>,
    read_at: Time,
}

impl Slot {
    fn no_older_than(&self, age: Duration, now: Time) -> Option<Arc<Jwks>> {
        let held = self.held.load();
        held.as_ref()
            .filter(|held| now.since(held.read_at) <= age)
            .map(|held| Arc::clone(&held.keys))
    }
}

impl ClientKeys {
    /// The keys at `uri`: those that are held if `known` finds in them what it looks for, else those that are there now,
    /// if they may be asked for again already. None if there are none to trust.
    pub async fn of(
        &self,
        uri: &str,
        known: impl Fn(&Jwks) -> bool,
        now: Time,
    ) -> Option<Arc<Jwks>> {
        let slot = self.slot(uri);
        if let Some(keys) = slot.no_older_than(FRESH, now).filter(|keys| known(keys)) {
            return Some(keys);
        }
        // A task of its own: a caller who hangs up must not take the answer along, or nobody had it for a minute.
        let reading = tokio::spawn(read(Arc::clone(&slot), uri.to_owned(), now));
        if let Err(failure) = reading.await {
            tracing::error!(cause = %failure, "reading the keys of a client came to no end");
        }
        slot.no_older_than(STALE, now)
    }

    fn slot(&self, uri: &str) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(uri.to_owned()).or_default())
    }
}

/// Asks for a document, unless somebody has just done so.
async fn read(slot: Arc<Slot>, uri: String, now: Time) {
    let mut asked = slot.asked.lock().await;
    if asked.is_some_and(|at| now.since(at) < PAUSE) {
        return;
    }
    *asked = Some(now);
    if let Some(keys) = fetch(&uri).await {
        slot.held.store(Some(Arc::new(Held {
            keys: Arc::new(keys),
            read_at: now,
        })));
    }
}

/// Public addresses alone; plain http only to this machine, where ops have written exactly that.
async fn fetch(uri: &str) -> Option<Jwks> {
    let reach = FetchScope {
        loopback_http: uri.starts_with("http://"),
        ..FetchScope::default()
    };
    let told = match Fetcher::new(reach) {
        Ok(fetcher) => fetcher
            .send(FetchRequest::get(uri))
            .await
            .map_err(|refusal| refusal.to_string()),
        Err(words) => Err(words),
    };
    let keys = told.and_then(|reply| match reply.status {
        200 => Jwks::published(&reply.body).ok_or_else(|| "has no key that can be used".to_owned()),
        status => Err(format!("answered with status {status}")),
    });
    // A URL may hold a secret: its host says enough.
    let host = Url::parse(uri)
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned))
        .unwrap_or_default();
    keys.inspect_err(|cause| tracing::warn!(host, cause, "the keys of a client cannot be read"))
        .ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use serde_json::json;
    use tokio::time::timeout;

    use super::*;
    use crate::{
        clock::Clock,
        web::fetch::test_server::{TestServer, raw_response},
    };

    #[tokio::test]
    async fn ca_10_whoever_hangs_up_takes_no_answer_along() {
        let key = json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode([7; 32]) });
        let document = json!({ "keys": [key] }).to_string();
        let server = TestServer::start(move |_| raw_response(200, "", &document)).await;
        let (keys, uri) = (ClientKeys::default(), format!("{}/jwks", server.base));
        let now = Clock::default().now();
        let hung_up = timeout(Duration::ZERO, keys.of(&uri, |_| true, now)).await;
        assert!(hung_up.is_err());
        assert!(
            keys.of(&uri, |_| true, now).await.is_some(),
            "the next one has it"
        );
    }

    #[tokio::test]
    async fn ca_10_ht_03_nobody_connects_to_a_document_at_an_address_that_is_not_public() {
        let key = json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode([7; 32]) });
        let document = json!({ "keys": [key] }).to_string();
        let server = TestServer::start(move |_| raw_response(200, "", &document)).await;
        let port = server.base.rsplit(':').next().unwrap();
        let (keys, now) = (ClientKeys::default(), Clock::default().now());
        let held = async |uri: String| keys.of(&uri, |_| true, now).await.is_some();
        for host in [
            "127.0.0.1",
            "localhost",
            "LOCALHOST.",
            "0x7f.1",
            "2130706433",
            "[::ffff:127.0.0.1]",
            "me@127.1",
        ] {
            assert!(!held(format!("https://{host}:{port}/jwks")).await, "{host}");
        }
        assert_eq!(server.connections(), 0, "somebody was connected to");
        assert!(
            held(format!("http://127.0.0.1:{port}/jwks")).await,
            "what ops wrote for this machine"
        );
        assert_eq!(server.connections(), 1, "it listens");
    }
}
