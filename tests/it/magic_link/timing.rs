//! A2 and A3: neither time nor a mail server that is away tells anything about an address.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use entree::{
    config::Budget,
    mail::outbox::{CeilingSettings, Worker},
};
use poem::{Request, http::StatusCode};
use tokio::{net::TcpListener, sync::oneshot};

use crate::test_app::TestApp;

/// Two-sided p of the Mann-Whitney test, by the normal approximation with ties.
fn mann_whitney(one: &[f64], two: &[f64]) -> f64 {
    let mut all: Vec<(f64, bool)> = one
        .iter()
        .map(|x| (*x, true))
        .chain(two.iter().map(|x| (*x, false)))
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (n, m) = (one.len() as f64, two.len() as f64);
    let (mut rank_sum, mut ties, mut begin) = (0.0, 0.0, 0);
    while begin < all.len() {
        let end = begin
            + all[begin..]
                .iter()
                .take_while(|x| x.0 == all[begin].0)
                .count();
        let rank = (begin + end + 1) as f64 / 2.0;
        rank_sum += rank * all[begin..end].iter().filter(|x| x.1).count() as f64;
        ties += ((end - begin) as f64).powi(3) - (end - begin) as f64;
        begin = end;
    }
    let u = rank_sum - n * (n + 1.0) / 2.0;
    let spread = (n * m / 12.0 * ((n + m + 1.0) - ties / ((n + m) * (n + m - 1.0)))).sqrt();
    erfc((u - n * m / 2.0).abs() / spread / std::f64::consts::SQRT_2)
}

/// Abramowitz and Stegun 7.1.26; within 1.5e-7.
fn erfc(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let terms = [
        1.061_405_429,
        -1.453_152_027,
        1.421_413_741,
        -0.284_496_736,
        0.254_829_592,
    ];
    terms.into_iter().fold(0.0, |sum, term| (sum + term) * t) * (-x * x).exp()
}

fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// Returns whether two samples, in milliseconds, differ as A2 defines it.
fn differ(one: &[f64], two: &[f64]) -> bool {
    (median(one) - median(two)).abs() > 2.0 || mann_whitney(one, two) <= 0.01
}

#[test]
fn a_2_the_measure_finds_a_difference_and_invents_none() {
    // A fixed sequence that spreads evenly over 0..1.
    let spread = |n: usize, add: f64| -> Vec<f64> {
        (0..n)
            .map(|i| (i as f64 * 0.618_033_988_75).fract().powi(3) * 5.0 + 1.0 + add)
            .collect()
    };
    assert!(!differ(&spread(2000, 0.0), &spread(1999, 0.0)));
    assert!(
        differ(&spread(2000, 0.0), &spread(2000, 0.05)),
        "0.05 ms more"
    );
    let (one, two) = ([1.0, 2.0, 3.0, 4.0, 5.0], [6.0, 7.0, 8.0, 9.0, 10.0]);
    let p = mann_whitney(&one, &two);
    assert!((p - 0.009_02).abs() < 1e-4, "z = 2.611: {p}");
}

const SAMPLES: usize = 2000;

/// How long each of two addresses takes, in turns, the first of each pair in turns too.
async fn sample(test_app: &TestApp, known: &str, unknown: &str) -> [Vec<f64>; 2] {
    let mut requester = test_app.browser();
    let login = requester.open("/login").await;
    let form = login.form("sign-in");
    let mut arms = [Vec::with_capacity(SAMPLES), Vec::with_capacity(SAMPLES)];
    for n in 0..SAMPLES + 20 {
        for turn in 0..2 {
            let arm = (n + turn) % 2;
            let request = requester.filled(&login, &form, &[("email", [known, unknown][arm])]);
            let began = Instant::now();
            let answer = test_app.call(request).await;
            let took = began.elapsed().as_secs_f64() * 1e3;
            assert_eq!(answer.status, StatusCode::SEE_OTHER);
            if n >= 20 {
                arms[arm].push(took);
            }
        }
    }
    arms
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_2_known_and_unknown_take_the_same_time() {
    let test_app = TestApp::embedded().await;
    test_app.browser().sign_in("known@example.com").await;
    test_app.configure(|config| {
        let much = vec![Budget {
            count: 1_000_000,
            seconds: 900,
        }];
        config.limits.address = much.clone();
        config.limits.domain = much.clone();
        config.limits.network_address = much.clone();
        config.limits.network = much;
    });
    // Equal arms fail once in a hundred: two failures are red.
    for repeat in 0..2 {
        let [known, unknown] = sample(&test_app, "known@example.com", "other@example.com").await;
        if !differ(&known, &unknown) {
            return;
        }
        let (a, b, p) = (
            median(&known),
            median(&unknown),
            mann_whitney(&known, &unknown),
        );
        eprintln!("run {repeat}: medians {a:.3} and {b:.3} ms, p {p:.5}");
    }
    panic!("the response times of known and unknown addresses differ");
}

/// A mail server that takes connections and says nothing.
async fn mute() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, count) = (
        listener.local_addr().unwrap().port(),
        Arc::new(AtomicUsize::new(0)),
    );
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            kept.push(stream);
        }
    });
    (port, count)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_3_a_request_waits_for_no_mail_server() {
    let (port, calls) = mute().await;
    let test_app = TestApp::embedded_with(|config| {
        config.startup.mail.transport = entree::config::MailTransport::Smtp;
        config.startup.mail.tls = entree::config::SmtpTls::None;
        config.startup.mail.from = "Entree <login@id.test>".to_owned();
        config.startup.mail.port = port;
        let much = vec![Budget {
            count: 1_000_000,
            seconds: 900,
        }];
        config.reloadable.limits.network = much;
    })
    .await;
    let mut requester = test_app.browser();
    let login = requester.open("/login").await;
    let form = login.form("sign-in");
    let ask =
        |n: usize| requester.filled(&login, &form, &[("email", &format!("n{n}@example.com"))]);
    for n in 0..20 {
        assert_eq!(test_app.call(ask(n)).await.status, StatusCode::SEE_OTHER);
    }
    assert_eq!(
        calls.load(Ordering::Relaxed),
        0,
        "without the worker no connection to the mail server is opened"
    );

    let worker = Worker {
        db: test_app.app.db.clone(),
        composer: Arc::new(entree::magic_link::composer::EmailComposer {
            app: test_app.app.clone(),
        }),
        transport: test_app.transport.clone(),
        handover: Arc::clone(&test_app.app.outbox),
        concurrency: 8,
        waiting_connections: 32,
        ceiling: CeilingSettings {
            least: 1_000_000,
            times_normal: 20,
        },
        drain: Duration::ZERO,
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let working = tokio::spawn(worker.run(async { drop(stopped.await) }));
    // Each request is paired with one to a service that sends no email: a busy machine delays both.
    let quiet = TestApp::embedded_with(|config| {
        config.reloadable.limits.network = vec![Budget {
            count: 1_000_000,
            seconds: 900,
        }];
    })
    .await;
    let mut other = quiet.browser();
    let (page, mut runs) = (other.open("/login").await, Vec::new());
    let form_there = page.form("sign-in");
    let ask_there = |n: usize| {
        other.filled(
            &page,
            &form_there,
            &[("email", &format!("n{n}@example.com"))],
        )
    };
    let timed = async |test_app: &TestApp, request: Request| {
        let began = Instant::now();
        assert_eq!(test_app.call(request).await.status, StatusCode::SEE_OTHER);
        began.elapsed()
    };
    let good =
        |(p99, beside): &(Duration, Duration)| *p99 <= (3 * *beside).max(Duration::from_millis(50));
    while runs.len() < 3 && !runs.iter().any(good) {
        let (mut took, mut beside) = (Vec::new(), Vec::new());
        for n in 0..500 {
            let n = 1000 * (runs.len() + 1) + n;
            took.push(timed(&test_app, ask(n)).await);
            beside.push(timed(&quiet, ask_there(n)).await);
        }
        took.sort();
        beside.sort();
        assert!(
            took[499] < Duration::from_secs(5),
            "a request waited for the mail server: {:?}",
            took[499]
        );
        runs.push((took[494], beside[494]));
    }
    assert!(
        calls.load(Ordering::Relaxed) > 0,
        "the worker met the mute server"
    );
    assert!(
        runs.iter().any(good),
        "p99 with a mail server that says nothing, and with none to ask: {runs:?}"
    );
    stop.send(()).unwrap();
    working.await.unwrap();
}
