//! Reads links between Markdown documents.

use std::path::{Component, Path};

/// Folders at the top of the repository, as a page names what is below them.
const FOLDERS: &[&str] = &[
    "benches/",
    "deploy/",
    "docs/",
    "entity/",
    "examples/",
    "migration/",
    "openapi/",
    "scripts/",
    "src/",
    "tests/",
];

/// Returns the targets of a page's links, those to other sites left out.
#[must_use]
pub fn links(page: &str) -> Vec<String> {
    let prose = without_code(page);
    let targets = prose
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    let ours = targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:"));
    ours.map(str::to_owned).collect()
}

/// Returns the files and folders of the repository that a page names in backticks.
#[must_use]
pub fn paths(page: &str) -> Vec<String> {
    let prose = without_code(page);
    let marked = prose.split('`').skip(1).step_by(2);
    let is_ours = |word: &&str| FOLDERS.iter().any(|folder| word.starts_with(folder));
    let is_plain = |word: &&str| !word.contains(|c: char| "*…<{ :".contains(c));
    marked
        .filter(is_ours)
        .filter(is_plain)
        .map(str::to_owned)
        .collect()
}

/// Whether a page has a heading with this anchor.
#[must_use]
pub fn has_anchor(page: &str, anchor: &str) -> bool {
    let prose = without_code(page);
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    headings.map(slug).any(|slug| slug == anchor)
}

/// Returns a link's target as a path from the top of the repository, for a link of that page.
#[must_use]
pub fn resolve(page: &str, target: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for component in Path::new(target).components() {
        match component {
            Component::ParentDir => drop(parts.pop()),
            Component::Normal(name) => parts.push(name.to_str().unwrap_or_default()),
            _ => {}
        }
    }
    parts.join("/")
}

/// The anchor that a forge gives a heading: lower case, blanks as `-`, no punctuation.
fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// A page without its fenced blocks.
fn without_code(page: &str) -> String {
    let mut is_code = false;
    let is_prose = |line: &&str| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    };
    page.lines().filter(is_prose).collect::<Vec<_>>().join("\n")
}
