//! Code flows and sign-ins beside many accounts, and beside few, in turn (SP-8).

use std::sync::Arc;

use testkit::{
    Missing,
    driver::{
        closed_loop::{Caller, run},
        email_sign_in::People,
        figures::{Figures, median, percentile},
        provider::{Session, Work},
        report::{Table, caption, cell, publish, ratio, whole},
        subject::{Subject, words},
        worker::Worker,
    },
    entree::Backend,
};

use crate::{accounts, failures, not_measured, options::Options, window};

/// What the larger number is compared with.
const FEW: u32 = 10_000;

/// Rounds, in each of which both services are measured.
const ROUNDS: usize = 5;

pub(crate) async fn measure(options: &Options, many: u32) {
    let mut table = Table::new([
        "back end".to_owned(),
        "work".to_owned(),
        format!("CPU µs, {} accounts", whole(f64::from(FEW))),
        format!("{} accounts", whole(f64::from(many))),
        "ratio".to_owned(),
        format!("p99 ms, {} accounts", whole(f64::from(FEW))),
        format!("{} accounts", whole(f64::from(many))),
        "ratio".to_owned(),
    ]);
    let mut notes = String::new();
    for backend in options.backends.iter().copied() {
        match Pair::start(options, backend, many).await {
            Ok(pair) => notes.push_str(&pair.rows(&mut table).await),
            Err(missing) => notes.push_str(&not_measured(backend, &missing)),
        }
    }
    let text = format!(
        "{}\n{} callers, medians of {ROUNDS} rounds of {} s each, both services in turn.\n\n{}\n{notes}",
        caption(&options.binary),
        options.callers,
        options.time.as_secs(),
        table.markdown()
    );
    publish("accounts", &text);
}

/// A service with generated accounts.
struct Populated {
    subject: Subject,
    sessions: Vec<Session>,
    count: u32,
}

struct Pair<'a> {
    options: &'a Options,
    both: [Populated; 2],
}

impl<'a> Pair<'a> {
    async fn start(options: &'a Options, backend: Backend, many: u32) -> Result<Self, Missing> {
        let few = Populated::start(options, backend, FEW).await?;
        let many = Populated::start(options, backend, many).await?;
        Ok(Self {
            options,
            both: [few, many],
        })
    }

    async fn rows(&self, table: &mut Table) -> String {
        let (mut flows, mut sign_ins) = ([vec![], vec![]], [vec![], vec![]]);
        let mut notes = String::new();
        for round in 0..ROUNDS {
            // The one that was first is second in the next round.
            for at in [round % 2, (round + 1) % 2] {
                let one = &self.both[at];
                let callers = one.workers().await;
                flows[at].push(self.phase(one, "code flow", callers, &mut notes).await);
                let people = People::Known(one.count);
                let callers = (0..self.options.callers)
                    .map(|_| one.subject.email_sign_in(people))
                    .collect();
                sign_ins[at].push(self.phase(one, "sign-in", callers, &mut notes).await);
            }
        }
        let back_end = words(self.both[0].subject.backend);
        table.row(row(back_end, "code flow with a session", &flows));
        table.row(row(back_end, "sign-in by email", &sign_ins));
        notes
    }

    async fn phase<C: Caller>(
        &self,
        of: &Populated,
        name: &str,
        callers: Vec<C>,
        notes: &mut String,
    ) -> Figures {
        let watched = &of.subject.provider.watched;
        let (_, figures) = run(callers, window(self.options.time), watched).await;
        let what = format!("{name}, {} accounts", of.count);
        notes.push_str(&failures(&what, &figures));
        figures
    }
}

impl Populated {
    async fn start(options: &Options, backend: Backend, count: u32) -> Result<Self, Missing> {
        let subject = Subject::start(&options.binary, backend).await?;
        accounts::generate(&subject.database_url(), count).await;
        let sessions = subject.sessions(options.callers).await;
        Ok(Self {
            subject,
            sessions,
            count,
        })
    }

    async fn workers(&self) -> Vec<Worker> {
        let mut workers = Vec::new();
        for session in &self.sessions {
            let provider = Arc::clone(&self.subject.provider);
            let worker = Worker::new(provider, Work::CodeFlow, session).await;
            workers.push(worker.expect("a caller"));
        }
        workers
    }
}

fn row(back_end: &str, work: &str, figures: &[Vec<Figures>; 2]) -> [String; 8] {
    let cpu = figures
        .each_ref()
        .map(|rounds| median(rounds.iter().map(Figures::cpu_each)));
    let p99 = figures.each_ref().map(|rounds| {
        let each = rounds.iter().filter_map(|one| percentile(&one.done, 99));
        median(each)
    });
    let ms = |ms: f64| format!("{ms:.1}");
    [
        back_end.to_owned(),
        work.to_owned(),
        cell(cpu[0], whole),
        cell(cpu[1], whole),
        ratio(cpu[1], cpu[0]),
        cell(p99[0], ms),
        cell(p99[1], ms),
        ratio(p99[1], p99[0]),
    ]
}
