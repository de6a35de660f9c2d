//! G1: the service is killed with SIGKILL at many moments while users request emails. Every request that got a response
//! gets an email, and at most one more than it asked for.
//!
//! `CRASHES` says how often (5 if unset). The moments come from the number of the kill, spread
//! over the time that a request and its mail take.
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

#[path = "crash/logout.rs"]
mod logout;
#[allow(dead_code, reason = "shared with the request tests")]
#[path = "it/service.rs"]
mod service;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use service::{CLIENT, Stage, fresh_network};
use testkit::{
    entree::{Backend, Options},
    mail::Mailbox as _,
};

/// How many ask at the same time.
const ASKERS: usize = 4;

/// Leases of a killed worker run out after a minute; then another takes its mails.
const PATIENCE: Duration = Duration::from_secs(150);

/// For how long kills go on before every mail must be on record as sent. A lease that a kill left behind runs out after
/// a minute, and a second kill just when its mail is sent again would rightly double it twice.
const STRETCH: Duration = Duration::from_secs(40);

fn crashes() -> usize {
    std::env::var("CRASHES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(5)
}

/// Judges how many mails came to each address that was answered: one, or two if a kill fell between the mail server's
/// answer and its record.
fn judge(mails: &BTreeMap<String, usize>) -> Result<usize, String> {
    let lost: Vec<_> = mails
        .iter()
        .filter(|(_, count)| **count == 0)
        .map(|(address, _)| address)
        .collect();
    let many: Vec<_> = mails
        .iter()
        .filter(|(_, count)| **count > 2)
        .map(|(address, _)| address)
        .collect();
    if lost.is_empty() && many.is_empty() {
        return Ok(mails.values().filter(|count| **count == 2).count());
    }
    Err(format!("lost: {lost:?}; more than one double: {many:?}"))
}

/// Asks for mails to new addresses until the service is gone; gives those that were answered.
async fn ask(url: String, name: String, count: Arc<AtomicUsize>) -> Vec<String> {
    let http = testkit::browser::client();
    let mut answered = Vec::new();
    for number in 0.. {
        let address = format!("{name}-{number}@example.test");
        let body = serde_json::json!({
            "client_id": CLIENT,
            "email": address,
            "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
            "code_challenge_method": "S256",
        });
        let request = http
            .post(&url)
            .header("x-forwarded-for", fresh_network().to_string())
            .json(&body);
        match request.send().await.map(|answer| answer.status().as_u16()) {
            Ok(202) => {
                answered.push(address);
                count.fetch_add(1, SeqCst);
            }
            Ok(503) => {}
            Ok(status) => panic!("answered {status}"),
            Err(_) => break,
        }
    }
    answered
}

/// Waits until every mail has come. Who is still missing is said by the judge.
async fn all_come(stage: &Stage, answered: &[String]) {
    let all_came = || async {
        for address in answered {
            if stage.post.all(address).await.is_empty() {
                return None;
            }
        }
        Some(())
    };
    let _ = testkit::until("every mail", PATIENCE, all_came).await;
}

async fn crash(backend: Backend, name: &str) {
    let Some(mut stage) = Stage::start(backend, Options::without_limits).await else {
        return;
    };
    let (mut answered, mut stretch) = (Vec::new(), Instant::now());
    for round in 0..crashes() {
        let url = stage.service.at("/api/v1/auth/magic-link/request");
        let count = Arc::new(AtomicUsize::new(0));
        let asker = |asker| {
            ask(
                url.clone(),
                format!("{name}-{round}-{asker}"),
                Arc::clone(&count),
            )
        };
        let askers: Vec<_> = (0..ASKERS)
            .map(|number| tokio::spawn(asker(number)))
            .collect();
        let busy = || async { (count.load(SeqCst) >= ASKERS).then_some(()) };
        testkit::until("the first answers", PATIENCE, busy)
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(20 + (round as u64 * 37) % 240)).await;
        for copy in &stage.service.copies {
            copy.kill();
        }
        for asker in askers {
            answered.extend(asker.await.unwrap());
        }
        stage.service.restart(&[]).await;
        if stretch.elapsed() > STRETCH {
            let service = &stage.service;
            let recorded = || async {
                let (asked, sent) = (
                    service.audited("magic_link.requested"),
                    service.audited("magic_link.sent"),
                );
                (sent.await >= asked.await).then_some(())
            };
            testkit::until("every mail on record", PATIENCE, recorded)
                .await
                .unwrap();
            stretch = Instant::now();
        }
    }
    assert!(
        answered.len() > crashes(),
        "only {} requests were answered: nothing was tested",
        answered.len()
    );
    all_come(&stage, &answered).await;
    let mut mails = BTreeMap::new();
    for address in &answered {
        mails.insert(address.clone(), stage.post.all(address).await.len());
    }
    let doubled = judge(&mails).unwrap_or_else(|why| panic!("{why}"));
    println!(
        "{name}: {} kills, {} requests answered, 0 lost, {doubled} doubled",
        crashes(),
        mails.len()
    );
    assert!(
        !stage
            .service
            .log()
            .iter()
            .any(|line| line.contains("panicked")),
        "no panic"
    );
}

/// X1: SIGKILL at random moments.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g_1_kill_nine_loses_no_email_on_the_embedded_default() {
    crash(Backend::Embedded, "embedded").await;
}

/// X1: SIGKILL at random moments.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g_1_kill_nine_loses_no_email_on_postgres_and_redis() {
    crash(Backend::Servers, "servers").await;
}

#[test]
fn a_lost_email_and_a_third_one_are_seen() {
    let of = |counts: &[usize]| {
        counts
            .iter()
            .enumerate()
            .map(|(at, count)| (at.to_string(), *count))
            .collect()
    };
    assert_eq!(judge(&of(&[1, 2, 1])), Ok(1));
    assert!(judge(&of(&[1, 0])).is_err() && judge(&of(&[3, 1])).is_err());
}
