//! Printing: the result to standard output, everything else to standard error.

use std::io::{ErrorKind, IsTerminal as _, Write as _};

use super::outcome::{CommandError, Outcome};
use crate::{config::Problem, display_text};

/// Prints a line of the result to standard output. A reader that closed the pipe, as `head` does, has
/// what it wanted; any other failed write is an error of the command (OD-5).
pub(super) fn print(text: &str) -> Outcome {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(CommandError::Message(format!(
            "the result cannot be written to standard output: {error}"
        ))),
        _ => Ok(()),
    }
}

/// Prints why a command failed to standard error.
pub(super) fn report(error: &CommandError) {
    match error {
        CommandError::Configuration(found) => problems(found, "in the configuration"),
        CommandError::Message(message) => note(&format!("entree: {message}")),
        CommandError::Reported => {}
    }
}

/// Prints a line to standard error.
pub(super) fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Prints problems, each with its hint, and their number.
pub(super) fn problems(problems: &[Problem], of: &str) {
    for problem in problems {
        note(&format!(
            "{} {}\n    {}",
            bold(&problem.key, "31"),
            problem.what,
            problem.hint
        ));
    }
    let count = problems.len();
    note(&format!(
        "{count} {} {of}",
        if count == 1 { "problem" } else { "problems" }
    ));
}

/// Prints warnings, each with its hint.
pub(super) fn warnings(warnings: &[Problem]) {
    for warning in warnings {
        note(&format!(
            "warning: {} {}\n    {}",
            bold(&warning.key, "33"),
            warning.what,
            warning.hint
        ));
    }
}

/// Returns the text in colour if standard error is a terminal that wants it.
fn bold(text: &str, colour: &str) -> String {
    if wants_colour(std::io::stderr().is_terminal()) {
        paint(text, colour)
    } else {
        text.to_owned()
    }
}

/// Whether to use colours on this terminal (no-color.org).
pub(super) fn wants_colour(is_terminal: bool) -> bool {
    is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Returns the text in bold and in a colour: 31 red, 32 green, 33 yellow.
pub(super) fn paint(text: &str, colour: &str) -> String {
    format!("\x1b[1;{colour}m{text}\x1b[0m")
}

/// Returns foreign text for a terminal: control characters and those that turn the direction of text
/// are shown, not sent to it.
pub(super) fn clean(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            if c.is_control() || display_text::turns_direction(c) {
                c.escape_default().collect()
            } else {
                vec![c]
            }
        })
        .collect()
}

/// Returns a table with aligned columns. Cells may hold foreign text.
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

    #[test]
    fn oc_6_what_turns_the_direction_of_text_is_shown_and_not_sent() {
        assert_eq!(clean("a\u{202e}b\u{2066}"), "a\\u{202e}b\\u{2066}");
        assert_eq!(clean("\u{5d0}\u{e9}"), "\u{5d0}\u{e9}");
    }
}
