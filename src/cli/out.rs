//! Writing for people and for pipes: the one place that prints.

use std::io::{IsTerminal as _, Write as _};

use crate::config::Problem;

/// A line of the answer, to standard output. A closed pipe is not our trouble.
pub(super) fn answer(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// A line beside the answer, to standard error.
pub(super) fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Problems, each with how to mend it, and how many there are of what.
pub(super) fn problems(problems: &[Problem], of: &str) {
    for problem in problems {
        say(&format!(
            "{} {}\n    {}",
            bold(&problem.key, "31"),
            problem.what,
            problem.hint
        ));
    }
    let count = problems.len();
    say(&format!(
        "{count} {} {of}",
        if count == 1 { "problem" } else { "problems" }
    ));
}

/// Warnings, each with what to do.
pub(super) fn warnings(warnings: &[Problem]) {
    for warning in warnings {
        say(&format!(
            "warning: {} {}\n    {}",
            bold(&warning.key, "33"),
            warning.what,
            warning.hint
        ));
    }
}

/// In colour, if standard error is a terminal that wants it.
fn bold(text: &str, colour: &str) -> String {
    if wants_colour(std::io::stderr().is_terminal()) {
        paint(text, colour)
    } else {
        text.to_owned()
    }
}

/// Whether colours are wanted where the answer goes (no-color.org).
pub(super) fn wants_colour(is_terminal: bool) -> bool {
    is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Bold and in colour: 31 red, 32 green, 33 yellow.
pub(super) fn paint(text: &str, colour: &str) -> String {
    format!("\x1b[1;{colour}m{text}\x1b[0m")
}

/// What comes from outside, fit for a terminal: control characters are shown, not sent to it.
pub(super) fn clean(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            if c.is_control() {
                c.escape_default().collect()
            } else {
                vec![c]
            }
        })
        .collect()
}

/// A table with aligned columns, as text. What rows hold may come from outside.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head)
        .chain(
            rows.iter()
                .map(|row| row.iter().map(|cell| clean(cell)).collect()),
        )
        .collect();
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|at| {
            rows.iter()
                .filter_map(|row| row.get(at))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_reaches_the_terminal_raw() {
        let rows = [
            vec!["a".to_owned(), "x\x1b[2J".to_owned()],
            vec!["long".to_owned(), String::new()],
        ];
        assert_eq!(
            table(&["one", "two"], &rows),
            "one   two\na     x\\u{1b}[2J\nlong"
        );
    }
}
