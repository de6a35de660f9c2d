//! A fixed number of callers, each of which sends one request after the other.
//!
//! A slow response also slows its caller, so p99 is that of this load and of no other.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use super::{
    figures::{Figures, Outcome, Samples},
    process::{self, Watched},
};

/// The longest pause that a caller makes after a refusal.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// One connection with its work.
pub trait Caller: Send + 'static {
    /// Does the work once.
    fn operate(&mut self) -> impl Future<Output = Outcome> + Send;
}

/// How long a run lasts.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// What is done before anything counts.
    pub warm: Duration,
    pub time: Duration,
}

/// What the callers may know of the run.
#[derive(Debug, Default)]
struct Gate {
    counts: AtomicBool,
    is_over: AtomicBool,
}

/// Has all callers work at once until the time is over; returns them, with what the run has shown.
pub async fn run<C: Caller>(
    callers: Vec<C>,
    window: Window,
    watched: &[Watched],
) -> (Vec<C>, Figures) {
    let gate = Arc::new(Gate::default());
    let mut tasks = JoinSet::new();
    for caller in callers {
        tasks.spawn(work(caller, Arc::clone(&gate)));
    }
    tokio::time::sleep(window.warm).await;
    let (before, driver) = (process::cpu_of(watched), process::own_cpu());
    let begin = Instant::now();
    gate.counts.store(true, Ordering::Relaxed);
    tokio::time::sleep(window.time).await;
    gate.counts.store(false, Ordering::Relaxed);
    let mut figures = Figures {
        wall: begin.elapsed(),
        driver: process::own_cpu().saturating_sub(driver),
        ..Figures::default()
    };
    let after = process::cpu_of(watched);
    let used = after.iter().zip(before).zip(watched);
    figures.cpu = used
        .map(|((after, before), one)| (one.name, after.saturating_sub(before)))
        .collect();
    gate.is_over.store(true, Ordering::Relaxed);
    let mut callers = Vec::new();
    for (caller, samples) in tasks.join_all().await {
        callers.push(caller);
        figures.absorb(samples);
    }
    figures.sort();
    (callers, figures)
}

async fn work<C: Caller>(mut caller: C, gate: Arc<Gate>) -> (C, Samples) {
    let mut samples = Samples::default();
    while !gate.is_over.load(Ordering::Relaxed) {
        let begin = Instant::now();
        let outcome = caller.operate().await;
        let pause = match &outcome {
            Outcome::Done => Duration::ZERO,
            Outcome::Shed { pause, .. } => (*pause).min(LONGEST_PAUSE),
            // A service that is away must not have its callers take all of the processor.
            Outcome::Failed(_) => Duration::from_millis(5),
        };
        if gate.counts.load(Ordering::Relaxed) {
            samples.add(outcome, begin.elapsed());
        }
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
    (caller, samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Opens the gate for its third to sixth operation, and ends the run with its eighth.
    struct Scripted {
        gate: Arc<Gate>,
        operations: usize,
    }

    impl Caller for Scripted {
        async fn operate(&mut self) -> Outcome {
            self.operations += 1;
            let counts = (3..=6).contains(&self.operations);
            self.gate.counts.store(counts, Ordering::Relaxed);
            let is_over = self.operations == 8;
            self.gate.is_over.store(is_over, Ordering::Relaxed);
            match self.operations {
                3 => Outcome::Failed("500".to_owned()),
                4 => Outcome::Shed {
                    took: Duration::ZERO,
                    pause: Duration::from_millis(1),
                },
                _ => Outcome::Done,
            }
        }
    }

    #[tokio::test]
    async fn only_what_ends_in_the_window_counts() {
        let gate = Arc::new(Gate::default());
        let caller = Scripted {
            gate: Arc::clone(&gate),
            operations: 0,
        };
        let (caller, samples) = work(caller, gate).await;
        let mut figures = Figures::default();
        figures.absorb(samples);
        assert_eq!(caller.operations, 8);
        assert_eq!((figures.done.len(), figures.shed.len()), (2, 1));
        assert_eq!(figures.failed.get("500"), Some(&1));
    }
}
