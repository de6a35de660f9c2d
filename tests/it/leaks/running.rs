//! The service under test at TRACE, with its spans and metrics.

use std::time::Duration;

use testkit::{
    ci,
    entree::{Backend, Options, faketime},
    otlp::Collector,
};

use super::{
    BASIC, DATABASE_PASSWORD, GOODBYE, POST, REDIS_PASSWORD, SIGNER, TRACE, canary::Place,
};
use crate::service::{CALLBACK, Stage};

/// Clients that show a secret, and the one whose public keys these are.
fn programs(jwks: &str) -> String {
    let common = format!(
        "audience = \"https://lessons.example.test\"\nredirect_uris = [\"{CALLBACK}\"]\npost_logout_redirect_uris = \
         [\"{GOODBYE}\"]\nscopes = [\"openid\", \"email\", \"offline_access\"]\ngrant_types = [\"authorization_code\", \
         \"client_credentials\"]\n"
    );
    let one = |id: &str, method: &str, key: &str| {
        format!(
            "\n[[clients]]\nclient_id = \"{id}\"\nname = \"{id}\"\ntoken_endpoint_auth_method = \"{method}\"\n{key}\n{common}"
        )
    };
    let secret = |secret: &str| format!("client_secret = \"{secret}\"");
    one(BASIC.0, "client_secret_basic", &secret(BASIC.1))
        + &one(POST.0, "client_secret_post", &secret(POST.1))
        + &one(SIGNER, "private_key_jwt", &format!("jwks = '{jwks}'"))
}

/// The service at TRACE, which also sends its spans, on servers that it knows passwords of.
pub(super) async fn start_at_trace(
    backend: Backend,
    collector: &Collector,
    jwks: &str,
) -> Option<Stage> {
    if let Err(missing) = faketime() {
        assert!(!ci(), "{missing}");
        eprintln!("skipped: {missing}");
        return None;
    }
    let loud = |options: Options| {
        let options = options
            .clock()
            .expect("libfaketime")
            .set("telemetry.level", "\"trace\"");
        options
            .set(
                "telemetry.otlp_endpoint",
                &format!("\"{}\"", collector.url()),
            )
            .tail(&programs(jwks))
    };
    let mut stage = Stage::start(backend, loud).await?;
    if backend == Backend::Servers {
        // The throw-away servers ask for no password and take any.
        let database = stage
            .setting("database.url")
            .unwrap()
            .replace("postgres@", &format!("postgres:{DATABASE_PASSWORD}@"));
        let redis = format!(
            "{}?user=default&pass={REDIS_PASSWORD}",
            stage.setting("tickets.url").unwrap()
        );
        assert!(database.contains(DATABASE_PASSWORD));
        let quote = |text: &str| format!("\"{text}\"");
        stage
            .service
            .restart(&[
                ("database.url", &quote(&database)),
                ("tickets.url", &quote(&redis)),
            ])
            .await;
    }
    Some(stage)
}

/// What was sent to the collector, once the last request is in it, and what `/metrics` says.
pub(super) async fn sent_telemetry(stage: &Stage, collector: &Collector) -> Vec<Place> {
    let id: Vec<u8> = (0..16)
        .map(|at| u8::from_str_radix(&TRACE[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    let request = testkit::browser::client().get(stage.service.at("/login"));
    request
        .header("traceparent", format!("00-{TRACE}-b7ad6b7169203331-01"))
        .send()
        .await
        .unwrap();
    let last = || async {
        collector
            .bytes("/v1/traces")
            .windows(16)
            .any(|window| window == id)
            .then_some(())
    };
    testkit::until("the spans", Duration::from_secs(60), last)
        .await
        .unwrap();
    let (spans, sent) = (
        collector.bytes("/v1/traces"),
        collector.bytes("/v1/metrics"),
    );
    assert!(
        collector.holds("/v1/traces", "POST /oauth2/token"),
        "no span of the token endpoint"
    );
    let url = format!("{}/metrics", stage.service.copies[0].management);
    let metrics = testkit::browser::client()
        .get(url)
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap()
        .to_vec();
    [
        ("the spans", spans),
        ("the metrics sent", sent),
        ("/metrics", metrics),
    ]
    .map(|(name, bytes)| (name.to_owned(), bytes))
    .to_vec()
}
