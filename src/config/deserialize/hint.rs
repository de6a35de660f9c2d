//! Words for what does not fit: the messages of the deserializer without the values that they
//! quote, since a value may be a secret in the wrong place.

use toml::{Table, Value};

use super::path::{Path, Step};
use crate::config::{problem::Problem, secret_files::is_secret};

/// The example file, from which hints take their examples.
const EXAMPLE: &str = include_str!("../../../deploy/entree.example.toml");

/// Examples of keys that the example file leaves empty or only mentions.
const MORE_EXAMPLES: [(&str, &str); 3] = [
    ("trusted_proxies", r#"["10.0.0.0/8", "::1/128"]"#),
    ("kind", r#""oidc""#),
    ("port", "587"),
];

/// The name and the known names in `unknown field …, expected …`.
pub(super) fn unknown_field(message: &str) -> Option<(&str, Vec<&str>)> {
    let mut names = quoted(message.strip_prefix("unknown field ")?);
    Some((names.next()?, names.collect()))
}

/// The name in `missing field …`.
pub(super) fn missing_field(message: &str) -> Option<&str> {
    quoted(message.strip_prefix("missing field ")?).next()
}

/// The first known name in `unknown variant …, expected …`.
pub(super) fn first_variant(message: &str) -> Option<&str> {
    variants(message)?.first().copied()
}

fn variants(message: &str) -> Option<Vec<&str>> {
    let (_, known) = message
        .strip_prefix("unknown variant ")?
        .split_once(", expected")?;
    Some(quoted(known).collect())
}

fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// A key that no type has, with the known key that is most like it.
pub(super) fn unknown_key(path: &Path, name: &str, known: &[&str]) -> Problem {
    let nearest = known
        .iter()
        .map(|key| (strsim::jaro_winkler(name, key), *key))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let hint = match nearest {
        Some((likeness, key)) if likeness > 0.8 => format!("Did you mean `{key}`?"),
        Some(_) => format!("Remove it. The known keys here are {}.", known.join(", ")),
        None => "Remove it.".to_owned(),
    };
    Problem::new(path.to_string(), "is not a known key", hint)
}

/// Says what a value must be, by the message about the value that it is.
pub(super) fn misfit(path: &Path, message: &str) -> String {
    if is_secret(path.keys()) {
        return "must be a string".to_owned();
    }
    if let Some(known) = variants(message) {
        let known: Vec<String> = known.iter().map(|word| format!("\"{word}\"")).collect();
        return format!("must be {}", known.join(" or "));
    }
    let parts = |rest: &'_ str| {
        let (found, expected) = rest.rsplit_once(", expected ")?;
        let found = found.split(['"', '`']).next().unwrap_or_default();
        Some((found.trim().to_owned(), expected_type(expected)))
    };
    if let Some((found, expected)) = message.strip_prefix("invalid type: ").and_then(parts) {
        return format!("must be {expected}, not {}", found_type(&found));
    }
    if let Some((_, expected)) = message.strip_prefix("invalid value: ").and_then(parts) {
        return format!("must be {expected}");
    }
    match message.lines().next().unwrap_or_default() {
        "invalid socket address syntax" => "must be an IP address with a port".to_owned(),
        "invalid IP address syntax" => "must be an IP address or network".to_owned(),
        line => format!("cannot be read ({line})"),
    }
}

/// Says what to write: the variant that is most like the unknown one, else an example.
pub(super) fn fix(path: &Path, message: &str) -> String {
    let unknown = message.strip_prefix("unknown variant `");
    let unknown = unknown.and_then(|rest| rest.split('`').next());
    let nearest = unknown.zip(variants(message)).and_then(|(unknown, known)| {
        let likeness = |word: &str| strsim::jaro_winkler(unknown, word);
        let known = known.into_iter().map(|word| (likeness(word), word));
        known.max_by(|a, b| a.0.total_cmp(&b.0))
    });
    match nearest {
        Some((likeness, word)) if likeness > 0.8 && !is_secret(path.keys()) => {
            format!("Did you mean \"{word}\"?")
        }
        _ => example(path),
    }
}

/// The words of TOML for a type that the deserializer found.
fn found_type(found: &str) -> String {
    match found {
        "map" => "a table".to_owned(),
        "sequence" => "an array".to_owned(),
        other if other.starts_with(['a', 'e', 'i', 'o', 'u']) => format!("an {other}"),
        other => format!("a {other}"),
    }
}

/// The words of TOML for what the deserializer expected.
fn expected_type(expected: &str) -> String {
    match expected {
        "a sequence" => "an array".to_owned(),
        "a map" => "a table".to_owned(),
        "path string" => "a path in double quotes".to_owned(),
        "socket address" => "an IP address with a port".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "u16" => format!("a whole number from 0 to {}", u16::MAX),
        "u32" => format!("a whole number from 0 to {}", u32::MAX),
        "u64" | "usize" => "a whole number, 0 or more".to_owned(),
        other => other
            .strip_prefix("struct ")
            .map_or_else(|| other.to_owned(), |_| "a table".to_owned()),
    }
}

/// A hint with the value that the example file has at this key.
pub(super) fn example(path: &Path) -> String {
    let mut root = Value::Table(EXAMPLE.parse::<Table>().unwrap_or_default());
    // Of an element the whole list is shown, with its brackets. Every list of the example has a
    // first element.
    let mut steps = path.0.as_slice();
    while let [parents @ .., Step::Index(_)] = steps {
        steps = parents;
    }
    let general = Path(
        steps
            .iter()
            .map(|step| match step {
                Step::Index(_) => Step::Index(0),
                key => key.clone(),
            })
            .collect(),
    );
    let name = path.keys().next_back();
    let more = MORE_EXAMPLES.iter().find(|(key, _)| Some(*key) == name);
    if let Some((key, value)) = more {
        return format!("Write, for example: {key} = {value}");
    }
    match (name, general.find(&mut root)) {
        (Some(name), Some(value)) if is_example(value, path.is_element()) => {
            format!("Write, for example: {name} = {value}")
        }
        _ => "See deploy/entree.example.toml, which has every key.".to_owned(),
    }
}

/// Whether a value of the example file shows what to write. If an element is meant, it must be a
/// list of plain values.
fn is_example(value: &Value, of_element: bool) -> bool {
    match value {
        Value::Array(list) if of_element => list.first().is_some_and(|first| !first.is_table()),
        Value::Table(_) => false,
        other => other.as_str() != Some(""),
    }
}
