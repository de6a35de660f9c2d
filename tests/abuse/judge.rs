//! What each attack must have come to. The judge knows nothing of the service.

use std::{collections::BTreeSet, time::Duration};

/// How long an innocent may take to be signed in: 15 s. A build without optimization, with the attackers on the same
/// cores, needs about twice as long for the same work.
pub(crate) fn within() -> Duration {
    Duration::from_secs(if is_optimized() { 15 } else { 30 })
}

/// Whether the service under attack is a release build. `ENTREE_BUILD=release` says so of the binary that
/// `ENTREE_BIN` names.
pub(crate) fn is_optimized() -> bool {
    match std::env::var("ENTREE_BUILD") {
        Ok(build) => build == "release",
        Err(_) => !cfg!(debug_assertions),
    }
}

/// How one innocent's sign-in went.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// The way of signing in, such as `known device`.
    pub(crate) way: &'static str,
    pub(crate) took: Duration,
    /// What kept the person out.
    pub(crate) result: Result<(), String>,
}

/// What an attack measured.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    /// The rule and the attack, such as `OA-1, 10 networks`.
    pub(crate) attack: String,
    pub(crate) back_end: &'static str,
    /// From how many networks the attackers came.
    pub(crate) networks: usize,
    /// How many requests, connections or streams of theirs the service received.
    pub(crate) requests: usize,
    pub(crate) innocents: Vec<Outcome>,
    /// The most memory that the process had resident during the attack, in MiB.
    pub(crate) peak_mib: u64,
    /// What the rule bounds: rows, emails, codes.
    pub(crate) left: Left,
    /// Lines of the log that report a fault of the service.
    pub(crate) faults: Vec<String>,
}

/// A number that a rule bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Left {
    pub(crate) count: i64,
    /// What is counted, such as `audit rows`.
    pub(crate) of: &'static str,
}

/// What an attack must at least have done, and what it may at most have come to.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    pub(crate) networks: usize,
    pub(crate) requests: usize,
    /// The ways in which innocents must have signed in.
    pub(crate) ways: Vec<&'static str>,
    pub(crate) peak_mib: u64,
    /// The most that may be left of what the rule bounds.
    pub(crate) left: i64,
}

/// Each innocent was signed in in time ([`within`]), in every way of the bounds, while an attack of this size ran;
/// memory and what the rule bounds stayed within theirs, and the service reports no fault.
pub(crate) fn judge(measured: &Measured, bounds: &Bounds) -> Result<(), String> {
    let mut wrong = Vec::new();
    if measured.networks < bounds.networks || measured.requests < bounds.requests {
        wrong.push(format!(
            "not much of an attack: {} requests from {} networks",
            measured.requests, measured.networks
        ));
    }
    let seen: BTreeSet<&str> = measured.innocents.iter().map(|one| one.way).collect();
    for way in bounds.ways.iter().filter(|way| !seen.contains(*way)) {
        wrong.push(format!("no innocent signed in by: {way}"));
    }
    if measured.innocents.is_empty() {
        wrong.push("no innocent".to_owned());
    }
    for one in &measured.innocents {
        match &one.result {
            Err(why) => wrong.push(format!("kept out, {}: {why}", one.way)),
            Ok(()) if one.took > within() => {
                wrong.push(format!("late, {}: {:?}", one.way, one.took));
            }
            Ok(()) => {}
        }
    }
    if measured.peak_mib > bounds.peak_mib {
        wrong.push(format!("{} MiB resident", measured.peak_mib));
    }
    if measured.left.count > bounds.left {
        wrong.push(format!(
            "left: {} {}",
            measured.left.count, measured.left.of
        ));
    }
    wrong.extend(measured.faults.iter().take(3).cloned());
    if wrong.is_empty() {
        return Ok(());
    }
    wrong.truncate(12);
    Err(format!(
        "{} on {}:\n  {}",
        measured.attack,
        measured.back_end,
        wrong.join("\n  ")
    ))
}

/// The time within which 95 % of the innocents who were signed in got there.
pub(crate) fn p95(innocents: &[Outcome]) -> Duration {
    let mut all: Vec<Duration> = innocents
        .iter()
        .filter(|one| one.result.is_ok())
        .map(|one| one.took)
        .collect();
    all.sort_unstable();
    let at = (all.len() * 95).div_ceil(100).max(1) - 1;
    all.get(at).copied().unwrap_or_default()
}

/// How many of the innocents were signed in.
pub(crate) fn signed_in(innocents: &[Outcome]) -> usize {
    innocents.iter().filter(|one| one.result.is_ok()).count()
}
