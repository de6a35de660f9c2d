//! The figures of a run: printed, and with `WRITE=1` put into the table of `docs/reliability.md`.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

use crate::{
    is_full,
    judge::{Measured, is_optimized, p95, signed_in},
};

const BEGIN: &str = "<!-- abuse: the table is written by `make abuse` -->";
const END: &str = "<!-- abuse: end -->";

/// Prints one line, and keeps it in the document if it is to be written.
pub(crate) fn report(measured: &Measured) {
    let line = row(measured);
    println!("{line}");
    if std::env::var("WRITE").is_ok_and(|write| write == "1") {
        // Tests of this process may run at the same time.
        static DOCUMENT: Mutex<()> = Mutex::new(());
        let _one = DOCUMENT.lock().unwrap_or_else(PoisonError::into_inner);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reliability.md");
        let text = std::fs::read_to_string(&path).expect("docs/reliability.md");
        std::fs::write(&path, with_row(&text, &line, &caption())).expect("docs/reliability.md");
    }
}

fn row(measured: &Measured) -> String {
    format!(
        "| {} | {} | {} | {} | {} of {} | {:.1} s | {} MiB | {} {} |",
        measured.attack,
        measured.back_end,
        measured.networks,
        measured.requests,
        signed_in(&measured.innocents),
        measured.innocents.len(),
        p95(&measured.innocents).as_secs_f64(),
        measured.peak_mib,
        measured.left.count,
        measured.left.of,
    )
}

/// Says when and where: the cores and the memory of the machine alone.
fn caption() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or_default();
    #[allow(clippy::disallowed_methods, reason = "the date of the run")]
    let date = time::OffsetDateTime::now_utc().date();
    let form = if is_full() { "full" } else { "short" };
    let build = if is_optimized() { "release" } else { "debug" };
    format!(
        "{date}, {form} form, {build} build, {cores} cores, {} GiB of memory, attackers and service on the same cores.",
        kib.div_ceil(1024 * 1024)
    )
}

/// Replaces the row of the same attack and back end, or adds it; rows are kept in order.
fn with_row(text: &str, row: &str, caption: &str) -> String {
    let (before, rest) = text.split_once(BEGIN).expect("the place of the table");
    let (table, after) = rest.split_once(END).expect("the end of the table");
    let key = |line: &str| line.split('|').take(3).collect::<String>();
    let mut rows: Vec<String> = table
        .lines()
        .filter(|line| line.starts_with("| OA-") && key(line) != key(row))
        .map(str::to_owned)
        .collect();
    rows.push(row.to_owned());
    rows.sort();
    let head = "| attack | back end | networks | requests | innocents signed in | p95 | memory | left |\n\
                |---|---|---|---|---|---|---|---|";
    format!(
        "{before}{BEGIN}\n{caption}\n\n{head}\n{}\n{END}{after}",
        rows.join("\n")
    )
}

#[test]
fn a_row_takes_the_place_of_the_same_attack_alone() {
    let empty = format!("before\n{BEGIN}\n{END}\nafter\n");
    let one = with_row(&empty, "| OA-1 | a | 1 |", "today");
    let two = with_row(&one, "| OA-1 | b | 2 |", "today");
    let again = with_row(&two, "| OA-1 | a | 3 |", "now");
    assert!(
        again.contains("| OA-1 | a | 3 |\n| OA-1 | b | 2 |\n"),
        "{again}"
    );
    assert!(!again.contains("| 1 |") && again.contains("\nnow\n") && !again.contains("today"));
    assert!(again.starts_with("before\n") && again.ends_with("\nafter\n"));
}
