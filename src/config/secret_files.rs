//! Secrets in files of their own: `KEY_file` is the path of a file that holds the value of `KEY`.

use std::path::Path;

use toml::{Table, Value};

use super::{
    problem::Problem,
    secret_mode::{Access, access_to_file},
};

/// The keys that are secrets, by section or list.
const SECRETS: [(&str, &str); 8] = [
    ("server", "master_key"),
    ("server", "previous_master_keys"),
    ("database", "url"),
    ("tickets", "url"),
    ("mail", "password"),
    ("clients", "client_secret"),
    ("providers", "client_secret"),
    ("providers", "private_key"),
];

/// Whether the keys of a path lead to a secret, to a part of one, or to its hash.
pub(super) fn is_secret<'a>(mut path: impl Iterator<Item = &'a str>) -> bool {
    let (section, key) = (path.next(), path.next());
    SECRETS.iter().any(|(own_section, own_key)| {
        section == Some(own_section) && key.is_some_and(|key| key.starts_with(own_key))
    })
}

/// What is wrong with files, and what is risky.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
}

/// Replaces each `KEY_file` by `KEY` with the content of the file.
pub(super) fn read_all(root: &mut Table) -> Found {
    let mut found = Found::default();
    for (section, key) in SECRETS {
        match root.get_mut(section) {
            Some(Value::Table(table)) => read_into(table, section, key, &mut found),
            Some(Value::Array(elements)) => {
                for (at, element) in elements.iter_mut().enumerate() {
                    if let Value::Table(table) = element {
                        read_into(table, &format!("{section}[{at}]"), key, &mut found);
                    }
                }
            }
            _ => {}
        }
    }
    found
}

fn read_into(table: &mut Table, section: &str, key: &str, found: &mut Found) {
    let Some(path) = table.remove(&format!("{key}_file")) else {
        return;
    };
    let problem =
        |what: String, hint: String| Problem::new(format!("{section}.{key}_file"), what, hint);
    if table.get(key).is_some_and(has_value) {
        let hint = format!("Remove {section}.{key} or {section}.{key}_file.");
        return found
            .problems
            .push(problem(format!("is set beside {section}.{key}"), hint));
    }
    let Value::String(path) = path else {
        let hint = "Write the path of a file in double quotes.";
        return found
            .problems
            .push(problem("must be a string".to_owned(), hint.to_owned()));
    };
    if path.is_empty() {
        return;
    }
    let path = Path::new(&path);
    if access_to_file(path) == Access::Mounted {
        let what = "names a file that every user of this machine may read (mode 0444)";
        let hint = "In a container of its own that is no risk. Elsewhere use mode 0400, or 0440 with a group of the service.";
        found
            .warnings
            .push(problem(what.to_owned(), hint.to_owned()));
    }
    match read(path, key) {
        Ok(value) => drop(table.insert(key.to_owned(), value)),
        Err((what, hint)) => found.problems.push(problem(what, hint)),
    }
}

fn has_value(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => true,
    }
}

/// Returns the content of a secret's file without its final line break. A file that others may read
/// is refused (OB-5).
fn read(path: &Path, key: &str) -> Result<Value, (String, String)> {
    if let Access::Open(mode) = access_to_file(path) {
        let what = format!("names a file that others may read (mode {mode:04o})");
        let hint = format!(
            "Run `chmod 0400 {}` as the user of the service; in Kubernetes set `defaultMode: 0440` and `fsGroup`.",
            path.display()
        );
        return Err((what, hint));
    }
    let text = std::fs::read_to_string(path).map_err(|error| {
        let hint = "Name a text file that the user of the service may read. Relative paths begin at its working directory.";
        (format!("names a file that cannot be read ({error})"), hint.to_owned())
    })?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        let hint = "Write the secret into the file, or remove the key.";
        return Err(("names an empty file".to_owned(), hint.to_owned()));
    }
    if key == "previous_master_keys" {
        let keys = text.lines().filter(|line| !line.is_empty());
        return Ok(Value::Array(keys.map(Value::from).collect()));
    }
    Ok(Value::from(text))
}
