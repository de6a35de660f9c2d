//! OB-1, OB-2, ST-18: PostgreSQL switches over, dies and restarts behind one address while users request emails. Real
//! servers: one follows the other by streaming replication, and a proxy stands for the address.
//!
//! Every request that got a 202 gets its email, no response is a 500, and the 503s end within five seconds; after a
//! restart no request fails once PostgreSQL accepts connections.
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

#[allow(dead_code, reason = "shared with the request tests")]
#[path = "it/service.rs"]
mod service;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use service::{CLIENT, Stage, fresh_network};
use testkit::{
    ci,
    entree::{Backend, Servers},
    mail::Mailbox as _,
    services::Postgres,
    wire::Wire,
};

/// How many ask at the same time, and are at work: so many connections of the pool are in use.
const ASKERS: usize = 10;

/// How long 503s may be answered (OB-1): 5 s. A build without optimization, on a machine that runs all these tests at
/// once, has twice as long.
const OUTAGE: Duration = Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 5 });

const PATIENCE: Duration = Duration::from_secs(60);

/// A response: when its request was sent and when it came.
#[derive(Clone, Debug)]
struct Answer {
    sent: Instant,
    came: Instant,
    status: u16,
    address: String,
}

/// Judges responses. `fault`: when the database went; `back`: a request that was sent later must not fail.
fn judge(answers: &[Answer], fault: Instant, back: Instant) -> Result<String, String> {
    let of = |status: u16| answers.iter().filter(move |answer| answer.status == status);
    if let Some(other) = answers
        .iter()
        .find(|answer| ![202, 503].contains(&answer.status))
    {
        return Err(format!("a response was {}", other.status));
    }
    let late: Vec<Duration> = of(503)
        .filter(|answer| answer.sent >= back)
        .map(|answer| answer.sent - back)
        .collect();
    if !late.is_empty() {
        return Err(format!("{} failed after it was back: {late:?}", late.len()));
    }
    if of(202).filter(|answer| answer.sent >= back).count() < ASKERS {
        return Err("too few requests after it was back: nothing was tested".to_owned());
    }
    let last = of(503)
        .map(|answer| answer.came.saturating_duration_since(fault))
        .max();
    let last = last.unwrap_or_default();
    if last > OUTAGE {
        return Err(format!("the last 503 came {last:?} after the fault"));
    }
    Ok(format!(
        "{} answered, {} refused, the last {last:?} after the fault",
        of(202).count(),
        of(503).count()
    ))
}

async fn request(url: &str, http: &reqwest::Client, address: String) -> Answer {
    let body = serde_json::json!({
        "client_id": CLIENT,
        "email": address,
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "code_challenge_method": "S256",
    });
    let sent = Instant::now();
    let request = http
        .post(url)
        .header("x-forwarded-for", fresh_network().to_string())
        .json(&body);
    let status = match request.send().await {
        Ok(response) => response.status().as_u16(),
        Err(error) => panic!("{error}"),
    };
    Answer {
        sent,
        came: Instant::now(),
        status,
        address,
    }
}

/// Requests emails for new addresses until it is stopped.
async fn ask(url: String, name: String, stop: Arc<AtomicBool>) -> Vec<Answer> {
    let http = testkit::browser::client();
    let mut answers = Vec::new();
    for number in 0.. {
        if stop.load(SeqCst) {
            break;
        }
        answers.push(request(&url, &http, format!("{name}-{number}@example.test")).await);
        // So that thousands of 503s do not take the machine from what they wait for.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    answers
}

struct Load {
    stop: Arc<AtomicBool>,
    askers: Vec<tokio::task::JoinHandle<Vec<Answer>>>,
}

impl Load {
    fn start(stage: &Stage, name: &str) -> Self {
        let url = stage.service.at("/api/v1/auth/magic-link/request");
        let stop = Arc::new(AtomicBool::new(false));
        let asker = |number| {
            let (url, name) = (url.clone(), format!("{name}-{number}"));
            tokio::spawn(ask(url, name, Arc::clone(&stop)))
        };
        Self {
            askers: (0..ASKERS).map(asker).collect(),
            stop: Arc::clone(&stop),
        }
    }

    async fn end(self) -> Vec<Answer> {
        self.stop.store(true, SeqCst);
        let mut answers = Vec::new();
        for asker in self.askers {
            answers.extend(asker.await.unwrap());
        }
        answers
    }
}

/// A service whose database stands behind a proxy.
struct Scene {
    stage: Stage,
    wire: Wire,
    primary: Postgres,
}

impl Scene {
    async fn start() -> Option<Self> {
        let primary = match Postgres::start(true).await {
            Ok(primary) => primary,
            Err(missing) => {
                assert!(!ci(), "{missing}");
                eprintln!("skipped: {missing}");
                return None;
            }
        };
        let wire = Wire::start().await;
        wire.aim_at_socket(primary.socket());
        let servers = Servers {
            postgres: Some(&primary),
            wire: Some(&wire),
            ..Servers::default()
        };
        // Some thousand emails are requested within seconds: above the ceiling they would wait for minutes.
        let stage = Stage::start_on(Backend::Servers, servers, |options| {
            options
                .set("server.email_slots", &ASKERS.to_string())
                .set("mail.ceiling_per_minute", "1000000")
        })
        .await?;
        Some(Self {
            stage,
            wire,
            primary,
        })
    }

    /// Every acknowledged request gets its email, and no 500 is in the log.
    async fn settle(&self, name: &str, answers: &[Answer]) {
        let acknowledged: Vec<&Answer> = answers
            .iter()
            .filter(|answer| answer.status == 202)
            .collect();
        let all_came = || async {
            for answer in &acknowledged {
                if self.stage.post.all(&answer.address).await.is_empty() {
                    return None;
                }
            }
            Some(())
        };
        let waited = testkit::until("every email", Duration::from_secs(150), all_came).await;
        waited.unwrap_or_else(|why| panic!("{name}: {why}\n{}", self.stage.page_error()));
        let faults: Vec<String> = self
            .stage
            .service
            .log()
            .into_iter()
            .filter(|line| line.contains("answered 500") || line.contains("panicked"))
            .collect();
        assert!(faults.is_empty(), "{name}: {faults:?}");
    }

    async fn is_ready(&self) -> bool {
        let url = format!("{}/readyz", self.stage.service.copies[0].management);
        let response = testkit::browser::client().get(url).send().await;
        response.is_ok_and(|response| response.status().is_success())
    }

    async fn until_ready(&self, expected: bool) {
        let is_so = || async { (self.is_ready().await == expected).then_some(()) };
        let waited = testkit::until("/readyz", PATIENCE, is_so).await;
        waited.unwrap_or_else(|why| panic!("{why}\n{}", self.stage.page_error()));
    }
}

/// Waits until every asker has had responses.
async fn a_while() {
    tokio::time::sleep(Duration::from_secs(2)).await;
}

/// OB-1 in good order: the old primary stays reachable, and read-only, through the connections of the pool.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ob_1_a_switch_over_to_a_standby() {
    let Some(scene) = Scene::start().await else {
        return;
    };
    let standby = scene.primary.standby().await.unwrap();
    let load = Load::start(&scene.stage, "switch");
    a_while().await;
    let fault = Instant::now();
    scene.primary.fence().await;
    scene.until_ready(false).await;
    standby.promote().await;
    scene.wire.aim_at_socket(standby.socket());
    let moved = Instant::now();
    a_while().await;
    a_while().await;
    let answers = load.end().await;
    let report = judge(&answers, fault, moved.min(fault + OUTAGE));
    println!(
        "switch-over: {}",
        report.unwrap_or_else(|why| panic!("{why}\n{}", scene.stage.page_error()))
    );
    scene.until_ready(true).await;
    scene.settle("switch-over", &answers).await;
}

/// OB-1 by a crash: the primary is killed, and its standby takes over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ob_1_a_killed_primary_and_its_standby() {
    let Some(scene) = Scene::start().await else {
        return;
    };
    let standby = scene.primary.standby().await.unwrap();
    let load = Load::start(&scene.stage, "kill");
    a_while().await;
    let fault = Instant::now();
    scene.primary.kill();
    scene.until_ready(false).await;
    standby.promote().await;
    scene.wire.aim_at_socket(standby.socket());
    let moved = Instant::now();
    a_while().await;
    let answers = load.end().await;
    let report = judge(&answers, fault, moved.min(fault + OUTAGE));
    println!(
        "kill: {}",
        report.unwrap_or_else(|why| panic!("{why}\n{}", scene.stage.page_error()))
    );
    scene.settle("kill", &answers).await;
}

/// OB-1 where the primary's machine vanishes: its connections fall silent, and nothing closes them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ob_1_a_primary_that_falls_silent() {
    let Some(scene) = Scene::start().await else {
        return;
    };
    let standby = scene.primary.standby().await.unwrap();
    let load = Load::start(&scene.stage, "silent");
    a_while().await;
    let fault = Instant::now();
    scene.wire.mute();
    scene.primary.kill();
    standby.promote().await;
    scene.wire.aim_at_socket(standby.socket());
    for _ in 0..7 {
        a_while().await;
    }
    let answers = load.end().await;
    // What was sent into the silence is given up after nine seconds.
    let silent = Duration::from_secs(10);
    let report = judge(&answers, fault + silent, fault + silent);
    println!(
        "silence: {}",
        report.unwrap_or_else(|why| panic!("{why}\n{}", scene.stage.page_error()))
    );
    scene.settle("silence", &answers).await;
}

/// OB-2 under load: nothing fails that is sent after PostgreSQL accepts connections again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ob_2_a_restart_under_load() {
    let Some(scene) = Scene::start().await else {
        return;
    };
    for (name, crash) in [("stop", false), ("crash", true)] {
        let load = Load::start(&scene.stage, name);
        a_while().await;
        let fault = Instant::now();
        if crash {
            scene.primary.kill()
        } else {
            scene.primary.stop().await
        }
        scene.primary.revive().await.unwrap();
        let back = Instant::now();
        a_while().await;
        let answers = load.end().await;
        let report = judge(&answers, fault, back);
        println!(
            "{name}: {}",
            report.unwrap_or_else(|why| panic!("{name}: {why}\n{}", scene.stage.page_error()))
        );
        scene.settle(name, &answers).await;
    }
}

/// OB-2 at night: the pool is full of idle connections when PostgreSQL restarts, and no request noticed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ob_2_a_restart_that_no_request_noticed() {
    let Some(scene) = Scene::start().await else {
        return;
    };
    let load = Load::start(&scene.stage, "before");
    a_while().await;
    let before = load.end().await;
    scene.settle("before", &before).await;
    let fault = Instant::now();
    scene.primary.stop().await;
    scene.primary.revive().await.unwrap();
    let back = Instant::now();
    let load = Load::start(&scene.stage, "after");
    a_while().await;
    let after = load.end().await;
    let report = judge(&after, fault, back);
    println!(
        "idle: {}",
        report.unwrap_or_else(|why| panic!("{why}\n{}", scene.stage.page_error()))
    );
    scene.settle("after", &after).await;
}

#[test]
fn the_judge_sees_a_500_a_long_outage_and_a_late_failure() {
    let start = Instant::now();
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    let answer = |seconds, status| Answer {
        sent: at(seconds),
        came: at(seconds),
        status,
        address: String::new(),
    };
    let mut answers: Vec<Answer> = (0..30).map(|second| answer(second, 202)).collect();
    assert!(judge(&answers, at(2), at(5)).is_ok());
    answers.push(answer(4, 503));
    assert!(judge(&answers, at(2), at(5)).is_ok());
    for (second, status) in [(9, 503), (4, 500), (9, 500)] {
        let mut wrong = answers.clone();
        wrong.push(answer(second, status));
        assert!(judge(&wrong, at(2), at(5)).is_err(), "{status} at {second}");
    }
    let mut long = answers.clone();
    long.push(answer(14, 503));
    let judged = judge(&long, at(2), at(20));
    assert!(
        judged.is_err_and(|why| why.contains("the last 503")),
        "twelve seconds of 503"
    );
    assert!(
        judge(&answers[..3], at(2), at(5)).is_err(),
        "nothing was sent after it"
    );
}
