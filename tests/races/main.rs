//! B6, TK-6, RF-6 to RF-8, R-11, PU-6, PP-5: single use, raced against the built binary: two instances on
//! PostgreSQL and Redis, and one instance on the embedded default for sign-in.
//!
//! Many requests use one secret at the same moment: they wait at a barrier ([`race`]) and leave
//! together. Several secrets of several users are raced at once, so that one race loads the
//! instances while another waits; each is judged for itself. Of a link or a code exactly one use may
//! succeed and every other must be refused. A client that receives 503 tries again after the time
//! that the response names ([`pause`]): in the end no response may be an outage. `RACE_ROUNDS` sets
//! the number of rounds (25 if unset; the requirement is 1 000).
#![allow(
    clippy::too_many_lines,
    clippy::excessive_nesting,
    clippy::too_many_arguments,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on must stop at once and say where"
)]

mod clients;
mod judge;
mod planted;
mod proof;
mod pushed;
#[allow(dead_code, reason = "shared with the request tests")]
#[path = "../it/service.rs"]
mod service;
mod sign_in;
mod tokens;
mod upstream;

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;
use service::{Stage, fresh_network};
use testkit::entree::Options;
use tokio::sync::Barrier;

/// How many use one link or one mailed code at once.
const WIDTH: usize = 64;
/// How many exchange one authorization code, or refresh one token, at once.
const EXCHANGES: usize = 100;
/// How many secrets, each of another user, are raced at the same time. More would be a load test: a
/// request that gets no connection to the database within three seconds rightly gets 503.
const AT_ONCE: usize = 3;
/// How often a client tries that receives 503. A third try would come when a code that is used again
/// counts as stolen (TK-6).
const TRIES: usize = 2;

/// Allows so many connections to the database that hardly any request waits for one, as many requests
/// at work as are sent at once, and as many emails and sign-ins as a thousand rounds need.
fn with_ample_resources(options: Options) -> Options {
    options
        .without_limits()
        .set("database.max_connections", "80")
        .set("server.email_slots", "1000")
        .set("server.provider_slots", "1000")
        .set("server.quick_slots", "1000")
}

fn rounds() -> usize {
    std::env::var("RACE_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(25)
}

/// What `width` attempts that all began at one moment came to.
struct Raced<T> {
    results: Vec<T>,
    /// How many attempts had begun before the first response.
    started_before_first_response: usize,
}

/// Runs `width` attempts that wait for each other before they begin.
async fn race<T, F>(width: usize, attempt: impl Fn(usize) -> F) -> Raced<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let gate = Arc::new(Barrier::new(width));
    let mut work = tokio::task::JoinSet::new();
    for number in 0..width {
        let (gate, attempt) = (Arc::clone(&gate), attempt(number));
        work.spawn(async move {
            gate.wait().await;
            let began = Instant::now();
            let result = attempt.await;
            (began, Instant::now(), result)
        });
    }
    let all = work.join_all().await;
    let first = all
        .iter()
        .map(|(_, ended, _)| *ended)
        .min()
        .expect("an attempt");
    let started_before_first_response = all.iter().filter(|(began, ..)| *began < first).count();
    Raced {
        results: all.into_iter().map(|(_, _, result)| result).collect(),
        started_before_first_response,
    }
}

/// A client that keeps its connections, straight to each copy in turn under the public name.
struct Copies {
    http: reqwest::Client,
    urls: Vec<String>,
    host: String,
}

impl Copies {
    fn of(stage: &Stage) -> Arc<Self> {
        let _ = testkit::browser::client();
        let idle = AT_ONCE * EXCHANGES;
        // The service closes what was idle for ten seconds, perhaps just when we send on it.
        let kept = Duration::from_secs(4);
        let http = reqwest::Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(idle)
            .pool_idle_timeout(kept);
        let http = http.build().unwrap();
        let urls = stage
            .service
            .copies
            .iter()
            .map(|copy| copy.public.clone())
            .collect();
        Arc::new(Self {
            http,
            urls,
            host: stage.service.url.trim_start_matches("http://").to_owned(),
        })
    }

    fn post(&self, number: usize, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.urls[number % self.urls.len()]);
        self.http
            .post(url)
            .header("host", &self.host)
            .header("x-forwarded-for", fresh_network().to_string())
    }

    async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
        for _ in 0..TRIES {
            let again = request.try_clone().expect("a body in memory");
            let answer = again.send().await.expect("an answer");
            match pause(answer.status().as_u16(), answer.headers()) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => {
                    return (
                        answer.status().as_u16(),
                        answer.json().await.unwrap_or_default(),
                    );
                }
            }
        }
        (503, Value::Null)
    }

    async fn json(&self, number: usize, action: &str, body: &Value) -> (u16, Value) {
        Self::answer(
            self.post(number, &format!("/api/v1/auth/magic-link/{action}"))
                .json(body),
        )
        .await
    }

    async fn token(&self, number: usize, form: &[(&str, String)]) -> (u16, Value) {
        Self::answer(self.post(number, "/oauth2/token").form(form)).await
    }
}

/// Returns when to send a request again (RFC 9110 §10.2.3): an overloaded machine gives no connection in
/// time, and has begun nothing. A 503 that does not say when is a response like any other.
fn pause(status: u16, headers: &reqwest::header::HeaderMap) -> Option<Duration> {
    let after = headers.get("retry-after").filter(|_| status == 503)?;
    after.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

/// Prints the figures, and requires that half of the attempts had begun before the first response: else it
/// was no race.
fn report_and_check_overlap(
    what: &str,
    raced: usize,
    width: usize,
    started_before_first_response: usize,
    began: Instant,
) {
    let share = started_before_first_response * 100 / (raced * width).max(1);
    let took = began.elapsed().as_secs_f64();
    println!(
        "{what}: {raced} rounds of {width} in {took:.1} s; {share} % had begun before the first response"
    );
    assert!(share >= 50, "{what}: not much of a race, {share} %");
}
