//! More connections than can be served: what still gets through, how soon the rest is refused, and memory once they are
//! gone (SP-4, SP-5).

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use testkit::driver::{
    closed_loop::{Window, run},
    figures::{Figures, percentile},
    process,
    provider::{Session, Work},
    report::{Table, caption, publish, ratio, whole},
    subject::{Subject, words},
    worker::Worker,
};

use crate::{failures, mib, ms, not_measured, options::Options, window};

/// The numbers of connections of the runs whose best rate is the measure for all.
const CAPACITY: [usize; 3] = [8, 16, 64];

/// When memory is read after the last connection has closed.
const AFTERWARDS: Duration = Duration::from_secs(30);

/// Users who are signed in; connections share them.
const USERS: usize = 64;

pub(crate) async fn measure(options: &Options, count: usize) {
    let mut served = Table::new([
        "back end",
        "connections",
        "code flows a second",
        "rate / best rate",
        "p50 ms",
        "p99 ms",
        "p99 / best p99",
        "refused with 503",
        "time to 503 (ms), p50",
        "time to 503 (ms), p99",
        "failed",
    ]);
    let mut memory = Table::new([
        "back end",
        "idle",
        "at the peak",
        "30 s after they are gone",
        "more than idle",
        "of it tickets",
    ]);
    let mut notes = String::new();
    for backend in options.backends.iter().copied() {
        match Subject::start(&options.binary, backend).await {
            Ok(subject) => {
                let crowd = Crowd::new(subject, options.time).await;
                let (more, row) = crowd.rows(&mut served, count).await;
                notes.push_str(&more);
                memory.row(row);
            }
            Err(missing) => notes.push_str(&not_measured(backend, &missing)),
        }
    }
    let text = format!(
        "{}\n{} s each. An operation is a whole code flow of two requests; a caller that was refused comes again as \
         Retry-After says. The best is the run of {CAPACITY:?} connections with the highest rate.\n\n{}\n{}\n{notes}",
        caption(&options.binary),
        options.time.as_secs(),
        served.markdown(),
        memory.markdown(),
    );
    publish("connections", &text);
}

struct Crowd {
    subject: Subject,
    sessions: Vec<Session>,
    window: Window,
    idle: u64,
}

impl Crowd {
    async fn new(subject: Subject, time: Duration) -> Self {
        let idle = process::resident_kib(subject.pid());
        let sessions = subject.sessions(USERS).await;
        Self {
            subject,
            sessions,
            window: window(time),
            idle,
        }
    }

    async fn rows(self, table: &mut Table, count: usize) -> (String, [String; 6]) {
        let mut all = Vec::new();
        for connections in CAPACITY {
            all.push((connections, self.run(connections).await));
        }
        process::reset_peak(self.subject.pid());
        all.push((count, self.run(count).await));
        let peak = process::peak_kib(self.subject.pid());
        tokio::time::sleep(AFTERWARDS).await;
        let later = process::resident_kib(self.subject.pid());
        let tickets = self.subject.tickets_kib().await;
        let back_end = words(self.subject.backend);
        let best = all
            .iter()
            .take(CAPACITY.len())
            .map(|(_, figures)| figures)
            .max_by(|a, b| a.rate().total_cmp(&b.rate()))
            .expect("a run within capacity");
        let mut notes = String::new();
        for (connections, figures) in &all {
            table.row(row(back_end, *connections, figures, best));
            notes.push_str(&failures(&format!("{connections} connections"), figures));
        }
        let more = later.saturating_sub(self.idle);
        let memory = [self.idle, peak, later, more, tickets].map(mib);
        let [idle, peak, later, more, tickets] = memory;
        let row = [back_end.to_owned(), idle, peak, later, more, tickets];
        (notes, row)
    }

    /// Runs the load. All callers and their connections are gone when it returns.
    async fn run(&self, connections: usize) -> Figures {
        let mut workers = Vec::new();
        for (number, session) in (0..connections).zip(self.sessions.iter().cycle()) {
            let provider = Arc::clone(&self.subject.provider);
            let worker = Worker::new(provider, Work::CodeFlow, session).await;
            // A network of its own, whatever the service counts as one.
            let from = 0x0d00_0000 + (u32::try_from(number).expect("few") << 8);
            workers.push(worker.expect("a caller").at_address(Ipv4Addr::from(from)));
        }
        run(workers, self.window, &[]).await.1
    }
}

fn row(back_end: &str, connections: usize, figures: &Figures, best: &Figures) -> [String; 11] {
    let p99 = |figures: &Figures| percentile(&figures.done, 99);
    let share = figures.shed_share() * 100.0;
    [
        back_end.to_owned(),
        connections.to_string(),
        whole(figures.rate()),
        ratio(Some(figures.rate()), Some(best.rate())),
        ms(&figures.done, 50),
        ms(&figures.done, 99),
        ratio(p99(figures), p99(best)),
        format!("{share:.0} %"),
        ms(&figures.shed, 50),
        ms(&figures.shed, 99),
        figures.failures().to_string(),
    ]
}
