//! OA-15: attacks by strangers, from outside, against the built binary on both back ends. While they do
//! their worst, innocents sign in, and each of them must be signed in in time ([`judge`]).
//!
//! An attack is a function that returns what it measured; the judges know nothing of the service.
//! `planted` shows that they see bad measurements, `off` that they see a service whose rule cannot bind.
//! Networks of attackers are addresses that a trusted proxy forwards ([`crowd::network`]), or, where
//! connections count, loopback addresses. `ABUSE=full` runs the long form, and `WRITE=1` puts the figures
//! into `docs/reliability.md`.
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

mod ceiling;
mod connections;
mod crowd;
mod delivery;
mod figures;
mod http2;
mod judge;
mod known_devices;
mod lanes;
mod neighbours;
mod off;
mod one_victim;
mod people;
mod planted;
mod proxy;
mod relay;
mod rows;
mod stage;
mod streams;
mod ticket_store;
mod unfinished;

/// Whether the long form runs.
fn is_full() -> bool {
    std::env::var("ABUSE").is_ok_and(|form| form == "full")
}

/// The size of an attack: `short` in the layer of every build, `full` in `make abuse`.
fn size(short: usize, full: usize) -> usize {
    if is_full() { full } else { short }
}
