//! docs/specifications.md is held to the code: each file that it names is there, and each test stands in its file.

use std::{
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file, or of all files below a folder.
fn text(path: &Path) -> String {
    if path.is_dir() {
        let inner = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        return inner
            .filter(|path| !path.ends_with("node_modules"))
            .map(|path| text(&path))
            .collect();
    }
    fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}

/// What stands in these marks, and what follows up to the next of it.
fn marked(cell: &str, mark: char) -> Vec<(&str, &str)> {
    let parts: Vec<&str> = cell.split(mark).collect();
    parts
        .chunks(2)
        .skip(1)
        .zip(parts.chunks(2))
        .map(|(after, before)| (before[1], after[0]))
        .collect()
}

/// Whether a text has a word, or with an ellipsis a word that begins so.
fn has(text: &str, name: &str) -> bool {
    let (word, is_head) = name
        .strip_suffix('…')
        .map_or((name, false), |head| (head, true));
    let edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '_');
    text.match_indices(word).any(|(at, _)| {
        edge(text[..at].chars().next_back())
            && (is_head || edge(text[at + word.len()..].chars().next()))
    })
}

/// A source file and the one with its tests.
fn with_tests(source: &str) -> [String; 3] {
    let stem = source.trim_end_matches(".rs").trim_end_matches("/mod");
    [
        source.to_owned(),
        format!("{stem}/tests.rs"),
        format!("{stem}_tests.rs"),
    ]
}

/// What is wrong with a row.
fn faults(source: &str, held_by: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let sources: Vec<&str> = marked(source, '`')
        .into_iter()
        .map(|(path, _)| path)
        .collect();
    let own: String = sources
        .iter()
        .flat_map(|source| with_tests(source))
        .map(|path| text(&root().join(path)))
        .collect();
    let marks = marked(held_by, '`');
    let is_path = |name: &str| name.contains('/');
    let named = marks
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| is_path(name));
    let missing = sources
        .iter()
        .copied()
        .chain(named)
        .filter(|path| !root().join(path).exists());
    faults.extend(missing.map(|path| format!("there is no {path}")));
    for (at, (name, follows)) in marks
        .iter()
        .enumerate()
        .filter(|(_, (name, _))| !is_path(name))
    {
        // The file beside a name is its own; further on in the cell it may be shared.
        let beside = marks[at..]
            .iter()
            .map(|(name, _)| *name)
            .find(|name| is_path(name));
        let beside = beside
            .map(|path| text(&root().join(path)))
            .unwrap_or_default();
        if !has(&beside, name) && (matches!(follows.trim(), "(" | "of") || !has(&own, name)) {
            faults.push(format!("{name} is not there"));
        }
    }
    let scenarios = ["tests/features", "tests/browser"]
        .map(|folder| text(&root().join(folder)))
        .concat();
    let quoted = marked(held_by, '"')
        .into_iter()
        .map(|(name, _)| name.trim_end_matches(" …"));
    faults.extend(
        quoted
            .filter(|name| !scenarios.contains(name))
            .map(|name| format!("no scenario {name:?}")),
    );
    faults
}

#[test]
fn each_test_of_the_specifications_page_stands_in_the_file_named_beside_it() {
    let page = fs::read_to_string(root().join("docs/specifications.md")).unwrap();
    let rows: Vec<Vec<&str>> = page
        .lines()
        .map(|line| line.trim_matches('|').split(" | ").collect())
        .collect();
    let rows: Vec<_> = rows
        .into_iter()
        .filter(|cells| cells.len() == 4 && cells[3] != "held by ")
        .collect();
    assert!(rows.len() > 100, "only {} rows", rows.len());
    let wrong: Vec<String> = rows
        .iter()
        .flat_map(|cells| {
            faults(cells[2], cells[3])
                .into_iter()
                .map(|fault| format!("{}: {fault}", cells[0].trim()))
        })
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_wrong_row_is_found() {
    let good = "`each_test_of_the_specifications_page_stands_in_the_file_named_beside_it`";
    for (held_by, is_good) in [
        (
            format!("{good}, `a_wrong…` (`tests/it/specifications.rs`)"),
            true,
        ),
        (format!("{good} (`tests/it/main.rs`)"), false),
        (
            format!(
                "`{}` (`tests/it/specifications.rs`)",
                ["a_wrong", "_test"].concat()
            ),
            false,
        ),
        (format!("{good} (`tests/it/nowhere.rs`)"), false),
        (
            format!("\"{}\"", ["No", "such", "scenario"].concat()),
            false,
        ),
        ("–".to_owned(), true),
    ] {
        assert_eq!(
            faults("`tests/it/specifications.rs`", &held_by).is_empty(),
            is_good,
            "{held_by}"
        );
    }
    assert!(!faults("`src/nowhere.rs`", "–").is_empty());
}
