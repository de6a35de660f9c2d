//! Documents are held to the repository: links lead somewhere, files that are named exist, and the
//! arrow in docs/architecture.md is the one that src/lib.rs states.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on must stop at once and say where"
)]

use std::{collections::BTreeMap, fs};

use repository_rules::{
    arrow, files,
    links::{has_anchor, links, paths, resolve},
    root, text,
};

/// Returns every Markdown page, by its path.
fn pages() -> BTreeMap<String, String> {
    let top = fs::read_dir(root()).unwrap().flatten();
    let top = top.filter_map(|entry| entry.file_name().into_string().ok());
    let top = top
        .filter(|name| name.ends_with(".md"))
        .map(|name| (name.clone(), text(&name)));
    let below = ["docs", "examples", "tests"].into_iter();
    top.chain(below.flat_map(|folder| files(folder, &[".md"])))
        .collect()
}

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn links_between_documents_lead_somewhere() {
    let pages = pages();
    let mut wrong = Vec::new();
    for (path, page) in &pages {
        for link in links(page) {
            let (target, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if target.is_empty() {
                path.clone()
            } else {
                resolve(path, target)
            };
            let has_place = match pages.get(&target) {
                Some(page) => anchor.is_empty() || has_anchor(page, anchor),
                None => root().join(&target).exists(),
            };
            if !has_place {
                wrong.push(format!("{path}: {link} leads nowhere"));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn files_that_a_document_names_exist() {
    let mut wrong = Vec::new();
    for (page, text) in files("docs", &[".md"]) {
        let missing = paths(&text)
            .into_iter()
            .filter(|path| !root().join(path).exists());
        wrong.extend(missing.map(|path| format!("{page}: there is no {path}")));
    }
    assert_none(&wrong);
}

/// Every kind of event that src/audit.rs names has a row in the page for operators.
#[test]
fn the_kinds_of_the_audit_log_are_documented() {
    let source = text("src/audit.rs");
    let (_, names) = source.split_once("fn name(self)").unwrap();
    let (names, _) = names.split_once("\n    }\n").unwrap();
    let kinds: Vec<&str> = names.split('"').skip(1).step_by(2).collect();
    assert!(kinds.len() >= 30, "only {} kinds are found", kinds.len());
    let page = text("docs/operations.md");
    let (_, list) = page.split_once("### Kinds of the audit log").unwrap();
    let (list, _) = list.split_once("\n### ").unwrap();
    let missing = kinds
        .into_iter()
        .filter(|kind| !list.contains(&format!("`{kind}`")));
    assert_none(
        &missing
            .map(|kind| format!("no row for {kind}"))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn the_map_shows_the_arrow_of_the_sources() {
    let map = text("docs/architecture.md");
    let blocks = map.split("```").skip(1).step_by(2);
    let block = blocks
        .map(str::trim)
        .find(|block| block.starts_with("main →"))
        .unwrap();
    let shown = format!("//! `{}`", block.replace('\n', " "));
    assert_eq!(arrow::read(&shown), arrow::read(&text("src/lib.rs")));
}
