//! Comments and Markdown are wrapped: a line that nothing forces to be long has at most [`MOST`]
//! characters.

use repository_rules::{files, text};

/// Characters that a line may have.
const MOST: usize = 120;

/// Folders whose pages and sources are read.
const FOLDERS: &[&str] = &[
    "benches",
    "deploy",
    "docs",
    "entity",
    "examples",
    "migration",
    "scripts",
    "src",
    "tests",
];

/// Pages at the top of the repository.
const AT_TOP: &[&str] = &[
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
];

/// Sources by the mark of a comment.
const SOURCES: &[(&str, &[&str])] = &[
    ("//", &[".rs", ".js", ".mjs", ".go"]),
    ("#", &[".sh", ".toml", ".yml", ".yaml", ".py"]),
];

/// Pages that hold the output of a program.
const EXEMPT: &[&str] = &["docs/performance.md"];

/// Returns whether a line is too long. The row of a table cannot be wrapped.
fn is_long(line: &str) -> bool {
    let words = line.trim_start_matches(['/', '!', '#', ' ']);
    line.chars().count() > MOST && !words.starts_with('|')
}

/// Returns the lines of a page that are too long, without those of code.
fn long_lines(page: &str) -> Vec<usize> {
    let (mut found, mut is_code) = (Vec::new(), false);
    for (number, line) in page.lines().enumerate() {
        is_code ^= line.trim_start().starts_with("```");
        if !is_code && is_long(line) {
            found.push(number + 1);
        }
    }
    found
}

/// Returns the comments that are too long and have a line of their own.
fn long_comments(source: &str, mark: &str) -> Vec<usize> {
    let lines = source.lines().enumerate();
    let comments = lines.filter(|(_, line)| line.trim_start().starts_with(mark));
    let long = comments.filter(|(_, line)| is_long(line));
    long.map(|(number, _)| number + 1).collect()
}

#[test]
fn comments_and_pages_are_wrapped() {
    let below = FOLDERS.iter().flat_map(|folder| files(folder, &[".md"]));
    let at_top = AT_TOP.iter().map(|path| ((*path).to_owned(), text(path)));
    let pages = below
        .chain(at_top)
        .filter(|(path, _)| !EXEMPT.contains(&path.as_str()));
    let mut wrong: Vec<String> = pages
        .flat_map(|(path, page)| {
            let lines = long_lines(&page);
            lines.into_iter().map(move |line| format!("{path}:{line}"))
        })
        .collect();
    for (mark, endings) in SOURCES {
        let sources = FOLDERS.iter().flat_map(|folder| files(folder, endings));
        wrong.extend(sources.flat_map(|(path, source)| {
            let lines = long_comments(&source, mark);
            lines.into_iter().map(move |line| format!("{path}:{line}"))
        }));
    }
    assert!(
        wrong.is_empty(),
        "over {MOST} characters:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn a_planted_line_is_found_and_code_and_tables_are_not() {
    let long = "word ".repeat(30);
    assert_eq!(long_lines(&format!("short\n{long}\n")), [2]);
    assert_eq!(
        long_comments(&format!("let a = 1;\n    // {long}\n"), "//"),
        [2]
    );
    assert_eq!(long_comments(&format!("# {long}\nkey = 1\n"), "#"), [1]);
    for page in [format!("```\n{long}\n```\n"), format!("| {long} |\n")] {
        assert!(long_lines(&page).is_empty(), "{page}");
    }
    let source = format!("let a = \"{long}\";\n//! | {long} |\n");
    assert!(long_comments(&source, "//").is_empty());
}
