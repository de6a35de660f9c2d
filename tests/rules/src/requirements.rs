//! Reads requirement ids: where they are defined, cited and claimed by a test.

use std::collections::BTreeSet;

/// The rules of the longest section: a word without a hyphen and with a larger number (`S71`) is no id.
const MOST_RULES: u32 = 46;

/// An id in its one spelling: `LK-07`, `LK7` and `lk_07` of a test's name are all `LK-7`.
pub type Id = String;

/// Returns the id that a whole word spells: one or two capital letters and the number of a
/// rule, or a linking case (`LC-A`).
#[must_use]
pub fn id(word: &str) -> Option<Id> {
    if let Some(case) = word.strip_prefix("LC-") {
        return matches!(case.as_bytes(), [b'A'..=b'I']).then(|| word.to_owned());
    }
    let letters = word.bytes().take_while(u8::is_ascii_uppercase).count();
    let digits = word[letters..].trim_start_matches('-');
    let is_number = (1..=2).contains(&digits.len()) && digits.bytes().all(|c| c.is_ascii_digit());
    let number: u32 = digits.parse().ok().filter(|_| is_number)?;
    let most = if word.contains('-') { 99 } else { MOST_RULES };
    ((1..=2).contains(&letters) && (1..=most).contains(&number))
        .then(|| format!("{}-{number}", &word[..letters]))
}

/// Returns every id that a text cites, with its line.
pub fn cited(text: &str) -> impl Iterator<Item = (usize, Id)> {
    // A `%` belongs to the word: `%C3%A9` cites nothing.
    let edge = |c: char| !(c.is_ascii_alphanumeric() || "-_%".contains(c));
    let words = move |line: &'_ str| -> Vec<Id> {
        let words = line.split(edge).map(|word| word.trim_matches('-'));
        words.filter_map(id).collect()
    };
    let lines = text.lines().enumerate();
    lines.flat_map(move |(at, line)| words(line).into_iter().map(move |id| (at + 1, id)))
}

/// A rule as a page of docs/requirements defines it.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    pub id: Id,
    /// `P0`, `P1` or `P2`; rules of the architecture have none.
    pub priority: Option<String>,
    /// `not built` or `superseded by ID`.
    pub mark: Option<String>,
    pub has_source: bool,
}

/// Returns the rules of a page: each is a list item that begins `- **ID** (P0) (mark)`.
#[must_use]
pub fn rules(page: &str) -> Vec<Rule> {
    let items = page.split("\n- **").skip(1);
    items.filter_map(rule).collect()
}

fn rule(item: &str) -> Option<Rule> {
    let (word, rest) = item.split_once("** ")?;
    let rest = rest.split("\n\n").next().unwrap_or_default();
    let brackets: Vec<&str> = rest
        .split_inclusive(')')
        .map_while(|part| part.trim().strip_prefix('(')?.strip_suffix(')'))
        .take(2)
        .collect();
    let is_priority = |word: &&&str| ["P0", "P1", "P2"].contains(*word);
    let is_mark = |word: &&&str| **word == "not built" || word.starts_with("superseded by ");
    Some(Rule {
        id: id(word)?,
        priority: brackets
            .iter()
            .find(is_priority)
            .map(|word| (*word).to_owned()),
        mark: brackets.iter().find(is_mark).map(|word| (*word).to_owned()),
        has_source: rest.contains("Source:"),
    })
}

/// Returns the ids that a file's tests claim, by its ending.
#[must_use]
pub fn claimed(path: &str, text: &str) -> BTreeSet<Id> {
    match path.rsplit('.').next() {
        Some("rs") => claimed_in_rust(text),
        Some("feature") => claimed_by_tags(text),
        Some("mjs") => claimed_in_browser_tests(text),
        _ => BTreeSet::new(),
    }
}

/// Ids at the head of a test's name (`b6_…`, `sk_01_ky_02_…`) and of a line of its documentation
/// (`/// ST-02, RF-6: …`).
fn claimed_in_rust(text: &str) -> BTreeSet<Id> {
    let listed = names_in_lists(text);
    let mut claims: BTreeSet<Id> = listed.iter().flat_map(|name| ids_of_name(name)).collect();
    let (mut is_test, mut of_docs) = (false, Vec::new());
    for line in text.lines().map(str::trim) {
        if let Some(docs) = line.strip_prefix("///") {
            of_docs.extend(ids_of_docs(docs));
        } else if let Some(attribute) = line.strip_prefix("#[") {
            let word = attribute.split(['(', ']']).next().unwrap_or_default();
            is_test |= word == "test" || word.ends_with("::test");
        } else if let Some(name) = function(line) {
            if is_test || listed.contains(name) {
                claims.extend(ids_of_name(name));
                claims.append(&mut of_docs.drain(..).collect());
            }
            (is_test, of_docs) = (false, Vec::new());
        } else if !line.starts_with("//") {
            (is_test, of_docs) = (false, Vec::new());
        }
    }
    claims
}

/// Returns the name of the function that begins on a line.
fn function(line: &str) -> Option<&str> {
    let words = ["fn ", "async fn ", "pub(crate) fn ", "pub(crate) async fn "];
    let rest = words.iter().find_map(|word| line.strip_prefix(word))?;
    rest.split(['(', '<']).next()
}

/// Returns the functions that `on_both!(…)` and `suite! { name: function; … }` make tests of.
fn names_in_lists(text: &str) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for list in ["on_both!", "suite!"] {
        let bodies = text.split(list).skip(1);
        let bodies = bodies.filter_map(|rest| rest.split(['}', ')']).next());
        let words = bodies.flat_map(|body| body.split(['(', '{', ',', ';', ':']));
        names.extend(words.map(str::trim));
    }
    names
}

fn ids_of_name(name: &str) -> Vec<Id> {
    let parts: Vec<String> = name.split('_').map(str::to_uppercase).collect();
    let (mut ids, mut at) = (Vec::new(), 0);
    while let Some(part) = parts.get(at) {
        // The words of a name (`of_64`) are no id.
        let is_rule = |next: &&String| {
            next.parse()
                .map_or(true, |number: u32| number <= MOST_RULES)
        };
        let next = parts.get(at + 1).filter(is_rule);
        let next = next.map(|next| format!("{part}-{next}"));
        let (found, taken) = match (id(part), next.as_deref().and_then(id)) {
            (Some(whole), _) => (whole, 1),
            (None, Some(of_two)) => (of_two, 2),
            (None, None) => break,
        };
        ids.push(found);
        at += taken;
    }
    ids
}

fn ids_of_docs(line: &str) -> Vec<Id> {
    let head = line.split_once(": ").map_or("", |(head, _)| head);
    let words: Option<Vec<Id>> = head.split(',').map(|word| id(word.trim())).collect();
    words.unwrap_or_default()
}

/// Tags of scenarios: lines such as `@A1 @BS-04`.
fn claimed_by_tags(text: &str) -> BTreeSet<Id> {
    let lines = text.lines().filter(|line| line.trim().starts_with('@'));
    let tags = lines.flat_map(str::split_whitespace);
    tags.filter_map(|tag| id(tag.trim_start_matches('@')))
        .collect()
}

/// Names of browser tests: `'C3 F2 the link page …': async (`, `` [`C5 scanner: …`] = async (``.
fn claimed_in_browser_tests(text: &str) -> BTreeSet<Id> {
    let head = |line: &'_ str| line.find(" async (").or_else(|| line.find(": (kit) =>"));
    let heads = text.lines().filter_map(|line| Some(&line[..head(line)?]));
    let names = heads.filter_map(|head| head.split(['\'', '"', '`']).nth(1));
    names
        .flat_map(|name| name.split(' ').map_while(id))
        .collect()
}
