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
    product_files, root, text,
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

/// Each reason in the tables for operators is a word of the sources: none stays there under an old name.
#[test]
fn the_documented_reasons_are_words_of_the_sources() {
    let sources: Vec<String> = product_files().into_iter().map(|(_, text)| text).collect();
    let page = text("docs/operations.md");
    let tables = page.split("| reason | means |").skip(1);
    let rows = tables.flat_map(|table| {
        let rows = table.lines().skip(1);
        rows.take_while(|line| line.starts_with('|'))
    });
    let first_cells = rows.filter_map(|row| row.split('|').nth(1));
    // Of a family such as `up_…` only the prefix is named.
    let reasons: Vec<&str> = first_cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .filter(|word| !word.contains('…'))
        .collect();
    assert!(reasons.len() >= 80, "only {} are found", reasons.len());
    let is_word = |reason: &str| {
        let literal = format!("\"{reason}\"");
        sources.iter().any(|source| source.contains(&literal))
    };
    let unknown = reasons.into_iter().filter(|reason| !is_word(reason));
    let unknown: Vec<String> = unknown
        .map(|reason| format!("no source has the reason {reason}"))
        .collect();
    assert_none(&unknown);
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
