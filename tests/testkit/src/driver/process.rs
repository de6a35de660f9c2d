//! CPU and memory of processes, read from `/proc`.

use std::{collections::BTreeMap, fs, time::Duration};

/// Ticks of a second in `/proc/PID/stat`: on Linux 100 on every machine that we build for.
const TICKS: u32 = 100;

/// A process that is measured, with all that it started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// What it is: `server`, `database`, `tickets`.
    pub name: &'static str,
    pub root: u32,
}

/// CPU time that each of them has used so far, with its children, also with those that have ended.
#[must_use]
pub fn cpu_of(watched: &[Watched]) -> Vec<Duration> {
    let processes = read_all();
    watched
        .iter()
        .map(|one| time_of(ticks_below(&processes, one.root)))
        .collect()
}

/// CPU time that this process has used so far.
#[must_use]
pub fn own_cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    time_of(read_stat(&stat).map_or(0, |process| process.own))
}

/// Resident memory now, in KiB.
#[must_use]
pub fn resident_kib(pid: u32) -> u64 {
    status_line(pid, "VmRSS:")
}

/// The most resident memory since the start or the last [`reset_peak`], in KiB.
#[must_use]
pub fn peak_kib(pid: u32) -> u64 {
    status_line(pid, "VmHWM:")
}

/// Forgets the most resident memory.
pub fn reset_peak(pid: u32) {
    let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

/// What `/proc/PID/stat` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    parent: u32,
    own: u64,
    /// Of children that have ended and were waited for.
    ended: u64,
}

fn time_of(ticks: u64) -> Duration {
    Duration::from_secs(ticks) / TICKS
}

fn read_all() -> BTreeMap<u32, Process> {
    let folders = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = folders.filter_map(|folder| folder.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some((pid, read_stat(&stat)?))
    })
    .collect()
}

/// proc(5): the name may hold spaces and brackets, so fields are counted from its end. The first one after it is
/// field 3.
fn read_stat(stat: &str) -> Option<Process> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Process {
        parent: u32::try_from(number(4)?).ok()?,
        own: number(14)? + number(15)?,
        ended: number(16)? + number(17)?,
    })
}

fn ticks_below(processes: &BTreeMap<u32, Process>, root: u32) -> u64 {
    let Some(process) = processes.get(&root) else {
        return 0;
    };
    let children = processes.iter().filter(|(_, child)| child.parent == root);
    process.own
        + process.ended
        + children
            .map(|(pid, _)| ticks_below(processes, *pid))
            .sum::<u64>()
}

fn status_line(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_counts_those_that_live_and_those_that_ended_and_no_others() {
        let stat = |parent: u32, own: u32, ended: u32| {
            let text = format!("7 (a) b) S {parent} 0 0 0 0 0 0 0 0 0 {own} 1 {ended} 2 20 0");
            read_stat(&text).unwrap()
        };
        let processes = BTreeMap::from([
            (1, stat(0, 1000, 1000)),
            (2, stat(1, 10, 20)),
            (3, stat(2, 100, 0)),
            (4, stat(1, 5000, 0)),
        ]);
        assert_eq!(
            ticks_below(&processes, 2),
            (10 + 1 + 20 + 2) + (100 + 1 + 2)
        );
        assert_eq!(time_of(250), Duration::from_millis(2500));
    }

    #[test]
    fn this_process_uses_time_and_memory() {
        let pid = std::process::id();
        assert!(resident_kib(pid) > 100 && peak_kib(pid) >= resident_kib(pid) / 2);
        while own_cpu() == Duration::ZERO {
            std::hint::spin_loop();
        }
        // Other tests of this process use time meanwhile, so the tree is read second and may only be larger.
        let before = own_cpu();
        let name = "server";
        assert!(cpu_of(&[Watched { name, root: pid }])[0] >= before);
    }
}
