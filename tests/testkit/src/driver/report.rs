//! Tables in Markdown, and the page of the repository that keeps those of the last run.

use std::{fmt::Write as _, path::Path};

/// The page, from the top of the repository.
const PAGE: &str = "docs/performance.md";

/// A table: the first row is its head.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    #[must_use]
    pub fn new(head: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let mut table = Self::default();
        table.row(head);
        table
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// The table in Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        for (at, row) in self.rows.iter().enumerate() {
            let _ = writeln!(text, "| {} |", row.join(" | "));
            if at == 0 {
                let _ = writeln!(text, "|{}", "---|".repeat(row.len()));
            }
        }
        text
    }
}

/// A number with a comma after thousands, without decimals.
#[must_use]
pub fn whole(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number that may not be there, in the form that `as_text` gives it.
#[must_use]
pub fn cell(number: Option<f64>, as_text: impl Fn(f64) -> String) -> String {
    number
        .filter(|number| number.is_finite())
        .map_or_else(|| "–".to_owned(), as_text)
}

/// A ratio with two decimals.
#[must_use]
pub fn ratio(of: Option<f64>, to: Option<f64>) -> String {
    let both = of.zip(to).map(|(of, to)| of / to);
    cell(both, |ratio| format!("{ratio:.2}"))
}

/// Says when and where a run was made.
#[must_use]
pub fn caption(build: &Path) -> String {
    let date = time::OffsetDateTime::now_utc().date();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or_default();
    let is_release = build.components().any(|part| part.as_os_str() == "release");
    let build = if is_release { "release" } else { "debug" };
    format!(
        "{date}, {build} build of Entree, {cores} cores, {} GiB of memory, callers and services on the same cores.",
        kib.div_ceil(1024 * 1024)
    )
}

/// Prints a part of a run, and with `WRITE=1` puts it into the page in place of the same part of an earlier run.
///
/// # Panics
/// The page cannot be written, or has no place for this part.
pub fn publish(part: &str, text: &str) {
    println!("\n## {part}\n\n{text}");
    if std::env::var("WRITE").is_ok_and(|write| write == "1") {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../..")
            .join(PAGE);
        let page = std::fs::read_to_string(&path).expect(PAGE);
        let page =
            with_part(&page, part, text).unwrap_or_else(|| panic!("{PAGE}: no place for {part}"));
        std::fs::write(&path, page).expect(PAGE);
    }
}

/// Replaces what stands between the two marks of a part. Without them, none.
fn with_part(page: &str, part: &str, text: &str) -> Option<String> {
    let (begin, end) = (
        format!("<!-- {part}: written by a run -->"),
        format!("<!-- {part}: end -->"),
    );
    let (before, rest) = page.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n{}\n{end}{after}", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_takes_the_place_of_the_same_part_alone() {
        let page = "top\n<!-- a: written by a run -->\nNot yet run.\n<!-- a: end -->\n\
                    <!-- b: written by a run -->\nold\n<!-- b: end -->\nend\n";
        let once = with_part(page, "a", "one\n").unwrap();
        let twice = with_part(&once, "a", "two").unwrap();
        assert_eq!(twice, page.replace("Not yet run.", "two"));
        assert_eq!(with_part(page, "c", "one"), None);
    }

    #[test]
    fn the_page_has_a_place_for_each_part() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../..")
            .join(PAGE);
        let page = std::fs::read_to_string(path).unwrap();
        for part in [
            "accounts",
            "connections",
            "endpoints",
            "first start",
            "flood",
            "flows",
            "peers",
        ] {
            assert!(with_part(&page, part, "").is_some(), "{part}");
        }
    }

    #[test]
    fn tables_and_numbers_are_those_of_markdown_and_people() {
        let mut table = Table::new(["work", "µs"]);
        table.row(["a".to_owned(), whole(1_234_567.4)]);
        assert_eq!(
            table.markdown(),
            "| work | µs |\n|---|---|\n| a | 1,234,567 |\n"
        );
        assert_eq!(
            (whole(999.6), whole(12.0)),
            ("1,000".to_owned(), "12".to_owned())
        );
        assert_eq!(ratio(Some(1.0), Some(3.0)), "0.33");
        assert_eq!(
            (ratio(None, Some(3.0)), ratio(Some(1.0), Some(0.0))),
            ("–".to_owned(), "–".to_owned())
        );
    }
}
