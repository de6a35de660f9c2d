//! Reads the settings from the tree of layered values, each section by its own type.
//!
//! A value that does not fit its type is recorded as a problem and replaced by something harmless,
//! and reading goes on. So one run finds every problem, and the checks see the rest.

mod fields;
mod hint;
mod path;

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use self::path::Path;
use super::{
    layers::{Layers, value_candidates},
    problem::Problem,
    profile,
    settings::{Config, Reloadable, Startup},
    stored_clients::StoredClients,
};

/// The most misfits of one section that are reported.
const MAX_MISFITS: usize = 500;

/// Reads every section and records what does not fit and what is unknown.
pub(super) fn deserialize(layers: Layers, problems: &mut Vec<Problem>) -> Config {
    let mut sections = Sections::new(layers);
    let config = read_config(&mut sections);
    problems.extend(sections.finish());
    config
}

fn read_config(sections: &mut Sections) -> Config {
    Config {
        startup: Startup {
            server: sections.read("server"),
            database: sections.read("database"),
            tickets: sections.read("tickets"),
            mail: sections.read("mail"),
            telemetry: sections.read("telemetry"),
            management: sections.read("management"),
        },
        reloadable: Reloadable {
            server: sections.read("server"),
            telemetry: sections.read("telemetry"),
            magic_link: sections.read("magic_link"),
            session: sections.read("session"),
            token: sections.read("token"),
            limits: sections.read("limits"),
            api: sections.read("api"),
            device: sections.read("device"),
            clients: sections.read("clients"),
            resources: sections.read("resources"),
            stored: StoredClients::default(),
            providers: sections.read("providers"),
        },
    }
}

/// The tree while sections are read from it. A section takes the keys of its type out, so that what
/// remains is unknown.
pub(super) struct Sections {
    root: Table,
    /// The values that are texts from the environment, by path: they may yet be read as another
    /// type.
    env_texts: BTreeSet<String>,
    /// The keys that the types have, by section.
    known: BTreeMap<&'static str, BTreeSet<&'static str>>,
    problems: Vec<Problem>,
}

impl Sections {
    pub(super) fn new(mut layers: Layers) -> Self {
        profile::fill(&mut layers.root);
        Self {
            root: layers.root,
            env_texts: layers.env_texts,
            known: BTreeMap::new(),
            problems: Vec::new(),
        }
    }

    /// Reads what `T` knows of a section, with the default of `T` for what is absent or does not
    /// fit.
    pub(super) fn read<T: DeserializeOwned + Default>(&mut self, section: &'static str) -> T {
        let names = fields::names::<T>();
        self.known.entry(section).or_default().extend(names);
        let value = match self.root.get_mut(section) {
            Some(Value::Table(table)) if !names.is_empty() => {
                let own = names.iter().filter_map(|name| table.remove_entry(*name));
                Some(Value::Table(own.collect()))
            }
            _ => self.root.remove(section),
        };
        let Some(value) = value else {
            return T::default();
        };
        let mut recovery = Recovery {
            root: Value::Table(Table::from_iter([(section.to_owned(), value)])),
            env_texts: &mut self.env_texts,
            problems: &mut self.problems,
            attempts: BTreeMap::new(),
            substitutes: BTreeMap::new(),
        };
        recovery.read(Path::section(section))
    }

    /// Returns the problems of all sections, with those of the keys that no type has taken.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        let sections: Vec<&str> = self.known.keys().copied().collect();
        for (section, value) in &self.root {
            match (self.known.get(section.as_str()), value) {
                (Some(known), Value::Table(rest)) => {
                    let known: Vec<&str> = known.iter().copied().collect();
                    self.problems.extend(rest.keys().map(|name| {
                        hint::unknown_key(&Path::section(section).key(name), name, &known)
                    }));
                }
                _ => self.problems.push(hint::unknown_key(
                    &Path::section(section),
                    section,
                    &sections,
                )),
            }
        }
        self.problems
    }
}

/// Reads one section in as many attempts as it has misfits.
struct Recovery<'a> {
    root: Value,
    env_texts: &'a mut BTreeSet<String>,
    problems: &'a mut Vec<Problem>,
    /// Texts from the environment of which not every candidate was tried, by path.
    attempts: BTreeMap<String, Attempt>,
    /// How many substitutes a path has had.
    substitutes: BTreeMap<String, usize>,
}

/// A text from the environment that is read as one type after another.
struct Attempt {
    candidates: Vec<Value>,
    /// What was wrong with the text itself.
    message: String,
}

impl Recovery<'_> {
    fn read<T: DeserializeOwned + Default>(&mut self, section: Path) -> T {
        for _ in 0..MAX_MISFITS {
            let Some(value) = section.find(&mut self.root) else {
                break;
            };
            match serde_path_to_error::deserialize::<_, T>(value.clone()) {
                Ok(settings) => return settings,
                Err(error) => {
                    let path = section.clone().join(error.path());
                    self.recover(path, error.inner().message());
                }
            }
        }
        T::default()
    }

    /// Records a misfit and changes the tree so that the next attempt gets past it.
    fn recover(&mut self, path: Path, message: &str) {
        if let Some((name, known)) = hint::unknown_field(message) {
            let path = if path.ends_with(name) {
                path
            } else {
                path.key(name)
            };
            self.record(hint::unknown_key(&path, name, &known));
            return path.remove(&mut self.root);
        }
        if let Some(name) = hint::missing_field(message) {
            let path = path.key(name);
            self.record(Problem::new(
                path.to_string(),
                "is missing",
                hint::example(&path),
            ));
            return self.substitute(&path, message);
        }
        let key = path.to_string();
        if self.try_next_candidate(&path, &key, message) {
            return;
        }
        let first = self.attempts.remove(&key).map(|attempt| attempt.message);
        let what = hint::misfit(&path, first.as_deref().unwrap_or(message));
        let message = first.as_deref().unwrap_or(message);
        self.record(Problem::new(&key, what, hint::fix(&path, message)));
        if path.is_element() || self.substitutes.contains_key(&key) {
            self.substitute(&path, message);
        } else {
            path.remove(&mut self.root);
        }
    }

    /// Reads a text from the environment as the next type that it may have; `false` if there is
    /// none.
    fn try_next_candidate(&mut self, path: &Path, key: &str, message: &str) -> bool {
        if self.env_texts.remove(key)
            && let Some(Value::String(text)) = path.find(&mut self.root)
        {
            let attempt = Attempt {
                candidates: value_candidates(text, message.contains("expected a sequence")),
                message: message.to_owned(),
            };
            self.attempts.insert(key.to_owned(), attempt);
        }
        let attempt = self.attempts.get_mut(key);
        let Some(next) = attempt.and_then(|attempt| attempt.candidates.pop()) else {
            return false;
        };
        if let Value::Array(list) = &next {
            let elements = (0..list.len()).map(|index| format!("{key}[{index}]"));
            self.env_texts.extend(elements);
        }
        path.put(&mut self.root, next);
        true
    }

    /// Puts something harmless where a value is needed, so that the rest can be read.
    fn substitute(&mut self, path: &Path, message: &str) {
        let tried = self.substitutes.entry(path.to_string()).or_default();
        *tried += 1;
        let value = match (hint::first_variant(message), *tried) {
            (Some(variant), _) => Value::from(variant),
            (None, 1) => Value::from(""),
            (None, 2) => Value::Integer(1),
            (None, 3) => Value::from("192.0.2.0/32"),
            // Nothing fits: the whole section gets its defaults.
            _ => return self.root = Value::Table(Table::new()),
        };
        path.put(&mut self.root, value);
    }

    /// Records one problem per key: those after the first follow from it.
    fn record(&mut self, problem: Problem) {
        if !self.problems.iter().any(|known| known.key == problem.key) {
            self.problems.push(problem);
        }
    }
}

/// Returns the keys that the types have, by section.
#[cfg(test)]
pub(super) fn known_keys() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    use super::{client::Client, providers::Provider, resources::Resource};

    let mut sections = Sections::new(Layers::default());
    read_config(&mut sections);
    let mut known = sections.known;
    known.insert(
        "clients",
        fields::names::<Client>().iter().copied().collect(),
    );
    known.insert(
        "resources",
        fields::names::<Resource>().iter().copied().collect(),
    );
    known.insert(
        "providers",
        fields::names::<Provider>().iter().copied().collect(),
    );
    known
}
