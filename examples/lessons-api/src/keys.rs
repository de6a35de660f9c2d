//! The provider's published keys, kept in memory.
//!
//! Promises: a key that is known answers without a request; the set is read again when its `max-age` is over; an unknown
//! `kid` makes at most one request a minute, however many tokens carry one; while the provider is away the keys that we
//! have go on serving.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use jwt_compact::{Algorithm, alg::Es256, jwk::JsonWebKey};
use reqwest::{Response, header::CACHE_CONTROL};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::issuer::Issuer;

/// A public key that verifies ES256.
pub type Key = <Es256 as Algorithm>::VerifyingKey;

/// How long a set is good for if the provider does not say.
const DEFAULT_AGE: Duration = Duration::from_secs(300);
/// Longer than this no set is believed, whatever the provider says: a withdrawn key must go.
const LONGEST_AGE: Duration = Duration::from_secs(3600);
/// Least time between two requests for the sake of an unknown `kid`.
const UNKNOWN_KID: Duration = Duration::from_secs(60);
/// Least time between two requests while the provider is away.
const AWAY: Duration = Duration::from_secs(5);

/// Why there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoKey {
    /// The provider does not publish it.
    #[error("unknown key")]
    Unknown,
    /// We never got a set: the provider's fault or ours, not the caller's.
    #[error("the keys are not there yet")]
    Unavailable,
}

#[derive(Default)]
struct Cached {
    keys: HashMap<String, Key>,
    fresh_until: Option<Instant>,
}

/// The cache.
pub struct Keys {
    cached: RwLock<Cached>,
    /// When we last asked. Who holds it is the one that asks.
    asked: Mutex<Option<Instant>>,
}

impl Default for Keys {
    fn default() -> Self {
        Self { cached: RwLock::default(), asked: Mutex::new(None) }
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(…)")
    }
}

impl Keys {
    /// The key of that name.
    ///
    /// # Errors
    /// [`NoKey`]
    pub async fn find(&self, issuer: &Issuer, kid: &str) -> Result<Key, NoKey> {
        let (key, fresh) = self.look(kid);
        match key {
            Some(key) if fresh => return Ok(key),
            // One caller reads the set anew, the others go on with what is there.
            Some(_) => {
                if let Ok(mut asked) = self.asked.try_lock() {
                    self.refresh_if_due(issuer, kid, &mut asked).await;
                }
            }
            None => self.refresh_if_due(issuer, kid, &mut *self.asked.lock().await).await,
        }
        self.look(kid).0.ok_or_else(|| self.missing())
    }

    /// Reads the set now, whatever its age: at start, so that the first request does not wait.
    ///
    /// # Errors
    /// If the provider does not answer with a key set.
    pub async fn refresh(&self, issuer: &Issuer) -> anyhow::Result<()> {
        let url = &issuer.metadata().await?.jwks_uri;
        let answer = issuer.get(url).send().await.and_then(Response::error_for_status);
        let answer = answer.context("the provider does not answer")?;
        let age = max_age(&answer);
        let keys = parse(&answer.json().await.context("not a key set")?);
        let fresh_until = Some(Instant::now() + age);
        *self.cached.write().unwrap_or_else(PoisonError::into_inner) = Cached { keys, fresh_until };
        Ok(())
    }

    async fn refresh_if_due(&self, issuer: &Issuer, kid: &str, asked: &mut Option<Instant>) {
        let now = Instant::now();
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
        let cached = self.cached.read().unwrap_or_else(PoisonError::into_inner);
        let fresh = cached.fresh_until.is_some_and(|until| Instant::now() < until);
        (cached.keys.get(kid).copied(), fresh)
    }

    fn missing(&self) -> NoKey {
        let cached = self.cached.read().unwrap_or_else(PoisonError::into_inner);
        if cached.fresh_until.is_some() { NoKey::Unknown } else { NoKey::Unavailable }
    }
}

/// Whether to ask the provider now.
fn due(now: Instant, asked: Option<Instant>, known: bool, fresh: bool) -> bool {
    let pause = match (known, fresh) {
        (true, true) => return false,
        (false, true) => UNKNOWN_KID,
        (_, false) => AWAY,
    };
    asked.is_none_or(|asked| now.duration_since(asked) >= pause)
}

/// RFC 9111 §5.2.2.1.
fn max_age(answer: &Response) -> Duration {
    let header = answer.headers().get(CACHE_CONTROL).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let seconds = header.split(',').find_map(|part| part.trim().strip_prefix("max-age=")?.parse().ok());
    seconds.map_or(DEFAULT_AGE, Duration::from_secs).min(LONGEST_AGE)
}

/// The ES256 signing keys of a set, by `kid` (RFC 7517 §5). What we do not understand is passed over, as it says there.
fn parse(set: &Value) -> HashMap<String, Key> {
    let keys = set.get("keys").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    keys.iter().filter_map(parse_key).collect()
}

fn parse_key(jwk: &Value) -> Option<(String, Key)> {
    let text = |name| jwk.get(name).and_then(Value::as_str);
    let ours = text("alg").is_none_or(|alg| alg == "ES256") && text("use").is_none_or(|using| using == "sig");
    let kid = text("kid").filter(|_| ours)?;
    let jwk: JsonWebKey<'_> = serde_json::from_value(jwk.clone()).ok()?;
    Some((kid.to_owned(), Key::try_from(&jwk).ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use poem::{
        EndpointExt as _, Route, Server, get, handler, listener::Acceptor as _, listener::Listener as _, web::Data,
    };
    use serde_json::json;

    use super::*;

    const X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
    const Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";

    #[test]
    fn only_our_kind_of_key_is_taken() {
        let ec = |kid: &str, alg: &str, using: &str| json!({"kty":"EC","crv":"P-256","x":X,"y":Y,"kid":kid,"alg":alg,"use":using});
        let set = json!({"keys":[
            ec("good", "ES256", "sig"),
            ec("other-alg", "ES384", "sig"),
            ec("other-use", "ES256", "enc"),
            {"kty":"EC","crv":"P-256","x":X,"y":Y},
            {"kty":"EC","crv":"P-256","x":X,"y":X,"kid":"not-on-the-curve"},
            {"kty":"oct","k":"AAAA","kid":"shared","alg":"HS256"},
            {"kty":"new","kid":"later"},
        ]});
        assert_eq!(parse(&set).into_keys().collect::<Vec<_>>(), ["good"]);
        assert!(parse(&json!({"keys": "none"})).is_empty());
    }

    #[test]
    fn an_unknown_kid_asks_at_most_once_a_minute() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        assert!(due(start, None, false, false), "the first time at once");
        assert!(!due(after(59), Some(start), false, true));
        assert!(due(after(60), Some(start), false, true));
        assert!(!due(after(3600), Some(start), true, true), "a known, fresh key never asks");
        assert!(due(after(5), Some(start), true, false), "a stale set is read anew");
        assert!(!due(after(4), Some(start), true, false), "but not by every request while the provider is away");
    }

    #[handler]
    fn discovery(request: &poem::Request, Data(count): Data<&Arc<AtomicUsize>>) -> poem::Response {
        let issuer = format!("http://{}", request.header("host").unwrap());
        if request.uri().path() == "/jwks" {
            if count.fetch_add(1, Ordering::SeqCst) > 0 {
                return poem::http::StatusCode::BAD_GATEWAY.into();
            }
            let set = json!({"keys":[{"kty":"EC","crv":"P-256","x":X,"y":Y,"kid":"one","alg":"ES256"}]});
            return poem::Response::builder().header("cache-control", "public, max-age=0").body(set.to_string());
        }
        let at = |path: &str| format!("{issuer}{path}");
        let metadata =
            json!({"issuer":issuer,"authorization_endpoint":at("/a"),"token_endpoint":at("/t"),"jwks_uri":at("/jwks")});
        metadata.to_string().into()
    }

    #[tokio::test]
    async fn keys_are_read_through_discovery_and_kept_while_the_provider_is_away() {
        crate::install_tls();
        let count = Arc::new(AtomicUsize::new(0));
        let acceptor = poem::listener::TcpListener::bind("127.0.0.1:0").into_acceptor().await.unwrap();
        let address = *acceptor.local_addr()[0].as_socket_addr().unwrap();
        let routes = Route::new()
            .at("/.well-known/openid-configuration", get(discovery))
            .at("/jwks", get(discovery))
            .data(Arc::clone(&count));
        tokio::spawn(Server::new_with_acceptor(acceptor).run(routes));

        let issuer = Issuer::new(&format!("http://{address}"), None).unwrap();
        let keys = Keys::default();
        assert!(keys.find(&issuer, "one").await.is_ok());
        assert_eq!(keys.find(&issuer, "two").await, Err(NoKey::Unknown));
        assert_eq!(count.load(Ordering::SeqCst), 1, "the unknown one asked within the pause");

        *keys.asked.lock().await = None;
        assert!(keys.find(&issuer, "one").await.is_ok(), "stale, a new set refused, still served");
        assert_eq!(count.load(Ordering::SeqCst), 2, "it did ask");
        assert!(keys.find(&issuer, "one").await.is_ok());
        assert_eq!(count.load(Ordering::SeqCst), 2, "and leaves the provider in peace for a while");
    }

    #[tokio::test]
    async fn no_set_at_all_is_our_fault_and_not_the_callers() {
        crate::install_tls();
        let issuer = Issuer::new("http://127.0.0.1:1", None).unwrap();
        assert_eq!(Keys::default().find(&issuer, "one").await, Err(NoKey::Unavailable));
    }
}
