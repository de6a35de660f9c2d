//! Fitting the tree of values into the typed shape without stopping at the first thing that does not fit.
//!
//! Each misfit is recorded, then taken out or replaced by something harmless, until the rest fits. So every problem is
//! found in one go, and the semantic checks see the rest.

use std::collections::{BTreeMap, BTreeSet};

use serde_path_to_error::Segment;
use toml::{Table, Value};

use super::{
    layers::{Layers, SECRETS, readings},
    problem::Problem,
    settings::Config,
};

/// The example file doubles as the source of examples in problems.
const EXAMPLE: &str = include_str!("../../deploy/entree.example.toml");

/// More misfits than anybody writes; only a bound for the loop.
const MOST: usize = 2_000;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

/// Fits the tree into the shape, recording what does not fit. None if nothing can be made of it.
pub(super) fn fit(layers: Layers, problems: &mut Vec<Problem>) -> Option<Config> {
    let mut fitting = Fitting {
        root: Value::Table(layers.root),
        readings: BTreeMap::new(),
        fillers: BTreeMap::new(),
        texts: layers.texts,
    };
    for _ in 0..MOST {
        match serde_path_to_error::deserialize::<_, Config>(fitting.root.clone()) {
            Ok(config) => return Some(config),
            Err(error) => {
                let path = steps(error.path());
                fitting.amend(path, error.inner().message(), problems);
            }
        }
    }
    None
}

struct Fitting {
    root: Value,
    /// Texts from the environment, by path: they may yet be read as another type.
    texts: BTreeSet<String>,
    /// Further readings of such a text, and what was wrong with the first one.
    readings: BTreeMap<String, (Vec<Value>, String)>,
    /// How many fillers a path has seen.
    fillers: BTreeMap<String, usize>,
}

impl Fitting {
    fn amend(&mut self, mut path: Vec<Step>, message: &str, problems: &mut Vec<Problem>) {
        if let Some(name) = message
            .strip_prefix("unknown field ")
            .and_then(first_quoted)
        {
            if path.last() != Some(&Step::Key(name.clone())) {
                path.push(Step::Key(name.clone()));
            }
            record(problems, unknown(&path, &name, message));
            self.texts.remove(&dotted(&path));
            return remove(&mut self.root, &path);
        }
        if let Some(name) = message
            .strip_prefix("missing field ")
            .and_then(first_quoted)
        {
            path.push(Step::Key(name));
            let key = dotted(&path);
            record(problems, Problem::new(&key, "is missing", like(&path)));
            return self.fill(&path);
        }
        let key = dotted(&path);
        if self.reread(&path, &key, message) {
            return;
        }
        let first = self.readings.remove(&key).map(|(_, first)| first);
        let what = if is_secret(&path) {
            "is not a text".to_owned()
        } else {
            plain(first.as_deref().unwrap_or(message))
        };
        record(problems, Problem::new(&key, what, like(&path)));
        match (path.last(), first_variant(message)) {
            (Some(Step::Key(_)), _) if !self.fillers.contains_key(&key) => {
                remove(&mut self.root, &path)
            }
            (Some(Step::Index(_)), Some(known)) => {
                if let Some(place) = find(&mut self.root, &path) {
                    *place = Value::String(known);
                }
            }
            _ => self.fill(&path),
        }
    }

    /// Reads a text from the environment in the next way that it can be read; `false` if there is none.
    fn reread(&mut self, path: &[Step], key: &str, message: &str) -> bool {
        if !self.readings.contains_key(key) {
            if !self.texts.remove(key) {
                return false;
            }
            let Some(Value::String(text)) = find(&mut self.root, path) else {
                return false;
            };
            let ways = readings(text, message.contains("expected a sequence"));
            self.readings
                .insert(key.to_owned(), (ways, message.to_owned()));
        }
        let Some(next) = self.readings.get_mut(key).and_then(|(ways, _)| ways.pop()) else {
            return false;
        };
        if let Value::Array(list) = &next {
            self.texts
                .extend((0..list.len()).map(|index| format!("{key}[{index}]")));
        }
        if let Some(place) = find(&mut self.root, path) {
            *place = next;
        }
        true
    }

    /// Puts something harmless where a value is needed, so that the rest can be read.
    fn fill(&mut self, path: &[Step]) {
        let seen = self.fillers.entry(dotted(path)).or_default();
        *seen += 1;
        let filler = match *seen {
            1 => Value::String(String::new()),
            2 => Value::Integer(1),
            3 => Value::String("192.0.2.0/32".to_owned()),
            // Nothing fits: give the whole section up.
            _ => return remove(&mut self.root, path.get(..1).unwrap_or_default()),
        };
        match (path.split_last(), find(&mut self.root, path)) {
            (_, Some(place)) => *place = filler,
            (Some((Step::Key(name), parent)), None) => {
                if let Some(Value::Table(table)) = find(&mut self.root, parent) {
                    table.insert(name.clone(), filler);
                }
            }
            _ => {}
        }
    }
}

fn steps(path: &serde_path_to_error::Path) -> Vec<Step> {
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(Step::Index(*index)),
            Segment::Map { key } => Some(Step::Key(key.clone())),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

fn dotted(path: &[Step]) -> String {
    path.iter().fold(String::new(), |mut text, step| {
        match step {
            Step::Key(key) if text.is_empty() => text.push_str(key),
            Step::Key(key) => text.extend([".", key]),
            Step::Index(index) => text.push_str(&format!("[{index}]")),
        }
        text
    })
}

fn find<'a>(root: &'a mut Value, path: &[Step]) -> Option<&'a mut Value> {
    path.iter()
        .try_fold(root, |value, step| match (step, value) {
            (Step::Key(key), Value::Table(table)) => table.get_mut(key),
            (Step::Index(index), Value::Array(list)) => list.get_mut(*index),
            _ => None,
        })
}

fn remove(root: &mut Value, path: &[Step]) {
    let Some((last, parent)) = path.split_last() else {
        return;
    };
    match (last, find(root, parent)) {
        (Step::Key(key), Some(Value::Table(table))) => {
            table.remove(key);
        }
        (Step::Index(index), Some(Value::Array(list))) if *index < list.len() => {
            list.remove(*index);
        }
        _ => {}
    }
}

/// One problem a key: what follows from the first is noise.
fn record(problems: &mut Vec<Problem>, problem: Problem) {
    if !problems.iter().any(|known| known.key == problem.key) {
        problems.push(problem);
    }
}

fn is_secret(path: &[Step]) -> bool {
    SECRETS.iter().any(|(section, key)| {
        path.first() == Some(&Step::Key((*section).to_owned())) && path.get(1) == Some(&Step::Key((*key).to_owned()))
    }) || (matches!(path.first(), Some(Step::Key(list)) if list == "clients" || list == "providers")
        && path.iter().any(
            |step| matches!(step, Step::Key(key) if key.starts_with("client_secret") || key.starts_with("private_key")),
        ))
}

/// The first thing between backticks.
fn first_quoted(text: &str) -> Option<String> {
    quoted(text).next().map(str::to_owned)
}

/// The first word that would have fitted where another stood.
fn first_variant(message: &str) -> Option<String> {
    let (_, known) = message
        .strip_prefix("unknown variant ")?
        .split_once(", expected")?;
    first_quoted(known)
}

fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn unknown(path: &[Step], name: &str, message: &str) -> Problem {
    let known: BTreeSet<&str> = message
        .split_once(", expected")
        .map(|(_, rest)| quoted(rest).collect())
        .unwrap_or_default();
    let near = known
        .iter()
        .map(|key| (strsim::jaro_winkler(name, key), *key))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let mend = match near {
        Some((likeness, key)) if likeness > 0.8 => format!("did you mean `{key}`?"),
        _ if known.is_empty() => "remove it".to_owned(),
        _ => format!(
            "remove it; known here: {}",
            known.into_iter().collect::<Vec<_>>().join(", ")
        ),
    };
    Problem::new(dotted(path), "is not a known key", mend)
}

/// The reader's message without the value it met: that may be a secret in the wrong place.
fn plain(message: &str) -> String {
    if message.starts_with("unknown variant") {
        let known = message
            .split_once(", expected")
            .map_or("", |(_, rest)| rest);
        let known: Vec<String> = quoted(known).map(|word| format!("\"{word}\"")).collect();
        return format!("is not {}", known.join(" or "));
    }
    let met = |kind: &str| {
        kind.split(['"', '`'])
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    let split = |rest: &str| {
        rest.rsplit_once(", expected ")
            .map(|(kind, wanted)| (met(kind), wanted.to_owned()))
    };
    if let Some((kind, wanted)) = message.strip_prefix("invalid type: ").and_then(split) {
        return format!(
            "is {} where {} belongs",
            article(&kind),
            wanted_words(&wanted)
        );
    }
    if let Some((_, wanted)) = message.strip_prefix("invalid value: ").and_then(split) {
        return format!("is not {}", wanted_words(&wanted));
    }
    format!(
        "cannot be read ({})",
        message.lines().next().unwrap_or_default()
    )
}

fn article(kind: &str) -> String {
    let kind = match kind {
        "map" => "table",
        "sequence" => "list",
        "string" => "text",
        other => other,
    };
    format!(
        "{} {kind}",
        if kind.starts_with(['a', 'e', 'i', 'o', 'u']) {
            "an"
        } else {
            "a"
        }
    )
}

fn wanted_words(wanted: &str) -> String {
    match wanted {
        "a string" => "a text".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "u16" => "a whole number from 0 to 65535".to_owned(),
        "u32" => format!("a whole number from 0 to {}", u32::MAX),
        "u64" | "usize" => "a whole number from 0 on".to_owned(),
        other => other.trim_start_matches("struct ").to_owned(),
    }
}

/// Whether a value of the example file shows anything; of a list, if one of its elements is meant, a plain one.
fn is_example(value: &Value, listed: bool) -> bool {
    match value {
        Value::Array(list) if listed => list.first().is_some_and(|first| !first.is_table()),
        Value::Table(_) => false,
        other => other.as_str() != Some(""),
    }
}

/// A sentence with the value that the example file has at this key.
fn like(path: &[Step]) -> String {
    let mut root = EXAMPLE
        .parse::<Table>()
        .map(Value::Table)
        .unwrap_or(Value::Table(Table::new()));
    // Every list of the example has a first element to look at.
    let mut general: Vec<Step> = path
        .iter()
        .map(|step| match step {
            Step::Index(_) => Step::Index(0),
            Step::Key(key) => Step::Key(key.clone()),
        })
        .collect();
    // Of an element the whole list is shown, so that it has its brackets.
    let listed = matches!(general.last(), Some(Step::Index(_)));
    while matches!(general.last(), Some(Step::Index(_))) {
        general.pop();
    }
    let name = path.iter().rev().find_map(|step| match step {
        Step::Key(key) => Some(key.as_str()),
        Step::Index(_) => None,
    });
    match (name, find(&mut root, &general)) {
        (Some(name), Some(value)) if is_example(value, listed) => {
            format!("write it like this: {name} = {value}")
        }
        _ => "see deploy/entree.example.toml, which has every key".to_owned(),
    }
}
