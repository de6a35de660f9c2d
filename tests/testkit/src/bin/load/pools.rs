//! Which pool of connections to PostgreSQL serves best (SP-9): code flows of 64 callers with each size in turn.

use std::{net::Ipv4Addr, sync::Arc};

use testkit::{
    driver::{
        closed_loop::run,
        figures::{Figures, median, percentile},
        provider::{Session, Work},
        report::{Table, caption, cell, publish, ratio, whole},
        subject::Subject,
        worker::Worker,
    },
    entree::Backend,
};

use crate::{failures, not_measured, options::Options, window};

/// Sizes of the pool (`database.max_connections`). The services run side by side, and one works at a time.
const SIZES: [usize; 6] = [2, 4, 8, 16, 32, 64];

/// Rounds, in each of which every size is measured once.
const ROUNDS: usize = 3;

/// More than most of the pools have connections.
const CALLERS: usize = 64;

/// Users who are signed in; callers share them.
const USERS: usize = 16;

pub(crate) async fn measure(options: &Options) {
    let mut subjects = Vec::new();
    for size in SIZES {
        let settings = [("database.max_connections", size.to_string())];
        match Subject::start_with(&options.binary, Backend::Servers, &settings).await {
            Ok(subject) => {
                let sessions = subject.sessions(USERS).await;
                subjects.push((subject, sessions));
            }
            Err(missing) => return println!("{}", not_measured(Backend::Servers, &missing)),
        }
    }
    let mut figures: Vec<Vec<Figures>> = SIZES.iter().map(|_| Vec::new()).collect();
    for round in 0..ROUNDS {
        for turn in 0..SIZES.len() {
            let at = (turn + round) % SIZES.len();
            figures[at].push({
                let (subject, sessions) = &subjects[at];
                phase(options, subject, sessions).await
            });
        }
    }
    let rates: Vec<_> = figures
        .iter()
        .map(|rounds| median(rounds.iter().map(Figures::rate)))
        .collect();
    let best = rates.iter().copied().flatten().reduce(f64::max);
    let mut table = Table::new([
        "connections",
        "code flows a second",
        "to the best",
        "p99 ms",
        "CPU µs",
    ]);
    let mut notes = String::new();
    for ((size, rounds), rate) in SIZES.iter().zip(&figures).zip(rates) {
        let p99 = median(rounds.iter().filter_map(|one| percentile(&one.done, 99)));
        table.row([
            size.to_string(),
            cell(rate, whole),
            ratio(rate, best),
            cell(p99, whole),
            cell(median(rounds.iter().map(Figures::cpu_each)), whole),
        ]);
        for one in rounds {
            notes.push_str(&failures(&format!("{size} connections"), one));
        }
    }
    let text = format!(
        "{}\n{CALLERS} callers, medians of {ROUNDS} rounds of {} s each, all sizes in turn.\n\n{}\n{notes}",
        caption(&options.binary),
        options.time.as_secs(),
        table.markdown()
    );
    publish("pools", &text);
}

async fn phase(options: &Options, subject: &Subject, sessions: &[Session]) -> Figures {
    let mut workers = Vec::new();
    for (number, session) in (0_u32..).zip(sessions.iter().cycle().take(CALLERS)) {
        let provider = Arc::clone(&subject.provider);
        let worker = Worker::new(provider, Work::CodeFlow, session).await;
        // A network of its own for each, so that none waits for another's share of the lane.
        let from = Ipv4Addr::from(0x0d00_0000 + (number << 8));
        workers.push(worker.expect("a caller").at_address(from));
    }
    let watched = &subject.provider.watched;
    run(workers, window(options.time), watched).await.1
}
