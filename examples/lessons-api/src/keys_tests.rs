//! The cache against a small provider that counts, stands still and goes away.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use poem::{
    EndpointExt as _, Route, Server, get, handler, listener::Acceptor as _,
    listener::Listener as _, web::Data,
};
use serde_json::json;

use super::*;

const X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
const Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";

fn ec(kid: &str, alg: &str, using: &str) -> Value {
    json!({"kty":"EC","crv":"P-256","x":X,"y":Y,"kid":kid,"alg":alg,"use":using})
}

#[test]
fn only_our_kind_of_key_is_taken() {
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
    assert!(
        !due(after(3600), Some(start), true, true),
        "a known, fresh key never asks"
    );
    assert!(
        due(after(5), Some(start), true, false),
        "a stale set is read anew"
    );
    assert!(
        !due(after(4), Some(start), true, false),
        "but not by every request while the provider is away"
    );
}

/// The behaviour of the provider, and its counters.
#[derive(Default)]
struct Provider {
    /// The number of requests for the set.
    asked: AtomicUsize,
    /// The number of responses 304 among them.
    same: AtomicUsize,
    away: AtomicBool,
    /// Whether `two` is published as well.
    rotated: AtomicBool,
}

impl Provider {
    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[handler]
fn discovery(request: &poem::Request, Data(provider): Data<&Arc<Provider>>) -> poem::Response {
    let issuer = format!("http://{}", request.header("host").unwrap());
    if request.uri().path() == "/jwks" {
        provider.asked.fetch_add(1, Ordering::SeqCst);
        if provider.away.load(Ordering::SeqCst) {
            return poem::http::StatusCode::BAD_GATEWAY.into();
        }
        let (rotated, key) = (
            provider.rotated.load(Ordering::SeqCst),
            ec("one", "ES256", "sig"),
        );
        let etag = if rotated { "\"b\"" } else { "\"a\"" };
        let answer = poem::Response::builder()
            .header("cache-control", "public, max-age=300")
            .header("etag", etag);
        if request.header("if-none-match") == Some(etag) {
            provider.same.fetch_add(1, Ordering::SeqCst);
            return answer.status(poem::http::StatusCode::NOT_MODIFIED).finish();
        }
        let keys = if rotated {
            vec![key, ec("two", "ES256", "sig")]
        } else {
            vec![key]
        };
        return answer.body(json!({ "keys": keys }).to_string());
    }
    let at = |path: &str| format!("{issuer}{path}");
    let metadata = json!({"issuer":issuer,"authorization_endpoint":at("/a"),"token_endpoint":at("/t"),"jwks_uri":at("/jwks")});
    metadata.to_string().into()
}

/// A cache, its provider, and the seconds by which its clock is ahead.
struct TestCache {
    keys: Keys,
    issuer: Issuer,
    provider: Arc<Provider>,
    ahead: Arc<AtomicU64>,
}

impl TestCache {
    async fn new() -> Self {
        crate::install_tls();
        let provider = Arc::new(Provider::default());
        let acceptor = poem::listener::TcpListener::bind("127.0.0.1:0")
            .into_acceptor()
            .await
            .unwrap();
        let address = *acceptor.local_addr()[0].as_socket_addr().unwrap();
        let routes = Route::new()
            .at("/.well-known/openid-configuration", get(discovery))
            .at("/jwks", get(discovery))
            .data(Arc::clone(&provider));
        tokio::spawn(Server::new_with_acceptor(acceptor).run(routes));
        let ahead = Arc::new(AtomicU64::new(0));
        let (begin, by) = (Instant::now(), Arc::clone(&ahead));
        let keys = Keys::with_clock(move || begin + Duration::from_secs(by.load(Ordering::SeqCst)));
        Self {
            keys,
            issuer: Issuer::new(&format!("http://{address}"), None).unwrap(),
            provider,
            ahead,
        }
    }

    async fn find(&self, kid: &str) -> Result<(), KeyError> {
        self.keys.find(&self.issuer, kid).await.map(drop)
    }

    fn pass(&self, seconds: u64) {
        self.ahead.fetch_add(seconds, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_set_is_kept_for_its_max_age_and_asked_for_by_its_etag() {
    let cache = TestCache::new().await;
    for _ in 0..10 {
        assert_eq!(cache.find("one").await, Ok(()));
    }
    cache.pass(299);
    assert_eq!(cache.find("one").await, Ok(()));
    assert_eq!(
        cache.provider.asked(),
        1,
        "within max-age no request is made"
    );
    cache.pass(1);
    assert_eq!(cache.find("one").await, Ok(()));
    assert_eq!(
        (
            cache.provider.asked(),
            cache.provider.same.load(Ordering::SeqCst)
        ),
        (2, 1),
        "a 304"
    );
    cache.pass(299);
    assert_eq!(cache.find("one").await, Ok(()));
    assert_eq!(cache.provider.asked(), 2, "after which it is fresh again");
}

#[tokio::test]
async fn an_unknown_kid_reads_the_set_again_and_a_rotation_is_not_noticed() {
    let cache = TestCache::new().await;
    assert_eq!(cache.find("one").await, Ok(()));
    cache.pass(60);
    cache.provider.rotated.store(true, Ordering::SeqCst);
    assert_eq!(
        (cache.find("two").await, cache.find("one").await),
        (Ok(()), Ok(()))
    );
    for _ in 0..10 {
        assert_eq!(cache.find("three").await, Err(KeyError::Unknown));
    }
    assert_eq!(cache.provider.asked(), 2, "once a minute");
    cache.pass(60);
    assert_eq!(cache.find("three").await, Err(KeyError::Unknown));
    assert_eq!(cache.provider.asked(), 3);
}

#[tokio::test]
async fn the_keys_serve_while_the_provider_is_away_and_for_a_day_at_most() {
    let cache = TestCache::new().await;
    assert_eq!(cache.find("one").await, Ok(()));
    cache.provider.away.store(true, Ordering::SeqCst);
    cache.pass(301);
    assert_eq!(
        cache.find("one").await,
        Ok(()),
        "stale, a new set refused, still served"
    );
    assert_eq!(cache.provider.asked(), 2, "it did ask");
    assert_eq!(cache.find("one").await, Ok(()));
    assert_eq!(
        cache.provider.asked(),
        2,
        "and leaves the provider in peace for a while"
    );
    cache.pass(BELIEVED.as_secs() - 302);
    assert_eq!(cache.find("one").await, Ok(()));
    cache.pass(1);
    assert_eq!(
        cache.find("one").await,
        Err(KeyError::Unavailable),
        "a day later a stolen key would still pass"
    );
    cache.provider.away.store(false, Ordering::SeqCst);
    cache.pass(5);
    assert_eq!(cache.find("one").await, Ok(()), "back by itself");
}

#[tokio::test]
async fn no_set_at_all_is_our_fault_and_not_the_callers() {
    crate::install_tls();
    let issuer = Issuer::new("http://127.0.0.1:1", None).unwrap();
    assert!(matches!(
        Keys::default().find(&issuer, "one").await,
        Err(KeyError::Unavailable)
    ));
}
