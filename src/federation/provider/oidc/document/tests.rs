//! Freshness, one reading for all, and old documents while a provider is away.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::AtomicUsize;

use poem::http::HeaderValue;

use super::*;
use crate::federation::error::RefusalCode;

const HOUR: Duration = Duration::from_secs(3600);

fn provider(more: &str) -> Provider {
    toml::from_str(&format!("id = \"a\"\nclient_id = \"c\"\n{more}")).unwrap()
}

fn headers(list: &[(header::HeaderName, &'static str)]) -> HeaderMap {
    list.iter()
        .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
        .collect()
}

fn new(value: u32) -> Result<Read<u32>, FederationError> {
    Ok(Read::New {
        value,
        validator: None,
        life: HOUR,
    })
}

fn down() -> Result<Read<u32>, FederationError> {
    Err(RefusalCode::ProviderDown.into())
}

#[test]
fn dj_02_life_is_as_said_within_the_bounds() {
    let usual = provider("");
    for (cache, seconds) in [
        ("max-age=1800", 1800),
        ("public, Max-Age=1800, must-revalidate", 1800),
        ("max-age=\"900\"", 900),
        ("max-age=1", 300),
        ("max-age=9999999", 86_400),
        ("no-store", 300),
        ("no-cache, max-age=5000", 300),
        ("max-age=soon", 3600),
        ("s-maxage=7000", 3600),
    ] {
        assert_eq!(
            life(&headers(&[(header::CACHE_CONTROL, cache)]), &usual).as_secs(),
            seconds,
            "{cache}"
        );
    }
    assert_eq!(life(&HeaderMap::new(), &usual), UNSAID);
    let aged = headers(&[
        (header::CACHE_CONTROL, "max-age=1800"),
        (header::AGE, "600"),
    ]);
    assert_eq!(life(&aged, &usual).as_secs(), 1200);
    let open = provider("fresh_min_seconds = 0\nfresh_max_seconds = 0");
    assert_eq!(life(&aged, &open), Duration::ZERO);
}

#[test]
fn dj_02_the_background_reads_at_80_to_90_per_cent_of_the_life() {
    for _ in 0..100 {
        let at = due(Time(0), HOUR).since(Time(0));
        assert!((HOUR * 8 / 10..HOUR * 9 / 10).contains(&at), "{at:?}");
    }
}

#[tokio::test]
async fn dj_03_100_callers_on_a_cold_document_cause_one_reading() {
    for fails in [false, true] {
        let document = Arc::new(Document::new(Clock::default()));
        let readings = Arc::new(AtomicUsize::new(0));
        let callers: Vec<_> = (0..100)
            .map(|_| {
                let (document, readings) = (Arc::clone(&document), Arc::clone(&readings));
                tokio::spawn(async move {
                    let read = |_| async move {
                        readings.fetch_add(1, Ordering::SeqCst);
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        if fails { down() } else { new(7) }
                    };
                    document
                        .get(read)
                        .await
                        .map(|value| *value)
                        .map_err(|refused| refused.code)
                })
            })
            .collect();
        for caller in callers {
            assert_eq!(
                caller.await.unwrap(),
                if fails {
                    Err(RefusalCode::ProviderDown)
                } else {
                    Ok(7)
                }
            );
        }
        assert_eq!(readings.load(Ordering::SeqCst), 1, "fails: {fails}");
    }
}

#[tokio::test]
async fn dj_06_an_old_document_serves_for_24_hours_while_none_can_be_read() {
    let clock = Clock::default();
    let document = Document::new(clock.clone());
    assert_eq!(
        document.get(|_| async { down() }).await.unwrap_err().code,
        RefusalCode::ProviderDown,
        "there is nothing yet"
    );
    assert_eq!(*document.get(|_| async { new(1) }).await.unwrap(), 1);
    clock.advance(HOUR);
    assert_eq!(
        *document.get(|_| async { down() }).await.unwrap(),
        1,
        "old, but it serves"
    );
    assert_eq!(
        *document.get(|_| async { new(2) }).await.unwrap(),
        1,
        "the provider has a pause"
    );
    assert!(!document.is_due());
    clock.advance(PAUSE);
    assert!(document.is_due());
    assert_eq!(*document.get(|_| async { down() }).await.unwrap(), 1);
    assert!(document.stale() >= PAUSE);
    clock.advance(STALE - PAUSE);
    assert_eq!(
        document.get(|_| async { down() }).await.unwrap_err().code,
        RefusalCode::ProviderDown,
        "24 hours are over"
    );
    assert_eq!(*document.get(|_| async { new(3) }).await.unwrap(), 3);
    assert_eq!(document.stale(), Duration::ZERO);
}

#[tokio::test]
async fn dj_02_an_unchanged_document_lives_on() {
    let clock = Clock::default();
    let document = Document::new(clock.clone());
    let validator = Validator {
        url: "u".into(),
        etag: "\"1\"".into(),
    };
    let first = Read::New {
        value: 1,
        validator: Some(validator.clone()),
        life: HOUR,
    };
    assert_eq!(
        *document
            .get(|seen| async move {
                assert!(seen.is_none());
                Ok(first)
            })
            .await
            .unwrap(),
        1
    );
    assert_eq!(
        *document.get(|_| async { new(2) }).await.unwrap(),
        1,
        "it is fresh"
    );
    clock.advance(HOUR);
    let read = |seen| async move {
        assert_eq!(seen, Some(validator));
        Ok(Read::Unchanged { life: HOUR })
    };
    assert_eq!(*document.get(read).await.unwrap(), 1);
    assert_eq!(
        *document.get(|_| async { new(2) }).await.unwrap(),
        1,
        "fresh again"
    );
    assert_eq!(*document.force(|_| async { new(2) }).await.unwrap(), 2);
}
