//! What is known of a provider: when its documents are read, how long they serve, and who is told when they are old.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::json;

use crate::{
    config::Reloadable,
    federation::{
        error::RefusalCode,
        provider::{oidc::id_token::tests::Signer, test_app::World},
    },
    telemetry::metrics,
    web::fetch::test_server::raw_response,
};

#[tokio::test]
async fn dj_10_dj_05_a_key_that_is_new_costs_one_reading() {
    let world = World::new("").await;
    world.sign_in(json!({})).await.unwrap();
    assert_eq!(world.asked("/keys"), 1);
    let next = Signer::new("k2");
    world.keys(&[next.jwk()], "");
    let record = world.start().await.unwrap().record;
    world.token_by(&next, &record, &json!({}));
    assert!(world.identify(&record).await.is_ok());
    assert_eq!(world.asked("/keys"), 2);
    // The old one is gone with the set that had it (DJ-05).
    assert_eq!(world.sign_in(json!({})).await, Err(RefusalCode::KeyUnknown));
    assert_eq!(
        world.asked("/keys"),
        2,
        "within the minute nothing is read again"
    );
}

#[tokio::test]
async fn dj_04_a_thousand_tokens_with_unknown_keys_cause_one_reading_a_minute() {
    let world = World::new("").await;
    world.sign_in(json!({})).await.unwrap();
    let upstream = world.providers.upstream("a").unwrap();
    let unknown = |at: usize| {
        let upstream = Arc::clone(&upstream);
        async move {
            upstream
                .key(
                    Some(&format!("u{at}")),
                    crate::config::providers::UpstreamAlg::ES256,
                )
                .await
                .err()
        }
    };
    let refused = futures_util::future::join_all((0..1000).map(unknown)).await;
    assert!(
        refused
            .into_iter()
            .all(|refused| refused.unwrap().code == RefusalCode::KeyUnknown)
    );
    assert_eq!(world.asked("/keys"), 2);
    world.clock.advance(Duration::from_secs(60));
    assert!(unknown(0).await.is_some() && unknown(1).await.is_some());
    assert_eq!(world.asked("/keys"), 3);
}

#[tokio::test]
async fn dj_04_a_bad_signature_of_a_known_key_has_the_keys_read_again() {
    let world = World::new("key_refresh_seconds = 0").await;
    world.sign_in(json!({})).await.unwrap();
    let replaced = Signer::new("k1");
    world.keys(&[replaced.jwk()], "");
    let record = world.start().await.unwrap().record;
    world.token_by(&replaced, &record, &json!({}));
    assert!(
        world.identify(&record).await.is_ok(),
        "another key under the same name"
    );
    assert_eq!(world.asked("/keys"), 2);
    assert_eq!(world.sign_in(json!({})).await, Err(RefusalCode::Signature));
}

#[tokio::test]
async fn dj_02_keys_are_kept_for_as_long_as_they_say_and_asked_for_by_etag() {
    let world = World::new("").await;
    world.keys(
        &[world.signer.jwk()],
        "ETag: \"v1\"\r\nCache-Control: max-age=600\r\n",
    );
    world.sign_in(json!({})).await.unwrap();
    world.clock.advance(Duration::from_secs(590));
    world.sign_in(json!({})).await.unwrap();
    assert_eq!(world.asked("/keys"), 1);
    world.put(
        "/keys",
        raw_response(304, "Cache-Control: max-age=600\r\n", ""),
    );
    world.clock.advance(Duration::from_secs(10));
    world.sign_in(json!({})).await.unwrap();
    let asked = world.server.requests_for("/keys");
    assert_eq!(
        (asked.len(), asked[1].header("if-none-match")),
        (2, Some("\"v1\""))
    );
    world.clock.advance(Duration::from_secs(590));
    world.sign_in(json!({})).await.unwrap();
    assert_eq!(
        world.asked("/keys"),
        2,
        "the answer without a body says how long, too"
    );
}

#[tokio::test]
async fn dj_07_another_issuer_on_refresh_leaves_the_old_document_in_force() {
    let world = World::new("").await;
    world.sign_in(json!({})).await.unwrap();
    world.document(json!({"issuer": "https://evil.example"}));
    world.clock.advance(Duration::from_secs(3601));
    assert!(world.sign_in(json!({})).await.is_ok());
    let note = world.providers.upstream("a").unwrap().take_note().unwrap();
    assert_eq!(note.code, RefusalCode::DiscoveryIssuer);
    assert!(
        note.detail.contains(&world.issuer) && note.detail.contains("https://evil.example"),
        "{note}"
    );
    world.clock.advance(Duration::from_secs(25 * 3600));
    assert_eq!(
        world.sign_in(json!({})).await,
        Err(RefusalCode::DiscoveryIssuer),
        "not for ever"
    );
    assert_eq!(
        world.providers.upstream("a").unwrap().take_note(),
        None,
        "the trail has it once"
    );
}

#[tokio::test]
async fn dj_08_dj_02_nothing_is_asked_at_start_and_the_background_reads_what_is_due() {
    let world = World::new("").await;
    assert_eq!(world.server.connections(), 0, "making it asks nobody");
    world.providers.refresh_due().await;
    let url = "/.well-known/openid-configuration";
    assert_eq!(
        (world.asked(url), world.asked("/keys")),
        (1, 1),
        "before anybody signs in"
    );
    world.clock.advance(Duration::from_secs(2870));
    world.providers.refresh_due().await;
    assert_eq!(
        (world.asked(url), world.asked("/keys")),
        (1, 1),
        "80 % of an hour are 2880 s"
    );
    world.clock.advance(Duration::from_secs(380));
    world.providers.refresh_due().await;
    assert_eq!((world.asked(url), world.asked("/keys")), (2, 2));
}

/// What is logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<String>>);

impl std::io::Write for Lines {
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

#[tokio::test]
async fn dj_06_old_documents_are_told_to_ops_after_six_hours_and_not_of_a_provider_that_was_taken_away()
 {
    // The gauge is the whole process's, so this provider's name is its own.
    let world = World::named("dj-06", "").await;
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_max_level(tracing::Level::ERROR);
    // With a single subscriber, another test's thread, which has none, may switch an event off for all.
    let _another = tracing::Dispatch::new(tracing_subscriber::registry());
    let _guard = tracing::subscriber::set_default(subscriber.finish());
    let stale = || {
        let text = metrics::text().unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with(r#"entree_upstream_stale_seconds{provider="dj-06""#));
        line.and_then(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .map(|seconds| (seconds / 3600.0).floor())
    };
    world.providers.refresh_due().await;
    assert_eq!(stale(), Some(0.0), "read just now");
    for path in ["/.well-known/openid-configuration", "/keys"] {
        world.put(path, raw_response(500, "", ""));
    }
    for (hours, told) in [(6, false), (2, true)] {
        world.clock.advance(Duration::from_secs(hours * 3600));
        world.providers.refresh_due().await;
        assert_eq!(
            lines.0.lock().unwrap().contains("its documents are old"),
            told,
            "{hours} more"
        );
    }
    assert_eq!(stale(), Some(7.0), "their life was an hour");
    let change = |edit: &dyn Fn(&mut Reloadable)| {
        let mut config = (*world.live.get()).clone();
        edit(&mut config);
        world.live.replace(config);
    };
    change(&|config| config.providers[0].enabled = false);
    world.providers.refresh_due().await;
    assert_eq!(stale(), Some(0.0), "switched off");
    change(&|config| config.providers[0].enabled = true);
    world.providers.refresh_due().await;
    assert_eq!(
        stale(),
        Some(7.0),
        "and on again: what is known of it is no younger"
    );
    change(&|config| config.providers.clear());
    world.providers.refresh_due().await;
    assert_eq!(stale(), Some(0.0), "removed");
}

/// A reload of the file that changes how its button looks forgets nothing of it.
#[tokio::test]
async fn dj_06_ue_05_another_name_or_button_keeps_what_is_known_of_a_provider() {
    let world = World::new("").await;
    world.start().await.unwrap();
    let change = |edit: &dyn Fn(&mut crate::config::Provider)| {
        let mut config = (*world.live.get()).clone();
        edit(&mut config.providers[0]);
        world.live.replace(config);
    };
    let url = "/.well-known/openid-configuration";
    change(&|provider| {
        (provider.name, provider.icon, provider.order) = ("School".into(), "google".into(), 7);
        provider.button = BTreeMap::from([("en".to_owned(), "Come in".to_owned())]);
    });
    world.start().await.unwrap();
    assert_eq!(world.asked(url), 1, "its looks");
    change(&|provider| provider.client_id = "another".into());
    assert!(
        world
            .start()
            .await
            .unwrap()
            .url
            .contains("client_id=another")
    );
    assert_eq!(world.asked(url), 2, "anything else");
}
