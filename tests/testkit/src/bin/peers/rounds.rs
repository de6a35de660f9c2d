//! Rounds: in each, every provider does every kind of work once, one after the other.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use testkit::driver::{
    closed_loop::{Window, run},
    figures::{Figures, median},
    provider::Work,
    worker::Worker,
};

use crate::{
    options::Options,
    peer::{Peer, WORKS},
};

/// What is done before anything counts, each time.
const WARM: Duration = Duration::from_secs(1);

/// The figures of all rounds that count, and what could not be measured.
#[derive(Default)]
pub(crate) struct Results {
    rounds: BTreeMap<(String, Work), Vec<Figures>>,
    pub(crate) faults: Vec<String>,
}

impl Results {
    /// The median of a figure over all rounds. None: it was not measured.
    pub(crate) fn median(
        &self,
        provider: &str,
        work: Work,
        figure: impl Fn(&Figures) -> f64,
    ) -> Option<f64> {
        let rounds = self.rounds.get(&(provider.to_owned(), work))?;
        median(rounds.iter().map(figure))
    }

    fn add(&mut self, provider: &str, work: Work, figures: Figures) {
        for (why, count) in &figures.failed {
            self.faults.push(format!(
                "{provider}, {}: {count} failed: `{why}`",
                work.name()
            ));
        }
        let all = self.rounds.entry((provider.to_owned(), work)).or_default();
        all.push(figures);
    }
}

/// Which provider does which work, in order. Each round begins with another provider, so that none always follows the
/// same one.
fn schedule(rounds: usize, providers: usize) -> Vec<(usize, Work, usize)> {
    let mut order = Vec::new();
    for round in 0..rounds {
        for work in WORKS {
            order.extend((0..providers).map(|at| (round, work, (round + at) % providers)));
        }
    }
    order
}

/// Measures all providers. The first round, which warms up, is not counted.
pub(crate) async fn measure(peers: &[Peer], options: &Options) -> Results {
    let mut results = Results::default();
    for (round, work, at) in schedule(options.rounds + 1, peers.len()) {
        let peer = &peers[at];
        if !peer.works.contains(&work) {
            continue;
        }
        let name = &peer.provider.name;
        match one(peer, work, options.time).await {
            Ok(figures) => {
                eprintln!(
                    "round {round}: {name}, {}: {:.0} a second, {:.0} µs",
                    work.name(),
                    figures.rate(),
                    figures.cpu_each()
                );
                if round > 0 {
                    results.add(name, work, figures);
                }
            }
            Err(why) => results
                .faults
                .push(format!("{name}, {}: {why}", work.name())),
        }
    }
    results.faults.sort();
    results.faults.dedup();
    results
}

async fn one(peer: &Peer, work: Work, time: Duration) -> Result<Figures, String> {
    let mut workers = Vec::new();
    for session in &peer.sessions {
        workers.push(Worker::new(Arc::clone(&peer.provider), work, session).await?);
    }
    let window = Window { warm: WARM, time };
    Ok(run(workers, window, &peer.provider.watched).await.1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// SP-7: rounds are interleaved. No provider does a kind of work again before all others have done it, and each
    /// goes first in some round.
    #[test]
    fn sp_7_every_provider_does_the_same_work_in_turn() {
        let (rounds, providers) = (4, 3);
        let order = schedule(rounds, providers);
        assert_eq!(order.len(), rounds * WORKS.len() * providers);
        let mut first = BTreeSet::new();
        for turn in order.chunks(providers) {
            let (round, work, leader) = turn[0];
            let who: BTreeSet<usize> = turn.iter().map(|(_, _, at)| *at).collect();
            assert_eq!(who.len(), providers, "{turn:?}");
            assert!(turn.iter().all(|(r, w, _)| (*r, *w) == (round, work)));
            first.insert(leader);
        }
        assert_eq!(first.len(), providers);
    }

    #[test]
    fn medians_are_of_the_rounds_of_one_provider_and_one_work() {
        let mut results = Results::default();
        for seconds in [1, 2, 9] {
            let figures = Figures {
                done: vec![Duration::ZERO; 18],
                wall: Duration::from_secs(seconds),
                ..Figures::default()
            };
            results.add("a", Work::Refresh, figures);
        }
        let rate = |name: &str, work: Work| results.median(name, work, Figures::rate);
        assert_eq!(rate("a", Work::Refresh), Some(9.0));
        assert_eq!(rate("a", Work::Userinfo), None);
        assert_eq!(rate("b", Work::Refresh), None);
    }
}
