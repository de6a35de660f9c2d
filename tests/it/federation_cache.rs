//! A provider's documents: when they are read, how often at most, and how long they serve (DJ-01 to
//! DJ-10).

use std::time::Duration;

use entree::federation::{
    error::RefusalCode,
    provider::{AuthorizationRequest, AuthorizationResponse, Providers},
};
use futures_util::future::join_all;
use poem::Request;
use serde_json::{Value, json};
use testkit::{
    upstream::{Back, Lie, Place, Reply, Sign},
    wire::Mode,
};
use url::Url;

use crate::{
    federation::Stage,
    oauth::settle,
    test_app::{Browser, TestApp},
};

on_both!(
    dj_02_documents_are_fresh_as_long_as_they_say_within_bounds,
    dj_02_an_etag_is_given_back,
    dj_03_a_hundred_logins_on_a_cold_cache_ask_once,
    dj_05_a_removed_key_fails_one_lifetime_later,
    dj_10_keys_rotated_just_before_a_login,
);

/// Lets time pass for both sides.
fn pass(stage: &Stage<'_>, seconds: u32) {
    stage.test_app.pass(seconds.into());
    stage.up.pass(seconds.into());
}

/// Requests for metadata and for keys so far.
fn read(stage: &Stage<'_>) -> (usize, usize) {
    (
        stage.up.count(Place::Discovery),
        stage.up.count(Place::Jwks),
    )
}

async fn dj_02_documents_are_fresh_as_long_as_they_say_within_bounds(test_app: TestApp) {
    // What the document says, and after how many seconds it is still, and no longer, fresh.
    for (says, fresh, stale) in [
        ("", 2_800, 3_700),
        ("max-age=1200", 900, 1_300),
        ("max-age=1", 200, 400),
        ("max-age=999999", 60_000, 87_000),
    ] {
        let stage = Stage::new(&test_app, json!({})).await;
        if !says.is_empty() {
            for place in [Place::Discovery, Place::Jwks] {
                stage.up.tell(Lie::Head(place, "cache-control", says));
            }
        }
        stage.signs_in("cold").await;
        assert_eq!(read(&stage), (1, 1), "{says}");
        pass(&stage, fresh);
        stage.signs_in("fresh").await;
        assert_eq!(read(&stage), (1, 1), "{says}: after {fresh} s");
        pass(&stage, stale - fresh);
        stage.signs_in("stale").await;
        let again = || async { (read(&stage).0 >= 2 && read(&stage).1 >= 2).then_some(()) };
        testkit::until("both read again", Duration::from_secs(10), again)
            .await
            .unwrap_or_else(|_| panic!("{says}"));
    }
}

async fn dj_02_an_etag_is_given_back(test_app: TestApp) {
    let stage = Stage::new(&test_app, json!({})).await;
    for place in [Place::Discovery, Place::Jwks] {
        stage.up.tell(Lie::Head(place, "etag", "\"v1\""));
    }
    stage.signs_in("cold").await;
    pass(&stage, 3_700);
    stage.signs_in("stale").await;
    let asked = |place| stage.up.requests(place).into_iter().nth(1);
    let again = || async { Some((asked(Place::Discovery)?, asked(Place::Jwks)?)) };
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
    stage.signs_in("after 304").await;
}

async fn dj_03_a_hundred_logins_on_a_cold_cache_ask_once(test_app: TestApp) {
    let stage = Stage::new(&test_app, json!({})).await;
    let mut ready: Vec<(Browser<'_>, Request)> = Vec::new();
    for _ in 0..100 {
        let (browser, login) = stage.at_login().await;
        let request = browser.filled(&login, &stage.button(&login).unwrap(), &[]);
        ready.push((browser, request));
    }
    // Slow enough that all hundred are there before the first answer is.
    stage.up.wire.set(Mode::Latency(Duration::from_millis(300)));
    let pages = join_all(ready.into_iter().map(|(mut browser, request)| async {
        let page = browser.send(request).await;
        (browser, page)
    }))
    .await;
    assert_eq!(stage.up.count(Place::Discovery), 1, "DJ-03");
    stage.up.wire.set(Mode::Ok);
    let person = |number| json!({"sub": format!("{} {number}", stage.id), "email": format!("{number}.{}", stage.email)});
    let people: Vec<Value> = (0..pages.len()).map(person).collect();
    let backs = join_all(
        pages
            .iter()
            .zip(&people)
            .map(|((_, page), person)| stage.up.visit_as(page, person)),
    )
    .await;
    stage.up.wire.set(Mode::Latency(Duration::from_millis(100)));
    let mut waiting = pages.into_iter().zip(backs);
    let mut done = Vec::new();
    loop {
        // All at once they would share the ten seconds that each callback has.
        let some: Vec<_> = waiting.by_ref().take(25).collect();
        if some.is_empty() {
            break;
        }
        let callbacks = some.into_iter().map(|((mut browser, _), back)| async move {
            let answer = browser.open(&back.path()).await;
            let page = settle(&mut browser, answer).await;
            // An address that the provider has not verified is confirmed by email: that page is as
            // good as the account here.
            let good = browser.is_signed_in() || page.has("input[name=link]");
            (good, page)
        });
        done.extend(join_all(callbacks).await);
    }
    assert_eq!(read(&stage), (1, 1), "DJ-03: one request a document");
    let failed: Vec<_> = done
        .iter()
        .filter(|(good, _)| !good)
        .map(|(_, page)| page.summary())
        .collect();
    assert!(failed.is_empty(), "{} of 100: {}", failed.len(), failed[0]);
}

async fn dj_05_a_removed_key_fails_one_lifetime_later(test_app: TestApp) {
    let stage = Stage::new(&test_app, json!({"algs": ["RS256", "ES256"]})).await;
    stage.up.tell(Lie::Sign(Sign::Es256));
    stage.signs_in("while it is listed").await;
    stage.up.tell(Lie::json(Place::Jwks, |jwks| {
        jwks["keys"].as_array_mut().unwrap().remove(1);
    }));
    stage
        .signs_in("as long as the set that held it is fresh")
        .await;
    pass(&stage, 3_700);
    // Stale documents may serve once more while they are read again.
    let gone = || async {
        let (mut browser, _, back) = stage.gone().await;
        browser.open(&back.path()).await;
        (!browser.is_signed_in()).then_some(())
    };
    testkit::until("its end", Duration::from_secs(10), gone)
        .await
        .unwrap();
}

async fn dj_10_keys_rotated_just_before_a_login(test_app: TestApp) {
    let stage = Stage::new(&test_app, json!({})).await;
    stage.signs_in("with the first keys").await;
    let (mut browser, _, back) = stage.gone().await;
    // In mid-flight: the code is under way, the token will have the new key.
    stage.up.rotate();
    let answer = browser.open(&back.path()).await;
    let page = settle(&mut browser, answer).await;
    assert!(browser.is_signed_in(), "{}", page.summary());
    assert_eq!(read(&stage), (1, 2), "DJ-10: with one refresh");
    stage.signs_in("with the new keys").await;
    assert_eq!(read(&stage), (1, 2));
}

/// The two verbs without pages around them.
async fn identified(stage: &Stage<'_>, providers: &Providers) -> Result<(), RefusalCode> {
    let state = entree::secret::Plain::generate().to_text();
    let ask = AuthorizationRequest {
        state: &state,
        login_hint: None,
        ui_locales: "",
    };
    let started = providers
        .start_authorization(&stage.id, ask)
        .await
        .map_err(|error| error.code())?;
    let back: Back = stage.up.grant(&Url::parse(&started.url).unwrap());
    let answer = AuthorizationResponse {
        code: back.get("code"),
        iss: back.get("iss"),
        ..AuthorizationResponse::default()
    };
    providers
        .identify(&started.record, &answer)
        .await
        .map(drop)
        .map_err(|error| error.code())
}

/// DJ-04. The forced refresh is one, whether the names differ or not; a minute later there may be another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dj_04_a_thousand_tokens_with_unknown_keys_ask_once() {
    let test_app = TestApp::embedded().await;
    let stage = Stage::new(&test_app, json!({})).await;
    let providers = Providers::new(&test_app.app);
    assert_eq!(identified(&stage, &providers).await, Ok(()));
    assert_eq!(read(&stage), (1, 1));
    let number = std::sync::atomic::AtomicUsize::new(0);
    stage
        .up
        .tell(Lie::Header(Box::new(move |header: &mut Value| {
            let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            header["kid"] = format!("unknown-{number}").into();
        })));
    for _ in 0..20 {
        let all = join_all((0..50).map(|_| identified(&stage, &providers))).await;
        assert!(
            all.iter().all(|one| *one == Err(RefusalCode::KeyUnknown)),
            "{all:?}"
        );
    }
    assert_eq!(stage.up.count(Place::Token), 1001);
    assert_eq!(
        read(&stage),
        (1, 2),
        "DJ-04: a thousand tokens, one refresh"
    );
    pass(&stage, 61);
    assert_eq!(
        identified(&stage, &providers).await,
        Err(RefusalCode::KeyUnknown)
    );
    assert_eq!(read(&stage), (1, 3), "and one more a minute later");
    // Failures count too.
    pass(&stage, 61);
    stage
        .up
        .tell(Lie::reply(Place::Jwks, Reply::new(500, "text/plain", "no")));
    for _ in 0..5 {
        assert!(identified(&stage, &providers).await.is_err());
    }
    assert_eq!(read(&stage), (1, 4), "a failed refresh is a refresh");
}

/// DJ-04: a bad signature under a known name may mean that the key was changed under it: one refresh.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dj_04_a_bad_signature_refreshes_under_the_same_limit() {
    let test_app = TestApp::embedded().await;
    let stage = Stage::new(&test_app, json!({})).await;
    let providers = Providers::new(&test_app.app);
    assert_eq!(identified(&stage, &providers).await, Ok(()));
    stage.up.tell(Lie::Sign(Sign::Stranger));
    for _ in 0..20 {
        assert_eq!(
            identified(&stage, &providers).await,
            Err(RefusalCode::Signature)
        );
    }
    assert_eq!(read(&stage), (1, 2));
    // The same where the token names no key (RP-4).
    stage.up.tell(Lie::header("kid", Value::Null));
    pass(&stage, 61);
    for _ in 0..20 {
        assert_eq!(
            identified(&stage, &providers).await,
            Err(RefusalCode::Signature)
        );
    }
    assert_eq!(read(&stage), (1, 3));
}
