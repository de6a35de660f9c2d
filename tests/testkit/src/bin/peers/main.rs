//! Entree beside other OpenID providers, on this machine. docs/performance.md says what each figure means.
//!
//! `peers BINARY [--rounds N] [--seconds N] [--connections N] [--only PART,PART]` starts the binary on both back ends
//! and the programs of tests/peers, signs users in at each of them, and has each do the same work in turn, round after
//! round. `--only` names parts of the providers' names. `WRITE=1` puts the tables into docs/performance.md.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measurement that cannot go on must stop at once and say where"
)]

mod goals;
mod options;
mod peer;
mod program;
mod rounds;
mod tables;

use testkit::driver::report::{caption, publish};

#[tokio::main]
async fn main() {
    let options = options::Options::of_arguments(std::env::args().skip(1));
    let (peers, missing) = peer::start_all(&options).await;
    let results = rounds::measure(&peers, &options).await;
    let mut text = format!(
        "{}\n{} connections, medians of {} rounds of {} s each. The first round, which warms up, is not counted.\n\n",
        caption(&options.binary),
        options.connections,
        options.rounds,
        options.time.as_secs(),
    );
    for peer in &peers {
        text.push_str(&format!("- {}: {}\n", peer.provider.name, peer.about));
    }
    for (name, why) in &missing {
        text.push_str(&format!("- {name}: not measured ({why}).\n"));
    }
    text.push_str(&tables::all(&peers, &results));
    publish("peers", &text);
}
