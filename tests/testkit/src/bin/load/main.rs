//! Load against the built binary. docs/performance.md says what each figure means.
//!
//! `load BINARY [PART…] [--seconds N] [--callers N] [--backend embedded|servers]`, with the parts
//!
//! - `--endpoints`: each endpoint, whole sign-ins by email, and memory;
//! - `--first-start`: from the start on an empty directory to the first response;
//! - `--flood`: code flows beside 200 connections that request emails;
//! - `--connections N`: more connections than can be served, and memory once they are gone;
//! - `--flows N`: memory over so many code flows;
//! - `--accounts N`: code flows and sign-ins beside so many accounts, and beside 10,000;
//! - `--pools`: code flows over pools of several sizes to PostgreSQL.
//!
//! Without a part, the first two. `WRITE=1` puts the tables into docs/performance.md.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a measurement that cannot go on must stop at once and say where"
)]

mod accounts;
mod connections;
mod endpoints;
mod first_start;
mod flood;
mod flows;
mod growth;
mod options;
mod pools;

use std::time::Duration;

use testkit::{
    driver::{
        closed_loop::Window,
        figures::{Figures, percentile},
        report::{cell, whole},
    },
    entree::Backend,
};

use options::{Options, Part};

#[tokio::main]
async fn main() {
    let options = Options::of_arguments(std::env::args().skip(1));
    for part in options.parts.clone() {
        match part {
            Part::Endpoints => endpoints::measure(&options).await,
            Part::FirstStart => first_start::measure(&options).await,
            Part::Flood => flood::measure(&options).await,
            Part::Connections(count) => connections::measure(&options, count).await,
            Part::Flows(count) => flows::measure(&options, count).await,
            Part::Accounts(count) => growth::measure(&options, count).await,
            Part::Pools => pools::measure(&options).await,
        }
    }
}

/// Says that a back end lacks its servers, for a table.
fn not_measured(backend: Backend, missing: &testkit::Missing) -> String {
    format!("{backend:?}: not measured ({missing}).\n")
}

/// A window of the length that was asked for, after a fifth of it to warm up.
fn window(time: Duration) -> Window {
    Window {
        warm: (time / 5).max(Duration::from_millis(500)),
        time,
    }
}

fn ms(times: &[Duration], percent: usize) -> String {
    cell(percentile(times, percent), |ms| {
        if ms < 10.0 {
            format!("{ms:.1}")
        } else {
            whole(ms)
        }
    })
}

/// The reasons for failures, for a line below a table. Without a failure, nothing.
fn failures(what: &str, figures: &Figures) -> String {
    figures
        .failed
        .iter()
        .map(|(why, count)| format!("{what}: {count} failed: `{why}`\n"))
        .collect()
}

fn mib(kib: u64) -> String {
    format!("{} MiB", kib.div_ceil(1024))
}
