//! The tables of a run.

use testkit::driver::{
    figures::Figures,
    provider::Work,
    report::{Table, cell, whole},
};

use crate::{
    goals,
    peer::{Peer, WORKS},
    rounds::Results,
};

/// A figure of one provider and one kind of work, as it stands in a table.
type Cell<'a> = &'a dyn Fn(&Peer, Work) -> String;

pub(crate) fn all(peers: &[Peer], results: &Results) -> String {
    let median = |peer: &Peer, work: Work, figure: &dyn Fn(&Figures) -> f64| {
        results.median(&peer.provider.name, work, figure)
    };
    let cpu = |peer: &Peer, work: Work| {
        let all = cell(median(peer, work, &Figures::cpu_each), whole);
        if peer.provider.watched.len() == 1 || all == "–" {
            return all;
        }
        let server = median(peer, work, &|figures| figures.cpu_each_of("server"));
        format!("{all} ({})", cell(server, whole))
    };
    let rate = |peer: &Peer, work: Work| cell(median(peer, work, &Figures::rate), whole);
    let driver = |peer: &Peer, work: Work| cell(median(peer, work, &Figures::driver_each), whole);
    let faults = match results.faults.as_slice() {
        [] => "No operation failed.\n".to_owned(),
        faults => faults.iter().map(|fault| format!("- {fault}\n")).collect(),
    };
    format!(
        "\n### CPU µs an operation, in brackets of the provider's process alone\n\n{}\n\
         ### Operations a second\n\n{}\n### CPU µs an operation of the driver, which is in none of the above\n\n{}\n\
         ### Goals\n\n{}\n{faults}",
        table(peers, &cpu).markdown(),
        table(peers, &rate).markdown(),
        table(peers, &driver).markdown(),
        goals::table(results).markdown(),
    )
}

fn table(peers: &[Peer], figure: Cell<'_>) -> Table {
    let names = peers.iter().map(|peer| peer.provider.name.as_str());
    let mut table = Table::new(std::iter::once("work").chain(names));
    for work in WORKS {
        let cells = peers.iter().map(|peer| figure(peer, work));
        table.row(std::iter::once(work.name().to_owned()).chain(cells));
    }
    table
}
