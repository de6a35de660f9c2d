//! A provider's documents: when they are read, how long they serve, and when operators are alerted.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::join_all;
use serde_json::json;

use crate::{
    config::providers::UpstreamAlg,
    federation::{
        error::RefusalCode,
        provider::{oidc::test_signer::TestSigner, test_support::TestProvider},
    },
    telemetry::metrics,
    web::fetch::test_server::raw_response,
};

const DISCOVERY: &str = "/.well-known/openid-configuration";

#[tokio::test]
async fn dj_10_dj_05_a_new_key_costs_one_read() {
    let provider = TestProvider::start("").await;
    provider.sign_in(json!({})).await.unwrap();
    assert_eq!(provider.requests("/keys"), 1);
    let next = TestSigner::new("k2");
    provider.serve_keys(&[next.jwk()], "");
    let record = provider.start_authorization().await.unwrap().record;
    provider.serve_token_of(&next, &record, &json!({}));
    assert!(provider.identify(&record).await.is_ok());
    assert_eq!(provider.requests("/keys"), 2);
    // The old key is gone with its key set (DJ-05).
    assert_eq!(
        provider.sign_in(json!({})).await,
        Err(RefusalCode::KeyUnknown)
    );
    assert_eq!(
        provider.requests("/keys"),
        2,
        "within the minute nothing is read again"
    );
}

#[tokio::test]
async fn dj_04_a_thousand_tokens_with_unknown_keys_cause_one_read_a_minute() {
    let provider = TestProvider::start("").await;
    provider.sign_in(json!({})).await.unwrap();
    let upstream = provider.providers.upstream("a").unwrap();
    let code_of_unknown_key = |number: usize| {
        let upstream = Arc::clone(&upstream);
        async move {
            let result = upstream
                .key(Some(&format!("u{number}")), UpstreamAlg::ES256)
                .await;
            result.err().map(|error| error.code())
        }
    };
    let codes = join_all((0..1000).map(code_of_unknown_key)).await;
    assert!(
        codes
            .iter()
            .all(|code| *code == Some(RefusalCode::KeyUnknown))
    );
    assert_eq!(provider.requests("/keys"), 2);
    provider.clock.advance(Duration::from_secs(60));
    assert!(code_of_unknown_key(0).await.is_some() && code_of_unknown_key(1).await.is_some());
    assert_eq!(provider.requests("/keys"), 3);
}

#[tokio::test]
async fn dj_04_a_bad_signature_of_a_known_key_makes_the_keys_be_read_again() {
    let provider = TestProvider::start("key_refresh_seconds = 0").await;
    provider.sign_in(json!({})).await.unwrap();
    let replaced = TestSigner::new("k1");
    provider.serve_keys(&[replaced.jwk()], "");
    let record = provider.start_authorization().await.unwrap().record;
    provider.serve_token_of(&replaced, &record, &json!({}));
    assert!(
        provider.identify(&record).await.is_ok(),
        "another key under the same kid"
    );
    assert_eq!(provider.requests("/keys"), 2);
    assert_eq!(
        provider.sign_in(json!({})).await,
        Err(RefusalCode::Signature)
    );
}

#[tokio::test]
async fn dj_02_keys_are_cached_for_their_lifetime_and_read_with_their_etag() {
    let provider = TestProvider::start("").await;
    let headers = "ETag: \"v1\"\r\nCache-Control: max-age=600\r\n";
    provider.serve_keys(&[provider.signer.jwk()], headers);
    provider.sign_in(json!({})).await.unwrap();
    provider.clock.advance(Duration::from_secs(590));
    provider.sign_in(json!({})).await.unwrap();
    assert_eq!(provider.requests("/keys"), 1);
    provider.serve(
        "/keys",
        raw_response(304, "Cache-Control: max-age=600\r\n", ""),
    );
    provider.clock.advance(Duration::from_secs(10));
    provider.sign_in(json!({})).await.unwrap();
    let requests = provider.server.requests_for("/keys");
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[1].header("if-none-match"), Some("\"v1\""));
    provider.clock.advance(Duration::from_secs(590));
    provider.sign_in(json!({})).await.unwrap();
    assert_eq!(
        provider.requests("/keys"),
        2,
        "a 304 states a lifetime, too"
    );
}

#[tokio::test]
async fn dj_07_oc_11_another_issuer_on_refresh_stops_new_sign_ins_alone() {
    let provider = TestProvider::start("").await;
    provider.sign_in(json!({})).await.unwrap();
    let under_way = provider.start_authorization().await.unwrap().record;
    provider.serve_metadata(json!({"issuer": "https://evil.example"}));
    provider.clock.advance(Duration::from_secs(3601));
    let start = async || {
        let started = provider.start_authorization().await;
        started.map(drop).map_err(|error| error.code())
    };
    assert_eq!(start().await, Err(RefusalCode::DiscoveryIssuer));
    provider.serve_token(&under_way, &json!({}));
    assert!(
        provider.identify(&under_way).await.is_ok(),
        "what began before ends by the old document"
    );
    let right = provider.issuer.clone();
    provider.serve(DISCOVERY, raw_response(500, "", ""));
    provider.clock.advance(Duration::from_secs(31));
    assert_eq!(
        start().await,
        Err(RefusalCode::DiscoveryIssuer),
        "that it cannot be read any more changes nothing"
    );
    provider.serve_metadata(json!({ "issuer": right }));
    provider.clock.advance(Duration::from_secs(31));
    assert_eq!(start().await, Ok(()), "it names the right issuer again");
    provider.serve_metadata(json!({"issuer": "https://evil.example"}));
    provider.clock.advance(Duration::from_secs(3601));
    assert_eq!(start().await, Err(RefusalCode::DiscoveryIssuer));
    let take_alert = || {
        provider
            .providers
            .upstream("a")
            .ok()
            .and_then(|upstream| upstream.take_discovery_alert())
    };
    let alert = take_alert().unwrap();
    assert_eq!(alert.code(), RefusalCode::DiscoveryIssuer);
    let text = alert.to_string();
    assert!(
        text.contains(&provider.issuer) && text.contains("https://evil.example"),
        "{text}"
    );
    provider.clock.advance(Duration::from_secs(25 * 3600));
    let late = provider.sign_in(json!({})).await;
    assert_eq!(
        late,
        Err(RefusalCode::DiscoveryIssuer),
        "after a day it serves no longer"
    );
    assert_eq!(take_alert(), None, "the audit log has it once");
}

#[tokio::test]
async fn dj_08_dj_02_nothing_is_read_at_start_and_the_job_reads_what_is_due() {
    let provider = TestProvider::start("").await;
    assert_eq!(provider.server.connections(), 0, "no call at start");
    let reads = || (provider.requests(DISCOVERY), provider.requests("/keys"));
    provider.providers.refresh_due().await;
    assert_eq!(reads(), (1, 1), "before the first sign-in");
    provider.clock.advance(Duration::from_secs(2870));
    provider.providers.refresh_due().await;
    assert_eq!(reads(), (1, 1), "80 % of an hour are 2880 s");
    provider.clock.advance(Duration::from_secs(380));
    provider.providers.refresh_due().await;
    assert_eq!(reads(), (2, 2));
}

/// Everything that is logged.
#[derive(Clone, Default)]
struct CapturedLog(Arc<Mutex<String>>);

impl CapturedLog {
    fn contains(&self, text: &str) -> bool {
        self.0.lock().unwrap().contains(text)
    }
}

impl std::io::Write for CapturedLog {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0
            .lock()
            .unwrap()
            .push_str(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Returns the value of the gauge for a provider, in whole hours.
fn stale_hours(id: &str) -> Option<u64> {
    let text = metrics::text().unwrap();
    let series = format!(r#"entree_upstream_stale_seconds{{provider="{id}""#);
    let line = text.lines().find(|line| line.starts_with(&series))?;
    let seconds: f64 = line.rsplit_once(' ')?.1.parse().ok()?;
    Some(seconds as u64 / 3600)
}

#[tokio::test]
async fn dj_06_operators_are_alerted_to_documents_that_are_stale_for_six_hours() {
    let provider = TestProvider::start("").await;
    let log = CapturedLog::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_max_level(tracing::Level::ERROR);
    // With a single subscriber, another test's thread, which has none, may switch an event off for
    // all.
    let _another = tracing::Dispatch::new(tracing_subscriber::registry());
    let _guard = tracing::subscriber::set_default(subscriber.finish());
    provider.providers.refresh_due().await;
    for path in [DISCOVERY, "/keys"] {
        provider.serve(path, raw_response(500, "", ""));
    }
    for (hours, alerted) in [(6, false), (2, true)] {
        provider.clock.advance(Duration::from_secs(hours * 3600));
        provider.providers.refresh_due().await;
        assert_eq!(
            log.contains("documents of a provider are old"),
            alerted,
            "{hours} more"
        );
    }
}

#[tokio::test]
async fn dj_06_the_gauge_counts_only_providers_in_use() {
    // The gauge belongs to the whole process, so that this id must occur in no other test.
    let id = "dj-06";
    let provider = TestProvider::start_as(id, "").await;
    provider.providers.refresh_due().await;
    assert_eq!(stale_hours(id), Some(0), "read just now");
    for path in [DISCOVERY, "/keys"] {
        provider.serve(path, raw_response(500, "", ""));
    }
    provider.clock.advance(Duration::from_secs(8 * 3600));
    provider.providers.refresh_due().await;
    assert_eq!(stale_hours(id), Some(7), "the lifetime was an hour");
    provider.change_settings(|settings| settings.enabled = false);
    provider.providers.refresh_due().await;
    assert_eq!(stale_hours(id), Some(0), "switched off");
    provider.change_settings(|settings| settings.enabled = true);
    provider.providers.refresh_due().await;
    assert_eq!(
        stale_hours(id),
        Some(7),
        "switched on again, and its documents are no younger"
    );
    provider.change_config(|config| config.providers.clear());
    provider.providers.refresh_due().await;
    assert_eq!(stale_hours(id), Some(0), "removed");
}

#[tokio::test]
async fn dj_06_ue_05_another_name_or_button_keeps_what_is_known_of_a_provider() {
    let provider = TestProvider::start("").await;
    provider.start_authorization().await.unwrap();
    provider.change_settings(|settings| {
        settings.name = "School".into();
        settings.icon = "google".into();
        settings.order = 7;
        settings.button = BTreeMap::from([("en".to_owned(), "Come in".to_owned())]);
    });
    provider.start_authorization().await.unwrap();
    assert_eq!(
        provider.requests(DISCOVERY),
        1,
        "only the look of the button changed"
    );
    provider.change_settings(|settings| settings.client_id = "another".into());
    let redirect = provider.start_authorization().await.unwrap();
    assert!(redirect.url.contains("client_id=another"));
    assert_eq!(provider.requests(DISCOVERY), 2, "another setting changed");
}

#[tokio::test]
async fn oc_11_a_provider_that_was_removed_and_added_again_begins_with_nothing_cached() {
    let provider = TestProvider::start("").await;
    provider.sign_in(json!({})).await.unwrap();
    let known = provider.live.get().providers.clone();
    provider.change_config(|config| config.providers.clear());
    provider.change_config(|config| config.providers.clone_from(&known));
    let impostor = TestSigner::new("k1");
    provider.serve_keys(&[impostor.jwk()], "");
    provider.serve_metadata(json!({}));
    assert_eq!(
        provider.sign_in(json!({})).await,
        Err(RefusalCode::Signature),
        "the old keys are forgotten"
    );
    assert_eq!(provider.requests(DISCOVERY), 2);
    // It became another party and the first again, and no sign-in came between.
    provider.serve_keys(&[provider.signer.jwk()], "");
    provider.change_settings(|settings| settings.client_id = "another".into());
    provider.change_settings(|settings| settings.client_id = "us".into());
    provider.sign_in(json!({})).await.unwrap();
    assert_eq!(provider.requests(DISCOVERY), 3);
}

#[tokio::test]
async fn oc_11_keys_at_another_address_have_nothing_of_the_old_ones() {
    let provider = TestProvider::start("").await;
    provider.sign_in(json!({})).await.unwrap();
    let moved = format!("{}/keys2", provider.server.base);
    provider.serve_metadata(json!({ "jwks_uri": moved }));
    provider.serve_keys(&[provider.signer.jwk()], "Cache-Control: max-age=86400\r\n");
    provider.clock.advance(Duration::from_secs(3601));
    assert_eq!(
        provider.sign_in(json!({})).await,
        Err(RefusalCode::ProviderDown),
        "the keys at the old address no longer count"
    );
    provider.serve_json("/keys2", &json!({"keys": [provider.signer.jwk()]}));
    provider.sign_in(json!({})).await.unwrap();
    assert_eq!(provider.requests("/keys"), 1);
}
