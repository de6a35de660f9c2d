//! The documents of a provider: when they are read, how often at most, and how long they are used
//! (DJ-01 to DJ-10).

use std::time::Duration;

use entree::federation::{
    error::RefusalCode,
    provider::{AuthorizationRequest, AuthorizationResponse, Providers},
};
use futures_util::future::join_all;
use poem::Request;
use serde_json::{Value, json};
use testkit::{
    upstream::{Back, Fault, Place, Reply, Sign},
    wire::Mode,
};
use url::Url;

use crate::{
    federation::ProviderFixture,
    oauth::settle,
    test_app::{Browser, TestApp},
};

on_both!(
    dj_02_documents_are_fresh_for_their_max_age_within_bounds,
    dj_02_an_etag_is_sent_with_the_next_request,
    dj_03_a_hundred_sign_ins_on_a_cold_cache_cause_one_request,
    dj_05_a_removed_key_fails_one_lifetime_later,
    dj_10_keys_rotated_just_before_a_sign_in,
);

/// Moves the clocks of the service and of the provider.
fn pass(fixture: &ProviderFixture<'_>, seconds: u32) {
    fixture.test_app.pass(seconds.into());
    fixture.up.pass(seconds.into());
}

/// Returns the number of requests for metadata and for keys.
fn document_requests(fixture: &ProviderFixture<'_>) -> (usize, usize) {
    (
        fixture.up.count(Place::Discovery),
        fixture.up.count(Place::Jwks),
    )
}

async fn dj_02_documents_are_fresh_for_their_max_age_within_bounds(test_app: TestApp) {
    // The header of the document, an age at which it is fresh, and an age at which it is stale.
    for (cache_control, fresh, stale) in [
        ("", 2_800, 3_700),
        ("max-age=1200", 900, 1_300),
        ("max-age=1", 200, 400),
        ("max-age=999999", 60_000, 87_000),
    ] {
        let fixture = ProviderFixture::new(&test_app, json!({})).await;
        if !cache_control.is_empty() {
            for place in [Place::Discovery, Place::Jwks] {
                fixture
                    .up
                    .inject(Fault::Head(place, "cache-control", cache_control));
            }
        }
        fixture.assert_signs_in("cold").await;
        assert_eq!(document_requests(&fixture), (1, 1), "{cache_control}");
        pass(&fixture, fresh);
        fixture.assert_signs_in("fresh").await;
        assert_eq!(
            document_requests(&fixture),
            (1, 1),
            "{cache_control}: after {fresh} s"
        );
        pass(&fixture, stale - fresh);
        fixture.assert_signs_in("stale").await;
        let again = || async {
            (document_requests(&fixture).0 >= 2 && document_requests(&fixture).1 >= 2).then_some(())
        };
        testkit::until("both read again", Duration::from_secs(10), again)
            .await
            .unwrap_or_else(|_| panic!("{cache_control}"));
    }
}

async fn dj_02_an_etag_is_sent_with_the_next_request(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    for place in [Place::Discovery, Place::Jwks] {
        fixture.up.inject(Fault::Head(place, "etag", "\"v1\""));
    }
    fixture.assert_signs_in("cold").await;
    pass(&fixture, 3_700);
    fixture.assert_signs_in("stale").await;
    let second_request = |place| fixture.up.requests(place).into_iter().nth(1);
    let again = || async {
        Some((
            second_request(Place::Discovery)?,
            second_request(Place::Jwks)?,
        ))
    };
    let (metadata, keys) = testkit::until("both read again", Duration::from_secs(10), again)
        .await
        .unwrap();
    for request in [metadata, keys] {
        assert_eq!(
            request.header("if-none-match"),
            Some("\"v1\""),
            "{}",
            request.path
        );
    }
    fixture.assert_signs_in("after 304").await;
}

async fn dj_03_a_hundred_sign_ins_on_a_cold_cache_cause_one_request(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    let mut ready: Vec<(Browser<'_>, Request)> = Vec::new();
    for _ in 0..100 {
        let (browser, login) = fixture.open_sign_in().await;
        let request = browser.filled(&login, &fixture.button(&login).unwrap(), &[]);
        ready.push((browser, request));
    }
    // Slow enough for all hundred requests to arrive before the first response.
    fixture
        .up
        .wire
        .set(Mode::Latency(Duration::from_millis(300)));
    let pages = join_all(ready.into_iter().map(|(mut browser, request)| async {
        let page = browser.send(request).await;
        (browser, page)
    }))
    .await;
    assert_eq!(fixture.up.count(Place::Discovery), 1, "DJ-03");
    fixture.up.wire.set(Mode::Ok);
    let person = |number| json!({"sub": format!("{} {number}", fixture.id), "email": format!("{number}.{}", fixture.email)});
    let people: Vec<Value> = (0..pages.len()).map(person).collect();
    let backs = join_all(
        pages
            .iter()
            .zip(&people)
            .map(|((_, page), person)| fixture.up.visit_as(page, person)),
    )
    .await;
    fixture
        .up
        .wire
        .set(Mode::Latency(Duration::from_millis(100)));
    let mut waiting = pages.into_iter().zip(backs);
    let mut done = Vec::new();
    loop {
        // All at once they would share the ten seconds that each callback has.
        let some: Vec<_> = waiting.by_ref().take(25).collect();
        if some.is_empty() {
            break;
        }
        let callbacks = some.into_iter().map(|((mut browser, _), back)| async move {
            let response = browser.open(&back.path()).await;
            let page = settle(&mut browser, response).await;
            // An address that the provider has not verified is confirmed by email: that page is as
            // good as the account here.
            let good = browser.is_signed_in() || page.has("input[name=link]");
            (good, page)
        });
        done.extend(join_all(callbacks).await);
    }
    assert_eq!(
        document_requests(&fixture),
        (1, 1),
        "DJ-03: one request for each document"
    );
    let failed: Vec<_> = done
        .iter()
        .filter(|(good, _)| !good)
        .map(|(_, page)| page.summary())
        .collect();
    assert!(failed.is_empty(), "{} of 100: {}", failed.len(), failed[0]);
}

async fn dj_05_a_removed_key_fails_one_lifetime_later(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({"algs": ["RS256", "ES256"]})).await;
    fixture.up.inject(Fault::Sign(Sign::Es256));
    fixture.assert_signs_in("while it is listed").await;
    fixture.up.inject(Fault::json(Place::Jwks, |jwks| {
        jwks["keys"].as_array_mut().unwrap().remove(1);
    }));
    fixture
        .assert_signs_in("while the set that contained it is fresh")
        .await;
    pass(&fixture, 3_700);
    // Stale documents may be used once more while they are read again.
    let gone = || async {
        let (mut browser, _, back) = fixture.go_to_provider().await;
        browser.open(&back.path()).await;
        (!browser.is_signed_in()).then_some(())
    };
    testkit::until(
        "the key is no longer accepted",
        Duration::from_secs(10),
        gone,
    )
    .await
    .unwrap();
}

async fn dj_10_keys_rotated_just_before_a_sign_in(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    fixture.assert_signs_in("with the first keys").await;
    let (mut browser, _, back) = fixture.go_to_provider().await;
    // The code was issued before the rotation, and the token is signed with the new key.
    fixture.up.rotate();
    let response = browser.open(&back.path()).await;
    let page = settle(&mut browser, response).await;
    assert!(browser.is_signed_in(), "{}", page.summary());
    assert_eq!(
        document_requests(&fixture),
        (1, 2),
        "DJ-10: with one refresh"
    );
    fixture.assert_signs_in("with the new keys").await;
    assert_eq!(document_requests(&fixture), (1, 2));
}

/// Runs both operations of the provider module without pages around them.
async fn identify(fixture: &ProviderFixture<'_>, providers: &Providers) -> Result<(), RefusalCode> {
    let state = entree::secret::Plain::generate().to_text();
    let request = AuthorizationRequest {
        state: &state,
        login_hint: None,
        ui_locales: "",
    };
    let started = providers
        .start_authorization(&fixture.id, request)
        .await
        .map_err(|error| error.code())?;
    let back: Back = fixture.up.grant(&Url::parse(&started.url).unwrap());
    let response = AuthorizationResponse {
        code: back.get("code"),
        iss: back.get("iss"),
        ..AuthorizationResponse::default()
    };
    providers
        .identify(&started.record, &response)
        .await
        .map(drop)
        .map_err(|error| error.code())
}

/// DJ-04: there is one forced refresh, whether or not the key names differ; a minute later there
/// may be another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dj_04_a_thousand_tokens_with_unknown_keys_cause_one_refresh() {
    let test_app = TestApp::embedded().await;
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    let providers = Providers::new(&test_app.app);
    assert_eq!(identify(&fixture, &providers).await, Ok(()));
    assert_eq!(document_requests(&fixture), (1, 1));
    let number = std::sync::atomic::AtomicUsize::new(0);
    fixture
        .up
        .inject(Fault::Header(Box::new(move |header: &mut Value| {
            let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            header["kid"] = format!("unknown-{number}").into();
        })));
    for _ in 0..20 {
        let all = join_all((0..50).map(|_| identify(&fixture, &providers))).await;
        assert!(
            all.iter().all(|one| *one == Err(RefusalCode::KeyUnknown)),
            "{all:?}"
        );
    }
    assert_eq!(fixture.up.count(Place::Token), 1001);
    assert_eq!(
        document_requests(&fixture),
        (1, 2),
        "DJ-04: a thousand tokens, one refresh"
    );
    pass(&fixture, 61);
    assert_eq!(
        identify(&fixture, &providers).await,
        Err(RefusalCode::KeyUnknown)
    );
    assert_eq!(
        document_requests(&fixture),
        (1, 3),
        "and one more a minute later"
    );
    // A failed refresh counts, too.
    pass(&fixture, 61);
    fixture.up.inject(Fault::reply(
        Place::Jwks,
        Reply::new(500, "text/plain", "no"),
    ));
    for _ in 0..5 {
        assert!(identify(&fixture, &providers).await.is_err());
    }
    assert_eq!(
        document_requests(&fixture),
        (1, 4),
        "a failed refresh is a refresh"
    );
}

/// DJ-04: a bad signature under a known key name may mean that the key was replaced: one refresh.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dj_04_a_bad_signature_refreshes_under_the_same_limit() {
    let test_app = TestApp::embedded().await;
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    let providers = Providers::new(&test_app.app);
    assert_eq!(identify(&fixture, &providers).await, Ok(()));
    fixture.up.inject(Fault::Sign(Sign::Stranger));
    for _ in 0..20 {
        assert_eq!(
            identify(&fixture, &providers).await,
            Err(RefusalCode::Signature)
        );
    }
    assert_eq!(document_requests(&fixture), (1, 2));
    // The same if the token names no key (RP-4).
    fixture.up.inject(Fault::header("kid", Value::Null));
    pass(&fixture, 61);
    for _ in 0..20 {
        assert_eq!(
            identify(&fixture, &providers).await,
            Err(RefusalCode::Signature)
        );
    }
    assert_eq!(document_requests(&fixture), (1, 3));
}
