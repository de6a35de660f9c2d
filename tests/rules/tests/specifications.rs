//! docs/specifications.md is held to the code: each file that it names exists, and each test stands
//! in the file beside it.
#![allow(
    clippy::indexing_slicing,
    reason = "a test that cannot go on must stop at once and say where"
)]

use std::{fs, path::Path};

use repository_rules::{root, text};

/// Returns the text of a file, or of all files below a folder.
fn text_below(path: &Path) -> String {
    let Ok(entries) = fs::read_dir(path) else {
        return String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
    };
    let inner = entries.flatten().map(|entry| entry.path());
    let inner = inner.filter(|path| !path.ends_with("node_modules"));
    inner.map(|path| text_below(&path)).collect()
}

/// Returns what stands between two marks, and what follows up to the next one.
fn marked(cell: &str, mark: char) -> Vec<(&str, &str)> {
    let parts: Vec<&str> = cell.split(mark).collect();
    let pairs = parts.chunks(2).skip(1).zip(parts.chunks(2));
    pairs.map(|(after, before)| (before[1], after[0])).collect()
}

/// Whether a text has a word, or with an ellipsis a word that begins so.
fn has_word(text: &str, name: &str) -> bool {
    let head = name.strip_suffix('…');
    let word = head.unwrap_or(name);
    let edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '_');
    text.match_indices(word).any(|(at, _)| {
        let follows = text[at + word.len()..].chars().next();
        edge(text[..at].chars().next_back()) && (head.is_some() || edge(follows))
    })
}

/// Returns the files that may hold the tests of a source file.
fn with_tests(source: &str) -> [String; 3] {
    let stem = source.trim_end_matches(".rs").trim_end_matches("/mod");
    let apart = format!("{stem}/tests.rs");
    [source.to_owned(), apart, format!("{stem}_tests.rs")]
}

/// Returns what is wrong with the last two cells of a row.
fn faults(source: &str, held_by: &str) -> Vec<String> {
    let paths = marked(source, '`').into_iter().map(|(path, _)| path);
    let sources: Vec<&str> = paths.collect();
    let own = sources.iter().flat_map(|source| with_tests(source));
    let own: String = own.map(|path| text_below(&root().join(path))).collect();
    let marks = marked(held_by, '`');
    let is_path = |name: &str| name.contains('/');
    let named = marks
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| is_path(name));
    let named = sources.iter().copied().chain(named);
    let missing = named.filter(|path| !root().join(path).exists());
    let mut faults: Vec<String> = missing.map(|path| format!("there is no {path}")).collect();
    for (at, (name, follows)) in marks.iter().enumerate() {
        if is_path(name) {
            continue;
        }
        // The file beside a name is its own; further on in the cell it may be shared.
        let beside = marks[at..]
            .iter()
            .map(|(name, _)| *name)
            .find(|name| is_path(name));
        let beside = beside
            .map(|path| text_below(&root().join(path)))
            .unwrap_or_default();
        let must_be_beside = matches!(follows.trim(), "(" | "of");
        let is_there = has_word(&beside, name) || !must_be_beside && has_word(&own, name);
        if name.is_empty() || !is_there {
            faults.push(format!("{name} is not there"));
        }
    }
    let scenarios =
        ["tests/features", "tests/browser"].map(|folder| text_below(&root().join(folder)));
    let quoted = marked(held_by, '"')
        .into_iter()
        .map(|(name, _)| name.trim_end_matches(" …"));
    let missing = quoted.filter(|name| !scenarios.concat().contains(name));
    faults.extend(missing.map(|name| format!("no scenario {name:?}")));
    faults
}

#[test]
fn each_test_of_the_specifications_page_stands_in_the_file_named_beside_it() {
    let page = text("docs/specifications.md");
    let rows = page
        .lines()
        .map(|line| line.trim_matches('|').split(" | ").collect());
    let rows: Vec<Vec<&str>> = rows
        .filter(|cells: &Vec<&str>| cells.len() == 4 && cells[3] != "held by ")
        .collect();
    assert!(rows.len() > 100, "only {} rows", rows.len());
    let mut wrong = Vec::new();
    for cells in rows {
        let faults = faults(cells[2], cells[3]).into_iter();
        wrong.extend(faults.map(|fault| format!("{}: {fault}", cells[0].trim())));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_wrong_row_is_found() {
    let this = "tests/rules/tests/specifications.rs";
    let good = "`each_test_of_the_specifications_page_stands_in_the_file_named_beside_it`";
    let planted = ["a_wrong", "_test"].concat();
    let scenario = ["No", "such", "scenario"].concat();
    for (held_by, is_good) in [
        (format!("{good}, `a_wrong…` (`{this}`)"), true),
        (format!("{good} (`tests/it/main.rs`)"), false),
        (format!("`{planted}` (`{this}`)"), false),
        (format!("{good} (`tests/it/nowhere.rs`)"), false),
        (format!("\"{scenario}\""), false),
        ("``".to_owned(), false),
        ("–".to_owned(), true),
    ] {
        let found = faults(&format!("`{this}`"), &held_by);
        assert_eq!(found.is_empty(), is_good, "{held_by}");
    }
    assert!(!faults("`src/nowhere.rs`", "–").is_empty());
}
