//! Memory over many code flows in one process (SP-5).

use std::{sync::Arc, time::Duration};

use testkit::{
    Missing,
    driver::{
        closed_loop::{Window, run},
        process,
        provider::Work,
        report::{Table, caption, publish, whole},
        subject::{Subject, words},
        worker::Worker,
    },
    entree::Backend,
};

use crate::{mib, not_measured, options::Options};

/// How often memory is read.
const SLICE: Window = Window {
    warm: Duration::ZERO,
    time: Duration::from_secs(2),
};

pub(crate) async fn measure(options: &Options, count: usize) {
    let mut table = Table::new([
        "back end",
        "code flows",
        "idle",
        "after half of them",
        "after all",
        "growth of the second half",
        "of it tickets",
    ]);
    let mut notes = String::new();
    for backend in options.backends.iter().copied() {
        match flows(options, backend, count).await {
            Ok(row) => table.row(row),
            Err(missing) => notes.push_str(&not_measured(backend, &missing)),
        }
    }
    let caption = caption(&options.binary);
    publish(
        "flows",
        &format!("{caption}\n\n{}\n{notes}", table.markdown()),
    );
}

async fn flows(options: &Options, backend: Backend, count: usize) -> Result<[String; 7], Missing> {
    let subject = Subject::start(&options.binary, backend).await?;
    let pid = subject.pid();
    let idle = process::resident_kib(pid);
    let mut workers = Vec::new();
    for session in &subject.sessions(options.callers).await {
        let provider = Arc::clone(&subject.provider);
        let worker = Worker::new(provider, Work::CodeFlow, session).await;
        workers.push(worker.expect("a caller"));
    }
    let (mut done, mut half) = (0, None);
    while done < count {
        let (back, figures) = run(workers, SLICE, &[]).await;
        workers = back;
        assert!(
            !figures.done.is_empty(),
            "no flow ends: {:?}",
            figures.failed
        );
        done += figures.done.len();
        if done * 2 >= count && half.is_none() {
            half = Some((process::resident_kib(pid), subject.tickets_kib().await));
        }
    }
    let (half, tickets) = half.unwrap_or_default();
    let end = process::resident_kib(pid);
    let tickets = subject.tickets_kib().await.saturating_sub(tickets);
    #[allow(clippy::cast_precision_loss, reason = "a count of flows")]
    let flows = whole(done as f64);
    let growth = end.saturating_sub(half);
    let [idle, half, end, growth, tickets] = [idle, half, end, growth, tickets].map(mib);
    let name = words(backend).to_owned();
    Ok([name, flows, idle, half, end, growth, tickets])
}
