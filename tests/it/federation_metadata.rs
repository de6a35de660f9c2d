//! A provider's documents and every connection to it: where none is opened, what is not read, what is
//! refused.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use entree::federation::provider::{AuthorizationRequest, Providers};
use serde_json::{Value, json};
use testkit::upstream::{Lie, Pace, Place, Reply};
use tokio::net::TcpListener;

use crate::{
    federation::{Row, Stage, events, refuse, refuse_start},
    test_app::TestApp,
};

on_both!(
    r_01_ht_03_ht_04_ht_05_ht_06_up_blocked_no_connection_is_opened,
    r_02_ht_02_up_redirect,
    r_03_x9_ht_02_up_too_large,
    r_03_ht_02_up_timeout_ends_in_five_seconds,
    r_04_dj_01_up_discovery_issuer,
    r_04_dj_07_another_issuer_on_refresh_changes_nothing,
    r_05_ht_07_up_endpoint_host,
    r_06_up_provider_down,
    r_06_ue_05_five_failures_open_the_breaker,
    r_06_dj_06_past_the_stale_limit,
);

/// A port of loopback that counts who connects.
async fn trap() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        // Counted before it hangs up, which is what the other side sees.
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
        let stage = Stage::new(&test_app, settings).await;
        let page = stage.start_refused(&issuer, 503, "up_blocked").await;
        // No minute mends that: the page does not say so.
        assert!(
            page.text().contains("isn't set up correctly") && page.header("retry-after").is_none(),
            "{}",
            page.text()
        );
    }
    // The host is opened to this provider, plain http is not.
    let plain = json!({"issuer": format!("http://127.0.0.1:{port}"), "loopback_http": false});
    Stage::new(&test_app, plain)
        .await
        .start_refused("plain http", 503, "up_blocked")
        .await;
    assert_eq!(
        connections.load(Ordering::Relaxed),
        0,
        "somebody was connected to"
    );
}

/// Runs the whole way; the refusal may come at the button or at the callback, wherever the place is needed first.
async fn refuse_anywhere(
    test_app: &TestApp,
    code: &str,
    rows: Vec<(&'static str, Vec<Lie>, Value)>,
) {
    for (why, lies, settings) in rows {
        let stage = Stage::new(test_app, settings).await;
        for lie in lies {
            stage.up.tell(lie);
        }
        let (mut browser, login) = stage.at_login().await;
        let page = stage.press(&mut browser, &login).await;
        if page.refresh().is_some() {
            let back = stage.up.visit(&page).await;
            stage
                .judge(&mut browser, &login, &back, (why, 503, code))
                .await;
        } else {
            stage.start_refused(why, 503, code).await;
        }
    }
}

const PLACES: [(&str, Place); 4] = [
    ("discovery", Place::Discovery),
    ("keys", Place::Jwks),
    ("token", Place::Token),
    ("userinfo", Place::Userinfo),
];

/// An answer at every place that is asked.
fn everywhere(reply: &Reply) -> Vec<(&'static str, Vec<Lie>, Value)> {
    let row = |(why, place)| {
        (
            why,
            vec![Lie::reply(place, reply.clone())],
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
    let stage = Stage::new(&test_app, json!({})).await;
    stage.up.tell(Lie::reply(Place::Discovery, drip.clone()));
    let begin = Instant::now();
    stage
        .start_refused("discovery, one byte a second", 503, "up_timeout")
        .await;
    assert!(
        begin.elapsed() < Duration::from_secs(20),
        "{:?}",
        begin.elapsed()
    );

    let stage = Stage::new(&test_app, json!({})).await;
    stage.up.tell(Lie::reply(Place::Token, drip));
    let (mut browser, login, back) = stage.gone().await;
    let begin = Instant::now();
    stage
        .judge(
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

fn issuer(change: impl Fn(&str) -> String + Send + Sync + 'static) -> Vec<Lie> {
    vec![Lie::json(Place::Discovery, move |json| {
        json["issuer"] = change(json["issuer"].as_str().unwrap()).into()
    })]
}

async fn r_04_dj_01_up_discovery_issuer(test_app: TestApp) {
    refuse_start(
        &test_app,
        "up_discovery_issuer",
        vec![
            Row::new("a slash", 503, issuer(|issuer| format!("{issuer}/"))),
            Row::new("case", 503, issuer(|issuer| issuer.replace("http", "HTTP"))),
            Row::new(
                "port",
                503,
                issuer(|issuer| issuer.rsplit_once(':').unwrap().0.to_owned()),
            ),
            Row::new(
                "host",
                503,
                issuer(|_| "https://accounts.google.com".to_owned()),
            ),
            Row::new(
                "missing",
                503,
                vec![Lie::member(Place::Discovery, "issuer", Value::Null)],
            ),
        ],
    )
    .await;
}

async fn r_04_dj_07_another_issuer_on_refresh_changes_nothing(test_app: TestApp) {
    let stage = Stage::new(&test_app, json!({})).await;
    stage.signs_in("the first time").await;
    for lie in issuer(|_| "https://evil.example".to_owned()) {
        stage.up.tell(lie);
    }
    stage.up.tell(Lie::member(
        Place::Discovery,
        "token_endpoint",
        json!("https://evil.example/token"),
    ));
    let seen = stage.up.count(Place::Discovery);
    test_app.pass(3601);
    stage.up.pass(3601);
    stage.signs_in("the old snapshot serves").await;
    assert!(stage.up.count(Place::Discovery) > seen, "it was read again");
    stage.signs_in("and serves on").await;
}

/// DJ-07: the trail has both issuers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dj_07_another_issuer_on_refresh_is_in_the_trail() {
    let test_app = TestApp::embedded().await;
    let stage = Stage::new(&test_app, json!({})).await;
    let providers = Providers::new(&test_app.app);
    let state = "s".repeat(43);
    let ask = AuthorizationRequest {
        state: &state,
        login_hint: None,
        ui_locales: "",
    };
    providers.start_authorization(&stage.id, ask).await.unwrap();
    for lie in issuer(|_| "https://evil.example".to_owned()) {
        stage.up.tell(lie);
    }
    test_app.pass(3601);
    providers.refresh_due().await;
    let trail = format!("{:?}", events(&test_app).await);
    assert!(
        trail.contains("https://evil.example") && trail.contains(&stage.up.url()),
        "{trail}"
    );
    let started = providers.start_authorization(&stage.id, ask).await.unwrap();
    assert!(started.url.starts_with(&stage.up.url()));
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
            let lie = Lie::member(Place::Discovery, name, json!(at));
            rows.push(Row::new(name, 503, vec![lie]).with(json!({"userinfo": "always"})));
        }
    }
    refuse_start(&test_app, "up_endpoint_host", rows).await;
}

async fn r_06_up_provider_down(test_app: TestApp) {
    let stage = Stage::new(&test_app, json!({"issuer": "https://nowhere.invalid"})).await;
    stage
        .start_refused("no such name", 503, "up_provider_down")
        .await;

    let stage = Stage::new(&test_app, json!({})).await;
    stage.up.go_down();
    let answer = stage
        .start_refused("nothing listens", 503, "up_provider_down")
        .await;
    assert!(answer.header("retry-after").is_some());

    let stage = Stage::with(
        &test_app,
        |up| json!({"issuer": up.url().replace("http:", "https:")}),
    )
    .await;
    stage
        .start_refused("no TLS there", 503, "up_provider_down")
        .await;

    refuse_start(
        &test_app,
        "up_provider_down",
        vec![
            Row::new(
                "500",
                503,
                vec![Lie::reply(
                    Place::Discovery,
                    Reply::new(500, "text/plain", "no"),
                )],
            ),
            Row::new(
                "404",
                503,
                vec![Lie::reply(
                    Place::Discovery,
                    Reply::new(404, "text/plain", "no"),
                )],
            ),
            Row::new(
                "HTML",
                503,
                vec![Lie::reply(
                    Place::Discovery,
                    Reply::new(200, "text/html", "<html>"),
                )],
            ),
        ],
    )
    .await;
    let keys = vec![Lie::reply(Place::Jwks, Reply::new(500, "text/plain", "no"))];
    refuse(
        &test_app,
        "up_provider_down",
        vec![Row::new("no keys to be had", 503, keys)],
    )
    .await;
}

async fn r_06_ue_05_five_failures_open_the_breaker(test_app: TestApp) {
    // It accepts and hangs up: a failure of transport each time.
    let (port, connections) = trap().await;
    let stage = Stage::new(
        &test_app,
        json!({"issuer": format!("http://127.0.0.1:{port}")}),
    )
    .await;
    let mut seen = Vec::new();
    for _ in 0..8 {
        stage
            .start_refused("while it hangs up", 503, "up_provider_down")
            .await;
        seen.push(connections.load(Ordering::Relaxed));
    }
    assert_eq!(
        seen,
        [1, 2, 3, 4, 5, 5, 5, 5],
        "UE-05: five failures in a row open it"
    );
    // Real time passes too: to the second the edge is held by the breaker's own tests.
    test_app.pass(20);
    stage
        .start_refused("still open", 503, "up_provider_down")
        .await;
    assert_eq!(connections.load(Ordering::Relaxed), 5);
    test_app.pass(11);
    stage
        .start_refused("one probe", 503, "up_provider_down")
        .await;
    stage
        .start_refused("and no other", 503, "up_provider_down")
        .await;
    assert_eq!(connections.load(Ordering::Relaxed), 6);

    let stage = Stage::new(&test_app, json!({})).await;
    stage.up.go_down();
    for _ in 0..6 {
        stage
            .start_refused("while it is away", 503, "up_provider_down")
            .await;
    }
    let (_, login) = stage.at_login().await;
    assert!(stage.button(&login).is_some(), "the button stays");
    stage.up.come_up();
    stage
        .start_refused("left alone", 503, "up_provider_down")
        .await;
    test_app.pass(31);
    stage.up.pass(31);
    stage.signs_in("a probe closes it").await;
}

async fn r_06_dj_06_past_the_stale_limit(test_app: TestApp) {
    let stage = Stage::new(&test_app, json!({})).await;
    stage.signs_in("fresh").await;
    for place in [Place::Discovery, Place::Jwks] {
        stage
            .up
            .tell(Lie::reply(place, Reply::new(500, "text/plain", "no")));
    }
    for hours in [2, 10, 10] {
        test_app.pass(hours * 3600);
        stage.up.pass(hours.cast_signed() * 3600);
        stage
            .signs_in("stale while its documents cannot be read")
            .await;
    }
    test_app.pass(4 * 3600);
    stage.up.pass(4 * 3600);
    stage
        .start_refused("26 hours", 503, "up_provider_down")
        .await;
}
