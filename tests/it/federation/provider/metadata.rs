//! The documents of a provider and every request to it: where no connection is opened, and which
//! responses are refused.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use entree::federation::provider::{AuthorizationRequest, Providers};
use serde_json::{Value, json};
use testkit::upstream::{Fault, Pace, Place, Reply};
use tokio::net::TcpListener;

use crate::{
    federation::{
        ProviderFixture, RefusalCase, assert_refused, assert_starts_refused, audit_events,
    },
    test_app::TestApp,
};

on_both!(
    r_01_ht_03_ht_04_ht_05_ht_06_up_blocked_no_connection_is_opened,
    r_02_ht_02_up_redirect,
    r_03_x9_ht_02_up_too_large,
    r_03_ht_02_up_timeout_ends_in_five_seconds,
    r_04_dj_01_up_discovery_issuer,
    r_04_dj_07_oc_11_another_issuer_on_refresh_stops_new_sign_ins,
    r_05_ht_07_up_endpoint_host,
    r_06_up_provider_down,
    r_06_ue_05_five_failures_open_the_breaker,
    r_06_dj_06_past_the_stale_limit,
);

/// Returns a loopback port and the number of its connections.
async fn trap() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        // Counted before the connection closes, which is what the other side sees.
        while let Ok(held) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            drop(held);
        }
    });
    (port, count)
}

async fn r_01_ht_03_ht_04_ht_05_ht_06_up_blocked_no_connection_is_opened(test_app: TestApp) {
    let (port, connections) = trap().await;
    for issuer in [
        format!("https://127.0.0.1:{port}"),
        format!("https://localhost:{port}"),
        format!("https://[::1]:{port}"),
        format!("https://2130706433:{port}"),
        format!("https://0177.0.0.1:{port}"),
        format!("https://0x7f.1:{port}"),
        format!("https://[::ffff:127.0.0.1]:{port}"),
        format!("http://127.0.0.1:{port}"),
        format!("https://user@127.0.0.1:{port}"),
        format!("https://user:word@localhost:{port}"),
        "https://169.254.169.254".to_owned(),
        "https://[::ffff:10.0.0.1]".to_owned(),
        "https://10.0.0.1".to_owned(),
    ] {
        let settings = json!({"issuer": issuer, "private_hosts": [], "loopback_http": false});
        let fixture = ProviderFixture::new(&test_app, settings).await;
        let page = fixture
            .assert_start_refused(&issuer, 503, "up_blocked")
            .await;
        // Waiting does not resolve this, and the page does not advise it.
        assert!(
            page.text().contains("isn't set up correctly") && page.header("retry-after").is_none(),
            "{}",
            page.text()
        );
    }
    // The host is allowed for this provider, plain http is not.
    let plain = json!({"issuer": format!("http://127.0.0.1:{port}"), "loopback_http": false});
    ProviderFixture::new(&test_app, plain)
        .await
        .assert_start_refused("plain http", 503, "up_blocked")
        .await;
    assert_eq!(
        connections.load(Ordering::Relaxed),
        0,
        "a connection was opened"
    );
}

/// Requires a refusal at the button or at the callback, wherever the endpoint is needed first.
async fn refuse_anywhere(
    test_app: &TestApp,
    code: &str,
    rows: Vec<(&'static str, Vec<Fault>, Value)>,
) {
    for (why, faults, settings) in rows {
        let fixture = ProviderFixture::new(test_app, settings).await;
        for fault in faults {
            fixture.up.inject(fault);
        }
        let (mut browser, login) = fixture.open_sign_in().await;
        let page = fixture.press_button(&mut browser, &login).await;
        if page.refresh().is_some() {
            let back = fixture.up.visit(&page).await;
            fixture
                .assert_callback_refused(&mut browser, &login, &back, (why, 503, code))
                .await;
        } else {
            fixture.assert_start_refused(why, 503, code).await;
        }
    }
}

const PLACES: [(&str, Place); 4] = [
    ("discovery", Place::Discovery),
    ("keys", Place::Jwks),
    ("token", Place::Token),
    ("userinfo", Place::Userinfo),
];

/// Returns a case for each endpoint with this response.
fn everywhere(reply: &Reply) -> Vec<(&'static str, Vec<Fault>, Value)> {
    let row = |(why, place)| {
        (
            why,
            vec![Fault::reply(place, reply.clone())],
            json!({"userinfo": "always"}),
        )
    };
    PLACES.map(row).into()
}

async fn r_02_ht_02_up_redirect(test_app: TestApp) {
    for status in [301, 302, 307, 308] {
        let mut reply = Reply::redirect("/elsewhere");
        reply.status = status;
        refuse_anywhere(&test_app, "up_redirect", everywhere(&reply)).await;
    }
}

async fn r_03_x9_ht_02_up_too_large(test_app: TestApp) {
    for kib in [600, 10 * 1024] {
        let body = json!({"filler": "x".repeat(kib * 1024)});
        refuse_anywhere(
            &test_app,
            "up_too_large",
            everywhere(&Reply::json(200, &body)),
        )
        .await;
    }
}

async fn r_03_ht_02_up_timeout_ends_in_five_seconds(test_app: TestApp) {
    let drip = Reply::json(200, &json!({"filler": "x".repeat(1000)}))
        .at(Pace::Drip(Duration::from_secs(1)));
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    fixture
        .up
        .inject(Fault::reply(Place::Discovery, drip.clone()));
    let begin = Instant::now();
    fixture
        .assert_start_refused("discovery, one byte a second", 503, "up_timeout")
        .await;
    assert!(
        begin.elapsed() < Duration::from_secs(20),
        "{:?}",
        begin.elapsed()
    );

    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    fixture.up.inject(Fault::reply(Place::Token, drip));
    let (mut browser, login, back) = fixture.go_to_provider().await;
    let begin = Instant::now();
    fixture
        .assert_callback_refused(
            &mut browser,
            &login,
            &back,
            ("token, one byte a second", 503, "up_timeout"),
        )
        .await;
    assert!(
        begin.elapsed() < Duration::from_secs(20),
        "{:?}",
        begin.elapsed()
    );
}

fn issuer(change: impl Fn(&str) -> String + Send + Sync + 'static) -> Vec<Fault> {
    vec![Fault::json(Place::Discovery, move |json| {
        json["issuer"] = change(json["issuer"].as_str().unwrap()).into()
    })]
}

async fn r_04_dj_01_up_discovery_issuer(test_app: TestApp) {
    assert_starts_refused(
        &test_app,
        "up_discovery_issuer",
        vec![
            RefusalCase::new("a slash", 503, issuer(|issuer| format!("{issuer}/"))),
            RefusalCase::new("case", 503, issuer(|issuer| issuer.replace("http", "HTTP"))),
            RefusalCase::new(
                "port",
                503,
                issuer(|issuer| issuer.rsplit_once(':').unwrap().0.to_owned()),
            ),
            RefusalCase::new(
                "host",
                503,
                issuer(|_| "https://accounts.google.com".to_owned()),
            ),
            RefusalCase::new(
                "missing",
                503,
                vec![Fault::member(Place::Discovery, "issuer", Value::Null)],
            ),
        ],
    )
    .await;
}

async fn r_04_dj_07_oc_11_another_issuer_on_refresh_stops_new_sign_ins(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    fixture.assert_signs_in("the first time").await;
    for fault in issuer(|_| "https://evil.example".to_owned()) {
        fixture.up.inject(fault);
    }
    fixture.up.inject(Fault::member(
        Place::Discovery,
        "token_endpoint",
        json!("https://evil.example/token"),
    ));
    test_app.pass(3601);
    fixture.up.pass(3601);
    fixture
        .assert_start_refused("a new sign-in", 503, "up_discovery_issuer")
        .await;
    fixture.up.reset_faults();
    let again = || async {
        test_app.pass(31);
        fixture.up.pass(31);
        let (mut browser, login) = fixture.open_sign_in().await;
        let page = fixture.press_button(&mut browser, &login).await;
        page.refresh().map(drop)
    };
    testkit::until("it is right again", Duration::from_secs(10), again)
        .await
        .unwrap();
    fixture.assert_signs_in("it is right again").await;
}

/// DJ-07: the audit log has both issuers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dj_07_another_issuer_on_refresh_is_in_the_audit_log() {
    let test_app = TestApp::embedded().await;
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    let providers = Providers::new(&test_app.app);
    let state = "s".repeat(43);
    let request = AuthorizationRequest {
        state: &state,
        login_hint: None,
        ui_locales: "",
    };
    providers
        .start_authorization(&fixture.id, request)
        .await
        .unwrap();
    for fault in issuer(|_| "https://evil.example".to_owned()) {
        fixture.up.inject(fault);
    }
    test_app.pass(3601);
    providers.refresh_due().await;
    let audit_log = format!("{:?}", audit_events(&test_app).await);
    assert!(
        audit_log.contains("https://evil.example") && audit_log.contains(&fixture.up.url()),
        "{audit_log}"
    );
    let refused = providers
        .start_authorization(&fixture.id, request)
        .await
        .unwrap_err();
    assert_eq!(refused.code().as_str(), "up_discovery_issuer");
}

async fn r_05_ht_07_up_endpoint_host(test_app: TestApp) {
    let mut rows = Vec::new();
    for name in [
        "authorization_endpoint",
        "token_endpoint",
        "jwks_uri",
        "userinfo_endpoint",
    ] {
        for at in [
            "https://evil.example/x",
            "https://127.0.0.1.evil.example/x",
            "http://localhost/x",
            "ftp://127.0.0.1/x",
        ] {
            let fault = Fault::member(Place::Discovery, name, json!(at));
            rows.push(RefusalCase::new(name, 503, vec![fault]).with(json!({"userinfo": "always"})));
        }
    }
    assert_starts_refused(&test_app, "up_endpoint_host", rows).await;
}

async fn r_06_up_provider_down(test_app: TestApp) {
    let fixture =
        ProviderFixture::new(&test_app, json!({"issuer": "https://nowhere.invalid"})).await;
    fixture
        .assert_start_refused("no such name", 503, "up_provider_down")
        .await;

    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    fixture.up.go_down();
    let response = fixture
        .assert_start_refused("nothing listens", 503, "up_provider_down")
        .await;
    assert!(response.header("retry-after").is_some());

    let fixture = ProviderFixture::with(
        &test_app,
        |up| json!({"issuer": up.url().replace("http:", "https:")}),
    )
    .await;
    fixture
        .assert_start_refused("no TLS there", 503, "up_provider_down")
        .await;

    assert_starts_refused(
        &test_app,
        "up_provider_down",
        vec![
            RefusalCase::new(
                "500",
                503,
                vec![Fault::reply(
                    Place::Discovery,
                    Reply::new(500, "text/plain", "no"),
                )],
            ),
            RefusalCase::new(
                "404",
                503,
                vec![Fault::reply(
                    Place::Discovery,
                    Reply::new(404, "text/plain", "no"),
                )],
            ),
            RefusalCase::new(
                "HTML",
                503,
                vec![Fault::reply(
                    Place::Discovery,
                    Reply::new(200, "text/html", "<html>"),
                )],
            ),
        ],
    )
    .await;
    let keys = vec![Fault::reply(
        Place::Jwks,
        Reply::new(500, "text/plain", "no"),
    )];
    assert_refused(
        &test_app,
        "up_provider_down",
        vec![RefusalCase::new("no keys to be had", 503, keys)],
    )
    .await;
}

async fn r_06_ue_05_five_failures_open_the_breaker(test_app: TestApp) {
    // The server closes each connection: a transport error each time.
    let (port, connections) = trap().await;
    let fixture = ProviderFixture::new(
        &test_app,
        json!({"issuer": format!("http://127.0.0.1:{port}")}),
    )
    .await;
    let mut seen = Vec::new();
    for _ in 0..8 {
        fixture
            .assert_start_refused("while it closes connections", 503, "up_provider_down")
            .await;
        seen.push(connections.load(Ordering::Relaxed));
    }
    assert_eq!(
        seen,
        [1, 2, 3, 4, 5, 5, 5, 5],
        "UE-05: five failures in a row open it"
    );
    // Real time passes, too: the tests of the breaker check the limit to the second.
    test_app.pass(20);
    fixture
        .assert_start_refused("still open", 503, "up_provider_down")
        .await;
    assert_eq!(connections.load(Ordering::Relaxed), 5);
    test_app.pass(11);
    fixture
        .assert_start_refused("one probe", 503, "up_provider_down")
        .await;
    fixture
        .assert_start_refused("and no other", 503, "up_provider_down")
        .await;
    assert_eq!(connections.load(Ordering::Relaxed), 6);

    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    fixture.up.go_down();
    for _ in 0..6 {
        fixture
            .assert_start_refused("while it is away", 503, "up_provider_down")
            .await;
    }
    let (_, login) = fixture.open_sign_in().await;
    assert!(fixture.button(&login).is_some(), "the button stays");
    fixture.up.come_up();
    fixture
        .assert_start_refused("left alone", 503, "up_provider_down")
        .await;
    test_app.pass(31);
    fixture.up.pass(31);
    fixture.assert_signs_in("a probe closes it").await;
}

async fn r_06_dj_06_past_the_stale_limit(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    fixture.assert_signs_in("fresh").await;
    for place in [Place::Discovery, Place::Jwks] {
        fixture
            .up
            .inject(Fault::reply(place, Reply::new(500, "text/plain", "no")));
    }
    for hours in [2, 10, 10] {
        test_app.pass(hours * 3600);
        fixture.up.pass(hours.cast_signed() * 3600);
        fixture
            .assert_signs_in("stale while its documents cannot be read")
            .await;
    }
    test_app.pass(4 * 3600);
    fixture.up.pass(4 * 3600);
    fixture
        .assert_start_refused("26 hours", 503, "up_provider_down")
        .await;
}
