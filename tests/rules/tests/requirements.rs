//! docs/requirements holds the rules, the code cites them and the tests claim them: each id that is
//! cited is defined, and each rule that is built is claimed.

use std::collections::{BTreeMap, BTreeSet};

use repository_rules::{
    files,
    requirements::{Id, Rule, cited, claimed, id, rules},
    text,
};

/// Words that look like ids, and what they are.
const NO_IDS: &[(&str, &str)] = &[
    ("P-1", "a priority"),
    ("P-2", "a priority"),
    ("V-4", "IpAddr::V4"),
    ("V-6", "IpAddr::V6"),
    ("M-7", "the path of an SVG picture"),
    ("M-13", "the path of an SVG picture"),
];

/// Folders in which ids are cited.
const FOLDERS: &[&str] = &[
    "benches",
    "deploy",
    "docs",
    "entity",
    "examples",
    "migration",
    "openapi",
    "scripts",
    "src",
    "tests",
];

/// Files at the top of the repository in which ids are cited.
const AT_TOP: &[&str] = &[
    "README.md",
    "CHANGELOG.md",
    "Makefile",
    "docker-compose.yml",
];

/// Endings of the files in which ids are cited.
const ENDINGS: &[&str] = &[
    ".rs", ".md", ".feature", ".mjs", ".js", ".html", ".txt", ".ftl", ".sh", ".toml", ".yaml",
    ".yml", ".py", ".go", ".java", ".ts", ".sql",
];

/// The tests of the reader of ids, which are full of examples.
const READER: &str = "tests/rules/tests/reading_requirements.rs";

fn pages() -> Vec<(String, String)> {
    files("docs/requirements", &[".md"])
}

fn defined() -> BTreeMap<Id, Rule> {
    let all = pages().into_iter().flat_map(|(_, page)| rules(&page));
    all.map(|rule| (rule.id.clone(), rule)).collect()
}

fn sources() -> Vec<(String, String)> {
    let below = FOLDERS.iter().flat_map(|folder| files(folder, ENDINGS));
    let at_top = AT_TOP.iter().map(|path| ((*path).to_owned(), text(path)));
    let all = below.chain(at_top);
    all.filter(|(path, _)| path != READER).collect()
}

fn claims() -> BTreeSet<Id> {
    let all = ["src", "tests", "examples"].into_iter();
    let all = all.flat_map(|folder| files(folder, &[".rs", ".feature", ".mjs"]));
    all.filter(|(path, _)| path != READER)
        .flat_map(|(path, text)| claimed(&path, &text))
        .collect()
}

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn each_id_that_is_cited_is_defined() {
    let defined = defined();
    let is_known =
        |id: &Id| defined.contains_key(id) || NO_IDS.iter().any(|(word, _)| *word == id.as_str());
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let unknown = cited(&text).filter(|(_, id)| !is_known(id));
        wrong.extend(unknown.map(|(line, id)| format!("{path}:{line}: {id} is not defined")));
    }
    let unknown = claims().into_iter().filter(|id| !is_known(id));
    wrong.extend(unknown.map(|id| format!("a test is named after {id}, which is not defined")));
    assert_none(&wrong);
}

/// ST-22: a rule without a test is only a wish.
#[test]
fn each_rule_that_is_built_is_claimed_by_a_test() {
    let claims = claims();
    assert!(claims.len() > 200, "only {} ids are claimed", claims.len());
    let built = defined().into_values();
    let built = built.filter(|rule| rule.priority.is_some() && rule.mark.is_none());
    let missing = built.filter(|rule| !claims.contains(&rule.id));
    assert_none(
        &missing
            .map(|rule| format!("no test claims {}", rule.id))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn each_rule_is_defined_once_with_its_source() {
    let (mut seen, mut wrong) = (BTreeMap::new(), Vec::new());
    for (path, page) in pages() {
        for rule in rules(&page) {
            if !rule.has_source {
                wrong.push(format!("{path}: {} names no source", rule.id));
            }
            if rule.priority.is_none() && !rule.id.starts_with("AR-") {
                wrong.push(format!("{path}: {} has no priority", rule.id));
            }
            if let Some(first) = seen.insert(rule.id.clone(), path.clone()) {
                wrong.push(format!("{path}: {} is defined in {first} already", rule.id));
            }
        }
    }
    assert!(seen.len() > 300, "only {} rules were read", seen.len());
    assert_none(&wrong);
}

#[test]
fn what_supersedes_a_rule_is_in_force() {
    let defined = defined();
    let mut wrong = Vec::new();
    for rule in defined.values() {
        let mark = rule.mark.as_deref().unwrap_or_default();
        let Some(by) = mark.strip_prefix("superseded by ") else {
            continue;
        };
        let in_force = id(by)
            .and_then(|id| defined.get(&id))
            .is_some_and(|by| by.mark.is_none());
        if !in_force {
            wrong.push(format!(
                "{} is superseded by {by}, which is not in force",
                rule.id
            ));
        }
    }
    assert_none(&wrong);
}
