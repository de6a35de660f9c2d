//! Lifetimes, one read for all callers, and old documents while a provider cannot be reached.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::AtomicUsize;

use futures_util::future::join_all;
use poem::http::HeaderValue;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn provider(more: &str) -> Provider {
    toml::from_str(&format!("id = \"a\"\nclient_id = \"c\"\n{more}")).unwrap()
}

fn headers(list: &[(header::HeaderName, &'static str)]) -> HeaderMap {
    list.iter()
        .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
        .collect()
}

fn new(value: u32) -> Result<DocumentUpdate<u32>, ProviderError> {
    Ok(DocumentUpdate::New {
        value,
        validator: None,
        lifetime: HOUR,
    })
}

fn down_error() -> ProviderError {
    ProviderError::Status {
        call: "keys",
        status: 500,
    }
}

fn down() -> Result<DocumentUpdate<u32>, ProviderError> {
    Err(down_error())
}

#[test]
fn dj_02_the_lifetime_is_the_stated_one_within_the_bounds() {
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
            lifetime_of(&headers(&[(header::CACHE_CONTROL, cache)]), &usual).as_secs(),
            seconds,
            "{cache}"
        );
    }
    assert_eq!(lifetime_of(&HeaderMap::new(), &usual), DEFAULT_LIFETIME);
    let aged = headers(&[
        (header::CACHE_CONTROL, "max-age=1800"),
        (header::AGE, "600"),
    ]);
    assert_eq!(lifetime_of(&aged, &usual).as_secs(), 1200);
    let open = provider("fresh_min_seconds = 0\nfresh_max_seconds = 0");
    assert_eq!(lifetime_of(&aged, &open), Duration::ZERO);
}

#[test]
fn dj_02_the_background_job_reads_at_80_to_90_per_cent_of_the_lifetime() {
    for _ in 0..100 {
        let at = due_at(Time(0), HOUR).since(Time(0));
        assert!((HOUR * 8 / 10..HOUR * 9 / 10).contains(&at), "{at:?}");
    }
}

#[tokio::test]
async fn dj_03_100_callers_of_an_uncached_document_cause_one_read() {
    for fails in [false, true] {
        let document = Document::new(Clock::default());
        let reads = &AtomicUsize::new(0);
        let read = |_| async move {
            reads.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(20)).await;
            if fails { down() } else { new(7) }
        };
        let expected = if fails {
            Err(down_error())
        } else {
            Ok(Arc::new(7))
        };
        for result in join_all((0..100).map(|_| document.get(read))).await {
            assert_eq!(result, expected);
        }
        assert_eq!(reads.load(Ordering::SeqCst), 1, "fails: {fails}");
    }
}

#[tokio::test]
async fn dj_06_an_old_document_serves_for_24_hours_while_none_can_be_read() {
    let clock = Clock::default();
    let document = Document::new(clock.clone());
    assert_eq!(
        document.get(|_| async { down() }).await.unwrap_err(),
        down_error(),
        "nothing is cached yet"
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
        "the provider is not called during the pause"
    );
    assert!(!document.is_due());
    clock.advance(RETRY_PAUSE);
    assert!(document.is_due());
    assert_eq!(*document.get(|_| async { down() }).await.unwrap(), 1);
    assert!(document.staleness() >= RETRY_PAUSE);
    clock.advance(MAX_STALENESS - RETRY_PAUSE);
    assert_eq!(
        document.get(|_| async { down() }).await.unwrap_err(),
        down_error(),
        "24 hours are over"
    );
    assert_eq!(*document.get(|_| async { new(3) }).await.unwrap(), 3);
    assert_eq!(document.staleness(), Duration::ZERO);
}

#[tokio::test]
async fn dj_02_an_unchanged_document_gets_a_new_lifetime() {
    let clock = Clock::default();
    let document = Document::new(clock.clone());
    let validator = Validator {
        url: "u".into(),
        etag: "\"1\"".into(),
    };
    let first = DocumentUpdate::New {
        value: 1,
        validator: Some(validator.clone()),
        lifetime: HOUR,
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
        Ok(DocumentUpdate::Unchanged { lifetime: HOUR })
    };
    assert_eq!(*document.get(read).await.unwrap(), 1);
    assert_eq!(
        *document.get(|_| async { new(2) }).await.unwrap(),
        1,
        "fresh again"
    );
    assert_eq!(*document.refresh(|_| async { new(2) }).await.unwrap(), 2);
}
