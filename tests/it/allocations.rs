//! Counted work: what a warm request allocates in memory, on the embedded default (SP-1).
//!
//! `tests/work.toml` has the figures. More fails, and so does less, with a tolerance for what differs from
//! one run to the next. Only this thread is counted: it runs the whole service but SQLite's threads.

use poem::{Request, http::StatusCode};
use tokio::runtime::{Builder, Runtime};

use crate::{
    oauth::{Attempt, signed_in},
    test_app::TestApp,
    work::{self, SECRET, configure, form_request, userinfo_request},
};

/// The tolerance, in percent.
const TOLERANCE: u64 = 3;

/// How often a request is sent before it is measured.
const WARM_UP: usize = 5;

/// How often it is measured: the least counts.
const ROUNDS: usize = 20;

fn measure(runtime: &Runtime, app: &TestApp, request: impl Fn() -> Request) -> u64 {
    let measured = (0..WARM_UP + ROUNDS).map(|_| {
        let (request, mut status) = (request(), None);
        let counted = allocation_counter::measure(|| {
            status = Some(runtime.block_on(app.call(request)).status);
        });
        assert_eq!(status, Some(StatusCode::OK));
        counted.count_total
    });
    measured.skip(WARM_UP).min().unwrap()
}

/// Returns whether a count is the listed one, with the tolerance.
fn is_as_listed(measured: u64, listed: u64) -> bool {
    measured.abs_diff(listed) * 100 <= listed * TOLERANCE
}

#[test]
fn sp_1_a_warm_request_allocates_what_the_file_says() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let _guard = runtime.enter();
    let (app, access_token) = runtime.block_on(async {
        let app = TestApp::embedded_with(configure).await;
        let mut browser = signed_in(&app, "work@example.com").await;
        let tokens = Attempt::new().tokens(&mut browser).await;
        let access_token = tokens["access_token"].as_str().unwrap().to_owned();
        drop(browser);
        (app, access_token)
    });
    let own = [("client_id", "software"), ("client_secret", SECRET)];
    let introspection = [own[0], own[1], ("token", access_token.as_str())];
    let client_credentials = [own[0], own[1], ("grant_type", "client_credentials")];
    let measured = [
        (
            "userinfo",
            measure(&runtime, &app, || userinfo_request(&access_token)),
        ),
        (
            "introspection",
            measure(&runtime, &app, || {
                form_request("/oauth2/introspect", &introspection)
            }),
        ),
        (
            "client_credentials",
            measure(&runtime, &app, || {
                form_request("/oauth2/token", &client_credentials)
            }),
        ),
    ];
    let file = work::file();
    let listed = |step: &str| file.get(step).and_then(|costs| costs.allocations);
    let is_wrong = |(step, measured): &&(&str, u64)| {
        !listed(step).is_some_and(|listed| is_as_listed(*measured, listed))
    };
    let wrong: Vec<String> = measured
        .iter()
        .filter(is_wrong)
        .map(|(step, measured)| format!("[{step}] allocations = {measured}"))
        .collect();
    assert!(
        wrong.is_empty(),
        "tests/work.toml, if that is meant:\n{}",
        wrong.join("\n")
    );
    let steps = file.values().filter(|costs| costs.allocations.is_some());
    assert_eq!(steps.count(), measured.len(), "each figure is measured");
}

#[test]
fn sp_1_four_percent_more_or_fewer_allocations_are_found() {
    assert!(is_as_listed(100, 100) && is_as_listed(103, 100) && is_as_listed(97, 100));
    assert!(!is_as_listed(104, 100) && !is_as_listed(96, 100));
    let counted = allocation_counter::measure(|| {
        std::hint::black_box(Box::new(1));
    });
    assert_eq!(counted.count_total, 1, "an allocation is counted");
}
