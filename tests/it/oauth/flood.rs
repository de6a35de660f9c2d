//! Strangers who fill the ticket store with client requests (OA-4).

use entree::config::{Budget, Config};
use poem::http::StatusCode;

use super::{Attempt, leads_to_client, register, settle};
use crate::test_app::{Browser, TestApp, encoded};

/// The space of the store, so that a short attack fills it.
const SPACE: usize = 1 << 20;

fn small(config: &mut Config) {
    config.startup.tickets.max_bytes = SPACE;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_4_large_requests_of_many_networks_stop_no_sign_in_in_process() {
    large_requests_stop_no_sign_in(TestApp::embedded_with(small).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_4_large_requests_of_many_networks_stop_no_sign_in_with_redis() {
    if let Some(test_app) = TestApp::servers_with(small).await {
        large_requests_stop_no_sign_in(test_app).await;
    }
}

/// An innocent begins before the attack, and another one during it: both get to their application.
async fn large_requests_stop_no_sign_in(test_app: TestApp) {
    register(&test_app);
    test_app.configure(|config| {
        config.limits.authorize = vec![Budget {
            count: 1000,
            seconds: 600,
        }];
    });
    for networks in [13, 100] {
        let attempt = Attempt::new();
        let mut early = test_app.browser();
        let login = early.open(&attempt.path()).await;
        let login = early.follow(&login).await;
        let fat = Attempt::new()
            .with("state", &"\"".repeat(2000))
            .with("login_hint", &"h".repeat(250));
        for n in 0..300 {
            let mut attacker = test_app.browser();
            attacker.from = format!("127.{networks}.{}.1", n % networks);
            let answer = attacker.open(&fat.path()).await;
            assert_eq!(
                answer.status,
                StatusCode::SEE_OTHER,
                "{n}: {}",
                answer.summary()
            );
        }
        let usage = test_app.app.tickets.usage().await.unwrap();
        assert!(usage.tickets <= SPACE / 2, "{usage:?}");
        assert!(usage.tickets > SPACE / 3, "the attack filled it: {usage:?}");
        let address = format!("early-{networks}@example.com");
        let back = super::sign_in_from(&mut early, &login, &address).await;
        let back = settle(&mut early, back).await;
        assert!(leads_to_client(&back), "{}", back.summary());
        let mut late = super::signed_in(&test_app, &format!("late-{networks}@example.com")).await;
        attempt.tokens(&mut late).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_4_control_characters_are_refused_by_name() {
    let test_app = TestApp::embedded().await;
    register(&test_app);
    for name in ["state", "nonce", "login_hint", "ui_locales", "scope"] {
        let attempt = Attempt::new().with(name, "a\u{1}b");
        let answer = test_app.browser().open(&attempt.path()).await;
        assert_eq!(
            super::parameter(&answer, "error").as_deref(),
            Some("invalid_request"),
            "{name}"
        );
        let description = super::parameter(&answer, "error_description").unwrap_or_default();
        assert!(description.contains(name), "{name}: {description}");
    }
}

/// OA-3: the POST of another site shows no cookie, and still gets a known device and a session through.
#[tokio::test]
async fn oa_3_az_1_a_neighbour_stops_no_posted_request_of_a_known_device_or_a_session() {
    let test_app = TestApp::embedded().await;
    register(&test_app);
    let mut known = super::signed_in(&test_app, "posted@example.com").await;
    test_app.configure(|config| {
        config.limits.authorize = vec![Budget {
            count: 3,
            seconds: 600,
        }]
    });
    let post = |browser: &Browser<'_>, attempt: &Attempt| {
        browser
            .posted("/oauth2/authorize")
            .header("origin", "https://app.example")
            .header("sec-fetch-site", "cross-site")
            .body(encoded(&attempt.parameters))
    };
    let mut neighbour = test_app.browser();
    neighbour.from.clone_from(&known.from);
    for _ in 0..5 {
        let request = post(&neighbour, &Attempt::new());
        let posted = neighbour.send(request).await;
        neighbour.follow(&posted).await;
        neighbour.open(&Attempt::new().path()).await;
    }
    let refused = neighbour.open(&Attempt::new().path()).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    for attempt in [Attempt::new(), Attempt::new().with("prompt", "login")] {
        let request = post(&known, &attempt);
        let posted = known.send(request).await;
        assert_eq!(posted.status, StatusCode::SEE_OTHER, "{}", posted.summary());
        let next = known.follow(&posted).await;
        assert_eq!(next.status, StatusCode::SEE_OTHER, "{}", next.summary());
    }
}
